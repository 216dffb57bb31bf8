package netlink

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"syscall"
)

// This file serves requests that change interfaces, addresses and neighbours; write_route.go those for
// routes. What Linux would do and the Writer has no way to do is refused with EOPNOTSUPP, before
// anything is changed, and what Linux refuses with Linux's errno.

// How are the modifiers of requests for something new: netlink(7), "Additional flag bits for NEW
// requests".
type How struct {
	Create, Exclusive, Replace, Append bool
}

// A Writer makes changes. Its methods return 0 or Linux's errno.
type Writer interface {
	// SetLink changes an interface.
	SetLink(index int, c LinkChange) syscall.Errno
	// RemoveLink removes one whose Kind is not "".
	RemoveLink(index int) syscall.Errno
	AddAddress(index int, a NewAddress) syscall.Errno
	// RemoveAddress removes an address if its prefix has that length; -1 is any.
	RemoveAddress(index int, addr netip.Addr, bits int) syscall.Errno
	AddRoute(r NewRoute, how How) syscall.Errno
	// RemoveRoute removes the first route with the properties of r; zero ones fit all.
	RemoveRoute(r Route) syscall.Errno
	// SetNeighbor makes a permanent entry.
	SetNeighbor(n Neighbor, how How) syscall.Errno
	RemoveNeighbor(index int, addr netip.Addr) syscall.Errno
}

// LinkChange is what of an interface is to change.
type LinkChange struct {
	Name string // "": as it is
	MTU  int    // -1: as it is
	Up   *bool  // nil: as it is
}

// NewAddress is an address to be added.
type NewAddress struct {
	Prefix  netip.Prefix // the address, with the prefix length of its network
	Replace bool         // it may be there
	NoRoute bool         // without the route to its network: IFA_F_NOPREFIXROUTE
	Metric  uint32       // of that route
}

// AllowWrites has f serve requests that change the network. It is to be called before there are
// sockets.
func AllowWrites(f *Family, w Writer) {
	f.write = func(a *answer) syscall.Errno { return (&write{a, w}).serve() }
}

// write is the processing of one request for a change.
type write struct {
	*answer
	w Writer
}

func (a *write) serve() syscall.Errno {
	switch a.r.typ {
	case syscall.RTM_NEWADDR, syscall.RTM_DELADDR:
		return a.changeAddress()
	case syscall.RTM_NEWROUTE, syscall.RTM_DELROUTE:
		return a.changeRoute()
	case syscall.RTM_NEWNEIGH, syscall.RTM_DELNEIGH:
		return a.changeNeighbor()
	case syscall.RTM_DELLINK:
		return a.removeLink()
	}
	return a.changeLink()
}

// how returns the request's modifiers.
func (a *write) how() How {
	has := func(flag uint16) bool { return a.r.flags&flag != 0 }
	return How{has(syscall.NLM_F_CREATE), has(syscall.NLM_F_EXCL), has(syscall.NLM_F_REPLACE), has(syscall.NLM_F_APPEND)}
}

// addr returns an attribute with an address of the family; ERANGE if it is shorter. The zero Addr is
// returned if there is no such attribute.
func (a *write) addr(header int, typ uint16, family uint8) (netip.Addr, syscall.Errno) {
	b := a.r.attribute(header, typ)
	if b == nil {
		return netip.Addr{}, 0
	}
	size := 4
	if family == syscall.AF_INET6 {
		size = 16
	}
	if len(b) < size {
		return netip.Addr{}, syscall.ERANGE
	}
	addr, _ := netip.AddrFromSlice(b[:size])
	return addr, 0
}

// number returns an attribute of 32 bits, or other if there is none; ERANGE if it is shorter.
func (a *write) number(header int, typ uint16, other uint32) (uint32, syscall.Errno) {
	b := a.r.attribute(header, typ)
	switch {
	case b == nil:
		return other, 0
	case len(b) < 4:
		return 0, syscall.ERANGE
	}
	return binary.NativeEndian.Uint32(b), 0
}

// has reports whether the request has one of the attributes.
func (a *write) has(header int, types ...uint16) bool {
	for _, t := range types {
		if a.r.attribute(header, t) != nil {
			return true
		}
	}
	return false
}

// Attributes and flags of linux/if_addr.h.
const (
	ifaMetric       = 9 // IFA_RT_PRIORITY
	flagNoDAD       = 0x002
	flagPermanent   = 0x080
	flagNoRoute     = 0x200
	flagsOfAddress  = flagNoDAD | flagPermanent | flagNoRoute
	forever         = 1<<32 - 1
	longestPrefix4  = 32
	longestPrefix6  = 128
	minCacheInfoLen = 8
)

// changeAddress is RTM_NEWADDR and RTM_DELADDR: struct ifaddrmsg.
func (a *write) changeAddress() syscall.Errno {
	b := a.r.body()
	if len(b) < addressSize {
		return syscall.EINVAL
	}
	family, bits, index := b[0], int(b[1]), a.r.index(4)
	if family != syscall.AF_INET && family != syscall.AF_INET6 {
		return syscall.EOPNOTSUPP
	}
	local, e := a.addr(addressSize, syscall.IFA_LOCAL, family)
	if e != 0 {
		return e
	}
	peer, e := a.addr(addressSize, syscall.IFA_ADDRESS, family)
	if e != 0 {
		return e
	}
	if !local.IsValid() && family == syscall.AF_INET6 {
		local = peer
	}
	if a.r.typ == syscall.RTM_DELADDR {
		return a.removeAddress(index, local, peer, bits)
	}
	switch {
	case !local.IsValid(), bits > local.BitLen():
		return syscall.EINVAL
	case find(a.source.Interfaces(), index) == nil:
		return syscall.ENODEV
	case peer.IsValid() && peer != local:
		return syscall.EOPNOTSUPP // a point-to-point address
	}
	return a.addAddress(index, netip.PrefixFrom(local, bits))
}

