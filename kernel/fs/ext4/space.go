package ext4

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// space counts blocks of the whole file system. A caller claims blocks first and allocates
// them from bitmaps later, so that a claimed allocation cannot fail: free - reserved is what
// can still be claimed.
type space struct {
	free     atomic.Int64 // clear bits in the allocator's bitmaps
	reserved atomic.Int64 // part of free: claimed for dirty pages and open handles
	deferred atomic.Int64 // freed, but not durably, or not discarded yet
	prealloc atomic.Int64 // preallocated for growing files; not part of free

	mu      sync.Mutex
	windows map[*window]struct{} // all windows with blocks
}

// window is a run of blocks preallocated in memory for a file's next blocks. It is in
// space.windows as long as it has blocks: space.mu is taken while mu is held.
type window struct {
	mu      sync.Mutex
	phys, n uint64
}

func (w *window) nonEmpty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n > 0
}

// countFree sums up the descriptors.
func (fs *FS) countFree() {
	blocks, inodes := int64(0), int64(0)
	for _, g := range fs.group {
		blocks += int64(fs.descFree(g.desc))
		inodes += int64(fs.descInodes(g.desc))
	}
	fs.space.free.Store(blocks << fs.clusterBits)
	fs.freeInode.Store(inodes)
}

// claim reserves n blocks for the caller if n+margin are free. It may commit the running
// transaction: no handle may be open. ENOSPC.
func (fs *FS) claim(n, margin int64) syscall.Errno {
	if n == 0 || fs.tryClaim(n, margin) {
		return 0
	}
	fs.dropWindows()
	deferred := fs.space.deferred.Load() // must be read before free, to which deferred blocks move
	if fs.tryClaim(n, margin) {
		return 0
	}
	if deferred > 0 {
		if e := fs.j.CommitAll(); e != 0 {
			return e
		}
		fs.waitDiscards()
		if fs.tryClaim(n, margin) {
			return 0
		}
	}
	return syscall.ENOSPC
}

func (fs *FS) tryClaim(n, margin int64) bool {
	s := &fs.space
	for {
		p := s.reserved.Load()
		if s.free.Load()-p-n < margin {
			return false
		}
		if s.reserved.CompareAndSwap(p, p+n) {
			return true
		}
	}
}

func (fs *FS) unclaim(n int64) {
	if n != 0 {
		fs.space.reserved.Add(-n)
	}
}

// margin is how many free blocks a reservation for data must leave. Half of it is left by
// changes of metadata (begin) and by data without a reservation: pages that were made dirty
// through a mapping, whose writer can no longer get an error. That half is for the extent
// trees of reserved data (beginReserved), which must not fail because something else took
// the last blocks.
func (fs *FS) margin() int64 { return int64(min(fs.blocks/50, 1024)) }

// take allocates up to want blocks in memory, all of them claimed before: at goal, or in
// the first long run near it.
func (fs *FS) take(goal, want uint64) (phys, n uint64, e syscall.Errno) {
	if goal <= fs.firstData || goal >= fs.blocks {
		goal = fs.firstData + 1
	}
	phys, n = fs.search(goal, want)
	if n == 0 {
		fs.dropWindows()
		phys, n = fs.search(goal, want)
	}
	if n == 0 {
		return 0, 0, syscall.ENOSPC
	}
	fs.space.reserved.Add(-int64(n))
	return phys, n, 0
}

// goodRun is how many blocks at the goal itself are enough to end the search.
const goodRun = 16

func (fs *FS) search(goal, want uint64) (phys, n uint64) {
	want = min(want, uint64(fs.blocksPer), maxUnwritten)
	first := fs.groupOf(goal)
	g, bit := fs.group[first], fs.bitOf(goal)
	if at, n := fs.takeFrom(g, bit, uint32(min(want, goodRun)), uint32(want), true); n > 0 {
		return fs.groupStart(g.n) + uint64(at), uint64(n)
	}
	for least := uint32(want); ; least = least / 4 {
		least = max(least, 1)
		for k := range fs.groups {
			g := fs.group[(first+k)%fs.groups]
			from := uint32(0)
			if k == 0 {
				from = bit
			}
			if at, n := fs.takeFrom(g, from, least, uint32(want), false); n > 0 {
				return fs.groupStart(g.n) + uint64(at), uint64(n)
			}
		}
		if least == 1 {
			return 0, 0
		}
	}
}

