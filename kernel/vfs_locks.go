package kernel

import "sync"

// NameLock is the lock of a directory's names. A Directory embeds it; one that
// does not shares a lock with all others of that kind.
type NameLock struct{ names sync.Mutex }

func (l *NameLock) nameLock() *sync.Mutex { return &l.names }

type nameLocker interface{ nameLock() *sync.Mutex }

// Order of locks: vfs.renames, then directories: those above before those below.
// Two that are not above each other are locked by renames only.

func (v *vfs) namesOf(d *dentry) *sync.Mutex {
	if l, ok := d.inode.(nameLocker); ok {
		return l.nameLock()
	}
	return v.otherNames.nameLock()
}

// lockNames keeps others from changing names in d, and returns how to let them.
func (v *vfs) lockNames(d *dentry) (unlock func()) {
	mu := v.namesOf(d)
	mu.Lock()
	return mu.Unlock
}

// settle waits for those who change the name of d, or what it means, just now: a
// file system does so before the dentries do.
func (v *vfs) settle(d *dentry) {
	v.mu.Lock()
	dir := d.parent
	v.mu.Unlock()
	if dir != nil {
		v.lockNames(dir)()
	}
}

// lockBelow is lockNames of a directory in a locked one, if it is a directory and
// has a lock of its own.
func (v *vfs) lockBelow(d *dentry, locked ...*dentry) (unlock func()) {
	if d == nil || !d.isDir() {
		return func() {}
	}
	mu := v.namesOf(d)
	for _, l := range locked {
		if v.namesOf(l) == mu {
			return func() {}
		}
	}
	mu.Lock()
	return mu.Unlock
}

// lockRename locks the directories of a rename. In one directory nothing gets another
// parent.
func (v *vfs) lockRename(a, b *dentry) (unlock func()) {
	if a == b {
		return v.lockNames(a)
	}
	v.renames.Lock()
	if v.above(b, a) {
		a, b = b, a
	}
	first := v.lockNames(a)
	second := v.lockBelow(b, a)
	return func() {
		second()
		first()
		v.renames.Unlock()
	}
}

// above says whether a lies above b.
func (v *vfs) above(a, b *dentry) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for ; b != nil; b = b.parent {
		if b == a {
			return true
		}
	}
	return false
}
