package netstack

import (
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ipv6Options enables what RFC 4861 and RFC 4862 require of a host: a link-local address,
// router solicitation without delay (the machine has just booted), and routes, addresses and
// DNS servers from router advertisements.
func (s *Stack) ipv6Options() ipv6.Options {
	ndp := ipv6.DefaultNDPConfigurations()
	ndp.MaxRtrSolicitationDelay = 0
	ndp.AutoGenTempGlobalAddresses = false
	if s.cfg.DisableIPv6 {
		ndp = ipv6.NDPConfigurations{}
	}
	return ipv6.Options{
		NDPConfigs:       ndp,
		AutoGenLinkLocal: !s.cfg.DisableIPv6,
		NDPDisp:          &s.ndp,
		MLD:              ipv6.MLDOptions{Enabled: !s.cfg.DisableIPv6},
		// DADConfigs stays zero: DupAddrDetectTransmits = 0, which RFC 4862 §5.1 allows. With
		// duplicate address detection an address could not be used for the first second after
		// boot, and hypervisors assign unique MAC addresses.
	}
}

// IPv6Off reports whether the kernel command line disables IPv6 (Config.DisableIPv6): ip6=off,
// or Linux's ipv6.disable=1.
func IPv6Off(words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		return w == "ip6=off" || w == "ip6=none" || w == "ipv6.disable=1"
	})
}

// postponeIPv6 keeps IPv6 of a card that is not enabled yet down until enableIPv6. Only the
// images' copy of gVisor can do that (netstack/gvisor); otherwise IPv6 starts with the card.
func (s *Stack) postponeIPv6(l *Link) {
	ep, err := s.stack.GetNetworkEndpoint(l.id, ipv6.ProtocolNumber)
	if err != nil {
		return
	}
	if ep, ok := ep.(interface{ Postpone() }); ok {
		ep.Postpone()
	}
}

// enableIPv6 brings up IPv6 of a card, with the routes that it needs: multicast packets
// without a more specific route leave through the card.
func (s *Stack) enableIPv6(l *Link) {
	l.ipv6.Do(func() {
		ep, err := s.stack.GetNetworkEndpoint(l.id, ipv6.ProtocolNumber)
		if err != nil {
			return // the stack is closed
		}
		if err := ep.Enable(); err != nil {
			s.log(l.Name(), ": IPv6: ", err.String())
		}
		if s.cfg.DisableIPv6 {
			return
		}
		multicast := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom16([16]byte{0xff}), PrefixLen: 8}
		s.addRouteEntry(tcpip.Route{Destination: header.IPv6LinkLocalPrefix.Subnet(), NIC: l.id})
		s.addRouteEntry(tcpip.Route{Destination: multicast.Subnet(), NIC: l.id})
	})
}

// enableIPv6AfterDelay brings up IPv6 of the cards after Config.IPv6Delay.
func (s *Stack) enableIPv6AfterDelay(links []*Link) {
	if s.cfg.IPv6Delay == 0 || s.cfg.DisableIPv6 {
		return
	}
	timer := time.AfterFunc(s.cfg.IPv6Delay, func() {
		for _, l := range links {
			s.enableIPv6(l)
		}
		s.notifyChanged()
	})
	s.mu.Lock()
	s.net.stop = append(s.net.stop, func() { timer.Stop() })
	s.mu.Unlock()
}

// configureNDP sets how a card that is not enabled yet uses router advertisements.
func (s *Stack) configureNDP(id tcpip.NICID, c ipv6.NDPConfigurations) {
	ep, err := s.stack.GetNetworkEndpoint(id, ipv6.ProtocolNumber)
	if err != nil {
		return
	}
	if ndp, ok := ep.(ipv6.NDPEndpoint); ok {
		ndp.SetNDPConfigurations(c)
	}
}

// ndpEvents applies router advertisements to the routing table and resolv.conf.
type ndpEvents struct {
	s      *Stack
	routes routeQueue
}

// OnDuplicateAddressDetectionResult implements ipv6.NDPDispatcher.
func (e *ndpEvents) OnDuplicateAddressDetectionResult(_ tcpip.NICID, a tcpip.Address, r stack.DADResult) {
	if _, dup := r.(*stack.DADDupAddrDetected); dup {
		e.s.log("address ", a.String(), " is in use by another machine")
	}
}

// OnOffLinkRouteUpdated implements ipv6.NDPDispatcher.
func (e *ndpEvents) OnOffLinkRouteUpdated(id tcpip.NICID, dst tcpip.Subnet, router tcpip.Address, _ header.NDPRoutePreference) {
	e.routes.set(routeKey{id, dst, router}, true)
}

// OnOffLinkRouteInvalidated implements ipv6.NDPDispatcher.
func (e *ndpEvents) OnOffLinkRouteInvalidated(id tcpip.NICID, dst tcpip.Subnet, router tcpip.Address) {
	e.routes.set(routeKey{id, dst, router}, false)
}

// OnOnLinkPrefixDiscovered implements ipv6.NDPDispatcher.
func (e *ndpEvents) OnOnLinkPrefixDiscovered(id tcpip.NICID, prefix tcpip.Subnet) {
	e.routes.set(routeKey{nic: id, dst: prefix}, true)
}

// OnOnLinkPrefixInvalidated implements ipv6.NDPDispatcher.
func (e *ndpEvents) OnOnLinkPrefixInvalidated(id tcpip.NICID, prefix tcpip.Subnet) {
	e.routes.set(routeKey{nic: id, dst: prefix}, false)
}

// OnAutoGenAddress implements ipv6.NDPDispatcher.
func (e *ndpEvents) OnAutoGenAddress(tcpip.NICID, tcpip.AddressWithPrefix) stack.AddressDispatcher {
	go e.s.notifyChanged() // gVisor holds locks
	return nil
}

// OnAutoGenAddressDeprecated implements ipv6.NDPDispatcher.
func (*ndpEvents) OnAutoGenAddressDeprecated(tcpip.NICID, tcpip.AddressWithPrefix) {}

// OnAutoGenAddressInvalidated implements ipv6.NDPDispatcher.
func (e *ndpEvents) OnAutoGenAddressInvalidated(tcpip.NICID, tcpip.AddressWithPrefix) {
	go e.s.notifyChanged()
}

// OnRecursiveDNSServerOption implements ipv6.NDPDispatcher (RFC 8106 §5.1). A lifetime of zero
// withdraws the servers.
func (e *ndpEvents) OnRecursiveDNSServerOption(id tcpip.NICID, addrs []tcpip.Address, lifetime time.Duration) {
	var servers []netip.Addr
	for _, a := range addrs {
		if addr, ok := addrOf(a); ok && lifetime > 0 && len(servers) < maxNameservers {
			servers = append(servers, addr)
		}
	}
	e.s.setAdvertisedDNS(id, servers)
}

// OnDNSSearchListOption implements ipv6.NDPDispatcher (RFC 8106 §5.2).
func (e *ndpEvents) OnDNSSearchListOption(id tcpip.NICID, domains []string, _ time.Duration) {
	e.s.setAdvertisedSearch(id, domains)
}

// OnDHCPv6Configuration implements ipv6.NDPDispatcher. It does nothing: there is no DHCPv6
// client, only SLAAC.
func (*ndpEvents) OnDHCPv6Configuration(tcpip.NICID, ipv6.DHCPv6ConfigurationFromNDPRA) {}
