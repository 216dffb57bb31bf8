package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// result is the result of a system call.
type result struct {
	r uintptr
	e syscall.Errno
}

func (r result) String() string {
	if r.e != 0 {
		return fmt.Sprint(r.e)
	}
	return fmt.Sprint(int(r.r))
}

func (r result) errno() string {
	if r.e != 0 {
		return fmt.Sprint(r.e)
	}
	return "ok"
}

// call makes a system call. Memory that is passed is global or escapes.
func call(nr uintptr, args ...any) result {
	var n [6]uintptr
	for i, a := range args {
		switch a := a.(type) {
		case int:
			n[i] = uintptr(a)
		case syscall.Signal:
			n[i] = uintptr(a)
		case uintptr:
			n[i] = a
		case unsafe.Pointer:
			n[i] = uintptr(a)
		}
	}
	do := syscall.Syscall6
	if unheard {
		do = syscall.RawSyscall6
	}
	r, _, e := do(nr, n[0], n[1], n[2], n[3], n[4], n[5])
	return result{r, e}
}

// unheard makes calls without notifying the scheduler.
var unheard bool

// keep makes v escape, since call hides pointers.
func keep[T any](v T) *T {
	p := new(T)
	*p = v
	kept = append(kept, p)
	return p
}

var kept []any

// info is the part of siginfo_t that Linux passes on.
type info struct {
	signo, errno, code, _ int32
	a, b                  int32 // sender's process and user; or timer and overrun
	value                 uint64
	_                     [12]uint64
}

const (
	sigBlock, sigUnblock, sigSetMask = 0, 1, 2

	siUser, siQueue, siTimer, siTkill, siKernel = 0, -1, -2, -6, 0x80
)

func bit(sig syscall.Signal) uint64 { return 1 << (sig - 1) }

// mask changes the signals that the thread blocks and returns the old ones.
func mask(how int, set uint64) uint64 {
	old := keep(uint64(0))
	if r := call(syscall.SYS_RT_SIGPROCMASK, how, unsafe.Pointer(keep(set)), unsafe.Pointer(old), 8); r.e != 0 {
		note("rt_sigprocmask", r)
	}
	return *old
}

func block(sig syscall.Signal) { mask(sigBlock, bit(sig)) }

func pending() uint64 {
	set := keep(uint64(0))
	call(syscall.SYS_RT_SIGPENDING, unsafe.Pointer(set), 8)
	return *set &^ bit(syscall.SIGURG) // blocked by main.go
}

// take is rt_sigtimedwait for ms milliseconds.
func take(set uint64, ms int) (result, *info) {
	in := keep(info{})
	ts := keep(syscall.NsecToTimespec(int64(ms) * 1e6))
	r := call(syscall.SYS_RT_SIGTIMEDWAIT, unsafe.Pointer(keep(set)), unsafe.Pointer(in), unsafe.Pointer(ts), 8)
	return r, in
}

func tid() int { return syscall.Gettid() }

func tgkill(tid int, sig syscall.Signal) result {
	return call(syscall.SYS_TGKILL, os.Getpid(), tid, sig)
}

// soon calls f a moment later, when the caller waits.
func soon(f func()) { time.AfterFunc(50*time.Millisecond, f) }

// who returns whether the sender is this process and root.
func (in *info) who() string {
	return fmt.Sprint(int(in.a) == os.Getpid(), " ", int(in.b) == os.Getuid())
}
