package ext4

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// maxFileBlocks is the most blocks of a file with extents.
const maxFileBlocks = maxLogical

// blockRange are the blocks that contain the bytes from off to off+n. EFBIG, EINVAL.
func (i *Inode) blockRange(off, n int64) (first, end uint64, e syscall.Errno) {
	if off < 0 || n <= 0 || i.kind() != typeReg {
		return 0, 0, syscall.EINVAL
	}
	if off > 1<<62-n {
		return 0, 0, syscall.EFBIG
	}
	bits := i.fs.blockBits
	first, end = uint64(off)>>bits, (uint64(off+n)+uint64(i.fs.blockSize)-1)>>bits
	if end > maxFileBlocks {
		return 0, 0, syscall.EFBIG
	}
	return first, end, 0
}

// Reserve reserves blocks for dirty pages from off to off+n (delayed allocation), so that
// WriteData will not run out of space. Blocks that are allocated or reserved already cost
// nothing. ENOSPC.
func (i *Inode) Reserve(off, n int64) syscall.Errno {
	fs := i.fs
	if fs.ro.Load() {
		return syscall.EROFS
	}
	first, end, e := i.blockRange(off, n)
	if e != 0 {
		return e
	}
	i.mu.RLock() // evict drops reservations with i.mu locked
	defer i.mu.RUnlock()
	if i.freed {
		return syscall.ESTALE
	}
	list, e := i.mapsLocked(first, end-first)
	if e != 0 {
		return e
	}
	s := &i.reserved
	s.mu.Lock()
	defer s.mu.Unlock()
	need := uint64(0)
	for _, m := range list {
		if m.phys == 0 {
			need += m.n - s.count(m.logical, m.logical+m.n)
		}
	}
	if e := fs.claim(int64(need), fs.margin()); e != 0 {
		return e
	}
	for _, m := range list {
		if m.phys == 0 {
			s.add(m.logical, m.logical+m.n)
		}
	}
	return 0
}

// Unreserve drops the reservation for pages that will not be written.
func (i *Inode) Unreserve(off, n int64) {
	if first, end, e := i.blockRange(off, n); e == 0 {
		i.fs.unclaim(int64(i.reserved.remove(first, end)))
	}
}

// WriteData is WriteRuns of one run.
func (i *Inode) WriteData(bufs [][]byte, off, size int64) syscall.Errno {
	return i.WriteRuns([]block.Write{{Bufs: bufs, Off: off}}, size)
}

// WriteRuns writes runs of whole blocks of the file, in ascending order; the file's size
// is at least size afterwards. It returns when the device has the data and a transaction
// records where the data lies. Blocks that were allocated and written before need no
// transaction, and go to the device together. All runs are tried; the error is that of any
// of them. Times are not changed: write(2) sets them with SetAttr when it is called.
func (i *Inode) WriteRuns(runs []block.Write, size int64) (failed syscall.Errno) {
	if i.fs.ro.Load() {
		return syscall.EROFS
	}
	if size < 0 || uint64(size) > maxFileBlocks<<i.fs.blockBits {
		return syscall.EFBIG
	}
	i.data.RLock()
	defer i.data.RUnlock()
	var there []block.Write
	for k, r := range runs {
		end := size
		if k < len(runs)-1 {
			end = min(size, r.Off+r.Len())
		}
		e := syscall.Errno(0)
		if there, e = i.writeRun(r, uint64(end), there); e != 0 && failed == 0 {
			failed = e
		}
	}
	if len(there) > 0 {
		if e := block.WriteAll(i.fs.dev, there); e != 0 && failed == 0 {
			failed = e
		}
		i.overwritten.Store(true)
	}
	return failed
}

// writeRun writes a run, or appends to there the parts that only overwrite.
func (i *Inode) writeRun(r block.Write, size uint64, there []block.Write) ([]block.Write, syscall.Errno) {
	first, n, e := i.aligned(r.Bufs, r.Off)
	if e != 0 {
		return there, e
	}
	if first+n > maxFileBlocks {
		return there, syscall.EFBIG
	}
	i.mu.RLock()
	list, e := i.mapsLocked(first, n)
	larger := size > i.size
	i.mu.RUnlock()
	if e != 0 {
		return there, e
	}
	for _, m := range list {
		larger = larger || !m.written()
	}
	if larger {
		return there, i.extend(r.Bufs, first, n, size)
	}
	i.fs.unclaim(int64(i.reserved.remove(first, first+n)))
	return i.places(r.Bufs, list, there), 0
}

// places appends the writes of data to its blocks; contiguous ones become one write.
func (i *Inode) places(bufs [][]byte, list []mapping, to []block.Write) []block.Write {
	c := cut{bufs: bufs}
	for k := 0; k < len(list); {
		start, n := list[k].phys, list[k].n
		for k++; k < len(list) && list[k].phys == start+n; k++ {
			n += list[k].n
		}
		to = append(to, block.Write{Bufs: c.take(int64(n) << i.fs.blockBits), Off: i.fs.blockBytes(start)})
	}
	return to
}

// piece is a part of a write: blocks that exist and become initialised, or new blocks.
type piece struct {
	mapping
	fresh bool
}

// extend is the part of WriteData that changes blocks, extents or the size.
func (i *Inode) extend(bufs [][]byte, first, n, size uint64) syscall.Errno {
	i.grow.Lock()
	defer i.grow.Unlock()
	if e := i.needExtents(); e != 0 {
		return e
	}
	list, e := i.maps(first, n)
	if e != 0 {
		return e
	}
	pieces, e := i.allocate(list, first, n)
	if e != 0 {
		return e
	}
	flat := make([]mapping, len(pieces))
	for k := range pieces {
		flat[k] = pieces[k].mapping
	}
	if e = block.WriteAll(i.fs.dev, i.places(bufs, flat, nil)); e != 0 {
		i.untake(pieces)
		return e
	}
	i.overwritten.Store(true)
	return i.record(pieces, size)
}

