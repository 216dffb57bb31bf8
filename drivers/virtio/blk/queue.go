package blk

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Types and answers of the device's requests (§5.2.6).
const (
	typeIn          = 0
	typeOut         = 1
	typeFlush       = 4
	typeGetID       = 8
	typeDiscard     = 11
	typeWriteZeroes = 13

	statusOK          = 0
	statusIOErr       = 1
	statusUnsupported = 2
	statusNone        = 0xff // what the driver puts there; no device answers so

	flagUnmap = 1
)

// Every head has a slot of DMA memory: the header (struct virtio_blk_req up to
// its data), one struct virtio_blk_discard_write_zeroes, the status, and the
// serial number. A slot is one cache line, so that two never share one.
const (
	slotSize   = 64
	headerSize = 16
	rangeAt    = 16
	rangeSize  = 16
	statusAt   = 32
	idAt       = 36

	// IDSize is the length of a serial number, VIRTIO_BLK_ID_BYTES.
	IDSize = 20
)

// tableSize is the number of segments in an indirect table: header, status and
// 62 of data, 248 KiB if no two pages are neighbours. A queue of 128 entries
// then takes 3 pages of DMA memory for rings and slots, and up to 32 for tables:
// as many as were needed at once. Tables of twice the size would take twice the
// memory, to save one header in sixty pages.
const tableSize = 64

// queue is one virtqueue with the requests that wait for it.
type queue struct {
	d *Device

	mu      sync.Mutex // protects what follows
	vq      *virtio.Queue
	err     error  // the device has ended
	pending list   // requests of which parts are not yet with the device
	parts   []part // by head descriptor: what the device holds
	slots   []byte // by head descriptor, slotSize apart
	slotsAt uint64 // their physical address
	segs    []virtio.Segment
	timer   Timer // looks for stalled parts, nil before the first
	armed   bool  // timer runs
	counts  counters
}

// part is what the device holds under one head.
type part struct {
	r     *Request
	size  int64     // bytes
	since time.Time // when it was submitted
	told  bool      // Options.Stalled knows
}

// newQueue sets up queue i.
func (d *Device) newQueue(i int) (*queue, error) {
	vq, err := virtio.NewQueue(d.life.Transport, d.mem, d.features, i, d.opt.QueueSize)
	if err != nil {
		return nil, err
	}
	if vq.Size() < 4 {
		return nil, ErrQueueSmall
	}
	vq.SetIndirectMax(tableSize)
	q := &queue{d: d, vq: vq, parts: make([]part, vq.Size())}
	if q.slots, q.slotsAt, err = d.mem.Alloc(vq.Size() * slotSize); err != nil {
		return nil, err
	}
	q.segs = make([]virtio.Segment, 0, q.maxData()+2)
	vq.EnableInterrupts(0)
	return q, nil
}

// maxData returns how many segments of data a chain can have, beside those of
// header and status. Without indirect tables a request takes at most a quarter
// of the queue, so that others find room.
func (q *queue) maxData() int {
	if n := q.vq.IndirectMax(); n > 0 {
		return min(n, q.vq.Size()) - 2
	}
	return max(min(q.vq.Size()/4, tableSize)-2, 1)
}

// submit appends requests and gives the device what there is room for.
func (q *queue) submit(l list, done *list) {
	q.mu.Lock()
	if q.err != nil {
		for r := l.head; r != nil; r = r.next {
			r.Err = q.err
		}
		q.mu.Unlock()
		done.join(l)
		return
	}
	q.pending.join(l)
	notify := q.advance(done)
	q.mu.Unlock()
	// The notification leaves the virtual machine: not under the lock.
	if notify {
		q.vq.Notify()
	}
}

// handle looks at what the device has used, and ends the device if it lied.
func (q *queue) handle() {
	var done list
	q.mu.Lock()
	if q.err != nil {
		q.mu.Unlock()
		return
	}
	err := q.complete(&done)
	notify := err == nil && q.advance(&done)
	q.mu.Unlock()
	if notify {
		q.vq.Notify()
	}
	if err != nil {
		q.d.fail(err)
	}
	done.finish()
}

// advance gives the device parts of pending requests, as many as there is room
// for, publishes them and reports whether to notify, with mu held.
func (q *queue) advance(done *list) (notify bool) {
	now := q.now()
	for r := q.pending.head; r != nil; r = q.pending.head {
		if r.left > 0 && !q.post(r, now) {
			break
		}
		if r.left == 0 {
			q.pending.pop()
			if r.parts == 0 { // post has refused it
				done.push(r)
			}
		}
	}
	q.setTimer()
	return q.vq.Publish()
}

