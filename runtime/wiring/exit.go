package wiring

import (
	"sync/atomic"
	"syscall"
)

var (
	// beforeExit does what has to happen before the machine ends; nil if that is nothing.
	beforeExit func()
	// endings are the parts of it.
	endings []func()
	// ending is set when it happens: no system call returns any more.
	ending atomic.Bool
)

// BeforeExit says what has to happen before the machine ends: when main returns,
// in os.Exit and reboot(2), before a signal from outside that the program does not
// handle, when a panic is not recovered, and when mounting fails. (A fatal error
// of the runtime ends the machine at once, as a loss of power does.) f may be called
// several times, and must return soon. BeforeExit is called at start.
func BeforeExit(f func()) {
	if endings = append(endings, f); len(endings) > 1 {
		return
	}
	beforeExit = func() {
		ending.Store(true)
		for _, f := range endings {
			f()
		}
	}
	setPanicHook(beforeExit)
	addExitHook(beforeExit)
}

// Exit ends the machine with the program's exit status.
func Exit(status int) {
	if beforeExit != nil {
		beforeExit()
	}
	exit(status)
}

// Raise sends a signal to the program: a device asks for something.
func Raise(sig syscall.Signal) { raise(sig) }

// raise sends a signal to the program. One that will end it is held back until
// all is ready for that.
func raise(sig syscall.Signal) {
	if beforeExit == nil || signalWanted(uint32(sig)) {
		kill(sig)
		return
	}
	go func() { // the caller serves devices
		beforeExit()
		kill(sig)
	}()
}

// pid is the program's process ID.
const pid = 1

func kill(sig syscall.Signal) {
	systemCall(syscall.SYS_KILL, [6]uintptr{pid, uintptr(sig)})
}
