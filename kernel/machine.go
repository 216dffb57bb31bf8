package kernel

import "syscall"

// Machine is what the kernel needs of the layer below: on the real machine the
// functions that package runtime offers, in host tests a fake.
type Machine interface {
	// SetPollable tells whether the Go netpoller may watch fd; false also
	// forgets what it knew. It is called when fd is installed and closed.
	SetPollable(fd int, pollable bool)
	// Ready wakes goroutines that the Go netpoller has parked on fd. It is
	// cheap, does not block and may be called with locks held.
	Ready(fd int, ev Events)
	// Waiting counts goroutines that wait in a system call for something
	// from outside (a connection, a key): the program is no deadlock then,
	// even if all its goroutines wait.
	Waiting(delta int)
	// Syscall passes a system call to the machine half (memory, threads,
	// signals, futexes, clocks, exit).
	Syscall(nr uintptr, a Args) (uintptr, syscall.Errno)
	// SendSignal sends a signal to a thread of the process, or to the process if tid
	// is 0. Signal number 0 only looks whether the thread is there (ESRCH). timer
	// says that the signal is of a timer, whose ID is in info; if one of the same
	// timer is pending, that one counts on (its overrun grows by that of info and
	// by one, but not for signal number 0), and pending is true.
	SendSignal(tid int, info *SignalInfo, timer bool) (pending bool, e syscall.Errno)
	// SetWallTime sets the clock of CLOCK_REALTIME, in nanoseconds since 1970.
	SetWallTime(ns int64)
	// ConsoleWrite writes to the console, as it is (no CR is added).
	ConsoleWrite(p []byte)
	// Random fills p from the machine's entropy.
	Random(p []byte)
	// Memory returns the RAM and its free part, in bytes.
	Memory() (total, free uint64)
	// CPUs returns how many CPUs are online, and the model as cpuid names it.
	CPUs() (n int, model string)
	// CPU returns the index of the CPU that the caller runs on.
	CPU() int
	// Busy returns how long a CPU has run the program, in nanoseconds.
	Busy(cpu int) int64
	// Stolen returns how long a CPU had something to run and the host ran
	// something else, in nanoseconds.
	Stolen(cpu int) int64
	// LargePages returns the part of the program's memory in pages of 2 MiB,
	// in bytes.
	LargePages() uint64
	// Area returns the first mapped range of addresses that ends above addr,
	// with its PROT_ bits; end is 0 if there is none.
	Area(addr uintptr) (start, end, prot uintptr)
	// CommandLine returns the command line as the VMM gave it.
	CommandLine() string
	// InitialFiles returns the cpio archive (newc) that the VMM loaded, or
	// nil. The memory is mapped for good and must not be written.
	InitialFiles() []byte
	// TakePages fills dst with the addresses of free pages of RAM, as long as more
	// than floor bytes are free, and returns how many. Their content is undefined.
	TakePages(dst []uint64, floor uint64) int
	// GivePages frees pages of TakePages.
	GivePages(pages []uint64)
	// CacheTable says where the page cache registers its chunks, by address or 0,
	// so that the machine can take clean pages back when it has no others.
	CacheTable(table []uint64)
	// MappedFile makes one of the calls about a file that is mapped: Mapped... in
	// mapfile.go.
	MappedFile(op int, file uintptr, a *[5]uintptr) (uintptr, syscall.Errno)
	// Nanotime returns the monotonic clock: nanoseconds since boot.
	Nanotime() int64
	// Exit ends the machine with the program's exit status.
	Exit(status int)
}
