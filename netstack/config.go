package netstack

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// netState is the result of the configuration; guarded by Stack.mu.
type netState struct {
	dns        []netip.Addr // from ip= and nameserver=, then DHCP
	leased     []netip.Addr // from DHCP
	advertised []netip.Addr // from router advertisements
	search     []string     // from DHCP
	raSearch   []string     // from router advertisements
	// the cards over which the servers were learned
	leasedOver, advertisedOver, raSearchOver tcpip.NICID

	hostname string
	stop     []func()
	changed  []func()
}

// ErrNoAddress is returned by Configure when the timeout ends before a DHCP server has
// answered. The client keeps asking.
var ErrNoAddress = errors.New("no DHCP server has answered yet; the machine goes on without an address and keeps asking (ip=off turns this off, ip=ADDRESS/LENGTH::GATEWAY sets one)")

// Configure gives the cards their addresses as the words of the kernel command line say: ip=,
// ip6= and nameserver=. Without an ip= word it uses DHCP on every card. It returns when all
// cards have an address, or after timeout (0: at once); the configuration then continues in
// the background.
func (s *Stack) Configure(words []string, timeout time.Duration) error {
	s.mu.Lock()
	links := slices.Clone(s.links)
	s.mu.Unlock()
	defer s.enableIPv6AfterDelay(links)
	c, err := parseWords(words)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.net.dns = append(s.net.dns, c.dns...)
	s.mu.Unlock()
	var leases sync.WaitGroup
	if !c.hasV4() {
		for _, l := range links {
			s.startDHCP(l, &leases)
		}
	}
	for _, card := range c.cards {
		l, err := findLink(links, card.device)
		if err != nil {
			return err
		}
		s.configureCard(l, &card, &leases)
	}
	return waitFor(&leases, timeout)
}

func (c *netConfig) hasV4() bool {
	return slices.ContainsFunc(c.cards, func(c cardConfig) bool { return !c.v6 })
}

func findLink(links []*Link, device string) (*Link, error) {
	for _, l := range links {
		if device == "" || l.Name() == device {
			return l, nil
		}
	}
	if device == "" {
		return nil, nil // ip= on a machine without a card is no error
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Name())
	}
	return nil, errors.New("ip=: no network card " + strconv.Quote(device) + "; there is " + strings.Join(names, ", "))
}

func (s *Stack) configureCard(l *Link, c *cardConfig, leases *sync.WaitGroup) {
	s.mu.Lock()
	s.net.dns = append(s.net.dns, c.dns...)
	if c.hostname != "" {
		s.net.hostname = c.hostname
	}
	s.mu.Unlock()
	if l != nil && c.v6 != (c.method == methodOff) {
		s.enableIPv6(l) // asked for, or the only family
	}
	switch {
	case l == nil || c.method == methodOff:
	case c.method == methodStatic:
		s.setAddress(l, c.addr)
		if c.gateway.IsValid() {
			s.addDefaultRoute(l, c.gateway)
		}
	case !c.v6: // automatic IPv6 is always on
		s.startDHCP(l, leases)
	}
	s.notifyChanged()
}

// waitFor waits for the first lease of each card.
func waitFor(leases *sync.WaitGroup, timeout time.Duration) error {
	if timeout <= 0 {
		return nil
	}
	done := make(chan struct{})
	go func() {
		leases.Wait()
		close(done)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return ErrNoAddress
	}
}

// startDHCP runs a client for the card until Close or RemoveNIC.
func (s *Stack) startDHCP(l *Link, leases *sync.WaitGroup) {
	ctx, stop := context.WithCancel(context.Background())
	c := newDHCPClient(s, l)
	run := &dhcpRun{stop, make(chan struct{}), c}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.links, l) || l.dhcp != nil {
		stop()
		return
	}
	l.dhcp = run
	s.net.stop = append(s.net.stop, stop)
	leases.Add(1)
	first := sync.OnceFunc(leases.Done)
	go func() {
		defer close(run.ended)
		defer first()
		for ctx.Err() == nil {
			got, server, err := c.acquire(ctx)
			if err != nil {
				return
			}
			s.applyLease(l, got, nil)
			first()
			c.keep(ctx, got, server)
			if ctx.Err() != nil {
				return
			}
			s.log(l.Name(), ": the lease of ", got.addr.String(), " is lost")
			s.dropLease(l, got)
		}
	}()
}

// applyLease configures the card; old is its previous lease, or nil.
func (s *Stack) applyLease(l *Link, got, old *lease) {
	if old != nil && old.addr == got.addr && slices.Equal(old.routers, got.routers) && slices.Equal(old.routes, got.routes) {
		s.setLeased(l, got)
		return
	}
	if old != nil {
		s.dropLease(l, old)
	}
	if got.mtu >= header.IPv6MinimumMTU && got.mtu < l.info.MTU {
		l.SetMTU(uint32(got.mtu))
		s.noteMTU(l.MTU())
	}
	s.setAddress(l, got.addr)
	for _, r := range got.routes {
		s.addRoute(l, r.dst, r.via)
	}
	if len(got.routes) == 0 && len(got.routers) > 0 { // RFC 3442: classless routes replace the router
		s.addDefaultRoute(l, got.routers[0])
	}
	s.setLeased(l, got)
}

