package kernel

import "syscall"

// This file has the calls that change names.

// addName makes a new name at the path in argument i; slashOK allows a trailing slash
// (mkdir).
func (k *Kernel) addName(fd int, a *Args, i int, slashOK bool, op func(Directory, string) (Inode, syscall.Errno)) syscall.Errno {
	dir, name, slash, e := k.parentAt(fd, a, i)
	if e != 0 {
		return e
	}
	if name == "" {
		return syscall.EEXIST
	}
	d, e := k.addIn(dir, name, slash && !slashOK, op)
	if e == 0 {
		mask := uint32(inCreate)
		if d.isDir() {
			mask |= inIsDir
		}
		k.notifyEntry(d, mask)
	}
	return e
}

func (k *Kernel) addIn(dir *dentry, name string, badSlash bool, op func(Directory, string) (Inode, syscall.Errno)) (*dentry, syscall.Errno) {
	defer k.vfs.lockNames(dir)()
	if _, e := k.vfs.child(dir, name); e == 0 {
		return nil, syscall.EEXIST
	} else if e != syscall.ENOENT {
		return nil, e
	}
	if badSlash {
		return nil, syscall.ENOENT
	}
	return k.create(dir, name, func(p Directory) (Inode, syscall.Errno) { return op(p, name) })
}

func sysMkdir(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.mkdirAt(atFdCwd, &a, 0, uint32(a.N[1]))
}

// sysMkdirat is mkdirat(2).
func sysMkdirat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.mkdirAt(a.Int(0), &a, 1, uint32(a.N[2]))
}

func (k *Kernel) mkdirAt(fd int, a *Args, i int, mode uint32) syscall.Errno {
	mode = mode &^ k.proc.umask.Load() & 0o1777
	return k.addName(fd, a, i, true, func(p Directory, name string) (Inode, syscall.Errno) {
		return p.Create(name, syscall.S_IFDIR|mode, 0)
	})
}

func sysMknod(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.mknodAt(atFdCwd, &a, 0, uint32(a.N[1]), uint64(a.N[2]))
}

// sysMknodat is mknodat(2).
func sysMknodat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.mknodAt(a.Int(0), &a, 1, uint32(a.N[2]), uint64(a.N[3]))
}

func (k *Kernel) mknodAt(fd int, a *Args, i int, mode uint32, dev uint64) syscall.Errno {
	switch mode & syscall.S_IFMT {
	case 0:
		mode |= syscall.S_IFREG
		dev = 0
	case syscall.S_IFREG, syscall.S_IFIFO, syscall.S_IFSOCK:
		dev = 0
	case syscall.S_IFCHR, syscall.S_IFBLK:
	case syscall.S_IFDIR:
		return syscall.EPERM
	default:
		return syscall.EINVAL
	}
	mode = mode&syscall.S_IFMT | mode&^k.proc.umask.Load()&0o7777
	return k.addName(fd, a, i, false, func(p Directory, name string) (Inode, syscall.Errno) {
		return p.Create(name, mode, dev)
	})
}

func sysSymlink(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.symlinkAt(atFdCwd, &a, 1)
}

// sysSymlinkat is symlinkat(2).
func sysSymlinkat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.symlinkAt(a.Int(1), &a, 2)
}

func (k *Kernel) symlinkAt(fd int, a *Args, i int) syscall.Errno {
	target, e := a.path(0)
	if e != 0 {
		return e
	}
	if target == "" {
		return syscall.ENOENT
	}
	return k.addName(fd, a, i, false, func(p Directory, name string) (Inode, syscall.Errno) {
		return p.Symlink(name, target)
	})
}

func sysLink(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.linkAt(&a, atFdCwd, 0, atFdCwd, 1, 0)
}

// sysLinkat is linkat(2).
func sysLinkat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.linkAt(&a, a.Int(0), 1, a.Int(2), 3, a.Int(4))
}

func (k *Kernel) linkAt(a *Args, oldFD, oldArg, newFD, newArg, flags int) syscall.Errno {
	if flags&^(atSymlinkFollow|atEmptyPath) != 0 {
		return syscall.EINVAL
	}
	look := flags & atEmptyPath
	if flags&atSymlinkFollow == 0 {
		look |= atSymlinkNofollow
	}
	old, desc, e := k.objectAt(oldFD, a, oldArg, look)
	if desc != nil {
		desc.DecRef()
		return syscall.EXDEV
	}
	if e != 0 {
		return e
	}
	if old.nameless {
		return syscall.ENOENT
	}
	newDir, _, _, e := k.parentAt(newFD, a, newArg)
	if e != 0 {
		return e
	}
	if newDir.mnt != old.mnt {
		return syscall.EXDEV
	}
	return k.addName(newFD, a, newArg, false, func(p Directory, name string) (Inode, syscall.Errno) {
		if old.isDir() {
			return nil, syscall.EPERM
		}
		e := p.Link(name, old.inode)
		if e == 0 {
			k.notifyLinks(old)
		}
		return old.inode, e
	})
}

func sysUnlink(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.unlinkAt(atFdCwd, &a, 0, false)
}

func sysRmdir(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.unlinkAt(atFdCwd, &a, 0, true)
}

// sysUnlinkat is unlinkat(2).
func sysUnlinkat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	flags := a.Int(2)
	if flags&^atRemovedir != 0 {
		return 0, syscall.EINVAL
	}
	return 0, k.unlinkAt(a.Int(0), &a, 1, flags == atRemovedir)
}

func (k *Kernel) unlinkAt(fd int, a *Args, i int, isDir bool) syscall.Errno {
	dir, name, slash, e := k.parentAt(fd, a, i)
	if e != 0 {
		return e
	}
	if name == "" {
		return unlinkDots(a, i, isDir)
	}
	d, e := k.removeName(dir, name, slash, isDir)
	if e != 0 {
		return e
	}
	mask := uint32(inDelete)
	if isDir {
		mask |= inIsDir
	}
	k.notifyLinks(d)
	k.notifyGone(d)
	k.notifyEntry(d, mask)
	return 0
}

// unlinkDots is the error for a path that ends in "/", "." or "..".
func unlinkDots(a *Args, i int, isDir bool) syscall.Errno {
	if !isDir {
		return syscall.EISDIR
	}
	p, _ := a.path(i)
	for len(p) > 1 && p[len(p)-1] == '/' {
		p = p[:len(p)-1]
	}
	switch {
	case p == "/":
		return syscall.EBUSY
	case len(p) >= 2 && p[len(p)-2:] == "..":
		return syscall.ENOTEMPTY
	}
	return syscall.EINVAL
}

func (k *Kernel) removeName(dir *dentry, name string, slash, isDir bool) (*dentry, syscall.Errno) {
	v := &k.vfs
	defer v.lockNames(dir)()
	d, e := v.child(dir, name)
	if e != 0 {
		return nil, e
	}
	if d.mnt != dir.mnt {
		return nil, syscall.EBUSY // a mount point
	}
	switch {
	case isDir && !d.isDir(), slash && !d.isDir():
		return nil, syscall.ENOTDIR
	case !isDir && d.isDir():
		return nil, syscall.EISDIR
	}
	defer v.lockBelow(d, dir)() // no file is made in it meanwhile
	if e := dir.inode.(Directory).Remove(name, isDir); e != 0 {
		return nil, e
	}
	v.mu.Lock()
	v.generation.Add(1)
	delete(dir.children, name)
	d.deleted = true
	v.uncache(d)
	v.mu.Unlock()
	return d, 0
}
