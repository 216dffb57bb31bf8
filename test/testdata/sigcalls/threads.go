package main

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// ended runs f on a thread of its own and returns when the thread has ended.
func ended(f func()) {
	word := keep(int32(1))
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		f()
		call(syscall.SYS_SET_TID_ADDRESS, unsafe.Pointer(word))
	}()
	waitZero(word)
}

// waitZero waits for a word to become 0, with futex(2).
func waitZero(word *int32) {
	const futexWait = 0
	for {
		v := atomic.LoadInt32(word)
		if v == 0 {
			return
		}
		ts := keep(syscall.Timespec{Sec: 10})
		if r := call(syscall.SYS_FUTEX, unsafe.Pointer(word), futexWait, int(v), unsafe.Pointer(ts)); r.e == syscall.ETIMEDOUT {
			note("futex", "nobody wakes it")
			return
		}
	}
}

func threadEnd() {
	word := keep(int32(1))
	self := make(chan bool, 1)
	go func() {
		runtime.LockOSThread()
		r := call(syscall.SYS_SET_TID_ADDRESS, unsafe.Pointer(word))
		self <- int(r.r) == tid() && r.e == 0
		time.Sleep(30 * time.Millisecond)
	}()
	note("own ID", <-self)
	note("before", atomic.LoadInt32(word))
	waitZero(word)
	note("after", atomic.LoadInt32(word))
	ended(func() { call(syscall.SYS_SET_TID_ADDRESS, 8) })
	note("bad address", "ends all the same")
}

type robustHead struct {
	next    uintptr
	offset  int
	pending uintptr
}

type robustEntry struct {
	next  uintptr
	futex uint32
	_     uint32
}

func robustList() {
	const waiters, died = 0x80000000, 0x40000000
	size := int(unsafe.Sizeof(robustHead{}))
	head := keep(robustHead{})
	a, b, other, unsettled := keep(robustEntry{}), keep(robustEntry{}), keep(robustEntry{}), keep(robustEntry{})
	ended(func() {
		me := uint32(tid())
		a.futex, b.futex, other.futex, unsettled.futex = me, me|waiters, me+1, me
		head.next, head.offset = uintptr(unsafe.Pointer(a)), int(unsafe.Offsetof(a.futex))
		head.pending = uintptr(unsafe.Pointer(unsettled))
		a.next, b.next, other.next = uintptr(unsafe.Pointer(b)), uintptr(unsafe.Pointer(other)), uintptr(unsafe.Pointer(head))
		note("size", call(syscall.SYS_SET_ROBUST_LIST, unsafe.Pointer(head), size-1))
		note("set", call(syscall.SYS_SET_ROBUST_LIST, unsafe.Pointer(head), size))
		p, n := keep(uintptr(0)), keep(uintptr(0))
		note("get", call(syscall.SYS_GET_ROBUST_LIST, 0, unsafe.Pointer(p), unsafe.Pointer(n)), *p == uintptr(unsafe.Pointer(head)), int(*n) == size)
		note("by ID", call(syscall.SYS_GET_ROBUST_LIST, tid(), unsafe.Pointer(p), unsafe.Pointer(n)), *p == uintptr(unsafe.Pointer(head)))
		note("nobody", call(syscall.SYS_GET_ROBUST_LIST, 1<<30, unsafe.Pointer(p), unsafe.Pointer(n)))
		note("fault", call(syscall.SYS_GET_ROBUST_LIST, 0, 8, unsafe.Pointer(n)))
	})
	note("held", a.futex == died)
	note("waited for", b.futex == died|waiters)
	note("another's", other.futex&died)
	note("being taken", unsettled.futex == died)
	ended(func() {
		call(syscall.SYS_SET_ROBUST_LIST, unsafe.Pointer(keep(robustHead{next: 8})), size)
	})
	ended(func() { call(syscall.SYS_SET_ROBUST_LIST, 8, size) })
	loop := keep(robustHead{})
	entry := keep(robustEntry{})
	loop.next, entry.next = uintptr(unsafe.Pointer(entry)), uintptr(unsafe.Pointer(entry))
	ended(func() { call(syscall.SYS_SET_ROBUST_LIST, unsafe.Pointer(loop), size) })
	note("bad lists", "end all the same")
}

func rest() {
	note("restart_syscall", call(syscall.SYS_RESTART_SYSCALL))
	now := call(syscall.SYS_BRK, 0)
	note("brk", now.e == 0 && now.r > 1<<16, call(syscall.SYS_BRK, 4096) == now, call(syscall.SYS_BRK, 1<<62) == now)
	note("clone", call(syscall.SYS_CLONE, 0x10000), call(syscall.SYS_CLONE, 0x800))
}
