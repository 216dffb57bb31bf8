package blocktest

import (
	"sync"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// Request describes a request to a Faulty device.
type Request struct {
	Kind   RequestKind
	Off, N int64 // in bytes
	Number int   // counts requests of the same kind, from 0
}

// RequestKind is a method of block.Device.
type RequestKind int

const (
	Read RequestKind = iota
	Write
	Flush
	Discard
	WriteZeroes
	kinds
)

// Faulty is a device whose requests fail, wait and hang.
type Faulty struct {
	block.Device

	mu      sync.Mutex
	counts  [kinds]int
	rule    func(Request) syscall.Errno
	latency time.Duration
	gate    chan struct{} // not nil: requests hang until it is closed
}

// NewFaulty makes a device without faults.
func NewFaulty(d block.Device) *Faulty { return &Faulty{Device: d} }

// SetRule sets the function that decides each request's error; 0 lets the request through,
// as does a nil rule.
func (f *Faulty) SetRule(rule func(Request) syscall.Errno) {
	f.mu.Lock()
	f.rule = rule
	f.mu.Unlock()
}

// SetLatency makes every request take at least that long.
func (f *Faulty) SetLatency(d time.Duration) {
	f.mu.Lock()
	f.latency = d
	f.mu.Unlock()
}

// Hang makes requests wait until the returned function is called.
func (f *Faulty) Hang() (release func()) {
	gate := make(chan struct{})
	f.mu.Lock()
	f.gate = gate
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		f.gate = nil
		f.mu.Unlock()
		close(gate)
	}
}

// FailAfter is a rule: count requests of a kind fail, starting with number first.
func FailAfter(kind RequestKind, first, count int, e syscall.Errno) func(Request) syscall.Errno {
	return func(r Request) syscall.Errno {
		if r.Kind == kind && r.Number >= first && r.Number-first < count {
			return e
		}
		return 0
	}
}

// FailRange is a rule: requests of a kind fail if they touch bytes of a range.
func FailRange(kind RequestKind, off, n int64, e syscall.Errno) func(Request) syscall.Errno {
	return func(r Request) syscall.Errno {
		if r.Kind == kind && r.Off < off+n && off < r.Off+r.N {
			return e
		}
		return 0
	}
}

func (f *Faulty) before(kind RequestKind, off, n int64) syscall.Errno {
	f.mu.Lock()
	r := Request{kind, off, n, f.counts[kind]}
	f.counts[kind]++
	rule, latency, gate := f.rule, f.latency, f.gate
	f.mu.Unlock()
	if latency > 0 {
		time.Sleep(latency)
	}
	if gate != nil {
		<-gate
	}
	if rule != nil {
		return rule(r)
	}
	return 0
}

func (f *Faulty) ReadAt(bufs [][]byte, off int64) syscall.Errno {
	if e := f.before(Read, off, total(bufs)); e != 0 {
		return e
	}
	return f.Device.ReadAt(bufs, off)
}

func (f *Faulty) WriteAt(bufs [][]byte, off int64) syscall.Errno {
	if e := f.before(Write, off, total(bufs)); e != 0 {
		return e
	}
	return f.Device.WriteAt(bufs, off)
}

func (f *Faulty) Flush() syscall.Errno {
	if e := f.before(Flush, 0, 0); e != 0 {
		return e
	}
	return f.Device.Flush()
}

func (f *Faulty) Discard(off, n int64) syscall.Errno {
	if e := f.before(Discard, off, n); e != 0 {
		return e
	}
	return f.Device.Discard(off, n)
}

func (f *Faulty) WriteZeroes(off, n int64) syscall.Errno {
	if e := f.before(WriteZeroes, off, n); e != 0 {
		return e
	}
	return f.Device.WriteZeroes(off, n)
}
