package netstack

import (
	"encoding/binary"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// setTCPOption sets an option of tcp(7). TCP_FASTOPEN and similar options are accepted without
// effect, as by a kernel with tcp_fastopen=0.
func (k *socket) setTCPOption(name int, val []byte) syscall.Errno {
	if name == syscall.TCP_CONGESTION {
		cc := tcpip.CongestionControlOption(cString(val))
		return errnoOf(k.ep.SetSockOpt(&cc))
	}
	if name == tcpULP {
		return syscall.ENOENT // no upper layer protocol (kTLS) is available
	}
	v, e := intOf(val)
	if e != 0 {
		return e
	}
	so := k.ep.SocketOptions()
	switch name {
	case syscall.TCP_NODELAY:
		so.SetDelayOption(v == 0)
	case syscall.TCP_CORK:
		so.SetCorkOption(v != 0)
	case syscall.TCP_QUICKACK:
		so.SetQuickAck(v != 0)
	case syscall.TCP_MAXSEG:
		return errnoOf(k.ep.SetSockOptInt(tcpip.MaxSegOption, v))
	case syscall.TCP_KEEPIDLE:
		o, e := seconds(v)
		if e != 0 {
			return e
		}
		idle := tcpip.KeepaliveIdleOption(o)
		return errnoOf(k.ep.SetSockOpt(&idle))
	case syscall.TCP_KEEPINTVL:
		o, e := seconds(v)
		if e != 0 {
			return e
		}
		interval := tcpip.KeepaliveIntervalOption(o)
		return errnoOf(k.ep.SetSockOpt(&interval))
	case syscall.TCP_KEEPCNT:
		if v < 1 || v > maxKeepaliveProbes {
			return syscall.EINVAL
		}
		return errnoOf(k.ep.SetSockOptInt(tcpip.KeepaliveCountOption, v))
	case syscall.TCP_SYNCNT:
		return errnoOf(k.ep.SetSockOptInt(tcpip.TCPSynCountOption, v))
	case syscall.TCP_WINDOW_CLAMP:
		return errnoOf(k.ep.SetSockOptInt(tcpip.TCPWindowClampOption, v))
	case tcpUserTimeout:
		if v < 0 {
			return syscall.EINVAL
		}
		o := tcpip.TCPUserTimeoutOption(time.Duration(v) * time.Millisecond)
		return errnoOf(k.ep.SetSockOpt(&o))
	case syscall.TCP_DEFER_ACCEPT:
		o := tcpip.TCPDeferAcceptOption(time.Duration(max(v, 0)) * time.Second)
		return errnoOf(k.ep.SetSockOpt(&o))
	case syscall.TCP_LINGER2:
		o := tcpip.TCPLingerTimeoutOption(time.Duration(v) * time.Second)
		return errnoOf(k.ep.SetSockOpt(&o))
	case tcpFastOpen, tcpFastOpenConn, tcpFastOpenNoCok, tcpNotSentLowat, tcpThinLinear,
		tcpThinDupack, tcpTimestamp, tcpInq, tcpTxDelay:
		return k.rememberOption(syscall.IPPROTO_TCP, name, val)
	case tcpRepair:
		return syscall.EPERM
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

// seconds checks a keepalive time.
func seconds(v int) (time.Duration, syscall.Errno) {
	if v < 1 || v > maxKeepaliveSecs {
		return 0, syscall.EINVAL
	}
	return time.Duration(v) * time.Second, 0
}

func (k *socket) getTCPOption(name int, dst []byte) (int, syscall.Errno) {
	so := k.ep.SocketOptions()
	switch name {
	case syscall.TCP_NODELAY:
		return putBool(dst, !so.GetDelayOption())
	case syscall.TCP_CORK:
		return putBool(dst, so.GetCorkOption())
	case syscall.TCP_QUICKACK:
		return putBool(dst, so.GetQuickAck())
	case syscall.TCP_MAXSEG:
		return k.getEndpointInt(tcpip.MaxSegOption, dst)
	case syscall.TCP_KEEPCNT:
		return k.getEndpointInt(tcpip.KeepaliveCountOption, dst)
	case syscall.TCP_SYNCNT:
		return k.getEndpointInt(tcpip.TCPSynCountOption, dst)
	case syscall.TCP_WINDOW_CLAMP:
		return k.getEndpointInt(tcpip.TCPWindowClampOption, dst)
	case syscall.TCP_INFO:
		return k.getTCPInfo(dst)
	case syscall.TCP_CONGESTION:
		var cc tcpip.CongestionControlOption
		if err := k.ep.GetSockOpt(&cc); err != nil {
			return 0, errnoOf(err)
		}
		var b [tcpCANameMax]byte
		copy(b[:], cc)
		return copy(dst, b[:]), 0
	case tcpFastOpen, tcpFastOpenConn, tcpFastOpenNoCok, tcpThinLinear, tcpThinDupack, tcpTimestamp,
		tcpInq, tcpTxDelay, tcpRepair, tcpNotSentLowat:
		return putInt(dst, k.remembered(syscall.IPPROTO_TCP, name, 0))
	case tcpULP:
		return 0, 0
	}
	return k.getTCPDuration(name, dst)
}

// getTCPDuration returns the options that are a time.Duration in gVisor.
func (k *socket) getTCPDuration(name int, dst []byte) (int, syscall.Errno) {
	var d, unit = time.Duration(0), time.Second
	var err tcpip.Error
	switch name {
	case syscall.TCP_KEEPIDLE:
		var o tcpip.KeepaliveIdleOption
		err = k.ep.GetSockOpt(&o)
		d = time.Duration(o)
	case syscall.TCP_KEEPINTVL:
		var o tcpip.KeepaliveIntervalOption
		err = k.ep.GetSockOpt(&o)
		d = time.Duration(o)
	case tcpUserTimeout:
		var o tcpip.TCPUserTimeoutOption
		err = k.ep.GetSockOpt(&o)
		d, unit = time.Duration(o), time.Millisecond
	case syscall.TCP_DEFER_ACCEPT:
		var o tcpip.TCPDeferAcceptOption
		err = k.ep.GetSockOpt(&o)
		d = time.Duration(o)
	case syscall.TCP_LINGER2:
		var o tcpip.TCPLingerTimeoutOption
		err = k.ep.GetSockOpt(&o)
		d = time.Duration(o)
	default:
		return 0, syscall.ENOPROTOOPT
	}
	if err != nil {
		return 0, errnoOf(err)
	}
	return putInt(dst, int(d/unit))
}

func (k *socket) getEndpointInt(o tcpip.SockOptInt, dst []byte) (int, syscall.Errno) {
	v, err := k.ep.GetSockOptInt(o)
	if err != nil {
		return 0, errnoOf(err)
	}
	return putInt(dst, v)
}

// Values of tcpi_options and of Linux's congestion states, linux/tcp.h.
const (
	tcpiTimestamps = 1
	tcpiSACK       = 2
	caOpen         = 0
	caDisorder     = 1
	caRecovery     = 3
	caLoss         = 4
)

// getTCPInfo fills struct tcp_info with what gVisor reports; the other fields are zero.
func (k *socket) getTCPInfo(dst []byte) (int, syscall.Errno) {
	var info tcpip.TCPInfoOption
	if err := k.ep.GetSockOpt(&info); err != nil {
		return 0, errnoOf(err)
	}
	var b [tcpInfoSize]byte
	put := binary.NativeEndian.PutUint32
	b[0] = uint8(linuxTCPState(k.ep.State()))
	b[1] = uint8(congestionState(info.CcState))
	b[5] = tcpiTimestamps | tcpiSACK
	put(b[8:], uint32(info.RTO.Microseconds()))
	if mss, err := k.ep.GetSockOptInt(tcpip.MaxSegOption); err == nil {
		put(b[16:], uint32(mss)) // tcpi_snd_mss
		put(b[20:], uint32(mss)) // tcpi_rcv_mss
	}
	put(b[60:], defaultMTU) // tcpi_pmtu
	put(b[68:], uint32(info.RTT.Microseconds()))
	put(b[72:], uint32(info.RTTVar.Microseconds()))
	put(b[76:], info.SndSsthresh)
	put(b[80:], info.SndCwnd)
	put(b[88:], 3) // tcpi_reordering, net.ipv4.tcp_reordering's default
	return copy(dst, b[:]), 0
}

// linuxTCPState returns the number of enum tcp_state; gVisor's are the same except for its
// internal states.
func linuxTCPState(state uint32) int {
	switch tcp.EndpointState(state) {
	case tcp.StateInitial, tcp.StateBound, tcp.StateError:
		return int(tcp.StateClose)
	case tcp.StateConnecting:
		return int(tcp.StateSynSent)
	}
	return int(state)
}

func congestionState(s tcpip.CongestionControlState) int {
	switch s {
	case tcpip.RTORecovery:
		return caLoss
	case tcpip.FastRecovery, tcpip.SACKRecovery:
		return caRecovery
	case tcpip.Disorder:
		return caDisorder
	}
	return caOpen
}
