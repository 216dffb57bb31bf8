//go:build tamago

// The machine half: what the Linux port of this package finds below its system
// calls when there is no Linux. SYSCALL at CPL 0 arrives at machSyscallEntry
// (machine_entry_amd64.s), faults and interrupts at machTrapEntry; both save
// the thread and run the functions of the machine_*.go files on a private
// stack, with interrupts off and a g of their own, and leave by machResume. One
// CPU at a time is inside: enter takes the lock, machResume gives it up.
//
//	machine_boot_amd64.s   from the VMM's entry to 64-bit code
//	machine_boot.go        from there to _rt0_amd64
//	machine_entry_amd64.s  system calls, traps, start of further CPUs
//	machine_frames.go      page frames
//	machine_mem.go         page tables, areas, mmap and its kin
//	machine_physical.go    memory of devices that a program maps
//	machine_fault.go       page faults, 2 MiB pages
//	machine_audit.go       the list of what is mapped
//	machine_files.go       mappings of files
//	machine_reader.go      pages that these read from a disk
//	machine_cache.go       pages of the page cache, and how they are taken back
//	machine_thread.go      threads, run queues, futexes, sleep, idle
//	machine_smp.go         further CPUs: their start, the lock, interrupts between them
//	machine_signal.go      signals: dispositions, masks, frames, faults as signals
//	machine_sigqueue.go    pending signals and who takes them
//	machine_sigwait.go     calls that wait for signals; IDs and lists of threads
//	machine_robust.go      the end of a thread
//	machine_time.go        TSC clock, one-shot timer
//	machine_rtc.go         wall clock
//	machine_clocks.go      clocks of CPU time
//	machine_intr.go        descriptor tables, local APIC, device interrupts
//	machine_poll.go        the epoll instance of netpoll_epoll.go
//	machine_syscall.go     the table of system calls; kernelCall, which takes a
//	                       program's calls to the kernel without coming here
//	machine_console.go     serial port, exit
//	machine_random.go      random numbers
//	machine_resume.go      notices that the machine goes on from a saved state
//	machine_end.go         signals and panics that end the program: what the wiring asks
//	machine_oom.go         the end for lack of memory
//	machine_procs.go       the default of GOMAXPROCS
//	machine_profile.go     the CPU profile that the host asks for
//	machine_api.go         what the kernel above may ask of the machine
//
// What of it needs no machine lies in packages of its own, which the tests of this module
// run on the host: runtime/machine there, internal/runtime/yolk here.
//
//	areas              the sorted list of mappings
//	mman               the arguments of mmap(2) and its kin
//	frames             the allocator of page frames
//	mapped             where a mapped file lies, and the state of its pages
//	runq               run queues, and which CPU gets a thread
//	clock              rates of counters and timers, calibration, calendar
//	signals            sets of signals: masks, the order of delivery, default actions
//	entropy            whether the CPU's random numbers can be used
//	initstack          argc, argv, envp and auxv from the command line
//
// Code that runs on the private stack must not allocate, hold Go pointers
// (write barriers need a P) or call what needs an m: its roots are marked
// go:nowritebarrierrec and its structures live outside the Go heap. A page
// fault in it is served (demand-zero memory), any other exception is fatal.

package runtime

import (
	"internal/runtime/sys"
	machine "internal/runtime/yolk"
	"internal/runtime/yolk/runq"
	"unsafe"
)

// Virtual memory. The lower half is the process: the image where it was
// linked, mappings from mmapBase up, the first thread's stack at the end, and
// the heap where the runtime puts it. Where mappings and stack begin differs from
// boot to boot, and so does the heap, by the runtime's own doing.
// The upper half is the machine's: the direct map, which shows RAM and nothing else, and a
// window for registers of devices and for the machine half's own stacks. Both begin
// elsewhere at each boot (bootPlaces).
const (
	mmapBase  = 0x00007f0000000000
	mmapPages = 1 << 27 // 512 GiB in which the first mapping lies
	topPages  = 1 << 22 // 16 GiB in which the stack ends

	mainStackSize = 1 << 20
)

// directMap is where physical address 0 is, cached. It does not change after pvhEntry64.
var directMap uintptr = 1 << 63

// Offsets in the early area, which pvhEntry lays out.
const (
	earlyPDPT  = 0x1000
	earlyPD    = 0x2000 // four
	earlyGDT   = 0x6000 // what is below is not used any more when the final page tables are
	earlyTSS   = 0x6100
	earlySteal = 0x6200 // 64 bytes
	earlyG     = 0x7000
	earlyCPU   = 0x8000
	earlyInfo  = 0x9000
	earlyIDT   = 0xa000
	earlyStack = 0x13000 // top; 32 KiB
	earlyTrap  = 0x15000 // top; 8 KiB
	earlyFault = 0x16000 // top; 4 KiB
	earlyEnd   = 0x16000

	privateStack = 0x8000
)

