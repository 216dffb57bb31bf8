package netstack

import (
	"encoding/binary"
	"math/bits"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// ipOptions are the options of IPPROTO_IP, ip(7) and do_ip_setsockopt in Linux's
// net/ipv4/ip_sockglue.c.
var ipOptions = optionLevel{level: syscall.IPPROTO_IP, bytes: true, options: []option{
	syscall.IP_TOS:     {how: acts, set: (*socket).setTOS, get: func(k *socket) (int, syscall.Errno) { return k.endpointInt(tcpip.IPv4TOSOption) }},
	syscall.IP_TTL:     {how: acts, atLeastByte: true, set: (*socket).setTTL, get: (*socket).ttl},
	syscall.IP_HDRINCL: {how: acts, on: raws, wrong: code(syscall.ENOPROTOOPT), setFlag: (*tcpip.SocketOptions).SetHeaderIncluded, getFlag: (*tcpip.SocketOptions).GetHeaderIncluded},
	syscall.IP_OPTIONS: {how: refused, setBytes: refuseIPOptions, getBytes: nothing},
	ipRouterAlert:      {how: stored, flag: true, on: raws, wrong: code(syscall.EINVAL), set: (*socket).setRouterAlert},
	ipRecvOpts:         {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipRetOpts:          {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	syscall.IP_PKTINFO: {how: acts, setFlag: (*tcpip.SocketOptions).SetReceivePacketInfo, getFlag: (*tcpip.SocketOptions).GetReceivePacketInfo},
	ipPktOptions:       {how: refused, noSet: true, getBytes: (*socket).noPacketOptions},
	syscall.IP_MTU_DISCOVER: {how: acts, least: 0, most: ipPMTUDiscOmit, standard: syscall.IP_PMTUDISC_WANT,
		set: func(k *socket, v int) syscall.Errno {
			return k.setMTUDiscover(optionKey{syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER}, v)
		}},
	syscall.IP_RECVERR: {how: acts, setFlag: (*tcpip.SocketOptions).SetIPv4RecvError, getFlag: (*tcpip.SocketOptions).GetIPv4RecvError},
	syscall.IP_RECVTTL: {how: acts, setFlag: (*tcpip.SocketOptions).SetReceiveTTL, getFlag: (*tcpip.SocketOptions).GetReceiveTTL},
	syscall.IP_RECVTOS: {how: acts, setFlag: (*tcpip.SocketOptions).SetReceiveTOS, getFlag: (*tcpip.SocketOptions).GetReceiveTOS},
	ipMTU:              {how: acts, noSet: true, get: (*socket).pathMTU},
	ipFreebind: {how: acts, atLeastByte: true, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setForeign(freebind, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.foreign(freebind) }},
	ipIPSecPolicy: {how: refused, setBytes: refuseIPSecPolicy, noGet: code(syscall.ENOPROTOOPT)},
	ipXfrmPolicy:  {how: refused, setBytes: refusePolicy, noGet: code(syscall.ENOPROTOOPT)},
	ipPassSec:     {how: stored, flag: true},
	ipTransparent: {how: acts, atLeastByte: true, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setForeign(transparent, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.foreign(transparent) }},
	ipRecvOrigDstAddr: {how: acts, setFlag: (*tcpip.SocketOptions).SetReceiveOriginalDstAddress, getFlag: (*tcpip.SocketOptions).GetReceiveOriginalDstAddress},
	ipMinTTL:          {how: acts, atLeastByte: true, least: 0, most: 255, set: (*socket).setMinTTL},
	ipNoDefrag:        {how: stored, flag: true, on: raws, wrong: code(syscall.ENOPROTOOPT)},
	ipChecksum:        {how: stored, flag: true},
	ipBindNoPort:      {how: acts, flag: true},
	ipRecvFragSize:    {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true, on: datagrams, wrong: code(syscall.EINVAL)},
	ipRecvErrRFC4884:  {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true, least: 0, most: 1},

	syscall.IP_MULTICAST_IF:  {how: acts, on: datagrams, wrong: code(syscall.EINVAL), setBytes: (*socket).setMulticastIf4, getBytes: (*socket).getMulticastIf4},
	syscall.IP_MULTICAST_TTL: {how: acts, atLeastByte: true, on: datagrams, wrong: code(syscall.EINVAL), set: (*socket).setMulticastTTL, get: (*socket).multicastTTL},
	syscall.IP_MULTICAST_LOOP: {how: acts, atLeastByte: true, setFlag: (*tcpip.SocketOptions).SetMulticastLoop,
		getFlag: (*tcpip.SocketOptions).GetMulticastLoop},
	syscall.IP_ADD_MEMBERSHIP:         {how: acts, on: datagrams, wrong: code(syscall.EPROTO), setBytes: (*socket).addMembership4, noGet: code(syscall.ENOPROTOOPT)},
	syscall.IP_DROP_MEMBERSHIP:        {how: acts, on: datagrams, wrong: code(syscall.EPROTO), setBytes: (*socket).dropMembership4, noGet: code(syscall.ENOPROTOOPT)},
	syscall.IP_UNBLOCK_SOURCE:         {how: acts, setBytes: (*socket).unblockSource4, noGet: code(syscall.ENOPROTOOPT)},
	syscall.IP_BLOCK_SOURCE:           {how: acts, setBytes: (*socket).blockSource4, noGet: code(syscall.ENOPROTOOPT)},
	syscall.IP_ADD_SOURCE_MEMBERSHIP:  {how: acts, setBytes: (*socket).addSource4, noGet: code(syscall.ENOPROTOOPT)},
	syscall.IP_DROP_SOURCE_MEMBERSHIP: {how: acts, setBytes: (*socket).dropSource4, noGet: code(syscall.ENOPROTOOPT)},
	ipMSFilter:                        {how: acts, setBytes: (*socket).setSources4, getBytes: (*socket).getSources4},
	mcastJoinGroup:                    {how: acts, setBytes: (*socket).joinGroup4, noGet: code(syscall.ENOPROTOOPT)},
	mcastBlockSource:                  {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.blockSource(syscall.AF_INET, b) }, noGet: code(syscall.ENOPROTOOPT)},
	mcastUnblockSource:                {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.unblockSource(syscall.AF_INET, b) }, noGet: code(syscall.ENOPROTOOPT)},
	mcastLeaveGroup:                   {how: acts, setBytes: (*socket).leaveGroup4, noGet: code(syscall.ENOPROTOOPT)},
	mcastJoinSourceGroup:              {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.joinSource(syscall.AF_INET, b) }, noGet: code(syscall.ENOPROTOOPT)},
	mcastLeaveSourceGroup:             {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.leaveSource(syscall.AF_INET, b) }, noGet: code(syscall.ENOPROTOOPT)},
	mcastMSFilter:                     {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.setSources(syscall.AF_INET, b) }, getBytes: func(k *socket, b []byte) (int, syscall.Errno) { return k.getSources(syscall.AF_INET, b) }},
	ipMulticastAll:                    {how: acts, atLeastByte: true, least: 0, most: 1, set: (*socket).setMulticastAll, get: (*socket).multicastAll},
	ipUnicastIf:                       {how: acts, exact: true, set: (*socket).setUnicastIf, get: (*socket).unicastIf},
	ipLocalPortRange:                  {how: acts, exact: true, set: (*socket).setPortRange, get: (*socket).portRange},
	ipProtocol:                        {how: acts, noSet: true, get: (*socket).number},
}}

