package kernel

import "syscall"

// timerFD is a timer as a file (timerfd_create(2)).
type timerFD struct {
	anonFile
	countdown

	// countdown.mu guards the fields below.
	cancels  bool // TFD_TIMER_CANCEL_ON_SET
	canceled bool // the clock was set since the last read
	flags    int  // of the last timerfd_settime(2)

	clockID int // as the program has named it; never changes
}

func (f *timerFD) Read(p []byte, _ int64) (int, syscall.Errno) {
	if len(p) < 8 {
		return 0, syscall.EINVAL
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catchUp()
	n := f.expired
	f.expired = 0
	switch {
	case f.canceled:
		f.canceled = false
		return 0, syscall.ECANCELED
	case n == 0:
		return 0, syscall.EAGAIN
	}
	put64(p, n)
	return 8, 0
}

func (f *timerFD) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EINVAL }

func (f *timerFD) Readiness() Events {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catchUp()
	if f.expired > 0 || f.canceled {
		return EventIn
	}
	return 0
}

func (f *timerFD) Release() { f.close() }

// wasSet is called when the realtime clock was set.
func (f *timerFD) wasSet(Events) {
	f.clockMoved(0)
	f.mu.Lock()
	f.canceled = f.cancels
	f.mu.Unlock()
	f.queue.Notify(EventIn)
}

// sysTimerfdCreate is timerfd_create(2).
func sysTimerfdCreate(k *Kernel, a Args) (uintptr, syscall.Errno) {
	flags := a.Int(1)
	if flags&^(syscall.O_CLOEXEC|syscall.O_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	switch a.Int(0) {
	case clockRealtime, clockRealtimeAlarm, clockMonotonic, clockBoottime, clockBoottimeAlarm:
	default:
		return 0, syscall.EINVAL
	}
	f := &timerFD{clockID: a.Int(0)}
	f.id = k.proc.nextID()
	f.moved.Notify = f.wasSet
	f.init(k, a.Int(0), func() { f.queue.Notify(EventIn) })
	return k.installNew(f, syscall.O_RDWR|flags&syscall.O_NONBLOCK, flags)
}

// getTimer returns the timer of descriptor argument 0.
func (k *Kernel) getTimer(a *Args) (*timerFD, *Description, syscall.Errno) {
	d, e := k.get(a, 0)
	if e != 0 {
		return nil, nil, e
	}
	if f, ok := d.file.(*timerFD); ok {
		return f, d, 0
	}
	d.DecRef()
	return nil, nil, syscall.EINVAL
}

// sysTimerfdSettime is timerfd_settime(2).
func sysTimerfdSettime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const cancelOnSet = 2
	spec, e := user[itimerspec](&a, 2)
	if e != 0 {
		return 0, e
	}
	value, interval, e := spec.nanos()
	flags := a.Int(1)
	if e != 0 || flags&^(timerAbstime|cancelOnSet) != 0 {
		return 0, syscall.EINVAL
	}
	f, d, e := k.getTimer(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	f.mu.Lock()
	f.flags = flags
	f.canceled, f.cancels = false, flags == timerAbstime|cancelOnSet && f.clock == clockRealtime
	f.mu.Unlock()
	value, interval = f.set(value, interval, flags&timerAbstime != 0)
	if old := optional[itimerspec](&a, 3); old != nil {
		old.fill(value, interval)
	}
	return 0, 0
}

// sysTimerfdGettime is timerfd_gettime(2).
func sysTimerfdGettime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	f, d, e := k.getTimer(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	spec, e := user[itimerspec](&a, 1)
	if e != 0 {
		return 0, e
	}
	spec.fill(f.get())
	return 0, 0
}
