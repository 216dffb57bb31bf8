package ext4

import "syscall"

// Truncate sets the size. Blocks after a smaller size are freed; the bytes up to a larger
// one read as zero. The caller has dropped the pages of the page cache.
func (i *Inode) Truncate(size int64) syscall.Errno {
	fs := i.fs
	switch {
	case fs.ro.Load():
		return syscall.EROFS
	case size < 0 || i.kind() != typeReg:
		return syscall.EINVAL
	case uint64(size) > maxFileBlocks<<fs.blockBits:
		return syscall.EFBIG
	}
	i.data.Lock()
	defer i.data.Unlock()
	i.grow.Lock()
	defer i.grow.Unlock()
	fs.release(&i.prealloc)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.freed {
		return syscall.ESTALE
	}
	if uint64(size) > i.size { // a block map does not reach as far as extents
		if e := i.toExtents(); e != 0 {
			return e
		}
	}
	if e := i.zeroPart(min(i.size, uint64(size)), uint64(fs.blockSize)); e != 0 {
		return e
	}
	first := (uint64(size) + uint64(fs.blockSize) - 1) >> fs.blockBits
	fs.unclaim(int64(i.reserved.remove(first, maxLogical)))
	return i.resize(uint64(size), first)
}

// resize journals a new size and frees the blocks from block first on. Caller
// holds i.mu.
func (i *Inode) resize(size, first uint64) syscall.Errno {
	o, e := i.fs.beginReserved(80, 0)
	if e != 0 {
		return e
	}
	i.size = size
	i.mtime = i.fs.opt.Now()
	i.ctime = i.mtime
	return o.end(i.shrink(o, first))
}

// shrink frees the blocks from block first on. If that takes more than one handle, the
// inode is an orphan meanwhile, so that a mount after a crash completes it.
func (i *Inode) shrink(o *op, first uint64) syscall.Errno {
	// Four extents of no more than a group's blocks together fit into one handle.
	many := !i.extents() || i.depth() > 0 || i.blocks>>(i.fs.blockBits-9) > uint64(i.fs.blocksPer)
	orphan := many && !i.onOrphans
	if orphan {
		if e := i.addOrphan(o); e != 0 {
			return e
		}
		if e := i.writeData(o); e != 0 {
			return e
		}
		o.left -= 4
	}
	if e := i.cut(o, first); e != 0 {
		return e
	}
	if orphan {
		if e := i.next(o, 4); e != 0 {
			return e
		}
		if e := i.removeOrphan(o); e != 0 {
			return e
		}
	}
	return i.writeData(o)
}

// cut frees the blocks from block first on, in as many handles as it needs.
func (i *Inode) cut(o *op, first uint64) syscall.Errno {
	if i.extents() {
		return i.remove(o, first, maxLogical)
	}
	return i.freeMap(o, first)
}

// zeroPart writes zeroes from byte off to the end of its block, at most n bytes, if data
// lies there. Caller holds i.mu and i.data.
func (i *Inode) zeroPart(off, n uint64) syscall.Errno {
	fs := i.fs
	at := off & uint64(fs.blockSize-1)
	if n >= uint64(fs.blockSize) && at == 0 || n == 0 {
		return 0
	}
	m, e := i.lookup(off>>fs.blockBits, 1)
	if e != 0 || !m.written() {
		return e
	}
	buf := make([]byte, fs.blockSize)
	if e := fs.dev.ReadAt([][]byte{buf}, fs.blockBytes(m.phys)); e != 0 {
		return e
	}
	clear(buf[at:min(at+n, uint64(fs.blockSize))])
	i.overwritten.Store(true)
	return fs.dev.WriteAt([][]byte{buf}, fs.blockBytes(m.phys))
}

// inner zeroes the partial blocks at both ends of a range and returns the whole
// blocks between them. Caller holds i.mu and i.data.
func (i *Inode) inner(off, n uint64) (first, end uint64, e syscall.Errno) {
	fs := i.fs
	bs := uint64(fs.blockSize)
	last := off + n
	first, end = (off+bs-1)>>fs.blockBits, last>>fs.blockBits
	if off%bs != 0 {
		if e := i.zeroPart(off, min(n, bs-off%bs)); e != 0 {
			return 0, 0, e
		}
	}
	if last%bs != 0 && end >= first {
		e = i.zeroPart(end<<fs.blockBits, last%bs)
	}
	return first, end, e
}

// Punch frees the whole blocks from off to off+n and zeroes the parts at the ends.
// The size stays.
func (i *Inode) Punch(off, n int64) syscall.Errno {
	return i.edit(off, n, func(first, end uint64) syscall.Errno {
		o, e := i.fs.beginReserved(80, insertBlocks)
		if e != 0 {
			return e
		}
		e = i.remove(o, first, end)
		if e == 0 {
			e = i.writeData(o)
		}
		return o.end(e)
	})
}

