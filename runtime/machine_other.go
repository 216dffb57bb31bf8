//go:build !yolk

package runtime

import (
	goruntime "runtime"
	"syscall"
)

// Running reports whether the program runs on a yolk machine.
func Running() bool { return false }

// Memory returns the RAM and the part of it that nothing uses, in bytes; zeros
// on other systems.
func Memory() (total, free uint64) { return 0, 0 }

// CPUs returns how many CPUs the program can use.
func CPUs() int { return goruntime.NumCPU() }

// CommandLine returns the command line as the VMM gave it; "" on other systems.
func CommandLine() string { return "" }

// Devices returns the virtio devices; none on other systems.
func Devices() []Device { return nil }

func listNICs() []any { return nil }

func mapPhysical(uint64, int) ([]byte, syscall.Errno) { return nil, syscall.ENOSYS }

func allocDMA(int) ([]byte, uint64, syscall.Errno) { return nil, 0, syscall.ENOSYS }

func onResume(func()) {}

// PowerOff ends the machine; on other systems it returns ErrNotMachine.
func PowerOff() error { return ErrNotMachine }
