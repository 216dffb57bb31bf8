package kernel

import "syscall"

// pidFD is a process as a file (pidfd_open(2)): this one, or one of its threads. While it can be
// asked it lives, so the file is never ready.
type pidFD struct {
	queue  WaitQueue
	id     uint64
	thread int // 0 for the process
}

// Flags of pidfd_open(2) and pidfd_send_signal(2).
const (
	pidfdNonblock = syscall.O_NONBLOCK
	pidfdThread   = syscall.O_EXCL

	pidfdSignalThread  = 1
	pidfdSignalGroup   = 2
	pidfdSignalSession = 4
)

func (f *pidFD) Read([]byte, int64) (int, syscall.Errno)  { return 0, syscall.EINVAL }
func (f *pidFD) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EINVAL }
func (f *pidFD) Readiness() Events                        { return 0 }
func (f *pidFD) Queue() *WaitQueue                        { return &f.queue }
func (f *pidFD) Release()                                 {}

func (f *pidFD) Stat(st *syscall.Stat_t) syscall.Errno {
	*st = syscall.Stat_t{Dev: anonDev, Ino: f.id, Nlink: 1, Mode: 0o700, Blksize: pageSize}
	return 0
}

// sysPidfdOpen is pidfd_open(2).
func sysPidfdOpen(k *Kernel, a Args) (uintptr, syscall.Errno) {
	id, flags := a.Int(0), a.Int(1)
	if flags&^(pidfdNonblock|pidfdThread) != 0 || id <= 0 {
		return 0, syscall.EINVAL
	}
	f := &pidFD{id: k.proc.nextID()}
	if flags&pidfdThread != 0 {
		if f.thread = id; !k.hasThread(id) {
			return 0, syscall.ESRCH
		}
	} else if id != pid {
		if k.hasThread(id) {
			return 0, syscall.ENOENT // not the leader of its group
		}
		return 0, syscall.ESRCH
	}
	d := newDescription(k, f, syscall.O_RDWR)
	d.flags.Store(int32(syscall.O_RDWR | flags)) // F_GETFL shows PIDFD_THREAD
	return count(k.fds.install(d, 0, true))
}

func (k *Kernel) hasThread(id int) bool {
	_, e := k.m.SendSignal(id, &SignalInfo{}, false)
	return e == 0
}

// getPidFD returns the pidfd of argument i. A descriptor of /proc/self is one, too, where it may be.
func (k *Kernel) getPidFD(a *Args, i int, orProc bool) (*pidFD, syscall.Errno) {
	d, e := k.fds.get(a.Int(i))
	if e != 0 {
		return nil, e
	}
	defer d.DecRef()
	if f, ok := d.file.(*pidFD); ok {
		return f, 0
	}
	if orProc && d.where != nil && k.vfs.path(d.where) == "/proc/1" {
		return &pidFD{}, 0
	}
	return nil, syscall.EBADF
}

// sysPidfdSendSignal is pidfd_send_signal(2).
func sysPidfdSendSignal(k *Kernel, a Args) (uintptr, syscall.Errno) {
	sig, flags := a.Int(1), a.Int(3)
	switch flags {
	case 0, pidfdSignalThread, pidfdSignalGroup, pidfdSignalSession:
	default:
		return 0, syscall.EINVAL
	}
	f, e := k.getPidFD(&a, 0, true)
	if e != 0 {
		return 0, e
	}
	info := &SignalInfo{}
	if a.Pointer(2) != nil {
		if info, e = k.signalInfo(&a, 2, pid); e != 0 {
			return 0, e
		}
		if int(info.Signo) != sig {
			return 0, syscall.EINVAL
		}
	} else {
		info.Fields[0] = pid
	}
	tid := f.thread
	if flags == pidfdSignalThread && tid == 0 {
		tid = pid
	} else if flags > pidfdSignalThread {
		tid = 0
	}
	return k.queueSignal(tid, sig, info)
}

// sysPidfdGetfd is pidfd_getfd(2): a duplicate of one of the process's own descriptors.
func sysPidfdGetfd(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.N[2] != 0 {
		return 0, syscall.EINVAL
	}
	if _, e := k.getPidFD(&a, 0, false); e != 0 {
		return 0, e
	}
	return k.dup(a.Int(1), 0, true)
}
