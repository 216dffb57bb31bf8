package main

import "golang.org/x/sys/unix"

// timerOps are calls on timers. They expire at once or in no test: nothing depends on time.
var timerOps = []*op{
	{name: "timerfd", nr: unix.SYS_TIMERFD_CREATE, makes: isTimer, args: []*kind{number(unix.CLOCK_MONOTONIC, unix.CLOCK_REALTIME, unix.CLOCK_BOOTTIME, 2, -1),
		flags(openFlags, []int64{unix.O_NONBLOCK}, unix.O_CLOEXEC, 1)}, weight: 2},
	{name: "settime", args: []*kind{slot(isTimer), number(0, 0, 1, 2, 3, 4), number(0, 100000, 200000, -1), number(0, 0, -1, 1e9), number(0, 300000, -1)}, weight: 3, run: runSettime},
	{name: "expire", args: []*kind{slot(isTimer), number(0, 300000)}, weight: 2, run: runExpire},
	{name: "gettime", args: []*kind{slot(isTimer)}, weight: 2, run: runGettime},
}

// runSettime is timerfd_settime(2): flags, seconds and nanoseconds of the value, and the seconds
// of the interval. It shows what gettime would have shown.
func runSettime(w *world, s *step) {
	b, at := w.mem.room(32)
	put64(b, uint64(s.args[4].n))
	put64(b[16:], uint64(s.args[2].n))
	put64(b[24:], uint64(s.args[3].n))
	flags := s.args[1].n
	if flags&unix.TFD_TIMER_ABSTIME != 0 && s.args[2].n > 0 {
		put64(b[16:], 1<<40) // no time that has passed
	}
	old, oldAt := w.mem.room(32)
	r, e := w.raw(unix.SYS_TIMERFD_SETTIME, uintptr(w.fd(s.args[0])), uintptr(flags), at, oldAt)
	w.result(r, e)
	w.showTimer(old)
}

// runExpire lets a timer expire, waits for that and reads the number of times. With an interval of
// 0 seconds it expires once.
func runExpire(w *world, s *step) {
	if w.actor != nil && w.actor.busy { // who is first, the read or the actor?
		w.note("not while somebody waits")
		return
	}
	b, at := w.mem.room(32)
	put64(b, uint64(s.args[1].n))
	put64(b[24:], 1)
	fd := uintptr(w.fd(s.args[0]))
	r, e := w.raw(unix.SYS_TIMERFD_SETTIME, fd, 0, at, 0)
	w.result(r, e)
	if e != 0 {
		return
	}
	p, pAt := w.mem.room(8)
	put32(p, uint32(fd))
	put16(p[4:], unix.POLLIN)
	_, _ = w.raw(unix.SYS_POLL, pAt, 1, 10000)
	c, cAt := w.mem.room(8)
	r, e = w.raw(unix.SYS_READ, fd, cAt, 8)
	w.note(" read ")
	w.result(r, e)
	w.note(" %d", get64(c))
}

// runGettime is timerfd_gettime(2).
func runGettime(w *world, s *step) {
	b, at := w.mem.room(32)
	r, e := w.raw(unix.SYS_TIMERFD_GETTIME, uintptr(w.fd(s.args[0])), at)
	w.result(r, e)
	w.showTimer(b)
}

// showTimer shows a struct itimerspec: the time left only in units of 1000 seconds.
func (w *world) showTimer(b []byte) {
	left := get64(b[16:])
	if left > 1<<30 {
		left = 1 << 30 // an absolute time that is far away
	}
	w.note(" interval %d.%d, left %d, armed %t", get64(b), get64(b[8:]), (left+999)/1000, get64(b[16:])|get64(b[24:]) != 0)
}
