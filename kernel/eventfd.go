package kernel

import (
	"sync"
	"syscall"
)

// anonFile is the common part of files without a name in the tree.
type anonFile struct {
	queue WaitQueue
	id    uint64
}

// anonDev is st_dev of pipes, sockets and other files without a name.
const anonDev = 0xd

func (f *anonFile) Queue() *WaitQueue { return &f.queue }

// ignoresSeek says that lseek(2) does nothing and succeeds (noop_llseek).
func (f *anonFile) ignoresSeek() {}

func (f *anonFile) Stat(st *syscall.Stat_t) syscall.Errno {
	*st = syscall.Stat_t{Dev: anonDev, Ino: f.id, Nlink: 1, Mode: 0o600, Blksize: pageSize}
	return 0
}

// eventFD is the counter of eventfd(2).
type eventFD struct {
	anonFile
	semaphore bool

	mu    sync.Mutex
	count uint64
}

const eventMax = 1<<64 - 2 // the largest count (eventfd(2))

func (f *eventFD) Read(p []byte, _ int64) (int, syscall.Errno) {
	if len(p) < 8 {
		return 0, syscall.EINVAL
	}
	f.mu.Lock()
	v := f.count
	if v == 0 {
		f.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	if f.semaphore {
		v = 1
	}
	f.count -= v
	f.mu.Unlock()
	put64(p, v)
	f.queue.Notify(EventOut)
	return 8, 0
}

func (f *eventFD) Write(p []byte, _ int64) (int, syscall.Errno) {
	if len(p) != 8 {
		return 0, syscall.EINVAL
	}
	v := get64(p)
	if v == eventMax+1 {
		return 0, syscall.EINVAL
	}
	f.mu.Lock()
	if v > eventMax-f.count {
		f.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	f.count += v
	f.mu.Unlock()
	f.queue.Notify(EventIn)
	return 8, 0
}

func (f *eventFD) Readiness() (ev Events) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count > 0 {
		ev |= EventIn
	}
	if f.count < eventMax {
		ev |= EventOut
	}
	return ev
}

func (f *eventFD) Release() {}

// sysEventfd is eventfd(2) as the system call without flags.
func sysEventfd(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.eventfd(uint32(a.N[0]), 0) }

// sysEventfd2 is eventfd(2).
func sysEventfd2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.eventfd(uint32(a.N[0]), a.Int(1))
}

func (k *Kernel) eventfd(count uint32, flags int) (uintptr, syscall.Errno) {
	const semaphore = 1
	if flags&^(semaphore|syscall.O_CLOEXEC|syscall.O_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	f := &eventFD{semaphore: flags&semaphore != 0, count: uint64(count)}
	f.id = k.proc.nextID()
	return k.installNew(f, syscall.O_RDWR|flags&syscall.O_NONBLOCK, flags)
}

// installNew installs a new file. Of flags, it uses O_CLOEXEC.
func (k *Kernel) installNew(f File, mode, flags int) (uintptr, syscall.Errno) {
	return count(k.fds.install(newDescription(k, f, mode), 0, flags&syscall.O_CLOEXEC != 0))
}