// rawOptions are the options of SOL_RAW, raw(7).
var rawOptions = optionLevel{level: syscall.SOL_RAW, options: []option{
	icmpFilterOpt: {how: acts, setBytes: (*socket).setICMPFilter, getBytes: (*socket).getICMPFilter},
}}

// maxIPOptions is the most that an IPv4 header has room for, in bytes.
const maxIPOptions = 40

// refuseIPOptions is IP_OPTIONS: gVisor sends no options of a program's, so that only their absence
// can be asked for.
func refuseIPOptions(_ *socket, val []byte) syscall.Errno {
	switch {
	case len(val) > maxIPOptions:
		return syscall.EINVAL
	case len(val) == 0:
		return 0
	case !wellFormed(val):
		return syscall.EINVAL
	}
	return syscall.ENOPROTOOPT
}

// wellFormed reports whether b is a list of IPv4 options (RFC 791 §3.1): a type each, and a length
// unless the type is the end of the list or no operation.
func wellFormed(b []byte) bool {
	const end, noOperation = 0, 1
	for len(b) > 0 && b[0] != end {
		n := 1
		if b[0] != noOperation {
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				return false
			}
			n = int(b[1])
		}
		b = b[n:]
	}
	return true
}

// refusePolicy is an IPsec policy that nothing in the kernel understands.
func refusePolicy(_ *socket, val []byte) syscall.Errno {
	if len(val) == 0 {
		return syscall.EMSGSIZE
	}
	return syscall.EINVAL
}

