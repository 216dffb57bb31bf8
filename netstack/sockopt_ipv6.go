package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// ipv6Options are the options of IPPROTO_IPV6, ipv6(7), RFC 3542 and do_ipv6_setsockopt in Linux's
// net/ipv6/ipv6_sockglue.c.
var ipv6Options = optionLevel{level: syscall.IPPROTO_IPV6, options: []option{
	ipv6AddrForm:                {how: refused, set: (*socket).refuseAddrForm, get: (*socket).addrForm},
	ipv62292PktInfo:             {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv62292HopOpts:             {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv62292DstOpts:             {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv62292RtHdr:               {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv62292PktOptions:          {how: refused, errno: code(syscall.ENOPROTOOPT), noGet: code(syscall.ENOPROTOOPT)},
	syscall.IPV6_CHECKSUM:       {how: acts, on: raws, wrong: code(syscall.ENOPROTOOPT), set: (*socket).setIPv6Checksum, get: (*socket).ipv6Checksum},
	ipv62292HopLimit:            {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv6FlowInfo:                {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	syscall.IPV6_UNICAST_HOPS:   {how: acts, set: (*socket).setHopLimit, get: (*socket).hopLimit},
	syscall.IPV6_MULTICAST_IF:   {how: acts, on: datagrams, wrong: code(syscall.ENOPROTOOPT), set: (*socket).setMulticastIf6, get: (*socket).multicastIf6},
	syscall.IPV6_MULTICAST_HOPS: {how: acts, on: datagrams, wrong: code(syscall.ENOPROTOOPT), set: (*socket).setMulticastHops, get: (*socket).multicastTTL},
	syscall.IPV6_MULTICAST_LOOP: {how: acts, least: 0, most: 1, setFlag: (*tcpip.SocketOptions).SetMulticastLoop,
		getFlag: (*tcpip.SocketOptions).GetMulticastLoop},
	syscall.IPV6_JOIN_GROUP:   {how: acts, setBytes: (*socket).joinGroup6, noGet: code(syscall.ENOPROTOOPT)},
	syscall.IPV6_LEAVE_GROUP:  {how: acts, setBytes: (*socket).leaveGroup6, noGet: code(syscall.ENOPROTOOPT)},
	syscall.IPV6_ROUTER_ALERT: {how: refused, errno: code(syscall.ENOPROTOOPT)},
	syscall.IPV6_MTU_DISCOVER: {how: acts, least: 0, most: ipPMTUDiscOmit, standard: syscall.IPV6_PMTUDISC_WANT,
		set: func(k *socket, v int) syscall.Errno {
			return k.setMTUDiscover(optionKey{syscall.IPPROTO_IPV6, syscall.IPV6_MTU_DISCOVER}, v)
		}},
	syscall.IPV6_MTU: {how: refused, set: refuseMTU, get: (*socket).pathMTU},
	ipv6RecvErr:      {how: acts, setFlag: (*tcpip.SocketOptions).SetIPv6RecvError, getFlag: (*tcpip.SocketOptions).GetIPv6RecvError},
	syscall.IPV6_V6ONLY: {how: acts, flag: true, set: (*socket).setV6Only,
		getFlag: (*tcpip.SocketOptions).GetV6Only},
	ipv6JoinAnycast:      {how: refused, setBytes: refuseAnycast, noGet: code(syscall.ENOPROTOOPT)},
	ipv6LeaveAnycast:     {how: refused, setBytes: refuseAnycast, noGet: code(syscall.ENOPROTOOPT)},
	ipv6MulticastAll:     {how: acts, flag: true, set: (*socket).setMulticastAll, get: (*socket).multicastAll},
	ipv6AlertIsolate:     {how: stored, flag: true},
	ipv6RecvErrRFC4884:   {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true, least: 0, most: 1},
	ipv6FlowLabelManager: {how: refused, setBytes: refuseFlowLabel, getBytes: noFlowLabel},
	ipv6FlowInfoSend:     {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv6IPSecPolicy:      {how: refused, setBytes: refuseIPSecPolicy, noGet: code(syscall.ENOPROTOOPT)},
	ipv6XfrmPolicy:       {how: refused, setBytes: refusePolicy, noGet: code(syscall.ENOPROTOOPT)},

	mcastJoinGroup:        {how: acts, setBytes: (*socket).joinGroupAny6, noGet: code(syscall.ENOPROTOOPT)},
	mcastBlockSource:      {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.blockSource(syscall.AF_INET6, b) }, noGet: code(syscall.ENOPROTOOPT)},
	mcastUnblockSource:    {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.unblockSource(syscall.AF_INET6, b) }, noGet: code(syscall.ENOPROTOOPT)},
	mcastLeaveGroup:       {how: acts, setBytes: (*socket).leaveGroupAny6, noGet: code(syscall.ENOPROTOOPT)},
	mcastJoinSourceGroup:  {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.joinSource(syscall.AF_INET6, b) }, noGet: code(syscall.ENOPROTOOPT)},
	mcastLeaveSourceGroup: {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.leaveSource(syscall.AF_INET6, b) }, noGet: code(syscall.ENOPROTOOPT)},
	mcastMSFilter:         {how: acts, setBytes: func(k *socket, b []byte) syscall.Errno { return k.setSources(syscall.AF_INET6, b) }, getBytes: func(k *socket, b []byte) (int, syscall.Errno) { return k.getSources(syscall.AF_INET6, b) }},
	ipv6RecvPktInfo:       {how: acts, setFlag: (*tcpip.SocketOptions).SetIPv6ReceivePacketInfo, getFlag: (*tcpip.SocketOptions).GetIPv6ReceivePacketInfo},
	ipv6PktInfo:           {how: refused, setBytes: refusePacketInfo, noGet: code(syscall.ENOPROTOOPT)},
	ipv6RecvHopLimit:      {how: acts, setFlag: (*tcpip.SocketOptions).SetReceiveHopLimit, getFlag: (*tcpip.SocketOptions).GetReceiveHopLimit},
	ipv6RecvHopOpts:       {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv6HopOpts:           {how: refused, setBytes: refuseExtension, getBytes: nothing},
	ipv6RtHdrDstOpts:      {how: refused, setBytes: refuseExtension, getBytes: nothing},
	ipv6RecvRtHdr:         {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv6RtHdr:             {how: refused, setBytes: refuseExtension, getBytes: nothing},
	ipv6RecvDstOpts:       {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	ipv6DstOpts:           {how: refused, setBytes: refuseExtension, getBytes: nothing},
	ipv6RecvPathMTU: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setFeature(reportPathMTU, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.feature(reportPathMTU) }},
	ipv6PathMTU:    {how: acts, noSet: true, getBytes: (*socket).getPathMTUInfo},
	ipv6DontFrag:   {how: acts, flag: true, shortIsZero: true, set: (*socket).setDontFragment},
	ipv6RecvTClass: {how: acts, setFlag: (*tcpip.SocketOptions).SetReceiveTClass, getFlag: (*tcpip.SocketOptions).GetReceiveTClass},
	ipv6TClass: {how: acts, least: -1, most: 255, set: func(k *socket, v int) syscall.Errno { return k.setEndpointInt(tcpip.IPv6TrafficClassOption, max(v, 0)) },
		get: func(k *socket) (int, syscall.Errno) { return k.endpointInt(tcpip.IPv6TrafficClassOption) }},
	ipv6AutoFlowLabel: {how: stored, flag: true, shortIsZero: true},
	ipv6AddrPref:      {how: stored, set: (*socket).setAddrPreferences, get: (*socket).addrPreferences},
	ipv6MinHopCount: {how: acts, least: 0, most: 255, set: func(k *socket, v int) syscall.Errno {
		return k.setLeastHops(optionKey{syscall.IPPROTO_IPV6, ipv6MinHopCount}, v)
	}},
	ipv6OrigDstAddr: {how: acts, setFlag: (*tcpip.SocketOptions).SetReceiveOriginalDstAddress, getFlag: (*tcpip.SocketOptions).GetReceiveOriginalDstAddress},
	ipv6Transparent: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setForeign(transparent, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.foreign(transparent) }},
	ipv6UnicastIf:    {how: acts, exact: true, set: (*socket).setUnicastIf, get: (*socket).unicastIf},
	ipv6RecvFragSize: {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true, shortIsZero: true},
	ipv6Freebind: {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setForeign(freebind, v) },
		get: func(k *socket) (int, syscall.Errno) { return k.foreign(freebind) }},
}}

// icmpv6Options are the options of IPPROTO_ICMPV6, RFC 3542 §3.2.
var icmpv6Options = optionLevel{level: syscall.IPPROTO_ICMPV6, options: []option{
	icmpv6Filter: {how: acts, setBytes: (*socket).setICMPv6Filter, getBytes: (*socket).getICMPv6Filter},
}}

// addrForm is IPV6_ADDRFORM: the family, of a connected socket.
func (k *socket) addrForm() (int, syscall.Errno) {
	if _, err := k.ep().GetRemoteAddress(); err != nil {
		return 0, syscall.ENOTCONN
	}
	return k.family, 0
}

// refuseAddrForm makes no AF_INET socket of one with a mapped peer; what Linux refuses, too, it
// refuses alike.
func (k *socket) refuseAddrForm(v int) syscall.Errno {
	if v != syscall.AF_INET {
		return syscall.EINVAL
	}
	peer, err := k.ep().GetRemoteAddress()
	switch {
	case err != nil:
		return syscall.ENOTCONN
	case k.ep().SocketOptions().GetV6Only() || peer.Addr.Len() == header.IPv6AddressSize && !header.IsV4MappedAddress(peer.Addr):
		return syscall.EADDRNOTAVAIL
	}
	return syscall.ENOPROTOOPT
}

func (k *socket) setIPv6Checksum(v int) syscall.Errno {
	return k.setEndpointInt(tcpip.IPv6Checksum, v)
}

func (k *socket) ipv6Checksum() (int, syscall.Errno) {
	if k.kind() != raws {
		return 0, syscall.ENOPROTOOPT
	}
	return k.endpointInt(tcpip.IPv6Checksum)
}

func (k *socket) setHopLimit(v int) syscall.Errno {
	if v < -1 || v > 255 {
		return syscall.EINVAL
	}
	return k.setEndpointInt(tcpip.IPv6HopLimitOption, v)
}

func (k *socket) hopLimit() (int, syscall.Errno) {
	v, e := k.endpointInt(tcpip.IPv6HopLimitOption)
	if v == tcpip.UseDefaultIPv6HopLimit {
		v = defaultTTL
	}
	return v, e
}

func (k *socket) setMulticastHops(v int) syscall.Errno {
	if v < -1 {
		return syscall.EINVAL
	}
	return k.setMulticastTTL(v)
}

func (k *socket) setMulticastIf6(v int) syscall.Errno {
	bound := k.ep().SocketOptions().GetBindToDevice()
	if v != 0 && bound != 0 && int(bound) != v {
		return syscall.EINVAL
	}
	return k.setEndpointInt(tcpip.IPv6MulticastInterfaceOption, v)
}

func (k *socket) multicastIf6() (int, syscall.Errno) {
	if k.kind() == streams {
		return 0, 0
	}
	return k.endpointInt(tcpip.IPv6MulticastInterfaceOption)
}

// refuseMTU is IPV6_MTU, a smaller size for fragments; 0 asks for none.
func refuseMTU(_ *socket, v int) syscall.Errno {
	switch {
	case v == 0:
		return 0
	case v < header.IPv6MinimumMTU:
		return syscall.EINVAL
	}
	return syscall.ENOPROTOOPT
}

func (k *socket) setV6Only(v int) syscall.Errno {
	if k.bound() {
		return syscall.EINVAL
	}
	k.ep().SocketOptions().SetV6Only(v != 0)
	return 0
}

// bound reports whether the socket has a local port or a peer.
func (k *socket) bound() bool {
	if k.typ == syscall.SOCK_STREAM {
		switch tcp.EndpointState(k.ep().State()) {
		case tcp.StateInitial:
			return false
		case tcp.StateError, tcp.StateClose: // it has left its port, unless the program has chosen it
			given := k.given.Load()
			return given != nil && given.Port != 0
		}
		return true
	}
	a, err := k.ep().GetLocalAddress()
	return k.typ == syscall.SOCK_RAW || err == nil && a.Port != 0 // a raw socket's number is its protocol
}

// ipv6MreqSize is sizeof(struct ipv6_mreq): an address and an interface.
const ipv6MreqSize = 20

// refuseAnycast is IPV6_JOIN_ANYCAST and IPV6_LEAVE_ANYCAST without the capability for it.
func refuseAnycast(_ *socket, val []byte) syscall.Errno {
	if len(val) < ipv6MreqSize {
		return syscall.EINVAL
	}
	return syscall.EPERM
}

// flowLabelSize is sizeof(struct in6_flowlabel_req).
const flowLabelSize = 32

func refuseFlowLabel(_ *socket, val []byte) syscall.Errno {
	if len(val) < flowLabelSize {
		return syscall.EINVAL
	}
	return syscall.ENOPROTOOPT
}

func noFlowLabel(_ *socket, dst []byte) (int, syscall.Errno) {
	if len(dst) < flowLabelSize {
		return 0, syscall.EINVAL
	}
	return 0, syscall.ENOENT
}

// refusePacketInfo is IPV6_PKTINFO as an option of the socket: a source and an interface for all
// datagrams. With each datagram they can be given.
func refusePacketInfo(_ *socket, val []byte) syscall.Errno {
	if len(val) < ipv6MreqSize { // struct in6_pktinfo is as large
		return syscall.EINVAL
	}
	return syscall.ENOPROTOOPT
}

// refuseExtension is an extension header for all packets, RFC 3542 §6 to §9. No bytes remove it.
func refuseExtension(_ *socket, val []byte) syscall.Errno {
	switch {
	case len(val) == 0:
		return 0
	case len(val)%8 != 0 || len(val) > 8*255:
		return syscall.EINVAL
	}
	return syscall.ENOPROTOOPT
}

// getPathMTUInfo is IPV6_PATHMTU: struct ip6_mtuinfo, a sockaddr_in6 and the MTU.
func (k *socket) getPathMTUInfo(dst []byte) (int, syscall.Errno) {
	var b [sockaddrIn6Len + 4]byte
	if len(dst) < len(b) {
		return 0, syscall.EINVAL
	}
	mtu, e := k.pathMTU()
	if e != 0 {
		return 0, e
	}
	if peer, err := k.ep().GetRemoteAddress(); err == nil {
		peer.Port = 0
		encodeSockaddr(k.family, peer, b[:])
	}
	binary.NativeEndian.PutUint32(b[sockaddrIn6Len:], uint32(mtu))
	return copy(dst, b[:]), 0
}

// setDontFragment is IPV6_DONTFRAG: see tooLong.
func (k *socket) setDontFragment(v int) syscall.Errno {
	k.keep(optionKey{syscall.IPPROTO_IPV6, ipv6DontFrag}, v)
	discover := k.kept(optionKey{syscall.IPPROTO_IPV6, syscall.IPV6_MTU_DISCOVER}, syscall.IPV6_PMTUDISC_WANT)
	return k.setFeature(dontFragment, boolInt(v != 0 || discover == syscall.IPV6_PMTUDISC_DO || discover == syscall.IPV6_PMTUDISC_PROBE))
}

// Values of IPV6_ADDR_PREFERENCES, RFC 5014: which of temporary and public, home and care-of
// addresses is the source. There are only public home addresses.
const (
	preferTemporary = 0x1
	preferPublic    = 0x2
	preferDefault   = 0x100 // temporary or public: as the system wants
	preferCareOf    = 0x4
	preferHome      = 0x400
	preferCGA       = 0x8
	preferNonCGA    = 0x800
)

// setAddrPreferences takes at most one preference of each kind, as ip6_sock_set_addr_preferences
// does; a kind that is not named stays.
func (k *socket) setAddrPreferences(v int) syscall.Errno {
	key := optionKey{syscall.IPPROTO_IPV6, ipv6AddrPref}
	pref, mask := 0, ^0
	switch v & (preferPublic | preferTemporary | preferDefault) {
	case preferPublic, preferTemporary:
		pref |= v & (preferPublic | preferTemporary)
		mask &^= preferPublic | preferTemporary
	case preferDefault:
		mask &^= preferPublic | preferTemporary
	case 0:
	default:
		return syscall.EINVAL
	}
	switch v & (preferHome | preferCareOf) {
	case preferHome:
		mask &^= preferCareOf
	case preferCareOf:
		pref |= preferCareOf
	case 0:
	default:
		return syscall.EINVAL
	}
	switch v & (preferCGA | preferNonCGA) {
	case preferCGA, preferNonCGA, 0:
	default:
		return syscall.EINVAL
	}
	k.keep(key, k.kept(key, 0)&mask|pref)
	return 0
}

func (k *socket) addrPreferences() (int, syscall.Errno) {
	kept := k.kept(optionKey{syscall.IPPROTO_IPV6, ipv6AddrPref}, 0)
	v := preferDefault
	if kept&(preferPublic|preferTemporary) != 0 {
		v = kept & (preferPublic | preferTemporary)
	}
	if kept&preferCareOf != 0 {
		return v | preferCareOf, 0
	}
	return v | preferHome, 0
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
	return errnoOf(k.ep().SetSockOpt(&f))
}

func (k *socket) getICMPv6Filter(dst []byte) (int, syscall.Errno) {
	var f tcpip.ICMPv6Filter
	if err := k.ep().GetSockOpt(&f); err != nil {
		return 0, errnoOf(err)
	}
	var b [32]byte
	for i, v := range f.DenyType {
		binary.NativeEndian.PutUint32(b[4*i:], v)
	}
	return copy(dst, b[:]), 0
}
