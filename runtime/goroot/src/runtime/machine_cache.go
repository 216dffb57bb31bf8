//go:build tamago

package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/sys"
	machine "internal/runtime/yolk"
	"internal/runtime/yolk/mapped"
	"unsafe"
)

// Pages of the kernel's page cache. They are frames that it takes from free
// memory, down to a floor; when there is no other frame left, or few when pages are
// read for mappings, those are taken back here that are on the device too, in the
// middle of any fault or call.

// machPageCache is what the machine half knows of the cache.
type machPageCache struct {
	table uintptr   // of addresses of machine.Chunk, or 0 for a free place
	size  uintptr   // places
	hand  uintptr   // where reclaim goes on,
	pages uintptr   // taken and not given back
	file  *machFile // and behind the table's end
	files *machFile // all that are mapped
	set   uint64    // of 64 pages: an argument of findUsedPage and unmapPageOf

	stores machStores
}

// machStores are the pages that mappings have stored to since they were collected.
// The kernel has to write them back in time, and cannot know of them.
type machStores struct {
	pages  uintptr
	limits machine.StoreLimits
	due    bool // the interrupt is
}

// A store waits for storeDelay (ns) if too much is dirty, and then so many pages are
// free: longer than the 10 ms after which sysmon has the goroutine give its P to who
// writes back, where that can be done (not in a memmove), and not so long that one
// large copy takes for ever.
const (
	storeDelay = 25e6
	storePages = 64
)

// mayStore counts one more page; false if the current thread has to wait first,
// which it does then.
func (c *machPageCache) mayStore() bool {
	s := &c.stores
	t := thisCPU().cur
	switch {
	case s.limits.Enough == 0 || mach.nested:
	case t.freeStores > 0:
		t.freeStores--
	case s.pages+uintptr(load64(s.limits.Dirty)) >= s.limits.Limit:
		t.freeStores = storePages
		t.wait = delayMark
		mach.sched.block(threadPage, machNow()+storeDelay)
		return false
	}
	if s.pages++; s.limits.Enough != 0 && (s.pages == 1 || s.pages == s.limits.Enough) {
		s.due = true
	}
	return true
}

// takePages stores the addresses of up to n pages at out, as long as more than
// floor bytes are free, and returns how many. Their content is undefined.
func (m *machFrames) takePages(out, n, floor uintptr) uintptr {
	i := uintptr(0)
	for ; i < n && m.Free > floor; i++ {
		f := m.frame()
		if f == 0 {
			break
		}
		store64(out+i*8, uint64(f+directMap))
	}
	mach.cache.pages += i
	return i
}

// givePages frees n pages, whose addresses are at p.
func (m *machFrames) givePages(p, n uintptr) {
	for i := uintptr(0); i < n; i++ {
		m.freeFrame(uintptr(load64(p+i*8)) - directMap)
	}
	mach.cache.pages -= n
}

// reclaim takes pages that nobody uses back into the free memory: all of one part of
// a file, preferably one that was not used lately. It is a clock that goes over the
// parts of the kernel's cache, then over mapped files, whose pages the kernel may not
// know.
func (c *machPageCache) reclaim() bool {
	for turns := 0; turns < 3; { // what is left of one, a whole one, one that spares nothing
		freed, end := c.step(turns < 2)
		if freed {
			return true
		}
		if end {
			turns++
		}
	}
	return false
}

// reclaimUnused is reclaim that spares what was used since the last turn, at most one
// turn.
func (c *machPageCache) reclaimUnused() {
	for {
		if freed, end := c.step(true); freed || end {
			return
		}
	}
}

// step looks at the next part; gentle spares what was used lately. end says that a
// turn of the clock is complete.
func (c *machPageCache) step(gentle bool) (freed, end bool) {
	if c.hand < c.size {
		p := load64(c.table + c.hand*8)
		c.hand++
		return p != 0 && c.take((*machine.Chunk)(unsafe.Pointer(uintptr(p))), gentle), false
	}
	f := c.file
	switch {
	case f == nil:
		c.hand, c.file = 0, c.files
		return false, true
	case f.hand >= min(f.pages, f.size):
		f.hand, c.file = 0, f.next
		return false, false
	}
	return mach.mem.evictNew(f, gentle), false
}