// takeFrom allocates a run of at least least blocks from one group: from bit from on or, if
// there is none, anywhere in the group; with here, only at from.
func (fs *FS) takeFrom(g *group, from, least, want uint32, here bool) (at, n uint32) {
	if uint32(max(0, g.largest.Load())) < least || g.freeBits.Load() <= 0 {
		return 0, 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if fs.load(g) != 0 {
		return 0, 0
	}
	end := fs.groupBlocks(g.n)
	if here {
		at, n = from, nextOne(g.mem, from, min(end, from+want))-from
	} else {
		at, n = findRun(g.mem, from, end, want)
		if n < least && from > 0 {
			at, n = findRun(g.mem, 0, end, want)
		}
		if n < want && (from == 0 || n < least) {
			g.largest.Store(int32(n))
		}
	}
	if n < least {
		return 0, 0
	}
	setBits(g.mem, at, n)
	g.pendingBits += int(n)
	g.freeBits.Add(-int32(n))
	g.cursor = at + n
	fs.space.free.Add(-int64(n))
	return at, n
}

// putBack returns blocks that were allocated but not journalled.
func (fs *FS) putBack(phys, n uint64) {
	fs.pieces(phys, n, func(g *group, bit, n uint32) syscall.Errno {
		fs.giveBack(g, bit, n)
		return 0
	})
}

// block allocates one block for metadata, claimed by begin, and journals that.
func (o *op) block(goal uint64) (uint64, syscall.Errno) {
	if o.claimed <= 0 {
		return 0, o.fs.corrupt("a change needs more blocks than it has claimed:", uint64(o.credits))
	}
	phys, _, e := o.fs.take(goal, 1)
	if e != 0 {
		return 0, e
	}
	o.claimed--
	if e := o.use(phys, 1); e != 0 {
		if !o.changed {
			o.fs.putBack(phys, 1)
		}
		return 0, e
	}
	return phys, 0
}

// maxPrealloc is the most bytes that are preallocated for a growing file.
const maxPrealloc = 8 << 20

// takePreallocated allocates up to want blocks for a file, from its window if that starts
// at goal. Otherwise it allocates them elsewhere, and up to ahead more blocks after them as
// the file's new window.
func (fs *FS) takePreallocated(w *window, goal, want, ahead uint64) (phys, n uint64, e syscall.Errno) {
	w.mu.Lock()
	if w.n > 0 && w.phys == goal {
		phys, n = w.phys, min(want, w.n)
		w.phys, w.n = w.phys+n, w.n-n
		w.mu.Unlock()
		fs.space.prealloc.Add(-int64(n))
		fs.space.reserved.Add(-int64(n))
		return phys, n, 0
	}
	w.mu.Unlock()
	if w.nonEmpty() {
		fs.release(w)
	}
	extra := uint64(0)
	if fs.mayPreallocate() {
		extra = min(ahead, maxPrealloc>>fs.blockBits)
	}
	fs.space.reserved.Add(int64(extra))
	phys, n, e = fs.take(goal, want+extra)
	if e != 0 {
		fs.space.reserved.Add(-int64(extra))
		return 0, 0, e
	}
	if n <= want {
		fs.space.reserved.Add(-int64(extra))
		return phys, n, 0
	}
	rest := n - want
	fs.space.reserved.Add(int64(rest) - int64(extra))
	fs.keep(w, phys+want, rest)
	return phys, want, 0
}

// mayPreallocate reports whether there is enough space to preallocate.
func (fs *FS) mayPreallocate() bool {
	return fs.space.free.Load()-fs.space.reserved.Load() > int64(fs.blocks/16+2*maxPrealloc>>fs.blockBits)
}

// keep makes n allocated blocks a file's window.
func (fs *FS) keep(w *window, phys, n uint64) {
	s := &fs.space
	s.prealloc.Add(int64(n))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phys, w.n = phys, n
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.windows == nil {
		s.windows = map[*window]struct{}{}
	}
	s.windows[w] = struct{}{}
}

// release returns a window's blocks.
func (fs *FS) release(w *window) {
	s := &fs.space
	w.mu.Lock()
	s.mu.Lock()
	delete(s.windows, w)
	s.mu.Unlock()
	phys, n := w.phys, w.n
	w.n = 0
	w.mu.Unlock()
	if n > 0 {
		s.prealloc.Add(-int64(n))
		fs.putBack(phys, n)
	}
}

func (fs *FS) dropWindows() {
	s := &fs.space
	s.mu.Lock()
	var list []*window
	for w := range s.windows {
		list = append(list, w)
	}
	s.mu.Unlock()
	for _, w := range list {
		fs.release(w)
	}
}
