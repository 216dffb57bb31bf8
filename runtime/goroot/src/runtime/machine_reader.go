//go:build tamago

package runtime

import (
	"internal/runtime/atomic"
	"internal/runtime/sys"
	machine "internal/runtime/yolk"
	"unsafe"
)

// Pages of files that a fault finds missing are read here, over a virtqueue of the
// disk that its driver has set up and does not use itself. The thread that waits
// for a page may hold its P, locks of the kernel above, anything: so no Go code
// takes part. A thread whose read fails gets SIGBUS; the machine half itself cannot.
//
// virtio 1.2 §2.7 (split virtqueues), §5.2.6 (requests of block devices).

const (
	readPages   = 16 // of one request at most: 64 KiB
	readSlots   = 7  // requests at once
	readDescs   = readPages + 2
	readHeaders = 2048 // offset of the requests' headers in the reader's page
	headerSize  = 32   // each: 16 bytes of header, the status

	// What is read takes the place of other pages when less than this part of the
	// RAM is free: the kernel's cache leaves as much.
	readFloor = 16

	// What a thread waits for in threadPage if it is not the mark of a request.
	noMark    = 0           // that a slot becomes free
	delayMark = ^uintptr(0) // its deadline: mayStore

	descNext  = 1
	descWrite = 2
)

// machReader is one such queue. It lies at the beginning of a page.
type machReader struct {
	_       sys.NotInHeap
	next    *machReader
	spec    machine.ReaderSpec
	slots   int    // requests that fit
	avail   uint16 // requests made
	seen    uint16 // requests answered
	busy    int    // requests under way
	dead    bool
	leaky   bool    // the device may write to frames that it was given, for ever
	lastBad uintptr // the mark of the last one that failed
	slot    [readSlots]machRead
}

// machRead is one request.
type machRead struct {
	file  *machFile // nil if it was freed meanwhile
	first uintptr   // page of the file
	n     uintptr   // pages, 0 if the slot is free
	mark  uintptr   // what their entries hold until they are there
	frame [readPages]uintptr
}

// newReader makes a reader; 0 if there is no memory or the queue is too small.
func newReader(spec *machine.ReaderSpec) uintptr {
	if unsafe.Sizeof(machReader{}) > readHeaders {
		machFatal("machReader is too large", unsafe.Sizeof(machReader{}))
	}
	slots := min(int(spec.Size/readDescs), readSlots)
	if slots == 0 || spec.Pages == 0 {
		return 0
	}
	p := mach.mem.contiguous(machPage)
	if p == 0 {
		return 0
	}
	r := (*machReader)(unsafe.Pointer(p + directMap))
	r.spec, r.slots = *spec, slots
	r.spec.Pages = min(spec.Pages, readPages)
	r.spec.Desc += directMap
	r.spec.Avail += directMap
	r.spec.Used += directMap
	r.next = mach.readers
	mach.readers = r
	r.await()
	return p + directMap
}

// start begins to read page index of f and those behind it, before end, that are
// missing too. false: nothing can be begun now.
func (r *machReader) start(f *machFile, index, end uintptr) bool {
	s := 0
	for ; s < r.slots && r.slot[s].n != 0; s++ {
	}
	if s == r.slots {
		return false
	}
	if mach.mem.Free < mach.mem.total/readFloor {
		mach.cache.reclaimUnused()
	}
	frame := mach.mem.frame()
	if frame == 0 {
		machOutOfMemory()
	}
	q := &r.slot[s]
	mach.reads++
	q.file, q.first, q.mark = f, index, mach.reads<<12|fileReading
	sector, most := f.place(index)
	most = min(most, r.spec.Pages, f.pages-index, end-index)
	if t := thisCPU().cur; t.alone || mach.nested {
		most = 1
		t.lostPage, t.alone = 0, false
	}
	for {
		*mach.mem.resident(f, index+q.n) = q.mark
		q.frame[q.n] = frame
		q.n++
		if q.n == most || mach.mem.Free < readPages*machPage || *mach.mem.resident(f, index+q.n) != 0 {
			break
		}
		if frame = mach.mem.frame(); frame == 0 {
			break
		}
	}
	r.submit(uintptr(s), sector)
	return true
}

// submit gives the device the request of a slot.
func (r *machReader) submit(s, sector uintptr) {
	q := &r.slot[s]
	header := uintptr(unsafe.Pointer(r)) + readHeaders + s*headerSize
	store64(header, 0) // VIRTIO_BLK_T_IN
	store64(header+8, uint64(sector))
	store32(header+16, 0xff) // the status, which the device replaces
	d := s * readDescs
	r.describe(d, header-directMap, 16, descNext)
	for i := range q.n {
		r.describe(d+1+i, q.frame[i], machPage, descNext|descWrite)
	}
	r.describe(d+1+q.n, header+16-directMap, 1, descWrite)
	*(*uint16)(unsafe.Pointer(r.spec.Avail + 4 + uintptr(r.avail)%r.spec.Size*2)) = uint16(d)
	r.avail++
	r.busy++
	// If the line is up because of another queue, the device could not raise it
	// for this one. That other interrupt is recorded already.
	r.acknowledge()
	atomic.Store((*uint32)(unsafe.Pointer(r.spec.Avail)), uint32(r.avail)<<16)
	if r.spec.BellWidth == 2 {
		*(*uint16)(unsafe.Pointer(r.spec.Bell)) = uint16(r.spec.Index)
	} else {
		store32(r.spec.Bell, uint32(r.spec.Index))
	}
}

