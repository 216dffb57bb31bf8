package kernel

import (
	"syscall"
)

// These are the clocks of clock_gettime(2).
const (
	clockRealtime        = 0
	clockMonotonic       = 1
	clockProcessCPU      = 2
	clockThreadCPU       = 3
	clockMonotonicRaw    = 4
	clockRealtimeCoarse  = 5
	clockMonotonicCoarse = 6
	clockBoottime        = 7
	clockRealtimeAlarm   = 8
	clockBoottimeAlarm   = 9
	clockTAI             = 11
)

// The number of a process's or thread's clock is negative and contains its ID; the lowest bits say
// what the clock counts (clock_getcpuclockid(3)).
const (
	cpuClockKind = 3
	cpuClockRan  = 2 // CPUCLOCK_SCHED
)

// isCPUClock reports whether a clock counts CPU time.
func isCPUClock(id int) bool {
	return id == clockProcessCPU || id == clockThreadCPU || id < 0 && id&cpuClockKind != cpuClockKind
}

// clock reads a clock in ns; known is false if there is no such clock.
func (k *Kernel) clock(id int) (ns int64, known bool) {
	switch id {
	case clockRealtime, clockRealtimeCoarse, clockRealtimeAlarm, clockTAI:
		return wallTime(), true
	case clockMonotonic, clockMonotonicRaw, clockMonotonicCoarse, clockBoottime, clockBoottimeAlarm:
		return k.m.Nanotime(), true
	}
	if isCPUClock(id) {
		return k.cpuClock(id)
	}
	return 0, false
}

// sysClockGettime is clock_gettime(2).
func sysClockGettime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	ns, known := k.clock(a.Int(0))
	if !known {
		return 0, syscall.EINVAL
	}
	ts, e := user[syscall.Timespec](&a, 1)
	if e != 0 {
		return 0, e
	}
	*ts = timespec(ns)
	return 0, 0
}

// sysClockGetres is clock_getres(2).
func sysClockGetres(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if _, known := k.clock(a.Int(0)); !known {
		return 0, syscall.EINVAL
	}
	if a.Pointer(1) == nil {
		return 0, 0
	}
	ts, e := user[syscall.Timespec](&a, 1)
	if e != 0 {
		return 0, e
	}
	*ts = syscall.Timespec{Nsec: 1}
	return 0, 0
}

// sysClockSettime is clock_settime(2).
func sysClockSettime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if id := a.Int(0); id != clockRealtime {
		if _, known := k.clock(id); known && id < 0 {
			return 0, syscall.EPERM
		}
		return 0, syscall.EINVAL
	}
	ts, e := user[syscall.Timespec](&a, 1)
	if e != 0 {
		return 0, e
	}
	return 0, k.setWallTime(*ts)
}

// setWallTime sets the realtime clock, and moves the timers that use it. As on Linux
// (timespec64_valid_settod), the clock must be able to run for another 30 years, and the time
// of the boot must not be before 1970.
func (k *Kernel) setWallTime(ts syscall.Timespec) syscall.Errno {
	const most = (1<<63-1)/1_000_000_000 - 30*365*86400
	ns, ok := nanos(ts)
	if !ok || ts.Sec > most || ns < k.m.Nanotime() {
		return syscall.EINVAL
	}
	k.m.SetWallTime(ns)
	k.clockSet.Notify(EventIn)
	return 0
}

// sysSettimeofday is settimeofday(2); the time zone is ignored.
func sysSettimeofday(k *Kernel, a Args) (uintptr, syscall.Errno) {
	tv := optional[syscall.Timeval](&a, 0)
	if tv == nil {
		return 0, 0
	}
	if tv.Usec < 0 || tv.Usec >= 1e6 {
		return 0, syscall.EINVAL
	}
	return 0, k.setWallTime(syscall.Timespec{Sec: tv.Sec, Nsec: tv.Usec * 1000})
}

// sysGettimeofday is gettimeofday(2).
func sysGettimeofday(k *Kernel, a Args) (uintptr, syscall.Errno) {
	now := wallTime()
	if tv := optional[syscall.Timeval](&a, 0); tv != nil {
		*tv = syscall.Timeval{Sec: now / 1e9, Usec: now % 1e9 / 1000}
	}
	if tz := optional[[2]int32](&a, 1); tz != nil {
		*tz = [2]int32{}
	}
	return 0, 0
}

// sysTime is time(2).
func sysTime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	now := wallTime() / 1e9
	if t := optional[int64](&a, 0); t != nil {
		*t = now
	}
	return uintptr(now), 0
}

