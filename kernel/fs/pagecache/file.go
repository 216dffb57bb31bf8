package pagecache

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

const maxOffset = 1<<63 - 1

// File is the cached content of one file. Any number of goroutines may use it.
//
// Locks, in this order: write, cut, busy, mu, a chunk's, dirtyMu.
type File struct {
	c *Cache
	b Backing

	write sync.Mutex   // one writer at a time, as POSIX requires
	busy  sync.Mutex   // held during writeback
	cut   sync.RWMutex // read-locked while pages are used, locked while the file is truncated

	size  atomic.Int64
	dirty atomic.Int64 // number of dirty pages

	failures  atomic.Int64 // number of failed writebacks
	discarded bool         // set by Discard: the file below may not be used any more; changed with write and cut held

	mu     sync.Mutex
	chunks map[int64]*chunk

	dirtyMu   sync.Mutex
	withDirty map[*chunk]struct{} // chunks with dirty pages

	ahead  readAhead
	mapped machine.File  // the machine's handle while there are mappings: mapping.go
	uses   int           // number of mappings
	runs   []machine.Run // what the machine can read by itself: runs.go

	newExtents bool // whole pages were written that were not in runs; guarded by busy
}

// NewFile returns the cache of a file of the given size.
func (c *Cache) NewFile(b Backing, size int64) *File {
	f := &File{c: c, b: b, chunks: make(map[int64]*chunk), withDirty: make(map[*chunk]struct{})}
	f.size.Store(size)
	return f
}

// Size is the file's size in bytes, including data that is not written back.
func (f *File) Size() int64 { return f.size.Load() }

// chunk returns the chunk with the given index, which is made if make is true; nil if there
// is none.
func (f *File) chunk(index int64, make bool) *chunk {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.chunks[index]
	if c == nil && make {
		c = &chunk{f: f, index: index, Chunk: machine.Chunk{File: f.mapped, First: uintptr(index) * chunkPages}}
		f.chunks[index] = c
		f.c.addChunk(c)
	}
	return c
}

// span is a part of a chunk: the pages [lo, hi), the bytes [from, to) from the chunk's
// beginning.
type span struct {
	index    int64
	lo, hi   int
	from, to int
}

// next returns the first span of [off, end).
func next(off, end int64) span {
	index := off / chunkSize
	from := off - index*chunkSize
	to := min(end-index*chunkSize, chunkSize)
	return span{index, int(from / PageSize), int((to + PageSize - 1) / PageSize), int(from), int(to)}
}

// ReadAt is pread(2): it returns 0 at the end of the file.
func (f *File) ReadAt(p []byte, off int64) (int, syscall.Errno) {
	f.cut.RLock()
	defer f.cut.RUnlock()
	end := min(off+int64(len(p)), f.size.Load())
	if off >= end || end < 0 {
		return 0, 0
	}
	f.ahead.note(f, off, end)
	n := 0
	for off < end {
		s := next(off, end)
		if e := f.readSpan(p[n:], s); e != 0 {
			if n > 0 {
				e = 0
			}
			return n, e
		}
		n += s.to - s.from
		off += int64(s.to - s.from)
	}
	return n, 0
}

func (f *File) readSpan(p []byte, s span) syscall.Errno {
	c := f.chunk(s.index, true)
	c.touch()
	need := mask(s.lo, s.hi)
	if c.tryCopyOut(p, s, need) {
		return 0
	}
	c.lock()
	defer c.unlock()
	e := c.fill(f.ahead.widen(f, s.index, need))
	if e != 0 {
		e = c.fill(need) // a page that was not asked for may have failed
	}
	if e == 0 {
		c.copyOut(p, s.from, s.to)
	}
	return e
}

// tryCopyOut copies a span if its pages are there. The copy may fault, because p may lie in
// a mapping of another file: a fault must not leave the chunk locked.
func (c *chunk) tryCopyOut(p []byte, s span, need uint64) bool {
	c.rlock()
	defer c.runlock()
	if c.Valid&need != need {
		return false
	}
	c.copyOut(p, s.from, s.to)
	return true
}

// copyOut copies bytes [from, to) of the chunk to p. Its pages are valid.
func (c *chunk) copyOut(p []byte, from, to int) {
	for from < to {
		i := from / PageSize
		n := min(to, (i+1)*PageSize) - from
		copy(p[:n], pageBytes(c.Page[i])[from-i*PageSize:])
		p = p[n:]
		from += n
	}
}

func (c *chunk) copyIn(p []byte, from, to int) {
	for from < to {
		i := from / PageSize
		n := min(to, (i+1)*PageSize) - from
		copy(pageBytes(c.Page[i])[from-i*PageSize:], p[:n])
		p = p[n:]
		from += n
	}
}

