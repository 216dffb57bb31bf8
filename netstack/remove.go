package netstack

import (
	"slices"
	"syscall"
)

// RemoveNIC removes a card from the stack, with its addresses, routes and lease, and the name
// servers that were learned over it. When it returns, the stack does not call the card any more
// and has dropped the frames that waited to be sent. Connections over the card have no route
// from then on; listeners still accept connections from other cards. It returns ENODEV if the
// stack does not have the card.
func (s *Stack) RemoveNIC(l *Link) syscall.Errno {
	s.mu.Lock()
	i := slices.Index(s.links, l)
	if i < 0 {
		s.mu.Unlock()
		return syscall.ENODEV
	}
	s.links = slices.Concat(s.links[:i], s.links[i+1:]) // a copy: others may be reading the old slice
	dhcp := l.dhcp
	s.mu.Unlock()
	dhcp.end()
	l.ipv6.Do(func() {}) // IPv6 has come up, or never will: see enableIPv6
	s.routes.mu.Lock()
	err := s.stack.RemoveNIC(l.id) // with its routes
	for k := range s.routes.written {
		if k.nic == l.id {
			delete(s.routes.written, k)
		}
	}
	s.routes.mu.Unlock()
	s.changes.Lock()
	delete(s.options, l.id)
	s.changes.Unlock()
	l.shut()
	s.forget(l)
	s.notifyChanged()
	if err != nil {
		return errnoOf(err)
	}
	return 0
}

// dhcpRun is a running client.
type dhcpRun struct {
	cancel func()
	ended  chan struct{}
	client *dhcpClient
}

// renewNow has the client renew its lease, if it has one. Nothing happens if d is nil.
func (d *dhcpRun) renewNow() {
	if d == nil {
		return
	}
	select {
	case d.client.again <- struct{}{}:
	default: // it is asked already
	}
}

// end stops the client and waits until it has stopped. Nothing happens if d is nil.
func (d *dhcpRun) end() {
	if d != nil {
		d.cancel()
		<-d.ended
	}
}

// shut drops the frames that wait to be sent, and all later ones.
func (l *Link) shut() {
	l.tx.mu.Lock()
	defer l.tx.mu.Unlock()
	l.tx.shut = true
	for f := l.tx.first; f != nil; f = l.tx.first {
		l.tx.pop(f.next, f.size)
		f.Done()
		l.stats.txDropped.Add(1)
	}
}

// forget drops the name servers that were learned over a card.
func (s *Stack) forget(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.net
	if n.leasedOver == l.id {
		n.leased, n.search = nil, nil
	}
	if n.advertisedOver == l.id {
		n.advertised = nil
	}
	if n.raSearchOver == l.id {
		n.raSearch = nil
	}
}