// edit is the common part of Punch and Zero: locks, reservations, the parts at the ends.
func (i *Inode) edit(off, n int64, f func(first, end uint64) syscall.Errno) syscall.Errno {
	if i.fs.ro.Load() {
		return syscall.EROFS
	}
	if _, _, e := i.blockRange(off, n); e != 0 {
		return e
	}
	i.data.Lock()
	defer i.data.Unlock()
	i.grow.Lock()
	defer i.grow.Unlock()
	if e := i.needExtents(); e != 0 {
		return e
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	first, end, e := i.inner(uint64(off), uint64(n))
	if e != 0 {
		return e
	}
	i.mtime = i.fs.opt.Now()
	i.ctime = i.mtime
	if first >= end {
		i.markTimesDirty()
		return 0
	}
	i.fs.unclaim(int64(i.reserved.remove(first, end)))
	return f(first, end)
}

// Zero makes off to off+n read as zero: whole blocks become unwritten extents, and so do
// holes. The size stays. ENOSPC: there is no space for the holes.
func (i *Inode) Zero(off, n int64) syscall.Errno {
	e := i.edit(off, n, i.unwrite)
	if e != 0 {
		return e
	}
	return i.Allocate(off, n, true)
}

// unwrite makes the extents of a range unwritten. Caller holds i.mu.
func (i *Inode) unwrite(first, end uint64) syscall.Errno {
	for first < end {
		m, e := i.lookup(first, min(end-first, maxUnwritten))
		if e != 0 {
			return e
		}
		first += m.n
		if !m.written() {
			continue
		}
		o, e := i.fs.begin(60+i.removeCost(), 2*insertBlocks)
		if e != 0 {
			return e
		}
		m.unwritten = true
		e = i.replace(o, m)
		if e == 0 {
			e = i.writeData(o)
		}
		if e = o.end(e); e != 0 {
			return e
		}
	}
	return 0
}

// Allocate fills the holes from off to off+n with blocks that read as zero until they are
// written (unwritten extents). The size grows to off+n unless keepSize.
func (i *Inode) Allocate(off, n int64, keepSize bool) syscall.Errno {
	fs := i.fs
	if fs.ro.Load() {
		return syscall.EROFS
	}
	first, end, e := i.blockRange(off, n)
	if e != 0 {
		return e
	}
	i.data.RLock()
	defer i.data.RUnlock()
	i.grow.Lock()
	defer i.grow.Unlock()
	if e := i.needExtents(); e != 0 {
		return e
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	size := i.size
	if !keepSize {
		size = max(size, uint64(off+n))
		if e := i.zeroPart(i.size, uint64(fs.blockSize)); size > i.size && e != 0 {
			return e
		}
	}
	for first < end {
		m, e := i.lookup(first, min(end-first, maxUnwritten))
		if e != 0 {
			return e
		}
		if m.phys == 0 {
			if m.n, e = i.preallocate(m, size); e != 0 {
				return e
			}
		}
		first += m.n
	}
	if size == i.size {
		return 0
	}
	return i.resizeOnly(size)
}

// preallocate fills the start of a hole with one unwritten extent and returns its length.
// Caller holds i.mu.
func (i *Inode) preallocate(m mapping, size uint64) (uint64, syscall.Errno) {
	fs := i.fs
	if e := fs.claim(int64(m.n), fs.margin()); e != 0 {
		return 0, e
	}
	phys, n, e := fs.take(i.goalLocked(m.logical), m.n)
	if e != 0 {
		fs.unclaim(int64(m.n))
		return 0, e
	}
	fs.unclaim(int64(m.n - n))
	o, e := fs.begin(60, insertBlocks)
	if e != 0 {
		fs.putBack(phys, n)
		return 0, e
	}
	e = o.use(phys, n)
	if e != 0 && !o.changed {
		fs.putBack(phys, n)
	}
	if e == 0 {
		i.blocks += n << (fs.blockBits - 9)
		e = i.insert(o, mapping{m.logical, phys, n, true})
	}
	if e == 0 {
		i.size = max(i.size, min(size, (m.logical+n)<<fs.blockBits))
		i.ctime = fs.opt.Now()
		e = i.writeData(o)
	}
	return n, o.end(e)
}

// resizeOnly journals a larger size. Caller holds i.mu.
func (i *Inode) resizeOnly(size uint64) syscall.Errno {
	o, e := i.fs.begin(2, 0)
	if e != 0 {
		return e
	}
	i.size = size
	i.ctime = i.fs.opt.Now()
	return o.end(i.writeData(o))
}
