package netstack

import (
	"encoding/binary"
	"math"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// socketLevel are the options of SOL_SOCKET, socket(7) and sk_setsockopt in Linux's net/core/sock.c.
var socketLevel = optionLevel{level: syscall.SOL_SOCKET, options: []option{
	syscall.SO_DEBUG:     {how: stored, flag: true},
	syscall.SO_REUSEADDR: {how: acts, setFlag: (*tcpip.SocketOptions).SetReuseAddress, getFlag: (*tcpip.SocketOptions).GetReuseAddress},
	syscall.SO_TYPE:      {how: acts, noSet: true, get: func(k *socket) (int, syscall.Errno) { return k.typ, 0 }},
	syscall.SO_ERROR:     {how: acts, noSet: true, get: func(k *socket) (int, syscall.Errno) { return int(k.lastError()), 0 }},
	syscall.SO_DONTROUTE: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setFeature(dontRoute, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.feature(dontRoute) }},
	syscall.SO_BROADCAST:     {how: acts, setFlag: (*tcpip.SocketOptions).SetBroadcast, getFlag: (*tcpip.SocketOptions).GetBroadcast},
	syscall.SO_SNDBUF:        {how: acts, set: (*socket).setSendBuffer, get: (*socket).sendBuffer},
	syscall.SO_RCVBUF:        {how: acts, set: (*socket).setReceiveBuffer, get: (*socket).receiveBuffer},
	syscall.SO_KEEPALIVE:     {how: acts, setFlag: (*tcpip.SocketOptions).SetKeepAlive, getFlag: (*tcpip.SocketOptions).GetKeepAlive},
	syscall.SO_OOBINLINE:     {how: acts, flag: true, set: (*socket).setUrgentInline, get: func(k *socket) (int, syscall.Errno) { return k.feature(urgentInline) }},
	solsocket.NoCheck:        {how: acts, setFlag: (*tcpip.SocketOptions).SetNoChecksum, getFlag: (*tcpip.SocketOptions).GetNoChecksum},
	syscall.SO_PRIORITY:      {how: stored},
	syscall.SO_LINGER:        {how: acts, setBytes: (*socket).setLinger, getBytes: (*socket).getLinger},
	solsocket.BSDCompat:      {how: stored, set: func(*socket, int) syscall.Errno { return 0 }},
	solsocket.ReusePort:      {how: acts, setFlag: (*tcpip.SocketOptions).SetReusePort, getFlag: (*tcpip.SocketOptions).GetReusePort},
	syscall.SO_PASSCRED:      {how: refused, errno: code(syscall.EOPNOTSUPP), noGet: code(syscall.EOPNOTSUPP)},
	syscall.SO_PEERCRED:      {how: acts, noSet: true, getBytes: getNoPeerCredentials},
	syscall.SO_RCVLOWAT:      {how: acts, set: (*socket).setLowWater, get: (*socket).lowWaterMark},
	syscall.SO_SNDLOWAT:      {how: acts, noSet: true, standard: 1},
	syscall.SO_RCVTIMEO:      {how: acts, setBytes: (*socket).setReceiveTimeout, getBytes: (*socket).getReceiveTimeout},
	syscall.SO_SNDTIMEO:      {how: acts, setBytes: (*socket).setSendTimeout, getBytes: (*socket).getSendTimeout},
	syscall.SO_ATTACH_FILTER: {how: acts, setBytes: (*socket).attachFilter, getBytes: (*socket).getFilter},
	syscall.SO_DETACH_FILTER: {how: acts, noGet: code(syscall.ENOPROTOOPT), set: (*socket).detachFilter},
	syscall.SO_PEERNAME:      {how: acts, noSet: true, getBytes: (*socket).getPeerName},
	syscall.SO_TIMESTAMP: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setTimestamp(syscall.SO_TIMESTAMP, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.timestampIs(syscall.SO_TIMESTAMP) }},
	syscall.SO_ACCEPTCONN:  {how: acts, noSet: true, get: (*socket).listening},
	syscall.SO_PEERSEC:     {how: refused, errno: code(syscall.ENOPROTOOPT), noSet: true, noGet: code(syscall.ENOPROTOOPT)},
	syscall.SO_SNDBUFFORCE: {how: acts, set: (*socket).forceSendBuffer, noGet: code(syscall.ENOPROTOOPT)},
	syscall.SO_RCVBUFFORCE: {how: acts, set: (*socket).forceReceiveBuffer, noGet: code(syscall.ENOPROTOOPT)},
	syscall.SO_PASSSEC:     {how: refused, errno: code(syscall.EOPNOTSUPP), noGet: code(syscall.EOPNOTSUPP)},
	syscall.SO_TIMESTAMPNS: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setTimestamp(syscall.SO_TIMESTAMPNS, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.timestampIs(syscall.SO_TIMESTAMPNS) }},
	syscall.SO_MARK:         {how: stored},
	syscall.SO_TIMESTAMPING: {how: acts, setBytes: (*socket).setTimestampingOld, getBytes: (*socket).getTimestampingOld},
	solsocket.Protocol:      {how: acts, noSet: true, get: func(k *socket) (int, syscall.Errno) { return k.protocol, 0 }},
	solsocket.Domain:        {how: acts, noSet: true, get: func(k *socket) (int, syscall.Errno) { return k.family, 0 }},
	solsocket.RxqOvfl: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setFeature(reportDrops, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.feature(reportDrops) }},
	solsocket.WifiStatus: {how: stored, flag: true},
	solsocket.PeekOff:    {how: acts, on: streams | udps, wrong: code(syscall.EOPNOTSUPP), set: (*socket).setPeekOffset, get: (*socket).getPeekOffset},
	solsocket.NoFCS:      {how: stored, flag: true},
	solsocket.LockFilter: {how: acts, flag: true, set: (*socket).lockFilter},
	solsocket.SelectErrQueue: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setFeature(selectErrors, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.feature(selectErrors) }},
	solsocket.BusyPoll:        {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	solsocket.MaxPacingRate:   {how: stored, setBytes: (*socket).setPacingRate, getBytes: (*socket).getPacingRate},
	solsocket.BPFExtensions:   {how: acts, noSet: true, get: (*socket).filterExtensions},
	solsocket.IncomingCPU:     {how: stored, standard: -1},
	solsocket.AttachBPF:       {how: refused, setBytes: refuseProgram, noGet: code(syscall.ENOPROTOOPT)},
	solsocket.AttachReuseCBPF: {how: refused, setBytes: refuseFilter, noGet: code(syscall.ENOPROTOOPT)},
	solsocket.AttachReuseEBPF: {how: refused, setBytes: refuseProgram, noGet: code(syscall.ENOPROTOOPT)},
	solsocket.CnxAdvice:       {how: acts, set: func(*socket, int) syscall.Errno { return 0 }, noGet: code(syscall.ENOPROTOOPT)},
	solsocket.Meminfo:         {how: acts, noSet: true, getBytes: (*socket).getMemoryInfo},
	solsocket.IncomingNapiID:  {how: acts, noSet: true},
	solsocket.Cookie:          {how: acts, noSet: true, getBytes: (*socket).getCookie},
	solsocket.PeerGroups:      {how: acts, noSet: true, noGet: code(syscall.ENODATA)},
	solsocket.Zerocopy:        {how: refused, errno: code(syscall.EOPNOTSUPP), neutral: true, on: streams | udps, wrong: code(syscall.EOPNOTSUPP)},
	solsocket.TxTime:          {how: stored, setBytes: (*socket).setTxTime, getBytes: (*socket).getTxTime},
	solsocket.BindToIfIndex:   {how: acts, set: (*socket).bindToIndex, get: func(k *socket) (int, syscall.Errno) { return int(k.ep().SocketOptions().GetBindToDevice()), 0 }},
	syscall.SO_BINDTODEVICE:   {how: acts, setBytes: (*socket).bindToDevice, getBytes: (*socket).getBoundDevice},
	solsocket.TimestampNew: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setTimestamp(solsocket.TimestampNew, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.timestampIs(solsocket.TimestampNew) }},
	solsocket.TimestampNSNew: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setTimestamp(solsocket.TimestampNSNew, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.timestampIs(solsocket.TimestampNSNew) }},
	solsocket.TimestampingNew: {how: acts, setBytes: (*socket).setTimestampingNew, getBytes: (*socket).getTimestampingNew},
	solsocket.RcvTimeoNew:     {how: acts, setBytes: (*socket).setReceiveTimeout, getBytes: (*socket).getReceiveTimeout},
	solsocket.SndTimeoNew:     {how: acts, setBytes: (*socket).setSendTimeout, getBytes: (*socket).getSendTimeout},
	solsocket.DetachReuseBPF:  {how: acts, set: func(*socket, int) syscall.Errno { return syscall.EINVAL }, noGet: code(syscall.ENOPROTOOPT)},
	solsocket.PreferBusyPoll:  {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	solsocket.BusyPollBudget:  {how: refused, errno: code(syscall.ENOPROTOOPT), noGet: code(syscall.ENOPROTOOPT)},
	solsocket.NetnsCookie:     {how: acts, noSet: true, getBytes: getNamespaceCookie},
	solsocket.BufLock:         {how: acts, least: 0, most: lockSend | lockReceive, set: (*socket).setBufferLock, get: (*socket).bufferLock},
	solsocket.ReserveMem:      {how: refused, errno: code(syscall.EOPNOTSUPP), least: 0, most: math.MaxInt32},
	solsocket.TxRehash:        {how: stored, on: streams, wrong: code(syscall.EOPNOTSUPP), least: -1, most: 1, set: (*socket).setRehash, get: (*socket).rehash},
	solsocket.RcvMark:         {how: refused, errno: code(syscall.ENOPROTOOPT), noGet: code(syscall.ENOPROTOOPT)},
	solsocket.PassPidFD:       {how: refused, errno: code(syscall.EOPNOTSUPP), noGet: code(syscall.EOPNOTSUPP)},
	solsocket.PeerPidFD:       {how: acts, noSet: true, noGet: code(syscall.ENODATA)},
	solsocket.RcvPriority:     {how: refused, errno: code(syscall.ENOPROTOOPT), noGet: code(syscall.ENOPROTOOPT)},
	solsocket.PassRights:      {how: refused, errno: code(syscall.EOPNOTSUPP), noGet: code(syscall.EOPNOTSUPP)},
}}

