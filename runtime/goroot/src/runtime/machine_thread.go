//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	"internal/runtime/yolk/clock"
	"internal/runtime/yolk/runq"
	"unsafe"
)

// Threads (an M is a thread), run queues, futexes, sleep and idle.

// machThread is a thread: its saved context and what it waits for. Each has a
// page of its own, with the vector state behind it.
type machThread struct {
	_                              sys.NotInHeap
	link                           runq.Link // first: queues name a thread by its address
	ax, bx, cx, dx, si, di, bp, sp uint64
	r8, r9, r10, r11               uint64
	r12, r13, r14, r15             uint64
	ip, flags                      uint64
	trap, trapErr, cr2             uint64
	fpu                            uintptr
	ctx                            uint32 // ctxSyscall, ctxFPU or ctxPlain
	state                          uint32
	fsbase                         uintptr

	id  int32
	cpu *machCPU // where it runs, ran last or is queued
	ran int64    // how long it ran (ns), since its CPU's since aside
	// How often it gave its CPU up to wait, and had to give it up.
	waits, preemptions uint64
	deadline           int64    // when a timed wait ends (nanotime); 0: never
	timer              *machCPU // whose timer keeps the deadline
	wait               uintptr  // futex address, where to put epoll events, or mark of a machRead
	waitMax            int      // how many events fit
	lostPage           uintptr  // address of a page that could not be read: SIGBUS,
	alone              bool     // or, if it was read with others, once more without them
	// Pages of files that it may store to without a wait.
	freeStores int
	all        *machThread // every thread

	// Signals.
	mask uint64 // blocked
	machPending
	machWaiting
	altSP    uintptr
	altSize  uintptr
	altFlags uint32
}

const (
	threadRunning = iota // runs or is in a run queue
	threadFutex
	threadSleep
	threadPoll
	threadDevice
	threadPage // of a file, from a disk: no signal ends that
	threadPause
	threadSigwait
	threadDead
)

const (
	threadFPU = 2048 // offset of the vector state in a thread's pages
	// timeSlice is how long a thread runs while others wait (ns).
	timeSlice = 4e6
)

// address is t's name in queues, threadAt the way back; 0 is nil.
func (t *machThread) address() uintptr     { return uintptr(unsafe.Pointer(t)) }
func threadAt(address uintptr) *machThread { return (*machThread)(unsafe.Pointer(address)) }

// idle tells whether t is a CPU's idle thread.
func (t *machThread) idle() bool { return t.id == 0 }

// machSched is the scheduler's state that no CPU owns.
type machSched struct {
	threads *machThread // all
	dead    runq.Queue  // to be used again
	cpus    runq.CPUs
	lastID  int32
	fpuSize uintptr
}

