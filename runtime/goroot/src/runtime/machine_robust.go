//go:build tamago

package runtime

import (
	"internal/runtime/atomic"
	"unsafe"
)

// The end of a thread: its signals, the list of robust futexes that it holds
// (get_robust_list(2); Documentation/locking/robust-futex-ABI.rst in Linux) and the
// word that set_tid_address(2) names.

const (
	robustHeadSize = 24
	robustLimit    = 2048 // entries that are looked at, as in Linux

	futexWake      = 1
	futexTID       = 0x3fffffff // FUTEX_TID_MASK
	futexOwnerDied = 0x40000000
	futexWaiters   = 0x80000000
)

// endThread does what is due when a thread has ended.
func endThread(t *machThread) {
	t.setMask(^uint64(0)) // signals to the process go to other threads
	t.discard(^uint64(0))
	if t.robust != 0 {
		t.leaveRobust()
	}
	if t.clearTID != 0 && storeTID(t.clearTID, 0) {
		linuxFutex(t, t.clearTID, futexWake, 1, 0)
	}
}

// leaveRobust walks the list {next entry, offset of the futex in an entry, entry that
// is being added or removed}. Bit 0 of an address of an entry marks futexes with
// priority inheritance, which are not served.
func (t *machThread) leaveRobust() {
	head := t.robust
	if !machAccess(head, robustHeadSize, _PROT_READ) {
		return
	}
	at, offset, unsettled := uintptr(load64(head)), uintptr(load64(head+8)), uintptr(load64(head+16))
	for n := 0; at&^1 != head && n < robustLimit && machAccess(at&^1, 8, _PROT_READ); n++ {
		next := uintptr(load64(at &^ 1)) // before another thread can free the entry
		if at != unsettled {
			t.leaveFutex(at+offset, false)
		}
		at = next
	}
	if unsettled != 0 {
		t.leaveFutex(unsettled+offset, true)
	}
}

// leaveFutex marks a futex that the thread holds, and wakes one that waits for it.
func (t *machThread) leaveFutex(addr uintptr, unsettled bool) {
	if addr%4 != 0 || !machAccess(addr, 4, _PROT_READ|_PROT_WRITE) {
		return
	}
	for {
		v := load32(addr)
		switch {
		case v == 0 && unsettled: // unlocked, and perhaps nobody woken yet
		case v&futexTID != uint32(t.id):
			return
		case !atomic.Cas((*uint32)(unsafe.Pointer(addr)), v, v&futexWaiters|futexOwnerDied):
			continue
		}
		if v == 0 || v&futexWaiters != 0 {
			linuxFutex(t, addr, futexWake, 1, 0)
		}
		return
	}
}

// linuxGetRobustList is get_robust_list(2).
func linuxGetRobustList(t *machThread, id int32, head, size uintptr) uintptr {
	if id != 0 {
		t = threadByID(id)
	}
	if t == nil {
		return machErr(_ESRCH)
	}
	if !machAccess(head, 8, _PROT_WRITE) || !machAccess(size, 8, _PROT_WRITE) {
		return machErr(_EFAULT)
	}
	store64(size, robustHeadSize)
	store64(head, uint64(t.robust))
	return 0
}
