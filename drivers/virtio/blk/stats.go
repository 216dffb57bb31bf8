package blk

import (
	"sync/atomic"
	"time"
)

// Stats are what a device has done since it was started. Requests that were cut are counted by part,
// as the device got them; those of the reserved queue are not.
type Stats struct {
	Reads, Writes, Discards, Flushes Count
	// InFlight is how many parts the device holds now.
	InFlight int
	// Busy is how long it has held any.
	Busy time.Duration
}

// Count is one kind of requests.
type Count struct {
	Parts uint64
	Bytes uint64
	Time  time.Duration // from when the device got each until it was done, added up
}

// counters are a queue's Stats, with its mu held.
type counters [4]Count

// kindOf returns the index of an operation in counters; false if it is not counted.
func kindOf(op Op) (int, bool) {
	switch op {
	case Read:
		return 0, true
	case Write:
		return 1, true
	case Discard, WriteZeroes:
		return 2, true
	case Flush:
		return 3, true
	}
	return 0, false
}

// busyTime adds up when a device has something to do.
type busyTime struct {
	inFlight, since, total atomic.Int64 // since and total in ns
}

// clock is in ns; its zero does not matter.
func (b *busyTime) begin(clock int64) {
	if b.inFlight.Add(1) == 1 {
		b.since.Store(clock)
	}
}

func (b *busyTime) end(clock int64) {
	since := b.since.Load()
	if b.inFlight.Add(-1) == 0 {
		b.total.Add(max(clock-since, 0))
	}
}

// Stats returns what the device has done.
func (d *Device) Stats() Stats {
	var sum counters
	for _, q := range d.queues {
		q.mu.Lock()
		for i, c := range q.counts {
			sum[i].Parts += c.Parts
			sum[i].Bytes += c.Bytes
			sum[i].Time += c.Time
		}
		q.mu.Unlock()
	}
	return Stats{sum[0], sum[1], sum[2], sum[3], int(d.busy.inFlight.Load()), time.Duration(d.busy.total.Load())}
}

// began notes that the device got a part.
func (q *queue) began(p *part) { q.d.busy.begin(p.since.UnixNano()) }

// finished notes that the device is done with a part, with mu held.
func (q *queue) finished(p *part, now time.Time) {
	q.d.busy.end(now.UnixNano())
	if i, ok := kindOf(p.r.Op); ok {
		c := &q.counts[i]
		c.Parts++
		c.Bytes += uint64(p.size)
		c.Time += now.Sub(p.since)
	}
}
