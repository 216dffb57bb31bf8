package netstack

import "net/netip"

// netState is what configuration found out; guarded by Stack.mu.
type netState struct {
	dns        []netip.Addr // from DHCP or ip=
	advertised []netip.Addr // from router advertisements
	search     []string
	raSearch   []string
	hostname   string
	stop       []func()
}

func (s *Stack) setAdvertisedDNS(a []netip.Addr) {
	s.mu.Lock()
	s.net.advertised = a
	s.mu.Unlock()
}

func (s *Stack) setAdvertisedSearch(d []string) {
	s.mu.Lock()
	s.net.raSearch = d
	s.mu.Unlock()
}

// stopConfig ends the clients that keep leases alive.
func (s *Stack) stopConfig() {
	s.mu.Lock()
	stop := s.net.stop
	s.net.stop = nil
	s.mu.Unlock()
	for _, f := range stop {
		f()
	}
}
