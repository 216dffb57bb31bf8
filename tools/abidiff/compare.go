package main

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/netstack"
)

// A trace is what a sequence has shown: a part for each step, and one for the end.
type trace struct {
	text []byte
	ends []int
}

func (t *trace) add(part []byte) {
	t.text = append(t.text, part...)
	t.ends = append(t.ends, len(t.text))
}

// part returns what step i has shown.
func (t *trace) part(i int) []byte {
	start := 0
	if i > 0 {
		start = t.ends[i-1]
	}
	return t.text[start:t.ends[i]]
}

// replay runs a sequence from its beginning.
func (w *world) replay(steps []step) (*trace, error) {
	if err := w.restart(); err != nil {
		return nil, err
	}
	t := &trace{}
	for i := range steps {
		shown := w.guarded(&steps[i])
		if w.expected != nil {
			shown = w.awaited(shown, w.expected.part(i))
		}
		t.add(shown)
	}
	t.add(w.end())
	return t, nil
}

// patience is how long readiness may take to become what Linux has shown.
const patience = 10 * time.Millisecond

// awaited waits until poll(2) says what it said on Linux, after a step that has shown something:
// the stack handles packets in other goroutines. If that takes too long, the difference stays.
func (w *world) awaited(shown, expected []byte) []byte {
	at := bytes.LastIndex(shown, []byte(" |"))
	for until := time.Now().Add(patience); at >= 0 && !bytes.HasSuffix(expected, shown[at:]) && time.Now().Before(until); {
		time.Sleep(20 * time.Microsecond)
		w.mem.reset()
		w.out = w.out[:at]
		w.showReadiness()
		shown = w.out
	}
	return shown
}

// guarded is run, and shows a panic of the kernel rather than to end with it.
func (w *world) guarded(s *step) (shown []byte) {
	defer func() {
		if v := recover(); v != nil {
			shown = fmt.Appendf(nil, "panic: %v\n%s", v, debug.Stack())
		}
	}()
	return w.run(s)
}

// end shows what a sequence has left: the state of all descriptors, what can still be read from
// them, and the tree.
func (w *world) end() []byte {
	if w.actor != nil {
		w.actor.end(w)
	}
	w.out = w.out[:0]
	for i, k := range w.kinds {
		if k != 0 {
			w.mem.reset()
			w.endOf(i)
		}
	}
	w.showTree("/tmp", 8)
	return w.out
}

// endOf shows the state of a slot's descriptor.
func (w *world) endOf(i int) {
	fd := uintptr(w.slots[i])
	w.note("\n  s%d is %d:", i, fd)
	for _, command := range []uintptr{unix.F_GETFD, unix.F_GETFL, unix.F_GETPIPE_SZ} {
		w.out = append(w.out, ' ')
		w.result(w.raw(unix.SYS_FCNTL, fd, command))
	}
	if w.kinds[i] != isDir { // positions in directories mean something to one kernel only
		w.out = append(w.out, " at "...)
		w.result(w.raw(unix.SYS_LSEEK, fd, 0, unix.SEEK_CUR))
	}
	st, e := w.fstat(int(fd))
	w.out = append(w.out, ' ')
	w.showStat(st, e)
	if w.kinds[i]&(isPipe|isSocket|isEvent) != 0 {
		b, at := w.mem.room(1 << 16)
		r, e := w.raw(unix.SYS_READ, fd, at, uintptr(len(b)))
		w.out = append(w.out, " read "...)
		w.result(r, e)
		if e == 0 {
			w.quote(b[:r])
		}
	}
}

// A difference is where the two kernels part.
type difference struct {
	steps []step
	// at is the index of the step that shows it; len(steps) is the end.
	at          int
	linux, yolk string
	onDisk      bool // yolk's files are on a disk
}

// step returns the step that shows the difference, nil if only the end does.
func (d *difference) step() *step {
	if d.at < len(d.steps) {
		return &d.steps[d.at]
	}
	return nil
}

// String returns the difference as a case of testdata, which says in comments what both sides
// have shown after the last step.
func (d *difference) String() string {
	var b bytes.Buffer
	when := ""
	if d.at == len(d.steps) {
		when = " at the end"
	}
	fmt.Fprintf(&b, "# Linux%s: %s\n# yolk%s:  %s\n", when, comment(d.linux), when, comment(d.yolk))
	for i := range min(d.at+1, len(d.steps)) {
		b.WriteString(d.steps[i].String() + "\n")
	}
	return b.String()
}

