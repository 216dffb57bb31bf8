//go:build tamago

package runtime

import (
	"internal/abi"
	"internal/runtime/syscall/linux"
	"internal/runtime/yolk/machine/areas"
	"unsafe"
)

// What package wiring (runtime/wiring), which starts the kernel, may ask of the machine.
// Functions here run on ordinary goroutines; what changes the machine half's
// state goes through a private system call.

// machHooks are what the kernel above has told, and what was logged once.
type machHooks struct {
	powerOffPort  uint16
	powerOffValue uint16
	powerOffReg   uintptr // memory-mapped sleep control register
	powerOffByte  byte
	loggedFork    bool
	filePages     *int64 // of the root file system
}

func machPrivateCall(nr, a1, a2, a3, a4 uintptr) uintptr {
	switch nr {
	case nrSetPollable:
		it := mach.poll.item(a1, true)
		if it == nil {
			return machErr(9)
		}
		it.pollable = a2 != 0
		if !it.pollable {
			it.watched = false
			it.events = 0
		}
	case nrConsoleWrite:
		return conTryWrite(a1, a2)
	case nrConsoleRead:
		return conRead(a1, a2)
	case nrContiguous:
		if p := mach.mem.contiguous(a1); p != 0 {
			return p
		}
		return machErr(_ENOMEM)
	case nrMapIO:
		return mach.mem.mapIO(a1, a2)
	case nrDeviceInterrupt:
		if mach.poll.nextDevice == numDevices {
			return machErr(_ENOMEM)
		}
		mach.poll.nextDevice++
		return uintptr(mach.poll.nextDevice - 1)
	case nrAddEntropy:
		machRandomSeed(a1, a2)
	case nrTakeFrames:
		r := mach.mem.takeFrames(a1, a2 != 0)
		*(*machRange)(unsafe.Pointer(a3)) = r
	case nrGiveFrames:
		mach.mem.giveFrames(machRange{a1, a2}, a3 != 0)
	case nrNoticeFreed:
		mach.mem.device = int(a1)
		mach.mem.notice = a2
		mach.mem.noticeFreed()
	case nrTakeHeld:
		*(*machRange)(unsafe.Pointer(a1)) = mach.held.take()
	case nrArea:
		if i := mach.mem.areas().Find(a1); i < mach.mem.narea {
			a := &mach.mem.areas()[i]
			*(*[3]uintptr)(unsafe.Pointer(a2)) = [3]uintptr{a.Start, a.End, a.Prot & areas.Access}
		}
	case nrCPUBusy:
		if a1 < uintptr(mach.smp.online) {
			return uintptr(mach.smp.cpu[a1].busyUntil(machNow()))
		}
	case nrFile:
		return machFileOp(a1, a2, (*[5]uintptr)(unsafe.Pointer(a3)))
	case nrTakePages:
		return mach.mem.takePages(a1, a2, a3)
	case nrGivePages:
		mach.mem.givePages(a1, a2)
		mach.mem.noticeFreed()
	case nrCacheTable:
		mach.cache.table, mach.cache.size = a1, a2
	case nrOutAlone:
		mach.smp.flushTLB()
		outl(uint16(a1), uint32(a2))
	case nrPowerOff:
		h := &mach.hooks
		h.powerOffPort, h.powerOffValue = uint16(a1), uint16(a2)
		h.powerOffReg, h.powerOffByte = a3, byte(a4)
	}
	return 0
}

//go:linkname yolk_setHandler runtime/yolk/wiring.setHandler
func yolk_setHandler(h func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr)) {
	kernelHandler = h
	machKeep()
	go serveInterrupts()
}

// serveInterrupts polls when the runtime does not: with no goroutine of the
// program waiting for a descriptor, its idle threads wait on futexes, and an
// interrupt would reach no driver. Its thread counts as one of the system's, as
// sysmon's does, so that a deadlock of the program is still found. (The name
// in package runtime makes it a system goroutine.)
func serveInterrupts() {
	for {
		waitDevice()
		list, delta := netpoll(0)
		injectglist(&list)
		netpollAdjustWaiters(delta)
	}
}

// waitDevice gives up the P and blocks in the machine half. The thread counts
// as the system's only while it has no P: a thread that runs goroutines and is
// not counted would look like a deadlock.
func waitDevice() {
	entersyscallblock()
	systemstack(func() {
		lock(&sched.lock)
		sched.nmsys++
		checkdead()
		unlock(&sched.lock)
	})
	linux.Syscall6(nrWaitDevice, 0, 0, 0, 0, 0, 0)
	systemstack(func() {
		lock(&sched.lock)
		sched.nmsys--
		unlock(&sched.lock)
	})
	exitsyscall()
}

