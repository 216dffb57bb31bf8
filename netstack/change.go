package netstack

import (
	"net/netip"
	"slices"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/yolk-unikernel/yolk/kernel"
)

// This file changes interfaces and their addresses as a program asks for it (rtnetlink(7),
// netdevice(7)); routes are in change_route.go. What is refused is refused with Linux's errno.
// Stack.changes makes one change at a time, as Linux's RTNL does.

// change makes a change, and tells of it if it succeeds.
func (s *Stack) change(f func() syscall.Errno) syscall.Errno {
	s.changes.Lock()
	e := f()
	s.changes.Unlock()
	if e == 0 {
		s.notifyChanged()
	}
	return e
}

// card returns an interface's state; ENODEV if there is none with the index.
func (s *Stack) card(index int) (tcpip.NICID, *stack.NICInfo, syscall.Errno) {
	id := tcpip.NICID(index)
	if index <= 0 {
		return 0, nil, syscall.ENODEV
	}
	info, ok := s.stack.SingleNICInfo(id)
	if !ok {
		return 0, nil, syscall.ENODEV
	}
	return id, info, 0
}

// SetUp brings an interface up or takes it down. As on Linux, one that goes down loses its routes and
// its IPv6 addresses, and one that comes up gets the routes to the networks of its addresses.
func (s *Stack) SetUp(index int, up bool) syscall.Errno {
	return s.change(func() syscall.Errno {
		id, info, e := s.card(index)
		switch {
		case e != 0 || info.Flags.Running == up:
			return e
		case up:
			return s.bringUp(id, info)
		}
		return s.takeDown(id, info)
	})
}

func (s *Stack) bringUp(id tcpip.NICID, info *stack.NICInfo) syscall.Errno {
	if err := s.stack.EnableNIC(id); err != nil {
		return errnoOf(err)
	}
	if l := s.linkByID(id); l != nil && l.info.Virtual == "" {
		s.enableIPv6(l) // if it was still to come
	}
	s.linkCameUp(id)
	if info.Flags.Loopback {
		own := tcpip.ProtocolAddress{Protocol: header.IPv6ProtocolNumber, AddressWithPrefix: header.IPv6Loopback.WithPrefix()}
		s.stack.AddProtocolAddress(id, own, stack.AddressProperties{})
	}
	for _, a := range s.stack.AllAddresses()[id] {
		if o := s.options[id][a.AddressWithPrefix.Address]; !o.NoRoute {
			s.connect(id, a.AddressWithPrefix, o.Metric)
		}
	}
	if !info.Flags.Loopback && !s.cfg.DisableIPv6 {
		multicast := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16([16]byte{0xff}), PrefixLen: 8}
		s.connect(id, multicast, 0)
	}
	return 0
}

// linkCameUp tells a Port that its interface is up.
func (s *Stack) linkCameUp(id tcpip.NICID) {
	if l := s.linkByID(id); l != nil {
		if n, ok := l.nic.(portNIC); ok {
			n.p.notify(kernel.EventOut)
		}
	}
}

func (s *Stack) takeDown(id tcpip.NICID, info *stack.NICInfo) syscall.Errno {
	for _, a := range info.ProtocolAddresses {
		if a.Protocol == header.IPv6ProtocolNumber {
			s.stack.RemoveAddress(id, a.AddressWithPrefix.Address)
			delete(s.options[id], a.AddressWithPrefix.Address)
		}
	}
	if err := s.stack.DisableNIC(id); err != nil {
		return errnoOf(err)
	}
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	s.remove(func(r *tcpip.Route, _ bool) bool { return r.NIC == id })
	return 0
}

// connect adds the route to an address's network, if it is not there. Linux has none for an IPv4
// address that is alone, and for 0.0.0.0/8 (fib_add_ifaddr).
func (s *Stack) connect(id tcpip.NICID, a tcpip.AddressWithPrefix, metric uint32) {
	r := tcpip.Route{Destination: a.Subnet(), NIC: id}
	network := r.Destination.ID()
	six := isIPv6(&r)
	if !six && (a.PrefixLen == 32 || network.AsSlice()[0] == 0) {
		return
	}
	if six && metric == 0 {
		metric = kernelMetric
	}
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	for _, o := range s.stack.GetRouteTable() {
		if keyOf(&o) == keyOf(&r) {
			return
		}
	}
	s.write(r, RouteAttributes{Protocol: syscall.RTPROT_KERNEL, Scope: syscall.RT_SCOPE_LINK, Metric: metric}, false)
}

