package ext4

import (
	"slices"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/ext4/jbd2"
)

// Changes of directories. Caller holds the directory's i.mu and an open change.

// An entry needs at most a block for each level of the index and two leaves, and
// the extent tree may grow with each.
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

// direntKind is a file type as entries have it.
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

// room finds a place for a record of size bytes in a block; -1: there is none.
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

// spare is how many bytes of a record its name does not need.
func spare(e dirent) int {
	if e.ino == 0 {
		return e.length
	}
	return e.length - recordLen(len(e.name))
}

// place puts an entry into a block's record at off, which has room.
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

// emptyDirBlock makes a block one free record.
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

// appendBlock adds a block to the directory, zeroed; checked and seal are for what
// becomes of it.
func (i *Inode) appendBlock(o *op, checked uint32, seal func(*jbd2.Buffer)) (*jbd2.Buffer, uint64, syscall.Errno) {
	fs := i.fs
	l := i.size >> fs.blockBits
	if l >= dxBlock || l >= fs.blocks {
		return nil, 0, syscall.ENOSPC
	}
	phys, errno := o.block(i.goalLocked(l))
	if errno != 0 {
		return nil, 0, errno
	}
	if errno := i.insert(o, mapping{l, phys, 1, false}); errno != 0 {
		return nil, 0, errno
	}
	i.blocks += uint64(fs.blockSize >> 9)
	i.size += uint64(fs.blockSize)
	return o.fresh(phys, checked, seal), l, 0
}

// hasRoom says whether an entry can be added without a new block.
func (i *Inode) hasRoom(name string) (bool, syscall.Errno) {
	if i.indexed() {
		hash, errno := i.dxHash(name)
		if errno != 0 {
			return false, errno
		}
		p, errno := i.dxFind(hash)
		if errno != 0 {
			return false, errno
		}
		defer p.put()
		b, errno := i.dirBlock(p.last().child(p.last().at))
		if errno != 0 {
			return false, errno
		}
		defer b.Put()
		return i.fs.room(b.Data, recordLen(len(name))) >= 0, 0
	}
	b, _, errno := i.findRoom(name)
	if b != nil {
		b.Put()
	}
	return b != nil, errno
}

// findRoom finds a block with room in a directory without an index.
func (i *Inode) findRoom(name string) (*jbd2.Buffer, int, syscall.Errno) {
	for l := range i.size >> i.fs.blockBits {
		b, errno := i.dirBlock(l)
		if errno != 0 {
			return nil, 0, errno
		}
		if off := i.fs.room(b.Data, recordLen(len(name))); off >= 0 {
			return b, off, 0
		}
		b.Put()
	}
	return nil, 0, 0
}

// needs is how many blocks an insertion claims. It makes the directory fit for
// changes: no handle is open.
func (i *Inode) needs(name string) (int64, syscall.Errno) {
	if i.nlink == 0 {
		return 0, syscall.ENOENT
	}
	has, errno := i.hasRoom(name)
	if has || errno != 0 {
		return 0, errno
	}
	return dirBlocks, i.toExtents()
}

// addEntry adds a name that is not there.
func (i *Inode) addEntry(o *op, name string, child *Inode) syscall.Errno {
	return i.addIno(o, name, child.ino, i.fs.direntKind(child.mode))
}

func (i *Inode) addIno(o *op, name string, ino uint32, kind uint8) syscall.Errno {
	if i.indexed() {
		return i.addIndexed(o, name, ino, kind)
	}
	b, off, errno := i.findRoom(name)
	if errno != 0 {
		return errno
	}
	if b != nil {
		i.place(o, b, off, name, ino, kind)
		b.Put()
		return 0
	}
	if i.hashed() {
		if errno := i.makeIndex(o); errno != 0 {
			return errno
		}
		return i.addIndexed(o, name, ino, kind)
	}
	if b, _, errno = i.appendBlock(o, checkedDir, i.sealDir()); errno != 0 {
		return errno
	}
	defer b.Put()
	i.emptyDirBlock(b.Data)
	i.place(o, b, 0, name, ino, kind)
	return 0
}