func refuseIPSecPolicy(k *socket, val []byte) syscall.Errno {
	if e := refusePolicy(k, val); e != syscall.EINVAL {
		return e
	}
	return syscall.EOPNOTSUPP
}

// noPacketOptions is IP_PKTOPTIONS: what came with a stream's packets, as control messages. There
// are none unless an option asks for them, and then gVisor does not know.
func (k *socket) noPacketOptions([]byte) (int, syscall.Errno) {
	so := k.ep().SocketOptions()
	if k.kind() != streams || so.GetReceivePacketInfo() || so.GetReceiveTTL() || so.GetReceiveTOS() {
		return 0, syscall.ENOPROTOOPT
	}
	return 0, 0
}

// number is IP_PROTOCOL: inet_num of Linux's struct inet_sock, the protocol of a raw socket and the
// port of another.
func (k *socket) number() (int, syscall.Errno) {
	if k.kind() == raws {
		return k.protocol, 0
	}
	a, err := k.ep().GetLocalAddress()
	if err != nil {
		return 0, 0
	}
	return int(a.Port), 0
}

// setTOS is IP_TOS, which chooses SO_PRIORITY, too.
func (k *socket) setTOS(v int) syscall.Errno {
	if e := k.setEndpointInt(tcpip.IPv4TOSOption, v); e != 0 {
		return e
	}
	k.keep(optionKey{syscall.SOL_SOCKET, syscall.SO_PRIORITY}, tosPriority(v))
	return 0
}

// tosPriority is the priority of a type of service: ip_tos2prio in Linux's net/ipv4/route.c.
func tosPriority(tos int) int {
	const bestEffort, bulk, interactive, interactiveBulk = 0, 2, 6, 4
	return [...]int{bestEffort, bulk, interactive, interactiveBulk}[tos>>3&3]
}

func (k *socket) setTTL(v int) syscall.Errno {
	if v == -1 {
		v = tcpip.UseDefaultIPv4TTL
	} else if v < 1 || v > 255 {
		return syscall.EINVAL
	}
	return k.setEndpointInt(tcpip.IPv4TTLOption, v)
}

// defaultTTL is net.ipv4.ip_default_ttl.
const defaultTTL = 64

func (k *socket) ttl() (int, syscall.Errno) {
	v, e := k.endpointInt(tcpip.IPv4TTLOption)
	if v == tcpip.UseDefaultIPv4TTL {
		v = defaultTTL
	}
	return v, e
}

// setRouterAlert is IP_ROUTER_ALERT: a router would pass such packets of others to the socket.
func (k *socket) setRouterAlert(v int) syscall.Errno {
	key := optionKey{syscall.IPPROTO_IP, ipRouterAlert}
	switch was := k.kept(key, 0); {
	case k.protocol == syscall.IPPROTO_RAW:
		return syscall.EINVAL
	case v != 0 && was != 0:
		return syscall.EADDRINUSE
	case v == 0 && was == 0:
		return syscall.ENOBUFS // as ip_ra_control answers
	}
	k.keep(key, v)
	return 0
}

func (k *socket) setMulticastTTL(v int) syscall.Errno {
	if v == -1 {
		v = 1
	}
	if v < 0 || v > 255 {
		return syscall.EINVAL
	}
	return k.setEndpointInt(tcpip.MulticastTTLOption, v)
}

func (k *socket) multicastTTL() (int, syscall.Errno) { return k.endpointInt(tcpip.MulticastTTLOption) }

// pmtuStrategies are indexed by the value of IP_MTU_DISCOVER (linux/in.h).
var pmtuStrategies = [...]tcpip.PMTUDStrategy{
	syscall.IP_PMTUDISC_DONT:  tcpip.PMTUDiscoveryDont,
	syscall.IP_PMTUDISC_WANT:  tcpip.PMTUDiscoveryWant,
	syscall.IP_PMTUDISC_DO:    tcpip.PMTUDiscoveryDo,
	syscall.IP_PMTUDISC_PROBE: tcpip.PMTUDiscoveryProbe,
	ipPMTUDiscInterface:       tcpip.PMTUDiscoveryProbe,
	ipPMTUDiscOmit:            tcpip.PMTUDiscoveryDont,
}

