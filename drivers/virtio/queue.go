package virtio

import "sync/atomic"

// Segment is a physically contiguous piece of a buffer.
type Segment struct {
	Addr uint64
	Len  uint32
}

// indirectMin is the number of segments from which on an indirect table is
// used: a chain of two costs the device one more descriptor read, as an
// indirect table would, and spares writing and reading the table.
const indirectMin = 3

// IndirectMax is the number of segments that fit in an indirect table, unless
// SetIndirectMax says otherwise. A 64 KiB TCP segment spread over 4 KiB pages
// takes 17, its headers one or two, the virtio-net header one. Longer chains
// take direct descriptors.
const IndirectMax = 32

// indirectLimit is the largest table: a page of descriptors.
const indirectLimit = PageSize / descSize

// used.flags and avail.flags (§2.7.6, §2.7.8), and flags of a descriptor (§2.7.5).
const (
	usedNoNotify     = 1
	availNoInterrupt = 1
	descNext         = 1
	descWrite        = 2
	descIndirect     = 4
)

// A Queue is the driver's side of one split virtqueue (§2.7). It is not safe
// for concurrent use.
//
// The driver's state is private: nothing is ever read back from the
// descriptor table or the available ring, which the device could have
// changed. Index arithmetic is modulo 2^16, as in the specification; always
// seen <= used <= published <= avail <= seen+size.
type Queue struct {
	shared
	t        Transport
	index    int
	rings    Rings
	size     uint16
	eventIdx bool

	avail     uint16 // available index after all chains added
	published uint16 // available index that the device may see
	seen      uint16 // used index up to which Next has returned
	used      uint16 // used index as last read, checked
	silent    bool   // without EVENT_IDX: avail.flags has NO_INTERRUPT

	free    uint16  // first of the list of free descriptors
	numFree uint16  // its length
	links   []link  // by descriptor
	chains  []chain // by head descriptor

	tables indirectTables
	err    error
}

// link is the private copy of a descriptor's next field.
type link uint16

// chain describes what the device holds under one head.
type chain struct {
	descs    uint16 // descriptors taken; 0: the device does not hold this head
	writable uint32 // bytes that it may write
}

// NewQueue sets up queue index of a device whose features are negotiated, with
// as many entries as the device supports but at most max.
func NewQueue(t Transport, mem Memory, features uint64, index, max int) (*Queue, error) {
	size := t.QueueMax(index)
	if size == 0 {
		return nil, ErrNoQueue
	}
	if size < 2 || size > 32768 || size&(size-1) != 0 {
		return nil, ErrQueueSize
	}
	for size > max && size > 2 {
		size /= 2
	}
	q := &Queue{
		t:        t,
		index:    index,
		size:     uint16(size),
		eventIdx: features&FeatureEventIdx != 0,
		links:    make([]link, size),
		chains:   make([]chain, size),
		numFree:  uint16(size),
	}
	for i := range q.links {
		q.links[i] = link(i + 1)
	}
	rings, err := q.shared.alloc(mem, size, t.Legacy())
	if err != nil {
		return nil, err
	}
	if features&FeatureIndirectDesc != 0 {
		q.tables.init(mem, size, IndirectMax)
	}
	q.rings = rings
	q.DisableInterrupts()
	if err := t.SetQueue(index, rings); err != nil {
		return nil, err
	}
	return q, nil
}

// Size returns the number of entries.
func (q *Queue) Size() int { return int(q.size) }

// Rings returns where the queue lies, and Index its number. Who writes there must
// be the only one who uses the queue.
func (q *Queue) Rings() Rings { return q.rings }

// Index returns the number of the queue.
func (q *Queue) Index() int { return q.index }

// SetIndirectMax changes how many segments fit in an indirect table: n, rounded
// up to a power of two, at most 256. It is called before the first Add.
//
// A table takes 16 bytes of DMA memory for each segment. Tables are allocated
// a page at a time, when one of the page's heads is first used, and are never
// freed: a queue that has had all its heads in flight holds Size tables.
func (q *Queue) SetIndirectMax(n int) {
	if q.tables.pages != nil {
		q.tables.init(q.tables.mem, int(q.size), n)
	}
}

// IndirectMax returns how many segments fit in an indirect table; 0 if the
// device does not take such tables. A chain has at most Size segments in any
// case (§2.7.5.3.1).
func (q *Queue) IndirectMax() int { return q.tables.entries }

// Err returns the error that ended the queue, or nil.
func (q *Queue) Err() error { return q.err }

// InFlight returns how many chains were added and have not come back.
func (q *Queue) InFlight() int { return int(q.avail - q.seen) }

// NextHead returns the head that the next Add will use, if there is room. A
// driver that keeps a header per head fills it before it adds the chain.
func (q *Queue) NextHead() uint16 { return q.free }

// Add makes a chain of segs, of which the device may read the first readable
// and write the others, and returns its head, which names it until Next
// returns it. It reports false if there is no room. The device does not see
// the chain before Publish or Kick.
func (q *Queue) Add(segs []Segment, readable int) (head uint16, ok bool) {
	if q.err != nil || q.numFree == 0 || len(segs) == 0 {
		return 0, false
	}
	head = q.free
	n := uint16(1)
	if table, phys := q.tableFor(head, len(segs)); table != nil {
		fillTable(table, segs, readable)
		q.desc[head] = descriptor{addr: phys, len: uint32(len(segs)) * descSize, flags: descIndirect}
		q.free = uint16(q.links[head])
	} else {
		if len(segs) > int(q.numFree) {
			return 0, false
		}
		n = uint16(len(segs))
		q.fillChain(segs, readable)
	}
	q.numFree -= n
	c := chain{descs: n}
	for _, s := range segs[readable:] {
		c.writable += s.Len
	}
	q.chains[head] = c
	q.ring[q.avail&(q.size-1)] = head
	q.avail++
	return head, true
}

