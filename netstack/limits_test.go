package netstack

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// TestSearchLimits: one message cannot make the list of search domains long.
func TestSearchLimits(t *testing.T) {
	name := []byte{}
	for range 3 {
		name = append(append(name, 63), strings.Repeat("a", 63)...)
	}
	name = append(append(name, 59), strings.Repeat("b", 59)...)
	option := append(name, 0)
	for len(option) < 1150 {
		option = append(option, 0xc0, 0)
	}
	short := []byte{1, 'a', 0}
	for len(short) < 1150 {
		short = append(short, 0xc0, 0)
	}
	s := newStack(t)
	var many []string
	for range 1000 {
		many = append(many, "example.org")
	}
	s.setAdvertisedSearch(2, many)
	for _, list := range [][]string{searchList(option), searchList(short), s.net.raSearch} {
		if n := len(strings.Join(list, "")); len(list) == 0 || len(list) > maxSearch || n > maxSearchBytes {
			t.Errorf("%d search domains with %d bytes; want at most %d and %d", len(list), n, maxSearch, maxSearchBytes)
		}
	}
	routes := make([]byte, 6*200)
	for i := range 200 {
		copy(routes[6*i:], []byte{8, byte(i), 10, 0, 0, 1})
	}
	if n := len(classlessRoutes(routes)); n != maxRoutes {
		t.Errorf("%d classless routes; want %d", n, maxRoutes)
	}
	if n := len(addrList(make([]byte, 0, 4))) + len(addrList([]byte(strings.Repeat("abcd", 100)))); n != maxNameservers {
		t.Errorf("%d addresses; want %d", n, maxNameservers)
	}
}

// icmp6 makes an ICMPv6 packet to the stack from a neighbour.
func icmp6(src netip.Addr, message []byte) []byte {
	dst := netip.MustParseAddr("fd00::2")
	f := packet6(src, syscall.IPPROTO_ICMPV6, message)
	f[14+7] = header.NDPHopLimit
	sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, tcpipAddr(src), tcpipAddr(dst), uint16(len(message)))
	binary.BigEndian.PutUint16(f[14+40+2:], ^checksum.Checksum(message, sum))
	return f
}

// advertisement is a router advertisement with everything that a host takes from one, different
// for each i.
func advertisement(i int) []byte {
	b := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	prefix := []byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i), 0}
	b = append(b, 3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) // prefix information
	b = append(append(b, prefix...), make([]byte, 8)...)
	b = append(append(b, 24, 2, 64, 0, 0, 0, 0x10, 0), prefix...) // route information
	b = append(b, 25, 1+2*60, 0, 0, 0, 0, 0x10, 0)                // DNS servers
	for s := range 60 {
		b = append(append(b, prefix...), 0, 0, 0, 0, 0, 0, 0, byte(s))
	}
	b = append(b, 31, 1+1, 0, 0, 0, 0, 0x10, 0) // search domain
	return append(b, 5, 'd', 'o', 'm', byte('a'+i%26), 'x', 0, 0)
}

// linkLocal is the i-th of many link-local addresses.
func linkLocal(i int) netip.Addr {
	a := netip.MustParseAddr("fe80::1:0:0").As16()
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.AddrFrom16(a)
}

// TestAdvertisementFlood: router advertisements of strangers add a bounded number of routes,
// addresses and goroutines, and little memory.
func TestAdvertisementFlood(t *testing.T) {
	n := newHostile(t, floodRAM)
	before, goroutines := heapInUse(), runtime.NumGoroutine()
	most := 0
	const count = 20_000
	for i := range count {
		n.receive(icmp6(linkLocal(i), advertisement(i)))
		n.frames()
		most = max(most, runtime.NumGoroutine())
		if i%2 == 1 { // withdraw those of the one before
			b := advertisement(i - 1)
			clear(b[6:8])               // router lifetime
			clear(b[16+4 : 16+8])       // valid lifetime of the prefix
			clear(b[16+32+4 : 16+32+8]) // of the route
			n.receive(icmp6(linkLocal(i-1), b))
		}
	}
	waitForQueue(t, n.s)
	grown := heapInUse() - before
	addresses := 0
	for _, i := range n.s.Interfaces() {
		addresses += len(i.Addrs)
	}
	routes := len(n.s.Routes())
	t.Logf("%d routes, %d addresses, %d goroutines more, %d KiB", routes, addresses, most-goroutines, grown>>10)
	// IPv6's are those of gVisor's MaxDiscovered… beside what the stack had before.
	if routes > 6+ipv6.MaxDiscoveredOffLinkRoutes+ipv6.MaxDiscoveredOnLinkPrefixes || routes < 10 {
		t.Errorf("%d routes", routes)
	}
	if addresses > 6+ipv6.MaxDiscoveredSLAACPrefixes {
		t.Errorf("%d addresses", addresses)
	}
	if most-goroutines > 64 {
		t.Errorf("%d goroutines beside those before", most-goroutines)
	}
	if grown > 2<<20 { // with 512 neighbours
		t.Errorf("the heap grows by %d KiB", grown>>10)
	}
	if got := len(n.s.net.advertised); got != maxNameservers {
		t.Errorf("%d DNS servers; want %d", got, maxNameservers)
	}
}

