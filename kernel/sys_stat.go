package kernel

import (
	"syscall"
)

// sysStat is stat(2).
func sysStat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.statAt(atFdCwd, &a, 0, 1, 0)
}

// sysLstat is lstat(2).
func sysLstat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.statAt(atFdCwd, &a, 0, 1, atSymlinkNofollow)
}

// sysNewfstatat is fstatat(2).
func sysNewfstatat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	flags := a.Int(3)
	if flags&^(atSymlinkNofollow|atNoAutomount|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	return 0, k.statAt(a.Int(0), &a, 1, 2, flags)
}

func (k *Kernel) statAt(fd int, a *Args, pathArg, statArg, flags int) syscall.Errno {
	st, e := user[syscall.Stat_t](a, statArg)
	if e != 0 {
		return e
	}
	_, _, e = k.statObject(fd, a, pathArg, flags, st)
	return e
}

// anonMount is the mount ID of files without a name in the tree; mounts in the tree have higher ones.
const anonMount = 1

// statObject fills st, and returns the birth time (ns since 1970), 0 if there is none, and the ID of
// the mount.
func (k *Kernel) statObject(fd int, a *Args, pathArg, flags int, st *syscall.Stat_t) (born int64, mount int, e syscall.Errno) {
	d, desc, e := k.objectAt(fd, a, pathArg, flags)
	if e != 0 {
		return 0, 0, e
	}
	if desc != nil {
		defer desc.DecRef()
		return 0, anonMount, desc.stat(st)
	}
	if b, ok := d.inode.(birthTimer); ok {
		born = b.BirthTime()
	}
	return born, max(d.mnt.id, anonMount), d.inode.Stat(st)
}

// sysFstat is fstat(2).
func sysFstat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.fds.get(a.Int(0))
	if e != 0 {
		return 0, e
	}
	st, e := user[syscall.Stat_t](&a, 1)
	if e == 0 {
		e = d.stat(st)
	}
	d.DecRef()
	return 0, e
}

// statxBuf is struct statx.
type statxBuf struct {
	mask, blksize                          uint32
	attributes                             uint64
	nlink, uid, gid                        uint32
	mode, _                                uint16
	ino, size, blocks, attributesMask      uint64
	atime, btime, ctime, mtime             statxTime
	rdevMajor, rdevMinor                   uint32
	devMajor, devMinor                     uint32
	mntID                                  uint64
	dioMemAlign, dioOffsetAlign            uint32
	subvol                                 uint64
	atomicMin, atomicMax, atomicSegs, dioR uint32
	_                                      [9]uint64
}

type statxTime struct {
	sec  int64
	nsec uint32
	_    int32
}

// birthTimer is an Inode with a birth time, in ns since 1970.
type birthTimer interface{ BirthTime() int64 }

// sysStatx is statx(2) with the basic fields, the mount, and the birth time if the file system has it.
func sysStatx(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const basic, syncFlags = 0x7ff, 0x6000
	const mountID, uniqueID = 0x1000, 0x4000 // STATX_MNT_ID, STATX_MNT_ID_UNIQUE: IDs are never used again
	flags := a.Int(2)
	if flags&^(atSymlinkNofollow|atNoAutomount|atEmptyPath|syncFlags) != 0 || flags&syncFlags == syncFlags || uint32(a.N[3])>>31 != 0 {
		return 0, syscall.EINVAL
	}
	x, e := user[statxBuf](&a, 4)
	if e != 0 {
		return 0, e
	}
	var st syscall.Stat_t
	born, mount, e := k.statObject(a.Int(0), &a, 1, flags&^syncFlags, noescape(&st))
	if e != 0 {
		return 0, e
	}
	*x = statxBuf{
		mask: basic | mountID, mntID: uint64(mount), blksize: uint32(st.Blksize), nlink: uint32(st.Nlink), uid: st.Uid, gid: st.Gid,
		mode: uint16(st.Mode), ino: st.Ino, size: uint64(st.Size), blocks: uint64(st.Blocks),
		atime: statxTime{sec: st.Atim.Sec, nsec: uint32(st.Atim.Nsec)},
		mtime: statxTime{sec: st.Mtim.Sec, nsec: uint32(st.Mtim.Nsec)},
		ctime: statxTime{sec: st.Ctim.Sec, nsec: uint32(st.Ctim.Nsec)},
	}
	if a.N[3]&uniqueID != 0 {
		x.mask = x.mask&^mountID | uniqueID
	}
	if born != 0 {
		const btime = 0x800 // STATX_BTIME
		ts := timespec(born)
		x.mask |= btime
		x.btime = statxTime{sec: ts.Sec, nsec: uint32(ts.Nsec)}
	}
	x.rdevMajor, x.rdevMinor = major(st.Rdev), minor(st.Rdev)
	x.devMajor, x.devMinor = major(st.Dev), minor(st.Dev)
	return 0, 0
}

