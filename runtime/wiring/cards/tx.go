package cards

import (
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
)

// sent is a frame that the device reads: what it keeps alive.
type sent struct {
	data  []byte
	more  [][]byte
	done  func()
	owner *buffer // nil: the program's own memory
}

// Send gives the device frames, in their order, and waits while its ring is full. It
// returns how many the device has; those are not the program's any more.
func (c *Card) Send(frames []Frame) (n int, err error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	for n < len(frames) && err == nil {
		if err = c.send(&frames[n]); err == nil {
			n++
		}
	}
	c.dev.Kick()
	return n, err
}

// Sizes of Ethernet's header, without and with a VLAN tag.
const (
	ethernetHeader = 14
	taggedHeader   = 18
	maxSegments    = 65535 // the payload of a frame that the card cuts
)

// check returns the length of a frame, and what is wrong with it.
func (c *Card) check(f *Frame) (size int, err error) {
	info := c.dev.Info()
	size = len(f.Data)
	for _, b := range f.More {
		size += len(b)
	}
	most := mtuOf(info)
	o := &info.Offloads
	ok := f.Flags&virtionet.NeedsChecksum == 0 || o.TxChecksum && int(f.ChecksumStart)+int(f.ChecksumOffset)+2 <= size
	if f.GSO != virtionet.GSONone {
		most = maxSegments
		kind := f.GSO &^ virtionet.GSOECN
		ok = ok && f.SegmentSize > 0 && f.Flags&virtionet.NeedsChecksum != 0 &&
			(kind == virtionet.GSOTCPv4 && o.TxTSO4 || kind == virtionet.GSOTCPv6 && o.TxTSO6)
	}
	switch {
	case size < ethernetHeader || size > taggedHeader+most:
		return 0, ErrFrame
	case !ok:
		return 0, ErrOffload
	}
	return size, nil
}

// send gives the device one frame, with sending held.
func (c *Card) send(f *Frame) error {
	size, err := c.check(f)
	if err != nil {
		return err
	}
	s, err := c.take(f)
	if err != nil {
		return err
	}
	h := virtionet.Header{
		Flags: f.Flags & virtionet.NeedsChecksum, GSO: f.GSO, HeaderLen: f.HeaderLen, SegmentSize: f.SegmentSize,
		ChecksumStart: f.ChecksumStart, ChecksumOffset: f.ChecksumOffset,
	}
	c.pieces = append(append(c.pieces[:0], s.data), s.more...)
	c.inFlight.Add(1)
	err = c.give(h, s)
	clear(c.pieces)
	if err != nil {
		c.inFlight.Add(-1)
		if s.owner != nil {
			s.owner.state.Store(programs)
		}
		c.drop(s)
		return err
	}
	if f.Owner != nil { // s is not ours any more
		*f = Frame{}
	}
	c.stats.sent.Add(1)
	c.stats.sentBytes.Add(uint64(size))
	return nil
}

// take takes a frame from the program.
func (c *Card) take(f *Frame) (*sent, error) {
	b, _ := f.Owner.(*buffer)
	if b != nil && !b.state.CompareAndSwap(programs, going) {
		return nil, ErrReleased
	}
	s := c.idle.Take()
	if s == nil {
		s = &sent{}
	}
	s.done, s.owner = f.Done, b
	s.data = c.reachable(f.Data)
	for _, p := range f.More {
		s.more = append(s.more, c.reachable(p))
	}
	return s, nil
}

// reachable returns p, or a copy where the device cannot reach it.
func (c *Card) reachable(p []byte) []byte {
	if len(p) > 0 && c.m.noDMA(p) {
		return append([]byte(nil), p...)
	}
	return p
}

// drop forgets what was taken.
func (c *Card) drop(s *sent) {
	clear(s.more)
	*s = sent{more: s.more[:0]}
	c.idle.Put(s)
}

// give gives the device c.pieces as soon as there is room.
func (c *Card) give(h virtionet.Header, s *sent) error {
	for {
		seen := c.writable.Load()
		switch err := c.dev.Send(h, c.pieces, s); err {
		case nil:
			return nil
		case virtionet.ErrFull:
			c.waitWritable(seen)
		case virtionet.ErrTooLarge:
			return ErrFrame
		default:
			return c.why(err)
		}
	}
}

// waitWritable waits until the driver has said that there is room more often than seen.
func (c *Card) waitWritable(seen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.waits.Add(1)
	for c.writable.Load() == seen && c.err == nil {
		c.wait()
	}
}

// wait waits for room to be signalled, with mu held.
func (c *Card) wait() {
	c.m.waiting(1)
	c.room.Wait()
	c.m.waiting(-1)
}

// sent gives the memory of a frame back. The driver holds a lock of its own.
func (c *Card) sent(s *sent) {
	done, b := s.done, s.owner
	c.drop(s)
	if b != nil {
		b.state.Store(ours)
		if b.c.putBuffer(b) {
			go b.c.dev.Refill() // it takes locks that may not be taken here
		}
	}
	if done != nil {
		done()
	}
	if c.inFlight.Add(-1) == 0 {
		c.mu.Lock()
		c.room.Broadcast()
		c.mu.Unlock()
	}
}

// Flush waits until the device has read all that was given to it.
func (c *Card) Flush() error {
	for {
		left := c.inFlight.Load()
		if err := c.why(nil); left == 0 || err != nil {
			return err
		}
		c.dev.Hasten()
		c.mu.Lock()
		if c.inFlight.Load() == left && c.err == nil {
			c.wait()
		}
		c.mu.Unlock()
	}
}
