package ext4

import (
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// A directory's index (ext4 docs: "Hash Tree Directories") has its root in block 0: the
// records of "." and "..", then at 24 a word, the hash version, the length of this
// information (8) and the number of levels below, and then entries of 8 bytes: a hash and
// the block with the names from that hash on. In the place of the first entry's hash are
// the limit and the count of entries.
const (
	dxInfo     = 24
	dxRootBase = 32
	dxNodeBase = 8
	dxEntry    = 8
	dxBlock    = 0x0fffffff
)

// indexed reports whether the directory has a valid index.
func (i *Inode) indexed() bool {
	return i.flags&flagIndex != 0 && i.fs.has(compatDirIndex)
}

// frame is one node on the path through an index.
type frame struct {
	buf  *jbd2.Buffer
	base int
	at   int
}

func (f *frame) count() int { return int(le.Uint16(f.buf.Data[f.base+2:])) }
func (f *frame) limit() int { return int(le.Uint16(f.buf.Data[f.base:])) }
func (f *frame) hash(k int) uint32 {
	if k == 0 {
		return 0
	}
	return le.Uint32(f.buf.Data[f.base+dxEntry*k:])
}
func (f *frame) child(k int) uint64 {
	return uint64(le.Uint32(f.buf.Data[f.base+dxEntry*k+4:]) & dxBlock)
}
func (f *frame) full() bool { return f.count() >= f.limit() }

// seek finds the entry for a hash.
func (f *frame) seek(hash uint32) {
	lo, hi := 1, f.count()
	for lo < hi {
		mid := (lo + hi) / 2
		if f.hash(mid) <= hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	f.at = lo - 1
}

// dxPath is the path from the root to the entry of a leaf.
type dxPath struct {
	frames  [4]frame
	n       int
	version uint8
	hash    uint32
}

func (p *dxPath) last() *frame { return &p.frames[p.n-1] }

func (p *dxPath) put() {
	for k := range p.frames[:p.n] {
		p.frames[k].buf.Put()
	}
	p.n = 0
}

func (fs *FS) dxLimit(base int) int {
	room := fs.blockSize - base
	if fs.metaCsum {
		room -= 8
	}
	return room / dxEntry
}

// dxLevels is the most nodes on a path.
func (fs *FS) dxLevels() int {
	if fs.hasIncompat(incompatLargeDir) {
		return 3
	}
	return 2
}

// indexBlock reads and checks a block of the index.
func (i *Inode) indexBlock(l uint64) (*jbd2.Buffer, syscall.Errno) {
	b, e := i.rawDirBlock(l)
	if e != 0 {
		return nil, e
	}
	base := dxNodeBase
	if l == 0 {
		base = dxRootBase
	}
	f := frame{buf: b, base: base}
	checked := atomic.LoadUint32(&b.Check)&checkedIndex != 0
	good := f.limit() == i.fs.dxLimit(base) && f.count() > 0 && f.count() <= f.limit() && i.dxHeadGood(b.Data, l)
	if good && !checked && i.fs.metaCsum {
		good = dxSum(i.seed, b.Data, base) == le.Uint32(b.Data[base+dxEntry*f.limit()+4:])
	}
	if !good {
		b.Put()
		return nil, i.fs.corrupt("index of directory", uint64(i.ino))
	}
	if !checked {
		mark(b, checkedIndex)
	}
	return b, 0
}

// dxHeadGood checks the bytes before the entries.
func (i *Inode) dxHeadGood(d []byte, l uint64) bool {
	if l != 0 {
		return le.Uint32(d) == 0 && int(le.Uint16(d[4:])) == i.fs.blockSize
	}
	return le.Uint16(d[4:]) == 12 && d[6] == 1 && d[8] == '.' &&
		int(le.Uint16(d[16:])) == i.fs.blockSize-12 && d[18] == 2 && d[20] == '.' && d[21] == '.' &&
		d[dxInfo+5] == 8 && int(d[dxInfo+6]) < i.fs.dxLevels() && d[dxInfo+4] <= hashTea
}

// dxSum is the checksum of a block of the index: of the entries in use, then of the tail.
func dxSum(seed uint32, d []byte, base int) uint32 {
	limit, count := int(le.Uint16(d[base:])), int(le.Uint16(d[base+2:]))
	tail := base + dxEntry*limit
	if count > limit || tail+8 > len(d) {
		return 0
	}
	sum := crc32c(seed, d[:base+dxEntry*count])
	sum = crc32c(sum, d[tail:tail+4])
	return crc32c(sum, []byte{0, 0, 0, 0})
}

func (i *Inode) sealIndex(base int) func(*jbd2.Buffer) {
	if !i.fs.metaCsum {
		return nil
	}
	seed := i.seed
	return func(b *jbd2.Buffer) {
		if tail := base + dxEntry*int(le.Uint16(b.Data[base:])); tail+8 <= len(b.Data) {
			le.PutUint32(b.Data[tail+4:], dxSum(seed, b.Data, base))
		}
	}
}

// scanRoot looks for "." and ".." in the root of an index.
func (i *Inode) scanRoot(b *jbd2.Buffer, name string) (dirent, syscall.Errno) {
	for _, off := range [2]int{0, 12} {
		d := b.Data[off:]
		n := int(d[6])
		if ino := le.Uint32(d); string(d[direntHead:direntHead+n]) == name && ino != 0 && ino <= i.fs.inodes {
			return dirent{off: off, length: int(le.Uint16(d[4:])), ino: ino, kind: d[7], name: d[direntHead : direntHead+n]}, 0
		}
	}
	return dirent{off: -1}, 0
}

// dxFind walks through the index to the leaf for a hash. The caller must put the path.
func (i *Inode) dxFind(hash uint32) (p dxPath, e syscall.Errno) {
	p.hash = hash
	l, base := uint64(0), dxRootBase
	for level := 0; ; level++ {
		b, e := i.indexBlock(l)
		if e != 0 {
			p.put()
			return p, e
		}
		p.frames[p.n] = frame{buf: b, base: base}
		p.n++
		f := p.last()
		f.seek(hash)
		if level == int(p.frames[0].buf.Data[dxInfo+6]) {
			p.version = p.frames[0].buf.Data[dxInfo+4] + i.fs.hashUnsigned
			return p, 0
		}
		l, base = f.child(f.at), dxNodeBase
	}
}

// dxHash is a name's hash in this directory.
func (i *Inode) dxHash(name string) (uint32, syscall.Errno) {
	b, e := i.indexBlock(0)
	if e != 0 {
		return 0, e
	}
	version := b.Data[dxInfo+4] + i.fs.hashUnsigned
	b.Put()
	h, _ := nameHash(version, i.fs.hashSeed, name)
	return h, 0
}

// dxFindName walks to the leaf for a name. The caller must put the path.
func (i *Inode) dxFindName(name string) (dxPath, syscall.Errno) {
	hash, e := i.dxHash(name)
	if e != 0 {
		return dxPath{}, e
	}
	return i.dxFind(hash)
}

// dxNext moves the path to the next leaf and returns its first hash. end is true after
// the last leaf.
func (i *Inode) dxNext(p *dxPath) (hash uint32, end bool, e syscall.Errno) {
	k := p.n - 1
	for ; k >= 0; k-- {
		if f := &p.frames[k]; f.at+1 < f.count() {
			f.at++
			hash = f.hash(f.at)
			break
		}
	}
	if k < 0 {
		return 0, true, 0
	}
	for k++; k < p.n; k++ {
		b, e := i.indexBlock(p.frames[k-1].child(p.frames[k-1].at))
		if e != 0 {
			return 0, false, e
		}
		p.frames[k].buf.Put()
		p.frames[k].buf, p.frames[k].at = b, 0
	}
	return hash, false, 0
}

// lookupIndexed is lookupName for an indexed directory.
func (i *Inode) lookupIndexed(name string) (*jbd2.Buffer, dirent, syscall.Errno) {
	p, e := i.dxFindName(name)
	if e != 0 {
		return nil, dirent{}, e
	}
	defer p.put()
	for tries := i.size >> i.fs.blockBits; tries > 0; tries-- {
		b, e := i.dirBlock(p.last().child(p.last().at))
		if e != 0 {
			return nil, dirent{}, e
		}
		d, e := i.scan(b, name)
		if e == 0 && d.off >= 0 {
			return b, d, 0
		}
		b.Put()
		if e != 0 {
			return nil, d, e
		}
		next, end, e := i.dxNext(&p)
		if e != 0 {
			return nil, d, e
		}
		if end || next != p.hash|1 {
			return nil, d, syscall.ENOENT
		}
	}
	return nil, dirent{}, i.fs.corrupt("index of directory", uint64(i.ino))
}
