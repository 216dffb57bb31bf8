package kernel

import (
	"sync"
	"syscall"
)

// timerFD is a timer as a file (timerfd_create(2)).
type timerFD struct {
	anonFile
	k        *Kernel
	realtime bool

	mu       sync.Mutex
	timer    alarm
	next     int64 // monotonic nanoseconds of the next expiry; 0: disarmed
	interval int64
	expired  uint64
	setting  uint64 // counts settime calls, so that an old timer does nothing
}

// itimerspec is struct itimerspec.
type itimerspec struct{ interval, value syscall.Timespec }

func (f *timerFD) Read(p []byte, _ int64) (int, syscall.Errno) {
	if len(p) < 8 {
		return 0, syscall.EINVAL
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catchUp()
	if f.expired == 0 {
		return 0, syscall.EAGAIN
	}
	put64(p, f.expired)
	f.expired = 0
	return 8, 0
}

func (f *timerFD) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EINVAL }

func (f *timerFD) Readiness() Events {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catchUp()
	if f.expired > 0 {
		return EventIn
	}
	return 0
}

func (f *timerFD) Release() {
	f.mu.Lock()
	f.disarm()
	f.mu.Unlock()
}

// disarm stops the timer. mu is held.
func (f *timerFD) disarm() {
	if f.timer.stop != nil {
		f.timer.stop()
	}
	f.timer, f.next = alarm{}, 0
	f.setting++
}

// arm starts the timer for f.next. mu is held.
func (f *timerFD) arm() {
	setting := f.setting
	f.timer = afterFunc(f.next-f.k.m.Nanotime(), func() { f.fire(setting) })
}

func (f *timerFD) fire(setting uint64) {
	f.mu.Lock()
	if setting != f.setting {
		f.mu.Unlock()
		return
	}
	f.catchUp()
	if f.next != 0 {
		f.arm()
	}
	f.mu.Unlock()
	f.queue.Notify(EventIn)
}

// catchUp counts the expiries up to now: the goroutine that fire runs on may be
// late. mu is held.
func (f *timerFD) catchUp() {
	late := f.k.m.Nanotime() - f.next
	if f.next == 0 || late < 0 {
		return
	}
	if f.interval == 0 {
		f.expired++
		f.next = 0
		return
	}
	n := late/f.interval + 1
	f.expired += uint64(n)
	f.next += n * f.interval
}

// current is timerfd_gettime. mu is held.
func (f *timerFD) current() itimerspec {
	var left int64
	if f.next != 0 {
		left = max(f.next-f.k.m.Nanotime(), 1)
	}
	return itimerspec{interval: timespec(f.interval), value: timespec(left)}
}

// sysTimerfdCreate is timerfd_create(2).
func sysTimerfdCreate(k *Kernel, a Args) (uintptr, syscall.Errno) {
	flags := a.Int(1)
	if flags&^(syscall.O_CLOEXEC|syscall.O_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	f := &timerFD{k: k}
	switch a.Int(0) {
	case clockRealtime, clockRealtimeAlarm:
		f.realtime = true
	case clockMonotonic, clockBoottime, clockBoottimeAlarm:
	default:
		return 0, syscall.EINVAL
	}
	f.id = k.proc.nextID()
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

// sysTimerfdSettime is timerfd_settime(2). A realtime timer does not notice
// when the clock is set.
func sysTimerfdSettime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const abstime, cancelOnSet = 1, 2
	f, d, e := k.getTimer(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	spec, e := user[itimerspec](&a, 2)
	if e != 0 {
		return 0, e
	}
	value, ok := nanos(spec.value)
	interval, ok2 := nanos(spec.interval)
	if !ok || !ok2 || a.Int(1)&^(abstime|cancelOnSet) != 0 {
		return 0, syscall.EINVAL
	}
	now := k.m.Nanotime()
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := optional[itimerspec](&a, 3); old != nil {
		*old = f.current()
	}
	f.disarm()
	f.expired, f.interval = 0, interval
	if value == 0 {
		return 0, 0
	}
	switch {
	case a.Int(1)&abstime == 0:
		f.next = now + value
	case f.realtime:
		f.next = now + value - wallTime()
	default:
		f.next = value
	}
	f.next = max(f.next, 1)
	f.arm()
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
	f.mu.Lock()
	*spec = f.current()
	f.mu.Unlock()
	return 0, 0
}