// features are options that the receiving and sending functions look at, as bits of one word.
const (
	dontRoute = 1 << iota
	reportDrops
	selectErrors
	reportQueue  // TCP_INQ
	corked       // UDP_CORK or TCP_CORK
	collecting   // a datagram is not complete: cork
	dontFragment // IP_MTU_DISCOVER or IPV6_DONTFRAG
	ignoreForeignGroups
	freebind      // IP_FREEBIND
	transparent   // IP_TRANSPARENT
	bindPending   // a port is still to be chosen: completeBind
	closedForSend // a socket of datagrams was shut down
	boundToFour   // a socket of AF_INET6 has an address of IPv4
	reportPathMTU // IPV6_RECVPATHMTU
	urgentInline  // SO_OOBINLINE
	joins         // UDP_GRO
	keepsStamp    // SIOCGSTAMP was asked for
)

func (k *socket) has(feature uint32) bool { return k.features.Load()&feature != 0 }

func (k *socket) setFeature(feature uint32, v int) syscall.Errno {
	if v != 0 {
		k.features.Or(feature)
	} else {
		k.features.And(^feature)
	}
	return 0
}

func (k *socket) feature(feature uint32) (int, syscall.Errno) { return boolInt(k.has(feature)), 0 }

// nothing is an option of no bytes: none is there.
func nothing(*socket, []byte) (int, syscall.Errno) { return 0, 0 }