// makeIndex makes a directory of one full block an indexed one: the block's names
// move to a second block, the first becomes the root.
func (i *Inode) makeIndex(o *op) syscall.Errno {
	fs := i.fs
	root, errno := i.dirBlock(0)
	if errno != 0 {
		return errno
	}
	defer root.Put()
	limit := fs.dirLimit()
	dot, ok := fs.direntAt(root.Data, 0, limit)
	dots, ok2 := fs.direntAt(root.Data, dot.length, limit)
	if !ok || !ok2 || dot.length != 12 || string(dot.name) != "." || string(dots.name) != ".." {
		return fs.corrupt("first entries of directory", uint64(i.ino))
	}
	leaf, l, errno := i.appendBlock(o, checkedDir, i.sealDir())
	if errno != 0 {
		return errno
	}
	defer leaf.Put()
	var list []dirent
	for off := dots.off + dots.length; off < limit; {
		e, ok := fs.direntAt(root.Data, off, limit)
		if !ok {
			return fs.corrupt("entries of directory", uint64(i.ino))
		}
		if e.ino != 0 {
			list = append(list, e)
		}
		off += e.length
	}
	i.fill(leaf.Data, list)
	o.dirty(root, i.sealIndex(dxRootBase))
	mark(root, checkedIndex)
	unmark(root, checkedDir)
	d := root.Data
	parent := dots.ino
	clear(d)
	kind := fs.direntKind(typeDir)
	putDirent(d, 0, 12, i.ino, ".", kind)
	putDirent(d, 12, fs.blockSize-12, parent, "..", kind)
	version := fs.dirHash()
	if version >= 3 {
		version -= 3
	}
	d[dxInfo+4], d[dxInfo+5] = version, 8
	putDxHead(d, dxRootBase, fs.dxLimit(dxRootBase), 1, l)
	i.flags |= flagIndex
	return 0
}

// fill makes a block hold a list of entries, of another block, in order.
func (i *Inode) fill(d []byte, list []dirent) {
	i.emptyDirBlock(d)
	limit := i.fs.dirLimit()
	off := 0
	for k, e := range list {
		length := recordLen(len(e.name))
		if k == len(list)-1 {
			length = limit - off
		}
		putDirent(d, off, length, e.ino, string(e.name), e.kind)
		off += length
	}
}

func putDxHead(d []byte, base, limit, count int, first uint64) {
	le.PutUint16(d[base:], uint16(limit))
	le.PutUint16(d[base+2:], uint16(count))
	le.PutUint32(d[base+4:], uint32(first))
}

// addIndexed adds a name through the index, splitting what is full on the way.
func (i *Inode) addIndexed(o *op, name string, ino uint32, kind uint8) syscall.Errno {
	hash, errno := i.dxHash(name)
	if errno != 0 {
		return errno
	}
	for range 8 {
		p, errno := i.dxFind(hash)
		if errno != 0 {
			return errno
		}
		done, errno := i.addAt(o, &p, name, ino, kind)
		p.put()
		if done || errno != 0 {
			return errno
		}
	}
	return i.fs.corrupt("index takes no more names, directory", uint64(i.ino))
}

// addAt adds the name to the path's leaf; done is false if something was split
// instead and the path is to be looked up again.
func (i *Inode) addAt(o *op, p *dxPath, name string, ino uint32, kind uint8) (done bool, errno syscall.Errno) {
	l := p.last().child(p.last().at)
	leaf, errno := i.dirBlock(l)
	if errno != 0 {
		return false, errno
	}
	defer leaf.Put()
	if off := i.fs.room(leaf.Data, recordLen(len(name))); off >= 0 {
		i.place(o, leaf, off, name, ino, kind)
		return true, 0
	}
	if !p.last().full() {
		return false, i.splitLeaf(o, p, leaf)
	}
	k := p.n - 1
	for k > 0 && p.frames[k-1].full() {
		k--
	}
	if k == 0 {
		return false, i.growIndex(o, p)
	}
	return false, i.splitIndex(o, p, k)
}

// indexFull says whether the index has no room for one more leaf, whatever is split.
func (i *Inode) indexFull(name string) (bool, syscall.Errno) {
	if !i.indexed() {
		return false, 0
	}
	hash, errno := i.dxHash(name)
	if errno != 0 {
		return false, errno
	}
	p, errno := i.dxFind(hash)
	if errno != 0 {
		return false, errno
	}
	defer p.put()
	for k := range p.frames[:p.n] {
		if !p.frames[k].full() {
			return false, 0
		}
	}
	return p.n >= i.fs.dxLevels(), 0
}

type hashedEntry struct {
	dirent
	hash uint32
}

