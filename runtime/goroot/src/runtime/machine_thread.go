//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	"unsafe"
)

// Threads (an M is a thread), the run queue, futexes, sleep and idle. One CPU.

// machThread is a thread: its saved context and what it waits for. Each has a
// page of its own, with the vector state behind it.
type machThread struct {
	_                              sys.NotInHeap
	ax, bx, cx, dx, si, di, bp, sp uint64
	r8, r9, r10, r11               uint64
	r12, r13, r14, r15             uint64
	ip, flags                      uint64
	trap, trapErr, cr2             uint64
	fpu                            uintptr
	ctx                            uint32 // ctxSyscall, ctxFPU or ctxPlain
	state                          uint32
	fsbase                         uintptr

	id       int32
	deadline int64       // when a timed wait ends (nanotime); 0: never
	wait     uintptr     // futex address, or where to put epoll events
	waitMax  int         // how many events fit
	next     *machThread // run queue
	all      *machThread // every thread

	// Signals.
	mask     uint64 // blocked
	pending  uint64
	info     [65]machSigInfo
	altSP    uintptr
	altSize  uintptr
	altFlags uint32
}

// machSigInfo is what a pending signal carries.
type machSigInfo struct {
	code int32
	addr uintptr
}

const (
	threadRunning = iota // runs or is in the run queue
	threadFutex
	threadSleep
	threadPoll
	threadDevice
	threadDead
)

const (
	threadFPU = 2048 // offset of the vector state in a thread's pages
	// timeSlice is how long a thread runs while others wait (ns).
	timeSlice = 4e6
)

// machSched is the scheduler's state.
type machSched struct {
	first, last *machThread // run queue
	threads     *machThread // all
	dead        *machThread // to be used again
	lastID      int32
	sleepers    int   // threads with a deadline
	slice       int64 // when the current thread's slice ends; 0: no other waits
	resched     bool  // the current thread should yield
	fpuSize     uintptr
}

func newThread() *machThread {
	s := &mach.sched
	t := s.dead
	if t != nil {
		s.dead = t.next
		id, fpu, all := t.id, t.fpu, t.all
		memclrNoHeapPointers(unsafe.Pointer(t), unsafe.Sizeof(machThread{}))
		t.id, t.fpu, t.all = id, fpu, all
	} else {
		if unsafe.Sizeof(machThread{}) > threadFPU {
			machFatal("machThread is too large", unsafe.Sizeof(machThread{}))
		}
		n := (threadFPU + s.fpuSize + machPage - 1) &^ (machPage - 1)
		var p uintptr
		if n == machPage {
			p = mach.mem.zeroFrame()
		} else if p = mach.mem.contiguous(n); p == 0 {
			machOutOfMemory()
		} else {
			p += directMap
		}
		t = (*machThread)(unsafe.Pointer(p))
		t.fpu = p + threadFPU
		t.all = s.threads
		s.threads = t
	}
	s.lastID++
	t.id = s.lastID
	t.flags = 0x202 // IF
	t.altFlags = _SS_DISABLE
	return t
}

// thisCPU returns this CPU.
func thisCPU() *machCPU { return mach.cpu }

// ready puts a thread that waited into the run queue; front is for those that
// should run before all others.
func (s *machSched) ready(t *machThread, front bool) {
	if t.deadline != 0 {
		t.deadline = 0
		s.sleepers--
	}
	t.state = threadRunning
	s.enqueue(t, front)
}

func (s *machSched) enqueue(t *machThread, front bool) {
	t.next = nil
	switch {
	case s.first == nil:
		s.first, s.last = t, t
	case front:
		t.next = s.first
		s.first = t
	default:
		s.last.next = t
		s.last = t
	}
}

// block makes the current thread wait in the given state, until deadline if
// that is not 0.
func (s *machSched) block(state uint32, deadline int64) {
	t := thisCPU().cur
	t.state = state
	if deadline != 0 {
		t.deadline = deadline
		s.sleepers++
	}
}

// pick decides which thread machResume continues. It is the last step of every
// visit to the machine half.
func (s *machSched) pick() {
	c := thisCPU()
	cur := c.cur
	if cur.state == threadRunning && cur != c.idle {
		if !s.resched || s.first == nil {
			s.arm(c)
			return
		}
		s.enqueue(cur, false)
	}
	s.resched = false
	if s.first == nil {
		mach.poll.wakeServer()
	}
	next := s.first
	if next == nil {
		next = c.idle
		next.ctx = ctxPlain
		next.ip = uint64(abiFuncPC(machIdle))
		next.sp = uint64(c.stack)
		next.flags = 2 // machIdle enables interrupts
	} else {
		s.first = next.next
		next.next = nil
	}
	if cur.state == threadDead {
		cur.next = s.dead
		s.dead = cur
	}
	c.cur = next
	if next.fsbase != c.fsbase && next != c.idle {
		c.fsbase = next.fsbase
		wrmsr(msrFSBase, uint64(next.fsbase))
	}
	s.slice = 0
	s.arm(c)
}

