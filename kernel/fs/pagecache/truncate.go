package pagecache

import "syscall"

// Truncate sets the size. lower does so in the file below, while nobody reads,
// writes or writes back.
func (f *File) Truncate(size int64, lower func() syscall.Errno) syscall.Errno {
	f.write.Lock()
	defer f.write.Unlock()
	return f.truncate(size, lower)
}

// Extend is Truncate of a file that is shorter than size.
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
	if f.gone {
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

// ownPage makes the page resident that off is in the middle of: the machine may have
// it alone, or could read it on demand, and its end is about to be cleared. cut is
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
	c.Keep |= c.Valid & mask(i, i+1) // until clipRuns has taken its place away
	return e
}

// cutOut forgets the bytes [off, end) once lower has freed them below. It may fail:
// then nothing is lost. cut is held.
//
// lower finds dirty pages in the range, and gives up the space that they were
// promised. Nobody writes them back meanwhile, because cut is held, and drop has
// nothing left to give back. Mappings lose the range first, so that the machine shows
// nothing of what is being freed; what they store meanwhile, into pages of zeroes,
// goes in both cases.
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

// mapAgain gives mappings the pages of [off, end) back.
func (f *File) mapAgain(off, end int64) {
	if f.mapped == 0 {
		return
	}
	first, last := uintptr(off+PageSize-1)/PageSize, uintptr(min(end, f.size.Load())+PageSize-1)/PageSize
	f.c.m.DropPages(f.mapped, first, last)
	f.findRuns()
	f.showAll()
}

// Punch makes a range read as zeroes: whole pages are dropped, what is left of
// others is overwritten. lower does the same below, for the range given to it, in
// whole blocks.
func (f *File) Punch(off, end int64, lower func(off, end int64) syscall.Errno) syscall.Errno {
	f.write.Lock()
	defer f.write.Unlock()
	if f.gone {
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

// Discard forgets all, written or not: the file below is given back, and what is
// there may be another's. Whoever still has the file reads nothing; changes are
// ESTALE. What is mapped stays as it is until then, and what is stored goes nowhere:
// the machine is about to end, and its threads still run.
func (f *File) Discard() {
	f.write.Lock()
	defer f.write.Unlock()
	f.cut.Lock()
	defer f.cut.Unlock()
	f.gone = true
	if f.uses == 0 {
		f.empty()
	}
}

// Release writes back what is dirty and forgets all. The file has no user; it may
// be used again.
func (f *File) Release() syscall.Errno {
	e := f.SyncAll()
	f.cut.Lock()
	defer f.cut.Unlock()
	f.empty()
	return e
}

// empty forgets the content. cut is held.
func (f *File) empty() {
	f.drop(0, maxOffset)
	f.size.Store(0)
	f.resizeMapping(0)
}

// drop forgets the bytes [off, end), where end is a page's or the file's; a page
// that begins before off is cleared from there on. cut is held.
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

// drop forgets what the chunk has of [off, end).
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

// forget takes an empty chunk out of the file. cut is held: nobody else uses it,
// but Cache's clock and the machine.
func (f *File) forget(c *chunk) {
	f.mu.Lock()
	delete(f.chunks, c.index)
	f.mu.Unlock()
	f.c.leave(c)
}

// forgetIfEmpty is forget where others may use the file: if nobody does just now.
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

// clearTail makes the last page's bytes behind the end of the file zero: a
// mapping may have stored there, also into a page that it has made for a hole, which
// collectLocked finds. The file is about to grow. cut is held.
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

// clearBehind clears what the last page of a file of that size has behind its end,
// if the chunk has that page. The chunk is locked.
func (c *chunk) clearBehind(size int64) {
	if size/chunkSize != c.index || size%PageSize == 0 {
		return
	}
	if i := int(size % chunkSize / PageSize); c.Valid&mask(i, i+1) != 0 {
		clear(pageBytes(c.Page[i])[size%PageSize:])
	}
}