// sysAccess is access(2).
func sysAccess(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.accessAt(atFdCwd, &a, 0, a.Int(1), 0)
}

// sysFaccessat is the faccessat system call, which has no flags.
func sysFaccessat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.accessAt(a.Int(0), &a, 1, a.Int(2), 0)
}

// sysFaccessat2 is faccessat2(2).
func sysFaccessat2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(3)&^(atEaccess|atSymlinkNofollow|atEmptyPath) != 0 {
		return 0, syscall.EINVAL
	}
	return 0, k.accessAt(a.Int(0), &a, 1, a.Int(2), a.Int(3)&^atEaccess)
}

// accessAt checks as root: every file may be read and written, and executed if any x bit is
// set.
func (k *Kernel) accessAt(fd int, a *Args, i, mode, flags int) syscall.Errno {
	const execute, write, all = 1, 2, 7
	if mode&^all != 0 {
		return syscall.EINVAL
	}
	var st syscall.Stat_t
	d, desc, e := k.objectAt(fd, a, i, flags)
	switch {
	case desc != nil:
		defer desc.DecRef()
		e = desc.stat(noescape(&st))
	case e == 0:
		e = d.inode.Stat(noescape(&st))
		if e == 0 && mode&write != 0 && d.mnt.readOnly() {
			e = syscall.EROFS
		}
	}
	if e != 0 {
		return e
	}
	if mode&execute != 0 && st.Mode&syscall.S_IFMT != syscall.S_IFDIR && st.Mode&0o111 == 0 {
		return syscall.EACCES
	}
	return 0
}

// sysReadlink is readlink(2).
func sysReadlink(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.readlinkAt(atFdCwd, &a, 0)
}

// sysReadlinkat is readlinkat(2).
func sysReadlinkat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.readlinkAt(a.Int(0), &a, 1)
}

func (k *Kernel) readlinkAt(fd int, a *Args, i int) (uintptr, syscall.Errno) {
	n := int(int32(a.N[i+2]))
	if n <= 0 {
		return 0, syscall.EINVAL
	}
	d, desc, e := k.objectAt(fd, a, i, atSymlinkNofollow|atEmptyPath)
	if desc != nil {
		desc.DecRef()
		return 0, syscall.EINVAL
	}
	if e != 0 {
		return 0, e
	}
	l, ok := d.inode.(Symlink)
	if !ok {
		if p, _ := a.path(i); p == "" {
			return 0, syscall.ENOENT
		}
		return 0, syscall.EINVAL
	}
	t, e := l.Readlink()
	if e != 0 {
		return 0, e
	}
	buf, e := a.Bytes(i+1, n)
	if e != 0 {
		return 0, e
	}
	return uintptr(copy(buf, t)), 0
}

// sysStatfs is statfs(2).
func sysStatfs(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.lookupAt(atFdCwd, &a, 0, true)
	if e != 0 {
		return 0, e
	}
	return 0, statfs(d, &a)
}

func statfs(d *dentry, a *Args) syscall.Errno {
	st, e := user[syscall.Statfs_t](a, 1)
	if e != 0 {
		return e
	}
	return d.mnt.fs.StatFS(st)
}

// sysFstatfs is fstatfs(2). Objects without a name are reported as pipefs.
func sysFstatfs(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.fds.get(a.Int(0))
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if d.where != nil && d.where.mnt != nil {
		return 0, statfs(d.where, &a)
	}
	st, e := user[syscall.Statfs_t](&a, 1)
	if e != 0 {
		return 0, e
	}
	const pipefsMagic = 0x50495045
	*st = syscall.Statfs_t{Type: pipefsMagic, Bsize: pageSize, Frsize: pageSize, Namelen: nameMax}
	return 0, 0
}

// sysUmask is umask(2).
func sysUmask(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return uintptr(k.proc.umask.Swap(uint32(a.N[0]) & 0o777)), 0
}
