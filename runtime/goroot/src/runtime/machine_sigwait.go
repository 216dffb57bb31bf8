//go:build tamago

package runtime

import (
	"internal/runtime/yolk/signals"
	"unsafe"
)

// Waiting for signals, and what else the calls about signals and about a thread's end
// need. A program's call comes here by blockingCall if it may wait.

// machWaiting is a thread's part in it.
type machWaiting struct {
	waitSet   uint64 // of rt_sigtimedwait
	oldMask   uint64 // of rt_sigsuspend, once a handler has run
	suspended bool   // oldMask holds
	clearTID  uintptr
	robust    uintptr // struct robust_list_head
}

const (
	nrPause         = 34
	nrSigpending    = 127
	nrSigtimedwait  = 128
	nrSigsuspend    = 130
	nrSetTIDAddress = 218
	nrGetRobustList = 274

	_EFAULT = 14

	sigsetSize = 8
)

// machSignalCall serves the calls of this file.
func machSignalCall(t *machThread, nr, a1, a2, a3, a4 uintptr) uintptr {
	switch nr {
	case nrPause:
		mach.sched.block(threadPause, 0)
		return machErr(_EINTR)
	case nrSigsuspend:
		return linuxSigsuspend(t, a1, a2)
	case nrSigtimedwait:
		return linuxSigtimedwait(t, a1, a2, a3, a4)
	case nrSigpending:
		return linuxSigpending(t, a1, a2)
	case nrSetTIDAddress:
		t.clearTID = a1
		return uintptr(t.id)
	case nrSetRobustList:
		if a2 != robustHeadSize {
			return machErr(_EINVAL)
		}
		t.robust = a1
		return 0
	case nrGetRobustList:
		return linuxGetRobustList(t, int32(a1), a2, a3)
	}
	return machErr(_ENOSYS)
}

// machAccess tells whether the program may access n bytes with the given PROT_ bits.
func machAccess(p, n, prot uintptr) bool {
	for end := p + n; p < end; {
		a := mach.mem.areas().At(p)
		if a == nil || a.Prot&prot != prot {
			return false
		}
		p = a.End
	}
	return true
}

// waitsFor tells whether the thread is in rt_sigtimedwait for a signal of set.
func (t *machThread) waitsFor(set uint64) bool {
	return t.state == threadSigwait && t.waitSet&set != 0
}

// accept stores a signal where rt_sigtimedwait wants it, and returns its number.
func (t *machThread) accept(info *machSigInfo) uintptr {
	if t.wait != 0 {
		memclrNoHeapPointers(unsafe.Pointer(t.wait), _si_max_size)
		*(*machSigInfo)(unsafe.Pointer(t.wait)) = *info
	}
	return uintptr(info.signo)
}

// linuxSigtimedwait is rt_sigtimedwait(2).
func linuxSigtimedwait(t *machThread, set, info, timeout, size uintptr) uintptr {
	if size != sigsetSize {
		return machErr(_EINVAL)
	}
	if !machAccess(set, sigsetSize, _PROT_READ) || info != 0 && !machAccess(info, _si_max_size, _PROT_WRITE) ||
		timeout != 0 && !machAccess(timeout, 16, _PROT_READ) {
		return machErr(_EFAULT)
	}
	deadline, poll := int64(0), false
	if timeout != 0 {
		sec, nsec := int64(load64(timeout)), load64(timeout+8)
		if sec < 0 || nsec >= 1e9 {
			return machErr(_EINVAL)
		}
		poll = sec == 0 && nsec == 0
		deadline = machNow() + min(timespecNanos(timeout), 1<<62)
	}
	t.waitSet, t.wait = load64(set)&^signals.Unblockable, info
	for _, p := range [...]*machPending{&t.machPending, &mach.sig.machPending} {
		if has := p.pending & t.waitSet; has != 0 {
			got := p.take(signals.First(has))
			return t.accept(&got)
		}
	}
	if poll {
		return machErr(_EAGAIN)
	}
	mach.sched.block(threadSigwait, deadline)
	return 0
}

// linuxSigsuspend is rt_sigsuspend(2): its mask holds until a handler has run.
func linuxSigsuspend(t *machThread, set, size uintptr) uintptr {
	if size != sigsetSize {
		return machErr(_EINVAL)
	}
	if !machAccess(set, sigsetSize, _PROT_READ) {
		return machErr(_EFAULT)
	}
	t.oldMask, t.suspended = t.mask, true
	t.setMask(load64(set))
	if t.pending&^t.mask == 0 {
		mach.sched.block(threadPause, 0)
	}
	return machErr(_EINTR)
}

// savedMask returns the mask that the end of a handler brings back.
func (t *machThread) savedMask() uint64 {
	if !t.suspended {
		return t.mask
	}
	t.suspended = false
	return t.oldMask
}

// linuxSigpending is rt_sigpending(2).
func linuxSigpending(t *machThread, set, size uintptr) uintptr {
	if size > sigsetSize {
		return machErr(_EINVAL)
	}
	if !machAccess(set, size, _PROT_WRITE) {
		return machErr(_EFAULT)
	}
	v := (t.pending | mach.sig.pending) & t.mask
	memmove(unsafe.Pointer(set), unsafe.Pointer(&v), size)
	return 0
}

// linuxCloneThread is clone(2) with the flags that name words for the thread's ID.
func linuxCloneThread(t *machThread, flags, stack, parentTID, childTID, tls uintptr) uintptr {
	const vm, sigHand, thread = 0x100, 0x800, 0x10000
	if flags&thread != 0 && flags&sigHand == 0 || flags&sigHand != 0 && flags&vm == 0 {
		return machErr(_EINVAL)
	}
	id := linuxClone(t, flags, stack, tls)
	if n := threadByID(int32(id)); n != nil {
		if flags&_CLONE_PARENT_SETTID != 0 {
			storeTID(parentTID, id)
		}
		if flags&_CLONE_CHILD_SETTID != 0 {
			storeTID(childTID, id)
		}
		if flags&_CLONE_CHILD_CLEARTID != 0 {
			n.clearTID = childTID
		}
	}
	return id
}

// storeTID stores a thread's ID if that can be done, as Linux does.
func storeTID(p, id uintptr) bool {
	ok := p%4 == 0 && machAccess(p, 4, _PROT_WRITE)
	if ok {
		store32(p, uint32(id))
	}
	return ok
}
