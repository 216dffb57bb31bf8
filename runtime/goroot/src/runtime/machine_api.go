//go:build tamago

package runtime

import (
	"internal/abi"
	"internal/runtime/syscall/linux"
	machine "internal/runtime/yolk"
	"internal/runtime/yolk/areas"
	"unsafe"
)

// What package wiring (runtime/wiring), which starts the kernel, may ask of the machine;
// its machine.go lists all of it. What changes the machine half's state, or reads what
// its lock protects, is a private system call, which machineCall serves here. The rest
// are the functions below, which run on ordinary goroutines.

// machHooks are what the kernel above has told, and what was logged once.
type machHooks struct {
	powerOff   machine.PowerOff
	loggedFork bool
	filePages  *int64 // of the root file system
}

// machineCall serves a private call of the current thread t: machine.Call says what its
// arguments are.
func machineCall(t *machThread, call machine.Call, a1, a2, a3, a4, a5, a6 uintptr) uintptr {
	switch call {
	case machine.CallWaitDevice:
		return mach.poll.waitDevice(t)
	case machine.CallSetPollable:
		return mach.poll.setPollable(a1, a2 != 0)
	case machine.CallInterrupt:
		return mach.poll.takeInterrupt()
	case machine.CallConsoleWrite:
		return conTryWrite(a1, a2)
	case machine.CallConsoleRead:
		return conRead(a1, a2)
	case machine.CallAddEntropy:
		return machAddEntropy(a1, a2)
	case machine.CallHoldRandom:
		machHoldRandom()
	case machine.CallReseed:
		machReseed()
	case machine.CallWatch:
		return mach.generation.watch(a1)
	case machine.CallNoticeResume:
		mach.generation.notice = a1 + 1
	case machine.CallCPUBusy:
		if a1 < uintptr(mach.smp.online) {
			return uintptr(mach.smp.cpu[a1].busyUntil(machNow()))
		}
	case machine.CallCPUCounts:
		if a1 < uintptr(mach.smp.online) {
			*(*machine.CPUCounts)(unsafe.Pointer(a2)) = mach.smp.cpu[a1].counts
		}
	case machine.CallThreads:
		return listThreads((*machine.Thread)(unsafe.Pointer(a1)), a2)
	case machine.CallOutAlone:
		mach.smp.flushTLB()
		outl(uint16(a1), uint32(a2))
	case machine.CallSendSignal:
		return signalCall(int32(a1), (*machSigInfo)(unsafe.Pointer(a2)), a3 != 0)
	case machine.CallWatchSignals:
		mach.sig.watcher, mach.sig.watched = machine.Device(a1), uint64(a2)
	case machine.CallSetClock:
		machClock.set(uint64(a1))
	case machine.CallSetPowerOff:
		mach.hooks.powerOff = *(*machine.PowerOff)(unsafe.Pointer(a1))
	case machine.CallNewReader:
		return newReader((*machine.ReaderSpec)(unsafe.Pointer(a1)))
	case machine.CallEndReader:
		(*machReader)(unsafe.Pointer(a1)).end(a2 != 0)
	default:
		return machineMemoryCall(call, a1, a2, a3, a4, a5, a6)
	}
	return 0
}

