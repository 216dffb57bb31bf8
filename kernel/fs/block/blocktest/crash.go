package blocktest

import "math/rand/v2"

// sector is what a disk writes whole or not at all, whatever its BlockSize says.
const sector = 512

// Crash walks through a record and makes disks as a power cut would leave them.
type Crash struct {
	events  []event
	at      int
	durable *Memory
	marks   []any

	open    map[int]bool // writes that were begun and not flushed: whether they ended
	order   []int        // the same, as they were begun
	flushes map[int][]int
}

// Crash begins at the start of what is recorded so far.
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
		c.settle(c.flushes[e.of])
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

func (c *Crash) settle(list []int) {
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

// Marks are those up to here.
func (c *Crash) Marks() []any { return c.marks }

// Volatile is how many writes no flush covers here.
func (c *Crash) Volatile() int { return len(c.order) }

// Loss says what becomes of the writes that no flush covers.
type Loss int

const (
	Nothing Loss = iota // all of them are there
	All                 // none is there
	Random              // some are, whole
	Torn                // some are, some are not, of some only some sectors
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

// apply does a write, or with r half of its sectors: random ones, the first or
// the last.
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
