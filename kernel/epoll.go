package kernel

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// These are the event bits of epoll_ctl(2) beyond those of poll(2).
const (
	epollExclusive = 1 << 28
	epollWakeup    = 1 << 29
	epollOneshot   = 1 << 30
	epollEdge      = 1 << 31
	epollFlags     = epollExclusive | epollWakeup | epollOneshot | epollEdge

	epollAlways = uint32(EventErr | EventHup) // reported even if not asked for
	// epollWithExclusive may be combined with EPOLLEXCLUSIVE.
	epollWithExclusive = uint32(EventIn|EventOut|EventErr|EventHup) | epollWakeup | epollEdge | epollExclusive
)

// epollEvent is struct epoll_event, which is packed on amd64.
type epollEvent struct {
	events uint32
	data   [2]uint32
}

// epoll is an instance of epoll(7) that the program has made; the Go runtime has its own in the
// machine half.
//
// Lock order: mu, then a file's locks (those of a nested instance among them), then readyMu. Notify
// is called with a file's locks held and takes only readyMu.
type epoll struct {
	anonFile
	// desc is the instance's own open file: its watchers are the instances in which this one is
	// nested.
	desc *Description

	mu    sync.Mutex
	items map[epollKey]*epollItem
	// sleepers are the calls of epoll_wait(2) that sleep.
	sleepers atomic.Int32

	readyMu sync.Mutex
	ready   itemList // items that may be ready, in order
}

type epollKey struct {
	fd   int
	desc *Description
}

// epollItem is one registration.
type epollItem struct {
	epoll  *epoll
	key    epollKey
	waiter Waiter
	data   [2]uint32 // guarded by epoll.mu

	// events are written with epoll.mu and readyMu held. Those of a oneshot item that has fired
	// are only flags.
	events uint32

	// readyMu guards the item's state in the ready list.
	next    *epollItem
	queued  bool
	removed bool
}

// itemList is a list of items, linked by next.
type itemList struct{ first, last *epollItem }

func (l *itemList) pushBack(it *epollItem) {
	it.next = nil
	if l.last == nil {
		l.first = it
	} else {
		l.last.next = it
	}
	l.last = it
}

func (l *itemList) pushFront(it *epollItem) {
	if it.next = l.first; it.next == nil {
		l.last = it
	}
	l.first = it
}

func (l *itemList) pop() *epollItem {
	it := l.first
	if it == nil {
		return nil
	}
	if l.first = it.next; l.first == nil {
		l.last = nil
	}
	it.next = nil
	return it
}

// wake is called when a file's events ev may have begun: an item that waits for one of them goes
// to the ready list. It reports whether the item waits for one of them.
func (it *epollItem) wake(ev Events) bool {
	ep := it.epoll
	ep.readyMu.Lock()
	hit := !it.removed && it.events&^epollFlags != 0 && (ev == 0 || uint32(ev.normal().Band())&it.events != 0)
	if hit && !it.queued {
		it.queued = true
		ep.ready.pushBack(it)
	}
	ep.readyMu.Unlock()
	if hit {
		ep.queue.Notify(EventIn) // an edge for what watches the instance, even if it was ready
	}
	return hit
}

// claim is wake of an item with EPOLLEXCLUSIVE, which takes the event for itself if somebody waits
// for it.
func (it *epollItem) claim(ev Events) bool {
	sleeping := it.epoll.sleepers.Load() > 0
	return it.wake(ev) && sleeping
}

// take removes the first item from the ready list; nil if there is none.
func (ep *epoll) take(l *itemList) *epollItem {
	ep.readyMu.Lock()
	defer ep.readyMu.Unlock()
	for {
		it := l.pop()
		if it == nil {
			return nil
		}
		it.queued = false // from here on, an event queues it again
		if !it.removed {
			return it
		}
	}
}

// takeAll empties the ready list.
func (ep *epoll) takeAll() itemList {
	ep.readyMu.Lock()
	defer ep.readyMu.Unlock()
	l := ep.ready
	ep.ready = itemList{}
	return l
}

// giveBack puts the items that takeAll returned, and that were not taken from l, before those that
// have become ready since.
func (ep *epoll) giveBack(l itemList) {
	if l.first == nil {
		return
	}
	ep.readyMu.Lock()
	defer ep.readyMu.Unlock()
	if l.last.next = ep.ready.first; l.last.next != nil {
		l.last = ep.ready.last
	}
	ep.ready = l
}

// enqueue puts an item that is ready on the list, unless it is there.
func (ep *epoll) enqueue(it *epollItem, push func(*itemList, *epollItem)) bool {
	ep.readyMu.Lock()
	defer ep.readyMu.Unlock()
	if it.queued || it.removed {
		return false
	}
	it.queued = true
	push(&ep.ready, it)
	return true
}

func (ep *epoll) Read([]byte, int64) (int, syscall.Errno)  { return 0, syscall.EINVAL }
func (ep *epoll) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EINVAL }

