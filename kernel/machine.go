package kernel

import "syscall"

// Machine is what the kernel needs of the layer below: on the real machine the functions
// that package runtime offers, in host tests a fake.
type Machine interface {
	// SetPollable sets whether the Go netpoller may watch fd; false also drops its state
	// for fd. It is called when fd is installed and closed.
	SetPollable(fd int, pollable bool)
	// Ready wakes goroutines that the Go netpoller has parked on fd. It is
	// cheap, does not block and may be called with locks held.
	Ready(fd int, ev Events)
	// Waiting counts goroutines that wait in a system call for an event from outside (a
	// connection, a key): while there are any, the program is not deadlocked, even if all
	// its goroutines wait.
	Waiting(delta int)
	// Syscall passes a system call to the machine half (memory, threads,
	// signals, futexes, clocks, exit).
	Syscall(nr uintptr, a Args) (uintptr, syscall.Errno)
	// SendSignal sends a signal to a thread of the process, or to the process if tid is 0.
	// Signal number 0 only checks that the thread exists (ESRCH). With timer, the signal is
	// from the timer whose ID is in info. If one of the same timer is pending, its overrun
	// grows by that of info and by one (but not for signal number 0), and pending is true.
	SendSignal(tid int, info *SignalInfo, timer bool) (pending bool, e syscall.Errno)
	// WatchSignals has notify called when a signal of a set (bit n-1 is signal n) has become pending. Each
	// call replaces the set of the one before.
	WatchSignals(set uint64, notify func())
	// SetWallTime sets the clock of CLOCK_REALTIME, in nanoseconds since 1970.
	SetWallTime(ns int64)
	// ConsoleWrite writes to the console, as it is (no CR is added).
	ConsoleWrite(p []byte)
	// Random fills p with random bytes. It returns false, and leaves p, while the machine has
	// no source of randomness, unless insecure is set; Kernel.RandomReady says that it has one.
	Random(p []byte, insecure bool) bool
	// Memory returns the RAM and its free part, in bytes.
	Memory() (total, free uint64)
	// CPUs returns the number of CPUs that are online, and the model name from cpuid.
	CPUs() (n int, model string)
	// CPU returns the index of the CPU that the caller runs on.
	CPU() int
	// Busy returns how long a CPU has run the program, in nanoseconds.
	Busy(cpu int) int64
	// Stolen returns how long a CPU had something to run while the host ran something else,
	// in nanoseconds (steal time).
	Stolen(cpu int) int64
	// Counts returns what a CPU has counted.
	Counts(cpu int) CPUCounts
	// Threads returns the program's threads.
	Threads() []Thread
	// CPUID is the instruction (Intel SDM volume 2, CPUID).
	CPUID(leaf, sub uint32) (a, b, c, d uint32)
	// LargePages returns the part of the program's memory in pages of 2 MiB,
	// in bytes.
	LargePages() uint64
	// Area returns the first mapped range of addresses that ends above addr,
	// with its PROT_ bits; end is 0 if there is none.
	Area(addr uintptr) (start, end, prot uintptr)
	// CommandLine returns the command line from the VMM.
	CommandLine() string
	// InitialFiles returns the cpio archive (newc) that the VMM loaded, or nil. The memory
	// stays mapped and must not be written.
	InitialFiles() []byte
	// Nanotime returns the monotonic clock: nanoseconds since boot.
	Nanotime() int64
	// Exit ends the machine with the program's exit status.
	Exit(status int)
}

// CPUCounts are what a CPU has counted since the boot.
type CPUCounts struct {
	Timer, Kicks uint64   // interrupts of its timer, and from other CPUs
	Devices      []uint64 // interrupts of devices, by the device's number
	Faults       uint64   // page faults of threads
	PageReads    uint64   // page faults that waited for a disk
	Waits        uint64   // switches from a thread that waits,
	Preemptions  uint64   // from one that could have gone on,
	Wakeups      uint64   // and from idling to a thread
}

// Switches returns how often the CPU went from one thread to another or to idling, or back.
func (c *CPUCounts) Switches() uint64 { return c.Waits + c.Preemptions + c.Wakeups }

// Thread is one of the program's.
type Thread struct {
	ID      int   // as gettid(2) tells it
	Running bool  // it runs, or waits only for a CPU
	Ran     int64 // for how long it has run, in nanoseconds
	// How often it gave its CPU up to wait, and had to give it up for another thread.
	Waits, Preemptions uint64
}
