package pagecache

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// The machine half of package runtime serves the page faults of a mapping with pages that
// this package shows it (machine_files.go there). No Go code can run for a fault. If the
// machine can read the device and the file lies there in whole pages (runs.go), the machine
// reads a missing page by itself, and evicts such pages when memory is short. All other data
// in a mapped range is read when it is mapped, and stays until the last mapping of the file
// ends. Holes cost nothing until they are used.

// Map maps n bytes of the file from off on, as mmap(2) with addr, prot and flags
// does, and returns the address. Each Map is undone by an Unmap.
func (f *File) Map(addr, n uintptr, off int64, prot, flags uintptr) (uintptr, syscall.Errno) {
	f.write.Lock()
	defer f.write.Unlock()
	f.cut.Lock()
	defer f.cut.Unlock()
	if e := f.startMapping(off + int64(n)); e != 0 {
		return 0, e
	}
	e := f.load(off, min(off+int64(n), f.size.Load()))
	var at uintptr
	if e == 0 {
		at, e = f.c.m.MapFile(f.mapped, addr, n, uintptr(off/PageSize), prot, flags)
	}
	if e != 0 {
		f.endMapping()
		return 0, e
	}
	return at, 0
}

// Retain counts a second mapping after one was split in two.
func (f *File) Retain() {
	f.cut.Lock()
	f.uses++
	f.cut.Unlock()
}

// Unmap uncounts a mapping whose addresses have been unmapped.
func (f *File) Unmap() {
	f.cut.Lock()
	defer f.cut.Unlock()
	f.endMapping()
}

// startMapping counts a mapping that ends at end. At the first mapping, the cached pages
// are shown to the machine. cut is held.
func (f *File) startMapping(end int64) syscall.Errno {
	pages := uintptr(end+PageSize-1) / PageSize
	if f.mapped == 0 {
		h, e := f.c.m.NewFile(f.reader())
		if e != 0 || h == 0 {
			return max(e, syscall.ENOMEM)
		}
		f.mapped = h
		f.c.mappedMu.Lock()
		f.c.mapped[f] = struct{}{}
		f.c.mappedMu.Unlock()
	}
	f.uses++
	first := f.uses == 1
	f.resizeMapping(f.size.Load())
	pages = max(pages, uintptr(f.size.Load()+PageSize-1)/PageSize)
	grown, e := f.c.m.ReachFile(f.mapped, pages)
	if e == 0 && first {
		e = f.findRuns()
	}
	if e != 0 {
		f.endMapping()
		return e
	}
	if first || grown {
		f.showAll()
	}
	return 0
}

// endMapping uncounts a mapping. At the last one, pages that were stored to become dirty,
// and all pages can be evicted again. cut is held.
func (f *File) endMapping() {
	if f.uses--; f.uses > 0 {
		return
	}
	f.collectPages(0, maxOffset, true)
	f.c.mappedMu.Lock()
	delete(f.c.mapped, f)
	f.c.mappedMu.Unlock()
	h := f.mapped
	f.mapped, f.runs = 0, nil
	f.eachChunk(func(c *chunk) { c.File = 0 })
	f.c.m.FreeFile(h)
	if f.discarded {
		f.empty()
	}
	if f.dirty.Load() > 0 {
		f.c.flush.note(f)
	}
}

// showAll enters the cached pages into the machine's table.
func (f *File) showAll() {
	f.eachChunk(func(c *chunk) {
		c.File = f.mapped
		for set := c.Valid; set != 0; {
			lo, hi := run(set)
			f.show(c, lo, hi)
			set &^= mask(lo, hi)
		}
	})
}

func (f *File) eachChunk(fn func(c *chunk)) {
	f.mu.Lock()
	list := make([]*chunk, 0, len(f.chunks))
	for _, c := range f.chunks {
		list = append(list, c)
	}
	f.mu.Unlock()
	for _, c := range list {
		c.lock()
		fn(c)
		c.unlock()
	}
}