// yolk_machineCall makes a system call of the machine half.
//
//go:linkname yolk_machineCall runtime/yolk/wiring.machineCall
//go:nosplit
func yolk_machineCall(nr, a1, a2, a3, a4, a5, a6 uintptr) (r1, errno uintptr) {
	r1, _, errno = linux.Syscall6(nr, a1, a2, a3, a4, a5, a6)
	return r1, errno
}

//go:linkname yolk_setPollable runtime/yolk/wiring.setPollable
func yolk_setPollable(fd int, pollable bool) {
	v := uintptr(0)
	if pollable {
		v = 1
	}
	linux.Syscall6(nrSetPollable, uintptr(fd), v, 0, 0, 0, 0)
}

//go:linkname yolk_notify runtime/yolk/wiring.notify
func yolk_notify(fd int, events uint32) { netpollNotify(uintptr(fd), events) }

//go:linkname yolk_consoleWrite runtime/yolk/wiring.consoleWrite
func yolk_consoleWrite(p []byte) {
	for {
		n, _, _ := linux.Syscall6(nrConsoleWrite, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0, 0)
		if p = p[n:]; len(p) == 0 {
			return
		}
		if n == 0 {
			timeSleep(1e6) // the VMM's reader is slow: nothing tells when it has read
		}
	}
}

//go:linkname yolk_consoleRead runtime/yolk/wiring.consoleRead
func yolk_consoleRead(p []byte) int {
	n, _, _ := linux.Syscall6(nrConsoleRead, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0, 0)
	return int(n)
}

// yolk_random fills p from the machine's generator.
//
//go:linkname yolk_random runtime/yolk/wiring.random
func yolk_random(p []byte) {
	linux.Syscall6(nrGetrandom, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0, 0)
}

// yolk_memory returns the RAM and the free part of it, in bytes.
//
//go:linkname yolk_memory runtime/yolk/wiring.memory
func yolk_memory() (total, free uint64) { return uint64(mach.mem.total), uint64(mach.mem.Free) }

// yolk_limitMemory makes the collector keep the heap below limit bytes, unless
// the program's environment has its own GOMEMLIMIT.
//
//go:linkname yolk_limitMemory runtime/yolk/wiring.limitMemory
func yolk_limitMemory(limit int64) {
	if gogetenv("GOMEMLIMIT") == "" {
		gcController.memoryLimit.Store(limit)
	}
}

// yolk_countFiles tells where the number of pages in files is kept, for the
// report of a lack of memory.
//
//go:linkname yolk_countFiles runtime/yolk/wiring.countFiles
func yolk_countFiles(pages *int64) { mach.hooks.filePages = pages }

// yolk_moveLimit changes the collector's limit while the program runs, if it is
// still old: a program that has set its own knows better.
//
//go:linkname yolk_moveLimit runtime/yolk/wiring.moveLimit
func yolk_moveLimit(old, limit int64) bool {
	if gcController.memoryLimit.Load() != old {
		return false
	}
	setMemoryLimit(limit)
	return true
}

// yolk_contiguous returns zeroed, physically contiguous memory for devices,
// page aligned, and its physical address; nil if there is none.
//
//go:linkname yolk_contiguous runtime/yolk/wiring.contiguous
func yolk_contiguous(n int) ([]byte, uint64) {
	p, _, errno := linux.Syscall6(nrContiguous, uintptr(n), 0, 0, 0, 0, 0)
	if errno != 0 {
		return nil, 0
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(p+directMap)), n), uint64(p)
}

// yolk_physical returns the physical address of a byte of resident memory, 0
// if it is not resident.
//
//go:linkname yolk_physical runtime/yolk/wiring.physical
func yolk_physical(p unsafe.Pointer) uint64 { return uint64(mach.mem.physical(uintptr(p))) }

// yolk_memoryAt returns n bytes of RAM or ROM at a physical address, nil where
// the direct map does not reach.
//
//go:linkname yolk_memoryAt runtime/yolk/wiring.memoryAt
func yolk_memoryAt(phys uint64, n int) []byte {
	if n < 0 || phys >= directMapEnd() || uint64(n) > directMapEnd()-phys {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(phys)+directMap)), n)
}

func directMapEnd() uint64 { return uint64(max(mach.mem.top, 4<<30)) }

// yolk_mapIO maps device registers; 0 if there is no room.
//
//go:linkname yolk_mapIO runtime/yolk/wiring.mapIO
func yolk_mapIO(phys uint64, n int) uintptr {
	va, _, _ := linux.Syscall6(nrMapIO, uintptr(phys), uintptr(n), 0, 0, 0, 0)
	return va
}

