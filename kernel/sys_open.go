package kernel

import "syscall"

// sysOpen is open(2).
func sysOpen(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.openAt(atFdCwd, &a, 0, a.Int(1), uint32(a.N[2]))
}

// sysCreat is creat(2).
func sysCreat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.openAt(atFdCwd, &a, 0, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_TRUNC, uint32(a.N[1]))
}

// sysOpenat is openat(2). O_DIRECT, O_ASYNC, O_NOATIME and O_NOCTTY have no
// effect.
func sysOpenat(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.openAt(a.Int(0), &a, 1, a.Int(2), uint32(a.N[3]))
}

// checkOpenFlags returns the flags of open(2) that have an effect; EINVAL for those that do not go
// together.
func checkOpenFlags(flags int) (int, syscall.Errno) {
	switch {
	case flags&oPath != 0:
		flags &= oPath | syscall.O_DIRECTORY | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	case flags&tmpfileBit != 0:
		if flags&(oTmpfile|syscall.O_CREAT) != oTmpfile || flags&syscall.O_ACCMODE == syscall.O_RDONLY {
			return 0, syscall.EINVAL
		}
	case flags&(syscall.O_CREAT|syscall.O_DIRECTORY) == syscall.O_CREAT|syscall.O_DIRECTORY:
		return 0, syscall.EINVAL // Linux 6.4
	}
	return flags, 0
}

// openHow is struct open_how.
type openHow struct{ flags, mode, resolve uint64 }

// sysOpenat2 is openat2(2).
func sysOpenat2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	how, e := openHowArg(&a)
	if e != 0 {
		return 0, e
	}
	if e := how.check(); e != 0 {
		return 0, e
	}
	flags, e := checkOpenFlags(int(how.flags))
	if e != 0 {
		return 0, e
	}
	p, e := a.path(1)
	if e != 0 {
		return 0, e
	}
	limit, from := resolveFlag(how.resolve), p
	if limit&resolveCached != 0 && (flags&syscall.O_TRUNC != 0 || how.makes()) {
		return 0, syscall.EAGAIN
	}
	if limit&resolveInRoot != 0 {
		from = "." // the path begins at the descriptor even with a slash
	}
	start, e := k.startAt(a.Int(0), from)
	if e != 0 {
		return 0, e
	}
	d, e := k.openPath(start, p, flags, uint32(how.mode), limit)
	if e != 0 {
		return 0, e
	}
	return count(k.fds.install(d, 0, flags&syscall.O_CLOEXEC != 0))
}

// openHowArg reads the structure of arguments 2 and 3, which a later Linux may have made longer.
func openHowArg(a *Args) (how openHow, e syscall.Errno) {
	size := a.N[3]
	switch {
	case size < openHowSize:
		return how, syscall.EINVAL
	case size > pageSize:
		return how, syscall.E2BIG
	}
	b, e := a.Bytes(2, int(size))
	if e != 0 {
		return how, e
	}
	for _, c := range b[openHowSize:] {
		if c != 0 {
			return how, syscall.E2BIG
		}
	}
	return openHow{get64(b), get64(b[8:]), get64(b[16:])}, 0
}

const openHowSize = 24 // OPEN_HOW_SIZE_VER0, bytes

// tmpfileBit is oTmpfile without O_DIRECTORY.
const tmpfileBit = oTmpfile &^ syscall.O_DIRECTORY

func (how *openHow) makes() bool { return how.flags&(syscall.O_CREAT|tmpfileBit) != 0 }

