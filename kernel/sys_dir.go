package kernel

import "syscall"

// sysGetcwd is getcwd(2): the length includes the NUL.
func sysGetcwd(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d := k.cwd()
	if k.vfs.isDeleted(d) {
		return 0, syscall.ENOENT
	}
	p := k.vfs.path(d) + "\x00"
	if uintptr(len(p)) > a.N[1] {
		return 0, syscall.ERANGE
	}
	buf, e := a.Bytes(0, len(p))
	if e != 0 {
		return 0, e
	}
	return uintptr(copy(buf, p)), 0
}

// sysChdir is chdir(2).
func sysChdir(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.lookupAt(atFdCwd, &a, 0, true)
	if e != 0 {
		return 0, e
	}
	return 0, k.chdir(d)
}

func (k *Kernel) chdir(d *dentry) syscall.Errno {
	if d == nil || !d.isDir() {
		return syscall.ENOTDIR
	}
	d.users.Add(1)
	if old := k.proc.cwd.Swap(d); old != nil {
		old.users.Add(-1)
	}
	return 0
}

// sysFchdir is fchdir(2).
func sysFchdir(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.fds.get(a.Int(0))
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	return 0, k.chdir(d.where)
}

// sysChroot is chroot(2): only "/" is possible.
func sysChroot(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.lookupAt(atFdCwd, &a, 0, true)
	if e != 0 {
		return 0, e
	}
	if d != k.vfs.root {
		return 0, syscall.EPERM
	}
	return 0, 0
}

// sysGetdents64 is getdents64(2).
func sysGetdents64(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	dir, ok := d.file.(DirReader)
	if !ok {
		return 0, syscall.ENOTDIR
	}
	n := int(uint32(a.N[2]))
	if a.Pointer(1) == nil {
		return 0, syscall.EFAULT
	}
	// Entries are collected in a buffer, because ReadDir gets a closure and the caller's
	// memory may lie on its stack.
	w := direntWriter{room: n}
	if n < 24 { // the size of the smallest entry
		dir.ReadDir(0, func(DirEntry) bool { return false }) // an access, though nothing fits
	}
	d.posMu.Lock()
	defer d.posMu.Unlock()
	if e := k.readDir(d, dir, &w); e != 0 {
		return 0, e
	}
	d.notifyAccess()
	if len(w.buf) == 0 && w.full {
		return 0, syscall.EINVAL // the buffer is too small for one entry
	}
	buf, e := a.Bytes(1, len(w.buf))
	if e != 0 {
		return 0, e
	}
	d.pos = w.pos
	return uintptr(copy(buf, w.buf)), 0
}

// readDir emits "." and "..", then the directory's own entries.
func (k *Kernel) readDir(d *Description, dir DirReader, w *direntWriter) syscall.Errno {
	w.pos = d.pos
	if d.where != nil && k.vfs.isDeleted(d.where) {
		return syscall.ENOENT
	}
	if d.pos < FirstEntry && d.where != nil {
		dots := [2]struct {
			name string
			of   *dentry
		}{{".", d.where}, {"..", k.vfs.up(d.where)}}
		for i := d.pos; i < FirstEntry; i++ {
			var st syscall.Stat_t
			dots[i].of.inode.Stat(&st)
			if !w.emit(DirEntry{Name: dots[i].name, Ino: st.Ino, Type: syscall.S_IFDIR, Next: i + 1}) {
				return 0
			}
		}
	}
	return dir.ReadDir(max(w.pos, FirstEntry), w.emit)
}

// direntWriter makes struct linux_dirent64 records.
type direntWriter struct {
	buf  []byte
	room int
	pos  int64
	full bool
}

func (w *direntWriter) emit(e DirEntry) bool {
	const header = 19 // d_ino, d_off, d_reclen, d_type
	size := (header + len(e.Name) + 1 + 7) &^ 7
	if len(w.buf)+size > w.room {
		w.full = true
		return false
	}
	var h [header]byte
	put64(h[0:], e.Ino)
	put64(h[8:], uint64(e.Next))
	h[16], h[17] = byte(size), byte(size>>8)
	h[18] = byte(e.Type >> 12) // DT_ values are the S_IFMT ones shifted
	w.buf = append(w.buf, h[:]...)
	w.buf = append(w.buf, e.Name...)
	for pad := size - header - len(e.Name); pad > 0; pad-- {
		w.buf = append(w.buf, 0)
	}
	w.pos = e.Next
	return true
}