// splitLeaf moves the upper half, by hash, of a full leaf's names to a new one.
func (i *Inode) splitLeaf(o *op, p *dxPath, leaf *jbd2.Buffer) syscall.Errno {
	fs := i.fs
	var list []hashedEntry
	old := append([]byte(nil), leaf.Data...)
	bytes := 0
	for off := 0; off < fs.dirLimit(); {
		e, ok := fs.direntAt(old, off, fs.dirLimit())
		if !ok {
			return fs.corrupt("entries of directory", uint64(i.ino))
		}
		off += e.length
		if e.ino != 0 {
			h, _ := nameHash(p.version, fs.hashSeed, string(e.name))
			list = append(list, hashedEntry{e, h})
			bytes += recordLen(len(e.name))
		}
	}
	if len(list) < 2 {
		return fs.corrupt("entries of directory", uint64(i.ino))
	}
	slices.SortStableFunc(list, func(a, b hashedEntry) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return 0
	})
	at, upper := len(list), 0
	for at > 1 && upper+recordLen(len(list[at-1].name)) <= bytes/2 {
		at--
		upper += recordLen(len(list[at].name))
	}
	at = min(at, len(list)-1)
	nb, l, errno := i.appendBlock(o, checkedDir, i.sealDir())
	if errno != 0 {
		return errno
	}
	defer nb.Put()
	hash := list[at].hash
	if list[at-1].hash == hash {
		hash |= 1 // names of this hash go on from the leaf before
	}
	o.dirty(leaf, i.sealDir())
	i.fill(leaf.Data, plain(list[:at]))
	i.fill(nb.Data, plain(list[at:]))
	i.addDx(o, p.last(), hash, l)
	return 0
}

func plain(list []hashedEntry) []dirent {
	r := make([]dirent, len(list))
	for k := range list {
		r[k] = list[k].dirent
	}
	return r
}

// addDx adds an entry behind the frame's position. The frame is not full.
func (i *Inode) addDx(o *op, f *frame, hash uint32, l uint64) {
	o.dirty(f.buf, i.sealIndex(f.base))
	d, n, at := f.buf.Data[f.base:], f.count(), f.at+1
	copy(d[dxEntry*(at+1):dxEntry*(n+1)], d[dxEntry*at:dxEntry*n])
	le.PutUint32(d[dxEntry*at:], hash)
	le.PutUint32(d[dxEntry*at+4:], uint32(l))
	le.PutUint16(d[2:], uint16(n+1))
}

// newIndexBlock appends an index block that holds a copy of entries.
func (i *Inode) newIndexBlock(o *op, entries []byte) (uint64, syscall.Errno) {
	b, l, errno := i.appendBlock(o, checkedIndex, i.sealIndex(dxNodeBase))
	if errno != 0 {
		return 0, errno
	}
	defer b.Put()
	le.PutUint16(b.Data[4:], uint16(i.fs.blockSize))
	copy(b.Data[dxNodeBase:], entries)
	putDxHead(b.Data, dxNodeBase, i.fs.dxLimit(dxNodeBase), len(entries)/dxEntry, uint64(le.Uint32(entries[4:])))
	return l, 0
}

// splitIndex moves the upper half of the entries of frame k to a new block.
func (i *Inode) splitIndex(o *op, p *dxPath, k int) syscall.Errno {
	f := &p.frames[k]
	n := f.count()
	if n < 2 {
		return i.fs.corrupt("index of directory", uint64(i.ino))
	}
	keep := n / 2
	d := f.buf.Data[f.base:]
	hash := f.hash(keep)
	l, errno := i.newIndexBlock(o, d[dxEntry*keep:dxEntry*n])
	if errno != 0 {
		return errno
	}
	o.dirty(f.buf, i.sealIndex(f.base))
	le.PutUint16(d[2:], uint16(keep))
	i.addDx(o, &p.frames[k-1], hash, l)
	return 0
}

// growIndex moves the root's entries to a new level.
func (i *Inode) growIndex(o *op, p *dxPath) syscall.Errno {
	fs := i.fs
	f := &p.frames[0]
	d := f.buf.Data
	if p.n >= fs.dxLevels() {
		return syscall.ENOSPC
	}
	l, errno := i.newIndexBlock(o, d[f.base:f.base+dxEntry*f.count()])
	if errno != 0 {
		return errno
	}
	o.dirty(f.buf, i.sealIndex(f.base))
	putDxHead(d, f.base, fs.dxLimit(f.base), 1, l)
	d[dxInfo+6]++
	return 0
}

// removeName takes a name out of its block: the record before it grows.
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

// empty says whether a directory has no names but "." and "..".
func (i *Inode) empty() (bool, syscall.Errno) {
	for pos := int64(0); pos >= 0; {
		list, next, errno := i.batchLocked(pos)
		if errno != 0 {
			return false, errno
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
