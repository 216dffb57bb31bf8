package pagecache

import "sync/atomic"

// readAhead detects that a file is read sequentially. Then whole chunks are read, and the
// next ones before they are asked for.
type readAhead struct {
	next    atomic.Int64 // where a sequential reader would read next
	streak  atomic.Int64 // bytes read in sequence
	fetched atomic.Int64 // index of the last chunk that was read ahead
}

// How much makes a reader sequential, and how far ahead is read. Linux's read_ahead_kb is
// 128 by default, for virtio disks in clouds often 1024.
const (
	sequentialAfter = 2 * PageSize
	aheadChunks     = 4
)

// note records a read of [off, end).
func (r *readAhead) note(f *File, off, end int64) {
	if r.next.Swap(end) != off {
		r.streak.Store(end - off)
		if off != 0 {
			return
		}
	} else {
		r.streak.Add(end - off)
	}
	if !r.sequential() {
		return
	}
	last := end / chunkSize
	if ahead := r.fetched.Load(); last+1 > ahead || last+aheadChunks < ahead {
		r.fetched.Store(last + aheadChunks)
		if (last+1)*chunkSize < f.size.Load() {
			go f.fetch(last+1, last+aheadChunks)
		}
	}
}

func (r *readAhead) sequential() bool { return r.streak.Load() > sequentialAfter }

// widen returns which pages of a chunk to read when need is asked for.
func (r *readAhead) widen(f *File, index int64, need uint64) uint64 {
	if !r.sequential() {
		return need
	}
	lo, _ := run(need)
	pages := (f.size.Load() - index*chunkSize + PageSize - 1) / PageSize
	return need | mask(lo, max(int(min(pages, chunkPages)), lo+1))
}

// fetch reads chunks [first, last] ahead.
func (f *File) fetch(first, last int64) {
	f.cut.RLock()
	defer f.cut.RUnlock()
	for i := first; i <= last && i*chunkSize < f.size.Load(); i++ {
		pages := (f.size.Load() - i*chunkSize + PageSize - 1) / PageSize
		c := f.chunk(i, true)
		c.lock()
		e := c.fill(mask(0, int(min(pages, chunkPages))))
		c.unlock()
		if e != 0 {
			return
		}
		c.touch()
	}
}
