//go:build tamago

package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/sys"
	"unsafe"
)

// Pages of the kernel's page cache. They are frames that it takes from free
// memory, down to a floor; when there is no other frame left, they are taken
// back here, in the middle of any fault or call: those that are on the device too.

// machCached is the beginning of a part of the cache, 64 pages of a file:
// kernel/pagecache's chunk. pins counts who uses the pages; ^0 means that they
// are being taken.
type machCached struct {
	_      sys.NotInHeap
	pins   uint32
	recent uint32     // used since reclaim looked last
	valid  uint64     // pages that are there, a bit each
	keep   uint64     // of those, what must stay: not on the device, or mapped
	page   [64]uint64 // their addresses in the direct map
}

// machPageCache is what the machine half knows of the cache.
type machPageCache struct {
	table uintptr // of addresses of machCached, or 0 for a free place
	size  uintptr // places
	hand  uintptr // where reclaim goes on
	pages uintptr // taken and not given back
}

// takePages stores the addresses of up to n pages at out, as long as more than
// floor bytes are free, and returns how many. Their content is undefined.
func (m *machFrames) takePages(out, n, floor uintptr) uintptr {
	i := uintptr(0)
	for ; i < n && m.free > floor; i++ {
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

// reclaim takes pages of the cache that nobody uses back into the free memory:
// all of one part of a file, preferably one that was not used lately.
func (c *machPageCache) reclaim() bool {
	for tries := 2 * c.size; tries > 0; tries-- {
		p := load64(c.table + min(c.hand, c.size-1)*8)
		if c.hand++; c.hand >= c.size {
			c.hand = 0
		}
		if p != 0 && c.take((*machCached)(unsafe.Pointer(uintptr(p))), tries > c.size) {
			return true
		}
	}
	return false
}

// take frees the pages of one part; gentle spares it if it was used lately.
func (c *machPageCache) take(p *machCached, gentle bool) bool {
	if p.valid&^p.keep == 0 || gentle && p.recent != 0 {
		p.recent = 0
		return false
	}
	if !atomic.Cas(&p.pins, 0, ^uint32(0)) {
		return false
	}
	free := p.valid &^ p.keep
	for set := free; set != 0; set &= set - 1 {
		mach.mem.freeFrame(uintptr(p.page[sys.TrailingZeros64(set)]) - directMap)
		c.pages--
	}
	p.valid &^= free
	atomic.Store(&p.pins, 0)
	return free != 0
}
