package netstack

import (
	"encoding/binary"
	"slices"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// This file has the multicast groups of a socket and the sources that it wants to hear in them,
// ip(7) and RFC 3678. gVisor joins groups; which packets reach the socket is decided by
// memberships.allow, which is asked only by sockets that have limited it.

// memberships are the groups of one socket.
type memberships struct {
	mu     sync.Mutex
	groups []membership
}

// membership is one group on one interface. It begins as one that excludes nobody.
type membership struct {
	nic   tcpip.NICID
	group tcpip.Address
	// include: only from sources; otherwise from all but these.
	include bool
	sources []tcpip.Address
}

// maxSources is net.ipv4.igmp_max_msf, how many sources a membership may list.
const maxSources = 10

// find returns the membership of a group. mu is held.
func (m *memberships) find(nic tcpip.NICID, group tcpip.Address) *membership {
	for i := range m.groups {
		if m.groups[i].nic == nic && m.groups[i].group == group {
			return &m.groups[i]
		}
	}
	return nil
}

func (m *memberships) remove(nic tcpip.NICID, group tcpip.Address) {
	m.groups = slices.DeleteFunc(m.groups, func(g membership) bool { return g.nic == nic && g.group == group })
}

// allow reports whether a packet to a group is one for the socket: ip_mc_sf_allow in Linux's
// net/ipv4/igmp.c. all is whether packets count for groups that the socket has not joined.
func (m *memberships) allow(nic tcpip.NICID, group, source tcpip.Address, all bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.find(nic, group)
	if g == nil {
		return all
	}
	return slices.Contains(g.sources, source) == g.include
}

// wanted is the filter of a socket that has limited what it receives.
func (k *socket) wanted(pkt *stack.PacketBuffer) bool {
	ip := pkt.Network()
	if to := ip.DestinationAddress(); header.IsV4MulticastAddress(to) || header.IsV6MulticastAddress(to) {
		return k.memberships.allow(pkt.NICID, to, ip.SourceAddress(), !k.has(ignoreForeignGroups))
	}
	return !k.icmpDenied(pkt)
}

// limit makes the endpoint ask before it takes a packet (filter.go of the images' copy).
func (k *socket) limit() syscall.Errno {
	ep, ok := k.ep().(filteredEndpoint)
	if !ok {
		return syscall.ENOPROTOOPT
	}
	ep.SetFilter(k.keeps)
	return 0
}

// setMulticastAll is IP_MULTICAST_ALL or IPV6_MULTICAST_ALL. A stream has no groups.
func (k *socket) setMulticastAll(v int) syscall.Errno {
	if v == 0 && k.kind() != streams {
		if e := k.limit(); e != 0 {
			return e
		}
	}
	return k.setFeature(ignoreForeignGroups, 1-v)
}

func (k *socket) multicastAll() (int, syscall.Errno) {
	return boolInt(!k.has(ignoreForeignGroups)), 0
}

// mcastTarget names a group on an interface: by number, or by an address of it, or neither.
type mcastTarget struct {
	nic   tcpip.NICID
	iface tcpip.Address
	group tcpip.Address
}

// resolve checks the group and finds the interface.
func (k *socket) resolve(t mcastTarget) (mcastTarget, syscall.Errno) {
	net := header.IPv4ProtocolNumber
	switch {
	case header.IsV6MulticastAddress(t.group):
		net = header.IPv6ProtocolNumber
	case !header.IsV4MulticastAddress(t.group):
		return t, syscall.EINVAL
	}
	switch {
	case t.nic != 0:
		if !k.stack.stack.HasNIC(t.nic) {
			return t, syscall.ENODEV
		}
	case t.iface.Len() != 0:
		if t.nic = k.stack.stack.CheckLocalAddress(0, net, t.iface); t.nic == 0 {
			return t, syscall.ENODEV
		}
	default:
		t.nic = k.stack.multicastNIC(t.group)
	}
	t.iface = tcpip.Address{}
	return t, 0
}

// join joins a group. include: none of its sources yet.
func (k *socket) join(t mcastTarget, include bool) syscall.Errno {
	if k.kind() == streams {
		return syscall.EPROTO // gVisor's TCP has no memberships
	}
	t, e := k.resolve(t)
	if e != 0 {
		return e
	}
	if err := k.ep().SetSockOpt(&tcpip.AddMembershipOption{NIC: t.nic, MulticastAddr: t.group}); err != nil {
		return errnoOf(err)
	}
	k.memberships.mu.Lock()
	k.memberships.groups = append(k.memberships.groups, membership{nic: t.nic, group: t.group, include: include})
	k.memberships.mu.Unlock()
	k.stack.noteGroup(t.group)
	return 0
}

// leave leaves a group.
func (k *socket) leave(t mcastTarget) syscall.Errno {
	if k.kind() == streams {
		return syscall.EPROTO
	}
	t, e := k.resolve(t)
	if e != 0 {
		return syscall.EADDRNOTAVAIL // no such group has been joined
	}
	if err := k.ep().SetSockOpt(&tcpip.RemoveMembershipOption{NIC: t.nic, MulticastAddr: t.group}); err != nil {
		return errnoOf(err)
	}
	k.memberships.mu.Lock()
	k.memberships.remove(t.nic, t.group)
	k.memberships.mu.Unlock()
	return 0
}

// changeSource adds a source to a membership's list or removes it: ip_mc_source in Linux's
// net/ipv4/igmp.c. The last source of a list of those to hear takes the membership with it.
func (k *socket) changeSource(t mcastTarget, source tcpip.Address, include, add bool) syscall.Errno {
	t, e := k.resolve(t)
	if e != 0 {
		return e
	}
	if e := k.limit(); e != 0 {
		return e
	}
	k.memberships.mu.Lock()
	g := k.memberships.find(t.nic, t.group)
	last := false
	if g == nil {
		e = syscall.EINVAL
	} else {
		last, e = g.change(source, include, add)
	}
	k.memberships.mu.Unlock()
	if last {
		return k.leave(t)
	}
	return e
}

// change changes the list; last: it is empty now, and nobody can be heard.
func (g *membership) change(source tcpip.Address, include, add bool) (last bool, e syscall.Errno) {
	if g.include != include {
		if len(g.sources) != 0 {
			return false, syscall.EINVAL
		}
		g.include = include
	}
	i := slices.Index(g.sources, source)
	switch {
	case add && i >= 0, !add && i < 0:
		return false, syscall.EADDRNOTAVAIL
	case add && len(g.sources) == maxSources:
		return false, syscall.ENOBUFS
	case add:
		g.sources = append(g.sources, source)
		return false, 0
	}
	g.sources = slices.Delete(g.sources, i, i+1)
	return include && len(g.sources) == 0, 0
}

// joinSourceGroup joins a group, unless the socket is in it, and adds a source to hear.
func (k *socket) joinSourceGroup(t mcastTarget, source tcpip.Address) syscall.Errno {
	if e := k.join(t, true); e != 0 && e != syscall.EADDRINUSE {
		return e
	}
	return k.changeSource(t, source, true, true)
}

// sourceFilter is a whole list of sources: struct ip_msfilter and group_filter have these.
type sourceFilter struct {
	include bool
	sources []tcpip.Address
}

// replaceSources is IP_MSFILTER or MCAST_MSFILTER: ip_mc_msfilter in Linux's net/ipv4/igmp.c.
func (k *socket) replaceSources(t mcastTarget, f sourceFilter) syscall.Errno {
	t, e := k.resolve(t)
	if e != 0 {
		return e
	}
	if f.include && len(f.sources) == 0 {
		return k.leave(t)
	}
	if e := k.limit(); e != 0 {
		return e
	}
	k.memberships.mu.Lock()
	defer k.memberships.mu.Unlock()
	g := k.memberships.find(t.nic, t.group)
	if g == nil {
		return syscall.EINVAL
	}
	g.include, g.sources = f.include, f.sources
	return 0
}

func (k *socket) listSources(t mcastTarget) (sourceFilter, syscall.Errno) {
	t, e := k.resolve(t)
	if e != 0 {
		return sourceFilter{}, e
	}
	k.memberships.mu.Lock()
	defer k.memberships.mu.Unlock()
	g := k.memberships.find(t.nic, t.group)
	if g == nil {
		return sourceFilter{}, syscall.EADDRNOTAVAIL
	}
	return sourceFilter{g.include, slices.Clone(g.sources)}, 0
}

// struct icmp_filter of raw(7) has a bit for each of the first 32 types.
const icmpFilterSize = 4

func (k *socket) setICMPFilter(val []byte) syscall.Errno {
	if k.protocol != syscall.IPPROTO_ICMP {
		return syscall.EOPNOTSUPP
	}
	var b [icmpFilterSize]byte
	copy(b[:], val)
	if e := k.limit(); e != 0 {
		return e
	}
	k.icmpDeny.Store(binary.NativeEndian.Uint32(b[:]))
	return 0
}

func (k *socket) getICMPFilter(dst []byte) (int, syscall.Errno) {
	if k.protocol != syscall.IPPROTO_ICMP {
		return 0, syscall.EOPNOTSUPP
	}
	return putInt(dst, int(int32(k.icmpDeny.Load())))
}

// icmpDenied reports whether ICMP_FILTER wants nothing of a packet's type.
func (k *socket) icmpDenied(pkt *stack.PacketBuffer) bool {
	deny := k.icmpDeny.Load()
	h := pkt.TransportHeader().Slice()
	return deny != 0 && len(h) != 0 && h[0] < 32 && deny&(1<<h[0]) != 0
}
