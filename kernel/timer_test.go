package kernel

import (
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// seconds rounds a time to seconds.
func seconds(tv syscall.Timeval) int64 { return (tv.Sec*1e6 + tv.Usec + 5e5) / 1e6 }

// timerScripts are part of TestABI. Their timers send no signals, which on the host would
// reach the test.
var timerScripts = []script{
	{"interval timers", func(s *system) {
		get := func(which int) {
			v := new(itimerval)
			s.try("get", syscall.SYS_GETITIMER, which, unsafe.Pointer(v))
			s.note("%v %v", v.interval, seconds(v.value))
		}
		set := func(which int, value, interval syscall.Timeval) {
			v, old := &itimerval{interval, value}, new(itimerval)
			s.try("set", syscall.SYS_SETITIMER, which, unsafe.Pointer(v), unsafe.Pointer(old))
			s.note("%v %v", old.interval, seconds(old.value))
		}
		sec := func(n int64) syscall.Timeval { return syscall.Timeval{Sec: n} }
		for which := range 3 {
			s.must(syscall.SYS_SETITIMER, which, 0, 0)
			get(which)
			set(which, sec(1000), syscall.Timeval{Sec: 7, Usec: 30000})
			get(which)
			set(which, sec(0), sec(5))
			get(which)
		}
		set(3, sec(1), sec(0))
		set(-1, sec(1), sec(0))
		get(3)
		set(0, syscall.Timeval{Usec: 1e6}, sec(0))
		set(0, sec(1), syscall.Timeval{Usec: -1})
		set(0, sec(-1), sec(0))
		s.try("get fault", syscall.SYS_GETITIMER, 0, 0)
		s.value("alarm", syscall.SYS_ALARM, 1000)
		get(0)
		s.value("alarm", syscall.SYS_ALARM, 0)
		set(0, sec(500), sec(1))
		s.try("no value", syscall.SYS_SETITIMER, 0, 0, 0)
		get(0)
	}},
	{"timers", func(s *system) {
		ev, id := &sigevent{notify: sigevNone}, new(int32)
		for _, clock := range []int{0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 99, -3, -5, -1 << 20} {
			if s.try("create", syscall.SYS_TIMER_CREATE, clock, unsafe.Pointer(ev), unsafe.Pointer(id)) >= 0 {
				s.try("delete", syscall.SYS_TIMER_DELETE, int(*id))
			}
		}
		tid := int32(syscall.Gettid())
		for _, ev := range []sigevent{{}, {signo: 10}, {signo: 65}, {signo: -1}, {notify: 3, signo: 10}, {notify: sigevThread, signo: 10},
			{notify: sigevNone, signo: 99}, {notify: sigevThreadID, signo: 10, tid: tid}, {notify: sigevThreadID, signo: 10},
			{notify: sigevThreadID, signo: 10, tid: 1 << 30}, {notify: sigevThreadID, tid: tid}} {
			if s.try("event", syscall.SYS_TIMER_CREATE, clockMonotonic, unsafe.Pointer(&ev), unsafe.Pointer(id)) >= 0 {
				s.must(syscall.SYS_TIMER_DELETE, int(*id))
			}
		}
		s.try("fault", syscall.SYS_TIMER_CREATE, clockMonotonic, 8, unsafe.Pointer(id))
		s.try("fault", syscall.SYS_TIMER_CREATE, clockMonotonic, unsafe.Pointer(ev), 8)
		s.must(syscall.SYS_TIMER_CREATE, clockMonotonic, unsafe.Pointer(ev), unsafe.Pointer(id))
		get := func() {
			v := new(itimerspec)
			s.try("get", syscall.SYS_TIMER_GETTIME, int(*id), unsafe.Pointer(v))
			s.note("%v %v", v.interval, v.value.Sec)
		}
		set := func(flags int, value, interval syscall.Timespec) {
			v, old := &itimerspec{interval, value}, new(itimerspec)
			s.try("set", syscall.SYS_TIMER_SETTIME, int(*id), flags, unsafe.Pointer(v), unsafe.Pointer(old))
			s.note("%v %v", old.interval, old.value.Sec)
		}
		get()
		set(0, syscall.Timespec{Sec: 100}, syscall.Timespec{Sec: 3})
		get()
		set(timerAbstime, syscall.Timespec{Nsec: 1}, syscall.Timespec{})
		time.Sleep(10 * time.Millisecond)
		get()
		set(0, syscall.Timespec{Nsec: 1e6}, syscall.Timespec{Sec: 1000})
		time.Sleep(10 * time.Millisecond)
		get()
		set(0, syscall.Timespec{}, syscall.Timespec{Sec: 3}) // Linux still reports the time to an expiry of a timer that is off
		set(0, syscall.Timespec{Nsec: 1e9}, syscall.Timespec{})
		set(0, syscall.Timespec{Sec: 1}, syscall.Timespec{Sec: -1})
		s.try("no value", syscall.SYS_TIMER_SETTIME, int(*id), 0, 0, 0)
		s.try("fault", syscall.SYS_TIMER_SETTIME, int(*id), 0, 8, 0)
		s.value("overrun", syscall.SYS_TIMER_GETOVERRUN, int(*id))
		s.try("delete", syscall.SYS_TIMER_DELETE, int(*id))
		s.try("deleted", syscall.SYS_TIMER_DELETE, int(*id))
		s.try("deleted", syscall.SYS_TIMER_GETOVERRUN, int(*id))
		get()
		set(0, syscall.Timespec{Sec: 1}, syscall.Timespec{})
	}},
	{"clocks", func(s *system) {
		for _, clock := range []int{0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 99, -2, -3, -5, -6, -1 << 20} {
			s.try("gettime", syscall.SYS_CLOCK_GETTIME, clock, unsafe.Pointer(new(syscall.Timespec)))
			s.try("getres", syscall.SYS_CLOCK_GETRES, clock, 0)
			if clock != clockRealtime {
				s.try("settime", syscall.SYS_CLOCK_SETTIME, clock, unsafe.Pointer(&syscall.Timespec{Nsec: -1}))
			}
		}
		s.try("nanoseconds", syscall.SYS_CLOCK_SETTIME, clockRealtime, unsafe.Pointer(&syscall.Timespec{Sec: 1, Nsec: 1e9}))
		s.try("negative", syscall.SYS_CLOCK_SETTIME, clockRealtime, unsafe.Pointer(&syscall.Timespec{Sec: -1}))
		s.try("beyond", syscall.SYS_CLOCK_SETTIME, clockRealtime, unsafe.Pointer(&syscall.Timespec{Sec: 1 << 60}))
		s.try("fault", syscall.SYS_CLOCK_SETTIME, clockRealtime, 0)
		s.try("microseconds", syscall.SYS_SETTIMEOFDAY, unsafe.Pointer(&syscall.Timeval{Usec: 1e6}), 0)
		s.try("nothing", syscall.SYS_SETTIMEOFDAY, 0, 0)
	}},
}

// eventually waits until f returns true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for start := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// A timer sends one signal, which counts the expiries until it is delivered;
// timer_getoverrun(2) then returns their number.
func TestTimerOverrun(t *testing.T) {
	s := newSystem(t)
	id := new(int32)
	s.must(syscall.SYS_TIMER_CREATE, clockMonotonic, unsafe.Pointer(&sigevent{signo: 40, value: 1 << 40}), unsafe.Pointer(id))
	spec := &itimerspec{syscall.Timespec{Nsec: 5e6}, syscall.Timespec{Nsec: 5e6}}
	s.must(syscall.SYS_TIMER_SETTIME, int(*id), 0, unsafe.Pointer(spec), 0)
	begin := time.Now()
	eventually(t, "three expiries beyond the first", func() bool { return s.fake.overrun() >= 3 })
	if n := s.must(syscall.SYS_TIMER_GETOVERRUN, int(*id)); n != 0 {
		t.Errorf("timer_getoverrun before a signal was delivered = %d; want 0", n)
	}
	s.must(syscall.SYS_TIMER_SETTIME, int(*id), 0, unsafe.Pointer(new(itimerspec)), 0)
	time.Sleep(20 * time.Millisecond) // an alarm may still be running
	got := s.fake.deliver()
	if got == nil || got.Signo != 40 || got.Code != siTimer || int32(got.Fields[0]) != *id || got.Fields[1] != 1<<40 {
		t.Fatalf("signal %+v", got)
	}
	if n, most := got.Fields[0]>>32, uint64(time.Since(begin)/(5*time.Millisecond))+1; n < 3 || n > most {
		t.Errorf("%d expiries beyond the first; want 3 to %d", n, most)
	}
	if more := s.fake.deliver(); more != nil {
		t.Errorf("another signal: %+v", more)
	}
}

func TestTimerOverrunOfTheLast(t *testing.T) {
	s := newSystem(t)
	id := new(int32)
	s.must(syscall.SYS_TIMER_CREATE, clockMonotonic, 0, unsafe.Pointer(id))
	spec := &itimerspec{syscall.Timespec{Nsec: 5e6}, syscall.Timespec{Nsec: 5e6}}
	s.must(syscall.SYS_TIMER_SETTIME, int(*id), 0, unsafe.Pointer(spec), 0)
	eventually(t, "an expiry beyond the first", func() bool { return s.fake.overrun() >= 1 })
	got := s.fake.deliver()
	if got == nil || got.Signo != int32(syscall.SIGALRM) || got.Fields[1] != uint64(*id) {
		t.Fatalf("the default signal is %+v", got)
	}
	// Whether or not the next one is pending, this is the overrun of the last one.
	over := int(got.Fields[0] >> 32)
	if n := s.must(syscall.SYS_TIMER_GETOVERRUN, int(*id)); n != over {
		t.Errorf("timer_getoverrun = %d; want %d, as the signal said", n, over)
	}
	s.must(syscall.SYS_TIMER_DELETE, int(*id))
}

// A timer of CPU time runs only while the program does.
func TestIntervalTimerSignals(t *testing.T) {
	s := newSystem(t)
	v := &itimerval{value: syscall.Timeval{Usec: 1000}}
	for which, want := range []syscall.Signal{syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGPROF} {
		s.must(syscall.SYS_SETITIMER, which, unsafe.Pointer(v), 0)
		var got *SignalInfo
		eventually(t, want.String(), func() bool {
			for start := time.Now(); time.Since(start) < 2*time.Millisecond; { // uses the CPU
			}
			got = s.fake.deliver()
			return got != nil
		})
		if got.Signo != int32(want) || got.Code != siKernel {
			t.Errorf("timer %d sends %+v; want signal %d of the kernel", which, got, want)
		}
	}
}

// A read of a timer file with TFD_TIMER_CANCEL_ON_SET fails once after the clock is set
// (timerfd_create(2)).
func TestTimerfdCanceled(t *testing.T) {
	s := newSystem(t)
	const cancelOnSet = 2
	b := make([]byte, 8)
	far := &itimerspec{value: syscall.Timespec{Sec: time.Now().Unix() + 1000}}
	var fds [3]int
	for i, flags := range [3]int{timerAbstime | cancelOnSet, timerAbstime, cancelOnSet} {
		fds[i] = s.must(syscall.SYS_TIMERFD_CREATE, clockRealtime, syscall.O_NONBLOCK)
		s.must(syscall.SYS_TIMERFD_SETTIME, fds[i], flags, unsafe.Pointer(far), 0)
	}
	s.must(syscall.SYS_CLOCK_SETTIME, clockRealtime, unsafe.Pointer(&syscall.Timespec{Sec: 1900000000, Nsec: 5}))
	if s.fake.wall != 1900000000e9+5 {
		t.Errorf("the machine's clock is set to %d", s.fake.wall)
	}
	for i, want := range [3]syscall.Errno{syscall.ECANCELED, syscall.EAGAIN, syscall.EAGAIN} {
		if _, e := s.call(syscall.SYS_READ, fds[i], b, 8); e != want {
			t.Errorf("timer %d: read = %v; want %v", i, e, want)
		}
		if _, e := s.call(syscall.SYS_READ, fds[i], b, 8); e != syscall.EAGAIN {
			t.Errorf("timer %d: a second read = %v; want EAGAIN", i, e)
		}
		s.close(fds[i])
	}
	s.must(syscall.SYS_SETTIMEOFDAY, unsafe.Pointer(&syscall.Timeval{Sec: 1800000000, Usec: 7}), 0)
	if s.fake.wall != 1800000000e9+7000 {
		t.Errorf("settimeofday sets the machine's clock to %d", s.fake.wall)
	}
}

// A signal's information arrives, and information that only a kernel may send is refused.
func TestQueueSignal(t *testing.T) {
	s := newSystem(t)
	in := &SignalInfo{Signo: 99, Code: -1, Fields: [4]uint64{5, 6, 7, 8}}
	s.must(syscall.SYS_RT_SIGQUEUEINFO, pid, 40, unsafe.Pointer(in))
	want := SignalInfo{Signo: 40, Code: -1, Fields: in.Fields}
	if got := s.fake.deliver(); got == nil || *got != want {
		t.Errorf("queued %+v; want %+v", got, want)
	}
	for _, code := range []int32{0, siKernel, siTkill} {
		in.Code = code
		if _, e := s.call(syscall.SYS_RT_SIGQUEUEINFO, pid, 40, unsafe.Pointer(in)); e != syscall.EPERM {
			t.Errorf("code %d from a thread that is not %d: %v; want EPERM", code, pid, e)
		}
	}
	if got := s.fake.deliver(); got != nil {
		t.Errorf("refused, and queued %+v", got)
	}
}
