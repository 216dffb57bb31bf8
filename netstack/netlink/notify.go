package netlink

import (
	"encoding/binary"
	"slices"
	"sync"
	"syscall"
)

// This file tells the subscribers of rtnetlink's groups what has changed (rtnetlink(7)). Nobody says
// what it was: the state is compared with the last one that was told.

// Groups as bits of nl_groups, linux/rtnetlink.h.
const (
	groupLink      = 0x001
	groupIPv4Addr  = 0x010
	groupIPv4Route = 0x040
	groupIPv6Addr  = 0x100
	groupIPv6Route = 0x400
)

// subscribers are the sockets of NETLINK_ROUTE that are in a group.
type subscribers struct {
	mu      sync.Mutex
	sockets map[*socket]bool
	last    state
	busy    bool // a goroutine tells
	again   bool // there has been another change since it began
}

// state is what can change.
type state struct {
	links  []Interface
	routes []Route
}

func (f *Family) state() state { return state{f.source.Interfaces(), f.source.Routes()} }

// watch puts s among the subscribers, or takes it out.
func (f *Family) watch(s *socket, released bool) {
	s.mu.Lock()
	wants := !released && s.protocol == syscall.NETLINK_ROUTE && s.groups != 0
	s.mu.Unlock()
	w := &f.subscribers
	w.mu.Lock()
	defer w.mu.Unlock()
	if !wants {
		delete(w.sockets, s)
		return
	}
	if len(w.sockets) == 0 {
		w.last = f.state()
	}
	if w.sockets == nil {
		w.sockets = make(map[*socket]bool)
	}
	w.sockets[s] = true
}

// Changed is to be called when an interface, an address or a route has changed; locks of the source
// may be held.
func (f *Family) Changed() {
	w := &f.subscribers
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sockets) == 0 {
		return
	}
	w.again = true
	if !w.busy {
		w.busy = true
		go f.tell()
	}
}

// tell tells the subscribers until there is nothing new.
func (f *Family) tell() {
	w := &f.subscribers
	for {
		w.mu.Lock()
		if !w.again {
			w.busy = false
			w.mu.Unlock()
			return
		}
		w.again = false
		w.mu.Unlock()
		now := f.state()
		w.mu.Lock()
		notices := changes(w.last, now)
		w.last = now
		to := make([]*socket, 0, len(w.sockets))
		for s := range w.sockets {
			to = append(to, s)
		}
		w.mu.Unlock()
		for _, s := range to {
			s.notice(notices)
		}
	}
}

// notice is a message to a group.
type notice struct {
	group uint32
	text  []byte
}

// notice queues what the socket has subscribed to.
func (s *socket) notice(list []notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range list {
		if s.groups&n.group != 0 {
			s.enqueue(n.text)
		}
	}
}

// notices collects messages.
type notices []notice

// add makes a message, of another type than make gives it if typ is not 0.
func (l *notices) add(group uint32, typ uint16, make func(a *answer)) {
	a := answer{r: &request{}}
	make(&a)
	for _, d := range a.datagrams() {
		if typ != 0 {
			binary.NativeEndian.PutUint16(d[4:], typ)
		}
		binary.NativeEndian.PutUint16(d[6:], 0) // no part of a dump
		*l = append(*l, notice{group, d})
	}
}

// changes returns the messages that lead from one state to another.
func changes(old, now state) []notice {
	var l notices
	for i := range old.links {
		o := &old.links[i]
		n := find(now.links, o.Index)
		for j := range o.Addresses {
			if n == nil || !has(n, &o.Addresses[j]) {
				l.address(o, &o.Addresses[j], syscall.RTM_DELADDR)
			}
		}
		if n == nil {
			l.add(groupLink, syscall.RTM_DELLINK, func(a *answer) { a.link(o, 0) })
		}
	}
	for i := range now.links {
		n := &now.links[i]
		o := find(old.links, n.Index)
		if o == nil || o.Name != n.Name || o.Flags != n.Flags || o.MTU != n.MTU || !slices.Equal(o.HardwareAddr, n.HardwareAddr) {
			l.add(groupLink, 0, func(a *answer) { a.link(n, 0) })
		}
		for j := range n.Addresses {
			if o == nil || !has(o, &n.Addresses[j]) {
				l.address(n, &n.Addresses[j], 0)
			}
		}
	}
	l.routes(old.routes, now.routes, syscall.RTM_DELROUTE)
	l.routes(now.routes, old.routes, 0)
	return l
}

// routes adds messages about those that others lack.
func (l *notices) routes(list, others []Route, typ uint16) {
	for i := range list {
		r := &list[i]
		if slices.Contains(others, *r) {
			continue
		}
		group := uint32(groupIPv4Route)
		if r.Destination.Addr().Is6() {
			group = groupIPv6Route
		}
		l.add(group, typ, func(a *answer) { a.route(r, syscall.RTN_UNICAST, 0, 0) })
	}
}

func (l *notices) address(i *Interface, addr *Address, typ uint16) {
	group := uint32(groupIPv4Addr)
	if addr.Prefix.Addr().Is6() {
		group = groupIPv6Addr
	}
	l.add(group, typ, func(a *answer) { a.address(i, addr) })
}

func find(links []Interface, index int) *Interface {
	for i := range links {
		if links[i].Index == index {
			return &links[i]
		}
	}
	return nil
}

func has(i *Interface, addr *Address) bool {
	for j := range i.Addresses {
		if i.Addresses[j].Prefix == addr.Prefix {
			return true
		}
	}
	return false
}
