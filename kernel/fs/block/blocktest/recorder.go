package blocktest

import (
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// Recorder records every write and flush of the device below it, and the test's marks
// between them. A Crash makes of the record what a power cut may leave.
type Recorder struct {
	block.Device
	base *Memory

	mu     sync.Mutex
	events []event
}

type kind uint8

const (
	writeBegins kind = iota
	writeEnds
	flushBegins
	flushEnds
	marked
)

type event struct {
	kind kind
	of   int // of an end: the event of its beginning
	off  int64
	data []byte // of a write; nil: n times fill
	n    int64
	fill byte
	mark any
}

// NewRecorder records the requests to a disk from now on.
func NewRecorder(m *Memory) *Recorder { return RecordDevice(m, m.Clone()) }

// RecordDevice records the requests to a device with the contents of base, which must not
// change.
func RecordDevice(d block.Device, base *Memory) *Recorder { return &Recorder{Device: d, base: base} }

func (r *Recorder) add(e event) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return len(r.events) - 1
}

// Mark records a mark between the writes, such as "this was acknowledged".
func (r *Recorder) Mark(v any) { r.add(event{kind: marked, mark: v}) }

// Len is the number of events. A write and a flush are two each: begin and end.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// during records a request; one that failed may have had any effect.
func (r *Recorder) during(begin event, end kind, do func() syscall.Errno) syscall.Errno {
	at := r.add(begin)
	e := do()
	if e == 0 {
		r.add(event{kind: end, of: at})
	}
	return e
}

func (r *Recorder) WriteAt(bufs [][]byte, off int64) syscall.Errno {
	begin := event{kind: writeBegins, off: off, data: gather(bufs)}
	if e := check(r, off, int64(len(begin.data))); e != 0 {
		return e
	}
	begin.n = int64(len(begin.data))
	return r.during(begin, writeEnds, func() syscall.Errno { return r.Device.WriteAt(bufs, off) })
}

func (r *Recorder) Flush() syscall.Errno {
	return r.during(event{kind: flushBegins}, flushEnds, r.Device.Flush)
}

func (r *Recorder) WriteZeroes(off, n int64) syscall.Errno {
	if e := check(r, off, n); e != 0 {
		return e
	}
	return r.during(event{kind: writeBegins, off: off, n: n}, writeEnds, func() syscall.Errno { return r.Device.WriteZeroes(off, n) })
}

func (r *Recorder) Discard(off, n int64) syscall.Errno {
	if e := check(r, off, n); e != 0 {
		return e
	}
	return r.during(event{kind: writeBegins, off: off, n: n, fill: 0xd5}, writeEnds, func() syscall.Errno { return r.Device.Discard(off, n) })
}

// gather returns the concatenation of bufs.
func gather(bufs [][]byte) []byte {
	p := make([]byte, total(bufs))
	at := 0
	for _, b := range bufs {
		transfer(p[at:], b)
		at += len(b)
	}
	return p
}