// describe writes descriptor d, of which the next one is d+1.
func (r *machReader) describe(d, phys, n, flags uintptr) {
	at := r.spec.Desc + d*16
	store64(at, uint64(phys))
	store64(at+8, uint64(n|flags<<32|(d+1)<<48))
}

// acknowledge lowers the line of a virtio-mmio device (virtio 1.2 §4.2.2), so that it
// can rise again. Causes other than used buffers are left to its driver.
func (r *machReader) acknowledge() {
	isr := r.spec.Status
	if isr == 0 {
		return
	}
	if causes := load32(isr); causes != 0 {
		atomic.Or((*uint32)(unsafe.Pointer(r.spec.Taken)), causes&^1)
		store32(isr+4, causes)
	}
}

// await asks for an interrupt at the next answer. It is a full barrier: an answer
// from before is seen afterwards.
func (r *machReader) await() {
	event := r.spec.Avail + 4 + 2*r.spec.Size // used_event, and padding
	atomic.Xchg((*uint32)(unsafe.Pointer(event)), uint32(r.seen))
}

// complete takes what the device has answered.
func (r *machReader) complete() {
	for !r.dead {
		used := uint16(atomic.Load((*uint32)(unsafe.Pointer(r.spec.Used))) >> 16)
		if used == r.seen {
			return
		}
		e := r.spec.Used + 4 + uintptr(r.seen)%r.spec.Size*8
		id, written := uintptr(load32(e)), uintptr(load32(e+4))
		r.seen++
		r.await()
		s := id / readDescs
		if id%readDescs != 0 || s >= uintptr(r.slots) || r.slot[s].n == 0 {
			r.end(true) // a request that it does not hold
			return
		}
		status := *(*uint8)(unsafe.Pointer(uintptr(unsafe.Pointer(r)) + readHeaders + s*headerSize + 16))
		whole := r.spec.Legacy || written >= r.slot[s].n*machPage
		r.answer(&r.slot[s], status == 0 && whole)
	}
}

// answer enters the pages of a request where they are still wanted, and wakes who
// waits for them.
func (r *machReader) answer(q *machRead, good bool) {
	for i := range q.n {
		var p *uintptr
		if q.file != nil {
			p = q.file.page(q.first + i)
		}
		switch {
		case p != nil && *p == q.mark && good:
			*p = q.frame[i] | fileResident | fileNew
			mach.cache.pages++
			continue
		case p != nil && *p == q.mark:
			*p = 0
		}
		if !r.leaky {
			mach.mem.freeFrame(q.frame[i])
		}
	}
	n := q.n
	q.n = 0
	r.busy--
	if !good {
		r.lastBad = q.mark
	}
	for t := mach.sched.threads; t != nil; t = t.all {
		if t.state != threadPage || t.wait != q.mark && t.wait != noMark {
			continue
		}
		if !good && t.wait != noMark {
			t.lostPage, t.alone = uintptr(t.cr2)&^(machPage-1), n > 1
		}
		mach.sched.ready(t, true)
	}
}

// end ends the requests of a device that is lost; leaky says that it may go on
// writing.
func (r *machReader) end(leaky bool) {
	r.dead, r.leaky = true, leaky
	for i := range r.slot {
		if q := &r.slot[i]; q.n != 0 {
			r.answer(q, false)
		}
	}
}

// forget says that a file goes.
func (r *machReader) forget(f *machFile) {
	for i := range r.slot {
		if r.slot[i].file == f {
			r.slot[i].file = nil
		}
	}
}

// readerInterrupt serves the interrupt of a device if a reader has it, and reports
// whether it is the reader's alone.
func readerInterrupt(n machine.Device) (own bool) {
	for r := mach.readers; r != nil; r = r.next {
		if r.spec.Device != n {
			continue
		}
		own = own || r.spec.Own
		if r.busy > 0 {
			r.acknowledge()
			r.complete()
		}
	}
	return own
}

// waitPage makes the current thread wait for page index of a file, which is missing,
// and whose entry is p; false: it cannot be read. Those behind it, before end, may be
// read with it.
func (m *machMem) waitPage(f *machFile, index, end uintptr, p *uintptr) bool {
	r := f.reader
	if *p == 0 && (r.dead || !r.start(f, index, end) && r.busy == 0) {
		return false
	}
	thisCPU().counts.PageReads++
	mark := *p // noMark: all slots are taken
	if !mach.nested {
		thisCPU().cur.wait = mark
		mach.sched.block(threadPage, 0)
		return true
	}
	// An access of the machine half itself cannot wait for an interrupt.
	for *p == mark && (mark != noMark || r.busy == r.slots) {
		machPause()
		r.complete()
	}
	return *p != 0 || mark == noMark || r.lastBad != mark
}