// post gives the device the next part of a request; false: there is no room. A
// request of which no part can be made has left 0 and Err set.
func (q *queue) post(r *Request, now time.Time) bool {
	head := q.vq.NextHead()
	if int(head) >= len(q.parts) {
		return false
	}
	slot := int(head) * slotSize
	size, readable, err := q.cut(r, q.slotsAt+uint64(slot))
	if err != nil {
		r.Err, r.left = err, 0
		return true
	}
	q.fillSlot(q.slots[slot:slot+slotSize], r, size)
	if _, ok := q.vq.Add(q.segs, readable); !ok {
		return false
	}
	q.parts[head] = part{r: r, size: size, since: now}
	q.began(&q.parts[head])
	r.take(size)
	r.parts++
	return true
}

// fillSlot writes what the device reads of a part, and the status that it must
// replace.
func (q *queue) fillSlot(b []byte, r *Request, size int64) {
	le := binary.LittleEndian
	sector := uint64(r.pos / sectorSize)
	if r.Op == Discard || r.Op == WriteZeroes {
		flags := uint32(0)
		if r.Op == WriteZeroes && r.Unmap && q.d.info.Unmap {
			flags = flagUnmap
		}
		le.PutUint64(b[rangeAt:], sector)
		le.PutUint32(b[rangeAt+8:], uint32(size/sectorSize))
		le.PutUint32(b[rangeAt+12:], flags)
	}
	if r.Op != Read && r.Op != Write {
		sector = 0 // §5.2.6.1
	}
	le.PutUint32(b, requestType(r.Op))
	le.PutUint32(b[4:], 0)
	le.PutUint64(b[8:], sector)
	b[statusAt] = statusNone
	clear(b[idAt:][:IDSize])
}

func requestType(op Op) uint32 {
	return [...]uint32{Read: typeIn, Write: typeOut, Flush: typeFlush, Discard: typeDiscard, WriteZeroes: typeWriteZeroes, Identify: typeGetID}[op]
}

// complete takes back what the device has used, with mu held, and asks for an
// interrupt at the next. Requests that are complete go to done. An error ends
// the device.
func (q *queue) complete(done *list) error {
	now := q.d.opt.Clock.Now()
	for {
		head, written, ok := q.vq.Next()
		if ok {
			if err := q.completePart(int(head), written, now, done); err != nil {
				return err
			}
		} else if err := q.vq.Err(); err != nil || !q.vq.EnableInterrupts(0) {
			return err
		}
	}
}

// completePart takes one part back. An error ends the device.
func (q *queue) completePart(head int, written uint32, now time.Time, done *list) error {
	p := q.parts[head]
	q.parts[head] = part{}
	err, lie := q.check(p, q.slots[head*slotSize+statusAt], written)
	r := p.r
	r.parts--
	q.finished(&p, now)
	if r.Op == Identify && err == nil {
		copy(r.Buffers[0], q.slots[head*slotSize+idAt:][:IDSize])
	}
	if err != nil {
		r.Err, r.left = err, 0 // the rest need not be tried
	}
	if r.left == 0 && r.parts == 0 {
		if q.pending.head == r {
			q.pending.pop()
		}
		done.push(r)
	}
	if lie {
		return err
	}
	return nil
}

// check judges the answer to a part. The status was read once: the device can
// change it at any time. The length matters for reads alone, and old devices
// set it as they like (§2.7.8); that it is not too long the virtqueue has
// checked.
func (q *queue) check(p part, status byte, written uint32) (err error, lie bool) {
	switch status {
	case statusOK:
		if p.r.Op == Read && int64(written) < p.size && !q.d.info.Legacy {
			return ErrShort, true
		}
		return nil, false
	case statusIOErr:
		return ErrIO, false
	case statusUnsupported:
		return ErrUnsupported, false
	case statusNone:
		return ErrNoStatus, true
	}
	return ErrStatus, true
}

// abort ends all requests of a device that was reset.
func (q *queue) abort(err error, done *list) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
	for r := q.pending.head; r != nil; r = q.pending.head {
		q.pending.pop()
		r.Err, r.left = err, 0
		if r.parts == 0 {
			done.push(r)
		}
	}
	for head, p := range q.parts {
		if p.r == nil {
			continue
		}
		q.parts[head] = part{}
		p.r.Err = err
		if p.r.parts--; p.r.parts == 0 {
			done.push(p.r)
		}
	}
	q.stopTimer()
}
