package ext4

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

const checkedBitmap = 16

// loadedGroups bounds the number of groups whose bitmap is in memory.
type loadedGroups struct {
	mu   sync.Mutex
	list []*group // in the order of loading
}

// baseBits is the bitmap of a group that has nothing but the file system's own tables.
func (fs *FS) baseBits(n uint32, b []byte) {
	clear(b)
	start, count := fs.groupStart(n), fs.groupBlocks(n)
	for _, s := range fs.system {
		from, to := max(s.start, start), min(s.start+s.n, start+uint64(count))
		if from < to {
			setBits(b, uint32(from-start), uint32(to-from))
		}
	}
	setBits(b, count, uint32(8*fs.blockSize)-count)
}

// bitmapBuf reads the block bitmap of a group whose bitmap is initialised. Caller
// holds g.mu.
func (fs *FS) bitmapBuf(g *group) (*jbd2.Buffer, syscall.Errno) {
	b, e := fs.j.Get(fs.blockBitmap(g))
	if e != 0 {
		return nil, e
	}
	if atomic.LoadUint32(&b.Check)&checkedBitmap == 0 {
		if !fs.bitmapSumGood(g, dBlockCsum, dBlockCsumHi, b.Data[:fs.blocksPer/8]) {
			b.Put()
			return nil, fs.corrupt("checksum of the block bitmap of group", uint64(g.n))
		}
		mark(b, checkedBitmap)
	}
	return b, 0
}

// load fills g.mem. Caller holds g.mu. EIO: nothing can be allocated from the group.
func (fs *FS) load(g *group) syscall.Errno {
	if g.mem != nil {
		return 0
	}
	if g.bad {
		return syscall.EIO
	}
	mem := make([]byte, fs.blockSize)
	if fs.uninitBlocks(g) {
		fs.baseBits(g.n, mem)
	} else {
		b, e := fs.bitmapBuf(g)
		if e != 0 {
			fs.markBad(g)
			return e
		}
		copy(mem, b.Data)
		b.Put()
		count := fs.groupBlocks(g.n)
		setBits(mem, count, uint32(8*fs.blockSize)-count)
	}
	if countZero(mem, fs.groupBlocks(g.n)) != fs.descFree(g.desc) {
		fs.markBad(g)
		return fs.corrupt("block bitmap contradicts the descriptor, group", uint64(g.n))
	}
	g.mem = mem
	fs.keepLoaded(g)
	return 0
}

func (fs *FS) uninitBlocks(g *group) bool {
	return fs.descCsum && le.Uint16(g.desc[dFlags:])&groupBlockUninit != 0
}

// markBad marks a group from which nothing is allocated any more.
func (fs *FS) markBad(g *group) {
	if !g.bad {
		g.bad = true
		fs.space.free.Add(-int64(g.freeBits.Swap(0)))
	}
}

// keepLoaded remembers a group and drops the bitmap of the oldest one in memory.
func (fs *FS) keepLoaded(g *group) {
	l := &fs.loaded
	most := 16 + fs.opt.CacheBytes/(8*fs.blockSize)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, g)
	for k := 0; k < len(l.list) && len(l.list) > most; k++ {
		old := l.list[k]
		if old == g || !old.mu.TryLock() {
			continue
		}
		if old.pendingBits == 0 {
			old.mem = nil
			l.list = append(l.list[:k], l.list[k+1:]...)
			k--
		}
		old.mu.Unlock()
	}
}

// writableBitmap is the block bitmap's buffer, as part of the transaction. The caller
// holds g.mu and releases the buffer with o.changedBlocks.
func (o *op) writableBitmap(g *group) (*jbd2.Buffer, syscall.Errno) {
	fs := o.fs
	if fs.uninitBlocks(g) {
		b := o.fresh(fs.blockBitmap(g), checkedBitmap, nil)
		fs.baseBits(g.n, b.Data)
		o.dirtyDesc(g)
		le.PutUint16(g.desc[dFlags:], le.Uint16(g.desc[dFlags:])&^groupBlockUninit)
		return b, 0
	}
	return fs.bitmapBuf(g)
}

// changedBlocks accounts for a change of the bitmap by delta free blocks.
func (o *op) changedBlocks(g *group, b *jbd2.Buffer, delta int) {
	fs := o.fs
	o.dirtyDesc(g)
	putPair16(g.desc, dFreeBlocks, dFreeBlocksHi, fs.wide(), uint32(int(fs.descFree(g.desc))+delta))
	if g.staleBlocks == nil {
		g.staleBlocks = b
		return
	}
	b.Put()
}

// pieces calls f for the part of a run of blocks in each group.
func (fs *FS) pieces(phys, n uint64, f func(g *group, bit, n uint32) syscall.Errno) syscall.Errno {
	for n > 0 {
		g, bit := fs.group[fs.groupOf(phys)], fs.bitOf(phys)
		part := min(n, uint64(fs.blocksPer-bit))
		if e := f(g, bit, uint32(part)); e != 0 {
			return e
		}
		phys, n = phys+part, n-part
	}
	return 0
}

// use journals that blocks, allocated in memory before, belong to a file. It costs two
// buffers per group. If it fails before the handle has changed anything, the caller
// returns the blocks.
func (o *op) use(phys, n uint64) syscall.Errno {
	fs := o.fs
	return fs.pieces(phys, n, func(g *group, bit, n uint32) syscall.Errno {
		g.mu.Lock()
		defer g.mu.Unlock()
		b, e := o.writableBitmap(g)
		if e != 0 {
			return e
		}
		if !allClear(b.Data, bit, n) || fs.descFree(g.desc) < n {
			b.Put()
			return fs.corrupt("block bitmap changed under the allocator, group", uint64(g.n))
		}
		o.dirty(b, nil)
		setBits(b.Data, bit, n)
		g.pendingBits -= int(n)
		o.changedBlocks(g, b, -int(n))
		return 0
	})
}

// free journals that blocks are free. They can be allocated again once the transaction is
// durable. Metadata blocks (meta) are revoked. It costs two buffers per group.
func (o *op) free(phys, n uint64, meta bool) syscall.Errno {
	fs := o.fs
	if !fs.usable(phys, n) {
		return fs.corrupt("freed block lies in the file system's tables:", phys)
	}
	e := fs.pieces(phys, n, func(g *group, bit, n uint32) syscall.Errno {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.bad {
			return 0 // not allocated again before e2fsck runs
		}
		if e := fs.load(g); e != 0 {
			return e
		}
		b, e := o.writableBitmap(g)
		if e != 0 {
			return e
		}
		if !allSet(b.Data, bit, n) || !allSet(g.mem, bit, n) || fs.descFree(g.desc)+n > fs.groupBlocks(g.n) {
			b.Put()
			return fs.corrupt("block is freed twice, group", uint64(g.n))
		}
		o.dirty(b, nil)
		clearBits(b.Data, bit, n)
		g.pendingBits += int(n)
		o.changedBlocks(g, b, int(n))
		fs.space.deferred.Add(int64(n))
		o.h.OnCommit(func() { fs.afterFree(freed{g, bit, n}) })
		return 0
	})
	if e == 0 && meta {
		o.h.Revoke(phys, uint32(n))
	}
	return e
}

// giveBack clears those bits of g.mem that are clear in the disk's bitmap.
func (fs *FS) giveBack(g *group, bit, n uint32) {
	g.mu.Lock()
	if g.mem != nil {
		clearBits(g.mem, bit, n)
		g.pendingBits -= int(n)
		g.largest.Store(g.freeBits.Add(int32(n)))
		fs.space.free.Add(int64(n))
	}
	g.mu.Unlock()
}
