//go:build tamago

package runtime

import (
	machine "internal/runtime/yolk"
	"unsafe"
)

// The system calls of the machine half: those that the runtime itself makes,
// and private ones of what stands above (machine_api.go).

// Numbers of <asm/unistd_64.h>.
const (
	nrRead          = 0
	nrWrite         = 1
	nrClose         = 3
	nrMmap          = 9
	nrMprotect      = 10
	nrMunmap        = 11
	nrBrk           = 12
	nrSigaction     = 13
	nrSigprocmask   = 14
	nrSigreturn     = 15
	nrSchedYield    = 24
	nrMincore       = 27
	nrMadvise       = 28
	nrNanosleep     = 35
	nrSetitimer     = 38
	nrGetpid        = 39
	nrClone         = 56
	nrFork          = 57
	nrVfork         = 58
	nrExit          = 60
	nrKill          = 62
	nrFcntl         = 72
	nrGettimeofday  = 96
	nrGetuid        = 102
	nrSetuid        = 105
	nrGetgid        = 104
	nrSetgid        = 106
	nrGeteuid       = 107
	nrGetegid       = 108
	nrGetppid       = 110
	nrSigaltstack   = 131
	nrPrctl         = 157
	nrArchPrctl     = 158
	nrGettid        = 186
	nrTkill         = 200
	nrFutex         = 202
	nrSchedAffinity = 204
	nrTimerCreate   = 222
	nrClockGettime  = 228
	nrExitGroup     = 231
	nrTgkill        = 234
	nrOpenat        = 257
	nrFaccessat     = 269
	nrSetRobustList = 273
	nrEpollPwait    = 281
	nrEventfd2      = 290
	nrEpollCreate1  = 291
	nrEpollCtl      = 233
	nrPrlimit64     = 302
	nrGetrandom     = 318
	nrClone3        = 435
)

// Errors of <asm-generic/errno-base.h> that upstream has no names for.
const (
	_EPERM     = 1
	_ENOENT    = 2
	_ESRCH     = 3
	_EBADF     = 9
	_EBUSY     = 16
	_EEXIST    = 17
	_ENODEV    = 19
	_ENOSPC    = 28
	_ETIMEDOUT = 110
)

// machSyscall serves the system call that the current thread made.
//
//go:nowritebarrierrec
func machSyscall() {
	c := thisCPU()
	c.enter()
	t := c.cur
	t.cx, t.r11 = t.ip, t.flags
	nr := t.ax
	if nr == nrSigreturn {
		linuxSigreturn(t)
		machLeave()
		return
	}
	r := machDispatch(t, uintptr(nr), uintptr(t.di), uintptr(t.si), uintptr(t.dx), uintptr(t.r10), uintptr(t.r8), uintptr(t.r9))
	t.ax = uint64(r)
	if t.state == threadRunning && !c.resched && t.pending&^t.mask == 0 && c.queue.Empty() && !mach.cache.stores.due {
		return // the common case: nothing else to do
	}
	machLeave()
}

func machDispatch(t *machThread, nr, a1, a2, a3, a4, a5, a6 uintptr) uintptr {
	switch nr {
	case nrFutex:
		return linuxFutex(t, a1, a2, a3, a4)
	case nrNanosleep:
		return linuxNanosleep(a1)
	case nrEpollPwait:
		return linuxEpollWait(t, a2, int(a3), int32(a4))
	case nrSchedYield:
		c := thisCPU()
		c.resched = !c.queue.Empty()
		return 0
	case nrMmap, nrMunmap, nrMprotect, nrMadvise, nrMincore, nrBrk:
		return machMemoryCall(nr, a1, a2, a3, a4, a5)
	case nrEpollCtl:
		if a1 != pollFD {
			return machErr(_EBADF)
		}
		return linuxEpollCtl(a2, a3, a4)
	case nrTgkill:
		return linuxTgkill(int32(a1), int32(a2), uint32(a3))
	case nrWrite, nrRead:
		return machFileCall(nr, a1, a2, a3)
	case nrSigprocmask:
		return linuxSigprocmask(t, a1&0xffffffff, a2, a3, a4)
	case nrSigaction:
		return linuxSigaction(uint32(a1), a2, a3, a4)
	case nrSigaltstack:
		return linuxSigaltstack(t, a1, a2)
	case nrClone:
		return linuxCloneThread(t, a1, a2, a3, a4, a5)
	case nrExit:
		linuxExitThread(t)
		return 0
	case nrExitGroup:
		machExit(int(uint8(a1)))
	}
	if nr >= uintptr(machine.FirstCall) {
		return machineCall(t, machine.Call(nr), a1, a2, a3, a4, a5, a6)
	}
	return machRareCall(t, nr, a1, a2, a3, a4)
}

