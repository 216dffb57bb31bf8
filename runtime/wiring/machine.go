package wiring

import (
	"sync"
	"syscall"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// The contract with the machine half of package runtime. A machine must define the
// following functions. On the real one (machine_yolk.go) they are private system
// calls (machine.Call) or functions of package runtime (machine_api.go there); on a
// host, where only tests run, they are a stand-in (machine_host.go).
//
// The program's start and end:
//
// func bootInfo() machine.Boot
//     What the VMM told the machine: command line, initial files, CPUs.
//
// func setHandler(h func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr))
//     Passes the program's system calls to h from now on, and serves interrupts.
//
// func runtimeArgs() []string
// func runtimeEnviron() []string
//     The program's arguments and environment, as package runtime found them.
//
// func isLinked(code uintptr) bool
//     Whether a weak reference that the linker has set leads to code.
//
// func signalWanted(sig uint32) bool
//     Whether the program has asked for a signal or to ignore it.
//
// func setPanicHook(f func())
// func addExitHook(f func())
//     Calls f before a panic that nobody recovers, and before os.Exit or the return of
//     main, end the program.
//
// func exit(status int)
// func setPowerOff(p machine.PowerOff)
//     Ends the machine with an exit status; what switches it off then.
//
// func blockForever()
//     Does not return: the machine ends.
//
// System calls, descriptors and waiting:
//
// func systemCall(nr uintptr, n [6]uintptr) (r, errno uintptr)
//     Makes a system call of the machine half. It does not move the caller's stack.
//
// func blockingCall(nr uintptr, n [6]uintptr) (r, errno uintptr)
//     The same for one that may wait: other goroutines run meanwhile.
//
// func watchSignals(d machine.Device, set uint64)
//     Which interrupt is to come when a signal of a set becomes pending.
//
// func sendSignal(tid int, info unsafe.Pointer, timer bool) (pending bool, e syscall.Errno)
//     Sends a signal with its siginfo (kernel.SignalInfo) to a thread, 0 being the process;
//     pending says that the timer's signal has not been taken yet, and counts it.
//
// func setClock(ns int64)
//     Sets the wall clock, in nanoseconds since 1970.
//
// func setPollable(fd int, pollable bool)
// func notify(fd int, events uint32)
//     Tells the netpoller of a descriptor, and readies goroutines that wait for events
//     (EPOLL bits) of it.
//
// func adjustWaiters(delta int32)
//     Counts goroutines that wait for something from outside: no deadlock.
//
// func interrupt() (d machine.Device, wait unsafe.Pointer)
// func waitInterrupt(wait unsafe.Pointer)
//     Takes a device interrupt, nil if none is left; waits until it has come since
//     waitInterrupt returned last.
//
// func nanotime() int64
//     Nanoseconds since boot.
//
// The console, random numbers, the CPU:
//
// func consoleWrite(p []byte)
// func consoleRead(p []byte) int
//     Writes all of p; reads what has come in, without waiting.
//
// func random(p []byte, insecure bool) bool
//     Fills p from the machine's generator; false while it has no source, unless insecure.
//
// func holdRandom()
// func addEntropy(p []byte) bool
//     Says that there is no source until the next addEntropy; mixes p in, and tells whether
//     there is one now.
//
// func reseed()
//     Gives the generators of package runtime new keys.
//
// func watch(phys uint64) bool
// func noticeResume(d machine.Device)
//     Says which 8 bytes the VMM changes when the machine goes on from a saved state; which
//     interrupt is to come then.
//
// func cpu() int
// func busy(cpu int) int64
// func stolen(cpu int) int64
//     The CPU that the caller runs on; for how many nanoseconds one has run the program,
//     and was kept from it by the host.
//
// func counts(cpu int, c *machine.CPUCounts)
//     What a CPU has counted.
//
// func threads(list []machine.Thread) int
//     Describes the program's threads as far as list has room, and returns how many there are.
//
// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
//     The instruction.
//
// func startProfile(hz int) bool
// func stopProfile()
// func readProfile() (data []uint64, end bool)
//     Begins a CPU profile, unless there is one; ends it; what was sampled since the last call, without
//     waiting, and whether that was all.
//
// Memory. Sizes are in bytes:
//
// func memory() (total, free uint64)
// func largePages() uint64
//     The RAM and its free part; the part of the program's that is in pages of 2 MiB.
//
// func limitMemory(limit, stack int64)
// func moveLimit(old, limit int64) bool
//     Sets the collector's limit, unless GOMEMLIMIT does, and that of a goroutine's stack;
//     changes the collector's if it is still old.
//
// func countFiles(pages *int64)
//     Says where the number of pages in files is kept, for the report of a lack of memory.
//
// func area(addr uintptr) machine.Area
//     The first area that ends above addr.
//
// func takeFrames(n int, used bool) (start, end uint64)
// func giveFrames(start, end uint64, clean bool)
// func noticeFreed(d machine.Device, n int)
//     Takes free memory out of use, by physical address, for the host; returns it; asks
//     for an interrupt once n free bytes are backed by the host for nothing.
//
// func takePages(dst []uint64, floor uint64) int
// func givePages(pages []uint64)
//     Fills dst with addresses of free pages while more than floor bytes are free; frees
//     them.
//
// What devices reach:
//
// func contiguous(n int) (mem []byte, phys uint64)
//     Zeroed, page-aligned, physically contiguous memory; nil if there is none.
//
// func physical(p unsafe.Pointer) uint64
// func memoryAt(phys uint64, n int) []byte
//     The physical address of a resident byte, else 0; RAM or ROM at an address, else nil.
//
// func onStack(p unsafe.Pointer) bool
// func isMapped(p unsafe.Pointer) bool
//     Whether p lies in the calling goroutine's stack, or in a mapping of a file.
//
// func mapIO(phys uint64, n int) Registers
//     Registers at a physical address, uncached.
//
// func mapPhysical(phys uint64, n int) ([]byte, syscall.Errno)
// func allocDMA(n int) ([]byte, uint64, syscall.Errno)
//     What the program asks for, at the address that it has physically: what is not RAM,
//     uncached; zeroed RAM in one piece.
//
// func outByte(port uint16, v uint8)
// func inByte(port uint16) uint8
// func OutWord(port, v uint16)
// func InWord(port uint16) uint16
// func OutLong(port uint16, v uint32)
// func InLong(port uint16) uint32
// func outAlone(port uint16, v uint32)
//     I/O ports: OUT and IN; a 32-bit OUT while no other CPU runs a thread.
//
// Files that are mapped (package pagecache says what each is for):
//
// func setChunks(table []uint64)
// func reclaim(n int) int
// func noticeStores(l machine.StoreLimits)
// func stores() int
// func newFile(r machine.Reader) (machine.File, syscall.Errno)
// func freeFile(f machine.File)
// func mapFile(f machine.File, addr, n, first, prot, flags uintptr) (uintptr, syscall.Errno)
// func showPage(f machine.File, index uintptr, page uint64) machine.Page
// func dropPages(f machine.File, first, end uintptr)
// func setFilePages(f machine.File, pages uintptr)
// func reachFile(f machine.File, pages uintptr) (grown bool, e syscall.Errno)
// func collectPages(f machine.File, first, end uintptr, out []machine.Stored, all bool) int
// func endCollect(f machine.File)
// func setRuns(f machine.File, runs []machine.Run) syscall.Errno
//
// func newReader(s *machine.ReaderSpec) machine.Reader
// func endReader(r machine.Reader, leaky bool)
//     Has the machine read over a queue of a disk, 0 if it cannot; says that the device
//     has ended, and whether it may still write to memory that it was given.

// booted is what bootInfo returned at the start.
var booted machine.Boot

// theMachine is the machine as the kernel and the page cache see it: kernel.Machine
// and pagecache.Machine.
type theMachine struct{}

var _ kernel.Machine = theMachine{}

func (theMachine) SetPollable(fd int, pollable bool)          { setPollable(fd, pollable) }
func (theMachine) Ready(fd int, ev kernel.Events)             { notify(fd, uint32(ev)) }
func (theMachine) ConsoleWrite(p []byte)                      { consoleWrite(p) }
func (theMachine) Waiting(delta int)                          { adjustWaiters(int32(delta)) }
func (theMachine) Random(p []byte, insecure bool) bool        { return random(p, insecure) }
func (theMachine) Memory() (total, free uint64)               { return memory() }
func (theMachine) CommandLine() string                        { return booted.CommandLine }
func (theMachine) InitialFiles() []byte                       { return booted.InitialFiles }
func (theMachine) Nanotime() int64                            { return nanotime() }
func (theMachine) CPU() int                                   { return cpu() }
func (theMachine) Busy(cpu int) int64                         { return busy(cpu) }
func (theMachine) Stolen(cpu int) int64                       { return stolen(cpu) }
func (theMachine) LargePages() uint64                         { return largePages() }
func (theMachine) CPUID(leaf, sub uint32) (a, b, c, d uint32) { return cpuid(leaf, sub) }
func (theMachine) SetWallTime(ns int64)                       { setClock(ns) }
func (theMachine) Exit(status int)                            { Exit(status) }

func (theMachine) Counts(cpu int) kernel.CPUCounts {
	var c machine.CPUCounts
	counts(cpu, &c)
	return kernel.CPUCounts{
		Timer:       c.Traps[machine.VectorTimer],
		Kicks:       c.Traps[machine.VectorKick],
		Devices:     c.Traps[machine.FirstVector : machine.LastVector+1],
		Faults:      c.Traps[machine.VectorPageFault] - c.PageReads, // which fault once more when the page is there
		PageReads:   c.PageReads,
		Waits:       c.Waits,
		Preemptions: c.Preemptions,
		Wakeups:     c.Wakeups,
	}
}

func (theMachine) Threads() []kernel.Thread {
	list := make([]machine.Thread, 64)
	n := threads(list)
	for n > len(list) {
		list = make([]machine.Thread, n+16)
		n = threads(list)
	}
	out := make([]kernel.Thread, n)
	for i, t := range list[:n] {
		out[i] = kernel.Thread{ID: int(t.ID), Running: t.Running, Ran: t.Ran, Waits: t.Waits, Preemptions: t.Preemptions}
	}
	return out
}

func (theMachine) Area(addr uintptr) (start, end, prot uintptr) {
	a := area(addr)
	return a.Start, a.End, a.Prot
}

func (theMachine) Syscall(nr uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	// The machine half does not move stacks: pointers go as numbers, read
	// after the last point where this stack could have grown.
	n := a.N
	for i, p := range a.P {
		if p != nil {
			n[i] = uintptr(p)
		}
	}
	if mayWait(nr, n[1]) {
		r, errno := blockingCall(nr, n)
		return r, syscall.Errno(errno)
	}
	r, errno := systemCall(nr, n)
	return r, syscall.Errno(errno)
}

// mayWait tells the calls in which the machine half makes the thread wait; op is the
// second argument.
func mayWait(nr, op uintptr) bool {
	const futexCommand, futexWait = 127, 0
	switch nr {
	case syscall.SYS_PAUSE, syscall.SYS_RT_SIGSUSPEND, syscall.SYS_RT_SIGTIMEDWAIT:
		return true
	case syscall.SYS_FUTEX:
		return op&futexCommand == futexWait
	}
	return false
}

// signalled is the interrupt that says that a signal has become pending, once somebody watches.
var signalled struct {
	once sync.Once
	irq  *Interrupt
}

// WatchSignals implements kernel.Machine.
func (theMachine) WatchSignals(set uint64, notify func()) {
	signalled.once.Do(func() {
		if signalled.irq = NewInterrupt(); signalled.irq == nil {
			return
		}
		go func() {
			for signalled.irq.Wait() == nil {
				notify()
			}
		}()
	})
	if signalled.irq != nil {
		watchSignals(signalled.irq.device, set)
	}
}

func (theMachine) SendSignal(tid int, info *kernel.SignalInfo, timer bool) (pending bool, e syscall.Errno) {
	return sendSignal(tid, unsafe.Pointer(info), timer)
}

// CPUs returns their number and the brand string of cpuid leaves 0x80000002 to 4.
func (theMachine) CPUs() (n int, model string) {
	var b []byte
	for leaf := uint32(0x80000002); leaf <= 0x80000004; leaf++ {
		a, bx, c, d := cpuid(leaf, 0)
		for _, v := range [4]uint32{a, bx, c, d} {
			b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
		}
	}
	for len(b) > 0 && (b[len(b)-1] == 0 || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	return booted.CPUs, string(b)
}

// CPUs returns how many CPUs the machine has.
//
//go:linkname CPUs
func CPUs() int { return booted.CPUs }

// OnStack reports whether b, which is not empty, lies in the calling goroutine's stack.
func OnStack(b []byte) bool { return onStack(unsafe.Pointer(unsafe.SliceData(b))) }

// NoDMA reports whether a device cannot be given b, which is not empty, because its
// physical address may change: the calling goroutine's stack, or a mapping of a disk's
// file.
func NoDMA(b []byte) bool {
	p := unsafe.Pointer(unsafe.SliceData(b))
	return onStack(p) || isMapped(p)
}

// StartProfile begins to take hz samples a second of the CPU time of all threads. It reports whether it does: there
// can be one such profile.
func StartProfile(hz int) bool { return startProfile(hz) }

// StopProfile ends the profile that StartProfile has begun. What was sampled is to be read until its end.
func StopProfile() { stopProfile() }

// ReadProfile returns what was sampled since the last call, without waiting. It is valid until the next call. The form
// is that of the runtime's internal readProfile: records of a length in words, a time, and more.
func ReadProfile() (data []uint64, end bool) { return readProfile() }

// Random fills p from the machine's generator, even before that has had a source: OnResume
// tells when it has. It is an io.Reader's Read.
func Random(p []byte) (int, error) {
	random(p, true)
	return len(p), nil
}

// Memory returns the RAM and the free part of it, in bytes.
//
//go:linkname Memory
func Memory() (total, free uint64) { return memory() }

// Waiting counts goroutines that wait for something from outside; see
// kernel.Machine.
func Waiting(delta int) { adjustWaiters(int32(delta)) }

// Nanotime returns nanoseconds since boot.
func Nanotime() int64 { return nanotime() }

// Contiguous returns n bytes of zeroed, page-aligned, physically contiguous memory and
// its physical address; nil if there is none.
func Contiguous(n int) ([]byte, uint64) { return contiguous(n) }

// MapPhysical maps n bytes at a physical address, for the program: see MapPhysical of this module's
// package runtime.
//
//go:linkname MapPhysical
func MapPhysical(phys uint64, n int) ([]byte, syscall.Errno) { return mapPhysical(phys, n) }

// AllocDMA returns n bytes that devices reach and their physical address, for the program: see AllocDMA
// of this module's package runtime.
//
//go:linkname AllocDMA
func AllocDMA(n int) ([]byte, uint64, syscall.Errno) { return allocDMA(n) }

// Physical returns the physical address of a byte of resident memory, else 0.
func Physical(p unsafe.Pointer) uint64 { return physical(p) }

// MemoryAt returns n bytes at a physical address, nil beyond RAM and 4 GiB.
func MemoryAt(phys uint64, n int) []byte { return memoryAt(phys, n) }

// TakeFrames takes up to n bytes of free memory in one run and returns its
// physical addresses; start and end are 0 if there is none. used asks for memory
// that was used and freed, which the host still backs.
func TakeFrames(n int, used bool) (start, end uint64) { return takeFrames(n, used) }

// GiveFrames returns memory of TakeFrames; clean says that the host does not back
// it any more.
func GiveFrames(start, end uint64, clean bool) { giveFrames(start, end, clean) }

// NoticeFreed makes i come once, as soon as n bytes of free memory are backed by
// the host for nothing; at once if they are already.
func NoticeFreed(i *Interrupt, n int) { noticeFreed(i.device, n) }

// RSDP returns the physical address of the ACPI root pointer, 0 if the VMM gave
// none.
func RSDP() uint64 { return booted.RSDP }

// APICID returns the boot CPU's local APIC ID.
func APICID() uint32 { return booted.BootAPIC }

// CPUID executes the instruction.
func CPUID(leaf, sub uint32) (a, b, c, d uint32) { return cpuid(leaf, sub) }

// SetPowerOff says what switches the machine off: a 16-bit write to an I/O port, or,
// if reg is not 0, a byte to the register at that physical address.
func SetPowerOff(port, value uint16, reg uint64, regValue byte) {
	p := machine.PowerOff{Port: port, Value: value, RegisterValue: regValue}
	if reg != 0 {
		p.Register = mapIO(reg, 1).Address()
	}
	setPowerOff(p)
}

// CommandLine returns the command line as the VMM gave it.
//
//go:linkname CommandLine
func CommandLine() string { return booted.CommandLine }
