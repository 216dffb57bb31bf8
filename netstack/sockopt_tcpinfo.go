package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// tcpInfoSize is sizeof(struct tcp_info), linux/tcp.h of 6.18. Its last fields, from 248, are those of
// AccECN, which gVisor does not have.
const tcpInfoSize = 280

// Values of tcpi_options and of Linux's congestion states, linux/tcp.h.
const (
	caOpen     = 0
	caDisorder = 1
	caRecovery = 3
	caLoss     = 4
)

// getTCPInfo fills struct tcp_info with what gVisor reports. The images' copy knows more
// (linuxinfo.go).
func (k *socket) getTCPInfo(dst []byte) (int, syscall.Errno) {
	var info tcpip.TCPInfoOption
	if err := k.ep().GetSockOpt(&info); err != nil {
		return 0, errnoOf(err)
	}
	b := make([]byte, tcpInfoSize)
	put := binary.NativeEndian.PutUint32
	state := linuxTCPState(k.ep().State())
	if state == int(tcp.StateTimeWait) {
		state = int(tcp.StateClose) // Linux keeps TIME_WAIT beside the socket (tcp_time_wait)
	}
	b[0] = uint8(state)
	b[1] = uint8(congestionState(info.CcState))
	put(b[8:], uint32(info.RTO.Microseconds()))
	if mss, err := k.ep().GetSockOptInt(tcpip.MaxSegOption); err == nil {
		put(b[16:], uint32(mss)) // tcpi_snd_mss
		put(b[20:], uint32(mss)) // tcpi_rcv_mss
	}
	if mtu, e := k.pathMTU(); e == 0 {
		put(b[60:], uint32(mtu)) // tcpi_pmtu
	}
	put(b[68:], uint32(info.RTT.Microseconds()))
	put(b[72:], uint32(info.RTTVar.Microseconds()))
	put(b[76:], info.SndSsthresh)
	put(b[80:], info.SndCwnd)
	put(b[88:], 3) // tcpi_reordering, net.ipv4.tcp_reordering's default
	if state == int(tcp.StateListen) {
		put(b[24:], uint32(k.waiting()))      // tcpi_unacked
		put(b[28:], uint32(k.backlog.Load())) // tcpi_sacked
	} else if ep, ok := k.ep().(interface{ PutLinuxInfo([]byte) }); ok {
		ep.PutLinuxInfo(b)
	}
	return copy(dst, b), 0
}

// waiting is how many connections of a listener wait for accept(2). On a host without the image's copy of
// gVisor it is 0.
func (k *socket) waiting() int {
	if ep, ok := k.ep().(interface{ Waiting() int }); ok {
		return ep.Waiting()
	}
	return 0
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
