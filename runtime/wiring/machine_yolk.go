//go:build yolk

package wiring

import (
	"internal/runtime/exithook" // which initialises before the kernel
	"syscall"
	"unsafe"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// The functions of machine.go on the real machine: first those of package runtime
// (machine_api.go there), then its private calls.

//go:linkname call
//go:noescape
func call(nr, a1, a2, a3, a4, a5, a6 uintptr) (r, errno uintptr)

//go:linkname yieldingCall
//go:noescape
func yieldingCall(nr, a1, a2, a3, a4, a5, a6 uintptr) (r, errno uintptr)

//go:linkname bootInfo
func bootInfo() machine.Boot

//go:linkname setHandler
func setHandler(h func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr))

//go:linkname runtimeArgs
func runtimeArgs() []string

//go:linkname runtimeEnviron
func runtimeEnviron() []string

//go:linkname isLinked
func isLinked(code uintptr) bool

//go:linkname signalWanted
func signalWanted(sig uint32) bool

//go:linkname setPanicHook
func setPanicHook(f func())

//go:linkname exit
func exit(status int)

//go:linkname notify
func notify(fd int, events uint32)

//go:linkname adjustWaiters
func adjustWaiters(delta int32)

//go:linkname interrupt
func interrupt() (d machine.Device, wait unsafe.Pointer)

//go:linkname waitInterrupt
func waitInterrupt(wait unsafe.Pointer)

//go:linkname nanotime
func nanotime() int64

//go:linkname consoleWrite
func consoleWrite(p []byte)

//go:linkname cpu
func cpu() int

//go:linkname stolen
func stolen(cpu int) int64

//go:linkname cpuid
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

//go:linkname startProfile
func startProfile(hz int) bool

//go:linkname stopProfile
func stopProfile()

//go:linkname readProfile
func readProfile() (data []uint64, end bool)

//go:linkname memory
func memory() (total, free uint64)

//go:linkname largePages
func largePages() uint64

//go:linkname limitMemory
func limitMemory(limit, stack int64)

//go:linkname moveLimit
func moveLimit(old, limit int64) bool

//go:linkname countFiles
func countFiles(pages *int64)

//go:linkname physical
func physical(p unsafe.Pointer) uint64

//go:linkname memoryAt
func memoryAt(phys uint64, n int) []byte

//go:linkname onStack
func onStack(p unsafe.Pointer) bool

//go:linkname reseed
func reseed()

//go:linkname isMapped
func isMapped(p unsafe.Pointer) bool

func blockForever() { select {} }

func addExitHook(f func()) { exithook.Add(exithook.Hook{F: f, RunOnFailure: true}) }

// ask makes a private call that cannot fail.
func ask(c machine.Call, a1, a2, a3 uintptr) uintptr {
	r, _ := call(uintptr(c), a1, a2, a3, 0, 0, 0)
	return r
}

func word(b bool) uintptr {
	if b {
		return 1
	}
	return 0
}

// Addresses of memory go to call directly, not through another function: the caller's
// stack, where the memory may be, could move when that one begins.

// The arguments of the two that follow may be addresses of a stack: nosplit, so that it
// does not move.

//go:nosplit
func systemCall(nr uintptr, n [6]uintptr) (r, errno uintptr) {
	return call(nr, n[0], n[1], n[2], n[3], n[4], n[5])
}

//go:nosplit
func blockingCall(nr uintptr, n [6]uintptr) (r, errno uintptr) {
	return yieldingCall(nr, n[0], n[1], n[2], n[3], n[4], n[5])
}

func sendSignal(tid int, info unsafe.Pointer, timer bool) (pending bool, e syscall.Errno) {
	r, errno := call(uintptr(machine.CallSendSignal), uintptr(tid), uintptr(info), word(timer), 0, 0, 0)
	return r != 0 && errno == 0, syscall.Errno(errno)
}

func watchSignals(d machine.Device, set uint64) {
	ask(machine.CallWatchSignals, uintptr(d), uintptr(set), 0)
}

func setClock(ns int64) { ask(machine.CallSetClock, uintptr(ns), 0, 0) }

