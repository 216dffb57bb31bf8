package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"
)

// call makes a system call and returns its error. Memory that is passed escapes.
func call(nr uintptr, args ...any) syscall.Errno {
	_, e := result(nr, args...)
	return e
}

func result(nr uintptr, args ...any) (uintptr, syscall.Errno) {
	var n [6]uintptr
	for i, a := range args {
		switch a := a.(type) {
		case int:
			n[i] = uintptr(a)
		case uintptr:
			n[i] = a
		case string:
			b := append([]byte(a), 0)
			kept = append(kept, b)
			n[i] = uintptr(unsafe.Pointer(&b[0]))
		case []byte:
			kept = append(kept, a)
			n[i] = uintptr(unsafe.Pointer(&a[0]))
		case unsafe.Pointer:
			n[i] = uintptr(a)
		}
	}
	r, _, e := syscall.Syscall6(nr, n[0], n[1], n[2], n[3], n[4], n[5])
	return r, e
}

var kept []any

// keep makes v escape.
func keep[T any](v T) unsafe.Pointer {
	p := new(T)
	*p = v
	kept = append(kept, p)
	return unsafe.Pointer(p)
}

// with is a probe, or a form, that makes its call with the given arguments.
func with(args ...any) func(nr uintptr) syscall.Errno {
	return func(nr uintptr) syscall.Errno { return call(nr, args...) }
}

// probes are the calls that would wait, or harm the program, with zeroes as arguments.
var probes = map[string]func(nr uintptr) syscall.Errno{
	"read":        with(-1),
	"close":       with(-1),
	"close_range": with(1000, 1000, 0),
	"fchmod":      with(-1),
	"fchown":      with(-1),
	"select":      with(0, 0, 0, 0, keep(syscall.Timeval{})),
	"futex":       with(keep(uint32(0)), 1, 1), // FUTEX_WAKE
	"clone":       with(0x800),                 // CLONE_SIGHAND without CLONE_VM: EINVAL
	"umask":       with(0o022),
	"pause": func(nr uintptr) syscall.Errno {
		interruptSoon()
		return call(nr)
	},
	"rt_sigsuspend": func(nr uintptr) syscall.Errno {
		interruptSoon()
		return call(nr, keep(uint64(0)), 8)
	},
	"rt_sigreturn": func(uintptr) syscall.Errno { // ends every handler
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGUSR2)
		syscall.Kill(os.Getpid(), syscall.SIGUSR2)
		<-c
		return 0
	},
}

// interruptSoon sends this thread a signal when it waits.
func interruptSoon() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	id := syscall.Gettid()
	time.AfterFunc(50*time.Millisecond, func() {
		syscall.Syscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(id), uintptr(syscall.SIGUSR1))
	})
}
