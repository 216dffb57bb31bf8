package ext4

import "syscall"

// cut takes bytes off the front of a list of buffers; skip bytes of the first are taken.
type cut struct {
	bufs [][]byte
	skip int
}

func total(bufs [][]byte) (n int64) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

func (c *cut) take(n int64) (list [][]byte) {
	for n > 0 {
		b := c.bufs[0][c.skip:]
		if int64(len(b)) > n {
			c.skip += int(n)
			return append(list, b[:n])
		}
		if len(b) > 0 {
			list = append(list, b)
			n -= int64(len(b))
		}
		c.bufs, c.skip = c.bufs[1:], 0
	}
	return list
}

// aligned checks a request for whole blocks.
func (i *Inode) aligned(bufs [][]byte, off int64) (first, n uint64, e syscall.Errno) {
	bytes, mask := total(bufs), int64(i.fs.blockSize-1)
	if off < 0 || off&mask != 0 || bytes&mask != 0 || off > 1<<62-bytes {
		return 0, 0, syscall.EINVAL
	}
	if i.kind() != typeReg {
		return 0, 0, syscall.EINVAL
	}
	return uint64(off) >> i.fs.blockBits, uint64(bytes) >> i.fs.blockBits, 0
}

// maps lists where n blocks from first on lie; contiguous ones are one mapping.
func (i *Inode) maps(first, n uint64) (list []mapping, e syscall.Errno) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.mapsLocked(first, n)
}

func (i *Inode) mapsLocked(first, n uint64) (list []mapping, e syscall.Errno) {
	for end := first + n; first < end; {
		m, e := i.lookup(first, end-first)
		if e != 0 {
			return nil, e
		}
		if k := len(list) - 1; k >= 0 && joins(list[k], m) {
			list[k].n += m.n
		} else {
			list = append(list, m)
		}
		first += m.n
	}
	return list, 0
}

// joins reports whether b continues a, in the file and on the disk.
func joins(a, b mapping) bool {
	if a.logical+a.n != b.logical || a.unwritten != b.unwritten {
		return false
	}
	if a.phys == 0 || b.phys == 0 {
		return a.phys == b.phys
	}
	return a.phys+a.n == b.phys
}

// ReadData fills bufs with whole blocks from byte off on, with one request per extent.
// Holes, unwritten extents and blocks after the last extent read as zero. EINVAL: off or
// the sum of the lengths is not a multiple of the block size.
func (i *Inode) ReadData(bufs [][]byte, off int64) syscall.Errno {
	first, n, e := i.aligned(bufs, off)
	if e != 0 {
		return e
	}
	i.data.RLock()
	defer i.data.RUnlock()
	list, e := i.maps(first, n)
	if e != 0 {
		return e
	}
	c := cut{bufs: bufs}
	for _, m := range list {
		part := c.take(int64(m.n) << i.fs.blockBits)
		if !m.written() {
			for _, b := range part {
				clear(b)
			}
			continue
		}
		if e := i.fs.dev.ReadAt(part, i.fs.blockBytes(m.phys)); e != 0 {
			return e
		}
	}
	return 0
}

// Extent says where a part of a file lies, in bytes. Physical is 0 in a hole.
type Extent struct {
	Offset, Physical, Length int64
	Unwritten                bool
}

// Extents lists the extents and holes from off to off+n, at most most of them.
func (i *Inode) Extents(off, n int64, most int) (list []Extent, e syscall.Errno) {
	if off < 0 || n < 0 {
		return nil, syscall.EINVAL
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	bits := i.fs.blockBits
	l, end := uint64(off)>>bits, min((uint64(off)+uint64(n)+uint64(i.fs.blockSize)-1)>>bits, maxLogical)
	for l < end && len(list) < most {
		m, e := i.lookup(l, end-l)
		if e != 0 {
			return nil, e
		}
		list = append(list, Extent{int64(l) << bits, int64(m.phys) << bits, int64(m.n) << bits, m.unwritten})
		l += m.n
	}
	return list, 0
}

// SeekData is the first byte from off on that is not in a hole; an unwritten
// extent counts as a hole. ENXIO: there is none before the end.
func (i *Inode) SeekData(off int64) (int64, syscall.Errno) { return i.seek(off, true) }

// SeekHole is the first byte from off on that is in a hole; the end of the file
// is one. ENXIO: off is not before the end.
func (i *Inode) SeekHole(off int64) (int64, syscall.Errno) { return i.seek(off, false) }

func (i *Inode) seek(off int64, data bool) (int64, syscall.Errno) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if off < 0 || uint64(off) >= i.size {
		return 0, syscall.ENXIO
	}
	lookup := i.lookup
	if !i.extents() {
		lookup = func(l, n uint64) (mapping, syscall.Errno) { return i.lookupIndirect(l, n, true) }
	}
	bits := i.fs.blockBits
	end := (i.size + uint64(i.fs.blockSize) - 1) >> bits
	for l := uint64(off) >> bits; l < end; {
		m, e := lookup(l, end-l)
		if e != 0 {
			return 0, e
		}
		if m.written() == data {
			return max(off, int64(l)<<bits), 0
		}
		l += m.n
	}
	if data {
		return 0, syscall.ENXIO
	}
	return int64(i.size), 0
}

// Readlink is the target of a symbolic link.
func (i *Inode) Readlink() (string, syscall.Errno) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.kind() != typeLink {
		return "", syscall.EINVAL
	}
	fs := i.fs
	if i.fastLink() {
		return string(i.block[:i.size]), 0
	}
	if i.size == 0 || i.size >= uint64(fs.blockSize) {
		return "", fs.corrupt("length of symbolic link", uint64(i.ino))
	}
	m, e := i.lookup(0, 1)
	if e != 0 {
		return "", e
	}
	if !m.written() {
		return "", fs.corrupt("block of symbolic link", uint64(i.ino))
	}
	b, e := fs.j.Get(m.phys)
	if e != 0 {
		return "", e
	}
	defer b.Put()
	return string(b.Data[:i.size]), 0
}

// fastLink reports whether a symbolic link's target is in the inode
// (ext4_inode_is_fast_symlink).
func (i *Inode) fastLink() bool {
	own := uint64(0)
	if i.acl != 0 {
		own = uint64(i.fs.blockSize >> 9)
	}
	return i.size < iBlockSize && i.blocks == own && !i.extents()
}
