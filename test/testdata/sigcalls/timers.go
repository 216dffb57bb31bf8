package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

type itimerval struct{ interval, value syscall.Timeval }
type itimerspec struct{ interval, value syscall.Timespec }

func microseconds(tv syscall.Timeval) int64 { return tv.Sec*1e6 + tv.Usec }

func setitimer(which int, value, interval time.Duration) (result, itimerval) {
	old := keep(itimerval{})
	v := keep(itimerval{syscall.NsecToTimeval(int64(interval)), syscall.NsecToTimeval(int64(value))})
	r := call(syscall.SYS_SETITIMER, which, unsafe.Pointer(v), unsafe.Pointer(old))
	return r, *old
}

func getitimer(which int) (result, itimerval) {
	v := keep(itimerval{})
	return call(syscall.SYS_GETITIMER, which, unsafe.Pointer(v)), *v
}

const itimerReal, itimerVirtual, itimerProf = 0, 1, 2

func interval() {
	got := notify(syscall.SIGALRM)
	for which := range 3 {
		r, v := getitimer(which)
		note("idle", r, v)
	}
	start := time.Now()
	r, v := setitimer(itimerReal, 20*time.Millisecond, 10*time.Millisecond)
	note("set", r, v)
	for range 4 {
		<-got
	}
	note("four", time.Since(start) >= 50*time.Millisecond)
	r, v = getitimer(itimerReal)
	note("get", r, v.interval, microseconds(v.value) > 0 && microseconds(v.value) <= 10000)
	r, v = setitimer(itimerReal, 1000*time.Second, 0)
	note("longer", r, v.interval)
	r, v = getitimer(itimerReal)
	note("get", r, v.interval, v.value.Sec == 999 || v.value.Sec == 1000)
	r, v = setitimer(itimerReal, 0, 5*time.Second)
	note("disarm", r, v.interval, v.value.Sec == 999 || v.value.Sec == 1000)
	r, v = getitimer(itimerReal)
	note("get", r, v)
	note("which", call(syscall.SYS_SETITIMER, 3, unsafe.Pointer(keep(itimerval{})), 0))
	note("which", call(syscall.SYS_GETITIMER, -1, unsafe.Pointer(keep(itimerval{}))))
	note("fault", call(syscall.SYS_GETITIMER, 0, 0))
	note("microseconds", call(syscall.SYS_SETITIMER, 0, unsafe.Pointer(keep(itimerval{value: syscall.Timeval{Usec: 1e6}})), 0))
	note("negative", call(syscall.SYS_SETITIMER, 0, unsafe.Pointer(keep(itimerval{value: syscall.Timeval{Sec: -1}})), 0))
}

func alarm() {
	got := notify(syscall.SIGALRM)
	note("alarm", call(syscall.SYS_ALARM, 100))
	note("alarm", call(syscall.SYS_ALARM, 50))
	_, v := getitimer(itimerReal)
	note("is an interval timer", v.interval, v.value.Sec == 49 || v.value.Sec == 50)
	note("alarm", call(syscall.SYS_ALARM, 0))
	setitimer(itimerReal, 200*time.Millisecond, time.Second)
	note("a little left", call(syscall.SYS_ALARM, 0))
	note("none", call(syscall.SYS_ALARM, 1))
	note("signal", <-got)
	note("none", call(syscall.SYS_ALARM, 0))
}

// spin uses the CPU until a signal arrives.
func spin(got chan os.Signal) os.Signal {
	for {
		select {
		case s := <-got:
			return s
		default:
		}
	}
}

func cpuTime(clock int) time.Duration {
	ts := keep(syscall.Timespec{})
	if r := call(syscall.SYS_CLOCK_GETTIME, clock, unsafe.Pointer(ts)); r.e != 0 {
		note("clock_gettime", clock, r)
	}
	return time.Duration(ts.Nano())
}