// check refuses what openat2 does not know, unlike openat.
func (how *openHow) check() syscall.Errno {
	const (
		known = syscall.O_ACCMODE | syscall.O_CREAT | syscall.O_EXCL | syscall.O_NOCTTY | syscall.O_TRUNC | syscall.O_APPEND |
			syscall.O_NONBLOCK | syscall.O_SYNC | syscall.O_ASYNC | syscall.O_DIRECT | oLargefile | syscall.O_DIRECTORY |
			syscall.O_NOFOLLOW | syscall.O_NOATIME | syscall.O_CLOEXEC | oPath | oTmpfile
		withPath = oPath | syscall.O_DIRECTORY | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	)
	limit := resolveFlag(how.resolve)
	switch {
	case how.flags&^known != 0, limit&^(resolveNoXdev|resolveNoMagiclinks|resolveNoSymlinks|resolveScoped|resolveCached) != 0,
		limit&resolveScoped == resolveScoped,
		how.mode&^0o7777 != 0, how.mode != 0 && !how.makes(),
		how.flags&oPath != 0 && how.flags&^withPath != 0,
		how.flags&tmpfileBit != 0 && how.flags&oTmpfile != oTmpfile:
		return syscall.EINVAL
	}
	return 0
}

func (k *Kernel) openAt(fd int, a *Args, i, flags int, mode uint32) (uintptr, syscall.Errno) {
	flags, e := checkOpenFlags(flags)
	if e != 0 {
		return 0, e
	}
	p, e := a.path(i)
	if e != 0 {
		return 0, e
	}
	start, e := k.startAt(fd, p)
	if e != 0 {
		return 0, e
	}
	d, e := k.openPath(start, p, flags, mode, 0)
	if e != 0 {
		return 0, e
	}
	return count(k.fds.install(d, 0, flags&syscall.O_CLOEXEC != 0))
}

// opening is one attempt to open a path.
type opening struct {
	walk
	found *dentry // the object at the path, if it was to be opened
}

// openPath opens p as open(2) does. A file that is removed or replaced between its lookup and
// its open is ESTALE: then the name is looked up again, so that an open concurrent with a
// rename(2) finds the old or the new file. If that leads to the same file, the name was not
// the reason, as with /proc/self/fd/N of an O_PATH descriptor, and ESTALE is returned.
func (k *Kernel) openPath(start *dentry, p string, flags int, mode uint32, limit resolveFlag) (*Description, syscall.Errno) {
	var last Inode
	for {
		o := opening{walk: walk{limit: limit, start: start}}
		d, e := k.openOnce(start, p, flags, mode, &o)
		if e != syscall.ESTALE || o.found == nil || o.found.mnt.fs.Volatile() {
			return d, e
		}
		if o.found.inode == last {
			return nil, syscall.ENOENT
		}
		last = o.found.inode
		k.vfs.waitForNames(o.found)
	}
}

func (k *Kernel) openOnce(start *dentry, p string, flags int, mode uint32, o *opening) (*Description, syscall.Errno) {
	if flags&oTmpfile == oTmpfile {
		return k.openUnnamed(start, p, flags, mode, o)
	}
	if flags&syscall.O_CREAT != 0 {
		return k.openCreate(start, p, flags, mode, o)
	}
	d, e := k.vfs.resolve(start, p, flags&syscall.O_NOFOLLOW == 0, &o.walk)
	if e != 0 {
		return nil, e
	}
	return k.openDentry(d, flags, o)
}

// openCreate opens p with O_CREAT. If p is a dangling symbolic link, it creates the link's
// target (unless O_EXCL).
func (k *Kernel) openCreate(start *dentry, p string, flags int, mode uint32, o *opening) (*Description, syscall.Errno) {
	for {
		dir, name, slash, e := k.vfs.resolveParent(start, p, &o.walk)
		if e != 0 {
			return nil, e
		}
		if name == "" && flags&syscall.O_EXCL != 0 { // ".", ".." or "/"
			return nil, syscall.EEXIST
		}
		if name == "" || slash {
			return nil, syscall.EISDIR
		}
		d, made, f, e := k.lookupOrCreate(dir, name, flags, mode)
		if e != 0 {
			return nil, e
		}
		if made {
			k.notifyEntry(d, inCreate)
			if f != nil {
				return k.describe(d, f, flags), 0
			}
			return k.openNew(d, flags)
		}
		if flags&syscall.O_EXCL != 0 {
			return nil, syscall.EEXIST
		}
		if d.inode.Type() != syscall.S_IFLNK {
			return k.openDentry(d, flags, o)
		}
		if flags&syscall.O_NOFOLLOW != 0 {
			return nil, syscall.ELOOP
		}
		if o.links++; o.links > maxLinks {
			return nil, syscall.ELOOP
		}
		if m, ok := d.inode.(magicLink); ok {
			t, e := m.target()
			if e != 0 {
				return nil, e
			}
			return k.openDentry(t, flags, o)
		}
		if p, e = d.inode.(Symlink).Readlink(); e != 0 {
			return nil, e
		}
		start = dir
	}
}

