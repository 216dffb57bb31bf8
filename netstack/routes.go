package netstack

import (
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// routeTable is what routes of Linux have and those of gVisor have not.
type routeTable struct {
	// mu is held while gVisor's table is changed, so that whoever reads and then writes it loses
	// nothing. No lock but Stack.changes is held when it is taken.
	mu sync.Mutex
	// written are the routes that programs have made; guarded by mu.
	written map[routeKey]RouteAttributes
	// add adds a route of the machine's own to them, or (replace) in the place of those which it has made
	// to the same destination over the same card; guarded by mu. It is nil as long as no program has
	// made a route: most carry nothing for that.
	add func(r tcpip.Route, replace bool)
}

// RouteAttributes are what a route has besides destination, gateway and card (rtnetlink(7), struct
// rtmsg).
type RouteAttributes struct {
	Protocol uint8  // RTPROT_BOOT and so on
	Scope    uint8  // RT_SCOPE_UNIVERSE and so on
	Metric   uint32 // RTA_PRIORITY: of two routes to one destination the one with the lower is taken
}

// These are metrics of IPv6 routes for which nobody has named one, IP6_RT_PRIO_KERN and
// IP6_RT_PRIO_USER of net/ip6_route.h in Linux. Those of IPv4 have 0.
const (
	kernelMetric = 256
	userMetric   = 1024
)

func keyOf(r *tcpip.Route) routeKey { return routeKey{r.NIC, r.Destination, r.Gateway} }

// attributes returns what is known of a route. mu is held.
func (t *routeTable) attributes(r *tcpip.Route) (a RouteAttributes, written bool) {
	if a, written = t.written[keyOf(r)]; written {
		return a, true
	}
	a.Protocol, a.Scope = syscall.RTPROT_KERNEL, syscall.RT_SCOPE_LINK
	metric := uint32(kernelMetric)
	if r.Gateway.BitLen() != 0 {
		a.Protocol, a.Scope, metric = syscall.RTPROT_BOOT, syscall.RT_SCOPE_UNIVERSE, userMetric
	}
	if isIPv6(r) {
		a.Metric = metric
	}
	return a, false
}

func isIPv6(r *tcpip.Route) bool {
	id := r.Destination.ID()
	return id.Len() == header.IPv6AddressSize
}

// addRouteEntry adds a route that the machine makes for itself.
func (s *Stack) addRouteEntry(r tcpip.Route) {
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	if s.routes.add != nil {
		s.routes.add(r, false)
		return
	}
	s.stack.AddRoute(r)
}

// replaceRouteEntry adds a route that the machine makes for itself, in the place of those which it has
// made to the same destination over the same card.
func (s *Stack) replaceRouteEntry(r tcpip.Route) {
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	if s.routes.add != nil {
		s.routes.add(r, true)
		return
	}
	s.stack.ReplaceRoute(r)
}

// removeRouteEntries removes routes that the machine has made for itself.
func (s *Stack) removeRouteEntries(match func(r *tcpip.Route) bool) {
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	s.remove(func(r *tcpip.Route, written bool) bool { return !written && match(r) })
}

// remove removes routes and returns their number. mu is held.
func (s *Stack) remove(match func(r *tcpip.Route, written bool) bool) int {
	return s.stack.RemoveRoutes(func(r tcpip.Route) bool {
		k := keyOf(&r)
		_, written := s.routes.written[k]
		if !match(&r, written) {
			return false
		}
		delete(s.routes.written, k)
		return true
	})
}