func newThread() *machThread {
	s := &mach.sched
	t := threadAt(s.dead.Pop())
	if t != nil {
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

// ready puts a thread that waited into a run queue; front is for those that
// should run before all others.
func (s *machSched) ready(t *machThread, front bool) {
	if t.deadline != 0 {
		t.deadline = 0
		t.timer.sleepers--
	}
	t.state = threadRunning
	s.place(t, front)
}

// place queues a thread where it will run soonest.
func (s *machSched) place(t *machThread, front bool) {
	here := thisCPU()
	last := here
	if t.cpu != nil {
		last = t.cpu
	}
	i, busy := s.cpus.Choose(here.index, last.index)
	if busy {
		mach.smp.startNext()
	}
	c := mach.smp.cpu[i]
	c.enqueue(t, front)
	if c != here {
		c.kick()
	}
}

func (c *machCPU) enqueue(t *machThread, front bool) {
	t.cpu = c
	mach.sched.cpus.Push(c.index, &c.queue, t.address(), front)
}

// dequeue takes the first thread of the CPU's queue, nil if there is none.
func (c *machCPU) dequeue() *machThread {
	return threadAt(mach.sched.cpus.Pop(c.index, &c.queue))
}

// steal takes a thread from another CPU's queue, nil if all are empty.
func (s *machSched) steal() *machThread {
	if i, ok := s.cpus.Victim(); ok {
		return mach.smp.cpu[i].dequeue()
	}
	return nil
}

// block makes the current thread wait in the given state, until deadline if
// that is not 0.
func (s *machSched) block(state uint32, deadline int64) {
	c := thisCPU()
	t := c.cur
	t.state = state
	if deadline != 0 {
		t.deadline = deadline
		t.timer = c
		c.sleepers++
	}
}

// pick decides which thread machResume continues on CPU c, this one. It is the
// last step of every visit to the machine half.
func (s *machSched) pick(c *machCPU) {
	cur := c.cur
	if cur.state == threadRunning && cur != c.idle {
		if !c.resched || c.queue.Empty() {
			s.arm(c)
			return
		}
		c.enqueue(cur, false)
	}
	c.resched = false
	next := s.next(c)
	if cur.state == threadDead {
		s.dead.Push(cur.address(), true)
	}
	c.account(next)
	next.cpu = c
	c.cur = next
	s.cpus.Runs(c.index, next != c.idle)
	if next.fsbase != c.fsbase && next != c.idle {
		c.fsbase = next.fsbase
		wrmsr(msrFSBase, uint64(next.fsbase))
	}
	c.slice = 0
	s.arm(c)
}

// account counts the time of the thread that CPU c leaves for next.
func (c *machCPU) account(next *machThread) {
	if next == c.cur {
		return
	}
	now := machNow()
	if c.cur != c.idle {
		c.cur.ran += now - c.since
		c.busy += now - c.since
		if c.cur.state == threadRunning {
			c.counts.Preemptions++
			c.cur.preemptions++
		} else {
			c.counts.Waits++
			c.cur.waits++
		}
	} else {
		c.profileNext += now - c.since
		c.counts.Wakeups++
	}
	c.since = now
}

// busyUntil returns how long the CPU has run threads (ns).
func (c *machCPU) busyUntil(now int64) int64 {
	if c.cur == c.idle {
		return c.busy
	}
	return c.busy + now - c.since
}

// next takes the thread that CPU c should run, the idle thread if there is no
// other.
func (s *machSched) next(c *machCPU) *machThread {
	if t := c.dequeue(); t != nil {
		return t
	}
	if t := s.steal(); t != nil {
		return t
	}
	mach.poll.wakeServer()
	if t := c.dequeue(); t != nil {
		return t
	}
	t := c.idle
	t.ctx = ctxPlain
	t.ip = uint64(abiFuncPC(machIdle))
	t.sp = uint64(c.stack)
	t.flags = 2 // machIdle enables interrupts
	return t
}

// arm sets the CPU's timer for the next deadline or the end of the time slice.
func (s *machSched) arm(c *machCPU) {
	if !c.queue.Empty() && c.slice == 0 {
		c.slice = machNow() + timeSlice
	}
	profiles := mach.timer.profile != 0 && c.cur != c.idle
	if c.sleepers == 0 && c.slice == 0 && !profiles {
		return
	}
	when := c.slice
	if c.sleepers > 0 {
		for t := s.threads; t != nil; t = t.all {
			if t.deadline != 0 && t.timer == c && (when == 0 || t.deadline < when) {
				when = t.deadline
			}
		}
	}
	if profiles && (when == 0 || c.profileNext < when) {
		when = c.profileNext
	}
	if when != 0 {
		c.setTimer(when)
	}
}

// expire wakes the threads whose deadline has come. They go first: they are
// sysmon and timers, which others wait for.
func (s *machSched) expire(c *machCPU, now int64) {
	if c.sleepers == 0 {
		return
	}
	for t := s.threads; t != nil; t = t.all {
		if t.deadline == 0 || t.timer != c || t.deadline > now {
			continue
		}
		switch t.state {
		case threadFutex:
			t.ax = uint64(machErr(_ETIMEDOUT))
		case threadSigwait:
			t.ax = uint64(machErr(_EAGAIN))
		case threadPage: // a store: it has no result
		default: // sleep ends, epoll_wait has no events
			t.ax = 0
		}
		s.ready(t, true)
		c.resched = true
	}
}

// tick is the timer interrupt of CPU c, this one.
func (s *machSched) tick(c *machCPU) {
	now := machNow()
	c.armed = 0
	s.expire(c, now)
	if c.slice != 0 && now >= c.slice {
		c.slice = 0
		c.resched = true
	}
	c.profileTick(now)
	machClockRefine()
}

// linuxFutex is futex(2): FUTEX_WAIT and FUTEX_WAKE, as the runtime uses them.
func linuxFutex(t *machThread, addr, op, val, timeout uintptr) uintptr {
	s := &mach.sched
	switch op&127 | _FUTEX_PRIVATE_FLAG {
	case _FUTEX_WAIT_PRIVATE:
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
	case _FUTEX_WAKE_PRIVATE:
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

// timespecNanos reads a struct timespec.
func timespecNanos(p uintptr) int64 {
	return clock.Nanos(int64(load64(p)), int64(load64(p+8)))
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
	if flags&_CLONE_THREAD == 0 {
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
	if flags&_CLONE_SETTLS != 0 {
		n.fsbase = tls
	}
	n.ctx = ctxSyscall
	mach.sched.place(n, false)
	return uintptr(n.id)
}

func linuxExitThread(t *machThread) {
	t.state = threadDead
	endThread(t)
}

// abiFuncPC returns the entry address of an assembly function, which must be
// ABIInternal: for others a function value is the address of a wrapper.
func abiFuncPC(f func()) uintptr {
	return **(**uintptr)(unsafe.Pointer(&f))
}
