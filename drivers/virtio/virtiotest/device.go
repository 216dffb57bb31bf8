package virtiotest

import (
	"sync"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Device is a device in memory. Used as it is, it is a virtio.Transport; MMIO
// and PCI put registers in front of it. Set the exported fields before a
// driver sees it.
type Device struct {
	Type     virtio.DeviceType
	Old      bool // has the legacy interface
	Offered  uint64
	Memory   *Memory
	Queues   []*Queue
	Notified func(queue int)    // called when the driver notifies
	Raised   func(virtio.Cause) // called when the device interrupts

	// Ways to misbehave.
	StuckReset    bool // status never becomes 0
	RefuseDriver  bool // FEATURES_OK does not stick
	RestlessSpace bool // the configuration changes with every look

	work       sync.Mutex // held while the device works: see Do
	mu         sync.Mutex
	config     []byte
	status     uint8
	accepted   uint64
	generation uint32
	isr        virtio.Cause
}

var _ virtio.Transport = (*Device)(nil)

// NewDevice returns a device with queues of the given largest sizes.
func NewDevice(t virtio.DeviceType, mem *Memory, offered uint64, config []byte, queues ...int) *Device {
	d := &Device{Type: t, Offered: offered, Memory: mem, config: config}
	for i, max := range queues {
		d.Queues = append(d.Queues, &Queue{Max: max, dev: d, index: i})
	}
	return d
}

// Accepted returns the features that the driver accepted.
func (d *Device) Accepted() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accepted
}

// interrupt raises an interrupt.
func (d *Device) interrupt(c virtio.Cause) {
	d.mu.Lock()
	d.isr |= c
	raised := d.Raised
	d.mu.Unlock()
	if raised != nil {
		raised(c)
	}
}

// Do calls f, which is the device at work on its queues in a goroutine of its
// own; a reset waits until it has returned.
func (d *Device) Do(f func()) {
	d.work.Lock()
	defer d.work.Unlock()
	f()
}

// Doorbell is none: nobody can do what Notify does.
func (d *Device) Doorbell(int) virtio.Doorbell { return virtio.Doorbell{} }

// SetConfig changes the configuration and tells the driver.
func (d *Device) SetConfig(off int, b ...byte) {
	d.mu.Lock()
	copy(d.config[off:], b)
	d.generation++
	d.mu.Unlock()
	d.interrupt(virtio.CauseConfig)
}

// NeedReset sets DEVICE_NEEDS_RESET and tells the driver.
func (d *Device) NeedReset() {
	d.mu.Lock()
	d.status |= virtio.StatusNeedsReset
	d.mu.Unlock()
	d.interrupt(virtio.CauseConfig)
}

// Alive reports whether the driver said DRIVER_OK and has not reset since.
func (d *Device) Alive() bool { return d.Status()&virtio.StatusDriverOK != 0 }

// DeviceType returns the type.
func (d *Device) DeviceType() virtio.DeviceType { return d.Type }

// Legacy reports whether the device has the legacy interface.
func (d *Device) Legacy() bool { return d.Old }

// Status returns the status.
func (d *Device) Status() uint8 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// SetStatus is a write of the status register.
func (d *Device) SetStatus(s uint8) {
	if s == 0 {
		// As on a real device, nothing touches memory after this.
		d.work.Lock()
		defer d.work.Unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s == 0 {
		d.reset()
		return
	}
	if d.RefuseDriver {
		s &^= virtio.StatusFeaturesOK
	}
	d.status = s | d.status&virtio.StatusNeedsReset
}

func (d *Device) reset() {
	if d.StuckReset {
		d.status |= virtio.StatusDriver
		return
	}
	d.status, d.accepted, d.isr = 0, 0, 0
	for _, q := range d.Queues {
		*q = Queue{Max: q.Max, dev: d, index: q.index}
	}
}

// Features returns what the device offers.
func (d *Device) Features() uint64 { return d.Offered }

// SetFeatures is the driver's choice.
func (d *Device) SetFeatures(f uint64) {
	d.mu.Lock()
	d.accepted = f
	d.mu.Unlock()
}

// QueueMax returns what the device announces.
func (d *Device) QueueMax(i int) int {
	if i >= len(d.Queues) {
		return 0
	}
	return d.Queues[i].Max
}

// SetQueue sets queue i up.
func (d *Device) SetQueue(i int, r virtio.Rings) error {
	d.work.Lock() // the device may still look for work of its last user
	defer d.work.Unlock()
	q := d.Queues[i]
	q.Rings, q.Ready = r, true
	return nil
}

// Notify is the driver's notification of queue i.
func (d *Device) Notify(i int) {
	if d.Notified != nil {
		d.Notified(i)
	}
}

// Acknowledge returns and clears the causes of interrupts.
func (d *Device) Acknowledge() virtio.Cause {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.isr
	d.isr = 0
	return c
}

// ConfigGeneration returns the generation.
func (d *Device) ConfigGeneration() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.RestlessSpace {
		d.generation++
	}
	return d.generation
}

// Config returns the configuration space.
func (d *Device) Config() virtio.Registers { return configSpace{d} }

type configSpace struct{ d *Device }

func (c configSpace) read(off uintptr, n int) uint32 {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	var v uint32
	for i := range n {
		if at := off + uintptr(i); at < uintptr(len(c.d.config)) {
			v |= uint32(c.d.config[at]) << (8 * i)
		}
	}
	return v
}

func (c configSpace) Read8(off uintptr) uint8   { return uint8(c.read(off, 1)) }
func (c configSpace) Read16(off uintptr) uint16 { return uint16(c.read(off, 2)) }
func (c configSpace) Read32(off uintptr) uint32 { return c.read(off, 4) }
func (c configSpace) Write8(uintptr, uint8)     {}
func (c configSpace) Write16(uintptr, uint16)   {}

// Write32 writes a field of the configuration; no driver here writes smaller
// ones.
func (c configSpace) Write32(off uintptr, v uint32) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for i := range 4 {
		if at := off + uintptr(i); at < uintptr(len(c.d.config)) {
			c.d.config[at] = byte(v >> (8 * i))
		}
	}
}

// Line is an edge-triggered interrupt line.
type Line struct {
	c    chan struct{}
	done chan struct{}
}

// NewLine returns a line that is down.
func NewLine() *Line { return &Line{make(chan struct{}, 1), make(chan struct{})} }

// Raise makes the current or next Wait return.
func (l *Line) Raise(virtio.Cause) {
	select {
	case l.c <- struct{}{}:
	default:
	}
}

// Wait blocks until the line was raised since Wait last returned.
func (l *Line) Wait() error {
	select {
	case <-l.c:
		return nil
	case <-l.done:
		return virtio.ErrClosed
	}
}

// Close makes Wait fail.
func (l *Line) Close() { close(l.done) }
