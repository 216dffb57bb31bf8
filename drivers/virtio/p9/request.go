package p9

import (
	"runtime"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// waiter is one request under way.
type waiter struct {
	ready chan struct{} // capacity 1: the device has used the chain, or failed
	segs  []virtio.Segment
	n     int
	err   error
}

// Exchange sends the concatenation of out to the server and puts its answer in
// in, one slice after the other. It blocks until the answer is there, and
// returns its length. Other requests may be under way meanwhile.
//
// The device reads and writes the slices where they lie: none may lie on a
// goroutine's stack, and those of in must be writable.
func (d *Device) Exchange(out, in [][]byte) (n int, err error) {
	w := d.waiter()
	for _, b := range out {
		w.segs = virtio.AppendSegments(d.mem, w.segs, b)
	}
	readable := len(w.segs)
	for _, b := range in {
		w.segs = virtio.AppendSegments(d.mem, w.segs, b)
	}
	if err := d.submit(w, readable); err != nil {
		return 0, err
	}
	<-w.ready
	n, err = w.n, w.err
	d.release(w)
	runtime.KeepAlive(out)
	runtime.KeepAlive(in)
	return n, err
}

// submit gives the device the chain of w, as soon as there is room for it.
func (d *Device) submit(w *waiter, readable int) error {
	d.life.Lock()
	head, ok := d.add(w, readable)
	if !ok {
		err := d.life.Err()
		if err == nil {
			err = ErrTooLarge
		}
		d.life.Unlock()
		return err
	}
	d.slots[head] = w
	notify := d.q.Publish()
	d.life.Unlock()
	if notify {
		d.q.Notify()
	}
	return nil
}

// add waits for room in the queue, with the lock held. false means that the device
// has failed, or that even the empty queue has no room.
func (d *Device) add(w *waiter, readable int) (head uint16, ok bool) {
	for d.life.Err() == nil {
		if head, ok = d.q.Add(w.segs, readable); ok {
			return head, true
		}
		if d.q.InFlight() == 0 {
			return 0, false
		}
		d.room.Wait()
	}
	return 0, false
}

// complete hands out what the device has used, with the lock held, and asks for
// an interrupt at the next.
func (d *Device) complete() {
	for {
		head, n, ok := d.q.Next()
		switch {
		case ok:
			w := d.slots[head]
			d.slots[head] = nil
			w.n = int(n)
			w.ready <- struct{}{}
			d.room.Signal()
		case d.q.Err() != nil:
			d.life.End(d.q.Err())
			return
		case !d.q.EnableInterrupts(0):
			return
		}
	}
}

// waiter takes an idle waiter or makes one.
func (d *Device) waiter() *waiter {
	if w := d.idle.Take(); w != nil {
		return w
	}
	return &waiter{ready: make(chan struct{}, 1)}
}

func (d *Device) release(w *waiter) {
	w.segs, w.n, w.err = w.segs[:0], 0, nil
	d.idle.Put(w)
}
