// Package rng drives virtio entropy devices (virtio 1.2 §5.4): one queue, to
// which the driver gives a buffer that the device fills with random bytes.
//
// Start reading at New, then Device.Read (request.go).
package rng

import (
	"sync"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// ErrNotEntropy means that the device is of another type.
const ErrNotEntropy = virtio.Error("virtio-rng: not an entropy device")

// ErrNoBytes means that the device returned a buffer with nothing in it, which
// §5.4.6.2 forbids.
const ErrNoBytes = virtio.Error("virtio-rng: device returned no random bytes")

// bufferSize is how much is asked of the device at once. Hosts limit the rate
// (QEMU's default does not), and what is asked for is consumed.
const bufferSize = 256

// Device is an entropy device at work.
type Device struct {
	t virtio.Transport

	reading sync.Mutex // held by the one Read that the device works for

	mu   sync.Mutex // protects what follows
	cond sync.Cond  // signalled when err or done changes
	q    *virtio.Queue
	buf  []byte
	seg  [1]virtio.Segment
	done bool // the device has returned the buffer, with n bytes
	n    uint32
	err  error
}

// New starts an entropy device. Its interrupt must be connected already.
func New(t virtio.Transport, mem virtio.Memory) (*Device, error) {
	if t.DeviceType() != virtio.TypeEntropy {
		return nil, ErrNotEntropy
	}
	d := &Device{t: t}
	d.cond.L = &d.mu
	if err := d.start(mem); err != nil {
		virtio.Fail(t)
		virtio.Reset(t)
		return nil, err
	}
	return d, nil
}

func (d *Device) start(mem virtio.Memory) error {
	features, err := virtio.Negotiate(d.t, 0, 0, nil)
	if err != nil {
		return err
	}
	buf, phys, err := mem.Alloc(bufferSize)
	if err != nil {
		return err
	}
	d.buf = buf
	d.seg[0].Addr = phys
	if d.q, err = virtio.NewQueue(d.t, mem, features, 0, 2); err != nil {
		return err
	}
	return virtio.Ready(d.t)
}

// HandleInterrupt does all that the device may have interrupted for. An error
// is final: Read returns it from then on.
func (d *Device) HandleInterrupt() error {
	if d.t.Acknowledge()&virtio.CauseConfig != 0 {
		if err := d.HandleConfigChange(); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.complete()
	return d.err
}

// HandleConfigChange handles an interrupt that is for changes of the status
// alone (a message of its own on PCI).
func (d *Device) HandleConfigChange() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := virtio.CheckStatus(d.t); err != nil {
		d.fail(err)
	}
	return d.err
}

// fail ends the device, with mu held.
func (d *Device) fail(err error) {
	if d.err == nil {
		d.err = err
		virtio.Reset(d.t)
		d.cond.Broadcast()
	}
}

// Close stops the device; reads that wait fail.
func (d *Device) Close() {
	d.mu.Lock()
	d.fail(virtio.ErrClosed)
	d.mu.Unlock()
}