// sockFprogSize is sizeof(struct sock_fprog).
const sockFprogSize = 16

// refuseFilter is for filters that choose one of many sockets. It checks the length as Linux does.
func refuseFilter(_ *socket, val []byte) syscall.Errno {
	if len(val) != sockFprogSize {
		return syscall.EINVAL
	}
	return syscall.ENOPROTOOPT
}

// refuseProgram is for programs of bpf(2), which does not exist: no descriptor is one.
func refuseProgram(*socket, []byte) syscall.Errno { return syscall.EINVAL }

// getNoPeerCredentials is SO_PEERCRED of a socket whose peer has none: struct ucred with no
// process, user and group.
func getNoPeerCredentials(_ *socket, dst []byte) (int, syscall.Errno) {
	b := [12]byte{4: 0xff, 5: 0xff, 6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff}
	return copy(dst, b[:]), 0
}

// getNamespaceCookie is SO_NETNS_COOKIE: the number of the only network namespace, the first.
func getNamespaceCookie(_ *socket, dst []byte) (int, syscall.Errno) {
	if len(dst) != 8 {
		return 0, syscall.EINVAL
	}
	binary.NativeEndian.PutUint64(dst, 1)
	return 8, 0
}

func (k *socket) getCookie(dst []byte) (int, syscall.Errno) {
	if len(dst) < 8 {
		return 0, syscall.EINVAL
	}
	binary.NativeEndian.PutUint64(dst, k.inode)
	return 8, 0
}

