package blk

import "sync/atomic"

// waiter is a request that a goroutine waits for.
type waiter struct {
	Request
	ready chan struct{} // capacity 1
}

// ReadAt fills bufs, one after the other, from the device at an offset in
// bytes. It blocks until all is there, or returns an error, after which the
// buffers hold anything.
func (d *Device) ReadAt(bufs [][]byte, offset int64) error {
	return d.do(Request{Op: Read, Offset: offset, Buffers: bufs})
}

// WriteAt writes bufs, one after the other, to the device at an offset in
// bytes, and blocks until the device has them.
func (d *Device) WriteAt(bufs [][]byte, offset int64) error {
	return d.do(Request{Op: Write, Offset: offset, Buffers: bufs})
}

// Flush makes durable what was written before: see the package comment.
func (d *Device) Flush() error { return d.do(Request{Op: Flush}) }

// Discard tells the device that a range is not needed.
func (d *Device) Discard(offset, length int64) error {
	return d.do(Request{Op: Discard, Offset: offset, Length: length})
}

// WriteZeroes writes zeroes to a range; unmap allows the device to free it.
func (d *Device) WriteZeroes(offset, length int64, unmap bool) error {
	return d.do(Request{Op: WriteZeroes, Offset: offset, Length: length, Unmap: unmap})
}

// ID returns the serial number that the host gave the device, "" if it gave none
// or the device does not tell. It is at most IDSize bytes long.
func (d *Device) ID() (string, error) {
	id := make([]byte, IDSize)
	err := d.do(Request{Op: Identify, Buffers: [][]byte{id}})
	if err == ErrUnsupported {
		return "", nil
	}
	n := 0
	for n < len(id) && id[n] != 0 { // shorter ones end with a zero
		n++
	}
	return string(id[:n]), err
}

// do submits a request and waits.
func (d *Device) do(r Request) error {
	w := d.waiter()
	r.Done = w.Done
	w.Request = r
	d.Submit(AnyQueue, &w.Request)
	<-w.ready
	err := w.Err
	w.Request = Request{Done: w.Done}
	d.idle.Put(w)
	return err
}

// doAll submits requests together and waits until the last is done. The error is that
// of any.
func (d *Device) doAll(list []Request) error {
	left := atomic.Int32{}
	left.Store(int32(len(list)))
	ready := make(chan struct{})
	done := func(*Request) {
		if left.Add(-1) == 0 {
			close(ready)
		}
	}
	reqs := make([]*Request, len(list))
	for i := range list {
		list[i].Done = done
		reqs[i] = &list[i]
	}
	d.Submit(AnyQueue, reqs...)
	<-ready
	for i := range list {
		if list[i].Err != nil {
			return list[i].Err
		}
	}
	return nil
}

// waiter takes an idle waiter or makes one.
func (d *Device) waiter() *waiter {
	if w := d.idle.Take(); w != nil {
		return w
	}
	w := &waiter{ready: make(chan struct{}, 1)}
	w.Done = func(*Request) { w.ready <- struct{}{} }
	return w
}
