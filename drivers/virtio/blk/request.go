package blk

import "github.com/yolk-unikernel/yolk/drivers/virtio"

// Op is what a request does.
type Op uint8

// Operations.
const (
	Read        Op = iota // fill Buffers from the device
	Write                 // write Buffers to the device
	Flush                 // make completed writes durable: see the package comment
	Discard               // Length bytes are not needed; reads of them return anything
	WriteZeroes           // write Length zero bytes
	Identify              // copy the device's serial number to Buffers[0], of IDSize bytes
)

// String returns the name of the operation.
func (o Op) String() string {
	names := [...]string{"read", "write", "flush", "discard", "write zeroes", "identify"}
	if int(o) >= len(names) {
		return "unknown operation"
	}
	return names[o]
}

// Errors of a request that leave the device at work. The caller maps ErrIO to
// EIO, ErrReadOnly to EROFS, ErrUnsupported to EOPNOTSUPP.
const (
	ErrIO          = virtio.Error("virtio-blk: device reports an input or output error (VIRTIO_BLK_S_IOERR)")
	ErrUnsupported = virtio.Error("virtio-blk: device does not support the operation")
	ErrReadOnly    = virtio.Error("virtio-blk: device is read-only")
	ErrAlign       = virtio.Error("virtio-blk: offset or length is not a multiple of the logical block size")
	ErrRange       = virtio.Error("virtio-blk: request goes beyond the end of the device")
	ErrOp          = virtio.Error("virtio-blk: unknown operation")
	ErrPieces      = virtio.Error("virtio-blk: one block lies in more pieces of memory than the device takes")
	ErrIDSize      = virtio.Error("virtio-blk: the serial number needs one buffer of 20 bytes")
)

// AnyQueue is what Submit knows beside the CPUs' numbers: the queues take turns.
const AnyQueue = -1

// A Request asks the device for one operation. Between Submit and the call of
// Done it belongs to the driver; then it may be used again.
//
// The device reads and writes the buffers where they lie: none may lie on a
// goroutine's stack. Their lengths are free, only the sum is in whole blocks.
type Request struct {
	Op      Op
	Unmap   bool     // WriteZeroes: the device may free the space
	Offset  int64    // bytes from the start of the device, in whole blocks
	Length  int64    // Discard, WriteZeroes: bytes, in whole blocks
	Buffers [][]byte // Read, Write: data, one after the other

	// Done is called exactly once for each Submit, with Err set, from the
	// goroutine that handles the interrupt, or that submits or ends the
	// device. No lock is held: it may submit, but should not block, and not
	// submit again at once what has failed.
	Done func(*Request)
	// Err is the result. virtio.ErrReset means that the device may not have
	// let go of the buffers: their memory must never be used again.
	Err error

	next    *Request // of a list
	size    int64    // of the whole
	pos     int64    // offset of the next part
	left    int64    // bytes that are not yet in a part; what has no range counts as one
	parts   int      // that the device holds
	buf, at int      // where the data of the next part begins: Buffers[buf][at:]
	stalled bool     // Options.Stalled was told
}

// Submit starts requests on the queue of a CPU, or AnyQueue, and notifies the device once for all. It does not block. Requests that cannot
// be carried out are done when it returns.
func (d *Device) Submit(cpu int, reqs ...*Request) {
	var start, done list
	q := d.queueOf(cpu)
	for _, r := range reqs {
		wait, err := d.prepare(r)
		if !wait && err == nil {
			err = d.Err()
		}
		if r.Err = err; wait {
			start.push(r)
		} else {
			done.push(r)
		}
	}
	if start.head != nil {
		q.submit(start, &done)
	}
	done.finish()
}

// queueOf chooses a queue.
func (d *Device) queueOf(cpu int) *queue {
	if cpu >= 0 {
		return d.queues[cpu%len(d.queues)]
	}
	return d.queues[int(d.turn.Add(1)%uint32(len(d.queues)))]
}

// prepare checks a request and reports whether there is anything to do.
func (d *Device) prepare(r *Request) (wait bool, err error) {
	r.next, r.parts, r.buf, r.at, r.stalled = nil, 0, 0, 0, false
	r.pos, r.left, r.size = r.Offset, 0, 0
	switch r.Op {
	case Flush:
		// §5.2.5: a device that does not offer FLUSH has no volatile cache.
		if d.info.WriteCache {
			r.left = 1
		}
		return d.info.WriteCache, nil
	case Identify:
		if len(r.Buffers) != 1 || len(r.Buffers[0]) != IDSize {
			return false, ErrIDSize
		}
		r.left = 1
		return true, nil
	}
	if r.size, err = d.sizeOf(r); err != nil {
		return false, err
	}
	block := int64(d.info.BlockSize)
	switch capacity := d.capacity.Load(); {
	case (r.Offset|r.size)&(block-1) != 0:
		return false, ErrAlign
	case r.Offset < 0 || r.size < 0 || r.Offset > capacity || r.size > capacity-r.Offset:
		return false, ErrRange
	case r.Op != Read && d.info.ReadOnly:
		return false, ErrReadOnly
	}
	r.left = r.size
	return r.left > 0, nil
}

// sizeOf returns how many bytes of the device a request is about.
func (d *Device) sizeOf(r *Request) (n int64, err error) {
	switch r.Op {
	case Read, Write:
		for _, b := range r.Buffers {
			n += int64(len(b))
		}
		return n, nil
	case Discard:
		n = d.info.Discard.MaxBytes
	case WriteZeroes:
		n = d.info.WriteZeroes.MaxBytes
	default:
		return 0, ErrOp
	}
	if n == 0 && !d.info.ReadOnly {
		return 0, ErrUnsupported
	}
	return r.Length, nil
}

// list is a queue of requests, through their next.
type list struct{ head, tail *Request }

func (l *list) push(r *Request) {
	r.next = nil
	l.join(list{r, r})
}

// join appends another list.
func (l *list) join(o list) {
	switch {
	case o.head == nil:
	case l.head == nil:
		*l = o
	default:
		l.tail.next = o.head
		l.tail = o.tail
	}
}

func (l *list) pop() {
	if l.head = l.head.next; l.head == nil {
		l.tail = nil
	}
}

// finish calls Done for all. No lock is held.
func (l *list) finish() {
	for r := l.head; r != nil; {
		next := r.next // r is the caller's again
		r.next = nil
		r.Done(r)
		r = next
	}
}