// virtual: timers of CPU time do not run while the program waits.
func virtual() {
	got := notify(syscall.SIGVTALRM)
	before := cpuTime(processCPU)
	r, _ := setitimer(itimerVirtual, 200*time.Millisecond, 0)
	note("set", r)
	time.Sleep(300 * time.Millisecond)
	note("asleep", len(got))
	note("signal", spin(got))
	note("CPU time", cpuTime(processCPU)-before >= 150*time.Millisecond) // Linux counts ticks
	_, v := getitimer(itimerVirtual)
	note("over", v)
	r, _ = setitimer(itimerProf, time.Hour, time.Second)
	note("set", r)
	_, v = setitimer(itimerProf, 0, 0)
	note("left", v.interval, v.value.Sec == 3599 || v.value.Sec == 3600)
}

const (
	realtime, monotonic, processCPU, threadCPU, raw, coarse, monoCoarse, boottime = 0, 1, 2, 3, 4, 5, 6, 7
	tai                                                                           = 11

	sigevSignal, sigevNone, sigevThread, sigevThreadID = 0, 1, 2, 4

	abstime = 1
)

type sigevent struct {
	value              uint64
	signo, notify, tid int32
	_                  [11]int32
}

func create(clock int, ev *sigevent) (result, int) {
	id := keep(int32(-1))
	var p unsafe.Pointer
	if ev != nil {
		p = unsafe.Pointer(keep(*ev))
		ev = (*sigevent)(p)
	}
	r := call(syscall.SYS_TIMER_CREATE, clock, p, unsafe.Pointer(id))
	return r, int(*id)
}

func settime(id, flags int, value, interval time.Duration) (result, itimerspec) {
	old := keep(itimerspec{})
	v := keep(itimerspec{syscall.NsecToTimespec(int64(interval)), syscall.NsecToTimespec(int64(value))})
	return call(syscall.SYS_TIMER_SETTIME, id, flags, unsafe.Pointer(v), unsafe.Pointer(old)), *old
}

func gettime(id int) (result, itimerspec) {
	v := keep(itimerspec{})
	return call(syscall.SYS_TIMER_GETTIME, id, unsafe.Pointer(v)), *v
}

