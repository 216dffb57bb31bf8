package virtiotest

import (
	"sync/atomic"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Queue is the device's end of a split virtqueue. It is for one goroutine.
type Queue struct {
	Rings virtio.Rings
	Max   int  // what the device announces as the largest size
	Ready bool // the driver has set it up

	dev       *Device
	index     int
	seen      uint16 // avail index up to which Pop has returned
	used      uint16 // used index with what Push has added
	published uint16 // used index that the driver may see
	quiet     bool
}

// Chain is one buffer that the driver offered: the parts that the device may
// read and those that it may write.
type Chain struct {
	Head     uint16
	Read     [][]byte
	Write    [][]byte
	Indirect bool
}

type desc struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

func (q *Queue) eventIdx() bool { return q.dev.Accepted()&virtio.FeatureEventIdx != 0 }

func (q *Queue) usedEvent() *uint32  { return q.word(q.Rings.Avail + 4 + 2*uint64(q.Rings.Size)) }
func (q *Queue) availEvent() *uint32 { return q.word(q.Rings.Used + 4 + 8*uint64(q.Rings.Size)) }

// Available returns how many chains Pop can return.
func (q *Queue) Available() int {
	return int(uint16(atomic.LoadUint32(q.word(q.Rings.Avail))>>16) - q.seen)
}

// Pop takes the next available chain into c, whose slices are reused. It
// panics if the chain is malformed: then the driver is wrong.
func (q *Queue) Pop(c *Chain) bool {
	if !q.Ready || q.Available() == 0 {
		return false
	}
	slot := uint64(q.seen) % uint64(q.Rings.Size)
	*c = Chain{Head: *q.half(q.Rings.Avail + 4 + 2*slot), Read: c.Read[:0], Write: c.Write[:0]}
	q.seen++
	q.walk(c)
	return true
}

func (q *Queue) walk(c *Chain) {
	table, i := q.Rings.Desc, c.Head
	for n := 0; ; n++ {
		d := q.desc(table, i)
		if d.flags&4 != 0 {
			if n != 0 || d.flags != 4 || d.len%16 != 0 {
				panic("virtiotest: malformed indirect descriptor")
			}
			table, i, c.Indirect = d.addr, 0, true
			continue
		}
		b := q.dev.Memory.Slice(d.addr, int(d.len))
		switch {
		case b == nil || n > q.Rings.Size:
			panic("virtiotest: descriptor outside memory or chain too long")
		case d.flags&2 != 0:
			c.Write = append(c.Write, b)
		case len(c.Write) > 0:
			panic("virtiotest: readable descriptor behind a writable one")
		default:
			c.Read = append(c.Read, b)
		}
		if d.flags&1 == 0 {
			return
		}
		i = d.next
	}
}

// Push returns a chain with the number of bytes written. The driver sees it
// after Flush.
func (q *Queue) Push(head uint16, written uint32) {
	q.PutUsed(q.used, uint32(head), written)
	q.used++
}

// PutUsed writes an element of the used ring, whatever it may be.
func (q *Queue) PutUsed(at uint16, id, written uint32) {
	e := q.Rings.Used + 4 + 8*uint64(int(at)%q.Rings.Size)
	atomic.StoreUint32(q.word(e), id)
	atomic.StoreUint32(q.word(e+4), written)
}

// SetUsedIndex writes the used index, whatever it may be.
func (q *Queue) SetUsedIndex(idx uint16) {
	q.used, q.published = idx, idx
	q.storeUsed()
}

// UsedIndex returns the used index as the driver sees it.
func (q *Queue) UsedIndex() uint16 { return q.published }

func (q *Queue) storeUsed() {
	v := uint32(q.published) << 16
	if q.quiet {
		v |= 1
	}
	atomic.StoreUint32(q.word(q.Rings.Used), v)
}

// Flush shows the driver what was pushed, and interrupts it if it wants that.
func (q *Queue) Flush() (interrupted bool) {
	old := q.published
	q.published = q.used
	q.storeUsed()
	if old == q.published || !q.wantsInterrupt(old) {
		return false
	}
	q.dev.interrupt(virtio.CauseQueue)
	return true
}

func (q *Queue) wantsInterrupt(old uint16) bool {
	if q.eventIdx() {
		event := uint16(atomic.LoadUint32(q.usedEvent()))
		return q.published-event-1 < q.published-old
	}
	return atomic.LoadUint32(q.word(q.Rings.Avail))&1 == 0
}

// SetNotify asks the driver for a notification of the next available chain, or
// for none. It reports whether chains are there already.
func (q *Queue) SetNotify(on bool) bool {
	switch {
	case !q.eventIdx():
		q.quiet = !on
		q.storeUsed()
	case on:
		atomic.StoreUint32(q.availEvent(), uint32(q.seen))
	default:
		atomic.StoreUint32(q.availEvent(), uint32(q.seen-1))
	}
	return q.Available() > 0
}

// Drain calls f with every available chain until there is none, and then asks
// for a notification of the next.
func (q *Queue) Drain(c *Chain, f func(*Chain)) {
	for q.Ready {
		for q.Pop(c) {
			f(c)
		}
		if !q.SetNotify(true) {
			return
		}
	}
}

// Fill copies data to the writable parts of a chain and returns how much.
func (c *Chain) Fill(data []byte) int {
	n := 0
	for _, w := range c.Write {
		n += copy(w, data[n:])
	}
	return n
}

// Data appends the readable parts of a chain to dst.
func (c *Chain) Data(dst []byte) []byte {
	for _, r := range c.Read {
		dst = append(dst, r...)
	}
	return dst
}
