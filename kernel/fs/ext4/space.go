package ext4

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// space counts blocks of the whole file system. Who wants blocks claims them first
// (promised) and takes them from bitmaps later, so that nothing that was promised
// fails: free - promised is what may still be claimed.
type space struct {
	free     atomic.Int64 // clear bits in the allocator's bitmaps
	promised atomic.Int64 // of free: to dirty pages and to open changes
	deferred atomic.Int64 // freed, and not durably or not yet discarded
	ahead    atomic.Int64 // kept for what follows the end of files; not in free

	mu      sync.Mutex
	windows map[*window]struct{} // all windows with blocks
}

// window is a run of blocks kept in memory for one file's next blocks. It gets and
// loses them together with its place in space.windows: space.mu is taken inside mu.
type window struct {
	mu      sync.Mutex
	phys, n uint64
}

func (w *window) held() bool {
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

// claim promises n blocks to the caller, of which margin more than n must be free.
// It may commit the running transaction: no handle may be open. ENOSPC.
func (fs *FS) claim(n, margin int64) syscall.Errno {
	if n == 0 || fs.tryClaim(n, margin) {
		return 0
	}
	fs.dropWindows()
	deferred := fs.space.deferred.Load() // before free is looked at, where it goes to
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
		p := s.promised.Load()
		if s.free.Load()-p-n < margin {
			return false
		}
		if s.promised.CompareAndSwap(p, p+n) {
			return true
		}
	}
}

func (fs *FS) unclaim(n int64) {
	if n != 0 {
		fs.space.promised.Add(-n)
	}
}

// margin is how many free blocks promises to data leave. Changes of metadata leave
// half of them (begin), and so does data without a promise: pages that a mapping has
// made dirty, whose writer cannot be told any more. That half is for the extent trees
// of promised data (beginPromised), which would fail if anything else took the last
// blocks.
func (fs *FS) margin() int64 { return int64(min(fs.blocks/50, 1024)) }

// take takes up to want blocks in memory, all of them claimed before: at goal, or
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
	fs.space.promised.Add(-int64(n))
	return phys, n, 0
}

// goodRun is how many blocks at the goal itself are enough not to look further.
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

// takeFrom takes from one group a run of at least least blocks from bit from on,
// or anywhere in the group if there is none behind it; here: only exactly at from.
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
	g.held += int(n)
	g.freeBits.Add(-int32(n))
	g.cursor = at + n
	fs.space.free.Add(-int64(n))
	return at, n
}

// untake gives back blocks that were taken and not journalled.
func (fs *FS) untake(phys, n uint64) {
	fs.pieces(phys, n, func(g *group, bit, n uint32) syscall.Errno {
		fs.giveBack(g, bit, n)
		return 0
	})
}

// block takes one block for metadata and journals that. It was claimed by begin.
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
			o.fs.untake(phys, 1)
		}
		return 0, e
	}
	return phys, 0
}

// aheadMost is how many bytes are kept at most for a growing file.
const aheadMost = 8 << 20

// takeAhead takes up to want blocks for a file, from its window if the window goes
// on at goal. Behind what it takes from elsewhere it makes a new window of up to
// ahead blocks.
func (fs *FS) takeAhead(w *window, goal, want, ahead uint64) (phys, n uint64, e syscall.Errno) {
	w.mu.Lock()
	if w.n > 0 && w.phys == goal {
		phys, n = w.phys, min(want, w.n)
		w.phys, w.n = w.phys+n, w.n-n
		w.mu.Unlock()
		fs.space.ahead.Add(-int64(n))
		fs.space.promised.Add(-int64(n))
		return phys, n, 0
	}
	w.mu.Unlock()
	if w.held() {
		fs.release(w)
	}
	extra := uint64(0)
	if fs.roomAhead() {
		extra = min(ahead, aheadMost>>fs.blockBits)
	}
	fs.space.promised.Add(int64(extra))
	phys, n, e = fs.take(goal, want+extra)
	if e != 0 {
		fs.space.promised.Add(-int64(extra))
		return 0, 0, e
	}
	if n <= want {
		fs.space.promised.Add(-int64(extra))
		return phys, n, 0
	}
	rest := n - want
	fs.space.promised.Add(int64(rest) - int64(extra))
	fs.keep(w, phys+want, rest)
	return phys, want, 0
}

// roomAhead says whether there is so much space that files may keep some.
func (fs *FS) roomAhead() bool {
	return fs.space.free.Load()-fs.space.promised.Load() > int64(fs.blocks/16+2*aheadMost>>fs.blockBits)
}

// keep makes n blocks, taken before, a file's window.
func (fs *FS) keep(w *window, phys, n uint64) {
	s := &fs.space
	s.ahead.Add(int64(n))
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

// release gives a window's blocks back.
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
		s.ahead.Add(-int64(n))
		fs.untake(phys, n)
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
