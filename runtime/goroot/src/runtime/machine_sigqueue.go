//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	"internal/runtime/yolk/signals"
	"unsafe"
)

// Pending signals, as signal(7) has them. Each is queued with its siginfo, one below
// SIGRTMIN once, real-time signals each time. A signal to the process goes to a
// thread that takes it, and stays with the process while all threads block it.

// machSigInfo is struct kernel_siginfo: what comes with a signal.
type machSigInfo struct {
	signo, errno, code, _ int32
	fields                [4]uint64 // a union: sender and value, an address, or a timer
}

// fromUser is what kill(2) and tgkill(2) tell: the sender's process and user IDs.
func fromUser(sig uint32, code int32) machSigInfo {
	return machSigInfo{signo: int32(sig), code: code, fields: [4]uint64{machPID}}
}

// machSignal is a queued signal.
type machSignal struct {
	_         sys.NotInHeap
	next      *machSignal
	toProcess bool // any thread may take it
	info      machSigInfo
}

// machPending are the signals that are pending for a thread or for the process.
type machPending struct {
	pending uint64      // their numbers
	signals *machSignal // in the order in which they came
}

const (
	machPID = 1

	// maxQueued bounds the queued signals, as RLIMIT_SIGPENDING does.
	maxQueued = 4096
)

// newSignal returns memory for one signal.
func (g *machSignals) newSignal() *machSignal {
	const size = unsafe.Sizeof(machSignal{})
	if g.free == nil {
		page := mach.mem.zeroFrame()
		for at := uintptr(0); at+size <= machPage; at += size {
			g.freeSignal((*machSignal)(unsafe.Pointer(page + at)))
			g.queued++
		}
	}
	s := g.free
	g.free = s.next
	s.next = nil
	g.queued++
	return s
}

func (g *machSignals) freeSignal(s *machSignal) {
	s.next = g.free
	g.free = s
	g.queued--
}

// add queues a signal.
func (p *machPending) add(info *machSigInfo, toProcess bool) uintptr {
	g := &mach.sig
	if info.signo >= _SIGRTMIN && g.queued >= maxQueued {
		return machErr(_EAGAIN)
	}
	s := g.newSignal()
	s.toProcess, s.info = toProcess, *info
	p.link(s)
	if g.watched&sigBit(uint32(info.signo)) != 0 {
		mach.poll.interrupt(int(g.watcher))
	}
	return 0
}

func (p *machPending) link(s *machSignal) {
	p.pending |= sigBit(uint32(s.info.signo))
	at := &p.signals
	for *at != nil {
		at = &(*at).next
	}
	*at = s
}

// take removes the first signal with a number that is pending.
func (p *machPending) take(sig uint32) machSigInfo {
	at := &p.signals
	for uint32((*at).info.signo) != sig {
		at = &(*at).next
	}
	s := *at
	*at = s.next
	p.pending &^= sigBit(sig)
	for more := s.next; more != nil; more = more.next {
		if more.info.signo == s.info.signo {
			p.pending |= sigBit(sig)
		}
	}
	mach.sig.freeSignal(s)
	return s.info
}

// discard removes all that are in set.
func (p *machPending) discard(set uint64) {
	for p.pending&set != 0 {
		p.take(signals.First(p.pending & set))
	}
}

// resend sends those in set to the process again, if that is where they were sent.
func (p *machPending) resend(set uint64) {
	list := p.signals
	p.signals, p.pending = nil, 0
	for list != nil {
		s := list
		list = s.next
		s.next = nil
		if s.toProcess && set&sigBit(uint32(s.info.signo)) != 0 {
			info := s.info
			mach.sig.freeSignal(s)
			sendProcessInfo(&info)
		} else {
			p.link(s)
		}
	}
}

