//go:build tamago

package wiring

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
)

// The functions of package runtime (machine_api.go there).

//go:linkname setHandler
func setHandler(h func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr))

//go:linkname machineCall
//go:noescape
func machineCall(nr, a1, a2, a3, a4, a5, a6 uintptr) (r1, errno uintptr)

//go:linkname blockingCall
//go:noescape
func blockingCall(nr, a1, a2, a3, a4, a5, a6 uintptr) (r1, errno uintptr)

//go:linkname sendSignal
func sendSignal(tid int, info unsafe.Pointer, timer bool) (r1, errno uintptr)

//go:linkname setClock
func setClock(ns int64)

//go:linkname setPollable
func setPollable(fd int, pollable bool)

//go:linkname notify
func notify(fd int, events uint32)

//go:linkname adjustWaiters
func adjustWaiters(delta int32)

//go:linkname consoleWrite
func consoleWrite(p []byte)

//go:linkname consoleRead
func consoleRead(p []byte) int

//go:linkname random
func random(p []byte)

//go:linkname addEntropy
func addEntropy(p []byte)

//go:linkname memory
func memory() (total, free uint64)

//go:linkname countFiles
func countFiles(pages *int64)

//go:linkname limitMemory
func limitMemory(limit int64)

//go:linkname moveLimit
func moveLimit(old, limit int64) bool

//go:linkname takeFrames
func takeFrames(n int, used bool) (start, end uint64)

//go:linkname giveFrames
func giveFrames(start, end uint64, clean bool)

//go:linkname noticeFreed
func noticeFreed(vector, n int)

//go:linkname contiguous
func contiguous(n int) ([]byte, uint64)

//go:linkname physical
func physical(p unsafe.Pointer) uint64

//go:linkname memoryAt
func memoryAt(phys uint64, n int) []byte

//go:linkname mapIO
func mapIO(phys uint64, n int) uintptr

//go:linkname interrupt
func interrupt() (vector int, pd unsafe.Pointer)

//go:linkname waitInterrupt
func waitInterrupt(pd unsafe.Pointer)

//go:linkname apicID
func apicID() uint32

//go:linkname setPowerOff
func setPowerOff(port, value uint16, reg uintptr, regValue byte)

//go:linkname isLinked
func isLinked(code uintptr) bool

//go:linkname nanotime
func nanotime() int64

//go:linkname exit
func exit(status int)

//go:linkname signalWanted
func signalWanted(sig uint32) bool

//go:linkname setPanicHook
func setPanicHook(f func())

//go:linkname commandLine
func commandLine() string

//go:linkname initialFiles
func initialFiles() []byte

//go:linkname rsdp
func rsdp() uint64

//go:linkname cpus
func cpus() int

//go:linkname cpu
func cpu() int

//go:linkname busy
func busy(cpu int) int64

//go:linkname stolen
func stolen(cpu int) int64

//go:linkname area
func area(addr uintptr) (start, end, prot uintptr)

//go:linkname largePages
func largePages() uint64

//go:linkname takePages
//go:noescape
func takePages(dst []uint64, floor uint64) int

//go:linkname givePages
//go:noescape
func givePages(pages []uint64)

//go:linkname cacheTable
func cacheTable(table []uint64)

//go:linkname file
//go:noescape
func file(op int, file uintptr, a *[5]uintptr) (r, errno uintptr)

//go:linkname isMapped
func isMapped(p unsafe.Pointer) bool

//go:linkname cpuid
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

//go:linkname onStack
func onStack(p unsafe.Pointer) bool

//go:linkname runtimeArgs
func runtimeArgs() []string

//go:linkname runtimeEnviron
func runtimeEnviron() []string

// machine is the kernel.Machine of a real machine.
type machine struct{}

func (machine) SetPollable(fd int, pollable bool) { setPollable(fd, pollable) }
func (machine) Ready(fd int, ev kernel.Events)    { notify(fd, uint32(ev)) }
func (machine) ConsoleWrite(p []byte)             { consoleWrite(p) }
func (machine) Waiting(delta int)                 { adjustWaiters(int32(delta)) }
func (machine) Random(p []byte)                   { random(p) }
func (machine) Memory() (total, free uint64)      { return memory() }
func (machine) CommandLine() string               { return commandLine() }
func (machine) InitialFiles() []byte              { return initialFiles() }
func (machine) Nanotime() int64                   { return nanotime() }
func (machine) CPU() int                          { return cpu() }
func (machine) Busy(cpu int) int64                { return busy(cpu) }
func (machine) Stolen(cpu int) int64              { return stolen(cpu) }
func (machine) LargePages() uint64                { return largePages() }
func (machine) SetWallTime(ns int64)              { setClock(ns) }
func (machine) Exit(status int)                   { Exit(status) }

