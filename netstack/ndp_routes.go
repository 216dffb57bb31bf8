package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// routeQueue applies the routes of router advertisements to the routing table, in order and on a
// goroutine of its own: gVisor reports them with a lock held that the table's users need. What
// has not been applied yet and is withdrawn leaves no trace, so the queue has no more entries
// than routes that gVisor has accepted, 20 per card, whatever a hostile network advertises.
type routeQueue struct {
	s *Stack

	mu      sync.Mutex // guards all below
	waiting []routeChange
	applied map[routeKey]bool // routes that are in the table, or on their way there
	running bool
}

type routeKey struct {
	nic     tcpip.NICID
	dst     tcpip.Subnet
	gateway tcpip.Address
}

type routeChange struct {
	routeKey
	present bool // the route is to be in the table
}

// set has a route be in the table, or not.
func (q *routeQueue) set(key routeKey, present bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.waiting {
		if q.waiting[i].routeKey == key {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			break
		}
	}
	if !present && !q.applied[key] {
		return
	}
	q.waiting = append(q.waiting, routeChange{key, present})
	if !q.running {
		q.running = true
		go q.run()
	}
}

func (q *routeQueue) run() {
	for {
		c, ok := q.next()
		if !ok {
			q.s.notifyChanged()
			return
		}
		q.apply(c)
	}
}

func (q *routeQueue) next() (routeChange, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running = false
		q.waiting = nil
		return routeChange{}, false
	}
	c := q.waiting[0]
	q.waiting = q.waiting[1:]
	if q.applied == nil {
		q.applied = make(map[routeKey]bool)
	}
	if c.present {
		q.applied[c.routeKey] = true
	} else {
		delete(q.applied, c.routeKey)
	}
	return c, true
}

// apply changes the table. A route whose card has been removed meanwhile does not stay.
func (q *routeQueue) apply(c routeChange) {
	q.s.removeRouteEntries(func(r *tcpip.Route) bool { return keyOf(r) == c.routeKey })
	if !c.present {
		return
	}
	r := tcpip.Route{Destination: c.dst, Gateway: c.gateway, NIC: c.nic}
	if c.gateway.Len() == 0 {
		q.s.addRouteEntry(r)
	} else {
		q.s.replaceRouteEntry(r)
	}
	if !q.s.stack.HasNIC(c.nic) {
		q.s.removeRouteEntries(func(o *tcpip.Route) bool { return o.NIC == c.nic })
	}
}
