package ext4

import (
	"sync"
	"syscall"
)

// table has the referenced inodes by number, in shards.
type table [16]struct {
	sync.Mutex
	inodes map[uint32]*Inode
}

// Root is the root directory, with a reference.
func (fs *FS) Root() (*Inode, syscall.Errno) { return fs.Inode(rootIno) }

// Inode returns the file with a number, with a reference. ESTALE: the inode is not in use.
func (fs *FS) Inode(ino uint32) (*Inode, syscall.Errno) {
	if ino != rootIno && (ino < fs.firstIno || ino > fs.inodes) {
		return nil, syscall.ESTALE
	}
	i, e := fs.inode(ino)
	if e != 0 {
		return nil, e
	}
	i.mu.RLock()
	stale := i.nlink == 0 && !i.onOrphans
	i.mu.RUnlock()
	if stale {
		i.Put()
		return nil, syscall.ESTALE
	}
	return i, 0
}

// inode is Inode for any number, including special inodes.
func (fs *FS) inode(ino uint32) (*Inode, syscall.Errno) {
	if ino == 0 || ino > fs.inodes {
		return nil, fs.corrupt("number of an inode", uint64(ino))
	}
	s := &fs.table[ino%uint32(len(fs.table))]
	s.Lock()
	i := s.inodes[ino]
	if i != nil && i.evicting {
		s.Unlock()
		return nil, syscall.ESTALE
	}
	if i == nil {
		i = &Inode{fs: fs, ino: ino, orphanSlot: -1}
		if s.inodes == nil {
			s.inodes = map[uint32]*Inode{}
		}
		s.inodes[ino] = i
	}
	i.refs++
	s.Unlock()
	i.load.Lock()
	if !i.loaded {
		i.loaded, i.loadErr = true, fs.readInode(i)
	}
	e := i.loadErr
	i.load.Unlock()
	if e != 0 {
		i.unref()
		return nil, e
	}
	return i, 0
}

// adopt puts a new inode into the table with one reference.
func (fs *FS) adopt(i *Inode) {
	s := &fs.table[i.ino%uint32(len(fs.table))]
	s.Lock()
	if s.inodes == nil {
		s.inodes = map[uint32]*Inode{}
	}
	i.refs, i.loaded = 1, true
	s.inodes[i.ino] = i
	s.Unlock()
}

// Ref takes another reference.
func (i *Inode) Ref() {
	s := &i.fs.table[i.ino%uint32(len(i.fs.table))]
	s.Lock()
	i.refs++
	s.Unlock()
}

// tryRef is Ref for a caller without a reference of its own; false: the last reference
// has been dropped.
func (i *Inode) tryRef() bool {
	s := &i.fs.table[i.ino%uint32(len(i.fs.table))]
	s.Lock()
	defer s.Unlock()
	if i.refs == 0 {
		return false
	}
	i.refs++
	return true
}

// Put drops a reference. The last Put of a file without links frees it.
func (i *Inode) Put() {
	if i.unref() {
		i.fs.evict(i)
	}
}

// unref drops a reference and reports whether the file is to be freed. If so, it is marked
// evicting and stays in the table until forget.
func (i *Inode) unref() bool {
	fs := i.fs
	s := &fs.table[i.ino%uint32(len(fs.table))]
	s.Lock()
	defer s.Unlock()
	i.refs--
	if i.refs > 0 {
		return false
	}
	if i.loadErr == 0 && i.nlink == 0 && i.onOrphans && !fs.ro.Load() {
		i.evicting = true
		return true
	}
	if i.prealloc.nonEmpty() {
		fs.release(&i.prealloc)
	}
	fs.unclaim(int64(i.reserved.remove(0, maxLogical+1)))
	if s.inodes[i.ino] == i {
		delete(s.inodes, i.ino)
	}
	return false
}

// forget removes an evicted inode from the table.
func (i *Inode) forget() {
	s := &i.fs.table[i.ino%uint32(len(i.fs.table))]
	s.Lock()
	if s.inodes[i.ino] == i {
		delete(s.inodes, i.ino)
	}
	s.Unlock()
}
