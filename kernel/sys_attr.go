package kernel

import (
	"syscall"
)

// This file has the calls that change attributes and data of files.

// setAttrAt changes the object at a path.
func (k *Kernel) setAttrAt(fd int, a *Args, i, flags int, c AttrChange) syscall.Errno {
	d, desc, e := k.objectAt(fd, a, i, flags)
	if desc != nil {
		defer desc.DecRef()
		return setAttrFile(desc, c)
	}
	if e != 0 {
		return e
	}
	return k.setAttr(d, c)
}

func (k *Kernel) setAttr(d *dentry, c AttrChange) syscall.Errno {
	c.dropPrivileges(d.inode)
	e := d.inode.SetAttr(c)
	if e == 0 && k.inotify.active() {
		k.notifyAttr(d, c)
	}
	return e
}

// attrSetter is a File that changes its own attributes, whatever its name now refers to.
type attrSetter interface {
	SetAttr(AttrChange) syscall.Errno
}

// setAttrFile changes an open file. Other files without a name than sockets have no attributes to change
// (EOPNOTSUPP, as since Linux 6.16).
func setAttrFile(d *Description, c AttrChange) syscall.Errno {
	if s, ok := d.file.(attrSetter); ok {
		c.dropPrivileges(d.file)
		return s.SetAttr(c)
	}
	if _, ok := d.file.(Socket); ok {
		d.setAttr(c)
		return 0
	}
	return syscall.EOPNOTSUPP
}

// setAttr keeps what c changes of a socket's owner and mode.
func (d *Description) setAttr(c AttrChange) {
	n := AttrChange{}
	if old := d.attr.Load(); old != nil {
		n = *old
	}
	n.Mask |= c.Mask & (AttrMode | AttrUID | AttrGID)
	if c.Mask&AttrMode != 0 {
		n.Mode = c.Mode
	}
	if c.Mask&AttrUID != 0 {
		n.UID = c.UID
	}
	if c.Mask&AttrGID != 0 {
		n.GID = c.GID
	}
	d.attr.Store(&n)
}

// stat is fstat(2).
func (d *Description) stat(st *syscall.Stat_t) syscall.Errno {
	e := d.file.Stat(st)
	if a := d.attr.Load(); a != nil && e == 0 {
		if a.Mask&AttrMode != 0 {
			st.Mode = st.Mode&syscall.S_IFMT | a.Mode
		}
		if a.Mask&AttrUID != 0 {
			st.Uid = a.UID
		}
		if a.Mask&AttrGID != 0 {
			st.Gid = a.GID
		}
	}
	return e
}

// attrOwner marks a change of chown(2), which may change neither the owner nor the group. It is
// for dropPrivileges only.
const attrOwner AttrMask = 1 << 31

// dropPrivileges completes chown(2) of anything but a directory: the set-user-ID bit goes, and the
// set-group-ID bit if the group may execute the file.
func (c *AttrChange) dropPrivileges(f interface {
	Stat(*syscall.Stat_t) syscall.Errno
}) {
	if c.Mask&attrOwner == 0 {
		return
	}
	c.Mask &^= attrOwner
	var st syscall.Stat_t
	if e := f.Stat(&st); e != 0 || st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		return
	}
	drop := st.Mode & syscall.S_ISUID
	if st.Mode&syscall.S_IXGRP != 0 {
		drop |= st.Mode & syscall.S_ISGID
	}
	if drop != 0 {
		c.Mask |= AttrMode
		c.Mode = st.Mode & 0o7777 &^ drop
	}
}

// setAttrFD changes the object of a descriptor.
func (k *Kernel) setAttrFD(a *Args, c AttrChange) syscall.Errno {
	d, e := k.get(a, 0)
	if e != 0 {
		return e
	}
	defer d.DecRef()
	if _, ok := d.file.(attrSetter); !ok && d.where != nil {
		return k.setAttr(d.where, c)
	}
	e = setAttrFile(d, c)
	if e == 0 && d.where != nil && k.inotify.active() {
		k.notifyAttr(d.where, c)
	}
	return e
}

func modeChange(mode uintptr) AttrChange {
	return AttrChange{Mask: AttrMode, Mode: uint32(mode) & 0o7777}
}

func sysChmod(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.setAttrAt(atFdCwd, &a, 0, 0, modeChange(a.N[1]))
}

func sysFchmod(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.setAttrFD(&a, modeChange(a.N[1]))
}

