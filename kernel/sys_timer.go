package kernel

import (
	"sync"
	"syscall"
)

// This file has the timers that send signals: setitimer(2) and timer_create(2).

// timerAbstime is TIMER_ABSTIME and TFD_TIMER_ABSTIME.
const timerAbstime = 1

const maxInt32 = 1<<31 - 1 // maximum of an overrun

// timerState has the timers of the process.
type timerState struct {
	mu       sync.Mutex
	interval [3]*countdown // of setitimer(2), made when first set
	posix    map[int]*posixTimer
	lastID   int
}

// intervalTimers are clock and signal of ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF. All
// CPU time is user time.
var intervalTimers = [3]struct {
	clock  int
	signal syscall.Signal
}{
	{clockMonotonic, syscall.SIGALRM},
	{clockProcessCPU, syscall.SIGVTALRM},
	{clockProcessCPU, syscall.SIGPROF},
}

// intervalTimer returns a timer of setitimer(2), nil if there is none with that number.
func (k *Kernel) intervalTimer(which int) *countdown {
	if which < 0 || which >= len(intervalTimers) {
		return nil
	}
	k.timers.mu.Lock()
	defer k.timers.mu.Unlock()
	c := k.timers.interval[which]
	if c == nil {
		kind := intervalTimers[which]
		c = new(countdown)
		c.init(k, kind.clock, func() {
			if c.take() > 0 {
				k.m.SendSignal(0, &SignalInfo{Signo: int32(kind.signal), Code: siKernel}, false)
			}
		})
		k.timers.interval[which] = c
	}
	return c
}

// itimerval is struct itimerval.
type itimerval struct{ interval, value syscall.Timeval }

func (v *itimerval) fill(value, interval int64) {
	if value != 0 {
		value = max(value, 1000) // an armed timer must not be reported as 0
	}
	*v = itimerval{syscall.NsecToTimeval(interval), syscall.NsecToTimeval(value)}
}

// timevalNanos converts a timeval to nanoseconds, as nanos converts a timespec.
func timevalNanos(tv syscall.Timeval) (int64, bool) {
	if tv.Usec < 0 || tv.Usec >= 1e6 {
		return 0, false
	}
	return nanos(syscall.Timespec{Sec: tv.Sec, Nsec: tv.Usec * 1000})
}

// sysGetitimer is getitimer(2).
func sysGetitimer(k *Kernel, a Args) (uintptr, syscall.Errno) {
	c := k.intervalTimer(a.Int(0))
	if c == nil {
		return 0, syscall.EINVAL
	}
	v, e := user[itimerval](&a, 1)
	if e != 0 {
		return 0, e
	}
	v.fill(c.get())
	return 0, 0
}

// sysSetitimer is setitimer(2). As on Linux, a null pointer for the new value disarms the
// timer. The machine half takes the Go runtime's own CPU profile.
func sysSetitimer(k *Kernel, a Args) (uintptr, syscall.Errno) {
	var value, interval int64
	if v := optional[itimerval](&a, 1); v != nil {
		var ok, ok2 bool
		value, ok = timevalNanos(v.value)
		interval, ok2 = timevalNanos(v.interval)
		if !ok || !ok2 {
			return 0, syscall.EINVAL
		}
	}
	c := k.intervalTimer(a.Int(0))
	if c == nil {
		return 0, syscall.EINVAL
	}
	if value == 0 && c.clock == clockMonotonic {
		interval = 0 // Linux keeps the interval of a timer of CPU time
	}
	value, interval = c.set(value, interval, false)
	if old := optional[itimerval](&a, 2); old != nil {
		old.fill(value, interval)
	}
	return 0, 0
}

// sysAlarm is alarm(2): the seconds left are rounded, but not to 0.
func sysAlarm(k *Kernel, a Args) (uintptr, syscall.Errno) {
	old, _ := k.intervalTimer(0).set(int64(uint32(a.N[0]))*1e9, 0, false)
	seconds := old / 1e9
	if old%1e9 >= 5e8 || seconds == 0 && old > 0 {
		seconds++
	}
	return uintptr(seconds), 0
}

// posixTimer is a timer of timer_create(2).
type posixTimer struct {
	countdown
	id   int
	tid  int        // the thread that gets the signal; 0: the process
	info SignalInfo // information of the signal; no signal if Signo is 0

	// overrun is how many expiries, after the first, the last signal stands for, and before
	// how many the signal before it stands for. countdown.mu guards both.
	overrun, before uint64
}

// expire sends the signal, or adds to the overrun of the pending one.
func (t *posixTimer) expire() {
	n := t.take()
	if n == 0 || t.info.Signo == 0 {
		return
	}
	info := new(SignalInfo)
	*info = t.info
	info.Fields[0] |= min(n-1, maxInt32) << 32
	t.mu.Lock()
	if pending, _ := t.k.m.SendSignal(t.tid, info, true); pending {
		t.overrun += n
	} else {
		t.before, t.overrun = t.overrun, n-1
	}
	t.mu.Unlock()
}

// sigevent is struct sigevent (sigevent(7)).
type sigevent struct {
	value         uint64
	signo, notify int32
	tid           int32
	_             [11]int32
}

