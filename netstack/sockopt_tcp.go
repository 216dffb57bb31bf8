package netstack

import (
	"math"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// tcpOptions are the options of IPPROTO_TCP, tcp(7) and do_tcp_setsockopt in Linux's
// net/ipv4/tcp.c. Fast Open is as with net.ipv4.tcp_fastopen=0.
var tcpOptions = optionLevel{level: syscall.IPPROTO_TCP, options: []option{
	syscall.TCP_NODELAY: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno {
		k.ep().SocketOptions().SetDelayOption(v == 0)
		return 0
	}, get: func(k *socket) (int, syscall.Errno) { return boolInt(!k.ep().SocketOptions().GetDelayOption()), 0 }},
	syscall.TCP_MAXSEG: {how: acts, set: (*socket).setMaxSeg, get: func(k *socket) (int, syscall.Errno) { return k.endpointInt(tcpip.MaxSegOption) }},
	syscall.TCP_CORK:   {how: acts, flag: true, set: (*socket).setTCPCork, get: func(k *socket) (int, syscall.Errno) { return k.feature(corked) }},
	syscall.TCP_KEEPIDLE: {how: acts, least: 1, most: maxKeepaliveSecs, set: func(k *socket, v int) syscall.Errno {
		o := tcpip.KeepaliveIdleOption(seconds(v))
		return errnoOf(k.ep().SetSockOpt(&o))
	}, get: func(k *socket) (int, syscall.Errno) {
		var o tcpip.KeepaliveIdleOption
		e := errnoOf(k.ep().GetSockOpt(&o))
		return int(time.Duration(o) / time.Second), e
	}},
	syscall.TCP_KEEPINTVL: {how: acts, least: 1, most: maxKeepaliveSecs, set: func(k *socket, v int) syscall.Errno {
		o := tcpip.KeepaliveIntervalOption(seconds(v))
		return errnoOf(k.ep().SetSockOpt(&o))
	}, get: func(k *socket) (int, syscall.Errno) {
		var o tcpip.KeepaliveIntervalOption
		e := errnoOf(k.ep().GetSockOpt(&o))
		return int(time.Duration(o) / time.Second), e
	}},
	syscall.TCP_KEEPCNT: {how: acts, least: 1, most: maxKeepaliveProbes, set: func(k *socket, v int) syscall.Errno {
		return k.setEndpointInt(tcpip.KeepaliveCountOption, v)
	}, get: func(k *socket) (int, syscall.Errno) { return k.endpointInt(tcpip.KeepaliveCountOption) }},
	syscall.TCP_SYNCNT: {how: acts, least: 1, most: maxSynRetries, set: func(k *socket, v int) syscall.Errno {
		return k.setEndpointInt(tcpip.TCPSynCountOption, v)
	}, get: func(k *socket) (int, syscall.Errno) { return k.endpointInt(tcpip.TCPSynCountOption) }},
	syscall.TCP_LINGER2: {how: acts, set: func(k *socket, v int) syscall.Errno {
		o := tcpip.TCPLingerTimeoutOption(seconds(v))
		return errnoOf(k.ep().SetSockOpt(&o))
	}, get: (*socket).linger2},
	syscall.TCP_DEFER_ACCEPT: {how: acts, set: (*socket).setDeferAccept, get: (*socket).deferAccept},
	syscall.TCP_WINDOW_CLAMP: {how: acts, set: (*socket).setWindowClamp},
	syscall.TCP_INFO:         {how: acts, noSet: true, getBytes: (*socket).getTCPInfo},
	syscall.TCP_QUICKACK:     {how: acts, flag: true, set: (*socket).setQuickAck, get: func(k *socket) (int, syscall.Errno) { return boolInt(k.ep().SocketOptions().GetQuickAck()), 0 }},
	syscall.TCP_CONGESTION:   {how: acts, setBytes: (*socket).setCongestion, getBytes: (*socket).getCongestion},
	syscall.TCP_MD5SIG:       {how: refused, errno: code(syscall.ENOPROTOOPT), noGet: code(syscall.ENOPROTOOPT)},
	tcpThinLinear:            {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true, least: 0, most: 1},
	tcpThinDupack:            {how: stored, least: 0, most: 1, set: func(*socket, int) syscall.Errno { return 0 }},
	tcpUserTimeout: {how: acts, least: 0, most: math.MaxInt32, set: func(k *socket, v int) syscall.Errno {
		o := tcpip.TCPUserTimeoutOption(time.Duration(v) * time.Millisecond)
		return errnoOf(k.ep().SetSockOpt(&o))
	}, get: func(k *socket) (int, syscall.Errno) {
		var o tcpip.TCPUserTimeoutOption
		e := errnoOf(k.ep().GetSockOpt(&o))
		return int(time.Duration(o) / time.Millisecond), e
	}},
	tcpRepair:        {how: refused, errno: code(syscall.EPERM), neutral: true},
	tcpRepairQueue:   {how: refused, errno: code(syscall.EPERM), get: invalid},
	tcpQueueSeq:      {how: refused, errno: code(syscall.EINVAL), get: invalid},
	tcpRepairOptions: {how: refused, errno: code(syscall.EINVAL), noGet: code(syscall.ENOPROTOOPT)},
	tcpFastOpen:      {how: stored, set: (*socket).setFastOpen},
	tcpTimestamp:     {how: refused, errno: code(syscall.EPERM), get: (*socket).tcpClock},
	tcpNotSentLowat:  {how: acts, set: (*socket).setNotSent, get: func(k *socket) (int, syscall.Errno) { return int(int32(k.notSent.Load())), 0 }},
	tcpCCInfo:        {how: acts, noSet: true, getBytes: nothing},
	tcpSaveSyn:       {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true, least: 0, most: 2},
	tcpSavedSyn:      {how: refused, noSet: true, getBytes: nothing},
	tcpRepairWindow:  {how: refused, errno: code(syscall.EPERM), getBytes: repairWindow},
	tcpFastOpenConn:  {how: refused, errno: code(syscall.EOPNOTSUPP), least: 0, most: 1},
	tcpULP:           {how: refused, setBytes: refuseULP, getBytes: nothing},
	tcpMD5SigExt:     {how: refused, errno: code(syscall.ENOPROTOOPT), noGet: code(syscall.ENOPROTOOPT)},
	tcpFastOpenKey:   {how: refused, setBytes: refuseFastOpenKey, getBytes: nothing},
	tcpFastOpenNoCok: {how: stored, least: 0, most: 1},
	tcpZerocopy:      {how: refused, errno: code(syscall.ENOPROTOOPT), noSet: true, noGet: code(syscall.ENOPROTOOPT)},
	tcpInq:           {how: acts, least: 0, most: 1, set: func(k *socket, v int) syscall.Errno { return k.setFeature(reportQueue, v) }, get: func(k *socket) (int, syscall.Errno) { return k.feature(reportQueue) }},
	tcpTxDelay:       {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	tcpIsMPTCP:       {how: acts, noSet: true},
	tcpRTOMax:        {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true, least: 1000, most: maxRTOMillis, standard: maxRTOMillis},
}}

const (
	maxKeepaliveSecs   = 32767
	maxKeepaliveProbes = 127
	maxSynRetries      = 127    // MAX_TCP_SYNCNT
	leastMSS           = 88     // TCP_MIN_MSS
	mostMSS            = 32767  // MAX_TCP_WINDOW
	maxRTOMillis       = 120000 // TCP_RTO_MAX_SEC
	maxRTOSeconds      = 120
)

func seconds(v int) time.Duration { return time.Duration(v) * time.Second }

func invalid(*socket) (int, syscall.Errno) { return 0, syscall.EINVAL }

// setMaxSeg is TCP_MAXSEG: 0 is the path's, as without the option.
func (k *socket) setMaxSeg(v int) syscall.Errno {
	if v != 0 && (v < leastMSS || v > mostMSS) {
		return syscall.EINVAL
	}
	if v == 0 && k.kept(optionKey{syscall.IPPROTO_TCP, syscall.TCP_MAXSEG}, 0) == 0 {
		return 0
	}
	k.keep(optionKey{syscall.IPPROTO_TCP, syscall.TCP_MAXSEG}, v)
	if v == 0 {
		v = mostMSS // no smaller than what a path has: gVisor has no way back to none
	}
	return k.setEndpointInt(tcpip.MaxSegOption, v)
}

// linger2 is TCP_LINGER2 in seconds, or -1 for no FIN_WAIT_2.
func (k *socket) linger2() (int, syscall.Errno) {
	var o tcpip.TCPLingerTimeoutOption
	if err := k.ep().GetSockOpt(&o); err != nil {
		return 0, errnoOf(err)
	}
	if o < 0 {
		return -1, 0
	}
	return int(time.Duration(o) / time.Second), 0
}

// setDeferAccept is TCP_DEFER_ACCEPT. Linux counts how often the SYN-ACK is sent again, after 1, 2,
// 4, ... seconds, so that the time is rounded up to such a sum: secs_to_retrans in net/ipv4/tcp.c.
func (k *socket) setDeferAccept(v int) syscall.Errno {
	sum := 0
	for step, n := 1, 0; sum < v && n < math.MaxUint8; step, n = min(2*step, maxRTOSeconds), n+1 {
		sum += step
	}
	k.keep(optionKey{syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT}, sum)
	o := tcpip.TCPDeferAcceptOption(seconds(sum))
	return errnoOf(k.ep().SetSockOpt(&o))
}

func (k *socket) deferAccept() (int, syscall.Errno) {
	return k.kept(optionKey{syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT}, 0), 0
}

// setWindowClamp is TCP_WINDOW_CLAMP: at least half the smallest receive buffer.
func (k *socket) setWindowClamp(v int) syscall.Errno {
	if v != 0 {
		v = max(v, minReceiveBuffer/2)
	}
	if e := k.setEndpointInt(tcpip.TCPWindowClampOption, v); e != 0 {
		return e
	}
	k.keep(optionKey{syscall.IPPROTO_TCP, syscall.TCP_WINDOW_CLAMP}, v)
	return 0
}

func (k *socket) setQuickAck(v int) syscall.Errno {
	k.ep().SocketOptions().SetQuickAck(v != 0)
	if ep, ok := k.ep().(interface{ QuickAck(on bool) }); ok {
		ep.QuickAck(v != 0)
	}
	return 0
}

// setNotSent is TCP_NOTSENT_LOWAT, how many bytes may wait to be sent before a writer has to wait,
// too; 0 is the system's, no bound.
func (k *socket) setNotSent(v int) syscall.Errno {
	ep, ok := k.ep().(interface{ TellSent() })
	if !ok {
		return syscall.ENOPROTOOPT
	}
	ep.TellSent()
	k.notSent.Store(uint32(v))
	return 0
}

// unsent returns how many bytes wait to be sent.
func (k *socket) unsent() int {
	ep, ok := k.ep().(interface{ Unacknowledged() (all, unsent int) })
	if !ok {
		return 0
	}
	_, n := ep.Unacknowledged()
	return n
}

func (k *socket) setTCPCork(v int) syscall.Errno {
	k.setFeature(corked, v)
	k.ep().SocketOptions().SetCorkOption(v != 0)
	return 0
}

func (k *socket) setCongestion(val []byte) syscall.Errno {
	if len(val) == 0 {
		return syscall.EINVAL
	}
	cc := tcpip.CongestionControlOption(cString(val[:min(len(val), tcpCANameMax-1)]))
	return errnoOf(k.ep().SetSockOpt(&cc))
}

func (k *socket) getCongestion(dst []byte) (int, syscall.Errno) {
	var cc tcpip.CongestionControlOption
	if err := k.ep().GetSockOpt(&cc); err != nil {
		return 0, errnoOf(err)
	}
	var b [tcpCANameMax]byte
	copy(b[:], cc)
	return copy(dst, b[:]), 0
}

// refuseULP is TCP_ULP: no upper layer protocol (kTLS) is available.
func refuseULP(_ *socket, val []byte) syscall.Errno {
	if len(val) == 0 {
		return syscall.EINVAL
	}
	return syscall.ENOENT
}

// setFastOpen is TCP_FASTOPEN, the queue of a listener.
func (k *socket) setFastOpen(v int) syscall.Errno {
	switch s := linuxTCPState(k.ep().State()); {
	case v < 0, s != int(tcp.StateClose) && s != int(tcp.StateListen):
		return syscall.EINVAL
	}
	k.keep(optionKey{syscall.IPPROTO_TCP, tcpFastOpen}, min(v, somaxconn))
	return 0
}

// fastOpenKeySize is TCP_FASTOPEN_KEY_LENGTH; there may be a second key for the change.
const fastOpenKeySize = 16

func refuseFastOpenKey(_ *socket, val []byte) syscall.Errno {
	if len(val) != fastOpenKeySize && len(val) != 2*fastOpenKeySize {
		return syscall.EINVAL
	}
	return syscall.ENOPROTOOPT
}

// repairWindowSize is sizeof(struct tcp_repair_window).
const repairWindowSize = 20

func repairWindow(_ *socket, dst []byte) (int, syscall.Errno) {
	if len(dst) != repairWindowSize {
		return 0, syscall.EINVAL
	}
	return 0, syscall.EPERM
}

// tcpClock is TCP_TIMESTAMP before a connection gives it an offset: the clock in milliseconds.
func (k *socket) tcpClock() (int, syscall.Errno) {
	return int(int32(k.stack.stack.Clock().NowMonotonic().Milliseconds())), 0
}