func (q *Queue) tableFor(head uint16, n int) ([]descriptor, uint64) {
	if n < indirectMin || n > q.tables.entries || n > int(q.size) {
		return nil, 0
	}
	return q.tables.get(head)
}

// fillChain takes a descriptor of the free list for each segment.
func (q *Queue) fillChain(segs []Segment, readable int) {
	for i, s := range segs {
		id := q.free
		q.free = uint16(q.links[id])
		d := descriptor{addr: s.Addr, len: s.Len}
		if i >= readable {
			d.flags |= descWrite
		}
		if i+1 < len(segs) {
			d.flags |= descNext
			d.next = q.free
		}
		q.desc[id] = d
	}
}

func fillTable(table []descriptor, segs []Segment, readable int) {
	for i, s := range segs {
		d := descriptor{addr: s.Addr, len: s.Len}
		if i >= readable {
			d.flags |= descWrite
		}
		if i+1 < len(segs) {
			d.flags |= descNext
			d.next = uint16(i + 1)
		}
		table[i] = d
	}
}

// Publish shows the device all chains added so far and reports whether it
// asks to be notified of them (§2.7.13.3, §2.7.13.4).
func (q *Queue) Publish() (notify bool) {
	old := q.published
	if old == q.avail {
		return false
	}
	q.published = q.avail
	// An atomic store is an XCHG, a full barrier: what was written above is
	// visible before the index, and the device's wish is read after it.
	q.storeAvail()
	if q.eventIdx {
		event := uint16(atomic.LoadUint32(q.availEvent))
		return q.published-event-1 < q.published-old
	}
	return atomic.LoadUint32(q.usedHead)&usedNoNotify == 0
}

// Kick publishes and notifies the device if it asks for it.
func (q *Queue) Kick() {
	if q.Publish() {
		q.Notify()
	}
}

// Notify notifies the device without asking. Unlike the other methods it may
// be called by several goroutines.
func (q *Queue) Notify() { q.t.Notify(q.index) }

func (q *Queue) storeAvail() {
	v := uint32(q.published) << 16
	if q.silent {
		v |= availNoInterrupt
	}
	atomic.StoreUint32(q.availHead, v)
}

// Pending returns how many chains the device has used and Next has not yet
// returned.
func (q *Queue) Pending() int {
	if q.err != nil {
		return 0
	}
	used := uint16(atomic.LoadUint32(q.usedHead) >> 16)
	if used-q.seen > q.published-q.seen || used-q.seen < q.used-q.seen {
		q.err = ErrUsedIndex
		return 0
	}
	q.used = used
	return int(used - q.seen)
}

// Peek returns what Next will return, without taking it.
func (q *Queue) Peek() (head uint16, written uint32, ok bool) {
	if q.seen == q.used && q.Pending() == 0 || q.err != nil {
		return 0, 0, false
	}
	e := &q.elems[q.seen&(q.size-1)]
	// The device may write these words at any time: one read of each.
	id := atomic.LoadUint32(&e.id)
	written = atomic.LoadUint32(&e.len)
	if id >= uint32(q.size) || q.chains[id].descs == 0 {
		q.err = ErrUsedID
		return 0, 0, false
	}
	max := q.chains[id].writable
	if max == 0 {
		// Old devices set a length here that means nothing (§2.7.8.2).
		written = 0
	}
	if written > max {
		q.err = ErrUsedLength
		return 0, 0, false
	}
	return uint16(id), written, true
}

// Next takes one chain back from the device: its head and how many bytes the
// device wrote to its writable segments. It reports false if there is none, or
// if the device broke the rules; then Err is set.
func (q *Queue) Next() (head uint16, written uint32, ok bool) {
	head, written, ok = q.Peek()
	if !ok {
		return 0, 0, false
	}
	q.seen++
	q.release(head)
	return head, written, true
}

func (q *Queue) release(head uint16) {
	n := q.chains[head].descs
	q.chains[head] = chain{}
	tail := head
	for range n - 1 {
		tail = uint16(q.links[tail])
	}
	q.links[tail] = link(q.free)
	q.free = head
	q.numFree += n
}

// EnableInterrupts asks for an interrupt as soon as the device has used more
// than ahead chains that Next has not returned; without EVENT_IDX any used
// chain will interrupt. It reports whether that is already so, or the queue is
// broken: then no interrupt may come, and the driver looks again.
func (q *Queue) EnableInterrupts(ahead int) (already bool) {
	if q.eventIdx {
		// A full barrier again: the device reads this after it has stored
		// its index, and the driver reads that index after this store.
		atomic.StoreUint32(q.usedEvent, uint32(q.seen+uint16(ahead)))
	} else {
		q.silent = false
		q.storeAvail()
	}
	return q.Pending() > ahead || q.err != nil
}

// DisableInterrupts asks for none. With EVENT_IDX the wish is put one before
// the current index, where only a wrap of all 2^16 gets to: a needless
// interrupt, which does no harm.
func (q *Queue) DisableInterrupts() {
	if q.eventIdx {
		atomic.StoreUint32(q.usedEvent, uint32(q.seen-1))
		return
	}
	if !q.silent {
		q.silent = true
		q.storeAvail()
	}
}
