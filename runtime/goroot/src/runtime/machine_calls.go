//go:build tamago

package runtime

import (
	"internal/runtime/syscall/linux"
	"unsafe"
)

// yolk_blockingCall makes a system call of the machine half that may wait. The thread
// waits without its P, as in a system call on Linux: other goroutines run.
//
//go:linkname yolk_blockingCall runtime/yolk/wiring.blockingCall
//go:nosplit
func yolk_blockingCall(nr, a1, a2, a3, a4, a5, a6 uintptr) (r1, errno uintptr) {
	entersyscallblock()
	r1, _, errno = linux.Syscall6(nr, a1, a2, a3, a4, a5, a6)
	exitsyscall()
	return r1, errno
}

// yolk_sendSignal sends a signal: signalCall.
//
//go:linkname yolk_sendSignal runtime/yolk/wiring.sendSignal
func yolk_sendSignal(tid int, info unsafe.Pointer, timer bool) (r1, errno uintptr) {
	flag := uintptr(0)
	if timer {
		flag = 1
	}
	r1, _, errno = linux.Syscall6(nrSendSignal, uintptr(tid), uintptr(info), flag, 0, 0, 0)
	return r1, errno
}

// yolk_setClock sets the wall clock, in ns since 1970.
//
//go:linkname yolk_setClock runtime/yolk/wiring.setClock
func yolk_setClock(ns int64) { linux.Syscall6(nrSetClock, uintptr(ns), 0, 0, 0, 0, 0) }