// reclaimMost takes about n pages back, but not more than a call should, and returns
// how many.
func (c *machPageCache) reclaimMost(n uintptr) uintptr {
	n = min(n, 1024)
	before := c.pages
	for before-c.pages < n && c.reclaim() {
	}
	return before - c.pages
}

// take frees the pages of one part; gentle spares it if it was used lately.
func (c *machPageCache) take(p *machine.Chunk, gentle bool) bool {
	if p.Valid&^p.Keep == 0 || gentle && p.Recent != 0 {
		p.Recent = 0
		return false
	}
	if !atomic.Cas(&p.Pins, 0, machine.ChunkTaken) {
		return false
	}
	free := p.Valid &^ p.Keep
	if p.File != 0 {
		f := (*machFile)(unsafe.Pointer(p.File))
		free = mach.mem.evict(f, p.First, mach.mem.readable(f, p.First, free), gentle)
	}
	for set := free; set != 0; set &= set - 1 {
		mach.mem.freeFrame(uintptr(p.Page[sys.TrailingZeros64(set)]) - directMap)
		c.pages--
	}
	p.Valid &^= free
	atomic.Store(&p.Pins, 0)
	return free != 0
}

// readable returns those pages of a set, of 64 from first on, that were not stored to
// through a mapping and can be read again.
func (m *machMem) readable(f *machFile, first uintptr, set uint64) uint64 {
	for left := set; left != 0; left &= left - 1 {
		i := uintptr(sys.TrailingZeros64(left))
		if p := m.present(f, first+i); p != nil && *p&(fileDirty|fileCollected) != 0 || !f.placed(first+i) {
			set &^= 1 << i
		}
	}
	return set
}

// evict takes those pages of a set, of 64 from first on, out of all mappings of the
// file and out of its table that, if gentle, were not used lately. It returns which;
// their frames are the caller's.
func (m *machMem) evict(f *machFile, first uintptr, set uint64, gentle bool) uint64 {
	c := &mach.cache
	if f.held || set == 0 {
		return 0
	}
	if gentle {
		c.set = 0
		m.forEachMapping(f, first, first+64, findUsedPage)
		set &^= c.set
	}
	if c.set = set; set == 0 {
		return 0
	}
	m.changeMappings(f, first, first+64, unmapPageOf)
	for left := set; left != 0; left &= left - 1 {
		if p := m.present(f, first+uintptr(sys.TrailingZeros64(left))); p != nil {
			*p = 0
		}
	}
	return set
}

const pteAccessed = 1 << 5

// findUsedPage notes which pages were used since the last look.
func findUsedPage(m *machMem, va uintptr, e *uint64, start uintptr) {
	if *e&pteAccessed != 0 && *e&pteFile != 0 {
		mach.cache.set |= 1 << ((va - start) / machPage)
		*e &^= pteAccessed
	}
}

func unmapPageOf(m *machMem, va uintptr, e *uint64, start uintptr) {
	if mach.cache.set>>((va-start)/machPage)&1 != 0 && *e&pteFile != 0 {
		*e = 0
	}
}

// evictNew frees the next pages that the kernel does not know: read here, or made for
// holes, and not stored to.
func (m *machMem) evictNew(f *machFile, gentle bool) bool {
	first := f.hand
	part := m.part(f, first, min(first+64, f.size))
	if part == nil {
		f.hand = nextPart(first)
		return false
	}
	f.hand += 64
	var frame [64]uintptr
	copy(frame[:], part)
	set := m.evict(f, first, mapped.Unstored(part), gentle)
	for left := set; left != 0; left &= left - 1 {
		m.freeFrame(frame[sys.TrailingZeros64(left)] & pteAddr)
		mach.cache.pages--
	}
	return set != 0
}