// waitForQueue waits until the routing table is as advertised.
func waitForQueue(t *testing.T, s *Stack) {
	t.Helper()
	for end := time.Now().Add(hang); time.Now().Before(end); time.Sleep(time.Millisecond) {
		q := &s.ndp.routes
		q.mu.Lock()
		idle := !q.running
		q.mu.Unlock()
		if idle {
			return
		}
	}
	t.Fatal("routes are still being changed")
}

// TestRoutesFollowAdvertisements: the routing table ends as the last advertisement says, in
// whatever order the changes came.
func TestRoutesFollowAdvertisements(t *testing.T) {
	n := newHostile(t, 0)
	router := tcpipAddr(linkLocal(1))
	dst := tcpip.AddressWithPrefix{Address: tcpipAddr(netip.MustParseAddr("2001:db8::")), PrefixLen: 48}.Subnet()
	key := routeKey{n.link.id, dst, router}
	for i := range 200 {
		want := i%3 == 0
		for range i % 7 {
			n.s.ndp.routes.set(key, !want)
			n.s.ndp.routes.set(key, want)
		}
		n.s.ndp.routes.set(key, want)
		waitForQueue(t, n.s)
		found := 0
		for _, r := range n.s.stack.GetRouteTable() {
			if r.Destination == dst && r.Gateway == router {
				found++
			}
		}
		if (found == 1) != want || found > 1 {
			t.Fatalf("round %d: the route is in the table %d times; want it there: %v", i, found, want)
		}
	}
}

// TestNeighbourFlood: neighbours that tell their link addresses are remembered in a bounded
// number.
func TestNeighbourFlood(t *testing.T) {
	n := newHostile(t, floodRAM)
	before := heapInUse()
	for i := range 20_000 {
		n.neighbour(fromMany(i))
		solicitation := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr("fd00::2").AsSlice()...)
		n.receive(icmp6(linkLocal(i), append(solicitation, 1, 1, 2, 2, 2, 2, 2, 2)))
		n.frames()
	}
	for _, proto := range []tcpip.NetworkProtocolNumber{header.IPv4ProtocolNumber, header.IPv6ProtocolNumber} {
		list, err := n.s.stack.Neighbors(n.link.id, proto)
		if err != nil || len(list) != stack.NeighborCacheSize {
			t.Errorf("protocol %#x: %d neighbours, %v; want %d", proto, len(list), err, stack.NeighborCacheSize)
		}
	}
	if grown := heapInUse() - before; grown > 2<<20 {
		t.Errorf("the heap grows by %d KiB", grown>>10)
	}
}

// TestNeighbourInUseStays: a neighbour with which there is a connection is not displaced by those
// that a flood makes up, by ARP requests or by SYNs that want an answer.
func TestNeighbourInUseStays(t *testing.T) {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	l := n.listen("80", 16)
	c, _ := n.connect(0, l, 80)
	for i := range 5000 {
		n.neighbour(fromMany(i + 1000))
		stranger := client{n: n, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 1), port: 80}
		stranger.send(flagSYN, nil)
		n.frames()
	}
	list, err := n.s.stack.Neighbors(n.link.id, header.IPv4ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Addr == tcpipAddr(c.addr.Addr()) {
			return
		}
	}
	t.Error("the neighbour of a connection is forgotten")
}
