// Package pci is the virtio transport over PCI (virtio 1.2 §4.1), in its modern
// form: the registers are found through vendor capabilities in configuration
// space, and each has its place in a BAR. Transitional devices, QEMU's default,
// are driven through their modern interface.
//
// Interrupts are MSI-X messages if the machine offers some, otherwise the
// function's INTx line.
//
// Start reading at Open.
package pci

import "github.com/yolk-unikernel/yolk/drivers/virtio"

const vendorID = 0x1af4

// Errors of this package.
const (
	ErrNotVirtio    = virtio.Error("pci: not a virtio function")
	ErrLegacyOnly   = virtio.Error("pci: device has no modern virtio interface; start it with disable-modern=off")
	ErrCapabilities = virtio.Error("pci: malformed capability list")
	ErrBAR          = virtio.Error("pci: base address register of the virtio structures is unusable")
	ErrRegion       = virtio.Error("pci: virtio structure lies outside its BAR or is too small")
	ErrVector       = virtio.Error("pci: device did not accept an MSI-X vector")
	ErrQueueBusy    = virtio.Error("pci: queue is already in use")
	ErrNotify       = virtio.Error("pci: notification address lies outside its structure")
)

// Map makes size bytes of device registers at a physical address accessible,
// uncached. The range lies within one BAR.
type Map func(phys, size uint64) (virtio.Registers, error)

// Message is what a function sends to raise an interrupt: a write of Data to
// Address (on x86 the local APIC's; Intel SDM volume 3, §11.11).
type Message struct {
	Address uint64
	Data    uint32
}

// Common configuration structure (§4.1.4.3).
const (
	comDeviceSelect   = 0
	comDeviceFeatures = 4
	comDriverSelect   = 8
	comDriverFeatures = 12
	comConfigVector   = 16
	comNumQueues      = 18
	comStatus         = 20
	comGeneration     = 21
	comQueueSelect    = 22
	comQueueSize      = 24
	comQueueVector    = 26
	comQueueEnable    = 28
	comQueueNotifyOff = 30
	comQueueDesc      = 32
	comQueueAvail     = 40
	comQueueUsed      = 48
	comSize           = 56
)

const noVector = 0xffff

// maxNotify bounds what is mapped of the notification structure: 65536 queues
// with the multiplier of 4 that virtual machines use.
const maxNotify = 256 << 10

// Device is one virtio function. It is a virtio.Transport.
type Device struct {
	virtio.Placed
	typ        virtio.DeviceType
	common     virtio.Registers
	notify     virtio.Registers
	isr        virtio.Registers // nil if there is none
	config     virtio.Registers
	notifySize uint64
	multiplier uint32
	vectors    int      // MSI-X messages in use; 0: INTx
	notifyAt   []uint32 // by queue: offset in notify, 0xffffffff if not set up
	generation uint32   // when the shared vector was last acknowledged
}

var _ virtio.Transport = (*Device)(nil)

// Open prepares a virtio function: it switches on memory decoding and bus
// mastering, maps the structures and installs the messages. BARs must have
// addresses.
//
// Message 0 is sent when the configuration or status changes, message 1+i when
// queue i has used buffers; queues beyond the last message share it, and one
// message serves all. Without messages, or without MSI-X in the function, the
// INTx line is used. Vectors tells which came about.
func Open(c ConfigSpace, mapper Map, messages []Message) (*Device, error) {
	typ, ok := Type(c)
	if !ok {
		return nil, ErrNotVirtio
	}
	caps, err := findCapabilities(c)
	if err != nil {
		return nil, err
	}
	m := mapping{c: c, mapper: mapper}
	d := &Device{typ: typ, multiplier: caps.notifyMultiplier}
	caps.common.size = min(caps.common.size, comSize)
	d.common = m.region(caps.common, comSize)
	caps.notify.size = min(caps.notify.size, maxNotify)
	caps.device.size = min(caps.device.size, virtio.PageSize)
	d.notify = m.region(caps.notify, 2)
	d.notifySize = uint64(caps.notify.size)
	if caps.isr.size > 0 {
		d.isr = m.region(caps.isr, 1)
	}
	d.config = virtio.Window{}
	if caps.device.size > 0 {
		d.config = virtio.Window{Registers: m.region(caps.device, 1), Size: uintptr(caps.device.size)}
	}
	if m.err != nil {
		return nil, m.err
	}
	command := c.Read32(cfgCommand) & 0xffff
	command |= commandMemory | commandBusMaster
	if caps.msix != 0 && len(messages) > 0 {
		if d.vectors, err = m.enableMSIX(caps.msix, messages); err != nil {
			return nil, err
		}
		command |= commandINTxOff
	}
	c.Write32(cfgCommand, command)
	return d, nil
}

// mapping maps regions until one fails.
type mapping struct {
	c      ConfigSpace
	mapper Map
	bars   [6]struct{ addr, size uint64 }
	err    error
}

func (m *mapping) region(r region, min uint32) virtio.Registers {
	if m.err != nil {
		return nil
	}
	bar := &m.bars[r.bar]
	if bar.size == 0 {
		if bar.addr, bar.size, m.err = readBAR(m.c, int(r.bar)); m.err != nil {
			return nil
		}
	}
	if r.size < min || uint64(r.offset)+uint64(r.size) > bar.size || r.offset&3 != 0 && min > 1 {
		m.err = ErrRegion
		return nil
	}
	var regs virtio.Registers
	regs, m.err = m.mapper(bar.addr+uint64(r.offset), uint64(r.size))
	return regs
}

// MSI-X (PCI 3.0 §6.8.2).
const (
	msixEnable    = 1 << 31 // in the dword with the message control above
	msixMaskAll   = 1 << 30
	msixEntrySize = 16
)

// enableMSIX writes the messages to the function's table and switches MSI-X
// on. It returns how many of them fit.
func (m *mapping) enableMSIX(at int, messages []Message) (int, error) {
	control := m.c.Read32(at)
	n := min(len(messages), int(control>>16&0x7ff)+1)
	where := m.c.Read32(at + 4)
	if where&7 > 5 {
		return 0, ErrCapabilities
	}
	size := uint32(n * msixEntrySize)
	table := m.region(region{bar: uint8(where & 7), offset: where &^ 7, size: size}, size)
	if m.err != nil {
		return 0, m.err
	}
	command := m.c.Read32(cfgCommand) & 0xffff
	m.c.Write32(cfgCommand, command|commandMemory)
	m.c.Write32(at, control|msixEnable|msixMaskAll)
	for i, msg := range messages[:n] {
		e := uintptr(i * msixEntrySize)
		table.Write32(e, uint32(msg.Address))
		table.Write32(e+4, uint32(msg.Address>>32))
		table.Write32(e+8, msg.Data)
		table.Write32(e+12, 0) // unmasked
	}
	m.c.Write32(at, control&^msixMaskAll|msixEnable)
	return n, nil
}

// Vectors returns how many of the messages are in use; 0 means INTx.
func (d *Device) Vectors() int { return d.vectors }
