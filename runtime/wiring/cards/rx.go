package cards

import (
	"sync/atomic"
	"time"

	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
)

// A buffer is memory that the device receives into. It is the driver's, then one of
// Card.in or the program's, then maybe another device's that sends it, and then free.
type buffer struct {
	c     *Card
	mem   []byte
	state atomic.Uint32
	rest  []*buffer // the others of a frame that begins here
	more  [][]byte  // Frame.More
}

// States of a buffer. Only a frame's first one is the program's.
const (
	ours     = iota // the card's or its driver's
	programs        // the program has it
	going           // a device sends it
)

// pageBuffer is the size of a buffer for frames of an Ethernet: a power of two that
// divides a page, so that each is one physical range whatever the page tables say.
const pageBuffer = 2048

// bufferSize returns how large a buffer for a frame of an MTU is: virtio's header,
// Ethernet's with a VLAN tag.
func bufferSize(mtu int) int {
	const headers = 12 + 18
	n := pageBuffer
	for n < mtu+headers {
		n *= 2
	}
	return n
}

// takeBuffer returns a free or a new buffer; nil if there are as many as may be.
func (c *Card) takeBuffer() *buffer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		b := c.free[n-1]
		c.free = c.free[:n-1]
		return b
	}
	if c.made == c.most {
		c.starved = true
		c.stats.starved.Add(1)
		return nil
	}
	c.made++
	return &buffer{c: c, mem: make([]byte, c.size)}
}

// putBuffer frees a buffer and those behind it. It reports whether the driver waits
// for it.
func (c *Card) putBuffer(b *buffer) (wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(append(c.free, b), b.rest...)
	b.rest = b.rest[:0]
	wanted = c.starved
	c.starved = false
	return wanted
}

// Release gives the buffers of a frame back to their card.
func (b *buffer) Release() bool {
	if !b.state.CompareAndSwap(programs, ours) {
		return false
	}
	if b.c.putBuffer(b) {
		b.c.dev.Refill()
	}
	return true
}

// ring is a queue of at most len(frames) frames.
type ring struct {
	frames  []Frame
	next, n int // the first frame, and how many there are
}

func (r *ring) push() *Frame {
	f := &r.frames[(r.next+r.n)%len(r.frames)]
	r.n++
	return f
}

func (r *ring) pop(f *Frame) {
	*f, r.frames[r.next] = r.frames[r.next], Frame{}
	r.next = (r.next + 1) % len(r.frames)
	r.n--
}

// queue appends a packet, with mu held. There is room: each has a buffer at least.
func (c *Card) queue(p *virtionet.Packet) {
	b := p.Buffers[0].Owner.(*buffer)
	b.state.Store(programs)
	h := &p.Header
	f := c.in.push()
	*f = Frame{
		Data:  p.Buffers[0].Data,
		Flags: h.Flags, GSO: h.GSO, HeaderLen: h.HeaderLen, SegmentSize: h.SegmentSize,
		ChecksumStart: h.ChecksumStart, ChecksumOffset: h.ChecksumOffset,
		Owner: b,
	}
	if len(p.Buffers) > 1 {
		b.more = b.more[:0]
		for _, o := range p.Buffers[1:] {
			b.rest = append(b.rest, o.Owner.(*buffer))
			b.more = append(b.more, o.Data)
		}
		f.More = b.more
	}
	c.stats.received.Add(1)
	c.stats.receivedBytes.Add(uint64(p.Len))
}

// Receive fills frames with those that have come, at least one, and returns how many.
func (c *Card) Receive(frames []Frame) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.in.n == 0 || c.err == ErrClosed {
		switch {
		case c.err != nil:
			return 0, c.err
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return 0, ErrDeadline
		}
		c.m.waiting(1)
		c.received.Wait()
		c.m.waiting(-1)
	}
	n := min(len(frames), c.in.n)
	for i := range frames[:n] {
		c.in.pop(&frames[i])
	}
	if c.in.n > 0 {
		c.received.Signal() // for another goroutine that waits
	}
	return n, nil
}

// SetReceiveDeadline makes Receive return ErrDeadline from t on; the zero value: never.
func (c *Card) SetReceiveDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.deadline = t
	if !t.IsZero() && c.err == nil {
		c.timer = time.AfterFunc(time.Until(t), func() {
			c.mu.Lock() // nobody is between a look at the deadline and the wait
			c.received.Broadcast()
			c.mu.Unlock()
		})
	}
	c.received.Broadcast() // it may have passed, or another one counts
}
