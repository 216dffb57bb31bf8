package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// ipInt reads an option at level IPPROTO_IP, which may also have one byte (ip(7), as on the
// BSDs).
func ipInt(val []byte) (int, syscall.Errno) {
	if len(val) >= 1 && len(val) < 4 {
		return int(val[0]), 0
	}
	return intOf(val)
}

func (k *socket) setIPOption(name int, val []byte) syscall.Errno {
	switch name {
	case syscall.IP_ADD_MEMBERSHIP, syscall.IP_DROP_MEMBERSHIP:
		return k.membership4(name, val)
	case syscall.IP_MULTICAST_IF:
		return k.setMulticastIf4(val)
	case mcastJoinGroup, mcastLeaveGroup:
		return k.groupRequest(name == mcastJoinGroup, val)
	case syscall.IP_ADD_SOURCE_MEMBERSHIP, syscall.IP_DROP_SOURCE_MEMBERSHIP,
		syscall.IP_BLOCK_SOURCE, syscall.IP_UNBLOCK_SOURCE, syscall.IP_OPTIONS:
		return syscall.ENOPROTOOPT
	}
	v, e := ipInt(val)
	if e != 0 {
		return e
	}
	so := k.ep.SocketOptions()
	on := v != 0
	switch name {
	case syscall.IP_TOS:
		return errnoOf(k.ep.SetSockOptInt(tcpip.IPv4TOSOption, v))
	case syscall.IP_TTL:
		if v == -1 {
			v = tcpip.UseDefaultIPv4TTL
		} else if v < 1 || v > 255 {
			return syscall.EINVAL
		}
		return errnoOf(k.ep.SetSockOptInt(tcpip.IPv4TTLOption, v))
	case syscall.IP_HDRINCL:
		if k.typ != syscall.SOCK_RAW {
			return syscall.ENOPROTOOPT
		}
		so.SetHeaderIncluded(on)
	case syscall.IP_MULTICAST_TTL:
		return k.setMulticastTTL(v)
	case syscall.IP_MULTICAST_LOOP:
		so.SetMulticastLoop(on)
	case syscall.IP_MTU_DISCOVER:
		return k.setMTUDiscover(v)
	case syscall.IP_PKTINFO:
		so.SetReceivePacketInfo(on)
	case syscall.IP_RECVTOS:
		so.SetReceiveTOS(on)
	case syscall.IP_RECVTTL:
		so.SetReceiveTTL(on)
	case ipRecvOrigDstAddr:
		so.SetReceiveOriginalDstAddress(on)
	case syscall.IP_RECVERR:
		so.SetIPv4RecvError(on)
	case ipFreebind, ipTransparent, ipBindNoPort, ipMinTTL, ipNoDefrag, ipChecksum, ipMulticastAll,
		ipUnicastIf, ipLocalPortRange, ipRecvOpts, ipRetOpts, ipRouterAlert, ipRecvFragSize:
		return k.rememberOption(syscall.IPPROTO_IP, name, val)
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

func (k *socket) getIPOption(name int, dst []byte) (int, syscall.Errno) {
	so := k.ep.SocketOptions()
	switch name {
	case syscall.IP_TOS:
		return k.getEndpointInt(tcpip.IPv4TOSOption, dst)
	case syscall.IP_TTL:
		v, err := k.ep.GetSockOptInt(tcpip.IPv4TTLOption)
		if err != nil {
			return 0, errnoOf(err)
		}
		if v == tcpip.UseDefaultIPv4TTL {
			v = defaultTTL
		}
		return putInt(dst, v)
	case syscall.IP_HDRINCL:
		return putBool(dst, so.GetHeaderIncluded())
	case syscall.IP_MULTICAST_TTL:
		return k.getEndpointInt(tcpip.MulticastTTLOption, dst)
	case syscall.IP_MULTICAST_LOOP:
		return putBool(dst, so.GetMulticastLoop())
	case syscall.IP_MULTICAST_IF:
		return k.getMulticastIf4(dst)
	case syscall.IP_MTU_DISCOVER:
		return k.getMTUDiscover(dst)
	case ipMTU:
		return k.getPathMTU(dst)
	case syscall.IP_PKTINFO:
		return putBool(dst, so.GetReceivePacketInfo())
	case syscall.IP_RECVTOS:
		return putBool(dst, so.GetReceiveTOS())
	case syscall.IP_RECVTTL:
		return putBool(dst, so.GetReceiveTTL())
	case ipRecvOrigDstAddr:
		return putBool(dst, so.GetReceiveOriginalDstAddress())
	case syscall.IP_RECVERR:
		return putBool(dst, so.GetIPv4RecvError())
	case ipMulticastAll:
		return putInt(dst, k.remembered(syscall.IPPROTO_IP, name, 1))
	case syscall.IP_OPTIONS, ipPktOptions:
		return 0, 0
	case ipFreebind, ipTransparent, ipBindNoPort, ipMinTTL, ipNoDefrag, ipChecksum,
		ipUnicastIf, ipLocalPortRange, ipRecvOpts, ipRetOpts, ipRouterAlert, ipRecvFragSize:
		return putInt(dst, k.remembered(syscall.IPPROTO_IP, name, 0))
	}
	return 0, syscall.ENOPROTOOPT
}

// defaultTTL is net.ipv4.ip_default_ttl.
const defaultTTL = 64

func (k *socket) setMulticastTTL(v int) syscall.Errno {
	if k.typ == syscall.SOCK_STREAM {
		return syscall.EINVAL
	}
	if v == -1 {
		v = 1
	}
	if v < 0 || v > 255 {
		return syscall.EINVAL
	}
	return errnoOf(k.ep.SetSockOptInt(tcpip.MulticastTTLOption, v))
}

// pmtuStrategies are indexed by the value of IP_MTU_DISCOVER (linux/in.h).
var pmtuStrategies = [...]tcpip.PMTUDStrategy{
	syscall.IP_PMTUDISC_DONT:  tcpip.PMTUDiscoveryDont,
	syscall.IP_PMTUDISC_WANT:  tcpip.PMTUDiscoveryWant,
	syscall.IP_PMTUDISC_DO:    tcpip.PMTUDiscoveryDo,
	syscall.IP_PMTUDISC_PROBE: tcpip.PMTUDiscoveryProbe,
	ipPMTUDiscInterface:       tcpip.PMTUDiscoveryProbe,
	ipPMTUDiscOmit:            tcpip.PMTUDiscoveryDont,
}

func (k *socket) setMTUDiscover(v int) syscall.Errno {
	if v < 0 || v >= len(pmtuStrategies) {
		return syscall.EINVAL
	}
	return errnoOf(k.ep.SetSockOptInt(tcpip.MTUDiscoverOption, int(pmtuStrategies[v])))
}

func (k *socket) getMTUDiscover(dst []byte) (int, syscall.Errno) {
	v, err := k.ep.GetSockOptInt(tcpip.MTUDiscoverOption)
	if err != nil {
		return 0, errnoOf(err)
	}
	for linux, s := range pmtuStrategies {
		if s == tcpip.PMTUDStrategy(v) {
			return putInt(dst, linux)
		}
	}
	return 0, syscall.EINVAL
}

// getPathMTU returns the path MTU to the peer of a connected socket, ip(7).
func (k *socket) getPathMTU(dst []byte) (int, syscall.Errno) {
	peer, err := k.ep.GetRemoteAddress()
	if err != nil {
		return 0, syscall.ENOTCONN
	}
	net := header.IPv4ProtocolNumber
	if peer.Addr.Len() == header.IPv6AddressSize {
		net = header.IPv6ProtocolNumber
	}
	r, err := k.stack.stack.FindRoute(peer.NIC, tcpip.Address{}, peer.Addr, net, false)
	if err != nil {
		return 0, errnoOf(err)
	}
	defer r.Release()
	// gVisor's route MTU does not include the IP header.
	overhead := header.IPv4MinimumSize
	if net == header.IPv6ProtocolNumber {
		overhead = header.IPv6MinimumSize
	}
	return putInt(dst, int(r.MTU())+overhead)
}

// membership4 reads struct ip_mreq (8 bytes) or ip_mreqn (12 bytes).
func (k *socket) membership4(name int, val []byte) syscall.Errno {
	if len(val) < 8 {
		return syscall.EINVAL
	}
	group := tcpip.AddrFrom4([4]byte(val))
	if !header.IsV4MulticastAddress(group) {
		return syscall.EINVAL
	}
	iface := addr4(val[4:8])
	var nic tcpip.NICID
	if len(val) >= 12 {
		nic = tcpip.NICID(int32(binary.NativeEndian.Uint32(val[8:])))
	}
	if nic != 0 {
		iface = tcpip.Address{}
	}
	return k.changeMembership(name == syscall.IP_ADD_MEMBERSHIP, nic, iface, group)
}

// changeMembership joins or leaves a group. Without an interface it uses the first card that
// is up; Linux uses the one with the default route.
func (k *socket) changeMembership(join bool, nic tcpip.NICID, iface, group tcpip.Address) syscall.Errno {
	if nic != 0 && !k.stack.stack.HasNIC(nic) {
		return syscall.ENODEV
	}
	if nic == 0 && iface.Len() == 0 {
		nic = k.stack.multicastNIC(group)
	}
	if !join {
		err := k.ep.SetSockOpt(&tcpip.RemoveMembershipOption{NIC: nic, InterfaceAddr: iface, MulticastAddr: group})
		return errnoOf(err)
	}
	err := k.ep.SetSockOpt(&tcpip.AddMembershipOption{NIC: nic, InterfaceAddr: iface, MulticastAddr: group})
	if err == nil {
		k.stack.noteGroup(group)
	}
	return errnoOf(err)
}

// groupRequest reads struct group_req: an interface index and, 8 bytes on, a
// sockaddr_storage with the group (RFC 3678 §5).
func (k *socket) groupRequest(join bool, val []byte) syscall.Errno {
	const groupOffset = 8
	if len(val) < groupOffset+sockaddrInLen {
		return syscall.EINVAL
	}
	nic := tcpip.NICID(int32(binary.NativeEndian.Uint32(val)))
	family, _ := sockaddrFamily(val[groupOffset:])
	if _, e := networkOf(family); e != 0 {
		return syscall.EINVAL
	}
	group, e := decodeSockaddr(family, val[groupOffset:])
	if e != 0 {
		return e
	}
	return k.changeMembership(join, nic, tcpip.Address{}, group.Addr)
}

// setMulticastIf4 reads in_addr, ip_mreq or ip_mreqn.
func (k *socket) setMulticastIf4(val []byte) syscall.Errno {
	var o tcpip.MulticastInterfaceOption
	switch {
	case len(val) >= 12:
		o.NIC = tcpip.NICID(int32(binary.NativeEndian.Uint32(val[8:])))
		o.InterfaceAddr = addr4(val[4:8])
	case len(val) >= 8:
		o.InterfaceAddr = addr4(val[4:8])
	case len(val) >= 4:
		o.InterfaceAddr = addr4(val[:4])
	default:
		return syscall.EINVAL
	}
	if err := k.ep.SetSockOpt(&o); err != nil {
		return errnoOf(err)
	}
	k.stored.mu.Lock()
	k.stored.multicastIf = o.InterfaceAddr
	k.stored.mu.Unlock()
	return 0
}

func (k *socket) getMulticastIf4(dst []byte) (int, syscall.Errno) {
	k.stored.mu.Lock()
	a := k.stored.multicastIf
	k.stored.mu.Unlock()
	var b [4]byte
	copy(b[:], a.AsSlice())
	return copy(dst, b[:]), 0
}

// addr4 makes an address of 4 bytes; the wildcard is the empty one.
func addr4(b []byte) tcpip.Address {
	if [4]byte(b) == [4]byte{} {
		return tcpip.Address{}
	}
	return tcpip.AddrFrom4([4]byte(b))
}
