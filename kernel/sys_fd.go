package kernel

import "syscall"

// sysClose is close(2). It never fails for a valid descriptor.
func sysClose(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return 0, k.fds.close(a.Int(0))
}

// sysCloseRange is close_range(2).
func sysCloseRange(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const unshare, cloexec = 2, 4
	first, last, flags := uint32(a.N[0]), uint32(a.N[1]), uint32(a.N[2])
	if first > last || flags&^(unshare|cloexec) != 0 {
		return 0, syscall.EINVAL
	}
	for _, fd := range k.fds.numbers() {
		if uint32(fd) < first || uint32(fd) > last {
			continue
		}
		if flags&cloexec != 0 {
			set := true
			k.fds.cloexec(fd, &set)
		} else {
			k.fds.close(fd)
		}
	}
	return 0, 0
}

// sysDup is dup(2).
func sysDup(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.dup(a.Int(0), 0, false)
}

func (k *Kernel) dup(fd, min int, cloexec bool) (uintptr, syscall.Errno) {
	d, e := k.fds.get(fd)
	if e != 0 {
		return 0, e
	}
	return count(k.fds.install(d, min, cloexec))
}

// sysDup2 is dup2(2): nothing happens if both numbers are the same.
func sysDup2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(0) == a.Int(1) {
		d, e := k.fds.get(a.Int(0))
		if e != 0 {
			return 0, e
		}
		d.DecRef()
		return uintptr(a.Int(1)), 0
	}
	return k.dup3(a.Int(0), a.Int(1), 0)
}

// sysDup3 is dup3(2).
func sysDup3(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(0) == a.Int(1) {
		return 0, syscall.EINVAL
	}
	return k.dup3(a.Int(0), a.Int(1), a.Int(2))
}

func (k *Kernel) dup3(from, to, flags int) (uintptr, syscall.Errno) {
	if flags&^syscall.O_CLOEXEC != 0 {
		return 0, syscall.EINVAL
	}
	d, e := k.fds.get(from)
	if e != 0 {
		return 0, e
	}
	if e := k.fds.replace(to, d, flags&syscall.O_CLOEXEC != 0); e != 0 {
		return 0, e
	}
	return uintptr(to), 0
}

// Commands of fcntl(2) that package syscall lacks on amd64.
const (
	fSetOwn        = 8
	fGetOwn        = 9
	fGetSig        = 11
	fGetLease      = 1025
	fDupfdCloexec  = 1030
	fSetPipeSize   = 1031
	fGetPipeSize   = 1032
	fAddSeals      = 1033
	fGetSeals      = 1034
	fGetRWHint     = 1035
	fSetRWHint     = 1036
	fGetFileRWHint = 1037
	fSetFileRWHint = 1038
	fOFDGetLk      = 36
	fOFDSetLk      = 37
	fOFDSetLkw     = 38
	fDupfdQuery    = 1027
)

// setFlagsMask are the flags that F_SETFL can change (fcntl(2)).
const setFlagsMask = syscall.O_APPEND | syscall.O_NONBLOCK | syscall.O_ASYNC | syscall.O_DIRECT | syscall.O_NOATIME

// sysFcntl is fcntl(2). Leases, signals and directory notification are EINVAL.
func sysFcntl(k *Kernel, a Args) (uintptr, syscall.Errno) {
	fd, arg := a.Int(0), a.N[2]
	switch cmd := a.Int(1); cmd {
	case syscall.F_DUPFD, fDupfdCloexec:
		d, e := k.fds.get(fd)
		if e != 0 {
			return 0, e
		}
		if int(arg) < 0 || uint64(arg) >= k.proc.limit(rlimitNoFile) {
			d.DecRef()
			return 0, syscall.EINVAL
		}
		return count(k.fds.install(d, int(arg), cmd == fDupfdCloexec))
	case syscall.F_GETFD:
		on, e := k.fds.cloexec(fd, nil)
		if on {
			return syscall.FD_CLOEXEC, e
		}
		return 0, e
	case syscall.F_SETFD:
		on := arg&syscall.FD_CLOEXEC != 0
		_, e := k.fds.cloexec(fd, &on)
		return 0, e
	}
	d, e := k.fds.get(fd)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if a.Int(1) == syscall.F_GETFL {
		return uintptr(uint32(d.flags.Load())), 0
	}
	if d.flags.Load()&oPath != 0 {
		return 0, syscall.EBADF
	}
	return k.fcntlFile(d, &a)
}

