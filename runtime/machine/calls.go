// Package machine is the contract between the machine half (runtime/goroot/src/runtime,
// machine*.go), which runs below Go's own runtime, and what stands on it: the wiring
// and, through the wiring, the kernel and the page cache. Both sides compile it, so a
// number or a structure stands once.
//
// What the machine half does is asked for by private system calls, Call: numbers that
// Linux does not use, made by the SYSCALL instruction. Each takes up to six words and
// returns one, or an errno as a system call does. To the wiring they are functions:
// runtime/wiring/machine.go lists them; the machine half serves them in machineCall
// (runtime/goroot/src/runtime/machine_api.go).
//
// The package is a leaf: it imports nothing, because package runtime imports it.
package machine

// A Call is the number of a private system call.
type Call uintptr

// FirstCall is the lowest number of a private call: far above those of Linux.
const FirstCall Call = 0x1000

// The calls. Addresses are virtual unless they are called physical; memory that a call
// fills is the caller's and must not lie where Go moves it during the call.
const (
	// Descriptors and the netpoller.

	CallSetPollable Call = 0x1000 // (fd, 0 or 1): whether epoll_ctl accepts fd; 0 forgets it
	CallWaitDevice  Call = 0x1001 // (): waits until a CPU would idle while a device has interrupted
	CallInterrupt   Call = 0x1002 // () Device: takes a device interrupt, ENOMEM if none is left

	// The console.

	CallConsoleWrite Call = 0x1010 // (p, n) bytes taken: 0 if the VMM's reader is slow
	CallConsoleRead  Call = 0x1011 // (p, n) bytes read

	// Memory.

	CallContiguous  Call = 0x1020 // (n) physical address of n zeroed bytes in one piece; ENOMEM
	CallMapIO       Call = 0x1021 // (physical, n, rom): address of n bytes of registers, uncached; if rom is set of RAM or firmware, read-only there; 0: no room
	CallTakeFrames  Call = 0x1022 // (n, used, *Range): takes up to n bytes of free memory in one piece
	CallGiveFrames  Call = 0x1023 // (start, end, clean): returns physical memory of CallTakeFrames
	CallNoticeFreed Call = 0x1024 // (Device, n): interrupts once n free bytes are backed by the host
	CallArea        Call = 0x1025 // (addr, *Area): the first area that ends above addr
	CallTakePages   Call = 0x1026 // (*[n]uint64, n, floor): addresses of free pages; how many
	CallGivePages   Call = 0x1027 // (*[n]uint64, n): frees pages of CallTakePages
	CallHeldWrites  Call = 0x1028 // (*Range): writes of package runtime that wait for the kernel

	CallMapPhysical Call = 0x1029 // (physical, n) the same address: maps what is not RAM there, uncached; EINVAL, EPERM, EBUSY, ENOMEM
	CallAllocDMA    Call = 0x102a // (n) physical address of n zeroed bytes in one piece, mapped at the same address; EINVAL, ENOMEM

	// The page cache and mappings of files.

	CallSetChunks    Call = 0x1030 // (*[n]uint64, n): addresses of the cache's Chunks, 0 for none
	CallReclaim      Call = 0x1031 // (n): takes about n clean pages of mapped files back; how many
	CallNoticeStores Call = 0x1032 // (*StoreLimits): interrupts when mappings are stored to
	CallStores       Call = 0x1033 // (): pages that mappings have stored to since they were collected
	CallNewFile      Call = 0x1034 // (Reader) File; ENOMEM
	CallFreeFile     Call = 0x1035 // (File): no area may name it any more
	CallMapFile      Call = 0x1036 // (File, addr, n, first, prot, flags) address, as mmap(2)
	CallShowPage     Call = 0x1037 // (File, index, page) Page that was there, 0 if there was none
	CallDropPages    Call = 0x1038 // (File, first, end): takes pages out of all mappings
	CallSetFilePages Call = 0x1039 // (File, pages): the file's size; access beyond it is SIGBUS
	CallReachFile    Call = 0x103a // (File, pages): makes room for so many; 1 if there was less, ENOMEM
	CallCollectPages Call = 0x103b // (File, first, end, *[n]Stored, n, all): stored pages; how many
	CallEndCollect   Call = 0x103c // (File): the kernel keeps what was collected
	CallSetRuns      Call = 0x103d // (File, *[n]Run, n): where the device has the file; ENOMEM
	CallIsMapped     Call = 0x103e // (addr): 1 if it lies in a mapping of a file

	// Queues of disks that the machine reads by itself.

	CallNewReader Call = 0x1040 // (*ReaderSpec) Reader, 0 if there cannot be one
	CallEndReader Call = 0x1041 // (Reader, leaky): the device has ended

	// The machine as a whole.

	CallAddEntropy  Call = 0x1050 // (p, n): mixes bytes into the random generator; 1 if it has a source now
	CallCPUBusy     Call = 0x1051 // (cpu): nanoseconds for which it has run threads
	CallOutAlone    Call = 0x1052 // (port, value): a 32-bit OUT while no other CPU runs a thread
	CallSetPowerOff Call = 0x1053 // (*PowerOff): what switches the machine off
	CallSetClock    Call = 0x1054 // (nanoseconds since 1970): sets the wall clock
	CallHoldRandom  Call = 0x1055 // (): getrandom(2) is EAGAIN until the next CallAddEntropy
	CallReseed      Call = 0x1056 // (): new keys for the generators of all threads
	CallCPUCounts   Call = 0x1057 // (cpu, *CPUCounts)

	// A machine that goes on from a saved state.

	CallWatch        Call = 0x1058 // (physical): 8 bytes that the VMM changes then; EINVAL, ENOSPC
	CallNoticeResume Call = 0x1059 // (Device): interrupts then, when the generators have new keys

	// Threads.

	CallThreads Call = 0x105a // (*[n]Thread, n): how many threads of the program there are

	// Signals.

	// (thread or 0, *siginfo, timer) 1 if a timer's signal is pending still; ESRCH, EAGAIN
	CallSendSignal   Call = 0x1060
	CallWatchSignals Call = 0x1061 // (Device, set): interrupts when a signal of a set becomes pending
)

