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
)

// A Waiter is notified of events on a WaitQueue.
type Waiter struct {
	// Notify is called with the events that may have begun, possibly from another goroutine
	// and with locks of the file held: it must not block and must not call the file.
	Notify func(Events)

	queue      *WaitQueue
	next, prev *Waiter
}

// WaitQueue has the Waiters of a file. The zero value is ready to use.
type WaitQueue struct {
	mu    sync.Mutex
	first *Waiter
}

// Add adds w. A Waiter is on at most one queue.
func (q *WaitQueue) Add(w *Waiter) {
	q.mu.Lock()
	w.queue, w.prev, w.next = q, nil, q.first
	if q.first != nil {
		q.first.prev = w
	}
	q.first = w
	q.mu.Unlock()
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
	}
	w.queue, w.next, w.prev = nil, nil, nil
}

// Notify notifies every waiter that ev may have begun.
func (q *WaitQueue) Notify(ev Events) {
	q.mu.Lock()
	for w := q.first; w != nil; w = w.next {
		w.Notify(ev)
	}
	q.mu.Unlock()
}