// WriteAt is pwrite(2). The data is in memory when it returns: Sync writes it back.
func (f *File) WriteAt(p []byte, off int64) (int, syscall.Errno) {
	f.c.throttle(f)
	f.write.Lock()
	defer f.write.Unlock()
	return f.writeLocked(p, off)
}

// Append writes at the end of the file and returns where the data ends.
func (f *File) Append(p []byte) (n int, end int64, e syscall.Errno) {
	f.c.throttle(f)
	f.write.Lock()
	defer f.write.Unlock()
	at := f.size.Load()
	n, e = f.writeLocked(p, at)
	return n, at + int64(n), e
}

// WriteThrough is for files that others write, too: lower writes below and returns how many bytes of p it
// has written and where, and the pages follow. There is no writeback during the call. After an error of
// the pages what lower has written stays.
func (f *File) WriteThrough(p []byte, lower func() (n int, off int64, e syscall.Errno)) (n int, off int64, e syscall.Errno) {
	f.write.Lock()
	defer f.write.Unlock()
	if f.discarded {
		return 0, 0, syscall.ESTALE
	}
	f.cut.RLock()
	defer f.cut.RUnlock()
	f.busy.Lock()
	defer f.busy.Unlock()
	if n, off, e = lower(); e != 0 {
		return n, off, e
	}
	_, e = f.writePages(p[:n], off, false)
	return n, off, e
}

func (f *File) writeLocked(p []byte, off int64) (int, syscall.Errno) {
	if f.discarded {
		return 0, syscall.ESTALE
	}
	f.cut.RLock()
	defer f.cut.RUnlock()
	n, e := f.writePages(p, off, true)
	if e == 0 {
		f.c.flush.note(f)
	}
	return n, e
}

// writePages writes to pages, which become dirty if they are ahead of the file below. write and cut are
// held.
func (f *File) writePages(p []byte, off int64, ahead bool) (int, syscall.Errno) {
	if off > f.size.Load() {
		f.clearTail()
	}
	n := 0
	for n < len(p) {
		s := next(off, off+int64(len(p)-n))
		if e := f.writeSpan(p[n:], s, ahead); e != 0 {
			if n > 0 && ahead {
				e = 0
			}
			return n, e
		}
		n += s.to - s.from
		off += int64(s.to - s.from)
	}
	return n, 0
}

// grow makes the file at least size bytes long.
func (f *File) grow(size int64) {
	if size > f.size.Load() {
		f.size.Store(size)
		f.resizeMapping(size)
	}
}

func (f *File) writeSpan(p []byte, s span, ahead bool) syscall.Errno {
	c := f.chunk(s.index, true)
	c.touch()
	c.lock()
	defer c.unlock()
	set := mask(s.lo, s.hi)
	// Pages that are only partly overwritten are read first, unless they lie after the
	// end of the file.
	var part uint64
	if s.from%PageSize != 0 {
		part |= mask(s.lo, s.lo+1)
	}
	if s.to%PageSize != 0 && s.index*chunkSize+int64(s.to) < f.size.Load() {
		part |= mask(s.hi-1, s.hi)
	}
	if ahead {
		if e := f.reserve(c, set); e != 0 {
			return e
		}
	}
	e := c.fill(part)
	if e == 0 {
		e = c.blank(set)
	}
	if e != 0 {
		if ahead {
			f.unreserve(c, set&^c.dirty)
		}
		return e
	}
	c.copyIn(p, s.from, s.to)
	if ahead {
		c.markDirty(set)
	}
	// Before the chunk is unlocked: writeback clears what lies after the end.
	f.grow(c.index*chunkSize + int64(s.to))
	return 0
}

// reserve reserves space for pages of a set that are not dirty yet.
func (f *File) reserve(c *chunk, set uint64) syscall.Errno {
	done := uint64(0)
	for set &^= c.dirty; set != 0; {
		lo, hi := run(set)
		if e := f.b.Reserve(c.offset(lo), int64(hi-lo)*PageSize); e != 0 {
			f.unreserve(c, done)
			return e
		}
		done |= mask(lo, hi)
		set &^= mask(lo, hi)
	}
	return 0
}

func (f *File) unreserve(c *chunk, set uint64) {
	for set != 0 {
		lo, hi := run(set)
		f.b.Unreserve(c.offset(lo), int64(hi-lo)*PageSize)
		set &^= mask(lo, hi)
	}
}

// readPages fills pages from the file below at off; pages after its end are zeroes.
func (f *File) readPages(pages []uint64, off int64) syscall.Errno {
	bufs := make([][]byte, len(pages))
	for i, p := range pages {
		bufs[i] = pageBytes(p)
	}
	return f.b.ReadData(bufs, off)
}
