package kernel

import (
	"strings"
	"syscall"
)

// This file has extended attributes (xattr(7)), for file systems that have them, and those of tmpfs.

// Limits of xattr(7), in bytes.
const (
	xattrNameMax = 255
	xattrSizeMax = 64 << 10
	xattrListMax = 64 << 10
)

// Xattrs is an Inode with extended attributes. Names include their prefix ("user.x").
type Xattrs interface {
	// GetXattr returns a value: ENODATA if there is none.
	GetXattr(name string) ([]byte, syscall.Errno)
	// SetXattr sets a value, with the flags of setxattr(2).
	SetXattr(name string, value []byte, flags int) syscall.Errno
	ListXattr() ([]string, syscall.Errno)
	RemoveXattr(name string) syscall.Errno
}

// xattrsAt returns the attributes of the object of argument 0: a descriptor, or a path, whose
// last component is followed or not if it is a symbolic link.
func (k *Kernel) xattrsAt(a *Args, how xattrPath) (*dentry, Xattrs, syscall.Errno) {
	var where *dentry
	if how == xattrFD {
		d, e := k.get(a, 0)
		if e != 0 {
			return nil, nil, e
		}
		defer d.DecRef()
		if where = d.where; where == nil {
			return nil, nil, syscall.EOPNOTSUPP
		}
	} else {
		var e syscall.Errno
		if where, e = k.lookupAt(atFdCwd, a, 0, how == xattrFollow); e != 0 {
			return nil, nil, e
		}
	}
	x, ok := where.inode.(Xattrs)
	if !ok {
		return nil, nil, syscall.EOPNOTSUPP
	}
	return where, x, 0
}

// xattrPath says what argument 0 of a call is.
type xattrPath int

const (
	xattrFollow xattrPath = iota
	xattrNoFollow
	xattrFD
)

// xattrName reads the name in argument 1.
func xattrName(a *Args) (string, syscall.Errno) {
	name, e := a.cString(1, xattrNameMax+1)
	if e == syscall.ENAMETOOLONG || e == 0 && (name == "" || len(name) > xattrNameMax) {
		return "", syscall.ERANGE
	}
	return name, e
}

// userXattrHere reports whether an inode may have the attribute name: those of programs
// ("user.") are for files and directories only.
func userXattrHere(inode Inode, name string) bool {
	t := inode.Type()
	return !strings.HasPrefix(name, "user.") || t == syscall.S_IFREG || t == syscall.S_IFDIR
}

// copyXattr copies the result of a call to argument i, a buffer of size a.N[i+1]: 0 asks for
// the length.
func copyXattr(a *Args, i int, v []byte) (uintptr, syscall.Errno) {
	size := a.N[i+1]
	if size == 0 {
		return uintptr(len(v)), 0
	}
	if uintptr(len(v)) > size {
		return 0, syscall.ERANGE
	}
	dst, e := a.Bytes(i, len(v))
	if e != 0 {
		return 0, e
	}
	return uintptr(copy(dst, v)), 0
}

func (k *Kernel) getXattr(a *Args, how xattrPath) (uintptr, syscall.Errno) {
	name, e := xattrName(a)
	if e != 0 {
		return 0, e
	}
	d, x, e := k.xattrsAt(a, how)
	if e != 0 {
		return 0, e
	}
	if !userXattrHere(d.inode, name) {
		return 0, syscall.ENODATA
	}
	v, e := x.GetXattr(name)
	if e != 0 {
		return 0, e
	}
	return copyXattr(a, 2, v)
}

func (k *Kernel) setXattr(a *Args, how xattrPath) (uintptr, syscall.Errno) {
	const create, replace = 1, 2
	flags := a.Int(4)
	if flags&^(create|replace) != 0 {
		return 0, syscall.EINVAL
	}
	name, e := xattrName(a)
	if e != 0 {
		return 0, e
	}
	if a.N[3] > xattrSizeMax {
		return 0, syscall.E2BIG
	}
	value, e := a.Bytes(2, int(a.N[3]))
	if e != 0 {
		return 0, e
	}
	d, x, e := k.xattrsAt(a, how)
	if e != 0 {
		return 0, e
	}
	if !userXattrHere(d.inode, name) {
		return 0, syscall.EPERM
	}
	if e = x.SetXattr(name, append([]byte(nil), value...), flags); e == 0 {
		k.notifyObject(d, inAttrib)
	}
	return 0, e
}

func (k *Kernel) listXattr(a *Args, how xattrPath) (uintptr, syscall.Errno) {
	_, x, e := k.xattrsAt(a, how)
	if e == syscall.EOPNOTSUPP {
		return 0, 0 // a file system without attributes lists none
	}
	if e != 0 {
		return 0, e
	}
	names, e := x.ListXattr()
	if e != 0 {
		return 0, e
	}
	var list []byte
	for _, n := range names {
		list = append(append(list, n...), 0)
	}
	if len(list) > xattrListMax {
		return 0, syscall.E2BIG
	}
	return copyXattr(a, 1, list)
}

func (k *Kernel) removeXattr(a *Args, how xattrPath) (uintptr, syscall.Errno) {
	name, e := xattrName(a)
	if e != 0 {
		return 0, e
	}
	d, x, e := k.xattrsAt(a, how)
	if e != 0 {
		return 0, e
	}
	if !userXattrHere(d.inode, name) {
		return 0, syscall.EPERM
	}
	if e = x.RemoveXattr(name); e == 0 {
		k.notifyObject(d, inAttrib)
	}
	return 0, e
}

func sysSetxattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.setXattr(&a, xattrFollow)
}
func sysLsetxattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.setXattr(&a, xattrNoFollow)
}
func sysFsetxattr(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.setXattr(&a, xattrFD) }
func sysGetxattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.getXattr(&a, xattrFollow)
}
func sysLgetxattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.getXattr(&a, xattrNoFollow)
}
func sysFgetxattr(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.getXattr(&a, xattrFD) }
func sysListxattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.listXattr(&a, xattrFollow)
}
func sysLlistxattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.listXattr(&a, xattrNoFollow)
}
func sysFlistxattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.listXattr(&a, xattrFD)
}
func sysRemovexattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.removeXattr(&a, xattrFollow)
}
func sysLremovexattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.removeXattr(&a, xattrNoFollow)
}
func sysFremovexattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.removeXattr(&a, xattrFD)
}
