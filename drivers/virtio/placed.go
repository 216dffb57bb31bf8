package virtio

import "sync/atomic"

// Placed is where a transport's queues lie in memory, for others who look at their progress. Transports embed it.
type Placed struct{ last atomic.Pointer[PlacedQueue] }

// PlacedQueue is a queue that was set up.
type PlacedQueue struct {
	Number int
	Rings
	before *PlacedQueue
}

// Place says where a queue is from now on. It is called by one goroutine at a time.
func (p *Placed) Place(queue int, r Rings) {
	p.last.Store(&PlacedQueue{queue, r, p.last.Load()})
}

// Queues returns the queues by their numbers.
func (p *Placed) Queues() (list []PlacedQueue) {
	for q := p.last.Load(); q != nil; q = q.before {
		at := 0
		for at < len(list) && list[at].Number < q.Number {
			at++
		}
		if at == len(list) || list[at].Number != q.Number { // else it was set up again later
			list = append(list[:at], append([]PlacedQueue{{Number: q.Number, Rings: q.Rings}}, list[at:]...)...)
		}
	}
	return list
}
