package netstack

import (
	"io"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// gVisor reads bytes from an io.Reader and writes bytes to an io.Writer, and meanwhile keeps
// either in heap objects. The program's buffer may lie on its goroutine's stack, which moves
// without updating the heap: such a buffer is copied through scratch memory, every other one
// is used directly. The objects are pooled; a Read or a Write does not allocate here.

// maxBounce bounds scratch memory. A stream may transfer less; no datagram is larger.
const maxBounce = 64 << 10

func (s *Stack) onStack(b []byte) bool {
	return len(b) != 0 && s.cfg.OnStack(b)
}

// source is a tcpip.Payloader over the program's buffers.
type source struct {
	parts   [][]byte
	part    int // index of the first part with bytes left
	left    int
	scratch []byte
	closed  bool // scratch memory is full: the rest is left for the next call
	to      tcpip.FullAddress
}

var sourcePool = sync.Pool{New: func() any { return new(source) }}

// newSource collects up to limit bytes of b and more. The caller must Release it.
func (s *Stack) newSource(b []byte, more [][]byte, limit int) *source {
	src := sourcePool.Get().(*source)
	src.add(s, b, limit)
	for _, m := range more {
		src.add(s, m, limit)
	}
	return src
}

func (src *source) add(s *Stack, b []byte, limit int) {
	b = b[:min(len(b), limit-src.left)]
	if len(b) == 0 || src.closed {
		return
	}
	if s.onStack(b) {
		// Parts that are in scratch stay valid if append moves it.
		start := len(src.scratch)
		src.closed = len(b) > maxBounce-start
		src.scratch = append(src.scratch, b[:min(len(b), maxBounce-start)]...)
		b = src.scratch[start:]
	}
	src.parts = append(src.parts, b)
	src.left += len(b)
}

// Len implements tcpip.Payloader.
func (src *source) Len() int { return src.left }

// Read implements tcpip.Payloader.
func (src *source) Read(p []byte) (int, error) {
	if src.left == 0 {
		return 0, io.EOF
	}
	done := 0
	for done < len(p) && src.part < len(src.parts) {
		b := src.parts[src.part]
		n := copy(p[done:], b)
		done += n
		if src.parts[src.part] = b[n:]; n == len(b) {
			src.part++
		}
	}
	src.left -= done
	return done, nil
}

func (src *source) release() {
	clear(src.parts)
	*src = source{parts: src.parts[:0], scratch: src.scratch[:0]}
	sourcePool.Put(src)
}

// sink is an io.Writer into the program's buffers.
type sink struct {
	// parts are the buffers, or scratch memory for a buffer on the stack.
	parts   [][]byte
	part    int // index into parts
	off     int // number of bytes used of parts[part]
	done    int
	discard bool // datagram: bytes without room are dropped instead of refused
	bounced bool
	closed  bool // scratch memory is full: later buffers stay empty
	scratch []byte
}

var sinkPool = sync.Pool{New: func() any { return new(sink) }}

// newSink prepares to fill b and then more. After the transfer, finish must be called with the
// same buffers.
func (s *Stack) newSink(b []byte, more [][]byte, discard bool) *sink {
	k := sinkPool.Get().(*sink)
	k.discard = discard
	k.add(s, b)
	for _, m := range more {
		k.add(s, m)
	}
	return k
}

func (k *sink) add(s *Stack, b []byte) {
	if k.closed {
		return
	}
	if s.onStack(b) {
		start := len(k.scratch)
		n := min(len(b), maxBounce-start)
		k.bounced, k.closed = true, n < len(b)
		k.scratch = slices.Grow(k.scratch, n)[:start+n]
		b = k.scratch[start:]
	}
	k.parts = append(k.parts, b)
}

// Write implements io.Writer.
func (k *sink) Write(p []byte) (int, error) {
	taken := 0
	for taken < len(p) && k.part < len(k.parts) {
		n := copy(k.parts[k.part][k.off:], p[taken:])
		taken += n
		if k.off += n; k.off == len(k.parts[k.part]) {
			k.part, k.off = k.part+1, 0
		}
	}
	k.done += taken
	if taken == len(p) || k.discard {
		return len(p), nil
	}
	return taken, io.ErrShortWrite
}

// finish copies scratch memory to the buffers on the stack, frees k and returns the number of
// bytes transferred.
func (k *sink) finish(b []byte, more [][]byte) int {
	done := k.done
	if k.bounced {
		k.copyOut(b, more)
	}
	clear(k.parts)
	*k = sink{parts: k.parts[:0], scratch: k.scratch[:0]}
	sinkPool.Put(k)
	return done
}

func (k *sink) copyOut(b []byte, more [][]byte) {
	left := k.done
	for i, part := range k.parts {
		dst := b
		if i > 0 {
			dst = more[i-1]
		}
		n := min(left, len(part))
		copy(dst[:n], part)
		left -= n
	}
}
