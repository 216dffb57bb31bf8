package virtiotest

import "github.com/yolk-unikernel/yolk/drivers/virtio"

// MMIO is a Device behind virtio-mmio registers (virtio 1.2 §4.2), of version 1
// if the device is Old. It panics at accesses that the specification forbids.
type MMIO struct {
	Device *Device
	// Overrides are values that reads return instead of the right ones.
	Overrides map[uintptr]uint32

	deviceSelect, driverSelect uint32
	features                   [2]uint32
	queue                      int
	rings                      [16]virtio.Rings
	pageSize, align            uint32
}

var _ virtio.Registers = (*MMIO)(nil)

func (m *MMIO) current() *virtio.Rings { return &m.rings[m.queue%len(m.rings)] }

// Read32 reads a register.
func (m *MMIO) Read32(off uintptr) uint32 {
	if v, ok := m.Overrides[off]; ok {
		return v
	}
	d := m.Device
	if off >= 0x100 {
		return d.Config().Read32(off - 0x100)
	}
	switch off {
	case 0x000:
		return 0x74726976
	case 0x004:
		if d.Old {
			return 1
		}
		return 2
	case 0x008:
		return uint32(d.Type)
	case 0x010:
		return uint32(d.Features() >> (32 * m.deviceSelect))
	case 0x034:
		return uint32(d.QueueMax(m.queue))
	case 0x040, 0x044:
		if m.queue < len(d.Queues) && d.Queues[m.queue].Ready {
			return 1
		}
		return 0
	case 0x060:
		d.mu.Lock()
		defer d.mu.Unlock()
		return uint32(d.isr)
	case 0x070:
		return uint32(d.Status())
	case 0x0fc:
		return d.ConfigGeneration()
	}
	panic("virtiotest: read of a register that is not readable")
}

// Write32 writes a register.
func (m *MMIO) Write32(off uintptr, v uint32) {
	if off >= 0x100 {
		m.Device.Config().Write32(off-0x100, v)
		return
	}
	switch off {
	case 0x014:
		m.deviceSelect = v
	case 0x020:
		m.features[m.driverSelect] = v
		m.Device.SetFeatures(uint64(m.features[0]) | uint64(m.features[1])<<32)
	case 0x024:
		m.driverSelect = v
	case 0x030:
		m.queue = int(v)
	case 0x038:
		m.current().Size = int(v)
	case 0x050:
		m.Device.Notify(int(v))
	case 0x064:
		m.Device.mu.Lock()
		m.Device.isr &^= virtio.Cause(v)
		m.Device.mu.Unlock()
	case 0x070:
		if v == 0 {
			m.rings = [16]virtio.Rings{}
		}
		m.Device.SetStatus(uint8(v))
	default:
		m.writeQueue(off, v)
	}
}

// writeQueue writes a register that differs between the two versions.
func (m *MMIO) writeQueue(off uintptr, v uint32) {
	r := m.current()
	low := func(p *uint64) { *p = *p&^0xffffffff | uint64(v) }
	high := func(p *uint64) { *p = *p&0xffffffff | uint64(v)<<32 }
	switch {
	case m.Device.Old && off == 0x028:
		m.pageSize = v
	case m.Device.Old && off == 0x03c:
		m.align = v
	case m.Device.Old && off == 0x040:
		*r = legacyRings(r.Size, uint64(v)*uint64(m.pageSize), uint64(m.align))
		m.Device.SetQueue(m.queue, *r)
	case m.Device.Old:
		panic("virtiotest: write of a register that a legacy device does not have")
	case off == 0x044 && v == 1:
		m.Device.SetQueue(m.queue, *r)
	case off == 0x080:
		low(&r.Desc)
	case off == 0x084:
		high(&r.Desc)
	case off == 0x090:
		low(&r.Avail)
	case off == 0x094:
		high(&r.Avail)
	case off == 0x0a0:
		low(&r.Used)
	case off == 0x0a4:
		high(&r.Used)
	default:
		panic("virtiotest: write of a register that is not writable")
	}
}

// legacyRings computes the layout of §2.7.2.
func legacyRings(size int, at, align uint64) virtio.Rings {
	n := uint64(size)
	used := (at + 16*n + 2*(3+n) + align - 1) / align * align
	return virtio.Rings{Size: size, Desc: at, Avail: at + 16*n, Used: used}
}

// Read8 reads a byte of the configuration.
func (m *MMIO) Read8(off uintptr) uint8 { return m.Device.Config().Read8(m.config(off)) }

// Read16 reads 16 bits of the configuration.
func (m *MMIO) Read16(off uintptr) uint16 { return m.Device.Config().Read16(m.config(off)) }

// Write8 panics: no driver here writes configuration.
func (m *MMIO) Write8(off uintptr, v uint8) { m.config(0) }

// Write16 panics: no driver here writes configuration.
func (m *MMIO) Write16(off uintptr, v uint16) { m.config(0) }

// config checks that off is in configuration space: §4.2.2.2 wants 32-bit
// accesses everywhere else.
func (m *MMIO) config(off uintptr) uintptr {
	if off < 0x100 {
		panic("virtiotest: narrow access to a virtio-mmio register")
	}
	return off - 0x100
}