const (
	sigevSignal   = 0
	sigevNone     = 1
	sigevThread   = 2 // for C libraries, which start a thread: a signal here
	sigevThreadID = 4
)

// check is Linux's good_sigevent.
func (ev *sigevent) check(k *Kernel) bool {
	switch ev.notify {
	case sigevNone:
		return true
	case sigevThreadID:
		if _, e := k.m.SendSignal(int(ev.tid), &SignalInfo{}, false); e != 0 || ev.tid <= 0 {
			return false
		}
	case sigevSignal, sigevThread:
	default:
		return false
	}
	return ev.signo > 0 && ev.signo <= maxSignal
}

// timerClock returns the clock of a timer of timer_create(2).
func (k *Kernel) timerClock(id int) (int, syscall.Errno) {
	const perThread = 4
	switch id {
	case clockMonotonicRaw, clockRealtimeCoarse, clockMonotonicCoarse:
		return 0, syscall.EOPNOTSUPP
	case clockThreadCPU: // the calling thread's, whichever thread reads it
		tid, _ := k.m.Syscall(syscall.SYS_GETTID, Args{})
		return ^int(tid)<<3 | perThread | cpuClockRan, 0
	}
	if id < 0 && id&cpuClockKind == cpuClockKind { // a clock of a device
		return 0, syscall.EOPNOTSUPP
	}
	if _, known := k.clock(id); !known {
		return 0, syscall.EINVAL
	}
	return id, 0
}

// sysTimerCreate is timer_create(2).
func sysTimerCreate(k *Kernel, a Args) (uintptr, syscall.Errno) {
	ev := sigevent{signo: int32(syscall.SIGALRM)}
	given := a.Pointer(1) != nil
	if given {
		p, e := user[sigevent](&a, 1)
		if e != 0 {
			return 0, e
		}
		ev = *p
	}
	clock, e := k.timerClock(a.Int(0))
	if e != 0 {
		return 0, e
	}
	if !ev.check(k) {
		return 0, syscall.EINVAL
	}
	id, e := user[int32](&a, 2)
	if e != 0 {
		return 0, e
	}
	t := &posixTimer{}
	if ev.notify != sigevNone {
		t.info = SignalInfo{Signo: ev.signo, Code: siTimer}
	}
	if ev.notify == sigevThreadID {
		t.tid = int(ev.tid)
	}
	t.init(k, clock, t.expire)
	s := &k.timers
	s.mu.Lock()
	defer s.mu.Unlock()
	t.id = s.lastID
	s.lastID++
	if !given {
		ev.value = uint64(t.id)
	}
	t.info.Fields = [4]uint64{uint64(t.id), ev.value}
	if s.posix == nil {
		s.posix = make(map[int]*posixTimer)
	}
	s.posix[t.id] = t
	*id = int32(t.id)
	return 0, 0
}

// posixTimer returns the timer of argument 0, nil if there is none.
func (k *Kernel) posixTimer(a *Args) *posixTimer {
	k.timers.mu.Lock()
	t := k.timers.posix[a.Int(0)]
	k.timers.mu.Unlock()
	return t
}

// sysTimerSettime is timer_settime(2).
func sysTimerSettime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Pointer(2) == nil {
		return 0, syscall.EINVAL
	}
	spec, e := user[itimerspec](&a, 2)
	if e != 0 {
		return 0, e
	}
	value, interval, e := spec.nanos()
	t := k.posixTimer(&a)
	if e != 0 || t == nil {
		return 0, syscall.EINVAL
	}
	if value == 0 {
		interval = 0
	}
	value, interval = t.set(value, interval, a.Int(1)&timerAbstime != 0)
	t.mu.Lock()
	t.overrun, t.before = 0, 0
	t.mu.Unlock()
	if old := optional[itimerspec](&a, 3); old != nil {
		old.fill(value, interval)
	}
	return 0, 0
}

// sysTimerGettime is timer_gettime(2).
func sysTimerGettime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	t := k.posixTimer(&a)
	if t == nil {
		return 0, syscall.EINVAL
	}
	spec, e := user[itimerspec](&a, 1)
	if e != 0 {
		return 0, e
	}
	spec.fill(t.get())
	return 0, 0
}

// sysTimerGetoverrun is timer_getoverrun(2): how many expiries had no signal of their own
// before the last signal was delivered.
func sysTimerGetoverrun(k *Kernel, a Args) (uintptr, syscall.Errno) {
	t := k.posixTimer(&a)
	if t == nil {
		return 0, syscall.EINVAL
	}
	t.mu.Lock()
	n := t.overrun
	if pending, _ := k.m.SendSignal(t.tid, &SignalInfo{Fields: [4]uint64{uint64(t.id)}}, true); pending {
		n = t.before
	}
	t.mu.Unlock()
	return uintptr(min(n, maxInt32)), 0
}

// sysTimerDelete is timer_delete(2). A pending signal is still delivered.
func sysTimerDelete(k *Kernel, a Args) (uintptr, syscall.Errno) {
	k.timers.mu.Lock()
	t := k.timers.posix[a.Int(0)]
	delete(k.timers.posix, a.Int(0))
	k.timers.mu.Unlock()
	if t == nil {
		return 0, syscall.EINVAL
	}
	t.close()
	return 0, 0
}
