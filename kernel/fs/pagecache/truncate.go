package pagecache

import "syscall"

// Truncate sets the size. lower does the same in the file below; there are no reads, writes
// or writeback during the call.
func (f *File) Truncate(size int64, lower func() syscall.Errno) syscall.Errno {
	f.write.Lock()
	defer f.write.Unlock()
	return f.truncate(size, lower)
}

// Extend is Truncate for a file that is shorter than size, and does nothing for others.
func (f *File) Extend(size int64, lower func() syscall.Errno) syscall.Errno {
	f.write.Lock()
	defer f.write.Unlock()
	if size <= f.size.Load() {
		return 0
	}
	return f.truncate(size, lower)
}

// truncate is Truncate with write held.
func (f *File) truncate(size int64, lower func() syscall.Errno) syscall.Errno {
	if f.discarded {
		return syscall.ESTALE
	}
	f.cut.Lock()
	defer f.cut.Unlock()
	if size < f.size.Load() {
		if e := f.ownPage(size); e != 0 {
			return e
		}
		if e := f.cutOut(size, maxOffset, lower); e != 0 {
			return e
		}
	} else {
		if e := lower(); e != 0 {
			return e
		}
		f.clearTail()
	}
	f.size.Store(size)
	f.resizeMapping(size)
	return 0
}

// ownPage makes the page that contains off resident. The machine may be the only one to have
// it, or be able to read it on demand, and the page's end is about to be cleared. cut is
// held.
func (f *File) ownPage(off int64) syscall.Errno {
	if f.mapped == 0 || off%PageSize == 0 {
		return 0
	}
	i := int(off % chunkSize / PageSize)
	c := f.chunk(off/chunkSize, true)
	c.lock()
	defer c.unlock()
	e := c.fill(mask(i, i+1))
	c.Keep |= c.Valid & mask(i, i+1) // until clipRuns has removed it from the runs
	return e
}

// cutOut drops the bytes [off, end) after lower has freed them below. If lower fails,
// nothing is lost. cut is held.
//
// lower may find dirty pages in the range and drops the space reserved for them. There is no
// writeback meanwhile, because cut is held, and drop finds nothing left to unreserve.
// Mappings lose the range first, so that the machine shows nothing of what is being freed;
// what they store meanwhile, into pages of zeroes, is lost in both cases.
func (f *File) cutOut(off, end int64, lower func() syscall.Errno) syscall.Errno {
	if e := f.clipRuns(off, end); e != 0 {
		return e
	}
	f.unmapRange(off, end)
	if e := lower(); e != 0 {
		f.mapAgain(off, end)
		return e
	}
	f.drop(off, end)
	return 0
}

// mapAgain shows the pages of [off, end) to mappings again.
func (f *File) mapAgain(off, end int64) {
	if f.mapped == 0 {
		return
	}
	first, last := uintptr(off+PageSize-1)/PageSize, uintptr(min(end, f.size.Load())+PageSize-1)/PageSize
	f.c.m.DropPages(f.mapped, first, last)
	f.findRuns()
	f.showAll()
}

// Punch makes a range read as zeroes: whole pages are dropped, the parts of others are
// overwritten. lower does the same below, in whole blocks, for the range given to it.
func (f *File) Punch(off, end int64, lower func(off, end int64) syscall.Errno) syscall.Errno {
	f.write.Lock()
	defer f.write.Unlock()
	if f.discarded {
		return syscall.ESTALE
	}
	end = min(end, f.size.Load())
	first, last := (off+PageSize-1)/PageSize*PageSize, end/PageSize*PageSize
	if end == f.size.Load() {
		last = (end + PageSize - 1) / PageSize * PageSize
	}
	for _, part := range [2][2]int64{{off, min(first, end)}, {max(last, off), end}} {
		if part[0] >= part[1] || part[0] >= first && part[1] <= last {
			continue
		}
		if _, e := f.writeLocked(make([]byte, part[1]-part[0]), part[0]); e != 0 {
			return e
		}
	}
	if first >= last {
		return 0
	}
	f.cut.Lock()
	defer f.cut.Unlock()
	return f.cutOut(first, last, func() syscall.Errno { return lower(first, last) })
}