// How a thread's context was saved.
const (
	ctxSyscall = 0 // by a system call: CX, R11 and vector registers are dead
	ctxFPU     = 1 // by a trap: everything, vector registers in fpu
	ctxPlain   = 2 // everything but vector registers
)

// machCPU is the per-CPU state that the entries reach through GS.
type machCPU struct {
	_       sys.NotInHeap
	self    *machCPU
	cur     *machThread // whose context an entry saves
	stack   uintptr     // top of the private stack
	scratch uintptr
	g       uintptr // the g that machine code runs on
	inside  uint32  // machine code is running
	user    uint32  // a thread runs, outside the lock: see flushTLB
	flush   uint32  // the TLB must be flushed before the next access for a thread
	kicked  uint32  // an interrupt from another CPU is on its way
	fsbase  uintptr // what the FS base MSR holds
	idle    *machThread
	base    uintptr // of the CPU's area, laid out as the early area
	trap    uintptr // top of the stack of traps
	fault   uintptr // top of the stack of double faults and NMIs
	index   int     // in mach.smp.cpu
	apic    uint32  // local APIC ID

	// What follows belongs to the scheduler.
	queue       runq.Queue // of threads that are ready
	resched     bool       // the current thread should yield
	sleepers    int        // threads whose deadline this CPU's timer keeps
	slice       int64      // when the current thread's slice ends; 0: no other waits
	armed       int64      // when the timer will fire (nanotime); 0: not set
	profileNext int64      // when the next sample is due, if the CPU does not idle before
	busy        int64      // how long it ran threads (ns), the current one aside
	since       int64      // when the current thread, or idling, began (nanotime)

	counts machine.CPUCounts
}

// mach is the state of the machine half. It is initialised data, not BSS, so
// that it is there before memory on demand is.
var mach = machState{magic: machMagic, lock: 1}

const machMagic = 0x796f6c6b // "yolk"

type machState struct {
	magic uintptr
	early uintptr // physical address of the early area
	lock  uint32  // 1 while a CPU is in the machine half
	smp   machSMP
	mem   machMem
	cache machPageCache
	sched machSched
	timer machTimer
	sig   machSignals
	poll  machPoll
	files machRange // initial file system, physical
	rsdp  uintptr
	hooks machHooks
	held  machHeld

	words  uintptr // the command line, a space, the words of the configuration document
	wordsn uintptr // bytes of both
	linen  uintptr // of the command line

	generation machGeneration

	readers *machReader // of disks
	reads   uintptr     // requests that they made
	nested  bool        // an exception in the machine half is being served
	nmi     bool        // one has come in the machine half
	audit   bool        // list the page tables, and end (yolk.audit)
}

type machRange struct{ start, end uintptr }

// machXSave is 1 when vector state is saved with XSAVE.
var machXSave uint32 = 2

func machKeep() uintptr
func machRt0() uintptr
func machResume()
func machSyscallEntry()
func machIdle()
func machTrampoline()
func machTrampolineEnd()
func machAPEntry()
func thisCPU() *machCPU
func machVectors()
func machTrapEntry()
func machClockGettime()
func machHalt()
func machPause()
func inb(port uint16) uint8
func inl(port uint16) uint32
func outb(port uint16, v uint8)
func outw(port uint16, v uint16)
func outl(port uint16, v uint32)
func outsb(port uint16, p, n uintptr)
func rdmsr(msr uint32) uint64
func wrmsr(msr uint32, v uint64)
func rdtsc() uint64
func rdrand() (v uint64, ok bool)
func rdseed() (v uint64, ok bool)
func machCPUID(leaf, sub uint32) (a, b, c, d uint32)
func loadCR3(v uintptr)
func readCR3() uintptr
func orCR4(bits uintptr)
func xsetbv(v uint64)
func fxsave(p uintptr)
func invlpg(addr uintptr)
func lgdt(p uintptr)
func lidt(p uintptr)
func ltr(sel uintptr)
func zeroPage(p uintptr)

func load64(p uintptr) uint64     { return *(*uint64)(unsafe.Pointer(p)) }
func store64(p uintptr, v uint64) { *(*uint64)(unsafe.Pointer(p)) = v }
func store32(p uintptr, v uint32) { *(*uint32)(unsafe.Pointer(p)) = v }
func load32(p uintptr) uint32     { return *(*uint32)(unsafe.Pointer(p)) }

// machFatal ends the machine with a message; arg is printed in hexadecimal.
//
//go:nowritebarrierrec
func machFatal(msg string, arg uintptr) {
	conString("yolk: fatal: ")
	conString(msg)
	conString(" ")
	conHex(uint64(arg))
	conString("\n")
	machCrash(nil, _SIGABRT)
	machExit(125)
}
