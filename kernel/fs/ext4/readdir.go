package ext4

import (
	"slices"
	"strings"
	"syscall"
)

// listed is an entry with its position. The positions of a directory with dir_index are
// hashes: entries move between blocks when a leaf is split, but their hashes stay, so a
// reader gets each name that was there all the time exactly once, whatever is inserted and
// removed meanwhile. Names whose 31 bits of ext4's hash are equal are ordered by another
// hash of 32 bits. A directory of several blocks without an index never gets one, its
// entries never move, and its positions are byte offsets.
type listed struct {
	pos, next int64
	ino       uint32
	kind      uint8
	name      string
}

// maxContinued bounds the number of leaves with names of one hash.
const maxContinued = 64

// ReadDir calls emit for the entries from a position on, at first 0, until it returns
// false. next is the position after the entry. kind is one of the file types of directory
// entries (1 regular, 2 directory, …), 0 if the file system does not record it. emit runs
// without locks held.
func (i *Inode) ReadDir(pos int64, emit func(name string, ino uint32, kind uint32, next int64) bool) syscall.Errno {
	for pos >= 0 {
		list, next, e := i.batch(pos)
		if e != 0 {
			return e
		}
		for _, e := range list {
			if !emit(e.name, e.ino, uint32(e.kind), e.next) {
				return 0
			}
		}
		if next >= 0 && next <= pos {
			return i.fs.corrupt("index of directory", uint64(i.ino))
		}
		pos = next
	}
	return 0
}

// batch lists some entries from pos on, and where the next batch starts, -1 at the end.
func (i *Inode) batch(pos int64) (list []listed, next int64, e syscall.Errno) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.batchLocked(pos)
}

// batchLocked is batch for a caller that holds i.mu.
func (i *Inode) batchLocked(pos int64) (list []listed, next int64, e syscall.Errno) {
	if !i.isDir() {
		return nil, -1, syscall.ENOTDIR
	}
	if i.nlink == 0 {
		return nil, -1, 0
	}
	switch {
	case i.indexed():
		return i.batchIndexed(pos)
	case i.hashed():
		list, e = i.leaf(nil, 0, pos, i.fs.dirHash())
		sortListed(list)
		return list, -1, e
	}
	return i.batchLinear(pos)
}

// hashed reports whether a directory without an index may get one.
func (i *Inode) hashed() bool {
	return i.fs.has(compatDirIndex) && i.size == uint64(i.fs.blockSize)
}

// dirHash is the hash of new indexes.
func (fs *FS) dirHash() uint8 {
	if fs.hashVersion > hashTea {
		return hashHalfMD4 + fs.hashUnsigned
	}
	return fs.hashVersion + fs.hashUnsigned
}

func (i *Inode) batchIndexed(pos int64) (list []listed, next int64, e syscall.Errno) {
	hash := uint32(0)
	if pos >= 2 {
		hash = uint32((pos-2)>>32) << 1
	}
	p, e := i.dxFind(hash)
	if e != 0 {
		return nil, -1, e
	}
	defer p.put()
	if pos < 2 {
		for _, name := range []string{".", ".."} {
			e, _ := i.scanRoot(p.frames[0].buf, name)
			if e.off >= 0 {
				list = i.list(list, e, pos, p.version)
			}
		}
	}
	for range maxContinued {
		if list, e = i.leaf(list, p.last().child(p.last().at), pos, p.version); e != 0 {
			return nil, -1, e
		}
		h, end, e := i.dxNext(&p)
		if e != 0 {
			return nil, -1, e
		}
		if end || h&1 == 0 {
			next = int64(h>>1)<<32 + 2
			if end {
				next = -1
			}
			sortListed(list)
			return list, next, i.checkNames(list)
		}
	}
	return nil, -1, i.fs.corrupt("too many names with one hash in directory", uint64(i.ino))
}

func sortListed(list []listed) {
	slices.SortFunc(list, func(a, b listed) int {
		if a.pos != b.pos {
			if a.pos < b.pos {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
}

// checkNames refuses names that no path could contain.
func (i *Inode) checkNames(list []listed) syscall.Errno {
	for _, e := range list {
		if strings.ContainsAny(e.name, "/\x00") {
			return i.fs.corrupt("name with a slash or a zero byte in directory", uint64(i.ino))
		}
	}
	return 0
}

// leaf adds the entries of block l whose position is pos or later.
func (i *Inode) leaf(list []listed, l uint64, pos int64, version uint8) ([]listed, syscall.Errno) {
	b, e := i.dirBlock(l)
	if e != 0 {
		return nil, e
	}
	defer b.Put()
	for off := 0; off < i.fs.dirLimit(); {
		e, ok := i.fs.direntAt(b.Data, off, i.fs.dirLimit())
		if !ok {
			return nil, i.fs.corrupt("entries of directory", uint64(i.ino))
		}
		off += e.length
		if e.ino != 0 {
			list = i.list(list, e, pos, version)
		}
	}
	return list, i.checkNames(list)
}

func (i *Inode) list(list []listed, e dirent, pos int64, version uint8) []listed {
	at := i.position(string(e.name), version)
	if at < pos {
		return list
	}
	return append(list, listed{at, at + 1, e.ino, e.kind, string(e.name)})
}

// position is the position of a name in ReadDir.
func (i *Inode) position(name string, version uint8) int64 {
	switch name {
	case ".":
		return 0
	case "..":
		return 1
	}
	h, _ := nameHash(version, i.fs.hashSeed, name)
	minor := uint32(2166136261) // FNV-1a
	for k := range len(name) {
		minor = (minor ^ uint32(name[k])) * 16777619
	}
	return int64(h>>1)<<32 + int64(minor) + 2
}

// batchLinear lists one block.
func (i *Inode) batchLinear(pos int64) (list []listed, next int64, e syscall.Errno) {
	l := uint64(pos) >> i.fs.blockBits
	if l >= i.size>>i.fs.blockBits {
		return nil, -1, 0
	}
	if l%16 == 0 {
		i.prefetch(l, 16)
	}
	b, e := i.dirBlock(l)
	if e != 0 {
		return nil, -1, e
	}
	defer b.Put()
	start := int64(l) << i.fs.blockBits
	for off := 0; off < i.fs.dirLimit(); {
		e, ok := i.fs.direntAt(b.Data, off, i.fs.dirLimit())
		if !ok {
			return nil, -1, i.fs.corrupt("entries of directory", uint64(i.ino))
		}
		if at := start + int64(off); at >= pos && e.ino != 0 {
			list = append(list, listed{at, at + int64(e.length), e.ino, e.kind, string(e.name)})
		}
		off += e.length
	}
	return list, start + int64(i.fs.blockSize), i.checkNames(list)
}
