// Package acpi reads what a kernel needs of a PC's ACPI tables (Advanced Configuration and Power
// Interface Specification 6.5): interrupt controllers (MADT) and the virtio-mmio devices in the DSDT;
// and, if it is asked for them, how to power off (FADT and the \_S5_ object of the DSDT), how the power
// button is reported (button.go) and what changes when the machine is resumed (resume.go).
//
// It consists of pure functions over bytes in memory that the VMM has filled: every length is
// checked. There is no AML interpreter. The few things needed from the DSDT are constant data in
// every VMM's tables, and are found by searching for their encodings (aml.go).
//
// Package boot finds the tables: it needs the CPUs in them before there is a heap. Start reading
// at Parse.
package acpi

import (
	"encoding/binary"

	"github.com/yolk-unikernel/yolk/boot"
)

// Error is the type of this package's errors.
type Error string

func (e Error) Error() string { return string(e) }

// These are the errors of Parse.
const (
	ErrNoRSDP = Error("acpi: no root pointer (RSDP)")
	ErrRoot   = Error("acpi: root table (XSDT or RSDT) is unreadable")
	ErrTable  = Error("acpi: a table has a bad length or checksum")
	ErrMADT   = Error("acpi: MADT is malformed")
	ErrFADT   = Error("acpi: FADT is malformed")
	ErrNoDSDT = Error("acpi: DSDT is unreadable")
)

// Memory returns n bytes of physical memory at addr, or nil if they are not all RAM or ROM.
type Memory = boot.Memory

// Info is the content of the tables. Addresses are physical. What only some programs need is read by
// methods when they call them, and is not in the images of others.
type Info struct {
	IOAPICs   []IOAPIC
	Overrides []Override
	// Virtio are the virtio-mmio devices of the DSDT, in its order.
	Virtio []VirtioMMIO

	mem     Memory
	fadt    []byte   // nil if it is unreadable
	aml     []byte   // of the DSDT, nil if it is unreadable
	devices []device // of the DSDT
	ssdts   []uint64 // addresses of the secondary tables
}

// GSI returns the global system interrupt of an ISA interrupt.
func (i *Info) GSI(irq uint8) uint32 {
	for _, o := range i.Overrides {
		if o.IRQ == irq {
			return o.GSI
		}
	}
	return uint32(irq)
}

// IOAPIC is one I/O APIC.
type IOAPIC struct {
	ID      uint8
	Address uint64
	GSIBase uint32 // global system interrupt of its first input
}

// Override describes the connection of an ISA interrupt that is not identity-mapped, or not
// edge-triggered and active high.
type Override struct {
	IRQ       uint8
	GSI       uint32
	Level     bool // level-triggered
	ActiveLow bool
}

// VirtioMMIO is a virtio-mmio device.
type VirtioMMIO struct {
	Address   uint64
	Size      uint64
	GSI       uint32
	Level     bool
	ActiveLow bool
}

// PowerButton is the power button of the fixed hardware (§4.8.2.2.1.1). Bit 8 of the status
// registers says that the button was pressed, and is cleared by writing 1 to it; bit 8 of the
// enable registers enables its interrupt.
type PowerButton struct {
	IRQ     uint8    // ISA interrupt (SCI)
	Status  []uint16 // I/O ports of the PM1 status registers, 16 bits each
	Enable  []uint16 // I/O ports of the PM1 enable registers
	Control uint16   // I/O port of the PM1a control register, whose bit 0 says that ACPI is enabled
	// A write of EnableACPI to the I/O port SMICommand enables ACPI; 0: it is always
	// enabled.
	SMICommand uint16
	EnableACPI uint8
}

// EventDevice is a generic event device (§5.6.9) as VMMs implement it: a register of events that
// is cleared when it is read.
type EventDevice struct {
	GSI         uint32
	Address     uint64
	Width       int    // of the register, in bits: 8, 16 or 32
	PowerButton uint32 // bits of the power button
}

// Space is the address space of a register (§5.2.3.2).
type Space uint8

// These are the address spaces that occur on PCs.
const (
	SpaceMemory Space = 0
	SpaceIO     Space = 1
)

// Write is a write to a register.
type Write struct {
	Space   Space
	Address uint64
	Width   int // in bits: 8, 16 or 32
	Value   uint32
}

// Parse reads the tables. rsdp is the address of the root pointer, as a boot protocol passes it.
// The error is that of the first table that could not be used; Info then has what the other
// tables contain.
func Parse(rsdp uint64, mem Memory) (*Info, error) {
	p := &parser{info: &Info{mem: mem}}
	rsdt, xsdt, ok := boot.RootPointer(rsdp, mem)
	if !ok {
		return p.info, ErrNoRSDP
	}
	tables, ok := boot.FindTables(rsdt, xsdt, mem)
	if !ok {
		return p.info, ErrRoot
	}
	for at, rest, ok := tables.Cut(); ok; at, rest, ok = rest.Cut() {
		p.table(at)
	}
	return p.info, p.err
}

type parser struct {
	info *Info
	err  error
	seen [2]bool // MADT, FADT: only the first of each is used
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// table reads one of the root's tables.
func (p *parser) table(addr uint64) {
	which, parse := 0, (*parser).madt
	switch sig := boot.Signature(addr, p.info.mem); string(sig[:]) {
	case "APIC":
	case "FACP":
		which, parse = 1, (*parser).fadt
	case "SSDT":
		if len(p.info.ssdts) < maxSSDTs {
			p.info.ssdts = append(p.info.ssdts, addr)
		}
		return
	case "\x00\x00\x00\x00":
		p.fail(ErrTable)
		return
	default:
		return
	}
	if p.seen[which] {
		return // unread: a list of a hundred thousand would take minutes
	}
	t := boot.Table(addr, p.info.mem)
	if t == nil {
		p.fail(ErrTable)
		return
	}
	p.seen[which] = true
	parse(p, t)
}

// maxSSDTs bounds how many secondary tables are read; big servers have some dozens.
const maxSSDTs = 64

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
