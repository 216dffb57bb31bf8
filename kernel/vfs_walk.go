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

// walk is one resolution of a path.
type walk struct {
	links int         // symbolic links that were followed
	limit resolveFlag // what openat2(2) restricts
	start *dentry     // where the path begins, and may not leave if limit says so
	begun bool        // past the path's first slash
}

// resolveFlag are the RESOLVE_ flags of openat2(2).
type resolveFlag uint64

const (
	resolveNoXdev       resolveFlag = 0x01
	resolveNoMagiclinks resolveFlag = 0x02
	resolveNoSymlinks   resolveFlag = 0x04
	resolveBeneath      resolveFlag = 0x08
	resolveInRoot       resolveFlag = 0x10
	resolveCached       resolveFlag = 0x20
	resolveScoped                   = resolveBeneath | resolveInRoot
)

// absolute returns where a path that begins with a slash leads from cur.
func (w *walk) absolute(v *vfs, cur *dentry) (*dentry, syscall.Errno) {
	switch {
	case w.limit&resolveBeneath != 0:
		return nil, syscall.EXDEV
	case w.limit&resolveInRoot != 0:
		return w.start, 0
	case !w.begun:
		return v.root, 0
	}
	return w.moved(cur, v.root)
}

// up is the component "..".
func (w *walk) up(v *vfs, cur *dentry) (*dentry, syscall.Errno) {
	if w.limit&resolveScoped != 0 && cur == w.start {
		if w.limit&resolveBeneath != 0 {
			return nil, syscall.EXDEV
		}
		return cur, 0
	}
	return w.moved(cur, v.up(cur))
}

// moved checks that a step does not lead to another mount if it must not.
func (w *walk) moved(from, to *dentry) (*dentry, syscall.Errno) {
	if w.limit&resolveNoXdev != 0 && from.mnt != to.mnt {
		return nil, syscall.EXDEV
	}
	return to, 0
}

// child looks a name up in a directory.
func (w *walk) child(v *vfs, dir *dentry, name string) (*dentry, syscall.Errno) {
	if _, inRAM := dir.mnt.fs.(*tmpfs); !inRAM && w.limit&resolveCached != 0 {
		return nil, syscall.EAGAIN
	}
	d, e := v.child(dir, name)
	if e != 0 {
		return nil, e
	}
	return w.moved(dir, d)
}

// mayFollow counts a symbolic link, and checks that it may be followed.
func (w *walk) mayFollow(magic bool) syscall.Errno {
	w.links++
	switch {
	case w.links > maxLinks, w.limit&resolveNoSymlinks != 0, magic && w.limit&resolveNoMagiclinks != 0:
		return syscall.ELOOP
	case magic && w.limit&resolveScoped != 0:
		return syscall.EXDEV
	}
	return 0
}

// resolveParent walks to the directory of the last component of p. name is empty if that
// component is "/", "." or "..": dir is then the object itself. slash says that p ended in a
// slash, so that the object must be a directory.
func (v *vfs) resolveParent(start *dentry, p string, w *walk) (dir *dentry, name string, slash bool, e syscall.Errno) {
	if p == "" {
		return nil, "", false, syscall.ENOENT
	}
	cur := start
	if p[0] == '/' {
		if cur, e = w.absolute(v, cur); e != 0 {
			return nil, "", false, e
		}
	}
	w.begun = true
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
			if cur, e = w.up(v, cur); e != 0 {
				return nil, "", false, e
			}
		case last:
			if len(comp) > nameMax {
				return nil, "", false, syscall.ENAMETOOLONG
			}
			return cur, comp, more, 0
		default:
			if cur, e = v.step(cur, comp, w); e != 0 {
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
func (v *vfs) step(cur *dentry, comp string, w *walk) (*dentry, syscall.Errno) {
	next, e := w.child(v, cur, comp)
	if e != 0 {
		return nil, e
	}
	if next.inode.Type() == syscall.S_IFLNK {
		if next, e = v.follow(cur, next, w); e != 0 {
			return nil, e
		}
	}
	if !next.isDir() {
		return nil, syscall.ENOTDIR
	}
	return next, 0
}

// follow returns the target of the symbolic link in dir.
func (v *vfs) follow(dir, link *dentry, w *walk) (*dentry, syscall.Errno) {
	m, magic := link.inode.(magicLink)
	if e := w.mayFollow(magic); e != 0 {
		return nil, e
	}
	if magic {
		d, e := m.target()
		if e != 0 {
			return nil, e
		}
		return w.moved(dir, d)
	}
	l, ok := link.inode.(Symlink)
	if !ok {
		return nil, syscall.EINVAL
	}
	t, e := l.Readlink()
	if e != 0 {
		return nil, e
	}
	return v.resolve(dir, t, true, w)
}

// resolve walks to the object at p; follow says whether a symbolic link at its end is
// followed.
func (v *vfs) resolve(start *dentry, p string, follow bool, w *walk) (*dentry, syscall.Errno) {
	dir, name, slash, e := v.resolveParent(start, p, w)
	if e != 0 {
		return nil, e
	}
	if name == "" {
		return dir, 0
	}
	d, e := w.child(v, dir, name)
	if e != 0 {
		return nil, e
	}
	if (follow || slash) && d.inode.Type() == syscall.S_IFLNK {
		if d, e = v.follow(dir, d, w); e != 0 {
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
	if path == "" { // whatever fd is
		return nil, syscall.ENOENT
	}
	if path[0] == '/' {
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
	if d.where == nil || !d.where.isDir() {
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
	var w walk
	return k.vfs.resolve(start, p, follow, &w)
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
	var w walk
	return k.vfs.resolveParent(start, p, &w)
}

// cwd returns the working directory.
func (k *Kernel) cwd() *dentry {
	if d := k.proc.cwd.Load(); d != nil {
		return d
	}
	return k.tree()
}