// SetMTU sets the largest IP packet of an interface, in bytes: at least 68 (RFC 791), and at most what
// the card can take.
func (s *Stack) SetMTU(index, mtu int) syscall.Errno {
	return s.change(func() syscall.Errno {
		id, info, e := s.card(index)
		if e != 0 || mtu == int(info.MTU) {
			return e
		}
		l := s.linkByID(id)
		switch {
		case l == nil:
			return syscall.EOPNOTSUPP // gVisor's loopback has one
		case mtu < header.IPv4MinimumMTU || mtu > l.info.MaxMTU:
			return syscall.EINVAL
		}
		l.SetMTU(uint32(mtu))
		s.noteMTU(uint32(mtu))
		return 0
	})
}

// Rename gives a card that is down another name: EBUSY if it is up, EEXIST if the name is taken,
// EINVAL if it is none.
func (s *Stack) Rename(index int, name string) syscall.Errno {
	return s.change(func() syscall.Errno {
		id, info, e := s.card(index)
		if e != 0 || info.Name == name {
			return e
		}
		l := s.linkByID(id)
		_, taken := s.interfaceByName(name)
		switch {
		case !ValidName(name):
			return syscall.EINVAL
		case taken:
			return syscall.EEXIST
		case l == nil || info.Flags.Running:
			return syscall.EBUSY
		}
		s.stack.SetNICName(id, name)
		l.name.Store(&name)
		return 0
	})
}

// nameSize is IFNAMSIZ, linux/if.h: a name with its NUL.
const nameSize = 16

// ValidName reports whether an interface may have the name, as Linux's dev_valid_name.
func ValidName(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) >= nameSize {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; c {
		case '/', ':', ' ', '\t', '\n', '\v', '\f', '\r', 0, 0xa0:
			return false
		}
	}
	return true
}

// AddressOptions say how an address is added.
type AddressOptions struct {
	Replace bool   // it may be there: NLM_F_REPLACE
	NoRoute bool   // without the route to its network: IFA_F_NOPREFIXROUTE
	Metric  uint32 // of that route: IFA_RT_PRIORITY
}

// AddAddress adds an address, with the prefix length of its network, to an interface.
func (s *Stack) AddAddress(index int, p netip.Prefix, o AddressOptions) syscall.Errno {
	return s.change(func() syscall.Errno {
		id, info, e := s.card(index)
		if e != 0 {
			return e
		}
		if e := mayBeOwn(p.Addr(), info.Flags.Loopback); e != 0 {
			return e
		}
		proto := header.IPv4ProtocolNumber
		if p.Addr().Is6() {
			proto = header.IPv6ProtocolNumber
		}
		a := tcpip.AddressWithPrefix{Address: tcpipAddr(p.Addr()), PrefixLen: p.Bits()}
		if o.Replace && slices.Contains(info.ProtocolAddresses, tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: a}) {
			return 0
		}
		err := s.stack.AddProtocolAddress(id, tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: a},
			stack.AddressProperties{ConfigType: stack.AddressConfigStatic})
		if _, same := err.(*tcpip.ErrDuplicateAddress); same {
			return syscall.EEXIST
		}
		if err != nil {
			return errnoOf(err)
		}
		s.keep(id, a.Address, o)
		if info.Flags.Running && !o.NoRoute {
			s.connect(id, a, o.Metric)
		}
		return 0
	})
}

// keep remembers the options of an address, for when its card comes up again. changes is held.
func (s *Stack) keep(id tcpip.NICID, a tcpip.Address, o AddressOptions) {
	if s.options == nil {
		s.options = make(map[tcpip.NICID]map[tcpip.Address]AddressOptions)
	}
	if s.options[id] == nil {
		s.options[id] = make(map[tcpip.Address]AddressOptions)
	}
	s.options[id][a] = o
}

// mayBeOwn returns Linux's errno for an address that no interface, or only the loopback interface, may
// have (inet_rtm_newaddr, ipv6_add_addr).
func mayBeOwn(a netip.Addr, loopback bool) syscall.Errno {
	switch {
	case a.Is6() && (a.IsMulticast() || a.IsUnspecified() || a.IsLoopback() && !loopback):
		return syscall.EADDRNOTAVAIL
	case a.Is4() && (a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})):
		return syscall.EINVAL
	}
	return 0
}

