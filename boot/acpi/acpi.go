// Package acpi reads what a kernel needs of a PC's ACPI tables (Advanced Configuration and Power
// Interface Specification 6.5): CPUs and interrupt controllers (MADT), PCI configuration space
// (MCFG), how to power off and reset (FADT and the \_S5_ object of the DSDT), how the power
// button is reported (button.go), and the virtio-mmio devices in the DSDT.
//
// It consists of pure functions over bytes in memory that the VMM has filled: every length is
// checked. There is no AML interpreter. The few things needed from the DSDT are constant data in
// every VMM's tables, and are found by searching for their encodings (aml.go).
//
// Start reading at Parse.
package acpi

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
	ErrMCFG   = Error("acpi: MCFG is malformed")
)

// Memory returns n bytes of physical memory at addr, or nil if they are not all RAM or ROM.
// boot.Memory implements it.
type Memory = func(addr uint64, n int) []byte

// Info is the content of the tables. Addresses are physical.
type Info struct {
	LocalAPIC uint64 // address of the local APICs' registers; 0: no MADT
	Has8259   bool   // a pair of 8259 interrupt controllers exists and has to be masked
	CPUs      []CPU
	IOAPICs   []IOAPIC
	Overrides []Override
	ECAM      []ECAM
	// PowerOff are the writes that power the machine off (S5), in order. Empty: unknown.
	PowerOff []Write
	// Reset is the write that resets the machine, if HasReset.
	Reset    Write
	HasReset bool
	// Virtio are the virtio-mmio devices of the DSDT, in its order.
	Virtio []VirtioMMIO
	// Button is the power button of the fixed hardware, nil if there is none.
	Button *PowerButton
	// Events is the device that reports a power button on machines without fixed hardware,
	// nil if there is none.
	Events *EventDevice
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

// CPU is one processor that can be used: enabled already, or online capable.
type CPU struct {
	APICID  uint32
	UID     uint32
	Enabled bool
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

// ECAM is the memory-mapped configuration space of some PCI buses.
type ECAM struct {
	Base     uint64 // address of bus 0, even if StartBus is another
	Segment  uint16
	StartBus uint8
	EndBus   uint8
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

// Parse reads the tables. rsdp is the address of the root pointer, as a boot protocol passes it;
// if it is 0 the firmware's area is searched. The error is that of the first table that could
// not be used; Info then has what the other tables contain.
func Parse(rsdp uint64, mem Memory) (*Info, error) {
	p := &parser{mem: mem, info: &Info{}}
	if rsdp == 0 {
		rsdp = search(mem)
	}
	root, width := p.root(rsdp)
	if p.err != nil {
		return p.info, p.err
	}
	for ; len(root) >= width; root = root[width:] {
		addr := uint64(le32(root))
		if width == 8 {
			addr = le64(root)
		}
		p.table(addr)
	}
	return p.info, p.err
}

type parser struct {
	mem  Memory
	info *Info
	err  error
	seen [3]bool // MADT, MCFG, FADT: only the first of each is used
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// search looks for the root pointer in the areas of §5.2.5.1: the first KiB of the extended BIOS
// data area, and the BIOS read-only memory.
func search(mem Memory) uint64 {
	if b := mem(0x40e, 2); b != nil {
		if a := searchRange(mem, uint64(le16(b))<<4, 1024); a != 0 {
			return a
		}
	}
	return searchRange(mem, 0xe0000, 0x20000)
}

func searchRange(mem Memory, at, n uint64) uint64 {
	for end := at + n; at+rsdpSize <= end; at += 16 {
		b := mem(at, rsdpSize)
		if b != nil && string(b[:8]) == rsdpMagic && sum(b) == 0 {
			return at
		}
	}
	return 0
}

const (
	rsdpMagic = "RSD PTR "
	rsdpSize  = 20 // in ACPI 1.0; its checksum covers these bytes
	xsdpSize  = 36 // since ACPI 2.0
)

// root returns the entries of the XSDT, or else of the RSDT, and their size.
func (p *parser) root(rsdp uint64) (entries []byte, width int) {
	b := p.mem(rsdp, rsdpSize)
	if rsdp == 0 || b == nil || string(b[:8]) != rsdpMagic || sum(b) != 0 {
		p.fail(ErrNoRSDP)
		return nil, 8
	}
	rsdt := uint64(le32(b[16:]))
	if b[15] >= 2 {
		if x := p.mem(rsdp, xsdpSize); x != nil && sum(x) == 0 {
			if sig, t := p.load(le64(x[24:])); sig == "XSDT" {
				return t[headerSize:], 8
			}
		}
	}
	if sig, t := p.load(rsdt); sig == "RSDT" {
		return t[headerSize:], 4
	}
	p.fail(ErrRoot)
	return nil, 8
}

// headerSize is the size of a table's header (§5.2.6). maxTable bounds the size of a table; the
// largest, a big server's DSDT, has about 100 KiB.
const (
	headerSize = 36
	maxTable   = 1 << 20
)

// load returns a table with its signature, which is empty if the length or checksum is wrong.
func (p *parser) load(addr uint64) (signature string, table []byte) {
	if addr == 0 {
		return "", nil
	}
	h := p.mem(addr, headerSize)
	if h == nil {
		return "", nil
	}
	n := le32(h[4:])
	if n < headerSize || n > maxTable {
		return "", nil
	}
	t := p.mem(addr, int(n))
	if t == nil || sum(t) != 0 {
		return "", nil
	}
	return string(t[:4]), t
}

// table reads one of the root's tables.
func (p *parser) table(addr uint64) {
	h := p.mem(addr, headerSize)
	if addr == 0 || h == nil {
		p.fail(ErrTable)
		return
	}
	which, parse := 0, (*parser).madt
	switch string(h[:4]) {
	case "APIC":
	case "MCFG":
		which, parse = 1, (*parser).mcfg
	case "FACP":
		which, parse = 2, (*parser).fadt
	default:
		return
	}
	sig, t := p.load(addr)
	if sig == "" {
		p.fail(ErrTable)
		return
	}
	if !p.seen[which] {
		p.seen[which] = true
		parse(p, t)
	}
}

func sum(b []byte) (s uint8) {
	for _, c := range b {
		s += c
	}
	return s
}

func le16(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 }

func le32(b []byte) uint32 { return uint32(le16(b)) | uint32(le16(b[2:]))<<16 }

func le64(b []byte) uint64 { return uint64(le32(b)) | uint64(le32(b[4:]))<<32 }