func (machine) TakePages(dst []uint64, floor uint64) int { return takePages(dst, floor) }
func (machine) GivePages(pages []uint64)                 { givePages(pages) }
func (machine) CacheTable(table []uint64)                { cacheTable(table) }

func (machine) MappedFile(op int, f uintptr, a *[5]uintptr) (uintptr, syscall.Errno) {
	r, errno := file(op, f, a)
	return r, syscall.Errno(errno)
}

// Reader describes a queue of a disk over which the machine reads pages of mapped
// files by itself: machReaderSpec in package runtime. Addresses are physical, but for
// those of registers.
type Reader struct {
	Size              uintptr // entries
	Desc, Avail, Used uintptr
	Bell, BellWidth   uintptr        // the register that notifies, and its bytes
	Index             uintptr        // number of the queue
	Status            uintptr        // InterruptStatus of virtio-mmio, or 0
	Taken             *atomic.Uint32 // with Status: gets the causes that are taken back, but for used buffers
	Interrupt         uintptr        // set by NewReader
	Own               uintptr        // not 0: the interrupt is for this queue alone
	Legacy            uintptr        // not 0: a legacy device
	Pages             uintptr        // of one request at most
}

// reader is where NewReader passes its argument by address: a stack may move.
var reader Reader

// Operations of file for readers; the others are kernel/pagecache's.
const (
	opReader    = 9
	opReaderEnd = 10
)

// NewReader makes the machine read over a queue whose interrupt is irq, and returns
// its handle; 0 if it cannot. It is called at start, by one goroutine.
func NewReader(r Reader, irq *Interrupt) uintptr {
	reader = r
	reader.Interrupt = irq.Device()
	h, errno := file(opReader, 0, &[5]uintptr{uintptr(unsafe.Pointer(&reader))})
	if errno != 0 {
		return 0
	}
	return h
}

// EndReader says that the device has ended; leaky, that it may still write to memory
// that it was given.
func EndReader(h uintptr, leaky bool) {
	var a [5]uintptr
	if leaky {
		a[0] = 1
	}
	file(opReaderEnd, h, &a)
}

func (machine) Syscall(nr uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	// The machine half does not move stacks: pointers go as numbers, read
	// after the last point where this stack could have grown.
	n := a.N
	for i, p := range a.P {
		if p != nil {
			n[i] = uintptr(p)
		}
	}
	if mayWait(nr, n[1]) {
		r, errno := blockingCall(nr, n[0], n[1], n[2], n[3], n[4], n[5])
		return r, syscall.Errno(errno)
	}
	r, errno := machineCall(nr, n[0], n[1], n[2], n[3], n[4], n[5])
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

func (machine) SendSignal(tid int, info *kernel.SignalInfo, timer bool) (pending bool, e syscall.Errno) {
	r, errno := sendSignal(tid, unsafe.Pointer(info), timer)
	return r != 0 && errno == 0, syscall.Errno(errno)
}

func (machine) Area(addr uintptr) (start, end, prot uintptr) { return area(addr) }

// CPUs returns their number and the brand string of cpuid leaves 0x80000002 to 4.
func (machine) CPUs() (n int, model string) {
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
	return cpus(), string(b)
}

// CPUs returns how many CPUs the machine has.
func CPUs() int { return cpus() }

// OnStack reports whether p lies in the calling goroutine's stack.
func OnStack(p unsafe.Pointer) bool { return onStack(p) }

// NoDMA reports whether a device cannot be given the memory at p, whose physical
// address may change: the calling goroutine's stack, or a mapping of a disk's file.
func NoDMA(p unsafe.Pointer) bool { return onStack(p) || isMapped(p) }

// Random fills p from the machine's generator; it is an io.Reader.
func Random(p []byte) (int, error) {
	random(p)
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

// Contiguous returns zeroed, page-aligned, physically contiguous memory and its
// physical address; nil if there is none.
func Contiguous(n int) ([]byte, uint64) { return contiguous(n) }

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
func NoticeFreed(i *Interrupt, n int) { noticeFreed(i.vector, n) }

// RSDP returns the physical address of the ACPI root pointer, 0 if the VMM gave
// none.
func RSDP() uint64 { return rsdp() }

// APICID returns the boot CPU's local APIC ID.
func APICID() uint32 { return apicID() }

// AddEntropy mixes p into the machine's generator.
func AddEntropy(p []byte) { addEntropy(p) }

// CPUID executes the instruction.
func CPUID(leaf, sub uint32) (a, b, c, d uint32) { return cpuid(leaf, sub) }

// SetPowerOff says what switches the machine off: a 16-bit write to an I/O
// port, or a byte to a register at a physical address.
func SetPowerOff(port, value uint16, reg uint64, regValue byte) {
	var va uintptr
	if reg != 0 {
		va = mapIO(reg, 1)
	}
	setPowerOff(port, value, va, regValue)
}