func setPollable(fd int, pollable bool) {
	ask(machine.CallSetPollable, uintptr(fd), word(pollable), 0)
}

func consoleRead(p []byte) int {
	n, _ := call(uintptr(machine.CallConsoleRead), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0, 0)
	return int(n)
}

const sysGetrandom = 318 // package syscall does not have it

func random(p []byte, insecure bool) bool {
	_, errno := call(sysGetrandom, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), word(insecure)*machine.GetrandomInsecure, 0, 0, 0)
	return errno == 0
}

func holdRandom() { ask(machine.CallHoldRandom, 0, 0, 0) }

func addEntropy(p []byte) bool {
	ready, _ := call(uintptr(machine.CallAddEntropy), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0, 0)
	return ready != 0
}

func watch(phys uint64) bool {
	_, errno := call(uintptr(machine.CallWatch), uintptr(phys), 0, 0, 0, 0, 0)
	return errno == 0
}

func noticeResume(d machine.Device) { ask(machine.CallNoticeResume, uintptr(d), 0, 0) }

func busy(cpu int) int64 { return int64(ask(machine.CallCPUBusy, uintptr(cpu), 0, 0)) }

func counts(cpu int, c *machine.CPUCounts) {
	call(uintptr(machine.CallCPUCounts), uintptr(cpu), uintptr(unsafe.Pointer(c)), 0, 0, 0, 0)
}

func threads(list []machine.Thread) int {
	n, _ := call(uintptr(machine.CallThreads), uintptr(unsafe.Pointer(unsafe.SliceData(list))), uintptr(len(list)), 0, 0, 0, 0)
	return int(n)
}

func area(addr uintptr) (a machine.Area) {
	call(uintptr(machine.CallArea), addr, uintptr(unsafe.Pointer(&a)), 0, 0, 0, 0)
	return a
}

func takeFrames(n int, used bool) (start, end uint64) {
	var r machine.Range
	call(uintptr(machine.CallTakeFrames), uintptr(n), word(used), uintptr(unsafe.Pointer(&r)), 0, 0, 0)
	return uint64(r.Start), uint64(r.End)
}

func giveFrames(start, end uint64, clean bool) {
	ask(machine.CallGiveFrames, uintptr(start), uintptr(end), word(clean))
}

func noticeFreed(d machine.Device, n int) { ask(machine.CallNoticeFreed, uintptr(d), uintptr(n), 0) }

func takePages(dst []uint64, floor uint64) int {
	n, _ := call(uintptr(machine.CallTakePages), uintptr(unsafe.Pointer(unsafe.SliceData(dst))), uintptr(len(dst)), uintptr(floor), 0, 0, 0)
	return int(n)
}

func givePages(pages []uint64) {
	call(uintptr(machine.CallGivePages), uintptr(unsafe.Pointer(unsafe.SliceData(pages))), uintptr(len(pages)), 0, 0, 0, 0)
}

func contiguous(n int) (mem []byte, phys uint64) {
	p, errno := call(uintptr(machine.CallContiguous), uintptr(n), 0, 0, 0, 0, 0)
	if errno != 0 {
		return nil, 0
	}
	return memoryAt(uint64(p), n), uint64(p)
}

func mapIO(phys uint64, n int) Registers {
	return Registers(ask(machine.CallMapIO, uintptr(phys), uintptr(n), 0))
}

func mapPhysical(phys uint64, n int) ([]byte, syscall.Errno) {
	p, errno := call(uintptr(machine.CallMapPhysical), uintptr(phys), uintptr(n), 0, 0, 0, 0)
	if errno != 0 {
		return nil, syscall.Errno(errno)
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), n), 0
}

func allocDMA(n int) ([]byte, uint64, syscall.Errno) {
	p, errno := call(uintptr(machine.CallAllocDMA), uintptr(n), 0, 0, 0, 0, 0)
	if errno != 0 {
		return nil, 0, syscall.Errno(errno)
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), n), uint64(p), 0
}

func setPowerOff(p machine.PowerOff) {
	call(uintptr(machine.CallSetPowerOff), uintptr(unsafe.Pointer(&p)), 0, 0, 0, 0, 0)
}

