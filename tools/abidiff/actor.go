package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// An actor is a second program beside the steps of a sequence. It waits in poll(2) for events of a
// descriptor while the steps go on, so that what should wake it can be compared. It waits for an
// eventfd of its own too, which ends the wait when the sequence ends.
type actor struct {
	sys    system
	fds    []byte // two struct pollfd
	at     uintptr
	start  chan struct{}
	ended  chan struct{}
	busy   bool
	result uintptr
	// entered is set before the call is made, done after it.
	entered, done atomic.Bool
	// blocked reports whether the actor waits in poll(2). On yolk's side it may have been woken,
	// and not run yet.
	blocked func() bool
	shown   string // what the actor has to show since the step began
}

// newActor starts an actor that makes the calls of a system; blocked tells whether it waits. On Linux
// the actor has a thread of its own and finds that out by itself: blocked is nil.
func newActor(sys system, blocked func() bool) (*actor, error) {
	a := &actor{sys: sys, blocked: blocked, start: make(chan struct{}), ended: make(chan struct{}, 1)}
	memory := newArena()
	a.fds, a.at = memory.room(16)
	ready := make(chan error)
	go a.run(blocked == nil, ready)
	return a, <-ready
}

// run makes a call each time that it is asked to.
func (a *actor) run(onLinux bool, ready chan<- error) {
	var err error
	if onLinux {
		runtime.LockOSThread()
		blockSignals()
		a.blocked, err = pollWatcher(unix.Gettid())
	}
	ready <- err
	for range a.start {
		a.entered.Store(true)
		a.result, _ = a.sys.call(unix.SYS_POLL, [6]uintptr{a.at, 2, ^uintptr(0)})
		a.done.Store(true)
		a.ended <- struct{}{}
	}
}

// pollWatcher returns a function that reports whether a thread sleeps in poll(2), by its state and the
// number of its system call (proc(5), /proc/pid/stat and syscall): a poll that was interrupted goes on
// as restart_syscall. The state comes first: a thread that has been woken and not run yet still
// shows its call, but does not sleep any more.
func pollWatcher(tid int) (func() bool, error) {
	stat, err := openHigh(fmt.Sprintf("/proc/self/task/%d/stat", tid))
	if err != nil {
		return nil, err
	}
	call, err := openHigh(fmt.Sprintf("/proc/self/task/%d/syscall", tid))
	if err != nil {
		return nil, err
	}
	return func() bool {
		var b [512]byte
		n, _ := unix.Pread(stat, b[:], 0)
		if _, state, _ := strings.Cut(string(b[:n]), ") "); !strings.HasPrefix(state, "S") {
			return false
		}
		n, _ = unix.Pread(call, b[:], 0)
		nr, _, _ := strings.Cut(string(b[:n]), " ")
		return nr == strconv.Itoa(unix.SYS_POLL) || nr == strconv.Itoa(unix.SYS_RESTART_SYSCALL)
	}, nil
}

// openHigh opens a file behind the descriptors of sequences.
func openHigh(name string) (int, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, lastFD+1)
}

// watch starts a wait for events of a descriptor.
func (a *actor) watch(fd int, events uint16, stop int) {
	put32(a.fds, uint32(fd))
	put32(a.fds[4:], uint32(events))
	put32(a.fds[8:], uint32(stop))
	put32(a.fds[12:], unix.POLLIN)
	a.busy = true
	a.entered.Store(false)
	a.done.Store(false)
	a.start <- struct{}{}
}

// show returns what the actor has to show: that it waits, or how the wait has ended.
func (a *actor) show() string {
	if !a.busy {
		return a.shown
	}
	for until := time.Now().Add(time.Second); !a.done.Load() && !(a.entered.Load() && a.blocked()) && time.Now().Before(until); {
		runtime.Gosched() // woken, and not there yet
	}
	if !a.done.Load() {
		return " ~ waits"
	}
	<-a.ended
	a.busy = false
	a.shown = fmt.Sprintf(" ~ woken: %d %x", int(a.result), get16(a.fds[6:]))
	return a.shown
}

// end ends a wait with the eventfd.
func (a *actor) end(w *world) {
	if !a.busy {
		return
	}
	w.mem.reset()
	b, at := w.mem.room(8)
	put64(b, 1)
	_, _ = w.raw(unix.SYS_WRITE, uintptr(w.stop), at, 8)
	select {
	case <-a.ended:
		a.busy = false
	case <-time.After(10 * time.Second):
		panic("a wait does not end")
	}
}

// isWatched reports whether the second actor waits for a slot's descriptor. Such a one is not
// closed: on Linux the wait keeps the file open.
func (w *world) isWatched(v value) bool {
	return w.actor != nil && w.actor.busy && int(get32(w.actor.fds)) == w.fd(v)
}

// waitingOps has the call of the second actor.
var waitingOps = []*op{
	{name: "watch", args: []*kind{slot(isAny), flags(pollFlags[:6], pollEvents)}, weight: 25, run: runWatch},
}

// runWatch lets the actor wait in poll(2). The end of the wait shows with the step that it comes with.
func runWatch(w *world, s *step) {
	switch {
	case w.actor == nil:
		w.note("nobody waits")
	case w.actor.busy:
		w.note("waits already")
	default:
		w.note("begins")
		w.actor.watch(w.fd(s.args[0]), uint16(s.args[1].n), w.stop)
	}
}