// yolk_interrupt takes a device interrupt: its vector, and a descriptor to wait
// on with yolk_waitInterrupt.
//
//go:linkname yolk_interrupt runtime/yolk/wiring.interrupt
func yolk_interrupt() (vector int, pd *pollDesc) {
	n, _, errno := linux.Syscall6(nrDeviceInterrupt, 0, 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0, nil
	}
	poll_runtime_pollServerInit()
	pd, e := poll_runtime_pollOpen(pollDevice + n)
	if e != 0 {
		throw("machine: cannot watch a device interrupt")
	}
	return vectorDevice + int(n), pd
}

// yolk_waitInterrupt returns when the interrupt has come since it returned
// last. A driver that waits is not the program waiting: it must not hide a
// deadlock, so it does not count among the poller's waiters.
//
//go:linkname yolk_waitInterrupt runtime/yolk/wiring.waitInterrupt
func yolk_waitInterrupt(pd *pollDesc) {
	netpollAdjustWaiters(-1)
	poll_runtime_pollWait(pd, 'r')
	netpollAdjustWaiters(1)
}

// yolk_adjustWaiters counts goroutines that wait for something from outside
// without the poller.
//
//go:linkname yolk_adjustWaiters runtime/yolk/wiring.adjustWaiters
func yolk_adjustWaiters(delta int32) { netpollAdjustWaiters(delta) }

// yolk_takeFrames takes up to n bytes of free memory in one run and returns its
// physical addresses, an empty range if there is none. used says that only
// memory that was used and freed is wanted.
//
//go:linkname yolk_takeFrames runtime/yolk/wiring.takeFrames
func yolk_takeFrames(n int, used bool) (start, end uint64) {
	flag := uintptr(0)
	if used {
		flag = 1
	}
	var r machRange
	linux.Syscall6(nrTakeFrames, uintptr(n), flag, uintptr(unsafe.Pointer(&r)), 0, 0, 0)
	return uint64(r.start), uint64(r.end)
}

// yolk_giveFrames returns memory that takeFrames took; clean says that the host
// does not back it any more.
//
//go:linkname yolk_giveFrames runtime/yolk/wiring.giveFrames
func yolk_giveFrames(start, end uint64, clean bool) {
	flag := uintptr(0)
	if clean {
		flag = 1
	}
	linux.Syscall6(nrGiveFrames, uintptr(start), uintptr(end), flag, 0, 0, 0)
}

// yolk_noticeFreed makes the device interrupt with the given vector come once,
// when n bytes of memory have been freed that the host still backs.
//
//go:linkname yolk_noticeFreed runtime/yolk/wiring.noticeFreed
func yolk_noticeFreed(vector, n int) {
	linux.Syscall6(nrNoticeFreed, uintptr(vector-vectorDevice), uintptr(n), 0, 0, 0, 0)
}

// yolk_apicID returns the boot CPU's local APIC ID, for interrupt routing.
//
//go:linkname yolk_apicID runtime/yolk/wiring.apicID
func yolk_apicID() uint32 { return mach.smp.apic[0] }

//go:linkname yolk_setPowerOff runtime/yolk/wiring.setPowerOff
func yolk_setPowerOff(port, value uint16, reg uintptr, regValue byte) {
	linux.Syscall6(nrPowerOff, uintptr(port), uintptr(value), reg, uintptr(regValue), 0, 0)
}

//go:linkname yolk_nanotime runtime/yolk/wiring.nanotime
func yolk_nanotime() int64 { return nanotime() }

// yolk_isLinked says whether a weak reference to code leads anywhere.
//
//go:linkname yolk_isLinked runtime/yolk/wiring.isLinked
func yolk_isLinked(code uintptr) bool {
	return code != 0 && code != abi.FuncPCABIInternal(unreachableMethod)
}

//go:linkname yolk_exit runtime/yolk/wiring.exit
func yolk_exit(status int) { exit(int32(status)) }

//go:linkname yolk_commandLine runtime/yolk/wiring.commandLine
func yolk_commandLine() string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(mach.cmd)), mach.cmdn))
}

// yolk_initialFiles returns the archive that the VMM loaded, nil if none.
//
//go:linkname yolk_initialFiles runtime/yolk/wiring.initialFiles
func yolk_initialFiles() []byte {
	f := mach.files
	if f.start == f.end {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(f.start+directMap)), f.end-f.start)
}

// yolk_cpus returns how many CPUs the machine has.
//
//go:linkname yolk_cpus runtime/yolk/wiring.cpus
func yolk_cpus() int { return mach.smp.n }

// yolk_cpu returns the index of the CPU that the caller runs on.
//
//go:linkname yolk_cpu runtime/yolk/wiring.cpu
func yolk_cpu() int { return thisCPU().index }

// yolk_busy returns how long (ns) a CPU has run threads.
//
//go:linkname yolk_busy runtime/yolk/wiring.busy
func yolk_busy(cpu int) int64 {
	ns, _, _ := linux.Syscall6(nrCPUBusy, uintptr(cpu), 0, 0, 0, 0, 0)
	return int64(ns)
}

