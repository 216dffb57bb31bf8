package blocktest

import "math/rand/v2"

// sector is the unit that a disk writes as a whole or not at all, whatever its BlockSize.
const sector = 512

// Crash walks through a record and makes disks as a power cut would leave them.
type Crash struct {
	events  []event
	at      int
	durable *Memory
	marks   []any

	open    map[int]bool // unflushed writes; the value says whether they have ended
	order   []int        // unflushed writes, as they were begun
	flushes map[int][]int
}

// Crash returns a Crash at the start of the record so far.
func (r *Recorder) Crash() *Crash {
	r.mu.Lock()
	events := r.events[:len(r.events):len(r.events)]
	r.mu.Unlock()
	return &Crash{events: events, durable: r.base.Clone(), open: map[int]bool{}, flushes: map[int][]int{}}
}

// To goes on to the state before event number n.
func (c *Crash) To(n int) {
	for ; c.at < n && c.at < len(c.events); c.at++ {
		c.step(c.at, c.events[c.at])
	}
}

func (c *Crash) step(at int, e event) {
	switch e.kind {
	case writeBegins:
		c.open[at] = false
		c.order = append(c.order, at)
	case writeEnds:
		if _, ok := c.open[e.of]; ok {
			c.open[e.of] = true
		}
	case flushBegins:
		c.flushes[at] = c.ended()
	case flushEnds:
		c.makeDurable(c.flushes[e.of])
		delete(c.flushes, e.of)
	case marked:
		c.marks = append(c.marks, e.mark)
	}
}

// ended are the writes that a flush which begins now will cover.
func (c *Crash) ended() (list []int) {
	for _, w := range c.order {
		if c.open[w] {
			list = append(list, w)
		}
	}
	return list
}

// makeDurable applies flushed writes to the disk that every power cut leaves.
func (c *Crash) makeDurable(list []int) {
	done := map[int]bool{}
	for _, w := range list {
		done[w] = true
	}
	kept := c.order[:0]
	for _, w := range c.order {
		if done[w] {
			c.apply(c.durable, c.events[w], nil)
			delete(c.open, w)
		} else {
			kept = append(kept, w)
		}
	}
	c.order = kept
}

// Marks are the marks up to the current event.
func (c *Crash) Marks() []any { return c.marks }

// Volatile is the number of unflushed writes at the current event.
func (c *Crash) Volatile() int { return len(c.order) }

// Loss says what happens to unflushed writes.
type Loss int

const (
	Nothing Loss = iota // all are kept
	All                 // all are lost
	Random              // some are kept as a whole, the others lost
	Torn                // some are kept, some lost, and of some only a part of the sectors is kept
)

// Disk is what the power cut leaves.
func (c *Crash) Disk(loss Loss, r *rand.Rand) *Memory {
	m := c.durable.Clone()
	for _, w := range c.order {
		switch e := c.events[w]; {
		case loss == Nothing, loss == Random && r.IntN(2) == 0, loss == Torn && r.IntN(3) == 0:
			c.apply(m, e, nil)
		case loss == Torn && r.IntN(2) == 0:
			c.apply(m, e, r)
		}
	}
	return m
}

// apply does a write or, with r, half of its sectors: random ones, the first or the last.
func (c *Crash) apply(m *Memory, e event, r *rand.Rand) {
	how, split := 0, int64(0)
	if r != nil {
		how, split = 1+r.IntN(3), r.Int64N(e.n/sector+1)
	}
	for off := int64(0); off < e.n; off += sector {
		n := min(sector, e.n-off)
		skip := how == 1 && r.IntN(2) == 0 || how == 2 && off/sector >= split || how == 3 && off/sector < split
		if skip {
			continue
		}
		if e.data != nil {
			m.write(e.data[off:off+n], e.off+off)
		} else {
			m.set(e.off+off, n, e.fill)
		}
	}
}