// RemoveAddress removes an address from an interface, if it has that prefix length (-1: any), with the
// route to its network and routes with it as their source. The last IPv4 address takes all IPv4 routes
// of the interface with it.
func (s *Stack) RemoveAddress(index int, addr netip.Addr, bits int) syscall.Errno {
	return s.change(func() syscall.Errno {
		id, info, e := s.card(index)
		if e != 0 {
			return e
		}
		want := tcpipAddr(addr)
		i := slices.IndexFunc(info.ProtocolAddresses, func(a tcpip.ProtocolAddress) bool {
			return a.AddressWithPrefix.Address == want && (bits < 0 || a.AddressWithPrefix.PrefixLen == bits)
		})
		if i < 0 {
			return syscall.EADDRNOTAVAIL
		}
		if err := s.stack.RemoveAddress(id, want); err != nil {
			return syscall.EADDRNOTAVAIL
		}
		delete(s.options[id], want)
		s.disconnect(id, info.ProtocolAddresses[i].AddressWithPrefix)
		return 0
	})
}

// disconnect removes the routes that an address was needed for, which is gone.
func (s *Stack) disconnect(id tcpip.NICID, a tcpip.AddressWithPrefix) {
	network := a.Subnet()
	shared, last := false, true
	for _, o := range s.stack.AllAddresses()[id] {
		shared = shared || o.AddressWithPrefix.Subnet() == network
		last = last && o.Protocol != header.IPv4ProtocolNumber
	}
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	s.remove(func(r *tcpip.Route, written bool) bool {
		attributes, _ := s.routes.attributes(r)
		switch {
		case r.NIC != id || isIPv6(r) != (a.Address.Len() == header.IPv6AddressSize):
			return false
		case r.SourceHint == a.Address, last && !isIPv6(r):
			return true
		}
		return r.Destination == network && !shared && r.Gateway.BitLen() == 0 && attributes.Protocol == syscall.RTPROT_KERNEL
	})
}

// SetNeighbor adds a permanent entry to the ARP or neighbour discovery cache of a card.
func (s *Stack) SetNeighbor(n NeighborInfo, how How) syscall.Errno {
	return s.change(func() syscall.Errno {
		id, _, e := s.card(n.Interface)
		if e != 0 {
			return e
		}
		_, there, e := s.neighbor(id, n.Addr)
		switch {
		case e != 0:
			return e
		case there && how.Exclusive:
			return syscall.EEXIST
		case !there && !how.Create:
			return syscall.ENOENT
		case len(n.HardwareAddr) != header.EthernetAddressSize:
			return syscall.EINVAL
		case there && !how.Replace:
			return 0 // Linux leaves the address, too: NEIGH_UPDATE_F_OVERRIDE
		}
		err := s.stack.AddStaticNeighbor(id, protocolOf(n.Addr), tcpipAddr(n.Addr), tcpip.LinkAddress(n.HardwareAddr))
		if err != nil {
			return errnoOf(err)
		}
		return 0
	})
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}

// neighbor finds an entry; EOPNOTSUPP if the card has no neighbours.
func (s *Stack) neighbor(id tcpip.NICID, a netip.Addr) (stack.NeighborEntry, bool, syscall.Errno) {
	entries, err := s.stack.Neighbors(id, protocolOf(a))
	if err != nil {
		return stack.NeighborEntry{}, false, syscall.EOPNOTSUPP
	}
	for _, n := range entries {
		if n.Addr == tcpipAddr(a) {
			return n, true, 0
		}
	}
	return stack.NeighborEntry{}, false, 0
}

// RemoveNeighbor removes an entry; ENOENT if there is none.
func (s *Stack) RemoveNeighbor(index int, a netip.Addr) syscall.Errno {
	return s.change(func() syscall.Errno {
		id, _, e := s.card(index)
		if e != 0 {
			return e
		}
		_, there, e := s.neighbor(id, a)
		switch {
		case e != 0:
			return e
		case !there:
			return syscall.ENOENT
		}
		if err := s.stack.RemoveNeighbor(id, protocolOf(a), tcpipAddr(a)); err != nil {
			return syscall.ENOENT // it has gone by itself
		}
		return 0
	})
}