// getPeerName is SO_PEERNAME, getpeername(2) in another form.
func (k *socket) getPeerName(dst []byte) (int, syscall.Errno) {
	var b [maxSockaddrLen]byte
	n, e := k.PeerAddr(b[:])
	if e != 0 {
		return 0, e
	}
	if n < len(dst) {
		return 0, syscall.EINVAL
	}
	return copy(dst, b[:n]), 0
}

func (k *socket) listening() (int, syscall.Errno) {
	return boolInt(k.kind() == streams && tcp.EndpointState(k.ep().State()) == tcp.StateListen), 0
}

// struct linger is two ints: on or off, and seconds.
func (k *socket) setLinger(val []byte) syscall.Errno {
	if len(val) < 8 {
		return syscall.EINVAL
	}
	secs := int32(binary.NativeEndian.Uint32(val[4:]))
	k.ep().SocketOptions().SetLinger(tcpip.LingerOption{
		Enabled: binary.NativeEndian.Uint32(val) != 0,
		Timeout: time.Duration(max(secs, 0)) * time.Second,
	})
	return 0
}

func (k *socket) getLinger(dst []byte) (int, syscall.Errno) {
	l := k.ep().SocketOptions().GetLinger()
	var b [8]byte
	if l.Enabled {
		b[0] = 1
	}
	binary.NativeEndian.PutUint32(b[4:], uint32(l.Timeout/time.Second))
	return copy(dst, b[:]), 0
}

// bindToDevice binds to the interface of a name, NUL-terminated or not; an empty name unbinds.
func (k *socket) bindToDevice(val []byte) syscall.Errno {
	name := cString(val[:min(len(val), ifNameSize-1)])
	if name == "" {
		return errnoOf(k.ep().SocketOptions().SetBindToDevice(0))
	}
	id, ok := k.stack.interfaceByName(name)
	if !ok {
		return syscall.ENODEV
	}
	return errnoOf(k.ep().SocketOptions().SetBindToDevice(int32(id)))
}

func (k *socket) getBoundDevice(dst []byte) (int, syscall.Errno) {
	id := k.ep().SocketOptions().GetBindToDevice()
	if id == 0 {
		return 0, 0
	}
	if len(dst) < ifNameSize {
		return 0, syscall.EINVAL
	}
	name := k.stack.stack.FindNICNameFromID(tcpip.NICID(id))
	n := copy(dst, name)
	dst[n] = 0
	return n + 1, 0
}

// bindToIndex is SO_BINDTOIFINDEX. Linux takes any number, and nothing can be sent by one that no
// card has; here that is an error at once.
func (k *socket) bindToIndex(v int) syscall.Errno {
	if v < 0 {
		return syscall.EINVAL
	}
	return errnoOf(k.ep().SocketOptions().SetBindToDevice(int32(v)))
}

// getMemoryInfo is SO_MEMINFO: numbers of enum in linux/sock_diag.h, as far as there are such
// amounts here.
func (k *socket) getMemoryInfo(dst []byte) (int, syscall.Errno) {
	var b [9 * 4]byte
	so := k.ep().SocketOptions()
	put := func(i int, v int64) { binary.NativeEndian.PutUint32(b[4*i:], uint32(v)) }
	put(0, int64(k.unread())) // SK_MEMINFO_RMEM_ALLOC
	put(1, so.GetReceiveBufferSize())
	put(3, so.GetSendBufferSize())
	put(8, int64(k.drops()))
	return copy(dst, b[:]), 0
}

// drops is how many datagrams found the receive buffer full, or a filter that did not want them.
func (k *socket) drops() uint32 {
	if s, ok := k.ep().Stats().(*tcpip.TransportEndpointStats); ok {
		return uint32(s.ReceiveErrors.ReceiveBufferOverflow.Value()) + k.filtered.Load()
	}
	return 0
}

// setRehash is SO_TXREHASH: -1 is the system's choice, 1.
func (k *socket) setRehash(v int) syscall.Errno {
	if v < 0 {
		v = 1
	}
	k.keep(optionKey{syscall.SOL_SOCKET, solsocket.TxRehash}, v)
	return 0
}

