package pagecache

import (
	"slices"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// batchChunks is how many chunks one call writes to the file below: 1 MiB.
const batchChunks = 4

// Sync writes back the dirty pages of [off, end). After an error, Sync keeps returning one
// until the data has been written.
func (f *File) Sync(off, end int64) syscall.Errno {
	f.collect(off, end)
	return f.writeBack(off, end)
}

// SyncAll is Sync of the whole file.
func (f *File) SyncAll() syscall.Errno { return f.Sync(0, maxOffset) }

// writeBack writes the dirty pages of [off, end), and waits for those that are being written
// already. Pages whose writeback failed meanwhile are dirty again: they are tried once more,
// so that the caller gets the error.
func (f *File) writeBack(off, end int64) syscall.Errno {
	f.cut.RLock()
	defer f.cut.RUnlock()
	failures := f.failures.Load()
	first := f.writeDirty(off, end)
	f.busy.Lock()
	//lint:ignore SA2001 a writeback that was under way has ended
	f.busy.Unlock()
	if first == 0 && f.failures.Load() != failures {
		first = f.writeDirty(off, end)
	}
	return first
}

// writeDirty writes the dirty pages of a range. cut is held.
func (f *File) writeDirty(off, end int64) (first syscall.Errno) {
	if f.dirty.Load() == 0 || f.discarded {
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
	f.mapNewExtents()
	return first
}

// dirtyChunks returns the chunks of a range with dirty pages, in order.
func (f *File) dirtyChunks(off, end int64) []*chunk {
	f.dirtyMu.Lock()
	list := make([]*chunk, 0, len(f.withDirty))
	for c := range f.withDirty {
		if c.index*chunkSize < end && off < (c.index+1)*chunkSize {
			list = append(list, c)
		}
	}
	f.dirtyMu.Unlock()
	slices.SortFunc(list, func(a, b *chunk) int { return int(min(max(a.index-b.index, -1), 1)) })
	return list
}

// neighbours returns how many chunks at the list's start are contiguous, up to a batch.
func neighbours(list []*chunk) int {
	n := 1
	for n < len(list) && n < batchChunks && list[n].index == list[0].index+int64(n) {
		n++
	}
	return n
}

// writeChunks writes the dirty pages of contiguous chunks, in as few calls as their gaps
// allow.
func (f *File) writeChunks(list []*chunk) syscall.Errno {
	f.busy.Lock()
	defer f.busy.Unlock()
	for _, c := range list {
		c.lock()
		c.clearBehind(f.size.Load())
		c.writing = c.dirty
		c.markClean(c.dirty)
		c.updateKeep()
		c.unlock()
	}
	first := f.writeRuns(list)
	f.noteNewExtents(list)
	for _, c := range list {
		c.lock()
		c.writing = 0
		c.updateKeep()
		c.unlock()
	}
	return first
}

// noteNewExtents records whether whole pages are being written that the machine cannot read
// yet. busy is held.
func (f *File) noteNewExtents(list []*chunk) {
	if f.mapped == 0 || f.newExtents {
		return
	}
	whole := f.size.Load() / PageSize
	for _, c := range list {
		set := c.writing
		if first := c.index * chunkPages; first+chunkPages > whole {
			set &= mask(0, int(max(whole-first, 0)))
		}
		if set&^f.onDevice(c.index) != 0 {
			f.newExtents = true
			return
		}
	}
}

// mapNewExtents tells the machine where the new extents lie: from now on their pages can be
// evicted. If that fails, the pages stay.
func (f *File) mapNewExtents() {
	f.busy.Lock()
	defer f.busy.Unlock()
	if f.newExtents {
		f.newExtents = false
		f.findRuns()
	}
}

// writeRuns writes runs of pages together. If one fails, each is tried alone, and those that
// fail are dirty again.
func (f *File) writeRuns(list []*chunk) syscall.Errno {
	var runs []block.Write
	for _, c := range list {
		for set := c.writing; set != 0; {
			lo, hi := run(set)
			at, k := c.offset(lo), len(runs)-1
			if k < 0 || at != runs[k].Off+int64(len(runs[k].Bufs))*PageSize {
				runs, k = append(runs, block.Write{Off: at}), k+1
			}
			for i := lo; i < hi; i++ {
				runs[k].Bufs = append(runs[k].Bufs, pageBytes(c.Page[i]))
			}
			set &^= mask(lo, hi)
		}
	}
	if len(runs) == 0 {
		return 0
	}
	size := f.size.Load()
	runs = f.trim(runs, size)
	if len(runs) == 0 {
		return 0
	}
	e := f.writeTo(runs, size)
	if e == 0 {
		return 0
	}
	f.failures.Add(1)
	if len(runs) == 1 {
		f.markDirtyAgain(list, runs[0])
		return e
	}
	for k := range runs {
		if f.writeTo(runs[k:k+1], size) != 0 {
			f.markDirtyAgain(list, runs[k])
		}
	}
	return e
}

func (f *File) writeTo(runs []block.Write, size int64) syscall.Errno {
	last := runs[len(runs)-1]
	return f.b.WriteData(runs, min(last.Off+last.Len(), size))
}

// trim cuts runs off at the end of the file, in whole blocks: a truncation may have come in
// between.
func (f *File) trim(runs []block.Write, size int64) []block.Write {
	for k := len(runs) - 1; k >= 0 && runs[k].Off >= size; k-- {
		f.b.Unreserve(runs[k].Off, int64(len(runs[k].Bufs))*PageSize)
		runs = runs[:k]
	}
	if len(runs) == 0 {
		return nil
	}
	last := &runs[len(runs)-1]
	bs := int64(f.b.BlockSize())
	n := (size - last.Off + bs - 1) / bs * bs
	if n >= int64(len(last.Bufs))*PageSize {
		return runs
	}
	last.Bufs = last.Bufs[:(n+PageSize-1)/PageSize]
	if rest := n % PageSize; rest != 0 {
		p := &last.Bufs[len(last.Bufs)-1]
		*p = (*p)[:rest]
	}
	return runs
}

// markDirtyAgain marks the pages of a run, whose writeback failed, dirty.
func (f *File) markDirtyAgain(list []*chunk, r block.Write) {
	end := r.Off + int64(len(r.Bufs))*PageSize
	for _, c := range list {
		first := max(r.Off/PageSize-c.index*chunkPages, 0)
		last := min((end+PageSize-1)/PageSize-c.index*chunkPages, chunkPages)
		if first < last {
			c.lock()
			c.markDirty(c.writing & mask(int(first), int(last)))
			c.unlock()
		}
	}
}
