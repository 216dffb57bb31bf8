package devices

import (
	"sync/atomic"
	"unsafe"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// placed is a transport that says where its queues are.
type placed interface {
	virtio.Transport
	Queues() []virtio.PlacedQueue
}

// inUse is a device's transport, once it is connected, and its interrupts.
type inUse struct {
	transport placed
	irqs      []*wiring.Interrupt
}

// Progress tells how far a device and its driver are.
type Progress struct {
	Status     uint8  // bits of virtio.Status; 0 when the device has ended
	Interrupts uint64 // that were served
	Queues     []Queue
}

// A Queue tells what was put into a virtqueue so far, modulo 2^16 (virtio 1.2 §2.7): the driver's buffers, and those that
// the device is done with.
type Queue struct {
	Number, Size    int
	Available, Used uint16
}

// Progress returns nil if nobody uses the device. It touches nothing that the driver has to itself.
func (d *Device) Progress() *Progress {
	u := d.inUse.Load()
	if u == nil {
		return nil
	}
	p := &Progress{Status: u.transport.Status()}
	for _, irq := range u.irqs {
		p.Interrupts += irq.Served()
	}
	for _, q := range u.transport.Queues() {
		p.Queues = append(p.Queues, Queue{q.Number, q.Size, ringIndex(q.Avail), ringIndex(q.Used)})
	}
	return p
}

// ringIndex returns the index of a ring, which follows its flags: both are one aligned word (virtio.Queue).
func ringIndex(phys uint64) uint16 {
	b := wiring.MemoryAt(phys, 4)
	if b == nil {
		return 0
	}
	return uint16(atomic.LoadUint32((*uint32)(unsafe.Pointer(unsafe.SliceData(b)))) >> 16)
}
