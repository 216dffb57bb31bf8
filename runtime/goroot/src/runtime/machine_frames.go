//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	"unsafe"
)

// Page frames. RAM that was never used is taken from the regions in order;
// what was freed is found in bitmaps. A frame is dirty when it is freed, and
// clean once the host has been told that it may take the memory behind it (free
// page reporting): dirty ones are used first, so that the guest stays small.

// machChunk is 128 MiB of physical addresses.
type machChunk struct {
	_    sys.NotInHeap
	bits [2]uintptr // a page with a bit for each frame that is free, or 0
	n    [2]int     // how many there are
	low  [2]int     // the 64-bit words before this one have none
}

const (
	frameDirty = 0
	frameClean = 1

	chunkShift  = 27
	chunkFrames = 1 << (chunkShift - 12)
	chunkWords  = chunkFrames / 64
	largeFrames = machLargePage / machPage
)

// machFrames is all RAM.
type machFrames struct {
	region  [maxRegions]machRange // untouched RAM, physical
	nregion int
	at      int     // the region that frames are taken from
	chunks  uintptr // of machChunk, by address
	nchunk  int
	low     [2]int     // the chunks before this one have no free frame
	nfree   [2]uintptr // frames in all chunks
	free    uintptr    // bytes free
	total   uintptr    // bytes of RAM
	top     uintptr    // end of the highest region
	notice  uintptr    // interrupt when so many bytes are dirty; 0: never
	device  int        // which device's interrupt that is
	lent    uintptr    // bytes that takeFrames took and giveFrames did not return
}

func (m *machFrames) chunk(i int) *machChunk {
	return (*machChunk)(unsafe.Pointer(m.chunks + uintptr(i)*unsafe.Sizeof(machChunk{})))
}

// initChunks makes the table of chunks, when the regions are known.
func (m *machFrames) initChunks() {
	m.nchunk = int((m.top + 1<<chunkShift - 1) >> chunkShift)
	n := uintptr(m.nchunk) * unsafe.Sizeof(machChunk{})
	m.chunks = m.contiguousLow(n) + directMap
	memclrNoHeapPointers(unsafe.Pointer(m.chunks), n)
}

// frame takes a page frame and returns its physical address, 0 if none is
// left. Its content is undefined.
func (m *machFrames) frame() uintptr {
	if f := m.take(frameDirty); f != 0 {
		return f
	}
	for ; m.at < m.nregion; m.at++ {
		if r := &m.region[m.at]; r.end-r.start >= machPage {
			f := r.start
			r.start += machPage
			m.free -= machPage
			return f
		}
	}
	if f := m.take(frameClean); f != 0 || mach.cache.pages == 0 || !mach.cache.reclaim() {
		return f
	}
	return m.take(frameDirty)
}

// take takes the first frame of a kind from the bitmaps.
func (m *machFrames) take(kind int) uintptr {
	if m.nfree[kind] == 0 {
		return 0
	}
	for ; ; m.low[kind]++ {
		i := m.low[kind]
		c := m.chunk(i)
		if c.n[kind] == 0 {
			continue
		}
		for ; ; c.low[kind]++ {
			w := c.bits[kind] + uintptr(c.low[kind])*8
			v := load64(w)
			if v == 0 {
				continue
			}
			store64(w, v&(v-1))
			m.count(c, kind, -1)
			return uintptr(i)<<chunkShift + uintptr(c.low[kind]*64+sys.TrailingZeros64(v))<<12
		}
	}
}

func (m *machFrames) count(c *machChunk, kind, n int) {
	c.n[kind] += n
	m.nfree[kind] += uintptr(n)
	m.free += uintptr(n) * machPage
}

// freeFrame gives a frame back.
func (m *machFrames) freeFrame(phys uintptr) { m.put(frameDirty, phys) }

// noticeFreed sends the interrupt that says that there is much to report. It may
// write to a thread's memory, and so take frames: not in the midst of a change.
func (m *machFrames) noticeFreed() {
	if m.notice != 0 && m.nfree[frameDirty]*machPage >= m.notice {
		m.notice = 0
		mach.poll.interrupt(m.device)
	}
}

func (m *machFrames) put(kind int, phys uintptr) {
	i := int(phys >> chunkShift)
	c := m.chunk(i)
	if c.bits[kind] == 0 {
		// The first one keeps the bits of the others.
		zeroPage(phys + directMap)
		c.bits[kind] = phys + directMap
		return
	}
	bit := phys >> 12 & (chunkFrames - 1)
	w := c.bits[kind] + bit/64*8
	store64(w, load64(w)|1<<(bit%64))
	c.low[kind] = min(c.low[kind], int(bit/64))
	m.low[kind] = min(m.low[kind], i)
	m.count(c, kind, 1)
}

// zeroFrame takes a frame for the machine's own use and returns it in the
// direct map. Being out of memory is fatal here.
func (m *machFrames) zeroFrame() uintptr {
	f := m.frame()
	if f == 0 {
		machOutOfMemory()
	}
	zeroPage(f + directMap)
	return f + directMap
}