func machMemoryCall(nr, a1, a2, a3, a4, a5 uintptr) uintptr {
	m := &mach.mem
	switch nr {
	case nrMmap:
		if a4&_MAP_ANON == 0 {
			return machErr(_ENODEV) // ENODEV: files are mapped by the kernel above
		}
		return m.mmap(a1, a2, a3, a4)
	case nrMunmap:
		r := m.munmap(a1, a2)
		m.noticeFreed()
		return r
	case nrMprotect:
		return m.mprotect(a1, a2, a3)
	case nrMadvise:
		r := m.madvise(a1, a2, a3)
		m.noticeFreed()
		return r
	case nrMincore:
		return m.mincore(a1, a2, a3)
	}
	// brk(2): the break is the end of the image, and stays there.
	return (firstmoduledata.end + machPage - 1) &^ (machPage - 1)
}

// machFileCall serves the descriptors that the runtime uses before and below
// the kernel: the console and the poller's eventfd.
func machFileCall(nr, fd, buf, n uintptr) uintptr {
	switch {
	case fd == pollEventFD && nr == nrWrite:
		return linuxEventWrite(buf)
	case fd == pollEventFD:
		return linuxEventRead(buf)
	case (fd == 1 || fd == 2) && nr == nrWrite:
		conWrite(buf, n)
		return n
	case nr == nrWrite && fd == dumpfd && fd > 2:
		return mach.held.write(fd, buf, n)
	}
	return machErr(_EBADF)
}

// machHeld is what the runtime has written to a file when the kernel above could
// not run: a heap dump, with the world stopped. Each write is its descriptor and
// length, 8 bytes each, and the data. writeHeld takes it to the files.
type machHeld struct {
	machRange // mapped memory
	next      uintptr
}

const machHeldHeader = 16

func (h *machHeld) write(fd, buf, n uintptr) uintptr {
	if h.start == 0 {
		// Address space: what is touched of it is what is written.
		size := mach.mem.total
		p := mach.mem.mmap(0, size, _PROT_READ|_PROT_WRITE, _MAP_ANON|_MAP_PRIVATE)
		if machFailed(p) {
			return p
		}
		h.machRange, h.next = machRange{p, p + size}, p
	}
	if h.end-h.next < machHeldHeader || n > h.end-h.next-machHeldHeader {
		return machErr(_ENOSPC) // ENOSPC
	}
	store64(h.next, uint64(fd))
	store64(h.next+8, uint64(n))
	memmove(unsafe.Pointer(h.next+machHeldHeader), unsafe.Pointer(buf), n)
	h.next += machHeldHeader + n
	return n
}

// take returns all that is held. The memory behind it is the caller's to unmap.
func (h *machHeld) take() machRange {
	r := machRange{h.start, h.next}
	if r.start != 0 {
		rest := (h.next + machPage - 1) &^ (machPage - 1)
		mach.mem.munmap(rest, h.end-rest)
	}
	*h = machHeld{}
	return r
}