// yolk_stolen returns how long (ns) a CPU had something to run and the host did
// not let it.
//
//go:linkname yolk_stolen runtime/yolk/wiring.stolen
func yolk_stolen(cpu int) int64 {
	if uint(cpu) >= uint(mach.smp.online) {
		return 0
	}
	return mach.smp.cpu[cpu].stolen()
}

// yolk_area returns the first mapped range of addresses that ends above addr
// and its PROT_ bits; end is 0 if there is none.
//
//go:linkname yolk_area runtime/yolk/wiring.area
func yolk_area(addr uintptr) (start, end, prot uintptr) {
	var a [3]uintptr
	linux.Syscall6(nrArea, addr, uintptr(unsafe.Pointer(&a)), 0, 0, 0, 0)
	return a[0], a[1], a[2]
}

// yolk_file makes one of the calls about mappings of files: machine_files.go.
//
//go:linkname yolk_file runtime/yolk/wiring.file
func yolk_file(op int, file uintptr, a *[5]uintptr) (r, errno uintptr) {
	r, _, errno = linux.Syscall6(nrFile, uintptr(op), file, uintptr(unsafe.Pointer(a)), 0, 0, 0)
	return r, errno
}

// yolk_isMapped reports whether p lies in a mapping of a file, whose pages come and
// go.
//
//go:linkname yolk_isMapped runtime/yolk/wiring.isMapped
func yolk_isMapped(p unsafe.Pointer) bool {
	if mach.cache.files == nil {
		return false
	}
	a := [5]uintptr{uintptr(p)}
	r, _, _ := linux.Syscall6(nrFile, fileOpIsMapped, 0, uintptr(unsafe.Pointer(&a)), 0, 0, 0)
	return r != 0
}

// yolk_takePages fills dst with addresses of free pages, as long as more than
// floor bytes are free, and returns how many.
//
//go:linkname yolk_takePages runtime/yolk/wiring.takePages
func yolk_takePages(dst []uint64, floor uint64) int {
	n, _, _ := linux.Syscall6(nrTakePages, uintptr(unsafe.Pointer(unsafe.SliceData(dst))), uintptr(len(dst)), uintptr(floor), 0, 0, 0)
	return int(n)
}

// yolk_givePages frees pages of takePages.
//
//go:linkname yolk_givePages runtime/yolk/wiring.givePages
func yolk_givePages(pages []uint64) {
	linux.Syscall6(nrGivePages, uintptr(unsafe.Pointer(unsafe.SliceData(pages))), uintptr(len(pages)), 0, 0, 0, 0)
}

// yolk_cacheTable says where the addresses of the page cache's parts are.
//
//go:linkname yolk_cacheTable runtime/yolk/wiring.cacheTable
func yolk_cacheTable(table []uint64) {
	linux.Syscall6(nrCacheTable, uintptr(unsafe.Pointer(unsafe.SliceData(table))), uintptr(len(table)), 0, 0, 0, 0)
}

// yolk_largePages returns how many bytes of the program's memory are in pages of
// 2 MiB.
//
//go:linkname yolk_largePages runtime/yolk/wiring.largePages
func yolk_largePages() uint64 { return uint64(mach.mem.large) * machLargePage }

//go:linkname yolk_rsdp runtime/yolk/wiring.rsdp
func yolk_rsdp() uint64 { return uint64(mach.rsdp) }

//go:linkname yolk_cpuid runtime/yolk/wiring.cpuid
func yolk_cpuid(leaf, sub uint32) (a, b, c, d uint32) { return machCPUID(leaf, sub) }

// yolk_addEntropy mixes p into the generator.
//
//go:linkname yolk_addEntropy runtime/yolk/wiring.addEntropy
func yolk_addEntropy(p []byte) {
	linux.Syscall6(nrAddEntropy, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0, 0)
}

// yolk_onStack reports whether p lies in the calling goroutine's stack.
//
//go:linkname yolk_onStack runtime/yolk/wiring.onStack
func yolk_onStack(p unsafe.Pointer) bool {
	gp := getg()
	return uintptr(p)-gp.stack.lo < gp.stack.hi-gp.stack.lo
}

//go:linkname yolk_runtimeArgs runtime/yolk/wiring.runtimeArgs
func yolk_runtimeArgs() []string { return argslice }

//go:linkname yolk_runtimeEnviron runtime/yolk/wiring.runtimeEnviron
func yolk_runtimeEnviron() []string { return envs }

// yolk_outAlone writes to an I/O port while no other CPU runs a thread.
//
//go:linkname yolk_outAlone runtime/yolk/wiring.outAlone
func yolk_outAlone(port uint16, v uint32) {
	linux.Syscall6(nrOutAlone, uintptr(port), uintptr(v), 0, 0, 0, 0)
}
