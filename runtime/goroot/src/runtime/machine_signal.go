//go:build tamago

package runtime

import (
	machine "internal/runtime/yolk"
	"internal/runtime/yolk/signals"
	"unsafe"
)

// Signals, as signal(7) has them: dispositions of the process, masks and
// pending signals of threads, rt_sigframe on delivery (arch/x86 signal ABI),
// faults of the CPU as signals.

// sigActions are the dispositions, indexed by signal number. They are in the BSS, and so
// no part of the image's file.
var sigActions [65]sigactiont

// machSignals are the signals of the process.
type machSignals struct {
	machPending // for the process: all threads block them
	free        *machSignal
	queued      int    // signals that are pending
	watched     uint64 // numbers of which the kernel above hears
	watcher     machine.Device
	crashed     *machThread // the thread that ended the program, for debuggers
	fatal       uint32      // by which signal
}

const (
	sigDefault = 0 // SIG_DFL
	sigIgnored = 1 // SIG_IGN

	saNoDefer = 0x40000000
)

// machFrame is what a handler finds on its stack (struct rt_sigframe); the
// vector state, if there is any, lies above it.
type machFrame struct {
	ret  uintptr
	uc   ucontext
	info siginfo
}

func sigBit(sig uint32) uint64 { return signals.Bit(sig) }

// sendSignal makes a signal pending for a thread, and interrupts its wait.
func sendSignal(t *machThread, sig uint32, code int32, addr uintptr) {
	sendInfo(t, &machSigInfo{signo: int32(sig), code: code, fields: [4]uint64{uint64(addr)}}, false)
}

// sendProcessSignal sends a signal to the process: see taker.
func sendProcessSignal(sig uint32) uintptr {
	info := fromUser(sig, 0) // SI_USER
	return sendProcessInfo(&info)
}

// faultSignal turns the exception that the current thread took into a signal.
func faultSignal(t *machThread) {
	sig, code, addr := uint32(_SIGSEGV), int32(_SI_KERNEL), uintptr(0)
	switch t.trap {
	case 0:
		sig, code, addr = _SIGFPE, _FPE_INTDIV, uintptr(t.ip)
	case 1, 3:
		sig = _SIGTRAP
	case 6:
		sig, code, addr = _SIGILL, 2, uintptr(t.ip)
	case 14:
		code, addr = _SEGV_MAPERR, uintptr(t.cr2)
		if mach.mem.beyondFile(uintptr(t.cr2), uintptr(t.trapErr)) {
			sig, code = _SIGBUS, busAdrErr
		} else if t.trapErr&1 != 0 {
			code = _SEGV_ACCERR
		}
	case 16, 19:
		sig, code, addr = _SIGFPE, 0, uintptr(t.ip)
	case 17:
		sig, code = _SIGBUS, 1
	}
	h := sigActions[sig].sa_handler
	if h == sigDefault || h == sigIgnored || t.mask&sigBit(sig) != 0 {
		// Also a fault in the handler itself: force_sig of Linux.
		machFault(faultName(sig), t, 128+int(sig))
	}
	t.add(&machSigInfo{signo: int32(sig), code: code, fields: [4]uint64{uint64(addr)}}, false)
}

func faultName(sig uint32) string {
	switch sig {
	case _SIGFPE:
		return "SIGFPE, not handled"
	case _SIGTRAP:
		return "SIGTRAP, not handled"
	case _SIGILL:
		return "SIGILL, not handled"
	case _SIGBUS:
		return "SIGBUS, not handled"
	}
	return "SIGSEGV, not handled"
}

// deliverSignal makes the thread enter the handler of its first pending signal.
func deliverSignal(t *machThread) {
	sig := signals.First(t.pending &^ t.mask)
	t.lostPage, t.alone = 0, false // the goroutine may go on in another thread
	info := t.take(sig)
	act := &sigActions[sig]
	saved := t.savedMask()
	switch act.sa_handler {
	case sigIgnored:
		t.setMask(saved)
		return
	case sigDefault:
		t.setMask(saved)
		switch signals.Default(sig) {
		case signals.Ignore:
			return
		case signals.Core:
			machCrash(t, sig)
		}
		machExit(128 + int(sig))
	}
	sp := uintptr(t.sp) - 128
	if onStack := sp >= t.altSP && sp < t.altSP+t.altSize; act.sa_flags&_SA_ONSTACK != 0 && t.altFlags&_SS_DISABLE == 0 && !onStack {
		sp = t.altSP + t.altSize
	}
	fpu := uintptr(0)
	if t.ctx == ctxFPU {
		sp = (sp - mach.sched.fpuSize) &^ 63
		fpu = sp
		memmove(unsafe.Pointer(fpu), unsafe.Pointer(t.fpu), mach.sched.fpuSize)
	}
	sp = (sp-unsafe.Sizeof(machFrame{}))&^15 - 8
	f := (*machFrame)(unsafe.Pointer(sp))
	memclrNoHeapPointers(unsafe.Pointer(f), unsafe.Sizeof(*f))
	f.ret = act.sa_restorer
	*(*machSigInfo)(unsafe.Pointer(&f.info)) = info
	f.uc.uc_stack.ss_size = t.altSize
	f.uc.uc_stack.ss_flags = int32(t.altFlags)
	store64(uintptr(unsafe.Pointer(&f.uc.uc_stack.ss_sp)), uint64(t.altSP))
	f.uc.uc_sigmask.__val[0] = saved
	saveContext(t, (*sigcontext)(unsafe.Pointer(&f.uc.uc_mcontext)), fpu)

	mask := t.mask | act.sa_mask
	if act.sa_flags&saNoDefer == 0 {
		mask |= sigBit(sig)
	}
	t.setMask(mask)
	t.ip = uint64(act.sa_handler)
	t.sp = uint64(sp)
	t.di = uint64(sig)
	t.si = uint64(uintptr(unsafe.Pointer(&f.info)))
	t.dx = uint64(uintptr(unsafe.Pointer(&f.uc)))
	t.ax = 0
	t.flags &^= 1<<10 | 1<<8 // DF, TF
	t.ctx = ctxPlain
}