// sysNanosleep is nanosleep(2). Nothing interrupts it.
func sysNanosleep(k *Kernel, a Args) (uintptr, syscall.Errno) {
	ts, e := user[syscall.Timespec](&a, 0)
	if e != 0 {
		return 0, e
	}
	ns, ok := nanos(*ts)
	if !ok {
		return 0, syscall.EINVAL
	}
	sleep(ns)
	return 0, 0
}

// sysClockNanosleep is clock_nanosleep(2).
func sysClockNanosleep(k *Kernel, a Args) (uintptr, syscall.Errno) {
	ts, e := user[syscall.Timespec](&a, 2)
	if e != 0 {
		return 0, e
	}
	ns, ok := nanos(*ts)
	now, known := k.clock(a.Int(0))
	if !ok || !known || isCPUClock(a.Int(0)) {
		return 0, syscall.EINVAL
	}
	if a.Int(1)&timerAbstime != 0 {
		ns -= now
	}
	if ns > 0 {
		sleep(ns)
	}
	return 0, 0
}

// cpuTime is the CPU time of the program, in nanoseconds.
func (k *Kernel) cpuTime() int64 {
	ns, _ := k.cpuClock(clockProcessCPU)
	return ns
}

// cpuClock reads a clock of CPU time in ns; known is false if there is no such clock.
func (k *Kernel) cpuClock(clock int) (ns int64, known bool) {
	ts := new(syscall.Timespec)
	_, e := k.m.Syscall(syscall.SYS_CLOCK_GETTIME, pointerArgs(1, startOf(structBytes(ts)), uintptr(clock)))
	return ts.Sec*1e9 + ts.Nsec, e == 0
}

// sysGetrusage is getrusage(2): all CPU time counts as user time.
func sysGetrusage(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const children, thread = syscall.RUSAGE_CHILDREN, syscall.RUSAGE_THREAD
	who := a.Int(0)
	if who < children || who > thread {
		return 0, syscall.EINVAL
	}
	r, e := user[syscall.Rusage](&a, 1)
	if e != 0 {
		return 0, e
	}
	*r = syscall.Rusage{}
	if who == children {
		return 0, 0
	}
	clock := clockProcessCPU
	if who == thread {
		clock = clockThreadCPU
	}
	ns, _ := k.cpuClock(clock)
	r.Utime = syscall.Timeval{Sec: ns / 1e9, Usec: ns % 1e9 / 1000}
	r.Maxrss = int64(k.usedMemory() / 1024)
	if who == thread {
		t, _ := k.thread(k.threadID())
		r.Nvcsw, r.Nivcsw = int64(t.Waits), int64(t.Preemptions)
		return 0, 0
	}
	c := k.counts()
	r.Nvcsw, r.Nivcsw = int64(c.Waits), int64(c.Preemptions)
	r.Minflt, r.Majflt = int64(c.Faults-c.PageReads), int64(c.PageReads)
	return 0, 0
}

// sysTimes is times(2).
func sysTimes(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Pointer(0) != nil {
		t, e := user[syscall.Tms](&a, 0)
		if e != 0 {
			return 0, e
		}
		*t = syscall.Tms{Utime: k.cpuTime() / (1e9 / userHZ)}
	}
	return uintptr(k.m.Nanotime() / (1e9 / userHZ)), 0
}

// sysAdjtimex is adjtimex(2) for reading; the clock is not disciplined.
func sysAdjtimex(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.adjtimex(&a, 0) }

// sysClockAdjtime is clock_adjtime(2).
func sysClockAdjtime(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(0) != clockRealtime {
		return 0, syscall.EINVAL
	}
	return k.adjtimex(&a, 1)
}

func (k *Kernel) adjtimex(a *Args, i int) (uintptr, syscall.Errno) {
	const staUnsync, timeError = 0x40, 5
	t, e := user[syscall.Timex](a, i)
	if e != 0 {
		return 0, e
	}
	if t.Modes != 0 {
		return 0, syscall.EPERM
	}
	now := wallTime()
	t.Status, t.Freq, t.Offset = staUnsync, 0, 0
	t.Maxerror, t.Esterror = 16000000, 16000000
	t.Constant, t.Precision, t.Tolerance, t.Tick = 2, 1, 32768000, 10000
	t.Time = syscall.Timeval{Sec: now / 1e9, Usec: now % 1e9 / 1000}
	return timeError, 0
}
