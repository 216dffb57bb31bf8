package ext4

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// This file changes directories. Callers hold the directory's i.mu and an open handle.

// An insertion needs at most a block for each level of the index and two leaves, and the
// extent tree may grow with each.
const (
	dirBlocks = 5 + insertBlocks
	dirCost   = 5*4 + insertCost
)

func putDirent(d []byte, off, length int, ino uint32, name string, kind uint8) {
	le.PutUint32(d[off:], ino)
	le.PutUint16(d[off+4:], uint16(length))
	d[off+6], d[off+7] = uint8(len(name)), kind
	copy(d[off+direntHead:], name)
}

// direntKind converts a file type to that of directory entries.
func (fs *FS) direntKind(mode uint16) uint8 {
	if !fs.hasIncompat(incompatFiletype) {
		return 0
	}
	switch mode & typeMask {
	case typeReg:
		return 1
	case typeDir:
		return 2
	case typeChar:
		return 3
	case typeBlk:
		return 4
	case typeFIFO:
		return 5
	case typeSock:
		return 6
	case typeLink:
		return 7
	}
	return 0
}

// room finds space for a record of size bytes in a block; -1: there is none.
func (fs *FS) room(d []byte, size int) int {
	limit := fs.dirLimit()
	for off := 0; off < limit; {
		e, ok := fs.direntAt(d, off, limit)
		if !ok {
			return -1
		}
		if spare(e) >= size {
			return off
		}
		off += e.length
	}
	return -1
}

// spare is how many bytes of a record are not needed for its name.
func spare(e dirent) int {
	if e.ino == 0 {
		return e.length
	}
	return e.length - recordLen(len(e.name))
}

// place puts an entry into the record at off, which has room.
func (i *Inode) place(o *op, b *jbd2.Buffer, off int, name string, ino uint32, kind uint8) {
	e, _ := i.fs.direntAt(b.Data, off, i.fs.dirLimit())
	o.dirty(b, i.sealDir())
	length := e.length
	if e.ino != 0 {
		used := recordLen(len(e.name))
		le.PutUint16(b.Data[off+4:], uint16(used))
		off, length = off+used, length-used
	}
	putDirent(b.Data, off, length, ino, name, kind)
}

// emptyDirBlock turns a block into one unused record.
func (i *Inode) emptyDirBlock(d []byte) {
	limit := i.fs.dirLimit()
	clear(d)
	le.PutUint16(d[4:], uint16(limit))
	if limit < len(d) {
		t := d[limit:]
		le.PutUint16(t[4:], dirTail)
		t[7] = tailType
	}
}

// appendBlock adds a zeroed block to the directory. checked and seal are passed to
// op.fresh.
func (i *Inode) appendBlock(o *op, checked uint32, seal func(*jbd2.Buffer)) (*jbd2.Buffer, uint64, syscall.Errno) {
	fs := i.fs
	l := i.size >> fs.blockBits
	if l >= dxBlock || l >= fs.blocks {
		return nil, 0, syscall.ENOSPC
	}
	phys, e := o.block(i.goalLocked(l))
	if e != 0 {
		return nil, 0, e
	}
	if e := i.insert(o, mapping{l, phys, 1, false}); e != 0 {
		return nil, 0, e
	}
	i.blocks += uint64(fs.blockSize >> 9)
	i.size += uint64(fs.blockSize)
	return o.fresh(phys, checked, seal), l, 0
}

// hasRoom reports whether an entry can be added without a new block.
func (i *Inode) hasRoom(name string) (bool, syscall.Errno) {
	if i.indexed() {
		p, e := i.dxFindName(name)
		if e != 0 {
			return false, e
		}
		defer p.put()
		b, e := i.dirBlock(p.last().child(p.last().at))
		if e != 0 {
			return false, e
		}
		defer b.Put()
		return i.fs.room(b.Data, recordLen(len(name))) >= 0, 0
	}
	b, _, e := i.findRoom(name)
	if b != nil {
		b.Put()
	}
	return b != nil, e
}

// findRoom finds a block with room in a directory without an index.
func (i *Inode) findRoom(name string) (*jbd2.Buffer, int, syscall.Errno) {
	for l := range i.size >> i.fs.blockBits {
		b, e := i.dirBlock(l)
		if e != 0 {
			return nil, 0, e
		}
		if off := i.fs.room(b.Data, recordLen(len(name))); off >= 0 {
			return b, off, 0
		}
		b.Put()
	}
	return nil, 0, 0
}

// needs is how many blocks an insertion claims. It makes the directory ready for changes;
// no handle may be open.
func (i *Inode) needs(name string) (int64, syscall.Errno) {
	if i.nlink == 0 {
		return 0, syscall.ENOENT
	}
	has, e := i.hasRoom(name)
	if has || e != 0 {
		return 0, e
	}
	return dirBlocks, i.toExtents()
}

// addEntry adds a name that the directory does not have.
func (i *Inode) addEntry(o *op, name string, child *Inode) syscall.Errno {
	return i.addIno(o, name, child.ino, i.fs.direntKind(child.mode))
}

func (i *Inode) addIno(o *op, name string, ino uint32, kind uint8) syscall.Errno {
	if i.indexed() {
		return i.addIndexed(o, name, ino, kind)
	}
	b, off, e := i.findRoom(name)
	if e != 0 {
		return e
	}
	if b != nil {
		i.place(o, b, off, name, ino, kind)
		b.Put()
		return 0
	}
	if i.hashed() {
		if e := i.makeIndex(o); e != 0 {
			return e
		}
		return i.addIndexed(o, name, ino, kind)
	}
	if b, _, e = i.appendBlock(o, checkedDir, i.sealDir()); e != 0 {
		return e
	}
	defer b.Put()
	i.emptyDirBlock(b.Data)
	i.place(o, b, 0, name, ino, kind)
	return 0
}

// removeName removes a name from its block: the record before it grows.
func (i *Inode) removeName(o *op, b *jbd2.Buffer, e dirent) syscall.Errno {
	o.dirty(b, i.sealDir())
	last := -1
	for off := 0; off < e.off; {
		v, ok := i.fs.direntAt(b.Data, off, i.fs.dirLimit())
		if !ok {
			return i.fs.corrupt("entries of directory", uint64(i.ino))
		}
		last, off = off, off+v.length
	}
	if last >= 0 {
		v, _ := i.fs.direntAt(b.Data, last, i.fs.dirLimit())
		le.PutUint16(b.Data[last+4:], uint16(v.length+e.length))
		clear(b.Data[e.off : e.off+direntHead])
		return 0
	}
	le.PutUint32(b.Data[e.off:], 0)
	return 0
}

// empty reports whether a directory has no names but "." and "..".
func (i *Inode) empty() (bool, syscall.Errno) {
	for pos := int64(0); pos >= 0; {
		list, next, e := i.batchLocked(pos)
		if e != 0 {
			return false, e
		}
		for _, e := range list {
			if e.name != "." && e.name != ".." {
				return false, 0
			}
		}
		if next >= 0 && next <= pos {
			return false, i.fs.corrupt("index of directory", uint64(i.ino))
		}
		pos = next
	}
	return true, 0
}
