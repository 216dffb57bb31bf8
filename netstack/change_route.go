package netstack

import (
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// How are the modifiers of a request that makes something: netlink(7), "Additional flag bits for NEW
// requests".
type How struct {
	Create    bool // NLM_F_CREATE: it need not be there
	Exclusive bool // NLM_F_EXCL: it must not be there
	Replace   bool // NLM_F_REPLACE: it takes the place of what is there
	Append    bool // NLM_F_APPEND: it comes after what is there
}

// NewRoute is a route that a program asks for.
type NewRoute struct {
	RouteInfo
	OnLink bool // the gateway is on the link, whatever the routes say: RTNH_F_ONLINK
}

// AddRoute adds a route, or changes one. Interface may be 0 if there is a gateway.
func (s *Stack) AddRoute(n NewRoute, how How) syscall.Errno {
	return s.change(func() syscall.Errno {
		s.routes.mu.Lock()
		defer s.routes.mu.Unlock()
		r, e := s.resolve(&n)
		if e != 0 {
			return e
		}
		if isIPv6(&r) && n.Metric == 0 {
			n.Metric = userMetric
		}
		return s.place(r, n.RouteAttributes, how)
	})
}

// resolve checks a route as fib_create_info and ip6_route_info_create of Linux do. routes.mu is held.
func (s *Stack) resolve(n *NewRoute) (r tcpip.Route, e syscall.Errno) {
	dst := n.Destination.Masked()
	if dst != n.Destination && dst.Addr().Is4() {
		return r, syscall.EINVAL
	}
	r.Destination = tcpip.AddressWithPrefix{Address: tcpipAddr(dst.Addr()), PrefixLen: dst.Bits()}.Subnet()
	if r.NIC, e = s.routeCard(n); e != 0 {
		return r, e
	}
	if !s.stack.CheckNIC(r.NIC) {
		return r, syscall.ENETDOWN
	}
	if n.Gateway.IsValid() {
		r.Gateway = tcpipAddr(n.Gateway)
	}
	if n.Source.IsValid() {
		r.SourceHint = tcpipAddr(n.Source)
		if !s.owns(r.NIC, r.SourceHint) {
			return r, syscall.EINVAL
		}
	}
	return r, 0
}

// owns reports whether a card has an address; 0 is any card.
func (s *Stack) owns(id tcpip.NICID, a tcpip.Address) bool {
	for card, list := range s.stack.AllAddresses() {
		for _, o := range list {
			if (id == 0 || id == card) && o.AddressWithPrefix.Address == a {
				return true
			}
		}
	}
	return false
}

// routeCard returns the card of a route: that which it names, if its gateway is there, or else that
// over which the gateway is reached.
func (s *Stack) routeCard(n *NewRoute) (tcpip.NICID, syscall.Errno) {
	id := tcpip.NICID(n.Interface)
	if n.Interface != 0 && !s.stack.HasNIC(id) {
		return 0, syscall.ENODEV
	}
	gateway := n.Gateway
	switch {
	case !gateway.IsValid() && id == 0:
		return 0, syscall.ENODEV
	case !gateway.IsValid():
		return id, 0
	case id != 0 && !s.stack.CheckNIC(id):
		return 0, syscall.ENETDOWN
	case s.owns(0, tcpipAddr(gateway)), gateway.IsMulticast(): // Linux takes an own IPv4 address, which leads nowhere
		return 0, syscall.EINVAL
	case n.OnLink && id == 0:
		return 0, syscall.ENODEV
	case n.OnLink, gateway.IsLinkLocalUnicast() && gateway.Is6() && id != 0:
		return id, 0
	}
	for _, o := range s.stack.GetRouteTable() {
		if o.Gateway.BitLen() == 0 && o.Destination.Contains(tcpipAddr(gateway)) && (id == 0 || id == o.NIC) && o.NIC != loopbackNIC {
			return o.NIC, 0
		}
	}
	switch {
	case gateway.Is4():
		return 0, syscall.ENETUNREACH
	case gateway.IsLinkLocalUnicast():
		return 0, syscall.EINVAL
	}
	return 0, syscall.EHOSTUNREACH
}

// place puts a route in the table, as fib_table_insert and fib6_add_rt2node of Linux do. routes.mu is
// held.
func (s *Stack) place(r tcpip.Route, a RouteAttributes, how How) syscall.Errno {
	var rival *tcpip.Route // the first with the same destination and metric
	same := false          // the route itself is there
	twin := false          // so is one that gVisor cannot tell from it
	for _, o := range s.stack.GetRouteTable() {
		if o.Destination != r.Destination {
			continue
		}
		b, _ := s.routes.attributes(&o)
		if b.Metric == a.Metric && rival == nil {
			rival = &o
		}
		if keyOf(&o) == keyOf(&r) {
			same, twin = b.Metric == a.Metric, true
		}
	}
	switch {
	case rival != nil && how.Exclusive:
		return syscall.EEXIST
	case rival == nil && !how.Create && (!isIPv6(&r) || how.Replace):
		return syscall.ENOENT
	case twin && !same, how.Replace && same && keyOf(rival) != keyOf(&r):
		return syscall.EEXIST // with another metric, or beside that which would be replaced
	case rival != nil && how.Replace:
		old := keyOf(rival)
		s.remove(func(o *tcpip.Route, _ bool) bool { return keyOf(o) == old })
	case twin:
		return syscall.EEXIST
	}
	s.write(r, a, rival != nil && !how.Append && !isIPv6(&r))
	return 0
}

// write adds a route that a program has made. routes.mu is held.
func (s *Stack) write(r tcpip.Route, a RouteAttributes, front bool) {
	t := &s.routes
	if t.written == nil {
		t.written = make(map[routeKey]RouteAttributes)
		t.add = s.addAmong
	}
	t.written[keyOf(&r)] = a
	s.insert(r, front)
}

// addAmong is routeTable.add. routes.mu is held.
func (s *Stack) addAmong(r tcpip.Route, replace bool) {
	if replace {
		s.remove(func(o *tcpip.Route, written bool) bool { return o.Equal(r) && !written })
	}
	if _, taken := s.routes.written[keyOf(&r)]; !taken {
		s.insert(r, false)
	}
}

// insert adds a route, before those with the same prefix length and a higher metric; front: before
// those with the same metric, too. mu is held.
func (s *Stack) insert(r tcpip.Route, front bool) {
	t := &s.routes
	own, _ := t.attributes(&r)
	table := s.stack.GetRouteTable()
	var list []tcpip.Route
	placed := false
	for i := range table {
		if !placed && comesBefore(&r, own.Metric, &table[i], t, front) {
			list = append(list, r)
			placed = true
		}
		list = append(list, table[i])
	}
	if !placed {
		list = append(list, r)
	}
	s.stack.SetRouteTable(list)
}

// comesBefore reports whether r, with a metric, is to stand before o in the table.
func comesBefore(r *tcpip.Route, metric uint32, o *tcpip.Route, t *routeTable, front bool) bool {
	if r.Destination != o.Destination {
		return o.Destination.Prefix() < r.Destination.Prefix()
	}
	a, _ := t.attributes(o)
	return metric < a.Metric || front && metric == a.Metric
}

// RouteMatch are the properties of a route that is to be removed; those that are not given fit all.
type RouteMatch struct {
	Destination netip.Prefix
	Gateway     netip.Addr
	Source      netip.Addr
	Interface   int
	Metric      uint32
	Protocol    uint8
	Scope       uint8 // RT_SCOPE_NOWHERE fits all
}

// RemoveRoute removes the first route that matches; ESRCH if none does.
func (s *Stack) RemoveRoute(m RouteMatch) syscall.Errno {
	return s.change(func() syscall.Errno {
		dst := m.Destination.Masked()
		if dst != m.Destination && dst.Addr().Is4() {
			return syscall.EINVAL
		}
		m.Destination = dst
		s.routes.mu.Lock()
		defer s.routes.mu.Unlock()
		done := false
		n := s.remove(func(r *tcpip.Route, _ bool) bool {
			if done || !s.fits(&m, r) {
				return false
			}
			done = true
			return true
		})
		if n == 0 {
			return syscall.ESRCH
		}
		return 0
	})
}

// fits reports whether r has the properties of m. routes.mu is held.
func (s *Stack) fits(m *RouteMatch, r *tcpip.Route) bool {
	a, _ := s.routes.attributes(r)
	dst := tcpip.AddressWithPrefix{Address: tcpipAddr(m.Destination.Addr()), PrefixLen: m.Destination.Bits()}.Subnet()
	switch {
	case r.Destination != dst,
		m.Interface != 0 && tcpip.NICID(m.Interface) != r.NIC,
		m.Gateway.IsValid() && tcpipAddr(m.Gateway) != r.Gateway,
		m.Source.IsValid() && tcpipAddr(m.Source) != r.SourceHint,
		m.Metric != 0 && m.Metric != a.Metric,
		m.Protocol != 0 && m.Protocol != a.Protocol:
		return false
	}
	return m.Scope == syscall.RT_SCOPE_NOWHERE || m.Scope == a.Scope || r.Destination.ID().Len() == header.IPv6AddressSize
}