// removeAddress is RTM_DELADDR: without an address it is the first that fits (inet_rtm_deladdr).
func (a *write) removeAddress(index int, local, peer netip.Addr, bits int) syscall.Errno {
	i := find(a.source.Interfaces(), index)
	if i == nil {
		return syscall.ENODEV
	}
	if local.IsValid() {
		if !peer.IsValid() {
			bits = -1 // inet_rtm_deladdr compares it with IFA_ADDRESS alone
		}
		return a.w.RemoveAddress(index, local, bits)
	}
	if a.r.family() == syscall.AF_INET6 {
		return syscall.EINVAL
	}
	for _, x := range i.Addresses {
		if p := x.Prefix; p.Addr().Is4() && (!peer.IsValid() || p.Bits() == bits && p.Contains(peer)) {
			return a.w.RemoveAddress(index, p.Addr(), p.Bits())
		}
	}
	return syscall.EADDRNOTAVAIL
}

// addAddress is RTM_NEWADDR once the address is known.
func (a *write) addAddress(index int, p netip.Prefix) syscall.Errno {
	flags, e := a.number(addressSize, ifaFlags, uint32(a.r.body()[2]))
	if e != 0 {
		return e
	}
	metric, e := a.number(addressSize, ifaMetric, 0)
	if e != 0 {
		return e
	}
	if e := a.lifetime(); e != 0 {
		return e
	}
	if flags&^flagsOfAddress != 0 || !a.usual(index, p) {
		return syscall.EOPNOTSUPP
	}
	return a.w.AddAddress(index, NewAddress{Prefix: p, Metric: metric, NoRoute: flags&flagNoRoute != 0,
		Replace: a.r.flags&syscall.NLM_F_REPLACE != 0 && a.r.flags&syscall.NLM_F_EXCL == 0})
}

// lifetime looks at struct ifa_cacheinfo: addresses that end are not served.
func (a *write) lifetime() syscall.Errno {
	b := a.r.attribute(addressSize, syscall.IFA_CACHEINFO)
	if b == nil {
		return 0
	}
	if len(b) < minCacheInfoLen {
		return syscall.EINVAL
	}
	preferred, valid := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])
	switch {
	case valid == 0, preferred > valid:
		return syscall.EINVAL
	case valid != forever, preferred != forever:
		return syscall.EOPNOTSUPP
	}
	return 0
}

// usual reports whether the scope, the broadcast address and the label in the request are those that
// every address has here.
func (a *write) usual(index int, p netip.Prefix) bool {
	usual := Address{Prefix: p, Scope: a.r.body()[3]}
	ip := p.Addr()
	switch {
	case usual.Scope == syscall.RT_SCOPE_UNIVERSE:
	case usual.Scope == syscall.RT_SCOPE_LINK && ip.IsLinkLocalUnicast():
	case usual.Scope == syscall.RT_SCOPE_HOST && ip.IsLoopback():
	default:
		return false
	}
	if ip.Is6() {
		return true
	}
	label := a.r.attribute(addressSize, syscall.IFA_LABEL)
	if i := find(a.source.Interfaces(), index); label != nil && string(bytes.TrimRight(label, "\x00")) != i.Name {
		return false
	}
	broadcast := a.r.attribute(addressSize, syscall.IFA_BROADCAST)
	want := lastOf(p).As4()
	return broadcast == nil || bytes.Equal(broadcast, want[:]) || bytes.Equal(broadcast, make([]byte, 4))
}

// lastOf returns the last IPv4 address of a network, its broadcast address.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < longestPrefix4; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// Constants of linux/neighbour.h.
const (
	neighborState = 8 // offset of ndm_state in struct ndmsg
	neighborFlags = 10
	permanent     = 0x80 // NUD_PERMANENT
)

// changeNeighbor is RTM_NEWNEIGH and RTM_DELNEIGH: struct ndmsg.
func (a *write) changeNeighbor() syscall.Errno {
	b := a.r.body()
	if len(b) < neighborSize {
		return syscall.EINVAL
	}
	family, index := b[0], a.r.index(4)
	dst := a.r.attribute(neighborSize, ndaDst)
	i := find(a.source.Interfaces(), index)
	mac := a.r.attribute(neighborSize, ndaLladdr)
	addr, ok := netip.AddrFromSlice(dst)
	switch {
	case dst == nil:
		return syscall.EINVAL
	case i == nil && index != 0:
		return syscall.ENODEV
	case i != nil && mac != nil && len(mac) < len(i.HardwareAddr):
		return syscall.EINVAL
	case family != syscall.AF_INET && family != syscall.AF_INET6:
		return syscall.EAFNOSUPPORT
	case !ok || familyOf(addr) != family, i == nil:
		return syscall.EINVAL
	case b[neighborFlags] != 0:
		return syscall.EOPNOTSUPP
	case a.r.typ == syscall.RTM_DELNEIGH:
		return a.w.RemoveNeighbor(index, addr)
	case binary.NativeEndian.Uint16(b[neighborState:]) != permanent:
		return syscall.EOPNOTSUPP
	}
	return a.w.SetNeighbor(Neighbor{Interface: index, Addr: addr, HardwareAddr: mac, State: permanent}, a.how())
}
