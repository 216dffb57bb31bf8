package pagecache

import (
	"slices"
	"syscall"
)

// batchChunks is how many chunks go to the file below in one call: 1 MiB.
const batchChunks = 4

// Sync writes back what is dirty in [off, end). An error is also the result of
// the calls after it until the data has been written.
func (f *File) Sync(off, end int64) syscall.Errno {
	f.collect(off, end)
	return f.writeBack(off, end)
}

// SyncAll is Sync of the whole file.
func (f *File) SyncAll() syscall.Errno { return f.Sync(0, maxOffset) }

// writeBack writes the dirty pages of [off, end), and waits for those that are
// being written already. What others failed to write meanwhile is dirty again: it
// is tried once more, so that the caller learns of it.
func (f *File) writeBack(off, end int64) syscall.Errno {
	f.cut.RLock()
	defer f.cut.RUnlock()
	failures := f.failures.Load()
	first := f.writeDirty(off, end)
	f.busy.Lock()
	f.busy.Unlock()
	if first == 0 && f.failures.Load() != failures {
		first = f.writeDirty(off, end)
	}
	return first
}

// writeDirty writes the dirty pages of a range. cut is held.
func (f *File) writeDirty(off, end int64) (first syscall.Errno) {
	if f.dirty.Load() == 0 || f.gone {
		return 0
	}
	list := f.dirtyChunks(off, end)
	for len(list) > 0 {
		n := neighbours(list)
		if e := f.writeChunks(list[:n]); e != 0 && first == 0 {
			first = e
		}
		list = list[n:]
	}
	f.placeWritten()
	return first
}

// dirtyChunks returns the chunks of a range with dirty pages, in order.
func (f *File) dirtyChunks(off, end int64) []*chunk {
	f.soiledMu.Lock()
	list := make([]*chunk, 0, len(f.soiled))
	for c := range f.soiled {
		if c.index*chunkSize < end && off < (c.index+1)*chunkSize {
			list = append(list, c)
		}
	}
	f.soiledMu.Unlock()
	slices.SortFunc(list, func(a, b *chunk) int { return int(min(max(a.index-b.index, -1), 1)) })
	return list
}

// neighbours returns how many chunks follow each other, up to a batch.
func neighbours(list []*chunk) int {
	n := 1
	for n < len(list) && n < batchChunks && list[n].index == list[0].index+int64(n) {
		n++
	}
	return n
}

// writeChunks writes the dirty pages of neighbouring chunks, in as few calls as
// their gaps allow.
func (f *File) writeChunks(list []*chunk) syscall.Errno {
	f.busy.Lock()
	defer f.busy.Unlock()
	for _, c := range list {
		c.lock()
		c.clearBehind(f.size.Load())
		c.writing = c.dirty
		c.wash(c.dirty)
		c.settle()
		c.unlock()
	}
	first := f.writeRuns(list)
	f.notePlaceless(list)
	for _, c := range list {
		c.lock()
		c.writing = 0
		c.settle()
		c.unlock()
	}
	return first
}

// notePlaceless notes whether whole pages were written that had no place before. busy
// is held.
func (f *File) notePlaceless(list []*chunk) {
	if f.mapped == 0 || f.placeless {
		return
	}
	whole := f.size.Load() / PageSize
	for _, c := range list {
		set := c.writing
		if first := c.index * chunkPages; first+chunkPages > whole {
			set &= mask(0, int(max(whole-first, 0)))
		}
		if set&^f.placed(c.index) != 0 {
			f.placeless = true
			return
		}
	}
}

// placeWritten tells the machine where they lie: from now on they can be evicted. If
// that does not work, they stay.
func (f *File) placeWritten() {
	f.busy.Lock()
	defer f.busy.Unlock()
	if f.placeless {
		f.placeless = false
		f.findRuns()
	}
}

// writeRuns writes runs of pages that are being written. Those that fail are
// dirty again.
func (f *File) writeRuns(list []*chunk) (first syscall.Errno) {
	var bufs [][]byte
	start := int64(0)
	flush := func() {
		if len(bufs) == 0 {
			return
		}
		if e := f.writePages(bufs, start); e != 0 {
			f.soilAgain(list, start, start+int64(len(bufs))*PageSize)
			if first == 0 {
				first = e
			}
		}
		bufs = bufs[:0]
	}
	for _, c := range list {
		for set := c.writing; set != 0; {
			lo, hi := run(set)
			if at := c.offset(lo); len(bufs) == 0 || at != start+int64(len(bufs))*PageSize {
				flush()
				start = at
			}
			for i := lo; i < hi; i++ {
				bufs = append(bufs, pageBytes(c.page[i]))
			}
			set &^= mask(lo, hi)
		}
	}
	flush()
	return first
}

// writePages writes pages at off: as far as the file reaches, in whole blocks.
func (f *File) writePages(bufs [][]byte, off int64) syscall.Errno {
	size := f.size.Load()
	end := off + int64(len(bufs))*PageSize
	if end <= size {
		return f.b.WriteData(bufs, off, end)
	}
	if size <= off { // cut off meanwhile
		f.b.Unreserve(off, end-off)
		return 0
	}
	block := int64(f.b.BlockSize())
	n := (size - off + block - 1) / block * block
	bufs = slices.Clone(bufs[:(n+PageSize-1)/PageSize])
	if rest := n % PageSize; rest != 0 {
		bufs[len(bufs)-1] = bufs[len(bufs)-1][:rest]
	}
	return f.b.WriteData(bufs, off, size)
}

// soilAgain makes pages of [off, end) that were being written dirty.
func (f *File) soilAgain(list []*chunk, off, end int64) {
	f.failures.Add(1)
	for _, c := range list {
		c.lock()
		for set := c.writing; set != 0; {
			lo, hi := run(set)
			for i := lo; i < hi; i++ {
				if at := c.offset(i); at >= off && at < end {
					c.soil(mask(i, i+1))
				}
			}
			set &^= mask(lo, hi)
		}
		c.unlock()
	}
}