func (k *socket) rehash() (int, syscall.Errno) {
	if k.kind() != streams {
		return 0, syscall.EOPNOTSUPP
	}
	return k.kept(optionKey{syscall.SOL_SOCKET, solsocket.TxRehash}, 1), 0
}

// setPacingRate is SO_MAX_PACING_RATE, an unsigned int or long of bytes per second. For datagrams
// only the queueing discipline fq looks at it; TCP would pace by itself, which gVisor's does not.
func (k *socket) setPacingRate(val []byte) syscall.Errno {
	if len(val) < 4 {
		return syscall.EINVAL
	}
	rate := uint64(binary.NativeEndian.Uint32(val))
	if len(val) >= 8 {
		rate = binary.NativeEndian.Uint64(val)
	} else if rate == math.MaxUint32 {
		rate = math.MaxUint64
	}
	if k.kind() == streams && rate != math.MaxUint64 {
		return syscall.ENOPROTOOPT
	}
	k.stored.mu.Lock()
	k.stored.unpaced = ^rate
	k.stored.mu.Unlock()
	return 0
}

func (k *socket) getPacingRate(dst []byte) (int, syscall.Errno) {
	k.stored.mu.Lock()
	rate := ^k.stored.unpaced
	k.stored.mu.Unlock()
	if len(dst) < 8 {
		return putInt(dst, int(uint32(min(rate, math.MaxUint32))))
	}
	binary.NativeEndian.PutUint64(dst, rate)
	return 8, 0
}

// struct sock_txtime is a clock and flags, linux/net_tstamp.h.
const (
	txTimeSize  = 8
	txTimeFlags = 3 // SOF_TXTIME_FLAGS_MASK
)

// setTxTime is SO_TXTIME. Only the queueing disciplines etf and fq look at the times, and no card
// has one.
func (k *socket) setTxTime(val []byte) syscall.Errno {
	if len(val) != txTimeSize || binary.NativeEndian.Uint32(val[4:])&^txTimeFlags != 0 {
		return syscall.EINVAL
	}
	k.stored.mu.Lock()
	k.stored.txTime, k.stored.hasTxTime = binary.NativeEndian.Uint64(val), true
	k.stored.mu.Unlock()
	return 0
}

func (k *socket) getTxTime(dst []byte) (int, syscall.Errno) {
	var b [txTimeSize]byte
	k.stored.mu.Lock()
	binary.NativeEndian.PutUint64(b[:], k.stored.txTime)
	k.stored.mu.Unlock()
	return copy(dst, b[:]), 0
}

func (k *socket) setReceiveTimeout(val []byte) syscall.Errno {
	return k.setTimeout(&k.stored.receive, val)
}

func (k *socket) setSendTimeout(val []byte) syscall.Errno {
	return k.setTimeout(&k.stored.send, val)
}

func (k *socket) getReceiveTimeout(dst []byte) (int, syscall.Errno) {
	return k.getTimeout(&k.stored.receive, dst)
}

func (k *socket) getSendTimeout(dst []byte) (int, syscall.Errno) {
	return k.getTimeout(&k.stored.send, dst)
}

// setTimeout stores a struct timeval. The descriptor layer, which implements timeouts, has taken
// it before.
func (k *socket) setTimeout(at *syscall.Timeval, val []byte) syscall.Errno {
	if len(val) < 16 {
		return syscall.EINVAL
	}
	tv := syscall.Timeval{
		Sec:  int64(binary.NativeEndian.Uint64(val)),
		Usec: int64(binary.NativeEndian.Uint64(val[8:])),
	}
	if tv.Usec < 0 || tv.Usec >= 1e6 {
		return syscall.EDOM
	}
	if tv.Sec < 0 {
		tv = syscall.Timeval{}
	}
	k.stored.mu.Lock()
	defer k.stored.mu.Unlock()
	*at = tv
	return 0
}

func (k *socket) getTimeout(at *syscall.Timeval, dst []byte) (int, syscall.Errno) {
	k.stored.mu.Lock()
	tv := *at
	k.stored.mu.Unlock()
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:], uint64(tv.Sec))
	binary.NativeEndian.PutUint64(b[8:], uint64(tv.Usec))
	return copy(dst, b[:]), 0
}
