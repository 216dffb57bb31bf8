package main

import (
	"fmt"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A system makes the system calls of a kernel. Pointers among the arguments are addresses in an
// arena.
type system interface {
	call(nr uintptr, args [6]uintptr) (uintptr, syscall.Errno)
	// restart begins a new sequence: no descriptors from firstFD on, an empty working directory.
	restart() error
}

// A world is one of the two kernels in the course of a sequence. It keeps what the symbolic
// arguments of steps stand for.
type world struct {
	sys system
	mem arena
	// slots has the descriptor of each slot; badFD before there is one.
	slots [slotCount]int
	kinds [slotCount]slotKind // what the generator believes to be open; 0: nothing

	// sequence counts the sequences: names in the abstract namespace of unix sockets may outlive
	// one on Linux, and are told apart by it.
	sequence int

	// onDisk says that files are on a disk. Sizes of directories and blocks are not compared then,
	// by either side.
	onDisk bool

	// late says that effects of calls may come after them: on yolk's side, those of packets.
	// expected is then what Linux has shown, or nil.
	late     bool
	expected *trace

	// actor is the second actor, with stop to end its waits; nil if there is none.
	actor *actor
	stop  int

	// args are the arguments of the call that is being made.
	args  [6]uintptr
	count int
	// out is what the current step has shown so far: results and the contents of buffers.
	out []byte
}

// badFD is a descriptor that is never open.
const badFD = 9999

func newWorld(sys system) *world { return &world{sys: sys, mem: newArena()} }

// restart begins a sequence.
func (w *world) restart() error {
	for i := range w.slots {
		w.slots[i], w.kinds[i] = badFD, 0
	}
	w.sequence++
	if w.actor != nil {
		w.actor.end(w)
	}
	if err := w.sys.restart(); err != nil || w.actor == nil {
		return err
	}
	w.actor.shown = ""
	fd, e := w.raw(unix.SYS_EVENTFD2, 0, unix.EFD_NONBLOCK)
	if e != 0 {
		return fmt.Errorf("eventfd: %w", e)
	}
	w.stop = int(fd)
	return nil
}

// push adds an argument of the call.
func (w *world) push(v uintptr) {
	w.args[w.count] = v
	w.count++
}

// raw makes a call that is no step of its own.
func (w *world) raw(nr uintptr, args ...uintptr) (uintptr, syscall.Errno) {
	var a [6]uintptr
	copy(a[:], args)
	return w.sys.call(nr, a)
}

// fd returns the descriptor that a slot argument stands for.
func (w *world) fd(v value) int {
	if v.n < 0 || v.n >= slotCount {
		return badFD
	}
	return w.slots[v.n]
}

// run makes the call of a step and returns what can be observed of it. The result is valid
// until the next call of run.
func (w *world) run(s *step) []byte {
	w.out = w.out[:0]
	w.mem.reset()
	if w.actor != nil {
		w.actor.shown = ""
	}
	if s.op.run != nil {
		s.op.run(w, s)
	} else {
		w.runPlain(s)
	}
	w.showReadiness()
	return w.out
}

// runPlain makes the call nr with the arguments in their order.
func (w *world) runPlain(s *step) {
	w.args, w.count = [6]uintptr{}, 0
	var memory [6][]byte
	for i, k := range s.op.args {
		memory[i] = k.push(w, s.args[i])
	}
	r, e := w.sys.call(s.op.nr, w.args)
	if s.op.makes != 0 {
		w.made(s, r, e)
	}
	w.result(r, e)
	for i, k := range s.op.args {
		if k.show != nil {
			k.show(w, s.args[i], memory[i], r, e)
		}
	}
}

// made keeps the descriptor that a call has returned.
func (w *world) made(s *step, r uintptr, e syscall.Errno) {
	if e == 0 {
		w.keep(s.out, int(r), s.op.makes)
	}
}

// keep puts a descriptor into a slot.
func (w *world) keep(slot, fd int, k slotKind) {
	if slot >= 0 {
		w.slots[slot], w.kinds[slot] = fd, k
	}
}

// result shows the result of a call.
func (w *world) result(r uintptr, e syscall.Errno) {
	if e != 0 {
		w.out = append(w.out, errnoName(e)...)
		return
	}
	w.out = strconv.AppendInt(w.out, int64(r), 10)
}

// note shows more.
func (w *world) note(format string, args ...any) {
	w.out = fmt.Appendf(w.out, format, args...)
}

// quote shows the content of a buffer: all of it, if it is short, and its beginning and a
// checksum otherwise.
func (w *world) quote(b []byte) {
	const most = 48
	w.out = append(w.out, ' ')
	if len(b) <= most {
		w.out = strconv.AppendQuote(w.out, string(b))
		return
	}
	w.out = strconv.AppendQuote(w.out, string(b[:most]))
	sum := uint64(14695981039346656037) // FNV-1a, by words
	for ; len(b) >= 8; b = b[8:] {
		sum = (sum ^ get64(b)) * 1099511628211
	}
	for _, c := range b {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	w.note("... sum %x", sum)
}

// pollAll are the events that showReadiness asks for.
const pollAll = unix.POLLIN | unix.POLLPRI | unix.POLLOUT | unix.POLLRDHUP

// showReadiness shows what poll(2) says of all descriptors.
func (w *world) showReadiness() {
	b, at := w.mem.room(8 * slotCount)
	n := 0
	for i, k := range w.kinds {
		if k != 0 {
			put32(b[8*n:], uint32(w.slots[i]))
			put16(b[8*n+4:], pollAll)
			n++
		}
	}
	if w.actor != nil {
		defer func() { w.out = append(w.out, w.actor.show()...) }()
	}
	w.out = append(w.out, " |"...)
	if n == 0 {
		return
	}
	_, e := w.raw(unix.SYS_POLL, at, uintptr(n), 0)
	if e != 0 {
		w.note(" poll: %s", errnoName(e))
		return
	}
	n = 0
	for i, k := range w.kinds {
		if k != 0 {
			w.out = append(w.out, " s"...)
			w.out = strconv.AppendInt(w.out, int64(i), 10)
			w.out = append(w.out, ':')
			w.out = strconv.AppendUint(w.out, uint64(get16(b[8*n+6:])), 16)
			n++
		}
	}
}

// errnoName returns the name of an error, ENOENT for example.
func errnoName(e syscall.Errno) string {
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(e))
}
