package pagecache

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// chunk is 64 pages of a file, from index*chunkSize on. The machine uses its first part,
// too, to evict pages.
type chunk struct {
	machine.Chunk

	f     *File
	index int64
	slot  int // slot in Cache.table and Cache.chunks

	// mu is read-locked to copy out of pages, locked for everything else. It protects the
	// fields above against other goroutines.
	mu      sync.RWMutex
	dirty   uint64
	writing uint64
}

// pin keeps the machine from evicting pages.
func (c *chunk) pin() {
	for {
		n := atomic.LoadUint32(&c.Pins)
		if n != machine.ChunkTaken && atomic.CompareAndSwapUint32(&c.Pins, n, n+1) {
			return
		}
	}
}

func (c *chunk) unpin() { atomic.AddUint32(&c.Pins, ^uint32(0)) }

func (c *chunk) lock() {
	c.mu.Lock()
	c.pin()
}

func (c *chunk) unlock() {
	c.unpin()
	c.mu.Unlock()
}

func (c *chunk) rlock() {
	c.mu.RLock()
	c.pin()
}

func (c *chunk) runlock() {
	c.unpin()
	c.mu.RUnlock()
}

// touch notes a use, for the clock.
func (c *chunk) touch() {
	if atomic.LoadUint32(&c.Recent) == 0 {
		atomic.StoreUint32(&c.Recent, 1)
	}
}

// mask returns the bits of pages [lo, hi).
func mask(lo, hi int) uint64 {
	return (^uint64(0) >> (chunkPages - (hi - lo))) << lo
}

// run returns the first run of set bits: pages [lo, hi), empty if none.
func run(set uint64) (lo, hi int) {
	if set == 0 {
		return 0, 0
	}
	lo = bits.TrailingZeros64(set)
	return lo, lo + bits.TrailingZeros64(^(set >> lo))
}

// offset returns where page i lies in the file.
func (c *chunk) offset(i int) int64 { return c.index*chunkSize + int64(i)*PageSize }

// evict frees clean pages if the chunk is not in use and was not used since the last call.
// It returns how many, and whether no page is left. Cache.mu is held.
func (c *chunk) evict(m Machine) (n int, none bool) {
	if atomic.SwapUint32(&c.Recent, 0) != 0 || !c.mu.TryLock() {
		return 0, false
	}
	c.pin()
	free := uint64(0)
	if c.File == 0 { // otherwise the machine evicts the pages: Reclaim
		free = c.Valid &^ c.Keep
	}
	c.Valid &^= free
	n, none = c.give(m, free), c.Valid == 0
	c.unlock()
	return n, none
}

// give frees the pages of a set, which are not valid any more. The chunk is locked.
// locked.
func (c *chunk) give(m Machine, set uint64) int {
	var list [chunkPages]uint64
	n := 0
	for ; set != 0; set &= set - 1 {
		i := bits.TrailingZeros64(set)
		list[n] = c.Page[i]
		c.Page[i] = 0
		n++
	}
	if n > 0 {
		m.GivePages(list[:n])
	}
	return n
}

// fill makes the pages of need valid: it reads them from the file below, and zeroes those
// after its end. The chunk is locked.
func (c *chunk) fill(need uint64) syscall.Errno {
	for need &^= c.Valid; need != 0; {
		lo, hi := run(need)
		if e := c.fillRun(lo, hi); e != 0 {
			return e
		}
		need &^= mask(lo, hi)
	}
	return 0
}

func (c *chunk) fillRun(lo, hi int) syscall.Errno {
	var room [chunkPages]uint64
	pages := room[:hi-lo]
	if e := c.f.c.take(pages); e != 0 {
		return e
	}
	if e := c.f.readPages(pages, c.offset(lo)); e != 0 {
		c.f.c.m.GivePages(pages)
		return e
	}
	copy(c.Page[lo:hi], pages)
	c.Valid |= mask(lo, hi)
	c.f.show(c, lo, hi)
	return 0
}

// blank makes the pages of need valid without reading them: their content is about to be
// overwritten. If there is no memory for all of them it adds none, because pages of zeroes
// would hide the file's data. The chunk is locked.
func (c *chunk) blank(need uint64) syscall.Errno {
	if need &^= c.Valid; need == 0 {
		return 0
	}
	var room [chunkPages]uint64
	pages := room[:bits.OnesCount64(need)]
	if e := c.f.c.take(pages); e != 0 {
		return e
	}
	for need != 0 {
		lo, hi := run(need)
		pages = pages[copy(c.Page[lo:hi], pages):]
		for _, p := range c.Page[lo:hi] {
			clear(pageBytes(p))
		}
		c.Valid |= mask(lo, hi)
		c.f.show(c, lo, hi)
		need &^= mask(lo, hi)
	}
	return 0
}

// markDirty marks pages dirty, for which space is reserved. The chunk is locked.
func (c *chunk) markDirty(set uint64) {
	fresh := set &^ c.dirty
	if fresh == 0 {
		return
	}
	if c.dirty == 0 {
		c.f.dirtyMu.Lock()
		c.f.withDirty[c] = struct{}{}
		c.f.dirtyMu.Unlock()
	}
	c.dirty |= fresh
	c.Keep |= fresh
	n := int64(bits.OnesCount64(fresh))
	c.f.dirty.Add(n)
	c.f.c.dirty.Add(n)
}

// markClean marks dirty pages clean. The chunk is locked.
func (c *chunk) markClean(set uint64) {
	if set &= c.dirty; set == 0 {
		return
	}
	if c.dirty &^= set; c.dirty == 0 {
		c.f.dirtyMu.Lock()
		delete(c.f.withDirty, c)
		c.f.dirtyMu.Unlock()
	}
	n := int64(bits.OnesCount64(set))
	c.f.dirty.Add(-n)
	c.f.c.dirty.Add(-n)
}

// updateKeep recomputes Keep. The chunk is locked.
func (c *chunk) updateKeep() {
	c.Keep = c.dirty | c.writing
}