func (s *Stack) setLeased(l *Link, got *lease) {
	s.mu.Lock()
	s.net.leased, s.net.search, s.net.leasedOver = got.dns, got.search, l.id
	if s.net.hostname == "" {
		s.net.hostname = got.hostname
	}
	s.mu.Unlock()
	s.notifyChanged()
}

// dropLease removes the address and the IPv4 routes from the card, but for those that programs have
// made.
func (s *Stack) dropLease(l *Link, old *lease) {
	s.stack.RemoveAddress(l.id, tcpipAddr(old.addr.Addr()))
	s.removeRouteEntries(func(r *tcpip.Route) bool { return r.NIC == l.id && !isIPv6(r) })
	s.notifyChanged()
}

// setAddress adds an address and the route to its network.
func (s *Stack) setAddress(l *Link, p netip.Prefix) {
	proto := header.IPv4ProtocolNumber
	if p.Addr().Is6() {
		proto = header.IPv6ProtocolNumber
	}
	a := tcpip.AddressWithPrefix{Address: tcpipAddr(p.Addr()), PrefixLen: p.Bits()}
	err := s.stack.AddProtocolAddress(l.id, tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: a},
		stack.AddressProperties{ConfigType: stack.AddressConfigStatic})
	if err != nil {
		s.log(l.Name(), ": ", p.String(), ": ", err.String())
		return
	}
	s.replaceRouteEntry(tcpip.Route{Destination: a.Subnet(), NIC: l.id})
}

func (s *Stack) addDefaultRoute(l *Link, via netip.Addr) {
	s.addRoute(l, netip.PrefixFrom(unspecified(via), 0), via)
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// addRoute adds a route; an unspecified router means directly connected.
func (s *Stack) addRoute(l *Link, dst netip.Prefix, via netip.Addr) {
	r := tcpip.Route{NIC: l.id}
	r.Destination = tcpip.AddressWithPrefix{Address: tcpipAddr(dst.Addr()), PrefixLen: dst.Bits()}.Subnet()
	if !via.IsUnspecified() {
		r.Gateway = tcpipAddr(via)
	}
	s.addRouteEntry(r)
}

func (s *Stack) setAdvertisedDNS(over tcpip.NICID, a []netip.Addr) {
	s.mu.Lock()
	same := s.net.advertisedOver == over && slices.Equal(s.net.advertised, a)
	s.net.advertised, s.net.advertisedOver = a, over
	s.mu.Unlock()
	if !same {
		s.notifyChanged()
	}
}

func (s *Stack) setAdvertisedSearch(over tcpip.NICID, d []string) {
	var list searchDomains
	for _, name := range d {
		list.add(name)
	}
	s.mu.Lock()
	same := s.net.raSearchOver == over && slices.Equal(s.net.raSearch, list.names)
	s.net.raSearch, s.net.raSearchOver = list.names, over
	s.mu.Unlock()
	if !same {
		s.notifyChanged()
	}
}

// OnChange adds a function to be called after interfaces, addresses, routes or DNS servers have
// changed, on any goroutine.
func (s *Stack) OnChange(f func()) {
	s.mu.Lock()
	s.net.changed = append(slices.Clip(s.net.changed), f)
	s.mu.Unlock()
}

func (s *Stack) notifyChanged() {
	s.mu.Lock()
	list := s.net.changed
	s.mu.Unlock()
	for _, f := range list {
		f()
	}
}

const (
	// maxNameservers is MAXNS of resolv.conf(5).
	maxNameservers = 3
	// maxSearch and maxSearchBytes bound the search domains that one source may give. A resolver
	// asks for a name in all of them; resolv.conf(5) had 6 and 256 until glibc 2.26. A message
	// with compressed names can have hundreds.
	maxSearch, maxSearchBytes = 32, 1024
	// maxRoutes bounds the classless routes of a lease.
	maxRoutes = 64
)

// searchDomains are search domains from the network. Further ones are ignored.
type searchDomains struct {
	names []string
	bytes int
}

func (l *searchDomains) add(name string) {
	text := domainText([]byte(name))
	if text == "" || len(l.names) == maxSearch || l.bytes+len(text) > maxSearchBytes {
		return
	}
	l.names = append(l.names, text)
	l.bytes += len(text)
}

// ResolvConf returns the contents of /etc/resolv.conf: from the command line, or else from the
// DHCP server, or else from router advertisements. It is empty without any of them.
func (s *Stack) ResolvConf() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.net
	servers := slices.Clone(n.dns)
	if len(servers) == 0 {
		servers = slices.Concat(n.leased, n.advertised)
	}
	servers = servers[:min(len(servers), maxNameservers)]
	var b []byte
	if search := slices.Concat(n.search, n.raSearch); len(search) != 0 && len(servers) != 0 {
		b = append(b, "search "+strings.Join(search, " ")+"\n"...)
	}
	for _, a := range servers {
		b = append(b, "nameserver "+a.String()+"\n"...)
	}
	return b
}

// Hostname returns the name from ip= or the DHCP server, or "".
func (s *Stack) Hostname() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.net.hostname
}

// stopConfig stops the clients that renew leases.
func (s *Stack) stopConfig() {
	s.mu.Lock()
	stop := s.net.stop
	s.net.stop = nil
	s.mu.Unlock()
	for _, f := range stop {
		f()
	}
}
