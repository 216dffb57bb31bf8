package kernel

import (
	"sort"
	"syscall"
)

// tmpDir is a directory of tmpfs.
type tmpDir struct {
	tmpNode
	NameLock
	names map[string]*tmpEntry
	// order lists the entries by rising position. Removed ones stay as nil inodes until
	// there are many. So a reader that removes the entries it has read misses none
	// (readdir(3) leaves that open, but os.RemoveAll and every other program rely on it).
	order []*tmpEntry
	dead  int
	next  int64
}

type tmpEntry struct {
	name  string
	inode tmpInode // nil once removed
	pos   int64
}

func (d *tmpDir) Stat(st *syscall.Stat_t) syscall.Errno {
	d.mu.RLock()
	d.stat(st, int64(len(d.names)+2)*20, 0)
	d.mu.RUnlock()
	return 0
}

func (d *tmpDir) Lookup(name string) (Inode, syscall.Errno) {
	d.mu.RLock()
	e := d.names[name]
	d.mu.RUnlock()
	if e == nil {
		return nil, syscall.ENOENT
	}
	return e.inode, 0
}

func (d *tmpDir) Open(flags int) (File, syscall.Errno) { return &tmpDirFile{OpenDir{Dir: d}}, 0 }

// insert adds a name or changes its inode. mu is held.
func (d *tmpDir) insert(name string, n tmpInode) {
	if e := d.names[name]; e != nil {
		e.inode = n
	} else {
		if d.names == nil {
			d.names = make(map[string]*tmpEntry)
		}
		e := &tmpEntry{name: name, inode: n, pos: d.next + FirstEntry}
		d.next++
		d.names[name] = e
		d.order = append(d.order, e)
	}
	d.touch()
}

// delete removes a name. mu is held.
func (d *tmpDir) delete(name string) {
	d.names[name].inode = nil
	delete(d.names, name)
	if d.dead++; d.dead > 32 && d.dead > len(d.order)/2 {
		live := make([]*tmpEntry, 0, len(d.names))
		for _, e := range d.order {
			if e.inode != nil {
				live = append(live, e)
			}
		}
		d.order, d.dead = live, 0
	}
	d.touch()
}

func (d *tmpDir) touch() {
	d.mtime = wallTime()
	d.ctime = d.mtime
}

func (d *tmpDir) add(name string, n tmpInode) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] != nil {
		return syscall.EEXIST
	}
	d.insert(name, n)
	if n.Type() == syscall.S_IFDIR {
		d.nlink++
	}
	return 0
}

func (d *tmpDir) Create(name string, mode uint32, dev uint64) (Inode, syscall.Errno) {
	n := d.fs.newInode(mode, dev)
	d.mu.RLock()
	inherit, gid := d.mode&syscall.S_ISGID != 0, d.gid
	d.mu.RUnlock()
	if inherit { // inode(7): the set-group-ID bit of a directory
		n.node().gid = gid
		if n.Type() == syscall.S_IFDIR {
			n.node().mode |= syscall.S_ISGID
		}
	}
	if e := d.add(name, n); e != 0 {
		return nil, e
	}
	return n, 0
}

// newInode makes an inode without a name.
func (fs *tmpfs) newInode(mode uint32, dev uint64) tmpInode {
	var n tmpInode
	switch mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		n = &tmpDir{}
	case syscall.S_IFREG:
		f := &tmpFile{}
		f.data.fs = fs
		n = f
	default:
		n = &tmpSpecial{}
	}
	n.node().init(fs, mode)
	n.node().rdev = dev
	n.node().uid, n.node().gid = fs.k.proc.owner()
	if mode&syscall.S_IFMT == syscall.S_IFDIR {
		n.node().nlink = 2
	}
	return n
}

func (d *tmpDir) Symlink(name, target string) (Inode, syscall.Errno) {
	l := &tmpLink{to: target}
	l.init(d.fs, syscall.S_IFLNK|0o777)
	l.uid, l.gid = d.fs.k.proc.owner()
	if e := d.add(name, l); e != 0 {
		return nil, e
	}
	return l, 0
}

