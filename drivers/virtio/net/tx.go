package net

import (
	"sync"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Errors of Send that do not end the device.
const (
	ErrFull     = virtio.Error("virtio-net: send queue is full")
	ErrTooLarge = virtio.Error("virtio-net: packet has too many pieces")
	ErrEmpty    = virtio.Error("virtio-net: packet is empty")
)

// Sent packets are normally taken back without any interrupt: by the next Kick,
// the next interrupt for a received packet, or, when traffic ceases, a timer
// this long after the last Kick. It doubles up to reapMax while the device does
// not move.
const (
	reapAfter = 10 * time.Millisecond
	reapMax   = time.Second
)

// transmitter is the sending side; mu protects it.
type transmitter struct {
	mu      sync.Mutex
	q       *virtio.Queue
	owners  []txSlot // by head descriptor
	headers []byte   // by head descriptor, headerStride apart
	hdrPhys uint64
	segs    []virtio.Segment
	hurry   bool // an interrupt was asked for: Hasten
	full    bool // Send has failed, and Writable is owed
	room    bool // since then the device has finished something
	timer   *time.Timer
	armed   bool
	delay   time.Duration
}

type txSlot struct {
	owner any
	held  bool // the device holds this head
}

func (d *Device) startTx(t virtio.Transport, max int) error {
	q, err := virtio.NewQueue(t, d.mem, d.features, txQueue, max)
	if err != nil {
		return err
	}
	tx := &d.tx
	tx.headers, tx.hdrPhys, err = d.mem.Alloc(q.Size() * headerStride)
	if err != nil {
		return err
	}
	tx.q = q
	tx.owners = make([]txSlot, q.Size())
	tx.segs = make([]virtio.Segment, 0, virtio.IndirectMax)
	tx.delay = reapAfter
	tx.timer = time.AfterFunc(time.Hour, d.housekeep)
	tx.timer.Stop()
	return nil
}

// Send queues a packet, which is the concatenation of pieces, beginning with
// the link header. Nothing is copied: the pieces must stay as they are until
// Handler.Sent returns owner. The device begins at the next Kick.
//
// ErrFull means that Handler.Writable will be called when it is worth to try
// again. After any error the packet is still the caller's.
func (d *Device) Send(hdr Header, pieces [][]byte, owner any) error {
	d.tx.mu.Lock()
	err := d.send(&hdr, pieces, owner)
	d.unlockTx()
	return err
}

func (d *Device) send(hdr *Header, pieces [][]byte, owner any) error {
	tx := &d.tx
	if err := d.Err(); err != nil {
		return err
	}
	tx.segs = append(tx.segs[:0], virtio.Segment{Len: uint32(d.hdrLen)})
	for _, p := range pieces {
		tx.segs = virtio.AppendSegments(d.mem, tx.segs, p)
	}
	switch n := len(tx.segs); {
	case n == 1:
		return ErrEmpty
	case n > tx.q.Size():
		return ErrTooLarge
	}
	for !d.post(hdr, owner) {
		if !d.makeRoom() {
			if err := d.Err(); err != nil {
				return err
			}
			return ErrFull
		}
	}
	return nil
}

// post adds the chain in tx.segs, with the header that goes with its head.
func (d *Device) post(hdr *Header, owner any) bool {
	tx := &d.tx
	head := tx.q.NextHead()
	if int(head) >= len(tx.owners) {
		return false // no free descriptor
	}
	at := int(head) * headerStride
	tx.segs[0].Addr = tx.hdrPhys + uint64(at)
	if _, ok := tx.q.Add(tx.segs, len(tx.segs)); !ok {
		return false
	}
	// Bytes 10 and 11, num_buffers, stay zero (§5.1.6.2).
	hdr.put(tx.headers[at:])
	tx.owners[head] = txSlot{owner, true}
	return true
}

// makeRoom takes back what the device is done with. If that is nothing, it
// asks for an interrupt when the device has done half of what it has (or, if
// that happened meanwhile, reports true).
func (d *Device) makeRoom() bool {
	tx := &d.tx
	if d.reap() > 0 {
		return true
	}
	if d.Err() != nil {
		return false
	}
	tx.full = true
	tx.q.Kick()
	return tx.q.EnableInterrupts(tx.q.InFlight() / 2)
}

// reap returns the owners of packets that the device has read.
func (d *Device) reap() (n int) {
	tx := &d.tx
	for {
		head, _, ok := tx.q.Next()
		if !ok {
			break
		}
		tx.room = tx.full
		owner := tx.owners[head].owner
		tx.owners[head] = txSlot{}
		d.h.Sent(owner)
		n++
	}
	if tx.hurry && !tx.full && tx.q.InFlight() == 0 {
		tx.hurry = false
		tx.q.DisableInterrupts()
	}
	if err := tx.q.Err(); err != nil {
		d.life.EndSoon(err)
	}
	return n
}

// Kick makes the device send what was queued.
func (d *Device) Kick() {
	tx := &d.tx
	tx.mu.Lock()
	if d.Err() != nil {
		tx.mu.Unlock()
		return
	}
	d.reap()
	notify := tx.q.Publish()
	if tx.q.InFlight() > 0 {
		tx.delay = reapAfter
		d.arm()
	}
	d.unlockTx()
	// The notification leaves the virtual machine: not under the lock.
	if notify {
		tx.q.Notify()
	}
}

// Hasten asks for an interrupt when the device has read all that it holds now.
// Otherwise Handler.Sent may come late: with the next Kick or received packet, or
// after up to a second.
func (d *Device) Hasten() {
	tx := &d.tx
	tx.mu.Lock()
	for d.Err() == nil && tx.q.InFlight() > 0 {
		tx.hurry = true
		tx.q.Kick()
		if !tx.q.EnableInterrupts(tx.q.InFlight() - 1) {
			break
		}
		d.reap() // that is so already
	}
	d.unlockTx()
}

// completeTx reaps.
func (d *Device) completeTx() {
	d.tx.mu.Lock()
	if d.Err() == nil {
		d.reap()
	}
	d.unlockTx()
}

// unlockTx unlocks tx.mu and tells the user of room if that is owed: to those
// whose Send failed, whoever found the room.
func (d *Device) unlockTx() {
	tx := &d.tx
	writable := tx.full && tx.room
	if writable {
		tx.full, tx.room = false, false
		tx.q.DisableInterrupts()
	}
	tx.mu.Unlock()
	if writable {
		d.h.Writable()
	}
}

// arm starts the timer unless it runs. It is not put off by later packets: it
// fires at most once in reapAfter, and costs nothing in between.
func (d *Device) arm() {
	if tx := &d.tx; !tx.armed {
		tx.armed = true
		tx.timer.Reset(tx.delay)
	}
}

// armTimer is arm for the receiving side. The order of locks is rx.mu, tx.mu.
func (d *Device) armTimer() {
	d.tx.mu.Lock()
	d.arm()
	d.tx.mu.Unlock()
}

// housekeep is called by the timer.
func (d *Device) housekeep() {
	d.completeTx()
	tx := &d.tx
	tx.mu.Lock()
	tx.armed = false
	if d.Err() == nil && tx.q.InFlight() > 0 {
		tx.delay = min(2*tx.delay, reapMax)
		d.arm()
	}
	tx.mu.Unlock()
	d.rx.mu.Lock()
	if d.rx.posted == 0 {
		d.refill()
	}
	d.rx.mu.Unlock()
}

// freeAll returns the packets of a device that was reset.
func (tx *transmitter) freeAll(h Handler) {
	for i, s := range tx.owners {
		if s.held {
			tx.owners[i] = txSlot{}
			h.Sent(s.owner)
		}
	}
}
