package kernel

import "sync"

// NameLock is the lock of a directory's names. A Directory embeds it; those that do not share
// one lock.
type NameLock struct{ names sync.Mutex }

func (l *NameLock) nameLock() *sync.Mutex { return &l.names }

type nameLocker interface{ nameLock() *sync.Mutex }

// Locks are taken in this order: vfs.renames, then directories, ancestors before descendants.
// Only renames lock two directories neither of which is an ancestor of the other.

func (v *vfs) namesOf(d *dentry) *sync.Mutex {
	if l, ok := d.inode.(nameLocker); ok {
		return l.nameLock()
	}
	return v.otherNames.nameLock()
}

// lockNames locks the names in d, and returns the function that unlocks them.
func (v *vfs) lockNames(d *dentry) (unlock func()) {
	mu := v.namesOf(d)
	mu.Lock()
	return mu.Unlock
}

// waitForNames waits for a concurrent change of the name of d, or of its target: a file system
// is changed before the dentries.
func (v *vfs) waitForNames(d *dentry) {
	v.mu.Lock()
	dir := d.parent
	v.mu.Unlock()
	if dir != nil {
		v.lockNames(dir)()
	}
}

// lockBelow is lockNames of an object in a locked directory, if it is a directory and has a
// lock of its own.
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

// lockRename locks the directories of a rename. A rename within one directory does not need
// vfs.renames, because no object gets another parent.
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

// above reports whether a is an ancestor of b.
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