// MaxWatched is how many words can be watched (CallWatch).
const MaxWatched = 8

// GetrandomInsecure is GRND_INSECURE of getrandom(2): an answer even without a source. The
// machine half, which does not wait, knows no other flag.
const GetrandomInsecure = 4

// Interrupt vectors of the local APIC (Intel SDM volume 3, §11.8): devices have those
// from FirstVector on.
const (
	FirstVector = 33
	LastVector  = 125
	NumDevices  = LastVector - FirstVector + 1
)

// Further vectors of the machine half: the timer, and what a CPU sends to another. The page
// fault is an exception (Intel SDM volume 3, §7.3.1).
const (
	VectorPageFault = 14
	VectorTimer     = FirstVector - 1
	VectorKick      = LastVector + 1
	NumVectors      = 128
)

// CPUCounts are what a CPU has counted since it was started.
type CPUCounts struct {
	Traps       [NumVectors]uint64 // exceptions of threads, and interrupts, by vector
	Waits       uint64             // switches from a thread that waits
	Preemptions uint64             // switches from a thread that could have gone on
	Wakeups     uint64             // switches from idling to a thread
	PageReads   uint64             // page faults that waited for a disk
}

// A Thread is one of the program's.
type Thread struct {
	ID      int32 // as gettid(2) tells it; that of the first is the process's
	Running bool  // it runs, or waits only for a CPU
	Ran     int64 // for how long it has run (ns)
	// How often it gave its CPU up to wait, and had to give it up for another.
	Waits, Preemptions uint64
}

// A Device is a device interrupt, from 0 to NumDevices-1.
type Device uintptr

// Vector returns the vector that the device is to send.
func (d Device) Vector() uint32 { return FirstVector + uint32(d) }

// A Range is [Start, End).
type Range struct{ Start, End uintptr }

// An Area is a range of mapped addresses with its PROT_ bits (mmap(2)). End is 0 if
// there is none.
type Area struct{ Start, End, Prot uintptr }

// PowerOff is what switches the machine off (ACPI 6.5 §7.4.2, §4.8.3.7): a 16-bit write
// to an I/O port, or a byte to a register at an address. What is 0 is not there.
type PowerOff struct {
	Port, Value   uint16
	Register      uintptr
	RegisterValue byte
}

// Boot is what the VMM told the machine at its start.
type Boot struct {
	CommandLine  string // as the VMM gave it
	Words        string // the command line and the words of the configuration document (package boot)
	InitialFiles []byte // a cpio archive, mapped for good and not to be written; nil if none
	RSDP         uint64 // physical address of ACPI's root pointer, 0 if none
	BootAPIC     uint32 // local APIC ID of the CPU that booted
	CPUs         int    // at least 1
}
