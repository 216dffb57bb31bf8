package netstack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A Frame is one outgoing Ethernet frame. Its parts are the packet's own memory, which must not
// change until Done.
type Frame struct {
	// Parts are the bytes in order, NICInfo.Headroom zero bytes first.
	Parts   [][]byte
	Offload Offload

	pkt  *stack.PacketBuffer
	size int
	next *Frame

	sender   any    // of Stack.SendFrame, and what follows
	protocol uint16 // of the frame; 0: that in the header
	hidden   bool   // the watcher does not see it
}

// Len returns the number of bytes in Parts.
func (f *Frame) Len() int { return f.size }

// Done returns the frame after the device has read it. It must not be called from an interrupt
// handler.
func (f *Frame) Done() {
	pkt := f.pkt
	clear(f.Parts)
	*f = Frame{Parts: f.Parts[:0]}
	framePool.Put(f)
	if pkt != nil {
		pkt.DecRef()
	}
}

// txQueue has the frames that wait for space in the card's ring, like Linux's default queueing
// discipline. It drops frames beyond its bounds.
type txQueue struct {
	mu          sync.Mutex
	first, last *Frame
	packets     int
	bytes       int

	shut bool // the card no longer belongs to the stack: see Stack.RemoveNIC

	ready atomic.Bool // the card has space again: see TxReady
}

// maxQueuedPackets is Linux's default txqueuelen. maxQueuedBytes is a sixteenth of the smallest
// machine, because 1,000 segments of 64 KiB would not fit.
const (
	maxQueuedPackets = 1000
	maxQueuedBytes   = 2 << 20
)

func (q *txQueue) full(f *Frame, most int) bool {
	return q.packets >= most || q.bytes+f.size > maxQueuedBytes
}

func (q *txQueue) push(f *Frame, most int) bool {
	if q.full(f, most) {
		return false
	}
	if q.last == nil {
		q.first = f
	} else {
		q.last.next = f
	}
	q.last = f
	q.packets++
	q.bytes += f.size
	return true
}

// pop removes the first frame. The caller passes its successor and size, read before the card
// got it.
func (q *txQueue) pop(next *Frame, size int) {
	q.first = next
	if next == nil {
		q.last = nil
	}
	q.packets--
	q.bytes -= size
}

// WritePacket implements stack.QueueingDiscipline. Every packet that leaves passes here.
func (l *Link) WritePacket(pkt *stack.PacketBuffer) tcpip.Error {
	proto, size := pkt.NetworkProtocolNumber, pkt.Size()-l.header
	f := l.frame(pkt)
	l.tx.mu.Lock()
	sent := l.send(f)
	if sent {
		l.stats.tx.add(proto, size)
		l.nic.Kick()
	}
	l.tx.mu.Unlock()
	l.drain()
	if !sent {
		return &tcpip.ErrNoBufferSpace{}
	}
	return nil
}

// WritePackets implements stack.LinkEndpoint: several packets, one Kick.
func (l *Link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	l.tx.mu.Lock()
	n := 0
	for _, pkt := range pkts.AsSlice() {
		proto, size := pkt.NetworkProtocolNumber, pkt.Size()-l.header
		if !l.send(l.frame(pkt)) {
			break
		}
		l.stats.tx.add(proto, size)
		n++
	}
	l.nic.Kick()
	l.tx.mu.Unlock()
	l.drain()
	if n < pkts.Len() {
		return n, &tcpip.ErrNoBufferSpace{}
	}
	return n, nil
}

// send passes f to the card or the queue; false means that it was dropped. l.tx.mu is held.
func (l *Link) send(f *Frame) bool {
	size := f.size - l.info.Headroom // f may be freed once it is sent
	if w := l.watch.current.Load(); w != nil && !f.hidden && !l.tx.shut && !l.tx.full(f, l.info.QueueLength) {
		w.sent(l, f)
	}
	if l.tx.shut || (l.tx.first != nil || !l.nic.Send(f)) && !l.tx.push(f, l.info.QueueLength) {
		f.Done()
		l.stats.txDropped.Add(1)
		return false
	}
	l.stats.txPackets.Add(1)
	l.stats.txBytes.Add(uint64(size))
	return true
}

// TxReady is called by the card when its ring has space again. From within Send or Kick it only
// sets a flag for their caller.
func (l *Link) TxReady() {
	l.tx.ready.Store(true)
	l.drain()
}

// drain sends queued frames if the card has reported space. A holder of the lock calls drain
// after unlocking, so that no report is lost.
func (l *Link) drain() {
	for l.tx.ready.Load() && l.tx.mu.TryLock() {
		l.tx.ready.Store(false)
		l.sendQueued()
		l.tx.mu.Unlock()
	}
}

// sendQueued moves frames from the queue to the card. l.tx.mu is held.
func (l *Link) sendQueued() {
	sent := false
	for f := l.tx.first; f != nil; f = l.tx.first {
		next, size := f.next, f.size
		f.next = nil
		if !l.nic.Send(f) {
			f.next = next
			break
		}
		l.tx.pop(next, size)
		sent = true
	}
	if sent {
		l.nic.Kick()
	}
}

// frame describes pkt to the card and takes a reference to it.
func (l *Link) frame(pkt *stack.PacketBuffer) *Frame {
	f := framePool.Get().(*Frame)
	f.pkt = pkt.IncRef()
	l.reserveHeadroom(f, pkt)
	f.size += pkt.Size()
	views, skip := pkt.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		f.Parts, skip = appendPart(f.Parts, v, skip)
	}
	f.Offload = offloadOf(pkt, l.header)
	return f
}

// reserveHeadroom makes room for the card's own header before the packet's headers, or in a
// part of its own if the packet has none.
func (l *Link) reserveHeadroom(f *Frame, pkt *stack.PacketBuffer) {
	n := l.info.Headroom
	if n == 0 || len(pkt.VirtioNetHeader().Slice()) == n {
		return
	}
	if pkt.AvailableHeaderBytes() >= n {
		clear(pkt.VirtioNetHeader().Push(n))
		return
	}
	f.Parts = append(f.Parts, make([]byte, n))
	f.size += n
}

// appendPart adds the bytes of v after skip bytes, and returns the skip for the next view.
func appendPart(parts [][]byte, v *buffer.View, skip int) ([][]byte, int) {
	b := v.AsSlice()
	if skip >= len(b) {
		return parts, skip - len(b)
	}
	return append(parts, b[skip:]), 0
}

// offloadOf translates gVisor's GSO options, whose TCP header already has the checksum of the
// pseudo-header. The link header has that many bytes.
func offloadOf(pkt *stack.PacketBuffer, linkHeader int) Offload {
	gso := &pkt.GSOOptions
	if !gso.NeedsCsum || (gso.Type != stack.GSOTCPv4 && gso.Type != stack.GSOTCPv6) {
		return Offload{}
	}
	start := linkHeader + len(pkt.NetworkHeader().Slice())
	o := Offload{
		NeedsChecksum:  true,
		ChecksumStart:  uint16(start),
		ChecksumOffset: gso.CsumOffset,
	}
	if pkt.Data().Size() > int(gso.MSS) && gso.MSS != 0 {
		o.GSOType = GSOTCPv4
		if gso.Type == stack.GSOTCPv6 {
			o.GSOType = GSOTCPv6
		}
		o.GSOSize = gso.MSS
		o.HeaderLen = uint16(start + len(pkt.TransportHeader().Slice()))
	}
	return o
}
