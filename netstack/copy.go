package netstack

import (
	"io"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// gVisor takes bytes from an io.Reader and gives bytes to an io.Writer, and
// holds either in heap objects while it does. The program's buffer may lie on
// its goroutine's stack, which moves without telling the heap: such a buffer
// is therefore copied through scratch memory, every other one is used as it
// is. The objects are pooled; a Read or a Write allocates nothing here.

// maxBounce bounds scratch memory. A stream transfers less, as it may; no
// datagram is larger.
const maxBounce = 64 << 10

func (s *Stack) onStack(b []byte) bool {
	return len(b) != 0 && s.cfg.OnStack(b)
}

// source is a tcpip.Payloader over the program's buffers.
type source struct {
	parts   [][]byte
	part    int // parts before it are used up
	left    int
	scratch []byte
	closed  bool // scratch memory ran out: what follows must wait
	to      tcpip.FullAddress
}

var sourcePool = sync.Pool{New: func() any { return new(source) }}

// newSource collects up to limit bytes of b and more. Release it.
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
		// Parts already in scratch keep their memory if append moves it.
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
	// parts are the buffers, or scratch memory in place of one on the stack.
	parts   [][]byte
	part    int // index into parts
	off     int // bytes used of parts[part]
	done    int
	discard bool // datagram: what has no room is dropped, not refused
	bounced bool
	closed  bool // scratch memory ran out: later buffers stay empty
	scratch []byte
}

var sinkPool = sync.Pool{New: func() any { return new(sink) }}

// newSink prepares to fill b and then more. After the transfer call finish
// with the same buffers.
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

// finish copies scratch memory to the stack buffers it stood for, frees k and
// returns how many bytes arrived.
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