// timers: calls and their errors, with timers that send no signals.
func timers() {
	quiet := &sigevent{notify: sigevNone}
	for _, clock := range []int{realtime, monotonic, processCPU, threadCPU, raw, coarse, monoCoarse, boottime, tai, 12, 99, ^1<<3 | 3} {
		r, id := create(clock, quiet)
		note("create", clock, r)
		if r.e == 0 {
			note("delete", call(syscall.SYS_TIMER_DELETE, id))
		}
	}
	for _, ev := range []sigevent{
		{notify: sigevSignal}, {notify: sigevSignal, signo: 65}, {notify: sigevSignal, signo: -1}, {notify: 3, signo: 10},
		{notify: sigevThreadID, signo: 10, tid: 1 << 30}, {notify: sigevThreadID, signo: 10, tid: 0},
		{notify: sigevThreadID, tid: int32(tid())}, {notify: sigevNone, signo: 99}, {notify: sigevThread, signo: 10},
		{notify: sigevThreadID, signo: 10, tid: int32(os.Getpid())},
	} {
		r, id := create(monotonic, &ev)
		note("event", r)
		if r.e == 0 {
			call(syscall.SYS_TIMER_DELETE, id)
		}
	}
	note("event fault", call(syscall.SYS_TIMER_CREATE, monotonic, 8, unsafe.Pointer(keep(int32(0)))))
	note("ID fault", call(syscall.SYS_TIMER_CREATE, monotonic, unsafe.Pointer(keep(*quiet)), 8))

	_, id := create(monotonic, quiet)
	r, v := gettime(id)
	note("idle", r, v)
	r, v = settime(id, 0, 100*time.Second, 5*time.Second)
	note("set", r, v)
	r, v = gettime(id)
	note("get", r, v.interval, v.value.Sec)
	r, v = settime(id, abstime, cpuTime(monotonic)+time.Hour, 0)
	note("absolute", r, v.interval, v.value.Sec)
	r, v = gettime(id)
	note("get", r, v.interval, v.value.Sec)
	r, v = settime(id, abstime, time.Nanosecond, 0)
	note("past", r, v.interval, v.value.Sec)
	time.Sleep(5 * time.Millisecond)
	r, v = gettime(id)
	note("over", r, v)
	r, v = settime(id, 0, 0, time.Second)
	note("disarm", r, v)
	r, v = gettime(id)
	note("get", r, v)
	note("overrun", call(syscall.SYS_TIMER_GETOVERRUN, id))
	note("no value", call(syscall.SYS_TIMER_SETTIME, id, 0, 0, 0))
	note("fault", call(syscall.SYS_TIMER_SETTIME, id, 0, 8, 0))
	note("get fault", call(syscall.SYS_TIMER_GETTIME, id, 8))
	r, _ = settime(id, 0, -1, 0)
	note("negative", r)
	bad := keep(itimerspec{interval: syscall.Timespec{Nsec: 1e9}, value: syscall.Timespec{Sec: 1}})
	note("nanoseconds", call(syscall.SYS_TIMER_SETTIME, id, 0, unsafe.Pointer(bad), 0))
	note("delete", call(syscall.SYS_TIMER_DELETE, id))
	note("deleted", call(syscall.SYS_TIMER_DELETE, id))
	r, _ = gettime(id)
	note("deleted", r)
	r, _ = settime(id, 0, time.Second, 0)
	note("deleted", r)
	note("deleted", call(syscall.SYS_TIMER_GETOVERRUN, id))
}

// timerSignals: the information in a timer's signal, and the thread that gets it.
func timerSignals() {
	block(rt)
	_, a := create(monotonic, &sigevent{notify: sigevThreadID, signo: int32(rt), tid: int32(tid()), value: 77})
	_, b := create(realtime, &sigevent{notify: sigevThreadID, signo: int32(rt), tid: int32(tid()), value: 88})
	start := time.Now()
	settime(a, 0, 20*time.Millisecond, 0)
	r, in := take(bit(rt), 10000)
	note("relative", r, in.code, int(in.a) == a, in.b, in.value, time.Since(start) >= 20*time.Millisecond)
	settime(b, abstime, time.Duration(time.Now().UnixNano())+20*time.Millisecond, 0)
	r, in = take(bit(rt), 10000)
	note("absolute", r, in.code, int(in.a) == b, in.b, in.value)
	settime(a, 0, 10*time.Millisecond, 0)
	settime(b, 0, 60*time.Millisecond, 0)
	time.Sleep(150 * time.Millisecond)
	for range 2 {
		r, in = take(bit(rt), 0)
		note("both", r, in.value)
	}
	r, _ = take(bit(rt), 0)
	note("no more", r)
	settime(a, 0, 10*time.Millisecond, 0)
	note("delete", call(syscall.SYS_TIMER_DELETE, a))
	r, _ = take(bit(rt), 50)
	note("deleted", r)
	call(syscall.SYS_TIMER_DELETE, b)

	got := notify(syscall.SIGALRM)
	r, id := create(boottime, nil)
	note("default", r)
	settime(id, 0, 10*time.Millisecond, 0)
	note("signal", <-got)
	call(syscall.SYS_TIMER_DELETE, id)
}