func saveContext(t *machThread, c *sigcontext, fpu uintptr) {
	c.rax, c.rbx, c.rcx, c.rdx, c.rsi, c.rdi = t.ax, t.bx, t.cx, t.dx, t.si, t.di
	c.rbp, c.rsp, c.rip, c.eflags = t.bp, t.sp, t.ip, t.flags
	c.r8, c.r9, c.r10, c.r11 = t.r8, t.r9, t.r10, t.r11
	c.r12, c.r13, c.r14, c.r15 = t.r12, t.r13, t.r14, t.r15
	c.cs, c.err, c.trapno, c.cr2 = 8, t.trapErr, t.trap, t.cr2
	c.oldmask = t.mask
	store64(uintptr(unsafe.Pointer(&c.fpstate)), uint64(fpu))
}

// linuxSigreturn restores what the frame on the thread's stack saved. The
// handler's RET has taken the return address off.
func linuxSigreturn(t *machThread) {
	f := (*machFrame)(unsafe.Pointer(uintptr(t.sp) - 8))
	c := (*sigcontext)(unsafe.Pointer(&f.uc.uc_mcontext))
	t.ax, t.bx, t.cx, t.dx, t.si, t.di = c.rax, c.rbx, c.rcx, c.rdx, c.rsi, c.rdi
	t.bp, t.sp, t.ip = c.rbp, c.rsp, c.rip
	t.r8, t.r9, t.r10, t.r11 = c.r8, c.r9, c.r10, c.r11
	t.r12, t.r13, t.r14, t.r15 = c.r12, c.r13, c.r14, c.r15
	const settable = 0xcd5 | 1<<18 // arithmetic flags, TF, DF, AC
	t.flags = c.eflags&settable | 0x202
	t.setMask(f.uc.uc_sigmask.__val[0])
	t.ctx = ctxPlain
	if fpu := uintptr(load64(uintptr(unsafe.Pointer(&c.fpstate)))); fpu != 0 {
		memmove(unsafe.Pointer(t.fpu), unsafe.Pointer(fpu), mach.sched.fpuSize)
		t.ctx = ctxFPU
	}
}

func linuxSigaction(sig uint32, act, old, size uintptr) uintptr {
	if sig == 0 || sig > 64 || size != 8 || act != 0 && (sig == _SIGKILL || sig == sigStop) {
		return machErr(_EINVAL)
	}
	a := &sigActions[sig]
	if old != 0 {
		*(*sigactiont)(unsafe.Pointer(old)) = *a
	}
	if act != 0 {
		*a = *(*sigactiont)(unsafe.Pointer(act))
		a.sa_mask &^= signals.Unblockable
		if mach.sig.ignores(sig) {
			discardSignal(sig)
		}
	}
	return 0
}

// discardSignal forgets a signal that is ignored from now on, wherever it is pending.
func discardSignal(sig uint32) {
	mach.sig.discard(sigBit(sig))
	for t := mach.sched.threads; t != nil; t = t.all {
		t.discard(sigBit(sig))
	}
}

const (
	sigStop = 19 // SIGSTOP
	siTkill = -6 // SI_TKILL
)

func linuxSigprocmask(t *machThread, how, set, old, size uintptr) uintptr {
	if size != 8 {
		return machErr(_EINVAL)
	}
	if old != 0 {
		store64(old, t.mask)
	}
	if set != 0 {
		mask, ok := signals.Change(t.mask, how, load64(set))
		if !ok {
			return machErr(_EINVAL)
		}
		t.setMask(mask)
	}
	return 0
}

func linuxSigaltstack(t *machThread, set, old uintptr) uintptr {
	if old != 0 {
		store64(old, uint64(t.altSP))
		store64(old+8, uint64(t.altFlags))
		store64(old+16, uint64(t.altSize))
	}
	if set != 0 {
		t.altSP = uintptr(load64(set))
		t.altFlags = load32(set + 8)
		t.altSize = uintptr(load64(set + 16))
	}
	return 0
}

// linuxKill is kill(2) of this process, pid 1.
func linuxKill(pid int32, sig uint32) uintptr {
	if pid != machPID && pid != 0 { // also -1: all processes but the caller's
		return machErr(_ESRCH)
	}
	if sig > 64 {
		return machErr(_EINVAL)
	}
	if sig == _SIGKILL {
		machExit(128 + _SIGKILL)
	}
	if sig != 0 {
		return sendProcessSignal(sig)
	}
	return 0
}

// linuxTgkill is tgkill(2), and tkill(2) with this process's ID.
func linuxTgkill(pid, tid int32, sig uint32) uintptr {
	if pid <= 0 || tid <= 0 || sig > 64 {
		return machErr(_EINVAL)
	}
	t := threadByID(tid)
	if t == nil || pid != machPID {
		return machErr(_ESRCH)
	}
	if sig == 0 {
		return 0
	}
	info := fromUser(sig, siTkill)
	return sendInfo(t, &info, false)
}
