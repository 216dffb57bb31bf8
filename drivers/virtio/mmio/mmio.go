// Package mmio is the virtio transport over memory-mapped registers (virtio
// 1.2 §4.2), in the modern form (version 2) and the legacy one (version 1,
// §4.2.4), which QEMU's microvm machine offers unless it is started with
// -global virtio-mmio.force-legacy=false.
//
// A device is 512 bytes of registers and one interrupt line that stays up
// until the interrupt is acknowledged. Connect it edge-triggered, or mask it
// until the driver has run. Where the devices are is not discoverable here:
// the kernel command line or ACPI tells.
//
// Start reading at Probe.
package mmio

import (
	"sync/atomic"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Size is how many bytes of registers a device has at least: QEMU places its
// devices this far apart.
const Size = 0x200

// Registers (§4.2.2, and §4.2.4 for those of the legacy interface).
const (
	regMagic            = 0x000
	regVersion          = 0x004
	regDeviceID         = 0x008
	regDeviceFeatures   = 0x010
	regDeviceSelect     = 0x014
	regDriverFeatures   = 0x020
	regDriverSelect     = 0x024
	regGuestPageSize    = 0x028 // legacy
	regQueueSelect      = 0x030
	regQueueMax         = 0x034
	regQueueSize        = 0x038
	regQueueAlign       = 0x03c // legacy
	regQueuePFN         = 0x040 // legacy
	regQueueReady       = 0x044
	regQueueNotify      = 0x050
	regInterruptStatus  = 0x060
	regInterruptAck     = 0x064
	regStatus           = 0x070
	regQueueDesc        = 0x080
	regQueueAvail       = 0x090
	regQueueUsed        = 0x0a0
	regConfigGeneration = 0x0fc
	regConfig           = 0x100
)

const magic = 0x74726976 // "virt"

// Errors of this package.
const (
	ErrNotVirtio = virtio.Error("mmio: no virtio-mmio device at this address")
	ErrEmpty     = virtio.Error("mmio: virtio-mmio slot without a device")
	ErrVersion   = virtio.Error("mmio: unknown version of virtio-mmio")
	ErrAddress   = virtio.Error("mmio: queue lies beyond what a legacy device can address")
	ErrQueueBusy = virtio.Error("mmio: queue is already in use")
)

// Device is one virtio-mmio device. It is a virtio.Transport.
type Device struct {
	virtio.Placed
	regs   virtio.Registers
	typ    virtio.DeviceType
	legacy bool

	shared atomic.Bool   // somebody else acknowledges interrupts too: Doorbell
	taken  atomic.Uint32 // then: the causes that were taken back there
}

var _ virtio.Transport = (*Device)(nil)

// Probe looks at the registers of a possible device. ErrEmpty is the normal
// answer of a slot that has no device in it.
func Probe(regs virtio.Registers) (*Device, error) {
	if regs.Read32(regMagic) != magic {
		return nil, ErrNotVirtio
	}
	version := regs.Read32(regVersion)
	if version != 1 && version != 2 {
		return nil, ErrVersion
	}
	typ := virtio.DeviceType(regs.Read32(regDeviceID))
	if typ == 0 {
		return nil, ErrEmpty
	}
	return &Device{regs: regs, typ: typ, legacy: version == 1}, nil
}

// DeviceType returns the device type.
func (d *Device) DeviceType() virtio.DeviceType { return d.typ }

// Legacy reports whether the device has the legacy interface.
func (d *Device) Legacy() bool { return d.legacy }

// Status returns the device status; bits that no version defines are dropped.
func (d *Device) Status() uint8 { return uint8(d.regs.Read32(regStatus)) }

// SetStatus writes the device status; 0 resets the device.
func (d *Device) SetStatus(s uint8) { d.regs.Write32(regStatus, uint32(s)) }

// Features returns what the device offers.
func (d *Device) Features() uint64 {
	d.regs.Write32(regDeviceSelect, 0)
	f := uint64(d.regs.Read32(regDeviceFeatures))
	if d.legacy {
		return f // only 32 bits are defined (§4.2.4)
	}
	d.regs.Write32(regDeviceSelect, 1)
	return f | uint64(d.regs.Read32(regDeviceFeatures))<<32
}

// SetFeatures tells the device what the driver will use.
func (d *Device) SetFeatures(f uint64) {
	d.regs.Write32(regDriverSelect, 0)
	d.regs.Write32(regDriverFeatures, uint32(f))
	if !d.legacy {
		d.regs.Write32(regDriverSelect, 1)
		d.regs.Write32(regDriverFeatures, uint32(f>>32))
	}
}

// QueueMax returns the largest size of queue i.
func (d *Device) QueueMax(i int) int {
	d.regs.Write32(regQueueSelect, uint32(i))
	return int(d.regs.Read32(regQueueMax))
}

// SetQueue enables queue i.
func (d *Device) SetQueue(i int, r virtio.Rings) error {
	d.regs.Write32(regQueueSelect, uint32(i))
	if d.legacy {
		return d.setLegacyQueue(i, r)
	}
	if d.regs.Read32(regQueueReady) != 0 {
		return ErrQueueBusy
	}
	d.regs.Write32(regQueueSize, uint32(r.Size))
	d.write64(regQueueDesc, r.Desc)
	d.write64(regQueueAvail, r.Avail)
	d.write64(regQueueUsed, r.Used)
	d.regs.Write32(regQueueReady, 1)
	d.Place(i, r)
	return nil
}

// setLegacyQueue gives the page number of the descriptor table; the device
// derives the other two parts from the size and the alignment (§2.7.2).
func (d *Device) setLegacyQueue(i int, r virtio.Rings) error {
	pfn := r.Desc / virtio.PageSize
	if pfn != uint64(uint32(pfn)) {
		return ErrAddress
	}
	d.regs.Write32(regGuestPageSize, virtio.PageSize)
	if d.regs.Read32(regQueuePFN) != 0 {
		return ErrQueueBusy
	}
	d.regs.Write32(regQueueSize, uint32(r.Size))
	d.regs.Write32(regQueueAlign, virtio.PageSize)
	d.regs.Write32(regQueuePFN, uint32(pfn))
	d.Place(i, r)
	return nil
}

func (d *Device) write64(off uintptr, v uint64) {
	d.regs.Write32(off, uint32(v))
	d.regs.Write32(off+4, uint32(v>>32))
}

// Notify notifies the device of queue i.
func (d *Device) Notify(i int) { d.regs.Write32(regQueueNotify, uint32(i)) }

// Doorbell returns what Notify does. Who has it takes interrupts back too, and leaves
// their causes to Acknowledge.
func (d *Device) Doorbell(int) virtio.Doorbell {
	d.shared.Store(true)
	return virtio.Doorbell{Registers: d.regs, Offset: regQueueNotify, Width: 4, Status: regInterruptStatus, Taken: &d.taken}
}

// Acknowledge reads why the device interrupted and lowers its interrupt line.
// It must precede looking at the rings: what the device does after this
// raises the line again.
func (d *Device) Acknowledge() virtio.Cause {
	s := d.regs.Read32(regInterruptStatus)
	if s != 0 {
		d.regs.Write32(regInterruptAck, s)
	}
	if d.shared.Load() {
		s |= uint32(virtio.CauseQueue) | d.taken.Swap(0)
	}
	return virtio.Cause(s) & (virtio.CauseQueue | virtio.CauseConfig)
}

// Config returns the device-specific configuration.
func (d *Device) Config() virtio.Registers {
	return virtio.Window{Registers: d.regs, Offset: regConfig, Size: Size - regConfig}
}

// ConfigGeneration returns the generation of the configuration.
func (d *Device) ConfigGeneration() uint32 {
	if d.legacy {
		return 0
	}
	return d.regs.Read32(regConfigGeneration)
}
