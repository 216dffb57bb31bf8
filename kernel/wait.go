package kernel

import "sync"

// Events is a set of poll(2) event bits.
type Events uint32

const (
	EventIn    Events = 0x001  // POLLIN: a read will not block
	EventPri   Events = 0x002  // POLLPRI
	EventOut   Events = 0x004  // POLLOUT: a write will not block
	EventErr   Events = 0x008  // POLLERR
	EventHup   Events = 0x010  // POLLHUP: both directions are closed
	EventRdHup Events = 0x2000 // POLLRDHUP: the peer will send no more

	EventRdNorm Events = 0x040 // POLLRDNORM: what Linux says together with POLLIN
	EventRdBand Events = 0x080 // POLLRDBAND
	EventWrNorm Events = 0x100 // POLLWRNORM: what Linux says together with POLLOUT
	EventWrBand Events = 0x200 // POLLWRBAND
)

// pollEvents returns the events that poll(2) and epoll(7) see: a File says EventIn and EventOut,
// and most of Linux's say the normal bits with them.
func pollEvents(f File) Events {
	ev := f.Readiness()
	switch f.(type) {
	case *eventFD, *timerFD:
		return ev
	}
	return ev.normal()
}

// Band adds the bit for data of a higher priority, which datagram_poll and unix_poll of Linux say together
// with POLLOUT.
func (ev Events) Band() Events { return ev | (ev&EventOut)<<7 }

// normal adds the normal bits.
func (ev Events) normal() Events { return ev | (ev&EventIn)<<6 | (ev&EventOut)<<6 }

// A Waiter is notified of events on a WaitQueue.
type Waiter struct {
	// Notify is called with the events that may have begun, possibly from another goroutine
	// and with locks of the file held: it must not block and must not call the file. No events
	// mean that any may have begun.
	Notify func(Events)
	// claim, if not nil, is called instead. Such Waiters come after all others, and the first
	// that returns true is the last that is notified (EPOLLEXCLUSIVE, epoll_ctl(2)), unless
	// the events end the file's life: those are for all.
	claim func(Events) bool

	queue      *WaitQueue
	next, prev *Waiter
}

// WaitQueue has the Waiters of a file. The zero value is ready to use.
type WaitQueue struct {
	mu          sync.Mutex
	first, last *Waiter
}

// Add adds w. A Waiter is on at most one queue.
func (q *WaitQueue) Add(w *Waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.queue, w.prev, w.next = q, nil, nil
	switch {
	case q.first == nil:
		q.first, q.last = w, w
	case w.claim != nil:
		w.prev, q.last.next = q.last, w
		q.last = w
	default:
		w.next, q.first.prev = q.first, w
		q.first = w
	}
}

// Remove removes w. It may be called twice.
func (q *WaitQueue) Remove(w *Waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.queue != q {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	w.queue, w.next, w.prev = nil, nil, nil
}

// Notify notifies every waiter that ev may have begun.
func (q *WaitQueue) Notify(ev Events) {
	all := ev&(EventHup|EventErr) != 0
	q.mu.Lock()
	for w := q.first; w != nil; w = w.next {
		if w.claim == nil {
			w.Notify(ev)
		} else if w.claim(ev) && !all {
			break
		}
	}
	q.mu.Unlock()
}