// overrun: a timer has one pending signal, with an overrun.
func overrun() {
	block(rt)
	_, id := create(monotonic, &sigevent{notify: sigevThreadID, signo: int32(rt), tid: int32(tid()), value: 5})
	settime(id, 0, 10*time.Millisecond, 10*time.Millisecond)
	time.Sleep(300 * time.Millisecond)
	note("before", call(syscall.SYS_TIMER_GETOVERRUN, id))
	r, in := take(bit(rt), 0)
	note("late", r, in.value, in.b >= 7 && in.b < 10_000) // a busy host may be late
	call(syscall.SYS_TIMER_DELETE, id)
	take(bit(rt), 50) // one that was sent meanwhile

	_, id = create(monotonic, &sigevent{notify: sigevThreadID, signo: int32(rt), tid: int32(tid())})
	settime(id, 0, 10*time.Millisecond, 10*time.Millisecond)
	time.Sleep(105 * time.Millisecond)
	_, in = take(bit(rt), 0)
	n := call(syscall.SYS_TIMER_GETOVERRUN, id)
	note("overrun", n.e, int(n.r) == int(in.b), in.b > 0)
	for range 3 {
		r, in = take(bit(rt), 1000)
		note("each", r, in.code)
	}
	call(syscall.SYS_TIMER_DELETE, id)
}

func cpuTimers() {
	runtime.LockOSThread()
	got := notify(syscall.SIGUSR1)
	for _, clock := range []int{processCPU, threadCPU, ^os.Getpid()<<3 | 2, ^tid()<<3 | 6} {
		r, id := create(clock, &sigevent{notify: sigevSignal, signo: int32(syscall.SIGUSR1)})
		name := map[int]string{processCPU: "process", threadCPU: "thread"}[clock]
		note("create", name, r)
		before := cpuTime(clock)
		settime(id, 0, 200*time.Millisecond, 0)
		time.Sleep(300 * time.Millisecond)
		note("asleep", len(got))
		_, v := gettime(id)
		note("left", v.value.Nsec > 0 && v.value.Nsec <= 200e6)
		note("signal", spin(got))
		note("CPU time", cpuTime(clock)-before >= 200*time.Millisecond)
		_, v = gettime(id)
		note("over", v)
		call(syscall.SYS_TIMER_DELETE, id)
	}
	r, _ := create(^(1<<20)<<3|2, nil)
	note("no such process", r)
	r, _ = create(^(1<<20)<<3|6, nil)
	note("no such thread", r)
}

func clocks() {
	for _, c := range []int{realtime, monotonic, processCPU, threadCPU, raw, coarse, monoCoarse, boottime, tai, 10, 12, 99, ^0<<3 | 2, ^0<<3 | 6, ^0<<3 | 3, ^(1<<20)<<3 | 2} {
		note(fmt.Sprint("gettime ", c), call(syscall.SYS_CLOCK_GETTIME, c, unsafe.Pointer(keep(syscall.Timespec{}))))
		note(fmt.Sprint("getres ", c), call(syscall.SYS_CLOCK_GETRES, c, 0))
	}
	bad := keep(syscall.Timespec{Nsec: 1e9})
	for _, c := range []int{realtime, monotonic, boottime, coarse, tai, processCPU, 99} {
		note(fmt.Sprint("settime ", c), call(syscall.SYS_CLOCK_SETTIME, c, unsafe.Pointer(bad)))
	}
	note("settime", call(syscall.SYS_CLOCK_SETTIME, realtime, unsafe.Pointer(keep(syscall.Timespec{Sec: -1}))))
	note("settime", call(syscall.SYS_CLOCK_SETTIME, realtime, unsafe.Pointer(keep(syscall.Timespec{Sec: 1 << 60}))))
	note("fault", call(syscall.SYS_CLOCK_SETTIME, realtime, 0))
	note("settimeofday", call(syscall.SYS_SETTIMEOFDAY, unsafe.Pointer(keep(syscall.Timeval{Usec: 1e6})), 0))
	note("settimeofday", call(syscall.SYS_SETTIMEOFDAY, unsafe.Pointer(keep(syscall.Timeval{Sec: -5})), 0))
	note("settimeofday", call(syscall.SYS_SETTIMEOFDAY, 0, 0))
}
