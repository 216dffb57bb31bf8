package ext4

import (
	"sync"
	"syscall"
)

// table holds the referenced inodes by number.
type table [16]struct {
	sync.Mutex
	inodes map[uint32]*Inode
}

// Root is the root directory, with a reference.
func (fs *FS) Root() (*Inode, syscall.Errno) { return fs.Inode(rootIno) }

// Inode is the file with a number, with a reference. ESTALE: it is not in use.
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

// inode is Inode for any number, special ones too.
func (fs *FS) inode(ino uint32) (*Inode, syscall.Errno) {
	if ino == 0 || ino > fs.inodes {
		return nil, fs.corrupt("number of an inode", uint64(ino))
	}
	s := &fs.table[ino%uint32(len(fs.table))]
	s.Lock()
	i := s.inodes[ino]
	if i != nil && i.dying {
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
		i.drop()
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

// hold is Ref where the last reference may be going meanwhile; false: it has gone.
func (i *Inode) hold() bool {
	s := &i.fs.table[i.ino%uint32(len(i.fs.table))]
	s.Lock()
	defer s.Unlock()
	if i.refs == 0 {
		return false
	}
	i.refs++
	return true
}

// Put gives a reference back. The last one of a file without links frees it.
func (i *Inode) Put() {
	if i.drop() {
		i.fs.free1(i)
	}
}

// drop takes a reference away and reports whether the file is to be freed; then it
// is marked as dying and stays in the table until forget.
func (i *Inode) drop() bool {
	fs := i.fs
	s := &fs.table[i.ino%uint32(len(fs.table))]
	s.Lock()
	defer s.Unlock()
	i.refs--
	if i.refs > 0 {
		return false
	}
	if i.loadErr == 0 && i.nlink == 0 && i.onOrphans && !fs.ro.Load() {
		i.dying = true
		return true
	}
	if i.ahead.held() {
		fs.release(&i.ahead)
	}
	fs.unclaim(int64(i.reserved.remove(0, maxLogical+1)))
	if s.inodes[i.ino] == i {
		delete(s.inodes, i.ino)
	}
	return false
}

// forget takes a dying inode out of the table.
func (i *Inode) forget() {
	s := &i.fs.table[i.ino%uint32(len(i.fs.table))]
	s.Lock()
	if s.inodes[i.ino] == i {
		delete(s.inodes, i.ino)
	}
	s.Unlock()
}
