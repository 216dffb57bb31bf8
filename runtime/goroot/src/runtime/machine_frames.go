//go:build tamago

package runtime

import "internal/runtime/yolk/frames"

// Page frames: the allocator of package frames, and what it has to do with the rest of
// the machine half: pages taken back from the cache when there is no frame left, the end
// when there is none then, the interrupt that tells the balloon's driver of freed ones.

const largeFrames = machLargePage / machPage

// machFrames is all RAM.
type machFrames struct {
	frames.Frames
	total  uintptr // bytes of RAM
	top    uintptr // end of the highest region
	notice uintptr // interrupt when so many bytes are dirty; 0: never
	device int     // which device's interrupt that is
	lent   uintptr // bytes that takeFrames took and giveFrames did not return
}

// frame takes a page frame and returns its physical address, 0 if none is
// left. Its content is undefined.
func (m *machFrames) frame() uintptr {
	if f := m.Take(); f != 0 || mach.cache.pages == 0 || !mach.cache.reclaim() {
		return f
	}
	return m.Take()
}

// freeFrame gives a frame back.
func (m *machFrames) freeFrame(phys uintptr) { m.Put(phys) }

// noticeFreed sends the interrupt that says that there is much to report. It may
// write to a thread's memory, and so take frames: not in the midst of a change.
func (m *machFrames) noticeFreed() {
	if m.notice != 0 && m.Dirty() >= m.notice {
		m.notice = 0
		mach.poll.interrupt(m.device)
	}
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
	p := m.Contiguous(n)
	if p != 0 {
		zeroPages(p+directMap, n)
	}
	return p
}

// contiguousLow is contiguous for the time when only the lowest 4 GiB are mapped. The
// content is undefined.
func (m *machFrames) contiguousLow(n uintptr) uintptr {
	p := m.TakeLow(n)
	if p == 0 {
		machOutOfMemory()
	}
	return p
}

// takeFrames takes a run of at most n bytes out of use, for the host: what was
// used and freed; if dirty is not set, then any. The range is empty if there is
// none.
func (m *machFrames) takeFrames(n uintptr, dirty bool) machRange {
	r := m.TakeSome(n, dirty)
	m.lent += r.End - r.Start
	return machRange{r.Start, r.End}
}

// giveFrames returns what takeFrames took.
func (m *machFrames) giveFrames(r machRange, clean bool) {
	m.lent -= r.end - r.start
	m.Give(frames.Range{Start: r.start, End: r.end}, clean)
}