// sendInfo makes a signal pending for a thread, and interrupts its wait.
func sendInfo(t *machThread, info *machSigInfo, toProcess bool) uintptr {
	sig := uint32(info.signo)
	bit := sigBit(sig)
	if t.state == threadDead {
		return 0
	}
	if t.waitsFor(bit) {
		t.ax = uint64(t.accept(info))
		t.wake()
		return 0
	}
	blocked := t.mask&bit != 0
	if !blocked && mach.sig.ignores(sig) {
		return 0
	}
	if t.pending&bit != 0 && sig < _SIGRTMIN && info.code != _SI_TIMER {
		return 0
	}
	if r := t.add(info, toProcess); r != 0 || blocked || t.state == threadPage {
		return r
	}
	switch {
	case t.state != threadRunning:
		t.ax = uint64(machErr(_EINTR))
		t.wake()
	case t.cpu != thisCPU() && t.cpu.cur == t:
		t.cpu.kick()
	}
	return 0
}

// wake ends a thread's wait for the sake of a signal.
func (t *machThread) wake() {
	here := thisCPU()
	mach.sched.ready(t, true)
	here.resched = here.resched || t.cpu == here
}

// ignores tells whether a signal that no thread blocks is dropped.
func (g *machSignals) ignores(sig uint32) bool {
	h := sigActions[sig].sa_handler
	return h == sigIgnored || h == sigDefault && signals.Default(sig) == signals.Ignore
}

// sendProcessInfo sends a signal to the process.
func sendProcessInfo(info *machSigInfo) uintptr {
	if t := taker(sigBit(uint32(info.signo))); t != nil {
		return sendInfo(t, info, true)
	}
	p := &mach.sig.machPending
	if p.pending&sigBit(uint32(info.signo)) != 0 && info.signo < _SIGRTMIN && info.code != _SI_TIMER {
		return 0
	}
	return p.add(info, true)
}

// taker returns the thread that takes a signal to the process: one that waits for
// it, else one that waits for any, else the current one, else another that does not
// block it; nil if there is none.
func taker(bit uint64) *machThread {
	var best *machThread
	for t := mach.sched.threads; t != nil; t = t.all {
		switch {
		case t.idle() || t.state == threadDead:
		case t.waitsFor(bit):
			return t
		case t.mask&bit != 0 || best != nil && best.state == threadPause:
		case best == nil || t.state == threadPause || t == thisCPU().cur:
			best = t
		}
	}
	return best
}

// setMask changes what a thread blocks. What was sent to the process and is blocked
// now goes to another thread; what waited for a thread to take it comes to this one.
func (t *machThread) setMask(mask uint64) {
	t.mask = mask &^ signals.Unblockable
	if t.pending&t.mask != 0 {
		t.resend(t.mask)
	}
	if g := &mach.sig; g.pending&^t.mask != 0 {
		g.resend(^t.mask)
	}
}

// timerSignal finds the pending signal of a timer of the kernel above.
func timerSignal(id uint32) *machSignal {
	for s := mach.sig.signals; s != nil; s = s.next {
		if s.info.code == _SI_TIMER && uint32(s.info.fields[0]) == id {
			return s
		}
	}
	for t := mach.sched.threads; t != nil; t = t.all {
		for s := t.signals; s != nil; s = s.next {
			if s.info.code == _SI_TIMER && uint32(s.info.fields[0]) == id {
				return s
			}
		}
	}
	return nil
}

// signalCall sends a signal for the kernel above to a thread, 0 being the process;
// number 0 only looks whether the thread is there. A timer's signal that is pending
// already counts how often it would have come (si_overrun); then the result is 1.
func signalCall(tid int32, info *machSigInfo, timer bool) uintptr {
	if timer {
		if s := timerSignal(uint32(info.fields[0])); s != nil {
			if info.signo != 0 {
				over := min(s.info.fields[0]>>32+info.fields[0]>>32+1, 1<<31-1)
				s.info.fields[0] = over<<32 | uint64(uint32(s.info.fields[0]))
			}
			return 1
		}
	}
	if tid == 0 {
		if info.signo == 0 {
			return 0
		}
		return sendProcessInfo(info)
	}
	t := threadByID(tid)
	switch {
	case t == nil:
		return machErr(_ESRCH)
	case info.signo == 0:
		return 0
	}
	return sendInfo(t, info, false)
}

// threadByID returns a thread that has not ended, nil if there is none.
func threadByID(id int32) *machThread {
	for t := mach.sched.threads; t != nil; t = t.all {
		if t.id == id && t.state != threadDead && !t.idle() {
			return t
		}
	}
	return nil
}
