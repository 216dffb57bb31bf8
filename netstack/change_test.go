package netstack

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// shown returns a card's IPv4 addresses, and the destinations and gateways of its IPv4 routes.
func shown(s *Stack, index int) (list []string) {
	for _, i := range s.Interfaces() {
		for _, a := range i.Addrs {
			if i.Index == index && a.Addr.Is4() {
				list = append(list, "address "+netip.PrefixFrom(a.Addr, a.Bits).String())
			}
		}
	}
	for _, r := range s.Routes() {
		if r.Interface == index && r.Destination.Addr().Is4() {
			list = append(list, "route "+r.Destination.String()+" by "+r.Gateway.String())
		}
	}
	slices.Sort(list)
	return list
}

// A lease and what a program adds are side by side: each goes without the other.
func TestLeaseBesideProgram(t *testing.T) {
	s := newStack(t)
	l, e := s.AddNIC(idleNIC{}, "eth0")
	if e != 0 {
		t.Fatal(e)
	}
	check := func(what string, want ...string) {
		t.Helper()
		if got := shown(s, l.Index()); !slices.Equal(got, want) {
			t.Errorf("%s: %q; want %q", what, got, want)
		}
	}
	first := &lease{addr: prefixes("10.0.0.5/24")[0], routers: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	s.applyLease(l, first, nil)
	machine := []string{"address 10.0.0.5/24", "route 0.0.0.0/0 by 10.0.0.1", "route 10.0.0.0/24 by invalid IP"}
	check("the lease", machine...)

	own := prefixes("10.7.0.1/16")[0]
	if e := s.AddAddress(l.Index(), own, AddressOptions{}); e != 0 {
		t.Fatal(e)
	}
	route := NewRoute{RouteInfo: RouteInfo{Destination: prefixes("10.8.0.0/16")[0], Gateway: netip.MustParseAddr("10.7.0.2"),
		RouteAttributes: RouteAttributes{Protocol: syscall.RTPROT_STATIC}}}
	if e := s.AddRoute(route, How{Create: true}); e != 0 {
		t.Fatal(e)
	}
	program := []string{"address 10.7.0.1/16", "route 10.7.0.0/16 by invalid IP", "route 10.8.0.0/16 by 10.7.0.2"}
	both := func(a []string) []string { return slices.Sorted(slices.Values(append(slices.Clone(a), program...))) }
	check("and the program", both(machine)...)

	second := &lease{addr: prefixes("10.0.1.6/24")[0], routers: []netip.Addr{netip.MustParseAddr("10.0.1.1")}}
	s.applyLease(l, second, first)
	check("another lease", both([]string{"address 10.0.1.6/24", "route 0.0.0.0/0 by 10.0.1.1", "route 10.0.1.0/24 by invalid IP"})...)

	if e := s.RemoveAddress(l.Index(), second.addr.Addr(), 24); e != 0 {
		t.Fatal(e)
	}
	s.applyLease(l, second, second)
	check("its address removed, and renewed", both([]string{"route 0.0.0.0/0 by 10.0.1.1"})...)

	s.dropLease(l, second)
	check("the lease is lost", program...)
	s.applyLease(l, first, nil)
	if e := s.RemoveAddress(l.Index(), own.Addr(), 16); e != 0 {
		t.Fatal(e)
	}
	check("the program's address removed", append(slices.Clone(machine), "route 10.8.0.0/16 by 10.7.0.2")...)
}
