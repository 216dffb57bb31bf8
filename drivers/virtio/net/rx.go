package net

import (
	"sync"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Packet is one received packet.
type Packet struct {
	Header  Header
	Len     int      // bytes in all buffers
	Buffers []Buffer // at least one; more only with Offloads.Mergeable
}

// Buffer is a part of a packet, in memory that Handler.Buffer provided.
type Buffer struct {
	Data  []byte
	Owner any
}

// receiver is the receiving side; mu protects it.
type receiver struct {
	mu      sync.Mutex
	q       *virtio.Queue
	slots   []rxSlot // by head descriptor
	posted  int      // buffers that the device holds
	target  int      // buffers that it should hold
	max     int
	split   bool // the header needs a descriptor of its own
	segs    []virtio.Segment
	packets []Packet
	buffers []Buffer
}

type rxSlot struct {
	buf   []byte // nil: the device does not hold this head
	owner any
}

// rxBatch is the number of packets after which the ring is refilled and the
// packets are delivered.
const rxBatch = 32

// minBuffer returns the size that a receive buffer must have. Without
// mergeable buffers each must take a whole packet: the link header with one
// VLAN tag, and the MTU (§5.1.6.3.1, which has 1526 without the tag).
func minBuffer(info Info, hdrLen int) int {
	if info.Offloads.Mergeable {
		return 2 * hdrLen // any beyond the header will do
	}
	mtu := info.MTU
	if mtu == 0 {
		mtu = 1500
	}
	return hdrLen + 18 + mtu
}

func (d *Device) startRx(t virtio.Transport, begin, max int) error {
	q, err := virtio.NewQueue(t, d.mem, d.features, rxQueue, max)
	if err != nil {
		return err
	}
	max = min(max, q.Size())
	d.rx.q = q
	d.rx.max = max
	d.rx.target = min(begin, max)
	d.rx.slots = make([]rxSlot, q.Size())
	d.rx.packets = make([]Packet, 0, rxBatch)
	d.rx.buffers = make([]Buffer, 0, rxBatch)
	// §5.1.6.1.1: a legacy device without ANY_LAYOUT wants the header in a
	// descriptor of its own; mergeable buffers are exempt by custom.
	d.rx.split = t.Legacy() && !d.has(virtio.FeatureAnyLayout) && !d.has(FeatureMrgRxbuf)
	d.rx.mu.Lock()
	defer d.rx.mu.Unlock()
	if err := d.fill(); err != nil {
		return err
	}
	q.EnableInterrupts(0)
	return nil
}

// fill gives the device buffers until it holds the target.
func (d *Device) fill() error {
	rx := &d.rx
	for rx.posted < rx.target {
		buf, owner := d.h.Buffer()
		if buf == nil {
			return nil
		}
		if len(buf) < d.info.MinBuffer {
			d.h.Free(owner)
			return ErrBuffer
		}
		rx.segs = rx.segs[:0]
		rest := buf
		if rx.split {
			rx.segs = virtio.AppendSegments(d.mem, rx.segs, buf[:d.hdrLen])
			rest = buf[d.hdrLen:]
		}
		rx.segs = virtio.AppendSegments(d.mem, rx.segs, rest)
		head, ok := rx.q.Add(rx.segs, 0)
		if !ok {
			// Buffers of several pages take several descriptors.
			d.h.Free(owner)
			rx.target = max(rx.posted, 1)
			rx.max = rx.target
			return nil
		}
		rx.slots[head] = rxSlot{buf, owner}
		rx.posted++
	}
	return nil
}

// Refill tries again to give the device buffers, after Handler.Buffer had
// none. The driver also does so by itself whenever the device interrupts, and
// after a while when the device holds none and so cannot interrupt.
func (d *Device) Refill() {
	d.rx.mu.Lock()
	defer d.rx.mu.Unlock()
	d.refill()
}

// refill fills and publishes, with rx.mu held.
func (d *Device) refill() {
	if d.Err() != nil {
		return
	}
	if err := d.fill(); err != nil {
		d.life.EndSoon(err)
		return
	}
	d.rx.q.Kick()
	if d.rx.posted == 0 {
		d.armTimer()
	}
}

// receive delivers packets until there are no more, then asks for an interrupt.
func (d *Device) receive() {
	rx := &d.rx
	rx.mu.Lock()
	defer rx.mu.Unlock()
	taken := 0
	for d.Err() == nil {
		n, waiting := d.collect()
		if err := rx.q.Err(); err != nil {
			d.life.EndSoon(err)
		}
		taken += n
		d.grow(taken)
		d.refill()
		d.deliver()
		if n == 0 && d.Err() == nil && !rx.q.EnableInterrupts(waiting) {
			return
		}
	}
}

// grow doubles the number of buffers once a single interrupt has found half of
// them filled: each costs memory, and a quiet machine needs few.
func (d *Device) grow(taken int) {
	if rx := &d.rx; taken >= rx.target/2 && rx.target < rx.max {
		rx.target = min(2*rx.target, rx.max)
	}
}

// collect takes up to rxBatch packets from the ring. It returns how many
// buffers it took, and how many it left because they are a packet of which
// more are to come.
func (d *Device) collect() (taken, waiting int) {
	rx := &d.rx
	for len(rx.packets) < rxBatch {
		pending := rx.q.Pending()
		head, written, ok := rx.q.Peek()
		if !ok {
			break
		}
		slot := &rx.slots[head]
		if int(written) < d.hdrLen {
			d.life.EndSoon(ErrShortPacket)
			break
		}
		// The device can write to the buffer as long as it likes, even now:
		// the header is read once.
		n := 1
		var hdr Header
		hdr.get(slot.buf)
		if d.has(FeatureMrgRxbuf) {
			n = int(get16(slot.buf[headerSize-2:]))
		}
		if n == 0 || n > rx.q.Size() {
			d.life.EndSoon(ErrNumBuffers)
			break
		}
		if n > pending {
			return taken, pending
		}
		if !d.take(hdr, n) {
			break
		}
		taken += n
	}
	return taken, 0
}

// take makes a packet of the next n buffers.
func (d *Device) take(hdr Header, n int) bool {
	rx := &d.rx
	first, total := len(rx.buffers), 0
	for i := range n {
		head, written, ok := rx.q.Next()
		if !ok {
			break
		}
		slot := rx.slots[head]
		rx.slots[head] = rxSlot{}
		rx.posted--
		from := 0
		if i == 0 {
			from = min(d.hdrLen, int(written))
		}
		data := slot.buf[from:written]
		total += len(data)
		rx.buffers = append(rx.buffers, Buffer{data, slot.owner})
	}
	bufs := rx.buffers[first:len(rx.buffers):len(rx.buffers)]
	if rx.q.Err() != nil || !hdr.plausible(total, d.info.Offloads) || total == 0 {
		for _, b := range bufs {
			d.h.Free(b.Owner)
		}
		clear(bufs)
		rx.buffers = rx.buffers[:first]
		return rx.q.Err() == nil
	}
	rx.packets = append(rx.packets, Packet{hdr, total, bufs})
	return true
}

// deliver hands over what collect gathered.
func (d *Device) deliver() {
	rx := &d.rx
	if len(rx.packets) > 0 {
		d.h.Receive(rx.packets)
	}
	clear(rx.packets)
	clear(rx.buffers)
	rx.packets, rx.buffers = rx.packets[:0], rx.buffers[:0]
}

// freeAll returns the buffers of a device that was reset.
func (rx *receiver) freeAll(h Handler) {
	for i, s := range rx.slots {
		if s.buf != nil {
			rx.slots[i] = rxSlot{}
			h.Free(s.owner)
		}
	}
	rx.posted = 0
}