func (k *Kernel) fcntlFile(d *Description, a *Args) (uintptr, syscall.Errno) {
	switch cmd := a.Int(1); cmd {
	case syscall.F_SETFL:
		for {
			old := d.flags.Load()
			set := int32(a.N[2]) & setFlagsMask
			if !d.canSignal() {
				set &^= syscall.O_ASYNC
			}
			if d.flags.CompareAndSwap(old, old&^setFlagsMask|set) {
				return 0, 0
			}
		}
	case syscall.F_GETLK, syscall.F_SETLK, syscall.F_SETLKW, fOFDGetLk, fOFDSetLk, fOFDSetLkw:
		if fcntlLock == nil {
			k.Log("a lock of fcntl is not " + notLinked + "; it fails")
			return 0, syscall.EINVAL
		}
		return 0, fcntlLock(k, d, cmd, *a)
	case fGetPipeSize:
		if p, ok := d.file.(*pipeEnd); ok {
			return uintptr(p.pipe.capacity()), 0
		}
		return 0, syscall.EBADF
	case fSetPipeSize:
		if p, ok := d.file.(*pipeEnd); ok {
			return count(p.pipe.setCapacity(uint32(a.N[2])))
		}
		return 0, syscall.EBADF
	case fSetOwn:
		return 0, k.setOwner(d, a.Int(2))
	case fSetRWHint, fSetFileRWHint:
		return 0, 0
	case fGetOwn:
		return uintptr(int(d.owner.Load())), 0
	case fGetSig:
		return 0, 0 // SIGIO
	case fGetLease:
		return syscall.F_UNLCK, 0 // there are no leases
	case fDupfdQuery:
		o, e := k.fds.get(int(a.N[2]))
		if e != 0 {
			return 0, e
		}
		defer o.DecRef()
		if o == d {
			return 1, 0
		}
		return 0, 0
	case fGetSeals:
		if f, ok := d.file.(sealer); ok {
			return uintptr(f.seals()), 0
		}
	case fAddSeals:
		if !d.writable() {
			return 0, syscall.EPERM
		}
		if f, ok := d.file.(sealer); ok {
			return 0, f.addSeals(uint32(a.N[2]))
		}
	}
	return 0, syscall.EINVAL
}

// canSignal reports whether O_ASYNC means something to a file (fcntl(2)): Linux keeps it only for those
// that have SIGIO.
func (d *Description) canSignal() bool {
	switch d.file.(type) {
	case *pipeEnd, *console, *standardError, *inotify, Socket:
		return true
	}
	return false
}

// setOwner sets whom SIGIO is for: a process or a thread, or minus a group of processes.
func (k *Kernel) setOwner(d *Description, who int) syscall.Errno {
	switch {
	case int32(who) == -1<<31:
		return syscall.EINVAL
	case who > 0 && !k.hasThread(who), who < 0 && who != -pid:
		return syscall.ESRCH
	}
	d.owner.Store(int32(who))
	return 0
}

// sealer is a file with seals (memfd_create(2)).
type sealer interface {
	seals() uint32
	addSeals(uint32) syscall.Errno
}

// These are requests of ioctl(2) for files of any type.
const (
	fionbio  = 0x5421
	fioasync = 0x5452
	fionclex = 0x5450
	fioclex  = 0x5451
	fionread = 0x541b
	fibmap   = 1
	figetbsz = 2
	ficlone  = 0x40049409
)

// sysIoctl is ioctl(2).
func sysIoctl(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	switch req := uint32(a.N[1]); req {
	case fioclex, fionclex:
		on := req == fioclex
		_, e := k.fds.cloexec(a.Int(0), &on)
		return 0, e
	case fionbio:
		p, e := user[int32](&a, 2)
		if e != 0 {
			return 0, e
		}
		if *p != 0 {
			d.flags.Or(syscall.O_NONBLOCK)
		} else {
			d.flags.And(^int32(syscall.O_NONBLOCK))
		}
		return 0, 0
	case fioasync:
		return 0, 0
	case ficlone:
		return 0, syscall.EOPNOTSUPP
	}
	if f, ok := d.file.(Ioctler); ok {
		return f.Ioctl(uintptr(uint32(a.N[1])), a)
	}
	if uint32(a.N[1]) == fionread {
		return 0, fionreadFile(d, &a)
	}
	return 0, syscall.ENOTTY
}

// fionreadFile is FIONREAD on a regular file: the number of bytes after the position, which is
// negative if that lies behind the end.
func fionreadFile(d *Description, a *Args) syscall.Errno {
	var st syscall.Stat_t
	if e := d.file.Stat(&st); e != 0 {
		return e
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return syscall.ENOTTY
	}
	p, e := user[int32](a, 2)
	if e != 0 {
		return e
	}
	d.posMu.Lock()
	*p = int32(st.Size - d.pos)
	d.posMu.Unlock()
	return 0
}
