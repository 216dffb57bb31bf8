package kernel

import (
	"sync"
	"syscall"
)

// These are the event bits of epoll_ctl(2) beyond those of poll(2).
const (
	epollExclusive = 1 << 28
	epollWakeup    = 1 << 29
	epollOneshot   = 1 << 30
	epollEdge      = 1 << 31
	epollFlags     = epollExclusive | epollWakeup | epollOneshot | epollEdge
)

// epollEvent is struct epoll_event, which is packed on amd64.
type epollEvent struct {
	events uint32
	data   [2]uint32
}

// epoll is an instance of epoll(7) that the program has made; the Go runtime has its own in the
// machine half.
//
// Lock order: mu, then a file's locks, then readyMu. Notify is called with a file's locks held and
// takes only readyMu.
type epoll struct {
	anonFile
	mu    sync.Mutex
	items map[epollKey]*epollItem

	readyMu     sync.Mutex
	first, last *epollItem // items that may be ready, in order
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

	// epoll.mu guards the fields of the registered event.
	events uint32
	data   [2]uint32

	// readyMu guards the item's state in the ready list.
	next    *epollItem
	queued  bool
	removed bool
}

// wake puts the item on the ready list.
func (it *epollItem) wake(Events) {
	ep := it.epoll
	ep.readyMu.Lock()
	fresh := !it.queued && !it.removed
	if fresh {
		ep.push(it)
	}
	ep.readyMu.Unlock()
	if fresh {
		ep.queue.Notify(EventIn)
	}
}

// push appends an item to the ready list. readyMu is held.
func (ep *epoll) push(it *epollItem) {
	it.queued, it.next = true, nil
	if ep.last == nil {
		ep.first = it
	} else {
		ep.last.next = it
	}
	ep.last = it
}

// pop removes the first item from the ready list; nil if there is none.
func (ep *epoll) pop() *epollItem {
	ep.readyMu.Lock()
	defer ep.readyMu.Unlock()
	for {
		it := ep.first
		if it == nil {
			return nil
		}
		if ep.first = it.next; ep.first == nil {
			ep.last = nil
		}
		it.next, it.queued = nil, false
		if !it.removed {
			return it
		}
	}
}

func (ep *epoll) Read([]byte, int64) (int, syscall.Errno)  { return 0, syscall.EINVAL }
func (ep *epoll) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EINVAL }

// Readiness checks the items of the ready list: an item may have lost its events since it was added.
func (ep *epoll) Readiness() Events {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.readyMu.Lock()
	it := ep.first
	ep.readyMu.Unlock()
	for ; it != nil; it = ep.after(it) {
		if it.ready() != 0 {
			return EventIn
		}
	}
	return 0
}

func (ep *epoll) after(it *epollItem) *epollItem {
	ep.readyMu.Lock()
	defer ep.readyMu.Unlock()
	return it.next
}

// ready returns the events to report now. epoll.mu is held.
func (it *epollItem) ready() uint32 {
	if it.events&^epollFlags == 0 {
		return 0 // disabled by EPOLLONESHOT
	}
	return uint32(it.key.desc.file.Readiness()) & (it.events | uint32(EventErr|EventHup))
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

// wait stores up to len(out) events in out and returns how many.
func (ep *epoll) wait(out []epollEvent) int {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	n := 0
	var again *epollItem // the first level-triggered item that was queued again
	for n < len(out) {
		it := ep.pop()
		if it == nil {
			break
		}
		if it == again {
			ep.requeue(it)
			break
		}
		r := it.ready()
		if r == 0 {
			continue
		}
		out[n] = epollEvent{events: r, data: it.data}
		n++
		switch {
		case it.events&epollOneshot != 0:
			it.events &= epollFlags
		case it.events&epollEdge == 0:
			if again == nil {
				again = it
			}
			ep.requeue(it)
		}
	}
	return n
}

func (ep *epoll) requeue(it *epollItem) {
	ep.readyMu.Lock()
	if !it.queued && !it.removed {
		ep.push(it)
	}
	ep.readyMu.Unlock()
}

// add is EPOLL_CTL_ADD.
func (ep *epoll) add(key epollKey, ev epollEvent) syscall.Errno {
	q := key.desc.file.Queue()
	if q == nil {
		return syscall.EPERM
	}
	it := &epollItem{epoll: ep, key: key, events: ev.events, data: ev.data}
	it.waiter.Notify = it.wake
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
	q.Add(&it.waiter)
	it.wake(0) // it may be ready already; wait checks that
	return 0
}

// control is epoll_ctl(2) for operations on registered items.
func (ep *epoll) control(op int, key epollKey, ev epollEvent) syscall.Errno {
	ep.mu.Lock()
	it := ep.items[key]
	if it == nil {
		ep.mu.Unlock()
		return syscall.ENOENT
	}
	if op == syscall.EPOLL_CTL_MOD {
		it.events, it.data = ev.events, ev.data
		ep.mu.Unlock()
		it.wake(0)
		return 0
	}
	delete(ep.items, key)
	ep.mu.Unlock()
	it.detach()
	key.desc.forget(it)
	return 0
}
