package ext4

import (
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// A directory entry (ext4 docs: "Linear Directories") has the fields inode u32, length of
// the record u16, length of the name u8, type u8, name. With metadata_csum a block ends
// with a record of 12 bytes without a name that contains the checksum.
const (
	direntHead = 8
	dirTail    = 12
	tailType   = 0xde
	nameMax    = 255
)

// dirent is one record of a block.
type dirent struct {
	off, length int
	ino         uint32
	kind        uint8
	name        []byte // part of the buffer
}

func recordLen(name int) int { return (direntHead + name + 3) &^ 3 }

// dirLimit is where a block's records end.
func (fs *FS) dirLimit() int {
	if fs.metaCsum {
		return fs.blockSize - dirTail
	}
	return fs.blockSize
}

// direntAt decodes the record at off of a block that ends at limit; ok is false if the
// record is damaged.
func (fs *FS) direntAt(d []byte, off, limit int) (e dirent, ok bool) {
	if off+direntHead > limit {
		return e, false
	}
	e.off, e.ino, e.length = off, le.Uint32(d[off:]), int(le.Uint16(d[off+4:]))
	n := int(d[off+6])
	if fs.hasIncompat(incompatFiletype) {
		e.kind = d[off+7]
	}
	if e.length < direntHead || e.length%4 != 0 || e.length > limit-off {
		return e, false
	}
	if e.ino == 0 {
		return e, true
	}
	if n == 0 || e.length < recordLen(n) || e.ino > fs.inodes {
		return e, false
	}
	e.name = d[off+direntHead : off+direntHead+n]
	return e, true
}

// dirBlock reads and checks block l of a directory. Caller holds i.mu.
func (i *Inode) dirBlock(l uint64) (*jbd2.Buffer, syscall.Errno) {
	b, e := i.rawDirBlock(l)
	if e != 0 {
		return nil, e
	}
	if atomic.LoadUint32(&b.Check)&checkedDir != 0 {
		return b, 0
	}
	if i.fs.metaCsum && !i.dirSumGood(b.Data) {
		b.Put()
		return nil, i.fs.corrupt("checksum of a block of directory", uint64(i.ino))
	}
	for off := 0; off < i.fs.dirLimit(); {
		e, ok := i.fs.direntAt(b.Data, off, i.fs.dirLimit())
		if !ok {
			b.Put()
			return nil, i.fs.corrupt("entries of directory", uint64(i.ino))
		}
		off += e.length
	}
	mark(b, checkedDir)
	return b, 0
}

// rawDirBlock is dirBlock without checks of the content.
func (i *Inode) rawDirBlock(l uint64) (*jbd2.Buffer, syscall.Errno) {
	if l >= i.size>>i.fs.blockBits {
		return nil, i.fs.corrupt("block number in directory", uint64(i.ino))
	}
	m, e := i.lookup(l, 1)
	if e != 0 {
		return nil, e
	}
	if !m.written() {
		return nil, i.fs.corrupt("hole in directory", uint64(i.ino))
	}
	return i.fs.j.Get(m.phys)
}

func (i *Inode) dirSumGood(d []byte) bool {
	t := d[len(d)-dirTail:]
	return le.Uint32(t) == 0 && le.Uint16(t[4:]) == dirTail && t[6] == 0 && t[7] == tailType &&
		crc32c(i.seed, d[:len(d)-dirTail]) == le.Uint32(t[8:])
}

func (i *Inode) sealDir() func(*jbd2.Buffer) {
	if !i.fs.metaCsum {
		return nil
	}
	seed := i.seed
	return func(b *jbd2.Buffer) {
		t := b.Data[len(b.Data)-dirTail:]
		le.PutUint32(t[8:], crc32c(seed, b.Data[:len(b.Data)-dirTail]))
	}
}

// scan looks for a name in one block. off of the result is -1 if the name is not there.
func (i *Inode) scan(b *jbd2.Buffer, name string) (dirent, syscall.Errno) {
	limit := i.fs.dirLimit()
	for off := 0; off < limit; {
		e, ok := i.fs.direntAt(b.Data, off, limit)
		if !ok {
			return e, i.fs.corrupt("entries of directory", uint64(i.ino))
		}
		if e.ino != 0 && string(e.name) == name {
			return e, 0
		}
		off += e.length
	}
	return dirent{off: -1}, 0
}

// lookupName finds a name. It returns the entry and its buffer, which the caller puts.
// ENOENT: the directory has no such name. Caller holds i.mu.
func (i *Inode) lookupName(name string) (*jbd2.Buffer, dirent, syscall.Errno) {
	switch {
	case !i.isDir():
		return nil, dirent{}, syscall.ENOTDIR
	case len(name) > nameMax:
		return nil, dirent{}, syscall.ENAMETOOLONG
	case name == "":
		return nil, dirent{}, syscall.ENOENT
	}
	if i.indexed() && name != "." && name != ".." {
		return i.lookupIndexed(name)
	}
	end := i.size >> i.fs.blockBits
	if i.indexed() {
		end = 1
	}
	for l := uint64(0); l < end; l++ {
		if l%16 == 1 {
			i.prefetch(l, 16)
		}
		b, e := i.firstBlock(l)
		if e != 0 {
			return nil, dirent{}, e
		}
		d, e := i.scanAny(b, name, l)
		if e == 0 && d.off >= 0 {
			return b, d, 0
		}
		b.Put()
		if e != 0 {
			return nil, d, e
		}
	}
	return nil, dirent{}, syscall.ENOENT
}

// firstBlock is dirBlock, but block 0 of an indexed directory is its index.
func (i *Inode) firstBlock(l uint64) (*jbd2.Buffer, syscall.Errno) {
	if l == 0 && i.indexed() {
		return i.indexBlock(0)
	}
	return i.dirBlock(l)
}

func (i *Inode) scanAny(b *jbd2.Buffer, name string, l uint64) (dirent, syscall.Errno) {
	if l == 0 && i.indexed() {
		return i.scanRoot(b, name)
	}
	return i.scan(b, name)
}

// prefetch reads ahead n blocks of the directory from l on if they are contiguous.
func (i *Inode) prefetch(l, n uint64) {
	n = min(n, i.size>>i.fs.blockBits-l)
	if m, e := i.lookup(l, n); e == 0 && m.written() && m.n > 1 {
		i.fs.j.Prefetch(m.phys, int(m.n))
	}
}

// Lookup finds a name in a directory and returns its inode with a reference.
// ENOENT, ENOTDIR, ENAMETOOLONG, EIO.
func (i *Inode) Lookup(name string) (*Inode, syscall.Errno) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	ino, e := i.lookupIno(name)
	if e != 0 {
		return nil, e
	}
	return i.child(ino)
}

// child is the inode of a directory entry.
func (i *Inode) child(ino uint32) (*Inode, syscall.Errno) {
	if ino != rootIno && ino < i.fs.firstIno {
		return nil, i.fs.corrupt("entry names a special inode, directory", uint64(i.ino))
	}
	c, e := i.fs.inode(ino)
	if e == syscall.ESTALE {
		return nil, i.fs.corrupt("entry names a free inode, directory", uint64(i.ino))
	}
	return c, e
}

func (i *Inode) lookupIno(name string) (uint32, syscall.Errno) {
	b, d, e := i.lookupName(name)
	if e != 0 {
		return 0, e
	}
	defer b.Put()
	return d.ino, 0
}