// Ioctl knows no request: those for busy polling need a driver that does so.
func (ep *epoll) Ioctl(uintptr, Args) (uintptr, syscall.Errno) { return 0, syscall.EINVAL }

// Readiness checks the items of the ready list: an item may have lost its events since it was added,
// and then leaves it.
func (ep *epoll) Readiness() Events {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for {
		it := ep.take(&ep.ready)
		if it == nil {
			return 0
		}
		if it.pending() != 0 {
			ep.enqueue(it, (*itemList).pushFront)
			return EventIn
		}
	}
}

// pending returns the events to report now. epoll.mu is held.
func (it *epollItem) pending() uint32 {
	if it.events&^epollFlags == 0 {
		return 0 // disabled by EPOLLONESHOT
	}
	return uint32(pollEvents(it.key.desc.file)) & it.events
}

// setEvents sets what to wait for; errors and hang-ups always are. epoll.mu is held.
func (it *epollItem) setEvents(events uint32) {
	it.epoll.readyMu.Lock()
	it.events = events
	it.epoll.readyMu.Unlock()
}

func (ep *epoll) Release() {
	ep.mu.Lock()
	items := ep.items
	ep.items = nil
	ep.mu.Unlock()
	for _, it := range items {
		it.detach()
		it.key.desc.forget(it)
	}
}

// detach stops the item's events.
func (it *epollItem) detach() {
	it.key.desc.file.Queue().Remove(&it.waiter)
	it.epoll.readyMu.Lock()
	it.removed = true
	it.epoll.readyMu.Unlock()
}

// drop removes an item whose description is released.
func (ep *epoll) drop(it *epollItem) {
	it.detach()
	ep.mu.Lock()
	delete(ep.items, it.key)
	ep.mu.Unlock()
}

// forget removes an item from the description's list.
func (d *Description) forget(it *epollItem) {
	d.watchMu.Lock()
	defer d.watchMu.Unlock()
	for i, w := range d.watchers {
		if w == it {
			d.watchers = append(d.watchers[:i], d.watchers[i+1:]...)
			return
		}
	}
}

// wait stores up to len(out) events in out and returns how many. Level-triggered items go to the end
// of the list, so that each gets its turn.
func (ep *epoll) wait(out []epollEvent) int {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	n := 0
	list := ep.takeAll()
	for n < len(out) {
		it := ep.take(&list)
		if it == nil {
			break
		}
		r := it.pending()
		if r == 0 {
			continue
		}
		out[n] = epollEvent{events: r, data: it.data}
		n++
		switch {
		case it.events&epollOneshot != 0:
			it.setEvents(it.events & epollFlags)
		case it.events&epollEdge == 0:
			ep.enqueue(it, (*itemList).pushBack)
		}
	}
	ep.giveBack(list)
	return n
}

// add is EPOLL_CTL_ADD.
func (ep *epoll) add(key epollKey, ev epollEvent) syscall.Errno {
	it := &epollItem{epoll: ep, key: key, data: ev.data, events: ev.events | epollAlways}
	if ev.events&epollExclusive != 0 {
		it.waiter.claim = it.claim
	} else {
		it.waiter.Notify = func(ev Events) { it.wake(ev) }
	}
	ep.mu.Lock()
	if ep.items[key] != nil {
		ep.mu.Unlock()
		return syscall.EEXIST
	}
	if ep.items == nil {
		ep.items = make(map[epollKey]*epollItem)
	}
	ep.items[key] = it
	ep.mu.Unlock()
	key.desc.watchMu.Lock()
	key.desc.watchers = append(key.desc.watchers, it)
	key.desc.watchMu.Unlock()
	key.desc.file.Queue().Add(&it.waiter)
	it.check()
	return 0
}

// check queues the item if it is ready, which it may have been before its waiter was there.
func (it *epollItem) check() {
	ep := it.epoll
	ep.mu.Lock()
	ready := it.pending() != 0 && ep.enqueue(it, (*itemList).pushBack)
	ep.mu.Unlock()
	if ready {
		ep.queue.Notify(EventIn)
	}
}

// modify is EPOLL_CTL_MOD. An exclusive item cannot be changed (epoll_ctl(2)).
func (ep *epoll) modify(key epollKey, ev epollEvent) syscall.Errno {
	ep.mu.Lock()
	it := ep.items[key]
	if it == nil || it.events&epollExclusive != 0 {
		ep.mu.Unlock()
		if it == nil {
			return syscall.ENOENT
		}
		return syscall.EINVAL
	}
	it.data = ev.data
	it.setEvents(ev.events | epollAlways)
	ep.mu.Unlock()
	it.check()
	return 0
}

// remove is EPOLL_CTL_DEL.
func (ep *epoll) remove(key epollKey) syscall.Errno {
	ep.mu.Lock()
	it := ep.items[key]
	delete(ep.items, key)
	ep.mu.Unlock()
	if it == nil {
		return syscall.ENOENT
	}
	it.detach()
	key.desc.forget(it)
	return 0
}
