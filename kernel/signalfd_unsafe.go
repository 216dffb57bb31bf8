package kernel

import (
	"syscall"
	"unsafe"
)

// siginfoSize is sizeof(siginfo_t).
const siginfoSize = 128

// pendingSignals returns the signals that are blocked and pending for the calling thread or the process.
func (k *Kernel) pendingSignals() uint64 {
	var pending uint64
	a := Args{N: [6]uintptr{0, sigsetSize}}
	a.P[0] = unsafe.Pointer(&pending)
	if _, e := k.m.Syscall(syscall.SYS_RT_SIGPENDING, a); e != 0 {
		return 0
	}
	return pending
}

// takeSignal removes a signal of a set that is pending for the calling thread or the process.
func (k *Kernel) takeSignal(set uint64) (info SignalInfo, ok bool) {
	var room struct {
		info SignalInfo
		_    [siginfoSize - unsafe.Sizeof(SignalInfo{})]byte
	}
	var now syscall.Timespec
	a := Args{N: [6]uintptr{0, 0, 0, sigsetSize}}
	a.P[0], a.P[1], a.P[2] = unsafe.Pointer(&set), unsafe.Pointer(&room), unsafe.Pointer(&now)
	_, e := k.m.Syscall(syscall.SYS_RT_SIGTIMEDWAIT, a)
	return room.info, e == 0
}