// openCreator is a Directory that can make and open a regular file atomically.
type openCreator interface {
	OpenCreate(name string, flags int, mode uint32) (Inode, File, syscall.Errno)
}

// lookupOrCreate finds name in dir or makes a regular file of that name; file is not nil if
// the file was opened in the same step.
func (k *Kernel) lookupOrCreate(dir *dentry, name string, flags int, mode uint32) (d *dentry, made bool, file File, e syscall.Errno) {
	if d, e = k.vfs.child(dir, name); e != syscall.ENOENT {
		return d, false, nil, e
	}
	defer k.vfs.lockNames(dir)()
	if d, e = k.vfs.child(dir, name); e != syscall.ENOENT {
		return d, false, nil, e
	}
	mode &^= k.proc.umask.Load()
	d, e = k.create(dir, name, func(parent Directory) (inode Inode, e syscall.Errno) {
		if c, ok := parent.(openCreator); ok {
			inode, file, e = c.OpenCreate(name, flags, mode&0o7777)
			return inode, e
		}
		return parent.Create(name, syscall.S_IFREG|mode&0o7777, 0)
	})
	return d, e == 0, file, e
}

// create makes a new name with op, and its dentry. The names of dir are locked.
func (k *Kernel) create(dir *dentry, name string, op func(Directory) (Inode, syscall.Errno)) (*dentry, syscall.Errno) {
	parent, ok := dir.inode.(Directory)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	v := &k.vfs
	if v.isDeleted(dir) {
		return nil, syscall.ENOENT
	}
	inode, e := op(parent)
	if e != 0 {
		return nil, e
	}
	d := newDentry(inode, dir.mnt, dir, name)
	v.mu.Lock()
	v.generation.Add(1)
	v.cacheChild(dir, d)
	v.mu.Unlock()
	return d, 0
}

// openNew opens a new file: its mode does not restrict this open.
func (k *Kernel) openNew(d *dentry, flags int) (*Description, syscall.Errno) {
	f, e := d.inode.Open(flags)
	if e != 0 {
		return nil, e
	}
	return k.describe(d, f, flags), 0
}

func (k *Kernel) describe(d *dentry, f File, flags int) *Description {
	desc := newDescription(k, f, flags|oLargefile)
	desc.at(d)
	k.notifyObject(d, inOpen)
	return desc
}

// openDentry opens an existing object.
func (k *Kernel) openDentry(d *dentry, flags int, o *opening) (*Description, syscall.Errno) {
	o.found = d
	kind := d.inode.Type()
	if flags&syscall.O_DIRECTORY != 0 && kind != syscall.S_IFDIR {
		return nil, syscall.ENOTDIR
	}
	if flags&oPath != 0 {
		desc := newDescription(k, newPathFile(d.inode), flags)
		desc.at(d)
		return desc, 0
	}
	if an, ok := d.inode.(*anonInode); ok { // /proc/self/fd/N of a pipe or socket
		return an.reopen()
	}
	truncated := false
	switch kind {
	case syscall.S_IFLNK:
		return nil, syscall.ELOOP
	case syscall.S_IFDIR:
		if flags&(syscall.O_ACCMODE|syscall.O_TRUNC|syscall.O_CREAT) != syscall.O_RDONLY {
			return nil, syscall.EISDIR
		}
	case syscall.S_IFREG:
		if flags&syscall.O_TRUNC != 0 { // on Linux also with O_RDONLY
			if e := d.inode.SetAttr(AttrChange{Mask: AttrSize | AttrResized}); e != 0 {
				return nil, e
			}
			truncated = true
		}
	}
	f, e := d.inode.Open(flags)
	if e != 0 {
		return nil, e
	}
	if p, ok := f.(*pipeEnd); ok {
		if e := p.waitForPeer(flags); e != 0 {
			p.Release()
			return nil, e
		}
	}
	desc := k.describe(d, f, flags)
	if truncated {
		k.notifyModify(d)
	}
	return desc, 0
}

