package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

func (k *socket) setIPv6Option(name int, val []byte) syscall.Errno {
	switch name {
	case syscall.IPV6_JOIN_GROUP, syscall.IPV6_LEAVE_GROUP:
		return k.membership6(name, val)
	case mcastJoinGroup, mcastLeaveGroup:
		return k.groupRequest(name == mcastJoinGroup, val)
	}
	v, e := intOf(val)
	if e != 0 {
		return e
	}
	so := k.ep.SocketOptions()
	on := v != 0
	switch name {
	case syscall.IPV6_V6ONLY:
		if k.bound() {
			return syscall.EINVAL
		}
		so.SetV6Only(on)
	case syscall.IPV6_UNICAST_HOPS:
		if v < -1 || v > 255 {
			return syscall.EINVAL
		}
		return errnoOf(k.ep.SetSockOptInt(tcpip.IPv6HopLimitOption, v))
	case syscall.IPV6_MULTICAST_HOPS:
		return k.setMulticastTTL(v)
	case syscall.IPV6_MULTICAST_LOOP:
		if v != 0 && v != 1 {
			return syscall.EINVAL
		}
		so.SetMulticastLoop(on)
	case syscall.IPV6_MULTICAST_IF:
		return errnoOf(k.ep.SetSockOptInt(tcpip.IPv6MulticastInterfaceOption, v))
	case ipv6TClass:
		if v < -1 || v > 255 {
			return syscall.EINVAL
		}
		return errnoOf(k.ep.SetSockOptInt(tcpip.IPv6TrafficClassOption, max(v, 0)))
	case ipv6RecvPktInfo:
		so.SetIPv6ReceivePacketInfo(on)
	case ipv6RecvHopLimit:
		so.SetReceiveHopLimit(on)
	case ipv6RecvTClass:
		so.SetReceiveTClass(on)
	case ipv6RecvErr:
		so.SetIPv6RecvError(on)
	case ipv6OrigDstAddr:
		so.SetReceiveOriginalDstAddress(on)
	case syscall.IPV6_MTU_DISCOVER:
		return k.setMTUDiscover(v)
	case syscall.IPV6_CHECKSUM:
		if k.typ != syscall.SOCK_RAW {
			return syscall.ENOPROTOOPT
		}
		return errnoOf(k.ep.SetSockOptInt(tcpip.IPv6Checksum, v))
	case ipv6DontFrag, ipv6RecvPathMTU, ipv6RecvRtHdr, ipv6RecvHopOpts, ipv6RecvDstOpts, ipv6AddrPref,
		ipv6MinHopCount, ipv6Transparent, ipv6UnicastIf, ipv6Freebind, ipv6AutoFlowLabel,
		ipv6MulticastAll, ipv6FlowInfo, ipv6FlowInfoSend, syscall.IPV6_MTU, syscall.IPV6_ROUTER_ALERT:
		return k.rememberOption(syscall.IPPROTO_IPV6, name, val)
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

// bound reports whether the socket has a local port or a peer.
func (k *socket) bound() bool {
	if k.typ == syscall.SOCK_STREAM {
		return tcp.EndpointState(k.ep.State()) != tcp.StateInitial
	}
	a, err := k.ep.GetLocalAddress()
	return err == nil && k.typ == syscall.SOCK_DGRAM && a.Port != 0
}

func (k *socket) getIPv6Option(name int, dst []byte) (int, syscall.Errno) {
	so := k.ep.SocketOptions()
	switch name {
	case syscall.IPV6_V6ONLY:
		return putBool(dst, so.GetV6Only())
	case syscall.IPV6_UNICAST_HOPS:
		v, err := k.ep.GetSockOptInt(tcpip.IPv6HopLimitOption)
		if err != nil {
			return 0, errnoOf(err)
		}
		if v == tcpip.UseDefaultIPv6HopLimit {
			v = defaultTTL
		}
		return putInt(dst, v)
	case syscall.IPV6_MULTICAST_HOPS:
		return k.getEndpointInt(tcpip.MulticastTTLOption, dst)
	case syscall.IPV6_MULTICAST_LOOP:
		return putBool(dst, so.GetMulticastLoop())
	case syscall.IPV6_MULTICAST_IF:
		return k.getEndpointInt(tcpip.IPv6MulticastInterfaceOption, dst)
	case ipv6TClass:
		return k.getEndpointInt(tcpip.IPv6TrafficClassOption, dst)
	case ipv6RecvPktInfo:
		return putBool(dst, so.GetIPv6ReceivePacketInfo())
	case ipv6RecvHopLimit:
		return putBool(dst, so.GetReceiveHopLimit())
	case ipv6RecvTClass:
		return putBool(dst, so.GetReceiveTClass())
	case ipv6RecvErr:
		return putBool(dst, so.GetIPv6RecvError())
	case ipv6OrigDstAddr:
		return putBool(dst, so.GetReceiveOriginalDstAddress())
	case syscall.IPV6_MTU_DISCOVER:
		return k.getMTUDiscover(dst)
	case syscall.IPV6_MTU:
		return k.getPathMTU(dst)
	case ipv6MulticastAll, ipv6AutoFlowLabel:
		return putInt(dst, k.remembered(syscall.IPPROTO_IPV6, name, 1))
	case ipv6DontFrag, ipv6RecvPathMTU, ipv6RecvRtHdr, ipv6RecvHopOpts, ipv6RecvDstOpts, ipv6AddrPref,
		ipv6MinHopCount, ipv6Transparent, ipv6UnicastIf, ipv6Freebind, ipv6FlowInfo, ipv6FlowInfoSend,
		syscall.IPV6_ROUTER_ALERT:
		return putInt(dst, k.remembered(syscall.IPPROTO_IPV6, name, 0))
	}
	return 0, syscall.ENOPROTOOPT
}

// membership6 reads struct ipv6_mreq: the group and an interface index.
func (k *socket) membership6(name int, val []byte) syscall.Errno {
	if len(val) < 20 {
		return syscall.EINVAL
	}
	group := tcpip.AddrFrom16([16]byte(val))
	if !header.IsV6MulticastAddress(group) {
		return syscall.EINVAL
	}
	nic := tcpip.NICID(int32(binary.NativeEndian.Uint32(val[16:])))
	return k.changeMembership(name == syscall.IPV6_JOIN_GROUP, nic, tcpip.Address{}, group)
}

// setICMPv6Filter reads struct icmp6_filter: a set bit blocks its type
// (RFC 3542 §3.2).
func (k *socket) setICMPv6Filter(val []byte) syscall.Errno {
	var f tcpip.ICMPv6Filter
	for i := range f.DenyType {
		if len(val) < 4*(i+1) {
			break
		}
		f.DenyType[i] = binary.NativeEndian.Uint32(val[4*i:])
	}
	return errnoOf(k.ep.SetSockOpt(&f))
}
