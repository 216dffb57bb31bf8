package ext4

import (
	"cmp"
	"slices"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// makeIndex gives an index to a directory of one full block: the block's names move to a
// second block, the first becomes the root.
func (i *Inode) makeIndex(o *op) syscall.Errno {
	fs := i.fs
	root, e := i.dirBlock(0)
	if e != 0 {
		return e
	}
	defer root.Put()
	limit := fs.dirLimit()
	dot, ok := fs.direntAt(root.Data, 0, limit)
	dots, ok2 := fs.direntAt(root.Data, dot.length, limit)
	if !ok || !ok2 || dot.length != 12 || string(dot.name) != "." || string(dots.name) != ".." {
		return fs.corrupt("first entries of directory", uint64(i.ino))
	}
	leaf, l, e := i.appendBlock(o, checkedDir, i.sealDir())
	if e != 0 {
		return e
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

// fill fills a block with a list of entries from another block, in order.
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

// addIndexed adds a name through the index and splits the full blocks on the path.
func (i *Inode) addIndexed(o *op, name string, ino uint32, kind uint8) syscall.Errno {
	hash, e := i.dxHash(name)
	if e != 0 {
		return e
	}
	for range 8 {
		p, e := i.dxFind(hash)
		if e != 0 {
			return e
		}
		done, e := i.addAt(o, &p, name, ino, kind)
		p.put()
		if done || e != 0 {
			return e
		}
	}
	return i.fs.corrupt("index takes no more names, directory", uint64(i.ino))
}

// addAt adds the name to the path's leaf. done is false if it has split a block instead;
// the path must then be looked up again.
func (i *Inode) addAt(o *op, p *dxPath, name string, ino uint32, kind uint8) (done bool, e syscall.Errno) {
	l := p.last().child(p.last().at)
	leaf, e := i.dirBlock(l)
	if e != 0 {
		return false, e
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

// indexFull reports whether the index has no room for one more leaf, even with splits.
func (i *Inode) indexFull(name string) (bool, syscall.Errno) {
	if !i.indexed() {
		return false, 0
	}
	p, e := i.dxFindName(name)
	if e != 0 {
		return false, e
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

// splitLeaf moves the upper half, by hash, of a full leaf's names to a new leaf.
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
	slices.SortStableFunc(list, func(a, b hashedEntry) int { return cmp.Compare(a.hash, b.hash) })
	at, upper := len(list), 0
	for at > 1 && upper+recordLen(len(list[at-1].name)) <= bytes/2 {
		at--
		upper += recordLen(len(list[at].name))
	}
	at = min(at, len(list)-1)
	nb, l, e := i.appendBlock(o, checkedDir, i.sealDir())
	if e != 0 {
		return e
	}
	defer nb.Put()
	hash := list[at].hash
	if list[at-1].hash == hash {
		hash |= 1 // names with this hash begin in the leaf before
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

// addDx adds an entry after the frame's position. The frame is not full.
func (i *Inode) addDx(o *op, f *frame, hash uint32, l uint64) {
	o.dirty(f.buf, i.sealIndex(f.base))
	d, n, at := f.buf.Data[f.base:], f.count(), f.at+1
	copy(d[dxEntry*(at+1):dxEntry*(n+1)], d[dxEntry*at:dxEntry*n])
	le.PutUint32(d[dxEntry*at:], hash)
	le.PutUint32(d[dxEntry*at+4:], uint32(l))
	le.PutUint16(d[2:], uint16(n+1))
}

// newIndexBlock appends an index block with a copy of entries.
func (i *Inode) newIndexBlock(o *op, entries []byte) (uint64, syscall.Errno) {
	b, l, e := i.appendBlock(o, checkedIndex, i.sealIndex(dxNodeBase))
	if e != 0 {
		return 0, e
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
	l, e := i.newIndexBlock(o, d[dxEntry*keep:dxEntry*n])
	if e != 0 {
		return e
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
	l, e := i.newIndexBlock(o, d[f.base:f.base+dxEntry*f.count()])
	if e != 0 {
		return e
	}
	o.dirty(f.buf, i.sealIndex(f.base))
	putDxHead(d, f.base, fs.dxLimit(f.base), 1, l)
	d[dxInfo+6]++
	return 0
}
