package ext4

import "syscall"

// renaming is one rename: from a name in one directory to a name in another or
// the same.
type renaming struct {
	fs       *FS
	from, to *Inode
	old, new string
	exchange bool
	child    *Inode // the inode that is renamed
	target   *Inode // the inode that has the new name, or nil
}

// Rename moves a name, in one transaction, to another directory or the same. An inode that
// had the new name is unlinked, or with exchange gets the old name. EINVAL: a directory
// would be moved into itself. ENOTEMPTY, EISDIR, ENOTDIR, ENOENT.
func (i *Inode) Rename(name string, to *Inode, newName string, exchange bool) syscall.Errno {
	fs := i.fs
	if fs.ro.Load() {
		return syscall.EROFS
	}
	for _, n := range []string{name, newName} {
		if e := checkName(n); e != 0 {
			if n == "." || n == ".." {
				e = syscall.EBUSY
			}
			return e
		}
	}
	r := &renaming{fs: fs, from: i, to: to, old: name, new: newName, exchange: exchange}
	if !i.isDir() || !to.isDir() {
		return syscall.ENOTDIR
	}
	defer r.put()
	if i == to {
		if done, e := r.inPlace(); done {
			return e
		}
		r.put()
	}
	fs.rename.Lock()
	defer fs.rename.Unlock()
	return r.run()
}

// put drops the references that find has taken.
func (r *renaming) put() {
	for _, c := range []*Inode{r.child, r.target} {
		if c != nil {
			c.Put()
		}
	}
	r.child, r.target = nil, nil
}

// inPlace renames a file within its directory, without FS.rename. done is false if a
// directory is renamed or replaced: that needs the lock.
func (r *renaming) inPlace() (done bool, e syscall.Errno) {
	r.from.mu.Lock()
	defer r.from.mu.Unlock()
	if e := r.find(); e != 0 {
		return true, e
	}
	if r.child.isDir() || r.target != nil && r.target.isDir() {
		return false, 0
	}
	return true, r.found()
}