// machRareCall serves what is not called often.
func machRareCall(t *machThread, nr, a1, a2, a3, a4 uintptr) uintptr {
	switch nr {
	case nrGettid:
		return uintptr(t.id)
	case nrGetpid:
		return 1
	case nrArchPrctl:
		if a1 != 0x1002 { // ARCH_SET_FS
			return machErr(_EINVAL)
		}
		t.fsbase = a2
		thisCPU().fsbase = a2
		wrmsr(msrFSBase, uint64(a2))
		return 0
	case nrEpollCreate1:
		return pollFD
	case nrEventfd2:
		return pollEventFD
	case nrSchedAffinity:
		if a2 < 8 {
			return machErr(_EINVAL)
		}
		store64(a3, ^uint64(0)>>(64-uint(mach.smp.n)))
		return 8
	case nrClockGettime:
		return linuxClockGettime(t, a1, a2)
	case nrGettimeofday:
		ns := uint64(machNow()) + machClock.wall
		store64(a1, ns/1e9)
		store64(a1+8, ns%1e9/1e3)
		return 0
	case nrKill:
		return linuxKill(int32(a1), uint32(a2))
	case nrTkill:
		return linuxTgkill(machPID, int32(a1), uint32(a2))
	case nrSetitimer:
		return linuxSetitimer(a1, a2)
	case nrGetrandom:
		return linuxGetrandom(a1, a2, a3)
	case nrOpenat, nrFaccessat:
		return machErr(_ENOENT) // the kernel above has the files
	case nrGetuid, nrGetgid, nrGeteuid, nrGetegid, nrGetppid, nrSetuid, nrSetgid, nrFcntl:
		return 0
	case nrClose:
		return machErr(_EBADF) // no file is open here
	case nrPrctl, nrPrlimit64:
		return machErr(_EINVAL)
	case nrTimerCreate: // the runtime falls back to setitimer
		return machErr(_ENOSYS)
	case nrFork, nrVfork, nrClone3:
		return linuxClone(t, 0, 0, 0)
	}
	return machSignalCall(t, nr, a1, a2, a3, a4)
}

// linuxClockGettime is clock_gettime(2): wall clocks, CPU time of the process and
// of the thread, and else the time since boot.
func linuxClockGettime(t *machThread, clock, ts uintptr) uintptr {
	now := machNow()
	ns := uint64(now)
	switch clock {
	case 0, 5: // CLOCK_REALTIME, CLOCK_REALTIME_COARSE
		ns += machClock.wall
	case 2: // CLOCK_PROCESS_CPUTIME_ID
		ns = 0
		for _, c := range mach.smp.cpus() {
			ns += uint64(c.busyUntil(now))
		}
	case 3: // CLOCK_THREAD_CPUTIME_ID
		ns = uint64(t.ranUntil(now))
	default:
		if int32(clock) < 0 {
			v, ok := cpuClock(t, int32(clock), now)
			if !ok {
				return machErr(_EINVAL)
			}
			ns = uint64(v)
		}
	}
	store64(ts, ns/1e9)
	store64(ts+8, ns%1e9)
	return 0
}

// linuxSetitimer is setitimer(2) with ITIMER_PROF, for the CPU profile: SIGPROF
// at each interval on each CPU that runs a thread.
func linuxSetitimer(which, value uintptr) uintptr {
	if which != _ITIMER_PROF {
		return machErr(_EINVAL)
	}
	mach.timer.startProfile(int64(load64(value))*1e9 + int64(load64(value+8))*1000)
	return 0
}

// kernelHandler is the kernel's entry, once it is up.
var kernelHandler func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr)

// kernelCall passes a program's system call to the kernel as a function call.
// It runs on the caller's goroutine, which may block, allocate and grow its
// stack in it. The arguments go twice, as numbers and, those that lie in the
// goroutine's stack, as pointers, which a moving stack adjusts.
//
// ok is false where Go code of that kind cannot run: on a system stack, with
// locks of the runtime held (also between fork and exec), in malloc, and
// before the kernel is up. The caller then executes SYSCALL.
//
//go:linkname kernelCall syscall.kernelCall
//go:nosplit
func kernelCall(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr, ok bool) {
	gp := getg()
	mp := gp.m
	if kernelHandler == nil || gp != mp.curg || mp.locks != 0 || mp.mallocing != 0 || mp.dying != 0 {
		return 0, 0, 0, false
	}
	lo := gp.stack.lo
	size := gp.stack.hi - lo
	var p [6]unsafe.Pointer
	if a1-lo < size {
		p[0] = unsafe.Pointer(a1)
	}
	if a2-lo < size {
		p[1] = unsafe.Pointer(a2)
	}
	if a3-lo < size {
		p[2] = unsafe.Pointer(a3)
	}
	if a4-lo < size {
		p[3] = unsafe.Pointer(a4)
	}
	if a5-lo < size {
		p[4] = unsafe.Pointer(a5)
	}
	if a6-lo < size {
		p[5] = unsafe.Pointer(a6)
	}
	r1, r2, errno = kernelHandler(trap, [6]uintptr{a1, a2, a3, a4, a5, a6}, p)
	return r1, r2, errno, true
}
