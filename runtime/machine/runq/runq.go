// Package runq queues threads that are ready for CPUs, and says on which CPU a thread
// will run soonest.
//
// The machine half (machine_thread.go of package runtime) calls it on a private stack,
// with its lock held, where nothing may be allocated and no write barrier may run: a
// thread is the address of the link that it carries, and a queue is two of these.
package runq

import (
	"math/bits"
)

// MaxCPUs is how many CPUs there may be.
const MaxCPUs = 64

// A Link is what a thread carries to be in one queue. Queues name the thread by its
// address.
type Link struct{ next uintptr }

// A Queue is threads in order. The zero value is an empty one.
type Queue struct {
	first uintptr
	last  uintptr // if first is not 0
}

// Empty reports whether no thread is in the queue.
func (q *Queue) Empty() bool { return q.first == 0 }

// Push adds a thread, which is in no queue, behind all others or before them.
func (q *Queue) Push(thread uintptr, front bool) {
	switch {
	case q.first == 0:
		linkAt(thread).next = 0
		q.first, q.last = thread, thread
	case front:
		linkAt(thread).next = q.first
		q.first = thread
	default:
		linkAt(thread).next = 0
		linkAt(q.last).next = thread
		q.last = thread
	}
}

// Pop takes the first thread, 0 if there is none.
func (q *Queue) Pop() uintptr {
	t := q.first
	if t != 0 {
		q.first = linkAt(t).next
	}
	return t
}

// CPUs knows of each CPU, by number, whether it runs a thread and whether threads wait
// for it in its queue, which lies with the CPU.
type CPUs struct {
	idle   uint64 // CPUs that run no thread; those that are off do not count
	queued uint64 // CPUs whose queue is not empty
}

func bit(cpu int) uint64 { return 1 << (uint(cpu) % MaxCPUs) }

// Runs says whether a CPU runs a thread from now on.
func (c *CPUs) Runs(cpu int, thread bool) {
	c.idle |= bit(cpu)
	if thread {
		c.idle &^= bit(cpu)
	}
}

// Push adds a thread to a CPU's queue, at the front or the end.
func (c *CPUs) Push(cpu int, q *Queue, thread uintptr, front bool) {
	c.queued |= bit(cpu)
	q.Push(thread, front)
}

// Pop takes the first thread of a CPU's queue, 0 if there is none.
func (c *CPUs) Pop(cpu int, q *Queue) uintptr {
	t := q.Pop()
	if q.Empty() {
		c.queued &^= bit(cpu)
	}
	return t
}

// Victim returns the first CPU in whose queue a thread waits; false if there is none.
func (c *CPUs) Victim() (cpu int, ok bool) {
	return bits.TrailingZeros64(c.queued), c.queued != 0
}

// Idles reports whether a CPU has nothing to run.
func (c *CPUs) Idles() bool { return c.idle&^c.queued != 0 }

// Choose returns the CPU where a thread that becomes ready will run soonest, if CPU here
// makes it ready and it ran on CPU last: here if here has nothing to run, else last, else
// any that has not. If all have, it is here, and busy.
func (c *CPUs) Choose(here, last int) (cpu int, busy bool) {
	switch idle := c.idle &^ c.queued; {
	case idle&bit(here) != 0:
	case idle&bit(last) != 0:
		return last, false
	case idle != 0:
		return bits.TrailingZeros64(idle), false
	default:
		return here, true
	}
	return here, false
}