// show enters pages that have just become valid. If the machine has made or read a page in
// the meantime, that one becomes the file's. The chunk is locked.
func (f *File) show(c *chunk, lo, hi int) {
	if f.mapped == 0 {
		return
	}
	for i := lo; i < hi; i++ {
		index := uintptr(c.offset(i) / PageSize)
		if page := f.c.m.ShowPage(f.mapped, index, c.Page[i]).Address(); page != 0 && page != c.Page[i] {
			f.c.m.GivePages(c.Page[i : i+1])
			c.Page[i] = page
		}
	}
}

// load reads the data in [off, end), but neither holes nor what the machine can read.
func (f *File) load(off, end int64) syscall.Errno {
	for off < end {
		start, stop, e := f.b.NextData(off)
		if e != 0 || start < 0 || start >= end {
			return e
		}
		for at := max(start, off) / PageSize * PageSize; at < min(stop, end); {
			s := next(at, min(stop, end))
			if need := mask(s.lo, s.hi) &^ f.onDevice(s.index); need != 0 {
				c := f.chunk(s.index, true)
				c.lock()
				e := c.fill(need)
				c.unlock()
				if e != 0 {
					return e
				}
			}
			at = s.index*chunkSize + int64(s.to)
		}
		off = max(stop, off+1)
	}
	return 0
}

// resizeMapping sets the file's size in the machine: an access beyond it is SIGBUS.
func (f *File) resizeMapping(size int64) {
	if f.mapped == 0 {
		return
	}
	pages := uintptr(size+PageSize-1) / PageSize
	f.c.m.SetFilePages(f.mapped, pages)
}

// unmapRange removes the pages of [off, end) from all mappings; a page that begins before
// off stays.
func (f *File) unmapRange(off, end int64) {
	if f.mapped == 0 {
		return
	}
	f.collectLocked(off, end)
	first := uintptr(off+PageSize-1) / PageSize
	last := ^uintptr(0) >> 1
	if end < maxOffset-PageSize {
		last = uintptr(end+PageSize-1) / PageSize
	}
	f.c.m.DropPages(f.mapped, first, last)
}

// collect makes pages dirty that mappings have stored to.
func (f *File) collect(off, end int64) {
	f.cut.RLock()
	defer f.cut.RUnlock()
	f.collectLocked(off, end)
}

// collectLocked is collect with cut held.
func (f *File) collectLocked(off, end int64) { f.collectPages(off, end, false) }

// collectPages is collectLocked. With all, pages that the machine has made or read are added
// to the chunks, too.
func (f *File) collectPages(off, end int64, all bool) {
	if f.mapped == 0 {
		return
	}
	f.c.collectMu.Lock()
	defer f.c.collectMu.Unlock()
	// A collected page is clean to the machine and not yet dirty here: until EndCollect it
	// is not evicted.
	defer f.c.m.EndCollect(f.mapped)
	out := f.c.collected[:]
	first, last := uintptr(off)/PageSize, uintptr(min(end, maxOffset-PageSize)+PageSize-1)/PageSize
	for {
		n := f.c.m.CollectPages(f.mapped, first, last, out, all)
		for _, s := range out[:n] {
			f.collected(s)
		}
		if n < len(out) {
			return
		}
		first = out[n-1].Index + 1
	}
}

// collected records one page that was stored to.
func (f *File) collected(s machine.Stored) {
	off := int64(s.Index) * PageSize
	c := f.chunk(off/chunkSize, true)
	i := int(s.Index % chunkPages)
	bit := mask(i, i+1)
	c.lock()
	defer c.unlock()
	if c.Valid&bit == 0 {
		c.Page[i] = s.Page.Address()
		c.Valid |= bit
	}
	if s.Page&machine.PageDirty == 0 || c.dirty&bit != 0 {
		return
	}
	// If there is no space for a hole, writeback will return the error.
	f.b.Reserve(off, PageSize)
	c.markDirty(bit)
}