// sysFchmodat is the fchmodat system call, which has no flags.
func sysFchmodat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.setAttrAt(a.Int(0), &a, 1, 0, modeChange(a.N[2]))
}

// sysFchmodat2 is fchmodat2(2); the mode of a symbolic link is EOPNOTSUPP.
func sysFchmodat2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	flags := a.Int(3)
	if flags&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	d, desc, e := k.objectAt(a.Int(0), &a, 1, flags)
	if desc != nil {
		desc.DecRef()
		return 0, 0
	}
	if e != 0 {
		return 0, e
	}
	if d.inode.Type() == syscall.S_IFLNK {
		return 0, syscall.EOPNOTSUPP
	}
	return 0, k.setAttr(d, modeChange(a.N[2]))
}

// ownerChange ignores ids of -1 (chown(2)).
func ownerChange(uid, gid uintptr) AttrChange {
	c := AttrChange{Mask: attrOwner, UID: uint32(uid), GID: uint32(gid)}
	if c.UID != ^uint32(0) {
		c.Mask |= AttrUID
	}
	if c.GID != ^uint32(0) {
		c.Mask |= AttrGID
	}
	return c
}

func sysChown(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.setAttrAt(atFdCwd, &a, 0, 0, ownerChange(a.N[1], a.N[2]))
}

func sysLchown(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.setAttrAt(atFdCwd, &a, 0, atSymlinkNofollow, ownerChange(a.N[1], a.N[2]))
}

func sysFchown(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.setAttrFD(&a, ownerChange(a.N[1], a.N[2]))
}

func sysFchownat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	flags := a.Int(4)
	if flags&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	return 0, k.setAttrAt(a.Int(0), &a, 1, flags, ownerChange(a.N[2], a.N[3]))
}

// These are special values of tv_nsec in utimensat(2).
const (
	utimeNow  = 1<<30 - 1
	utimeOmit = 1<<30 - 2
)

// timesChange makes the change for two timespecs; nil means now. EINVAL is for the caller to
// return if the file exists.
func timesChange(ts []syscall.Timespec) (AttrChange, syscall.Errno) {
	now := wallTime()
	c := AttrChange{Mask: AttrAtime | AttrMtime, Atime: now, Mtime: now}
	if ts == nil {
		return c, 0
	}
	for i, dst := range [2]*int64{&c.Atime, &c.Mtime} {
		switch n := ts[i].Nsec; {
		case n == utimeNow:
		case n == utimeOmit:
			c.Mask &^= AttrAtime << i
		case n < 0 || n >= 1e9:
			return c, syscall.EINVAL
		default:
			*dst = ts[i].Sec*1e9 + n
		}
	}
	return c, 0
}

// sysUtimensat is utimensat(2). A null path is futimens(3).
func sysUtimensat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	flags := a.Int(3)
	if flags&^(atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	var ts []syscall.Timespec
	if a.Pointer(2) != nil {
		var e syscall.Errno
		if ts, e = userSlice[syscall.Timespec](&a, 2, 2); e != 0 {
			return 0, e
		}
	}
	if ts != nil && ts[0].Nsec == utimeOmit && ts[1].Nsec == utimeOmit {
		return 0, 0 // whether the file exists or not
	}
	c, e := timesChange(ts)
	if e != 0 {
		return 0, k.lookedUp(&a, flags, e)
	}
	if a.Pointer(1) == nil {
		return 0, k.setAttrFD(&a, c)
	}
	return 0, k.setAttrAt(a.Int(0), &a, 1, flags, c)
}

// lookedUp returns e if the object of utimensat(2) exists, and otherwise the error of looking it
// up.
func (k *Kernel) lookedUp(a *Args, flags int, e syscall.Errno) syscall.Errno {
	if a.Pointer(1) == nil {
		d, bad := k.get(a, 0)
		if bad != 0 {
			return bad
		}
		d.DecRef()
		return e
	}
	_, d, missing := k.objectAt(a.Int(0), a, 1, flags)
	if missing != 0 {
		return missing
	}
	if d != nil {
		d.DecRef()
	}
	return e
}

func sysUtimes(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.utimesAt(atFdCwd, &a, 0)
}

// sysFutimesat is futimesat(2).
func sysFutimesat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.utimesAt(a.Int(0), &a, 1)
}

