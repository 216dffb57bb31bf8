// Package net drives virtio network devices (virtio 1.2 §5.1), modern and
// legacy, with one pair of queues. It copies no packet: received packets are
// delivered in the buffers that the Handler provided, sent ones are read by the
// device from where they lie.
//
// One goroutine calls HandleInterrupt (usually through virtio.Serve) and with
// it the Handler's receiving side; any number may call Send and Kick.
//
// Files in reading order: device.go (set-up and end), config.go (what the device
// says of itself), rx.go, tx.go, header.go (what goes before each packet).
// The package name is that of the device; importers call it virtionet.
package net

import (
	"sync/atomic"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Errors of this package; each ends the device.
const (
	ErrShortPacket = virtio.Error("virtio-net: received packet is shorter than its header")
	ErrNumBuffers  = virtio.Error("virtio-net: received packet claims an impossible number of buffers")
	ErrMTU         = virtio.Error("virtio-net: device announces an MTU below 68")
	ErrBuffer      = virtio.Error("virtio-net: receive buffer is too small for a packet")
	ErrNotNet      = virtio.Error("virtio-net: not a network device")
)

// Handler is the user of a device. Owners are what the user knows a buffer or
// a packet by; a pointer becomes an owner without allocation.
type Handler interface {
	// Buffer provides a receive buffer of DMA memory, not on a stack; nil if
	// there is no memory now. Without Offloads.Mergeable it must hold
	// Info.MinBuffer bytes. The device writes to it until it is delivered
	// or freed.
	Buffer() (buf []byte, owner any)
	// Free takes back a buffer without a packet.
	Free(owner any)
	// Receive delivers packets. The slices of Packet are valid during the
	// call, the buffers belong to the user from now on.
	Receive(packets []Packet)
	// Sent returns the owner of a packet that the device has read. It is
	// called with a lock held: it must not call the device.
	Sent(owner any)
	// Writable tells that Send has failed with ErrFull and may now succeed.
	// It is called wherever the driver notices, even inside Send and Kick,
	// and should do no more than wake whoever waits.
	Writable()
	// LinkChanged tells that the link came up or went down.
	LinkChanged(up bool)
	// Failed is called once, from a goroutine of its own, if the device
	// breaks down: it is reset, and all buffers have been returned.
	Failed(err error)
}

// Options tunes a device; the zero value is for a small machine.
type Options struct {
	Without   uint64 // features not to use
	RxBuffers int    // receive buffers to begin with (64); grows to RxMax
	RxMax     int    // most receive buffers (256)
	TxMax     int    // most descriptors for sending (256)
}

// Queue numbers (§5.1.2).
const (
	rxQueue = 0
	txQueue = 1
)

// Device is a network device at work. Any number of goroutines may use it.
//
// Locks: life's, then rx.mu, then tx.mu. The Handler's receiving side is called
// with rx.mu held and may send; so what finds an error there or in Send ends the
// device with EndSoon.
type Device struct {
	mem      virtio.Memory
	h        Handler
	features uint64
	info     Info
	hdrLen   int
	link     atomic.Bool

	rx receiver
	tx transmitter

	life  virtio.Lifecycle // its lock protects what follows
	moved bool             // Handler.LinkChanged is owed
}

// New starts a network device. Its interrupt must be connected already: it may
// come before New returns.
func New(t virtio.Transport, mem virtio.Memory, h Handler, o Options) (*Device, error) {
	if t.DeviceType() != virtio.TypeNet {
		return nil, ErrNotNet
	}
	d := &Device{mem: mem, h: h}
	d.life.Transport = t
	d.life.OnConfig = d.updateLink
	d.life.OnEnd = d.ended
	if err := d.life.Start(func() error { return d.start(t, o) }); err != nil {
		d.release()
		return nil, err
	}
	return d, nil
}

func (d *Device) start(t virtio.Transport, o Options) error {
	wanted := (offloads | FeatureMTU | FeatureMAC | FeatureStatus) &^ o.Without
	features, err := virtio.Negotiate(t, wanted, 0, consistent)
	if err != nil {
		return err
	}
	d.features = features
	if err := d.readConfig(t); err != nil {
		return err
	}
	if err := d.startRx(t, orDefault(o.RxBuffers, 64), orDefault(o.RxMax, 256)); err != nil {
		return err
	}
	if err := d.startTx(t, orDefault(o.TxMax, 256)); err != nil {
		return err
	}
	if err := virtio.Ready(t); err != nil {
		return err
	}
	d.Refill()
	return nil
}

func orDefault(n, value int) int {
	if n <= 0 {
		return value
	}
	return n
}

// Info returns what the device is and can do.
func (d *Device) Info() Info { return d.info }

// Err returns why the device is not at work, or nil.
func (d *Device) Err() error { return d.life.Err() }

// HandleInterrupt does all that the device may have interrupted for. An error
// is final, and the Handler is told too.
func (d *Device) HandleInterrupt() error {
	if err := d.Err(); err != nil {
		return err
	}
	if d.life.Transport.Acknowledge()&virtio.CauseConfig != 0 {
		d.HandleConfigChange()
	}
	// A device may have only one interrupt for both queues, and looking at a
	// ring costs little, so always both.
	d.completeTx()
	d.receive()
	return d.Err()
}

// HandleConfigChange handles an interrupt that is for changes of configuration
// and status alone (a message of its own on PCI).
func (d *Device) HandleConfigChange() error {
	err := d.life.HandleConfigChange()
	d.life.Lock()
	moved := d.moved
	d.moved = false
	d.life.Unlock()
	if moved {
		d.h.LinkChanged(d.LinkUp())
	}
	return err
}

// Close stops the device and returns all buffers to the Handler.
func (d *Device) Close() { d.life.Close() }

// ended returns the buffers of a device that was reset, and tells the Handler,
// with life's lock held.
func (d *Device) ended(err error) {
	d.release()
	if err != virtio.ErrClosed {
		go d.h.Failed(err)
	}
}

// release returns the buffers of a device that was reset. If the device has not
// confirmed that, it may still write to them: then they are never returned.
func (d *Device) release() {
	d.rx.mu.Lock()
	defer d.rx.mu.Unlock()
	d.tx.mu.Lock()
	defer d.tx.mu.Unlock()
	if d.tx.timer != nil {
		d.tx.timer.Stop()
	}
	if d.life.Transport.Status() != 0 {
		return
	}
	d.rx.freeAll(d.h)
	d.tx.freeAll(d.h)
}
