package kernel

import "syscall"

// These are flags of renameat2(2).
const (
	renameNoReplace = 1
	renameExchange  = 2
)

func sysRename(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.renameAt(&a, atFdCwd, 0, atFdCwd, 1, 0)
}

func sysRenameat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.renameAt(&a, a.Int(0), 1, a.Int(2), 3, 0)
}

// sysRenameat2 is renameat2(2) without RENAME_WHITEOUT.
func sysRenameat2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	flags := uint32(a.N[4])
	if flags&^(renameNoReplace|renameExchange) != 0 || flags == renameNoReplace|renameExchange {
		return 0, syscall.EINVAL
	}
	return 0, k.renameAt(&a, a.Int(0), 1, a.Int(2), 3, flags)
}

// rename is one rename(2): two names, and the objects found there.
type rename struct {
	from, to           *dentry // directories
	fromName, toName   string
	fromSlash, toSlash bool
	old, target        *dentry // target is nil if the new name is free
	exchange           bool
}

func (k *Kernel) renameAt(a *Args, oldFD, oldArg, newFD, newArg int, flags uint32) syscall.Errno {
	var r rename
	var e syscall.Errno
	if r.from, r.fromName, r.fromSlash, e = k.parentAt(oldFD, a, oldArg); e != 0 {
		return e
	}
	if r.to, r.toName, r.toSlash, e = k.parentAt(newFD, a, newArg); e != 0 {
		return e
	}
	if r.from.mnt != r.to.mnt {
		return syscall.EXDEV
	}
	if r.fromName == "" || r.toName == "" {
		if r.fromName != "" && flags&renameNoReplace != 0 {
			return syscall.EEXIST
		}
		return syscall.EBUSY
	}
	r.exchange = flags&renameExchange != 0
	if e := k.rename(&r, flags); e != 0 || r.old == r.target {
		return e
	}
	k.notifyRename(&r)
	return 0
}

func (k *Kernel) rename(r *rename, flags uint32) syscall.Errno {
	v := &k.vfs
	defer v.lockRename(r.from, r.to)()
	if e := k.findRename(r); e != 0 {
		return e
	}
	if r.target != nil && flags&renameNoReplace != 0 {
		return syscall.EEXIST
	}
	if r.exchange && r.target == nil {
		return syscall.ENOENT
	}
	if e := k.checkRename(r); e != 0 {
		return e
	}
	if r.target != nil && r.target.inode == r.old.inode {
		r.target = r.old
		return 0
	}
	toDir, ok := r.to.inode.(Directory)
	if !ok {
		return syscall.ENOTDIR
	}
	if !r.exchange {
		defer v.lockBelow(r.target, r.from, r.to)()
	}
	if e := r.from.inode.(Directory).Rename(r.fromName, toDir, r.toName, r.exchange); e != 0 {
		return e
	}
	v.moved(r)
	return 0
}

func (k *Kernel) findRename(r *rename) syscall.Errno {
	v := &k.vfs
	var e syscall.Errno
	if r.old, e = v.child(r.from, r.fromName); e != 0 {
		return e
	}
	if r.target, e = v.child(r.to, r.toName); e != 0 {
		if e != syscall.ENOENT {
			return e
		}
		r.target = nil
	}
	if v.isDeleted(r.to) {
		return syscall.ENOENT
	}
	return 0
}

// checkLoop keeps a directory from moving below itself, and from replacing one that contains it.
func (v *vfs) checkLoop(r *rename) syscall.Errno {
	v.mu.Lock()
	defer v.mu.Unlock()
	for d := r.to; d != nil; d = d.parent {
		if d == r.old {
			return syscall.EINVAL
		}
	}
	for d := r.from; d != nil; d = d.parent {
		if d == r.target {
			if r.exchange {
				return syscall.EINVAL
			}
			return syscall.ENOTEMPTY
		}
	}
	return 0
}

// checkRename applies the type rules of rename(2).
func (k *Kernel) checkRename(r *rename) syscall.Errno {
	if r.old.mnt != r.from.mnt || r.target != nil && r.target.mnt != r.to.mnt {
		return syscall.EBUSY
	}
	if r.exchange && r.toSlash && !r.target.isDir() {
		return syscall.ENOTDIR
	}
	if (r.fromSlash || r.toSlash && !r.exchange) && !r.old.isDir() {
		return syscall.ENOTDIR
	}
	if e := k.vfs.checkLoop(r); e != 0 {
		return e
	}
	if r.target == nil || r.exchange || r.target == r.old {
		return 0
	}
	switch {
	case r.old.isDir() && !r.target.isDir():
		return syscall.ENOTDIR
	case !r.old.isDir() && r.target.isDir():
		return syscall.EISDIR
	}
	return 0
}

// moved updates the dentries after the file system's rename.
func (v *vfs) moved(r *rename) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.generation.Add(1)
	delete(r.from.children, r.fromName)
	if r.target != nil {
		if r.exchange {
			r.target.parent, r.target.name = r.from, r.fromName
			v.cacheChild(r.from, r.target)
		} else {
			r.target.deleted = true
			v.uncache(r.target)
		}
	}
	r.old.parent, r.old.name = r.to, r.toName
	v.cacheChild(r.to, r.old)
}
