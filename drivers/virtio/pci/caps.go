package pci

import "github.com/yolk-unikernel/yolk/drivers/virtio"

// ConfigSpace is the PCI configuration space of one function. Offsets are
// multiples of 4 below 256.
type ConfigSpace interface {
	Read32(off int) uint32
	Write32(off int, v uint32)
}

// Offsets in configuration space (PCI Local Bus 3.0 §6.1).
const (
	cfgID           = 0x00
	cfgCommand      = 0x04 // command below, status above
	cfgBAR0         = 0x10
	cfgSubsystem    = 0x2c
	cfgCapabilities = 0x34

	commandMemory    = 1 << 1
	commandBusMaster = 1 << 2
	commandINTxOff   = 1 << 10
	statusCapList    = 1 << 20 // bit 4 of the status register
)

// Capability identifiers (PCI Code and ID Assignment §2).
const (
	capVendor = 0x09
	capMSIX   = 0x11
)

// Types of virtio's vendor capabilities (virtio 1.2 §4.1.4).
const (
	typeCommon = 1
	typeNotify = 2
	typeISR    = 3
	typeDevice = 4
)

// maxCaps is how many capabilities of 4 bytes fit behind the header: a longer
// list has a loop.
const maxCaps = (256 - 64) / 4

// region is a piece of a BAR; size 0 means that there is none.
type region struct {
	bar          uint8
	offset, size uint32
}

// capabilities are those that the driver uses.
type capabilities struct {
	common, notify, isr, device region
	notifyMultiplier            uint32
	msix                        int // offset in configuration space, or 0
}

// findCapabilities walks the capability list. Of several virtio capabilities
// of one type the first counts (§4.1.4.1).
func findCapabilities(c ConfigSpace) (capabilities, error) {
	var caps capabilities
	if c.Read32(cfgCommand)&statusCapList == 0 {
		return caps, ErrLegacyOnly
	}
	at := int(c.Read32(cfgCapabilities) & 0xfc)
	for n := 0; at != 0; n++ {
		if n == maxCaps || at < 64 {
			return caps, ErrCapabilities
		}
		head := c.Read32(at)
		switch uint8(head) {
		case capVendor:
			if err := caps.add(c, at, head); err != nil {
				return caps, err
			}
		case capMSIX:
			if caps.msix == 0 && at+12 <= 256 {
				caps.msix = at
			}
		}
		at = int(head >> 8 & 0xfc)
	}
	if caps.common.size == 0 || caps.notify.size == 0 {
		return caps, ErrLegacyOnly
	}
	return caps, nil
}

// add records struct virtio_pci_cap at offset at.
func (caps *capabilities) add(c ConfigSpace, at int, head uint32) error {
	length, typ := int(head>>16&0xff), uint8(head>>24)
	var r *region
	switch typ {
	case typeCommon:
		r = &caps.common
	case typeNotify:
		r = &caps.notify
	case typeISR:
		r = &caps.isr
	case typeDevice:
		r = &caps.device
	default:
		return nil
	}
	need := 16
	if typ == typeNotify {
		need = 20 // with notify_off_multiplier (§4.1.4.4)
	}
	if length < need || at+need > 256 {
		return ErrCapabilities
	}
	bar := uint8(c.Read32(at + 4))
	if bar > 5 || r.size != 0 {
		// §4.1.4: a reserved BAR value: ignore the capability.
		return nil
	}
	*r = region{bar: bar, offset: c.Read32(at + 8), size: c.Read32(at + 12)}
	if typ == typeNotify {
		caps.notifyMultiplier = c.Read32(at + 16)
	}
	return nil
}

// readBAR returns address and size of memory BAR i (PCI 3.0 §6.2.5.1). To
// learn the size it writes ones there, with decoding switched off meanwhile.
func readBAR(c ConfigSpace, i int) (addr, size uint64, err error) {
	off := cfgBAR0 + 4*i
	low := c.Read32(off)
	if low&1 != 0 {
		return 0, 0, ErrBAR // I/O ports
	}
	wide := low>>1&3 == 2
	if wide && i == 5 {
		return 0, 0, ErrBAR
	}
	command := c.Read32(cfgCommand) & 0xffff
	c.Write32(cfgCommand, command&^commandMemory)
	addr = uint64(low &^ 0xf)
	mask := uint64(0xffffffff) << 32
	c.Write32(off, 0xffffffff)
	mask |= uint64(c.Read32(off) &^ 0xf)
	c.Write32(off, low)
	if wide {
		high := c.Read32(off + 4)
		addr |= uint64(high) << 32
		c.Write32(off+4, 0xffffffff)
		mask = mask&0xffffffff | uint64(c.Read32(off+4))<<32
		c.Write32(off+4, high)
	}
	c.Write32(cfgCommand, command)
	size = ^mask + 1
	if addr == 0 || size == 0 || size&(size-1) != 0 || addr&(size-1) != 0 {
		return 0, 0, ErrBAR
	}
	return addr, size, nil
}

// Type returns the virtio device type of a function, if it is a virtio device.
// It only reads.
func Type(c ConfigSpace) (virtio.DeviceType, bool) {
	id := c.Read32(cfgID)
	if id&0xffff != vendorID {
		return 0, false
	}
	switch id >>= 16; {
	case id >= 0x1040 && id <= 0x107f: // §4.1.2
		return virtio.DeviceType(id - 0x1040), true
	case id >= 0x1000 && id <= 0x103f: // transitional, §4.1.2.3
		return virtio.DeviceType(c.Read32(cfgSubsystem) >> 16), true
	}
	return 0, false
}