func (d *tmpDir) Link(name string, target Inode) syscall.Errno {
	n, ok := target.(tmpInode)
	if !ok || n.node().fs != d.fs {
		return syscall.EXDEV
	}
	if !n.node().linked() {
		return syscall.ENOENT
	}
	if e := d.add(name, n); e != 0 {
		d.nameRemoved(n)
		return e
	}
	return 0
}

func (d *tmpDir) Remove(name string, dir bool) syscall.Errno {
	d.mu.RLock()
	e := d.names[name]
	d.mu.RUnlock()
	if e == nil {
		return syscall.ENOENT
	}
	n := e.inode
	if sub, ok := n.(*tmpDir); ok {
		if !dir {
			return syscall.EISDIR
		}
		if !sub.empty() {
			return syscall.ENOTEMPTY
		}
	} else if dir {
		return syscall.ENOTDIR
	}
	d.mu.Lock()
	d.delete(name)
	if dir {
		d.nlink--
	}
	d.mu.Unlock()
	d.nameRemoved(n)
	return 0
}

func (d *tmpDir) empty() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.names) == 0
}

// nameRemoved uncounts a name of n, and frees n if that was the last.
func (d *tmpDir) nameRemoved(n tmpInode) {
	n.node().unlinked()
	switch n := n.(type) {
	case *tmpDir:
		n.unlinked() // its own "."
		d.fs.nodes.Add(-1)
	case *tmpFile:
		n.freeIfUnused()
	default:
		if n.node().nlink == 0 {
			d.fs.nodes.Add(-1)
		}
	}
}

func (d *tmpDir) Rename(name string, to Directory, newName string, exchange bool) syscall.Errno {
	t, ok := to.(*tmpDir)
	if !ok || t.fs != d.fs {
		return syscall.EXDEV
	}
	from, old := d.entry(name), t.entry(newName)
	if from == nil || exchange && old == nil {
		return syscall.ENOENT
	}
	if old == from {
		return 0 // two names of one file: rename(2) does nothing
	}
	if sub, ok := old.(*tmpDir); ok && !exchange && !sub.empty() {
		return syscall.ENOTEMPTY
	}
	// The new name is set before the old one is removed: a lookup always finds one.
	t.mu.Lock()
	t.insert(newName, from)
	t.mu.Unlock()
	d.mu.Lock()
	if exchange {
		d.insert(name, old)
	} else {
		d.delete(name)
	}
	d.mu.Unlock()
	d.moveLinks(t, from, old, exchange)
	if old != nil && !exchange {
		t.nameRemoved(old)
	}
	n := from.node()
	n.mu.Lock()
	n.ctime = wallTime()
	n.mu.Unlock()
	return 0
}

// moveLinks corrects the directories' link counts ("..") after a rename from d to another
// directory.
func (d *tmpDir) moveLinks(to *tmpDir, from, old tmpInode, exchange bool) {
	count := func(dir *tmpDir, by int) {
		dir.mu.Lock()
		dir.nlink = uint32(int(dir.nlink) + by)
		dir.mu.Unlock()
	}
	if from.Type() == syscall.S_IFDIR {
		count(d, -1)
		count(to, 1)
	}
	if old != nil && old.Type() == syscall.S_IFDIR {
		count(to, -1)
		if exchange {
			count(d, 1)
		}
	}
}

func (d *tmpDir) entry(name string) tmpInode {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.names[name]; e != nil {
		return e.inode
	}
	return nil
}

// tmpDirFile is an open directory.
type tmpDirFile struct{ OpenDir }

func (f *tmpDirFile) ReadDir(pos int64, emit func(DirEntry) bool) syscall.Errno {
	d := f.Dir.(*tmpDir)
	d.accessed()
	d.mu.RLock()
	defer d.mu.RUnlock()
	i := sort.Search(len(d.order), func(i int) bool { return d.order[i].pos >= pos })
	for ; i < len(d.order); i++ {
		e := d.order[i]
		if e.inode == nil {
			continue
		}
		n := e.inode.node()
		if !emit(DirEntry{Name: e.name, Ino: n.ino, Type: n.kind, Next: e.pos + 1}) {
			break
		}
	}
	return 0
}