func outAlone(port uint16, v uint32) { ask(machine.CallOutAlone, uintptr(port), uintptr(v), 0) }

func setChunks(table []uint64) {
	call(uintptr(machine.CallSetChunks), uintptr(unsafe.Pointer(unsafe.SliceData(table))), uintptr(len(table)), 0, 0, 0, 0)
}

func reclaim(n int) int { return int(ask(machine.CallReclaim, uintptr(n), 0, 0)) }

func noticeStores(l machine.StoreLimits) {
	call(uintptr(machine.CallNoticeStores), uintptr(unsafe.Pointer(&l)), 0, 0, 0, 0, 0)
}

func stores() int { return int(ask(machine.CallStores, 0, 0, 0)) }

func newFile(r machine.Reader) (machine.File, syscall.Errno) {
	f, errno := call(uintptr(machine.CallNewFile), uintptr(r), 0, 0, 0, 0, 0)
	return machine.File(f), syscall.Errno(errno)
}

func freeFile(f machine.File) { ask(machine.CallFreeFile, uintptr(f), 0, 0) }

func mapFile(f machine.File, addr, n, first, prot, flags uintptr) (uintptr, syscall.Errno) {
	addr, errno := call(uintptr(machine.CallMapFile), uintptr(f), addr, n, first, prot, flags)
	return addr, syscall.Errno(errno)
}

func showPage(f machine.File, index uintptr, page uint64) machine.Page {
	return machine.Page(ask(machine.CallShowPage, uintptr(f), index, uintptr(page)))
}

func dropPages(f machine.File, first, end uintptr) {
	ask(machine.CallDropPages, uintptr(f), first, end)
}

func setFilePages(f machine.File, pages uintptr) {
	ask(machine.CallSetFilePages, uintptr(f), pages, 0)
}

func reachFile(f machine.File, pages uintptr) (grown bool, e syscall.Errno) {
	r, errno := call(uintptr(machine.CallReachFile), uintptr(f), pages, 0, 0, 0, 0)
	return r != 0 && errno == 0, syscall.Errno(errno)
}

func collectPages(f machine.File, first, end uintptr, out []machine.Stored, all bool) int {
	n, _ := call(uintptr(machine.CallCollectPages), uintptr(f), first, end, uintptr(unsafe.Pointer(unsafe.SliceData(out))), uintptr(len(out)), word(all))
	return int(n)
}

func endCollect(f machine.File) { ask(machine.CallEndCollect, uintptr(f), 0, 0) }

func setRuns(f machine.File, runs []machine.Run) syscall.Errno {
	_, errno := call(uintptr(machine.CallSetRuns), uintptr(f), uintptr(unsafe.Pointer(unsafe.SliceData(runs))), uintptr(len(runs)), 0, 0, 0)
	return syscall.Errno(errno)
}

func newReader(s *machine.ReaderSpec) machine.Reader {
	r, errno := call(uintptr(machine.CallNewReader), uintptr(unsafe.Pointer(s)), 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return machine.Reader(r)
}

func endReader(r machine.Reader, leaky bool) { ask(machine.CallEndReader, uintptr(r), word(leaky), 0) }

// Registers is a window of mapped device registers, by its address; offsets are in
// bytes. It is a virtio.Registers.
type Registers uintptr

// Address returns the address of the first.
func (r Registers) Address() uintptr { return uintptr(r) }

func (r Registers) Read8(off uintptr) uint8       { return *(*uint8)(unsafe.Pointer(uintptr(r) + off)) }
func (r Registers) Read16(off uintptr) uint16     { return *(*uint16)(unsafe.Pointer(uintptr(r) + off)) }
func (r Registers) Read32(off uintptr) uint32     { return *(*uint32)(unsafe.Pointer(uintptr(r) + off)) }
func (r Registers) Write8(off uintptr, v uint8)   { *(*uint8)(unsafe.Pointer(uintptr(r) + off)) = v }
func (r Registers) Write16(off uintptr, v uint16) { *(*uint16)(unsafe.Pointer(uintptr(r) + off)) = v }
func (r Registers) Write32(off uintptr, v uint32) { *(*uint32)(unsafe.Pointer(uintptr(r) + off)) = v }