func (i *Inode) untake(pieces []piece) {
	for _, p := range pieces {
		if p.fresh {
			i.fs.putBack(p.phys, p.n)
		}
	}
}

// allocate allocates blocks in memory for the holes of a list.
func (i *Inode) allocate(list []mapping, first, n uint64) (pieces []piece, e syscall.Errno) {
	holes := uint64(0)
	for _, m := range list {
		if m.phys == 0 {
			holes += m.n
		}
	}
	reserved := i.reserved.remove(first, first+n)
	if reserved > holes {
		i.fs.unclaim(int64(reserved - holes))
		reserved = holes
	}
	if e := i.fs.claim(int64(holes-reserved), i.fs.margin()/2); e != 0 {
		i.fs.unclaim(int64(reserved))
		return nil, e
	}
	ahead := i.preallocateAfter(first, n)
	for _, m := range list {
		for m.phys == 0 && m.n > 0 {
			goal := i.goal(m.logical, pieces)
			phys, got, e := i.fs.takePreallocated(&i.prealloc, goal, m.n, ahead)
			if e != 0 {
				i.fs.unclaim(int64(holes))
				i.untake(pieces)
				return nil, e
			}
			holes -= got
			pieces = append(pieces, piece{mapping{m.logical, phys, got, false}, true})
			m.logical, m.n = m.logical+got, m.n-got
		}
		if m.n > 0 {
			pieces = append(pieces, piece{m, false})
		}
	}
	return pieces, 0
}

// preallocateAfter is how many blocks to preallocate after a write: as many as the file
// has, if it grows at its end. The first write of a file preallocates none, so that small
// files lie close together.
func (i *Inode) preallocateAfter(first, n uint64) uint64 {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if first == 0 || (first+n)<<i.fs.blockBits < i.size {
		return 0
	}
	return first + n
}

// goal is where block l of the file should lie: after the block before it, or at the last
// allocation in the inode's group.
func (i *Inode) goal(l uint64, pieces []piece) uint64 {
	if k := len(pieces) - 1; k >= 0 {
		return pieces[k].phys + pieces[k].n
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.goalLocked(l)
}

func (i *Inode) goalLocked(l uint64) uint64 {
	fs := i.fs
	if i.extents() && l > 0 {
		if p, e := i.find(l - 1); e == 0 {
			m, e := i.current(&p)
			p.put()
			if e == 0 && m.n > 0 {
				return m.phys + l - m.logical
			}
		}
	}
	g := fs.group[(i.ino-1)/fs.inodesPer]
	g.mu.Lock()
	defer g.mu.Unlock()
	return fs.groupStart(g.n) + uint64(min(g.cursor, fs.groupBlocks(g.n)-1))
}

// record journals the result of a write: bitmaps, extents, size.
func (i *Inode) record(pieces []piece, size uint64) syscall.Errno {
	fs := i.fs
	i.mu.Lock()
	defer i.mu.Unlock()
	o, e := fs.beginReserved(min(80, 24+8*len(pieces)+8*i.depth()), int64(insertBlocks+1+len(pieces)/20))
	if e != 0 {
		i.untake(pieces)
		return e
	}
	rest, e := i.recordIn(o, pieces, size)
	if e != 0 && !o.changed { // otherwise the journal is aborted
		i.untake(rest)
	}
	return o.end(e)
}

// recordIn is record in an open handle; rest is what it has not recorded if it fails.
func (i *Inode) recordIn(o *op, pieces []piece, size uint64) (rest []piece, e syscall.Errno) {
	fs := i.fs
	for k, p := range pieces {
		if !p.fresh && !p.unwritten {
			continue
		}
		if e := i.next(o, i.pieceCost(p)); e != 0 {
			return pieces[k:], e
		}
		for m := p.mapping; m.n > 0; {
			part := m
			part.n = min(m.n, maxExtent)
			if e := i.recordPiece(o, part, p.fresh); e != 0 {
				return pieces[k:], e
			}
			m.logical, m.phys, m.n = m.logical+part.n, m.phys+part.n, m.n-part.n
		}
		// A commit may come between two handles: no block may lie after the size.
		i.size = max(i.size, min(size, (p.logical+p.n)<<fs.blockBits))
	}
	i.size = max(i.size, size)
	return nil, i.writeData(o)
}

func (i *Inode) pieceCost(p piece) int {
	cost := 6 + 4*(i.depth()+1)
	if !p.fresh {
		cost += i.removeCost()
	}
	return min(cost, 70)
}

func (i *Inode) recordPiece(o *op, m mapping, fresh bool) syscall.Errno {
	if !fresh {
		m.unwritten = false
		return i.convert(o, m)
	}
	if e := o.use(m.phys, m.n); e != 0 {
		return e
	}
	i.blocks += m.n << (i.fs.blockBits - 9)
	return i.insert(o, m)
}

// convert makes mapped blocks, perhaps of several extents, initialised or unwritten.
func (i *Inode) convert(o *op, m mapping) syscall.Errno {
	for m.n > 0 {
		cur, e := i.lookup(m.logical, m.n)
		if e != 0 {
			return e
		}
		if cur.phys != m.phys {
			return i.fs.corrupt("extents changed under a write, inode", uint64(i.ino))
		}
		cur.unwritten = m.unwritten
		if e := i.replace(o, cur); e != 0 {
			return e
		}
		m.logical, m.phys, m.n = m.logical+cur.n, m.phys+cur.n, m.n-cur.n
	}
	return 0
}