// arm sets the timer for the next deadline or the end of the time slice.
func (s *machSched) arm(c *machCPU) {
	if s.first != nil && s.slice == 0 {
		s.slice = machNow() + timeSlice
	}
	if s.sleepers == 0 && s.slice == 0 && mach.timer.profile == 0 {
		return
	}
	when := s.slice
	if s.sleepers > 0 {
		for t := s.threads; t != nil; t = t.all {
			if t.deadline != 0 && (when == 0 || t.deadline < when) {
				when = t.deadline
			}
		}
	}
	if p := mach.timer.profileNext; mach.timer.profile != 0 && c.cur != c.idle && (when == 0 || p < when) {
		when = p
	}
	if when != 0 {
		mach.timer.set(when)
	}
}

// expire wakes the threads whose deadline has come. They go first: they are
// sysmon and timers, which others wait for.
func (s *machSched) expire(now int64) {
	if s.sleepers == 0 {
		return
	}
	for t := s.threads; t != nil; t = t.all {
		if t.deadline == 0 || t.deadline > now {
			continue
		}
		switch t.state {
		case threadFutex:
			t.ax = uint64(machErr(110))
		default: // sleep ends, epoll_wait has no events
			t.ax = 0
		}
		s.ready(t, true)
		s.resched = true
	}
}

// tick is the timer interrupt.
func (s *machSched) tick() {
	now := machNow()
	mach.timer.armed = 0
	s.expire(now)
	if s.slice != 0 && now >= s.slice {
		s.slice = 0
		s.resched = true
	}
	mach.timer.profileTick(now)
	machClockRefine()
}

// linuxFutex is futex(2): FUTEX_WAIT and FUTEX_WAKE, as the runtime uses them.
func linuxFutex(t *machThread, addr, op, val, timeout uintptr) uintptr {
	s := &mach.sched
	switch op & 127 {
	case 0: // FUTEX_WAIT
		if load32(addr) != uint32(val) {
			return machErr(_EAGAIN)
		}
		deadline := int64(0)
		if timeout != 0 {
			deadline = machNow() + timespecNanos(timeout)
		}
		t.wait = addr
		s.block(threadFutex, deadline)
		return 0
	case 1: // FUTEX_WAKE
		woken := uintptr(0)
		for w := s.threads; w != nil && woken < val; w = w.all {
			if w.state == threadFutex && w.wait == addr {
				w.ax = 0
				s.ready(w, false)
				woken++
			}
		}
		return woken
	}
	return machErr(_ENOSYS)
}

// timespecNanos reads a struct timespec, capped at 290 years.
func timespecNanos(p uintptr) int64 {
	sec, nsec := int64(load64(p)), int64(load64(p+8))
	if sec > 9e9 {
		return 9e18
	}
	return max(sec*1e9+nsec, 1)
}

func linuxNanosleep(ts uintptr) uintptr {
	d := timespecNanos(ts)
	if d < timerSlack {
		// Sleeps of microseconds are spins of the runtime that yield to
		// other threads; on one CPU a timer interrupt each costs more than
		// they gain.
		d = timerSlack
	}
	mach.sched.block(threadSleep, machNow()+d)
	return 0
}

// timerSlack is the shortest sleep (ns), as Linux's default timer slack.
const timerSlack = 50e3

// linuxClone makes a thread (never a process).
func linuxClone(t *machThread, flags, stack, tls uintptr) uintptr {
	const thread, setTLS = 0x10000, 0x80000
	if flags&thread == 0 {
		machLogOnce(&mach.hooks.loggedFork, "yolk: the program tried to start a process; there are none here (ENOSYS)\n")
		return machErr(_ENOSYS)
	}
	n := newThread()
	n.bx, n.cx, n.dx, n.si, n.di, n.bp = t.bx, t.cx, t.dx, t.si, t.di, t.bp
	n.r8, n.r9, n.r10, n.r11 = t.r8, t.r9, t.r10, t.r11
	n.r12, n.r13, n.r14, n.r15 = t.r12, t.r13, t.r14, t.r15
	n.ip, n.flags, n.mask = t.ip, t.flags, t.mask
	n.sp = uint64(stack)
	n.fsbase = t.fsbase
	if flags&setTLS != 0 {
		n.fsbase = tls
	}
	n.ctx = ctxSyscall
	mach.sched.enqueue(n, false)
	return uintptr(n.id)
}

func linuxExitThread(t *machThread) {
	t.state = threadDead
	t.pending = 0
}

// abiFuncPC returns the entry address of an assembly function, which must be
// ABIInternal: for others a function value is the address of a wrapper.
func abiFuncPC(f func()) uintptr {
	return **(**uintptr)(unsafe.Pointer(&f))
}