// Discard drops all pages, written back or not. The caller frees the file below, whose
// blocks may then belong to another file. Afterwards reads return nothing and changes are
// ESTALE. Mapped pages stay until the machine ends, which is about to happen, because its
// threads still run; what they store is lost.
func (f *File) Discard() {
	f.write.Lock()
	defer f.write.Unlock()
	f.cut.Lock()
	defer f.cut.Unlock()
	f.discarded = true
	if f.uses == 0 {
		f.empty()
	}
}

// Release writes back dirty pages and drops all pages. The file has no user now; it may be
// used again.
func (f *File) Release() syscall.Errno {
	e := f.SyncAll()
	f.cut.Lock()
	defer f.cut.Unlock()
	f.empty()
	return e
}

// empty drops all pages. cut is held.
func (f *File) empty() {
	f.drop(0, maxOffset)
	f.size.Store(0)
	f.resizeMapping(0)
}

// drop drops the bytes [off, end), where end is a page's end or the file's; a page that
// begins before off is cleared from there on. cut is held.
func (f *File) drop(off, end int64) {
	f.unmapRange(off, end)
	f.mu.Lock()
	list := make([]*chunk, 0, len(f.chunks))
	for i, c := range f.chunks {
		if (i+1)*chunkSize > off && i*chunkSize < end {
			list = append(list, c)
		}
	}
	f.mu.Unlock()
	for _, c := range list {
		c.drop(off, end)
	}
}

// drop drops what the chunk has of [off, end).
func (c *chunk) drop(off, end int64) {
	start := c.index * chunkSize
	off, end = max(off-start, 0), min(end-start, chunkSize)
	lo, hi := int((off+PageSize-1)/PageSize), int((end+PageSize-1)/PageSize)
	c.lock()
	if off%PageSize != 0 && c.Valid&mask(lo-1, lo) != 0 {
		clear(pageBytes(c.Page[lo-1])[off%PageSize:])
	}
	if lo < hi {
		set := mask(lo, hi)
		c.f.unreserve(c, c.dirty&set)
		c.markClean(set)
		gone := c.Valid & set
		c.Valid &^= gone
		c.updateKeep()
		c.give(c.f.c.m, gone)
	}
	empty := c.Valid == 0
	c.unlock()
	if empty {
		c.f.forget(c)
	}
}

// forget takes an empty chunk out of the file. cut is held: only the Cache's clock and the
// machine use it.
func (f *File) forget(c *chunk) {
	f.mu.Lock()
	delete(f.chunks, c.index)
	f.mu.Unlock()
	f.c.removeChunk(c)
}

// forgetIfEmpty is forget for a file in use: it does nothing if cut or the chunk is busy.
func (f *File) forgetIfEmpty(c *chunk) {
	if !f.cut.TryLock() {
		return
	}
	defer f.cut.Unlock()
	f.mu.Lock()
	mine := f.chunks[c.index] == c
	f.mu.Unlock()
	c.lock()
	empty := c.Valid == 0
	c.unlock()
	if mine && empty {
		f.forget(c)
	}
}

// clearTail zeroes the last page's bytes after the end of the file, which is about to grow:
// a mapping may have stored there, also into a page that the machine has made for a hole,
// which collectLocked finds. cut is held.
func (f *File) clearTail() {
	size := f.size.Load()
	if size%PageSize == 0 {
		return
	}
	f.collectLocked(size, size+1)
	if c := f.chunk(size/chunkSize, false); c != nil {
		c.lock()
		c.clearBehind(size)
		c.unlock()
	}
}

// clearBehind zeroes the bytes after the end in the last page of a file of that size, if
// the chunk has that page. The chunk is locked.
func (c *chunk) clearBehind(size int64) {
	if size/chunkSize != c.index || size%PageSize == 0 {
		return
	}
	if i := int(size % chunkSize / PageSize); c.Valid&mask(i, i+1) != 0 {
		clear(pageBytes(c.Page[i])[size%PageSize:])
	}
}
