package kernel

import (
	"strings"
	"syscall"
)

// This file resolves paths as in path_resolution(7). There are no permission checks: the one
// process is root.

const (
	maxLinks = 40 // as Linux's MAXSYMLINKS
	atFdCwd  = -100
)

// resolveParent walks to the directory of the last component of p. name is empty if that
// component is "/", "." or "..": dir is then the object itself. slash says that p ended in a
// slash, so that the object must be a directory.
func (v *vfs) resolveParent(start *dentry, p string, links *int) (dir *dentry, name string, slash bool, e syscall.Errno) {
	if p == "" {
		return nil, "", false, syscall.ENOENT
	}
	cur := start
	if p[0] == '/' {
		cur = v.root
	}
	for {
		p = strings.TrimLeft(p, "/")
		if p == "" {
			return cur, "", true, 0
		}
		comp, rest, more := strings.Cut(p, "/")
		last := strings.TrimLeft(rest, "/") == ""
		if !cur.isDir() {
			return nil, "", false, syscall.ENOTDIR
		}
		switch {
		case comp == ".":
		case comp == "..":
			cur = v.up(cur)
		case last:
			if len(comp) > nameMax {
				return nil, "", false, syscall.ENAMETOOLONG
			}
			return cur, comp, more, 0
		default:
			if cur, e = v.step(cur, comp, links); e != 0 {
				return nil, "", false, e
			}
		}
		if last {
			return cur, "", true, 0
		}
		p = rest
	}
}

// step goes from cur through a component that must lead to a directory.
func (v *vfs) step(cur *dentry, comp string, links *int) (*dentry, syscall.Errno) {
	next, e := v.child(cur, comp)
	if e != 0 {
		return nil, e
	}
	if next.inode.Type() == syscall.S_IFLNK {
		if next, e = v.follow(cur, next, links); e != 0 {
			return nil, e
		}
	}
	if !next.isDir() {
		return nil, syscall.ENOTDIR
	}
	return next, 0
}

// follow returns the target of the symbolic link in dir.
func (v *vfs) follow(dir, link *dentry, links *int) (*dentry, syscall.Errno) {
	if *links++; *links > maxLinks {
		return nil, syscall.ELOOP
	}
	if m, ok := link.inode.(magicLink); ok {
		return m.target()
	}
	l, ok := link.inode.(Symlink)
	if !ok {
		return nil, syscall.EINVAL
	}
	t, e := l.Readlink()
	if e != 0 {
		return nil, e
	}
	return v.resolve(dir, t, true, links)
}

// resolve walks to the object at p; follow says whether a symbolic link at its end is
// followed.
func (v *vfs) resolve(start *dentry, p string, follow bool, links *int) (*dentry, syscall.Errno) {
	dir, name, slash, e := v.resolveParent(start, p, links)
	if e != 0 {
		return nil, e
	}
	if name == "" {
		return dir, 0
	}
	d, e := v.child(dir, name)
	if e != 0 {
		return nil, e
	}
	if (follow || slash) && d.inode.Type() == syscall.S_IFLNK {
		if d, e = v.follow(dir, d, links); e != 0 {
			return nil, e
		}
	}
	if slash && !d.isDir() {
		return nil, syscall.ENOTDIR
	}
	return d, 0
}

// tree returns the root of the tree of names, which is built at the first call.
func (k *Kernel) tree() *dentry {
	k.vfs.once.Do(k.buildTree)
	return k.vfs.root
}

// startAt returns the directory at which a relative path begins.
func (k *Kernel) startAt(fd int, path string) (*dentry, syscall.Errno) {
	root := k.tree()
	if len(path) > 0 && path[0] == '/' {
		return root, 0
	}
	if fd == atFdCwd {
		return k.cwd(), 0
	}
	d, e := k.fds.get(fd)
	if e != 0 {
		return nil, e
	}
	defer d.DecRef()
	if d.where == nil || (path != "" && !d.where.isDir()) {
		return nil, syscall.ENOTDIR
	}
	return d.where, 0
}

// lookupAt resolves the path in argument i relative to fd.
func (k *Kernel) lookupAt(fd int, a *Args, i int, follow bool) (*dentry, syscall.Errno) {
	p, e := a.path(i)
	if e != 0 {
		return nil, e
	}
	return k.lookupPath(fd, p, follow)
}

func (k *Kernel) lookupPath(fd int, p string, follow bool) (*dentry, syscall.Errno) {
	start, e := k.startAt(fd, p)
	if e != 0 {
		return nil, e
	}
	links := 0
	return k.vfs.resolve(start, p, follow, &links)
}

// These are flags of the *at calls.
const (
	atSymlinkNofollow = 0x100
	atRemovedir       = 0x200
	atSymlinkFollow   = 0x400
	atNoAutomount     = 0x800
	atEmptyPath       = 0x1000
	atEaccess         = 0x200
)

// objectAt is lookupAt for calls with AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW: with an empty
// path it is the object of fd itself. d is set, with a reference, only if fd has no name (a
// pipe, a socket).
func (k *Kernel) objectAt(fd int, a *Args, i, flags int) (*dentry, *Description, syscall.Errno) {
	p, e := a.path(i)
	if e == syscall.EFAULT && flags&atEmptyPath != 0 && a.Pointer(i) == nil {
		p, e = "", 0 // Linux 6.11
	}
	if e != 0 {
		return nil, nil, e
	}
	if p != "" || flags&atEmptyPath == 0 {
		de, e := k.lookupPath(fd, p, flags&atSymlinkNofollow == 0)
		return de, nil, e
	}
	if fd == atFdCwd {
		return k.cwd(), nil, 0
	}
	d, e := k.fds.get(fd)
	if e != 0 {
		return nil, nil, e
	}
	if d.where != nil {
		defer d.DecRef()
		return d.where, nil, 0
	}
	return nil, d, 0
}

// parentAt resolves the directory of the path in argument i.
func (k *Kernel) parentAt(fd int, a *Args, i int) (dir *dentry, name string, slash bool, e syscall.Errno) {
	p, e := a.path(i)
	if e != 0 {
		return nil, "", false, e
	}
	start, e := k.startAt(fd, p)
	if e != 0 {
		return nil, "", false, e
	}
	links := 0
	return k.vfs.resolveParent(start, p, &links)
}

// cwd returns the working directory.
func (k *Kernel) cwd() *dentry {
	if d := k.proc.cwd.Load(); d != nil {
		return d
	}
	return k.tree()
}