// contiguous takes n bytes (whole pages) of physically contiguous, zeroed
// memory and returns its physical address, or 0.
func (m *machFrames) contiguous(n uintptr) uintptr {
	n = (n + machPage - 1) &^ (machPage - 1)
	p := m.fromTop(n, machPage)
	if p == 0 {
		p = m.run(int(n/machPage), 1)
	}
	for at := p; p != 0 && at < p+n; at += machPage {
		zeroPage(at + directMap)
	}
	return p
}

// largeFrame takes 2 MiB with that alignment, 0 if there are none. The content
// is undefined.
func (m *machFrames) largeFrame() uintptr {
	if p := m.run(largeFrames, largeFrames); p != 0 {
		return p
	}
	return m.fromTop(machLargePage, machLargePage)
}

// fromTop takes n bytes from the end of a region that was not used yet.
func (m *machFrames) fromTop(n, align uintptr) uintptr {
	for i := m.nregion - 1; i >= m.at && i >= 0; i-- {
		r := &m.region[i]
		end := r.end &^ (align - 1)
		if end < r.start || end-r.start < n {
			continue
		}
		m.free -= r.end - end
		for p := end; p < r.end; p += machPage {
			m.put(frameClean, p)
		}
		r.end = end - n
		m.free -= n
		return r.end
	}
	return 0
}

// contiguousLow is contiguous from the first region with room, for the time
// when only the lowest 4 GiB are mapped. The content is undefined.
func (m *machFrames) contiguousLow(n uintptr) uintptr {
	n = (n + machPage - 1) &^ (machPage - 1)
	for i := 0; i < m.nregion; i++ {
		if r := &m.region[i]; r.end-r.start >= n {
			r.start += n
			m.free -= n
			return r.start - n
		}
	}
	machOutOfMemory()
	return 0
}

// run takes n frames in a row, aligned to so many frames, out of one chunk.
func (m *machFrames) run(n, align int) uintptr {
	for kind := range m.nfree {
		for i := 0; i < m.nchunk && m.nfree[kind] >= uintptr(n); i++ {
			c := m.chunk(i)
			if c.n[kind] < n {
				continue
			}
			for first := c.low[kind] * 64; first+n <= chunkFrames; {
				first = (first + align - 1) &^ (align - 1)
				length := c.length(kind, first, n)
				if length == n {
					m.takeRun(c, kind, first, n)
					return uintptr(i)<<chunkShift + uintptr(first)<<12
				}
				first += length + 1
			}
		}
	}
	return 0
}

// length counts the free frames from the given one on, up to most.
func (c *machChunk) length(kind, first, most int) int {
	n := 0
	for n < most && first+n < chunkFrames {
		at := first + n
		v := load64(c.bits[kind]+uintptr(at/64)*8) >> (at % 64)
		ones := sys.TrailingZeros64(^v)
		n += ones
		if ones < 64-at%64 {
			break
		}
	}
	return min(n, most)
}

func (m *machFrames) takeRun(c *machChunk, kind, first, n int) {
	for at := first; at < first+n; at++ {
		w := c.bits[kind] + uintptr(at/64)*8
		store64(w, load64(w)&^(1<<(at%64)))
	}
	m.count(c, kind, -n)
}

// takeFrames takes a run of at most n bytes out of use, for the host: what was
// used and freed; if dirty is not set, then any. The range is empty if there is
// none.
func (m *machFrames) takeFrames(n uintptr, dirty bool) machRange {
	r := m.takeSome(n, dirty)
	m.lent += r.end - r.start
	return r
}

func (m *machFrames) takeSome(n uintptr, dirty bool) machRange {
	if r := m.takeRunOf(frameDirty, n); r.end != 0 || dirty {
		return r
	}
	if r := m.takeRunOf(frameClean, n); r.end != 0 {
		return r
	}
	n &^= machPage - 1
	for i := m.nregion - 1; i >= m.at && i >= 0; i-- {
		if r := &m.region[i]; r.end > r.start {
			k := min(n, r.end-r.start)
			r.end -= k
			m.free -= k
			return machRange{r.end, r.end + k}
		}
	}
	return machRange{}
}

// takeRunOf takes the first run of a kind of frames in the bitmaps.
func (m *machFrames) takeRunOf(kind int, n uintptr) machRange {
	for ; m.nfree[kind] != 0; m.low[kind]++ {
		i := m.low[kind]
		c := m.chunk(i)
		if c.n[kind] == 0 {
			continue
		}
		for load64(c.bits[kind]+uintptr(c.low[kind])*8) == 0 {
			c.low[kind]++
		}
		first := c.low[kind]*64 + sys.TrailingZeros64(load64(c.bits[kind]+uintptr(c.low[kind])*8))
		length := c.length(kind, first, int(n/machPage))
		m.takeRun(c, kind, first, length)
		start := uintptr(i)<<chunkShift + uintptr(first)<<12
		return machRange{start, start + uintptr(length)*machPage}
	}
	return machRange{}
}

// giveFrames returns what takeFrames took.
func (m *machFrames) giveFrames(r machRange, clean bool) {
	m.lent -= r.end - r.start
	kind := frameDirty
	if clean {
		kind = frameClean
	}
	for p := r.start; p < r.end; p += machPage {
		m.put(kind, p)
	}
}