// machineMemoryCall serves the calls about memory that no file has.
func machineMemoryCall(call machine.Call, a1, a2, a3, a4, a5, a6 uintptr) uintptr {
	m := &mach.mem
	switch call {
	case machine.CallContiguous:
		if p := m.contiguous(a1); p != 0 {
			return p
		}
		return machErr(_ENOMEM)
	case machine.CallMapIO:
		if a3 != 0 {
			return m.view(a1, a2)
		}
		return m.mapIO(a1, a2, ioBits)
	case machine.CallMapPhysical:
		return m.mapPhysical(a1, a2)
	case machine.CallAllocDMA:
		return m.allocDMA(a1)
	case machine.CallTakeFrames:
		*(*machRange)(unsafe.Pointer(a3)) = m.takeFrames(a1, a2 != 0)
	case machine.CallGiveFrames:
		m.giveFrames(machRange{a1, a2}, a3 != 0)
	case machine.CallNoticeFreed:
		m.device, m.notice = int(a1), a2
		m.noticeFreed()
	case machine.CallArea:
		if i := m.areas().Find(a1); i < m.narea {
			a := &m.areas()[i]
			*(*machine.Area)(unsafe.Pointer(a2)) = machine.Area{Start: a.Start, End: a.End, Prot: a.Prot & areas.Access}
		}
	case machine.CallTakePages:
		return m.takePages(a1, a2, a3)
	case machine.CallGivePages:
		m.givePages(a1, a2)
		m.noticeFreed()
	case machine.CallHeldWrites:
		*(*machRange)(unsafe.Pointer(a1)) = mach.held.take()
	default:
		return machineFileCall(call, a1, a2, a3, a4, a5, a6)
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
	linux.Syscall6(uintptr(machine.CallWaitDevice), 0, 0, 0, 0, 0, 0)
	systemstack(func() {
		lock(&sched.lock)
		sched.nmsys--
		unlock(&sched.lock)
	})
	exitsyscall()
}

// yolk_yieldingCall makes a system call of the machine half that may wait. The thread
// waits without its P, as in a system call on Linux: other goroutines run.
//
//go:linkname yolk_yieldingCall runtime/yolk/wiring.yieldingCall
//go:nosplit
func yolk_yieldingCall(nr, a1, a2, a3, a4, a5, a6 uintptr) (r1, errno uintptr) {
	entersyscallblock()
	r1, _, errno = linux.Syscall6(nr, a1, a2, a3, a4, a5, a6)
	exitsyscall()
	return r1, errno
}

// yolk_call makes a system call of the machine half. A stack cannot move on the way
// there: addresses stay what they are.
//
//go:linkname yolk_call runtime/yolk/wiring.call
//go:nosplit
func yolk_call(nr, a1, a2, a3, a4, a5, a6 uintptr) (r1, errno uintptr) {
	r1, _, errno = linux.Syscall6(nr, a1, a2, a3, a4, a5, a6)
	return r1, errno
}

//go:linkname yolk_notify runtime/yolk/wiring.notify
func yolk_notify(fd int, events uint32) { netpollNotify(uintptr(fd), events) }

//go:linkname yolk_consoleWrite runtime/yolk/wiring.consoleWrite
func yolk_consoleWrite(p []byte) {
	for {
		n, _, _ := linux.Syscall6(uintptr(machine.CallConsoleWrite), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0, 0)
		if p = p[n:]; len(p) == 0 {
			return
		}
		if n == 0 {
			timeSleep(1e6) // the VMM's reader is slow: nothing tells when it has read
		}
	}
}

// yolk_memory returns the RAM and the free part of it, in bytes.
//
//go:linkname yolk_memory runtime/yolk/wiring.memory
func yolk_memory() (total, free uint64) { return uint64(mach.mem.total), uint64(mach.mem.Free) }

// yolk_limitMemory makes the collector keep the heap below limit bytes, unless
// the program's environment has its own GOMEMLIMIT, and a goroutine's stack
// below stack bytes.
//
//go:linkname yolk_limitMemory runtime/yolk/wiring.limitMemory
func yolk_limitMemory(limit, stack int64) {
	setMaxStack(int(stack))
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

// yolk_physical returns the physical address of a byte of resident memory, 0
// if it is not resident.
//
//go:linkname yolk_physical runtime/yolk/wiring.physical
func yolk_physical(p unsafe.Pointer) uint64 { return uint64(mach.mem.physical(uintptr(p))) }

// yolk_memoryAt returns n bytes at a physical address, as machMem.view has them, nil
// where that is not.
//
//go:linkname yolk_memoryAt runtime/yolk/wiring.memoryAt
func yolk_memoryAt(phys uint64, n int) []byte {
	if n < 0 {
		return nil
	}
	va := uintptr(phys) + directMap
	if !mach.mem.isRAM(uintptr(phys), uintptr(n)) {
		va, _, _ = linux.Syscall6(uintptr(machine.CallMapIO), uintptr(phys), uintptr(n), 1, 0, 0, 0)
		if va == 0 {
			return nil
		}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(va)), n)
}

// yolk_interrupt takes a device interrupt, with a descriptor to wait on with
// yolk_waitInterrupt, nil if none is left.
//
//go:linkname yolk_interrupt runtime/yolk/wiring.interrupt
func yolk_interrupt() (d machine.Device, pd *pollDesc) {
	n, _, errno := linux.Syscall6(uintptr(machine.CallInterrupt), 0, 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0, nil
	}
	poll_runtime_pollServerInit()
	pd, e := poll_runtime_pollOpen(pollDevice + n)
	if e != 0 {
		throw("machine: cannot watch a device interrupt")
	}
	return machine.Device(n), pd
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

// yolk_cpu returns the index of the CPU that the caller runs on.
//
//go:linkname yolk_cpu runtime/yolk/wiring.cpu
func yolk_cpu() int { return thisCPU().index }

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

// yolk_isMapped reports whether p lies in a mapping of a file, whose pages come and
// go.
//
//go:linkname yolk_isMapped runtime/yolk/wiring.isMapped
func yolk_isMapped(p unsafe.Pointer) bool {
	if mach.cache.files == nil {
		return false
	}
	r, _, _ := linux.Syscall6(uintptr(machine.CallIsMapped), uintptr(p), 0, 0, 0, 0, 0)
	return r != 0
}

// yolk_largePages returns how many bytes of the program's memory are in pages of
// 2 MiB.
//
//go:linkname yolk_largePages runtime/yolk/wiring.largePages
func yolk_largePages() uint64 { return uint64(mach.mem.large) * machLargePage }

//go:linkname yolk_cpuid runtime/yolk/wiring.cpuid
func yolk_cpuid(leaf, sub uint32) (a, b, c, d uint32) { return machCPUID(leaf, sub) }

// yolk_reseed gives the generators of all threads new keys while none of them uses its own.
//
//go:linkname yolk_reseed runtime/yolk/wiring.reseed
func yolk_reseed() {
	stw := stopTheWorld(stwUnknown)
	linux.Syscall6(uintptr(machine.CallReseed), 0, 0, 0, 0, 0, 0)
	startTheWorld(stw)
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

// yolk_bootInfo returns what the VMM told the machine.
//
//go:linkname yolk_bootInfo runtime/yolk/wiring.bootInfo
func yolk_bootInfo() machine.Boot {
	words := string(unsafe.Slice((*byte)(unsafe.Pointer(mach.words)), mach.wordsn))
	b := machine.Boot{
		CommandLine: words[:mach.linen],
		Words:       words,
		RSDP:        uint64(mach.rsdp),
		BootAPIC:    mach.smp.apic[0],
		CPUs:        mach.smp.n,
	}
	if f := mach.files; f.start != f.end {
		b.InitialFiles = unsafe.Slice((*byte)(unsafe.Pointer(f.start+directMap)), f.end-f.start)
	}
	return b
}