func (k *Kernel) utimesAt(fd int, a *Args, i int) syscall.Errno {
	var ts []syscall.Timespec
	if a.Pointer(i+1) != nil {
		tv, e := userSlice[syscall.Timeval](a, i+1, 2)
		if e != 0 {
			return e
		}
		ts = make([]syscall.Timespec, 2)
		for j := range ts {
			if tv[j].Usec < 0 || tv[j].Usec >= 1e6 {
				return syscall.EINVAL
			}
			ts[j] = syscall.Timespec{Sec: tv[j].Sec, Nsec: tv[j].Usec * 1000}
		}
	}
	c, e := timesChange(ts)
	if e != 0 {
		return e
	}
	if a.Pointer(i) == nil && fd != atFdCwd {
		return k.setAttrFD(a, c)
	}
	return k.setAttrAt(fd, a, i, 0, c)
}

// sysUtime is utime(2): struct utimbuf has whole seconds.
func sysUtime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	var ts []syscall.Timespec
	if a.Pointer(1) != nil {
		s, e := userSlice[int64](&a, 1, 2)
		if e != 0 {
			return 0, e
		}
		ts = []syscall.Timespec{{Sec: s[0]}, {Sec: s[1]}}
	}
	c, e := timesChange(ts)
	if e != 0 {
		return 0, e
	}
	return 0, k.setAttrAt(atFdCwd, &a, 0, 0, c)
}

// sysTruncate is truncate(2).
func sysTruncate(k *Kernel, a Args) (uintptr, syscall.Errno) {
	size := int64(a.N[1])
	if size < 0 {
		return 0, syscall.EINVAL
	}
	d, e := k.lookupAt(atFdCwd, &a, 0, true)
	if e != 0 {
		return 0, e
	}
	switch d.inode.Type() {
	case syscall.S_IFDIR:
		return 0, syscall.EISDIR
	case syscall.S_IFREG:
	default:
		return 0, syscall.EINVAL
	}
	if e := d.inode.SetAttr(AttrChange{Mask: AttrSize, Size: size}); e != 0 {
		return 0, e
	}
	k.notifyModify(d)
	return 0, 0
}

// sysFtruncate is ftruncate(2).
func sysFtruncate(k *Kernel, a Args) (uintptr, syscall.Errno) {
	size := int64(a.N[1])
	if size < 0 {
		return 0, syscall.EINVAL
	}
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	r, ok := d.file.(Resizer)
	if !ok || !d.writable() {
		return 0, syscall.EINVAL
	}
	if e := r.Truncate(size); e != 0 {
		return 0, e
	}
	k.notifyModify(d.where)
	return 0, 0
}

// knownFallocate reports whether a mode of fallocate(2) is one that some file system has.
func knownFallocate(mode int) bool {
	const collapse, zero, insert, unshare = 0x8, 0x10, 0x20, 0x40
	switch mode {
	case 0, fallocKeepSize, fallocPunchHole | fallocKeepSize, zero, zero | fallocKeepSize, collapse, insert, unshare, unshare | fallocKeepSize:
		return true
	}
	return false
}

// sysFallocate is fallocate(2).
func sysFallocate(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	off, n := int64(a.N[2]), int64(a.N[3])
	switch {
	case off < 0 || n <= 0:
		return 0, syscall.EINVAL
	case !knownFallocate(a.Int(1)):
		return 0, syscall.EOPNOTSUPP
	case !d.writable():
		return 0, syscall.EBADF
	}
	r, ok := d.file.(Resizer)
	switch {
	case ok:
		e := r.Allocate(a.Int(1), off, n)
		if e == 0 {
			k.notifyModify(d.where)
		}
		return 0, e
	case fileType(d.file) == syscall.S_IFIFO:
		return 0, syscall.ESPIPE
	}
	return 0, syscall.ENODEV
}

// sysFadvise64 is posix_fadvise(2): the arguments are checked, and the advice is ignored.
func sysFadvise64(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if !d.positioned {
		return 0, syscall.ESPIPE
	}
	const normal, noReuse = 0, 5 // POSIX_FADV_NORMAL to POSIX_FADV_NOREUSE
	if a.Int(3) < normal || a.Int(3) > noReuse {
		return 0, syscall.EINVAL
	}
	return 0, 0
}

// sysReadahead is readahead(2): a no-op on regular files and block devices.
func sysReadahead(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.getReadable(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if t := fileType(d.file); t != syscall.S_IFREG && t != syscall.S_IFBLK {
		return 0, syscall.EINVAL
	}
	return 0, 0
}