// unnamer is a file system that can make regular files without a name, in or near a
// directory (O_TMPFILE).
type unnamer interface {
	Unnamed(near Inode, mode uint32) (Inode, syscall.Errno)
}

// Unnamed makes a regular file with no name.
func (fs *tmpfs) Unnamed(_ Inode, mode uint32) (Inode, syscall.Errno) {
	n := fs.newInode(syscall.S_IFREG|mode&0o7777, 0)
	n.node().nlink, n.node().unnamed = 0, true
	return n, 0
}

// openUnnamed is open(2) with O_TMPFILE.
func (k *Kernel) openUnnamed(start *dentry, p string, flags int, mode uint32, o *opening) (*Description, syscall.Errno) {
	dir, e := k.vfs.resolve(start, p, flags&syscall.O_NOFOLLOW == 0, &o.walk)
	if e != 0 {
		return nil, e
	}
	if !dir.isDir() {
		return nil, syscall.ENOTDIR
	}
	fs, ok := dir.mnt.fs.(unnamer)
	if !ok {
		return nil, syscall.EOPNOTSUPP
	}
	d, e := k.openAnonymous(fs, dir.inode, k.vfs.path(dir)+"/#unnamed", dir.mnt, mode&^k.proc.umask.Load(), flags)
	if e == 0 {
		d.where.nameless = flags&syscall.O_EXCL != 0
	}
	return d, e
}

// openAnonymous opens a new file without a name, with the name shown in /proc.
func (k *Kernel) openAnonymous(fs unnamer, near Inode, shown string, mnt *mount, mode uint32, flags int) (*Description, syscall.Errno) {
	inode, e := fs.Unnamed(near, mode)
	if e != 0 {
		return nil, e
	}
	f, e := inode.Open(flags)
	if e != 0 {
		return nil, e
	}
	d := newDentry(inode, mnt, nil, shown)
	d.deleted = true
	return k.describe(d, f, flags), 0
}

// sysMemfdCreate is memfd_create(2). There are no huge pages: MFD_HUGETLB is ENOSYS, as without
// CONFIG_HUGETLBFS.
func sysMemfdCreate(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const cloexec, allowSealing, hugetlb, noexecSeal, exec = 1, 2, 4, 8, 16
	const hugeSizes = 0x3f << 26 // MFD_HUGE_MASK << MFD_HUGE_SHIFT: the size of huge pages
	flags := uint32(a.N[1])
	known := uint32(cloexec | allowSealing | noexecSeal | exec)
	if flags&hugetlb != 0 {
		known |= hugetlb | hugeSizes
	}
	if flags&^known != 0 || flags&(exec|noexecSeal) == exec|noexecSeal {
		return 0, syscall.EINVAL
	}
	name, e := a.cString(0, 250)
	switch {
	case e == syscall.ENAMETOOLONG:
		return 0, syscall.EINVAL
	case e != 0:
		return 0, e
	case flags&hugetlb != 0:
		return 0, syscall.ENOSYS
	}
	k.tree()
	mode := uint32(0o777)
	if flags&noexecSeal != 0 {
		mode = 0o666
	}
	d, e := k.openAnonymous(k.vfs.rootFS, k.vfs.rootFS.root, "/memfd:"+name, k.vfs.memfds, mode, syscall.O_RDWR)
	if e != 0 {
		return 0, e
	}
	f := d.file.(*tmpOpen).f
	f.sealable = flags&(allowSealing|noexecSeal) != 0
	if flags&noexecSeal != 0 {
		f.seal = sealExec
	}
	return count(k.fds.install(d, 0, flags&cloexec != 0))
}
