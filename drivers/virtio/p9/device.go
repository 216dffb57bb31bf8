// Package p9 drives virtio 9P transports: a device that carries the requests of
// the 9P protocol to a file server on the host and brings its answers back. It
// knows nothing of the protocol: a request is bytes out and room for bytes in,
// and both lie where the caller has them, so that file data is not copied.
//
// Virtio 1.2 §5 reserves device type 9 for it and says no more. What is here
// is what Linux (net/9p/trans_virtio.c, uapi/linux/virtio_9p.h) and QEMU
// (hw/9pfs/virtio-9p-device.c) agree on: one queue, one chain for each request
// with its answer, and a configuration that names the device.
//
// Start reading at New, then Device.Exchange (request.go).
package p9

import (
	"sync"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// featureMountTag: the configuration holds the device's name.
const featureMountTag = 1 << 0

// Configuration: the length of the name in 16 bits, then the name.
const (
	configTagLen = 0
	configTag    = 2
	maxTag       = 255 // QEMU allows 32 bytes
)

// queueMax is the size of the queue: QEMU serves 128 requests at once.
const queueMax = 128

// Errors of this package. ErrTooLarge is the caller's; the others end the device.
const (
	ErrNotP9    = virtio.Error("virtio-9p: not a 9P transport")
	ErrTag      = virtio.Error("virtio-9p: device has no name, or one that is longer than 255 bytes")
	ErrTooLarge = virtio.Error("virtio-9p: request has too many pieces for the queue")
)

// Device is a 9P transport at work. Any number of goroutines may use it.
type Device struct {
	mem virtio.Memory
	tag string

	idle virtio.IdleList[waiter]

	life  virtio.Lifecycle // its lock protects what follows
	room  sync.Cond        // signalled when the queue has gained room, and at the end
	q     *virtio.Queue
	slots []*waiter // by head descriptor: who waits for it
}

// New starts a 9P transport. Its interrupt must be connected already.
func New(t virtio.Transport, mem virtio.Memory) (*Device, error) {
	if t.DeviceType() != virtio.Type9P {
		return nil, ErrNotP9
	}
	d := &Device{mem: mem}
	d.room.L = &d.life
	d.life.Transport = t
	d.life.OnQueues = d.complete
	d.life.OnEnd = d.fail
	if err := d.life.Start(func() error { return d.start(t) }); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Device) start(t virtio.Transport) error {
	features, err := virtio.Negotiate(t, featureMountTag, featureMountTag, nil)
	if err != nil {
		return err
	}
	if d.tag, err = ReadTag(t); err != nil {
		return err
	}
	if d.q, err = virtio.NewQueue(t, d.mem, features, 0, queueMax); err != nil {
		return err
	}
	d.slots = make([]*waiter, d.q.Size())
	d.q.EnableInterrupts(0)
	return virtio.Ready(t)
}

// ReadTag reads the name of a device, which may not be started yet.
func ReadTag(t virtio.Transport) (string, error) {
	var tag []byte
	err := virtio.ReadConfig(t, func(r virtio.Registers) {
		n := int(r.Read16(configTagLen))
		if n > maxTag {
			n = 0
		}
		tag = make([]byte, n)
		for i := range tag {
			tag[i] = r.Read8(configTag + uintptr(i))
		}
	})
	if err == nil && len(tag) == 0 {
		err = ErrTag
	}
	return string(tag), err
}

// Tag returns the name that the host gave the device.
func (d *Device) Tag() string { return d.tag }

// MaxData returns how many bytes the payload of one request can have, wherever
// its pages lie: each takes a descriptor, and so do the two headers (on a page
// boundary, two each) and the piece of a page at each end.
func (d *Device) MaxData() int { return max(d.q.Size()-6, 0) * virtio.PageSize }

// HandleInterrupt does all that the device may have interrupted for. An error
// is final: Exchange returns it from then on.
func (d *Device) HandleInterrupt() error { return d.life.HandleInterrupt() }

// HandleConfigChange handles an interrupt that is for changes of the status
// alone (a message of its own on PCI).
func (d *Device) HandleConfigChange() error { return d.life.HandleConfigChange() }

// Close stops the device; requests under way fail.
func (d *Device) Close() { d.life.Close() }

// fail ends all requests.
func (d *Device) fail(err error) {
	for head, w := range d.slots {
		if w != nil {
			d.slots[head] = nil
			w.err = err
			w.ready <- struct{}{}
		}
	}
	d.room.Broadcast()
}
