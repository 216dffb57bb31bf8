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
	reading sync.Mutex // held by the one Read that the device works for

	life virtio.Lifecycle // its lock protects what follows
	cond sync.Cond        // signalled at the end and when done changes
	q    *virtio.Queue
	buf  []byte
	seg  [1]virtio.Segment
	done bool // the device has returned the buffer, with n bytes
	n    uint32
}

// New starts an entropy device. Its interrupt must be connected already.
func New(t virtio.Transport, mem virtio.Memory) (*Device, error) {
	if t.DeviceType() != virtio.TypeEntropy {
		return nil, ErrNotEntropy
	}
	d := &Device{}
	d.cond.L = &d.life
	d.life.Transport = t
	d.life.OnQueues = d.complete
	d.life.OnEnd = func(error) { d.cond.Broadcast() }
	if err := d.life.Start(func() error { return d.start(t, mem) }); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Device) start(t virtio.Transport, mem virtio.Memory) error {
	features, err := virtio.Negotiate(t, 0, 0, nil)
	if err != nil {
		return err
	}
	buf, phys, err := mem.Alloc(bufferSize)
	if err != nil {
		return err
	}
	d.buf = buf
	d.seg[0].Addr = phys
	if d.q, err = virtio.NewQueue(t, mem, features, 0, 2); err != nil {
		return err
	}
	return virtio.Ready(t)
}

// HandleInterrupt does all that the device may have interrupted for. An error
// is final: Read returns it from then on.
func (d *Device) HandleInterrupt() error { return d.life.HandleInterrupt() }

// HandleConfigChange handles an interrupt that is for changes of the status
// alone (a message of its own on PCI).
func (d *Device) HandleConfigChange() error { return d.life.HandleConfigChange() }

// Close stops the device; reads that wait fail.
func (d *Device) Close() { d.life.Close() }
