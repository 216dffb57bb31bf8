package kernel

import (
	"sync"
	"syscall"
)

// signalFD receives signals that are blocked (signalfd(2)): those that are pending for the thread that
// reads or polls, and for the process.
type signalFD struct {
	anonFile
	k *Kernel

	mu  sync.Mutex
	set uint64 // bit n-1 is signal n
}

// signalFDs are the files that hear of signals.
type signalFDs struct {
	mu   sync.Mutex
	list []*signalFD
}

const (
	signalRecord = 128 // struct signalfd_siginfo
	sigsetSize   = 8

	unblockable = 1<<(syscall.SIGKILL-1) | 1<<(syscall.SIGSTOP-1)
)

// sysSignalfd is signalfd(2) of old, without flags.
func sysSignalfd(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.signalfd(&a, 0)
}

// sysSignalfd4 is signalfd4(2).
func sysSignalfd4(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.signalfd(&a, a.Int(3))
}

func (k *Kernel) signalfd(a *Args, flags int) (uintptr, syscall.Errno) {
	if a.N[2] != sigsetSize {
		return 0, syscall.EINVAL
	}
	p, e := user[uint64](a, 1)
	if e != 0 {
		return 0, e
	}
	set := *p &^ unblockable
	if flags&^(syscall.O_CLOEXEC|syscall.O_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	if a.Int(0) == -1 {
		f := &signalFD{k: k, set: set}
		f.id = k.proc.nextID()
		k.signalFDs.add(f)
		k.watchSignals()
		return k.installNew(f, syscall.O_RDWR|flags&syscall.O_NONBLOCK, flags)
	}
	d, e := k.get(a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	f, ok := d.file.(*signalFD)
	if !ok {
		return 0, syscall.EINVAL
	}
	f.mu.Lock()
	f.set = set
	f.mu.Unlock()
	k.watchSignals()
	f.queue.Notify(EventIn)
	return a.N[0], 0
}

func (t *signalFDs) add(f *signalFD) {
	t.mu.Lock()
	t.list = append(t.list, f)
	t.mu.Unlock()
}

// Release closes the file.
func (f *signalFD) Release() {
	t := &f.k.signalFDs
	t.mu.Lock()
	for i := range t.list {
		if t.list[i] == f {
			t.list = append(t.list[:i], t.list[i+1:]...)
			break
		}
	}
	t.mu.Unlock()
	f.k.watchSignals()
}

// watchSignals tells the machine of which signals somebody wants to hear.
func (k *Kernel) watchSignals() {
	t := &k.signalFDs
	t.mu.Lock()
	defer t.mu.Unlock()
	var all uint64
	for _, f := range t.list {
		all |= f.signals()
	}
	k.m.WatchSignals(all, k.signalsCame)
}

// signalsCame wakes who waits for signals.
func (k *Kernel) signalsCame() {
	t := &k.signalFDs
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.list {
		f.queue.Notify(EventIn)
	}
}

func (f *signalFD) signals() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set
}

// Readiness tells whether a signal is pending for the calling thread or the process.
func (f *signalFD) Readiness() Events {
	if f.k.pendingSignals()&f.signals() == 0 {
		return 0
	}
	return EventIn
}

// Read takes as many signals as are pending and p has room for.
func (f *signalFD) Read(p []byte, _ int64) (int, syscall.Errno) {
	if len(p) < signalRecord {
		return 0, syscall.EINVAL
	}
	n := 0
	for ; len(p)-n >= signalRecord; n += signalRecord {
		info, ok := f.k.takeSignal(f.signals())
		if !ok {
			break
		}
		putSignal(p[n:n+signalRecord], &info)
	}
	if n == 0 {
		return 0, syscall.EAGAIN
	}
	return n, 0
}

// putSignal writes a struct signalfd_siginfo, as signalfd_copyinfo in Linux's fs/signalfd.c.
func putSignal(b []byte, info *SignalInfo) {
	const ( // offsets
		number, errno, code, sender, user, timer, overrun, value, pointer = 0, 4, 8, 12, 16, 24, 32, 44, 48
	)
	clear(b)
	put := func(at int, v uint32) { put32(b[at:], v) }
	put(number, uint32(info.Signo))
	put(errno, uint32(info.Errno))
	put(code, uint32(info.Code))
	first, second := uint32(info.Fields[0]), uint32(info.Fields[0]>>32)
	switch {
	case info.Code == siTimer:
		put(timer, first)
		put(overrun, second)
	default:
		put(sender, first)
		put(user, second)
	}
	if info.Code < 0 { // with a value
		put(value, uint32(info.Fields[1]))
		put64(b[pointer:], info.Fields[1])
	}
}

func (f *signalFD) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EINVAL }

// appendFDInfo is signalfd_show_fdinfo of fs/signalfd.c.
func (f *signalFD) appendFDInfo(b []byte) []byte {
	mask := hexText(f.signals())
	return append(b, "sigmask:\t"+"0000000000000000"[len(mask):]+mask+"\n"...)
}