// setMTUDiscover is IP_MTU_DISCOVER or IPV6_MTU_DISCOVER. A datagram that may not be fragmented and
// is larger than the MTU is refused: see tooLong.
func (k *socket) setMTUDiscover(key optionKey, v int) syscall.Errno {
	if e := k.setEndpointInt(tcpip.MTUDiscoverOption, int(pmtuStrategies[v])); e != 0 {
		return e
	}
	k.keep(key, v)
	return k.setFeature(dontFragment, boolInt(v == syscall.IP_PMTUDISC_DO || v == syscall.IP_PMTUDISC_PROBE || k.kept(optionKey{syscall.IPPROTO_IPV6, ipv6DontFrag}, 0) != 0))
}

// maxIPPacket is IP_MAX_MTU, the largest IP packet and so the largest MTU that counts.
const maxIPPacket = 0xffff

// pathMTU returns the path MTU to the peer of a connected socket, ip(7).
func (k *socket) pathMTU() (int, syscall.Errno) {
	peer, err := k.ep().GetRemoteAddress()
	if err != nil {
		return 0, syscall.ENOTCONN
	}
	return k.mtuTo(peer)
}

// mtuTo returns the MTU of the route to an address.
func (k *socket) mtuTo(to tcpip.FullAddress) (int, syscall.Errno) {
	net, overhead, most := header.IPv4ProtocolNumber, header.IPv4MinimumSize, maxIPPacket
	if to.Addr.Len() == header.IPv6AddressSize && !header.IsV4MappedAddress(to.Addr) {
		net, overhead, most = header.IPv6ProtocolNumber, header.IPv6MinimumSize, maxIPPacket+header.IPv6MinimumSize
	} else if to.Addr.Len() == header.IPv6AddressSize {
		b := to.Addr.As16()
		to.Addr = tcpip.AddrFrom4([4]byte(b[12:]))
	}
	r, err := k.stack.stack.FindRoute(to.NIC, tcpip.Address{}, to.Addr, net, false)
	if err != nil {
		return 0, errnoOf(err)
	}
	defer r.Release()
	return min(int(r.MTU())+overhead, most), 0
}

// setMinTTL is IP_MINTTL, which only TCP looks at.
func (k *socket) setMinTTL(v int) syscall.Errno {
	return k.setLeastHops(optionKey{syscall.IPPROTO_IP, ipMinTTL}, v)
}

// setLeastHops keeps IP_MINTTL or IPV6_MINHOPCOUNT, and tells gVisor's TCP (leasthops.go of the
// images' copy).
func (k *socket) setLeastHops(key optionKey, v int) syscall.Errno {
	if k.kind() == streams {
		ep, ok := k.ep().(interface{ SetLeastHops(ipv6 bool, least uint8) })
		if !ok {
			return syscall.ENOPROTOOPT
		}
		ep.SetLeastHops(key.level == syscall.IPPROTO_IPV6, uint8(v))
	}
	k.keep(key, v)
	return 0
}

// setUnicastIf is IP_UNICAST_IF or IPV6_UNICAST_IF: the interface, in network byte order, for
// packets of a socket that is bound to none.
func (k *socket) setUnicastIf(v int) syscall.Errno {
	index := int32(bits.ReverseBytes32(uint32(v)))
	bound := k.ep().SocketOptions().GetBindToDevice()
	switch {
	case index != 0 && !k.stack.stack.HasNIC(tcpip.NICID(index)):
		return syscall.EADDRNOTAVAIL
	case index != 0 && bound != 0 && bound != index:
		return syscall.EINVAL
	}
	k.unicastNIC.Store(index)
	return 0
}

func (k *socket) unicastIf() (int, syscall.Errno) {
	return int(int32(bits.ReverseBytes32(uint32(k.unicastNIC.Load())))), 0
}

// setPortRange is IP_LOCAL_PORT_RANGE: the first and the last port for a bind without one, in the
// halves of a number; 0 is the system's.
func (k *socket) setPortRange(v int) syscall.Errno {
	low, high := uint16(v), uint16(v>>16)
	if low != 0 && high != 0 && low > high {
		return syscall.EINVAL
	}
	k.ports.Store(uint32(v))
	return k.setFeature(bindPending, 1)
}

func (k *socket) portRange() (int, syscall.Errno) { return int(int32(k.ports.Load())), 0 }

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
	if o.InterfaceAddr == header.IPv4Broadcast {
		return syscall.EADDRNOTAVAIL
	}
	if err := k.ep().SetSockOpt(&o); err != nil {
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