// comment makes one line of what a side has shown; a panic has many.
func comment(shown string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(shown), "\n")
	return first
}

// firstDifference compares two traces of a sequence; nil if they are the same.
func firstDifference(steps []step, linux, yolk *trace, onDisk bool) *difference {
	if bytes.Equal(linux.text, yolk.text) {
		return nil
	}
	for i := range linux.ends {
		l, y := linux.part(i), yolk.part(i)
		if !bytes.Equal(l, y) {
			d := &difference{steps: steps, at: i, linux: string(l), yolk: string(y), onDisk: onDisk}
			if i == len(steps) {
				d.linux, d.yolk = differingLines(d.linux, d.yolk)
			}
			return d
		}
	}
	return nil
}

// differingLines leaves only the first line that is not the same in both.
func differingLines(a, b string) (lineA, lineB string) {
	la, lb := bytes.Split([]byte(a), []byte("\n")), bytes.Split([]byte(b), []byte("\n"))
	for i := range max(len(la), len(lb)) {
		lineA, lineB = "(nothing)", "(nothing)"
		if i < len(la) {
			lineA = string(la[i])
		}
		if i < len(lb) {
			lineB = string(lb[i])
		}
		if lineA != lineB {
			break
		}
	}
	return lineA, lineB
}

// A pair has both kernels. Its methods are for one goroutine at a time.
type pair struct {
	guest *world
	// asked and answered join the goroutine of the Linux side.
	asked    chan []step
	answered chan answer
}

// An answer is the Linux side's trace of a sequence.
type answer struct {
	trace *trace
	err   error
}

// pairOptions say what the two sides have.
type pairOptions struct {
	onDisk   bool // yolk's files are on a disk
	internet bool // yolk has a network
	waiting  bool // both have a second actor
}

// newPair starts both sides. Close ends the Linux side.
func newPair(o pairOptions) (*pair, error) {
	g := newGuest()
	guest := g.w
	if o.internet {
		g.net = netstack.New(netstack.Config{OnStack: func([]byte) bool { return false }})
		guest.late = true
	}
	if o.onDisk {
		g, err := newDiskGuest()
		if err != nil {
			return nil, err
		}
		guest = g.w
	}
	p := &pair{guest: guest, asked: make(chan []step), answered: make(chan answer, 1)}
	if o.waiting {
		var err error
		if guest.actor, err = newActor(guest.sys, func() bool { return g.m.waiting.Load() > 0 }); err != nil {
			return nil, err
		}
		guest.late = true
	}
	started := make(chan error)
	go p.serve(o, started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// serve runs sequences on Linux. The goroutine ends with its thread.
func (p *pair) serve(o pairOptions, started chan<- error) {
	h, err := newHost(o.waiting)
	if err == nil {
		h.w.onDisk = o.onDisk
	}
	if err == nil && o.waiting {
		h.w.actor = h.second
	}
	started <- err
	if err != nil {
		return
	}
	for steps := range p.asked {
		t, err := h.w.replay(steps)
		p.answered <- answer{t, err}
	}
}

func (p *pair) close() { close(p.asked) }

// compare runs a sequence on both sides; nil if they agree.
func (p *pair) compare(steps []step) (*difference, error) {
	p.asked <- steps
	linux := <-p.answered
	if linux.err != nil {
		return nil, fmt.Errorf("the Linux side: %w", linux.err)
	}
	if p.guest.late {
		p.guest.expected = linux.trace
	}
	yolk, err := p.guest.replay(steps)
	p.guest.expected = nil
	if err != nil {
		return nil, fmt.Errorf("yolk: %w", err)
	}
	return firstDifference(steps, linux.trace, yolk, p.guest.onDisk), nil
}

// generate draws a sequence and runs it on yolk.
func (p *pair) generate(g *generator, length int) ([]step, *trace, error) {
	if err := p.guest.restart(); err != nil {
		return nil, nil, err
	}
	steps, t := make([]step, length), &trace{}
	for i := range steps {
		steps[i] = g.next()
		t.add(p.guest.guarded(&steps[i]))
	}
	t.add(p.guest.end())
	return steps, t, nil
}
