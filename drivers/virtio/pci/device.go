package pci

import "github.com/yolk-unikernel/yolk/drivers/virtio"

// DeviceType returns the device type.
func (d *Device) DeviceType() virtio.DeviceType { return d.typ }

// Legacy reports false: this transport uses only the modern interface.
func (d *Device) Legacy() bool { return false }

// Status returns the device status.
func (d *Device) Status() uint8 { return d.common.Read8(comStatus) }

// SetStatus writes the device status; 0 resets the device.
func (d *Device) SetStatus(s uint8) { d.common.Write8(comStatus, s) }

// Features returns what the device offers.
func (d *Device) Features() uint64 {
	d.common.Write32(comDeviceSelect, 0)
	f := uint64(d.common.Read32(comDeviceFeatures))
	d.common.Write32(comDeviceSelect, 1)
	return f | uint64(d.common.Read32(comDeviceFeatures))<<32
}

// SetFeatures tells the device what the driver will use.
func (d *Device) SetFeatures(f uint64) {
	d.common.Write32(comDriverSelect, 0)
	d.common.Write32(comDriverFeatures, uint32(f))
	d.common.Write32(comDriverSelect, 1)
	d.common.Write32(comDriverFeatures, uint32(f>>32))
}

// QueueMax returns the largest size of queue i.
func (d *Device) QueueMax(i int) int {
	if i >= int(d.common.Read16(comNumQueues)) {
		return 0
	}
	d.common.Write16(comQueueSelect, uint16(i))
	return int(d.common.Read16(comQueueSize))
}

// SetQueue enables queue i.
func (d *Device) SetQueue(i int, r virtio.Rings) error {
	if err := d.setVector(comConfigVector, 0); err != nil {
		return err
	}
	d.common.Write16(comQueueSelect, uint16(i))
	if d.common.Read16(comQueueEnable) != 0 {
		return ErrQueueBusy
	}
	off := uint64(d.common.Read16(comQueueNotifyOff)) * uint64(d.multiplier)
	if off+2 > d.notifySize || off&1 != 0 {
		return ErrNotify
	}
	for len(d.notifyAt) <= i {
		d.notifyAt = append(d.notifyAt, ^uint32(0))
	}
	d.notifyAt[i] = uint32(off)
	d.common.Write16(comQueueSize, uint16(r.Size))
	if err := d.setVector(comQueueVector, 1+i); err != nil {
		return err
	}
	d.write64(comQueueDesc, r.Desc)
	d.write64(comQueueAvail, r.Avail)
	d.write64(comQueueUsed, r.Used)
	d.common.Write16(comQueueEnable, 1)
	d.Place(i, r)
	return nil
}

// setVector chooses an MSI-X vector; a device that has no room for it answers
// with noVector (§4.1.5.1.2).
func (d *Device) setVector(reg uintptr, vector int) error {
	if d.vectors == 0 {
		return nil
	}
	vector = min(vector, d.vectors-1)
	d.common.Write16(reg, uint16(vector))
	if d.common.Read16(reg) == noVector {
		return ErrVector
	}
	return nil
}

func (d *Device) write64(off uintptr, v uint64) {
	d.common.Write32(off, uint32(v))
	d.common.Write32(off+4, uint32(v>>32))
}

// Notify notifies the device of queue i.
func (d *Device) Notify(i int) { d.notify.Write16(uintptr(d.notifyAt[i]), uint16(i)) }

// Doorbell returns what Notify(i) does.
func (d *Device) Doorbell(i int) virtio.Doorbell {
	return virtio.Doorbell{Registers: d.notify, Offset: uintptr(d.notifyAt[i]), Width: 2}
}

// Acknowledge tells why the device interrupted. An INTx line falls when the
// ISR register is read. An MSI-X message says itself what it is for: message 0
// has a handler of its own, so here it was a queue, unless one message serves
// for all; then the generation and the status have to be looked at.
func (d *Device) Acknowledge() virtio.Cause {
	switch d.vectors {
	case 0:
		if d.isr == nil {
			return virtio.CauseQueue | virtio.CauseConfig
		}
		return virtio.Cause(d.isr.Read8(0)) & (virtio.CauseQueue | virtio.CauseConfig)
	case 1:
		g := d.ConfigGeneration()
		if g != d.generation || virtio.CheckStatus(d) != nil {
			d.generation = g
			return virtio.CauseQueue | virtio.CauseConfig
		}
	}
	return virtio.CauseQueue
}

// Config returns the device-specific configuration.
func (d *Device) Config() virtio.Registers { return d.config }

// ConfigGeneration returns the generation of the configuration.
func (d *Device) ConfigGeneration() uint32 { return uint32(d.common.Read8(comGeneration)) }
