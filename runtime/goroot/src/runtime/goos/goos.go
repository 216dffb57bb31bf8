//go:build tamago

// Package goos has the hooks of the TamaGo framework, by which its boards give a Go runtime without a
// system what it needs (github.com/usbarmory/tamago/goos, v1.26.3, documents them). Here the
// machine is that system, and its runtime is the one for Linux: it calls none of them. They are
// here so that boards and drivers of the framework are built as they are (go build -tags tamago).
//
// What a board would do to the CPU and its devices before main is left out: tamagoBoards in
// cmd/link/internal/ld. docs/port.md says what works.
package goos

import "unsafe"

// The memory of the runtime, which a board or a program sets. Here the machine finds it out.
var (
	RamStart       uint
	RamSize        uint
	RamStackOffset uint
)

// What a board may set: the start of the heap, and what ends the program, waits, names a CPU and starts a
// thread.
var (
	Bloc   uintptr
	Exit   func(code int32)
	Idle   func(until int64)
	ProcID func() uint64
	Task   func(sp, mp, gp, fn unsafe.Pointer)
)

// These are defined by the board that a program imports, with a linkname: the start of the CPU
// and of the hardware, random numbers, the time in nanoseconds and the console.

func CPUInit()
func Hwinit0()
func Hwinit1()
func InitRNG()
func GetRandomData(b []byte)
func Nanotime() int64
func Printk(c byte)

// refuse is where functions of the framework lead that would take interrupts, CPUs or the
// clock away from the machine.
func refuse() {
	panic("the yolk machine has the exceptions, interrupts, CPUs and clock: this function of TamaGo's is not for its programs (docs/port.md)")
}