func (r *renaming) run() syscall.Errno {
	first, second := r.from, r.to
	if first != second && first.ino > second.ino {
		first, second = second, first
	}
	if r.from != r.to {
		// Only the holder of FS.rename locks two directories, so any order will do.
		second.mu.Lock()
		defer second.mu.Unlock()
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	if e := r.find(); e != 0 {
		return e
	}
	return r.found()
}

// found continues when both names are looked up, with their directories locked.
func (r *renaming) found() syscall.Errno {
	if r.child == r.target {
		return 0
	}
	if e := r.allowed(); e != 0 {
		return e
	}
	defer lockTwo(r.child, r.target)()
	if r.target != nil && r.target.isDir() && !r.exchange {
		if e := r.target.removable(); e != 0 {
			return e
		}
	}
	if r.child.nlink == 0 || r.target != nil && r.target.nlink == 0 {
		return r.fs.corrupt("name of a file without links, directory", uint64(r.from.ino))
	}
	return r.change()
}

// lockTwo locks inodes and returns a function that unlocks them. A directory is locked
// before a file, which may have a name in it; otherwise the order is by number.
func lockTwo(a, b *Inode) func() {
	if b == nil {
		a.mu.Lock()
		return a.mu.Unlock
	}
	if a.isDir() == b.isDir() && a.ino > b.ino || !a.isDir() && b.isDir() {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
	return func() { b.mu.Unlock(); a.mu.Unlock() }
}

// find looks both names up.
func (r *renaming) find() syscall.Errno {
	ino, e := r.from.lookupIno(r.old)
	if e != 0 {
		return e
	}
	if r.child, e = r.from.child(ino); e != 0 {
		return e
	}
	ino, e = r.to.lookupIno(r.new)
	if e == syscall.ENOENT && !r.exchange {
		return 0
	}
	if e != 0 {
		return e
	}
	r.target, e = r.to.child(ino)
	return e
}

// allowed checks types and loops. The type of a directory never changes, and its parent
// only under FS.rename.
func (r *renaming) allowed() syscall.Errno {
	if r.child == r.from || r.target == r.to || r.child.ino == rootIno {
		return r.fs.corrupt("directory contains itself, inode", uint64(r.from.ino))
	}
	if r.target == r.from {
		if r.exchange {
			return syscall.EINVAL
		}
		return syscall.ENOTEMPTY
	}
	if r.child == r.to {
		return syscall.EINVAL
	}
	if r.target != nil && !r.exchange {
		switch {
		case r.child.isDir() && !r.target.isDir():
			return syscall.ENOTDIR
		case !r.child.isDir() && r.target.isDir():
			return syscall.EISDIR
		}
	}
	if r.from == r.to {
		return 0
	}
	if r.child.isDir() {
		if e := r.fs.notBelow(r.child, r.to, r.from, r.to); e != 0 {
			return e
		}
	}
	if r.exchange && r.target.isDir() {
		return r.fs.notBelow(r.target, r.from, r.from, r.to)
	}
	return 0
}

// maxDepth bounds the path to the root: a path of 4096 bytes has fewer names.
const maxDepth = 1 << 16

// notBelow checks that directory d is not below dir: EINVAL. The caller holds i.mu of the
// inodes in locked.
func (fs *FS) notBelow(dir, d *Inode, locked ...*Inode) syscall.Errno {
	ino := d.ino
	for range maxDepth {
		if ino == dir.ino {
			return syscall.EINVAL
		}
		if ino == rootIno {
			return 0
		}
		next, e := fs.parent(ino, locked)
		if e != 0 {
			return e
		}
		if next == ino {
			break
		}
		ino = next
	}
	return fs.corrupt("directories form a loop at inode", uint64(ino))
}

// parent is the inode of ".." in a directory.
func (fs *FS) parent(ino uint32, locked []*Inode) (uint32, syscall.Errno) {
	for _, h := range locked {
		if h.ino == ino {
			return h.lookupIno("..")
		}
	}
	i, e := fs.inode(ino)
	if e != 0 {
		return 0, e
	}
	defer i.Put()
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.lookupIno("..")
}

func (r *renaming) change() syscall.Errno {
	need := int64(0)
	if r.target == nil {
		var e syscall.Errno
		if need, e = r.to.needsRoom(r.new); e != 0 {
			return e
		}
	}
	moved := r.from != r.to && r.child.isDir()
	if moved && (r.target == nil || !r.target.isDir()) && !r.to.mayLink() {
		return syscall.EMLINK
	}
	for _, c := range []*Inode{r.child, r.target} {
		if c == nil || r.from == r.to || !c.isDir() {
			continue
		}
		if b, _, e := c.lookupName(".."); e != 0 {
			return r.fs.corrupt("directory has no parent, inode", uint64(c.ino))
		} else {
			b.Put()
		}
	}
	o, e := r.fs.begin(20+addCost(need), need)
	if e != 0 {
		return e
	}
	return o.end(r.apply(o))
}

func (r *renaming) apply(o *op) syscall.Errno {
	steps := []func(*op) syscall.Errno{r.setNew, r.setOld, r.setParents, r.writeAll}
	for _, s := range steps {
		if e := s(o); e != 0 {
			return e
		}
	}
	return 0
}

// setNew makes the new name the child's.
func (r *renaming) setNew(o *op) syscall.Errno {
	if r.target == nil {
		return r.to.addEntry(o, r.new, r.child)
	}
	return r.to.setEntry(o, r.new, r.child)
}

// setOld removes the old name, or makes it the target's.
func (r *renaming) setOld(o *op) syscall.Errno {
	if r.exchange {
		return r.from.setEntry(o, r.old, r.target)
	}
	b, d, e := r.from.lookupName(r.old)
	if e != 0 {
		return e
	}
	defer b.Put()
	return r.from.removeName(o, b, d)
}

// setEntry makes an existing name refer to another inode.
func (i *Inode) setEntry(o *op, name string, c *Inode) syscall.Errno {
	b, d, e := i.lookupName(name)
	if e != 0 {
		return e
	}
	defer b.Put()
	seal := i.sealDir()
	if name == ".." && i.indexed() {
		seal = i.sealIndex(dxRootBase)
	}
	o.dirty(b, seal)
	le.PutUint32(b.Data[d.off:], c.ino)
	b.Data[d.off+7] = i.fs.direntKind(c.ftype)
	return 0
}

// setParents updates ".." and link counts after a directory's move.
func (r *renaming) setParents(o *op) syscall.Errno {
	if r.from == r.to {
		if r.target != nil && r.target.isDir() && !r.exchange {
			r.to.unlink()
		}
		return 0
	}
	if r.child.isDir() {
		if e := r.child.setEntry(o, "..", r.to); e != 0 {
			return e
		}
		r.from.unlink()
		r.to.link()
	}
	if r.target == nil || !r.target.isDir() {
		return 0
	}
	r.to.unlink()
	if !r.exchange {
		return 0
	}
	r.from.link()
	return r.target.setEntry(o, "..", r.from)
}

func (r *renaming) writeAll(o *op) syscall.Errno {
	r.child.ctime = r.fs.opt.Now()
	if e := r.child.writeData(o); e != 0 {
		return e
	}
	if r.target != nil {
		if e := r.writeTarget(o); e != 0 {
			return e
		}
	}
	if e := r.from.touchDir(o); e != 0 || r.from == r.to {
		return e
	}
	return r.to.touchDir(o)
}

func (r *renaming) writeTarget(o *op) syscall.Errno {
	if !r.exchange {
		return r.target.dropLink(o)
	}
	r.target.ctime = r.child.ctime
	return r.target.writeData(o)
}
