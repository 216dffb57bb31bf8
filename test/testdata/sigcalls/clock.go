package main

import (
	"syscall"
	"time"
	"unsafe"
)

// setClock sets the clock, on a machine without other users.
func setClock() {
	note("zero", call(syscall.SYS_SETTIMEOFDAY, 0, 0))
	quiet := &sigevent{notify: sigevNone}
	target := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	_, absolute := create(realtime, quiet)
	_, relative := create(realtime, quiet)
	settime(absolute, abstime, time.Duration(target.UnixNano())+time.Hour, 0)
	settime(relative, 0, 100*time.Second, 0)
	const cancelOnSet = 2
	fd := int(call(syscall.SYS_TIMERFD_CREATE, realtime, syscall.O_NONBLOCK).r)
	far := keep(itimerspec{value: syscall.Timespec{Sec: target.Unix() + 7200}})
	note("timerfd", call(syscall.SYS_TIMERFD_SETTIME, fd, abstime|cancelOnSet, unsafe.Pointer(far), 0))
	b := make([]byte, 8)
	_, err := syscall.Read(fd, b)
	note("read", err)

	before := time.Now()
	ts := keep(syscall.NsecToTimespec(target.UnixNano()))
	note("set", call(syscall.SYS_CLOCK_SETTIME, realtime, unsafe.Pointer(ts)))
	late := func() bool { d := time.Now().Round(0).Sub(target); return d >= 0 && d < 20*time.Second }
	note("set", late(), time.Now().UTC().Year())
	note("monotonic", time.Since(before) < 10*time.Second)
	_, v := gettime(absolute)
	note("absolute timer", v.value.Sec > 3500 && v.value.Sec <= 3600)
	_, v = gettime(relative)
	note("relative timer", v.value.Sec > 80 && v.value.Sec <= 100)
	_, err = syscall.Read(fd, b)
	note("timerfd", err)
	_, err = syscall.Read(fd, b)
	note("timerfd", err)

	// The machine reads its real-time clock every two seconds.
	time.Sleep(5 * time.Second)
	note("stays", late())
	tv := keep(syscall.NsecToTimeval(target.Add(48 * time.Hour).UnixNano()))
	note("settimeofday", call(syscall.SYS_SETTIMEOFDAY, unsafe.Pointer(tv), 0))
	_, v = gettime(absolute)
	note("absolute timer", v)
	note("day", time.Now().UTC().Day())
	note("before boot", call(syscall.SYS_CLOCK_SETTIME, realtime, unsafe.Pointer(keep(syscall.Timespec{}))))
}
