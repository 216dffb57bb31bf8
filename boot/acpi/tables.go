package acpi

import "github.com/yolk-unikernel/yolk/boot"

// headerSize is the size of a table's header (§5.2.6).
const headerSize = 36

// madt reads the multiple APIC description table (§5.2.12).
func (p *parser) madt(t []byte) {
	entries := boot.MADT(t)
	e, rest, ok := boot.CutEntry(entries)
	for ; ok; e, rest, ok = boot.CutEntry(rest) {
		p.madtEntry(e[0], e)
	}
	if entries == nil || len(rest) > 0 {
		p.fail(ErrMADT)
	}
}

// madtLengths are the sizes, by type, of the entries that are used.
var madtLengths = [...]uint8{1: 12, 2: 10}

func (p *parser) madtEntry(typ uint8, e []byte) {
	if int(typ) >= len(madtLengths) || madtLengths[typ] == 0 {
		return
	}
	if len(e) < int(madtLengths[typ]) {
		p.fail(ErrMADT)
		return
	}
	info := p.info
	switch typ {
	case 1: // I/O APIC
		info.IOAPICs = append(info.IOAPICs, IOAPIC{e[2], uint64(le32(e[4:])), le32(e[8:])})
	case 2: // interrupt source override, of ISA interrupts
		flags := le16(e[8:])
		info.Overrides = append(info.Overrides, Override{
			IRQ: e[3], GSI: le32(e[4:]), ActiveLow: flags&3 == 3, Level: flags>>2&3 == 3})
	}
}

// mcfg reads the table of memory-mapped PCI configuration space (PCI Firmware
// Specification 3.3, §4.1.2).
func (p *parser) mcfg(t []byte) {
	if len(t) < 44 {
		p.fail(ErrMCFG)
		return
	}
	for t = t[44:]; len(t) >= 16; t = t[16:] {
		e := ECAM{le64(t), le16(t[8:]), t[10], t[11]}
		if e.Base == 0 || e.Base%(1<<20) != 0 || e.StartBus > e.EndBus {
			p.fail(ErrMCFG)
			continue
		}
		p.info.ECAM = append(p.info.ECAM, e)
	}
}

// Offsets in the fixed ACPI description table (§5.2.9).
const (
	fadtDSDT       = 40
	fadtSCI        = 46
	fadtSMICommand = 48
	fadtEnable     = 52
	fadtPM1aEvt    = 56
	fadtPM1bEvt    = 60
	fadtPM1aCnt    = 64
	fadtPM1bCnt    = 68
	fadtGPE0       = 80
	fadtPM1EvtLen  = 88
	fadtGPE0Len    = 92
	fadtFlags      = 112
	fadtReset      = 116
	fadtResetValue = 128
	fadtXDSDT      = 140
	fadtXPM1aEvt   = 148
	fadtXPM1bEvt   = 160
	fadtXPM1aCnt   = 172
	fadtXPM1bCnt   = 184
	fadtXGPE0      = 220
	fadtSleep      = 244

	fadtMinSize   = 116 // ACPI 1.0
	flagNoPWRBTN  = 1 << 4
	flagResetReg  = 1 << 10
	flagHWReduced = 1 << 20
)

// fadt reads the fixed table and with it the DSDT.
func (p *parser) fadt(t []byte) {
	if len(t) < fadtMinSize {
		p.fail(ErrFADT)
		return
	}
	flags := le32(t[fadtFlags:])
	if reset, ok := register(t, fadtReset); ok && flags&flagResetReg != 0 && len(t) > fadtResetValue {
		reset.Width = 8 // §4.8.3.6
		reset.Value = uint32(t[fadtResetValue])
		p.info.Reset, p.info.HasReset = reset, true
	}
	dsdt := uint64(le32(t[fadtDSDT:]))
	if len(t) >= fadtXDSDT+8 && le64(t[fadtXDSDT:]) != 0 {
		dsdt = le64(t[fadtXDSDT:])
	}
	aml := boot.Table(dsdt, p.mem)
	if aml == nil || string(aml[:4]) != "DSDT" {
		p.fail(ErrNoDSDT)
		return
	}
	aml = aml[headerSize:]
	devices := findDevices(aml)
	p.info.Virtio = devices.virtio
	p.info.Button = fixedButton(t)
	p.info.Events = eventDevice(&devices)
	p.generation(aml, &devices)
	p.gpe(t)
	a, b, ok := findS5(aml)
	switch {
	case !ok:
	case flags&flagHWReduced != 0:
		p.powerOffReduced(t, a)
	default:
		p.powerOff(t, fadtPM1aCnt, fadtXPM1aCnt, a)
		p.powerOff(t, fadtPM1bCnt, fadtXPM1bCnt, b)
	}
}

// powerOff adds the write to one PM1 control register: SLP_TYP in bits 10 to 12, SLP_EN in bit
// 13 (§4.8.3.2.1).
func (p *parser) powerOff(t []byte, off, xoff int, typ uint8) {
	w := extended(t, off, xoff)
	if w.Address == 0 {
		return
	}
	w.Width = 16
	w.Value = uint32(typ)<<10 | 1<<13
	p.info.PowerOff = append(p.info.PowerOff, w)
}

// powerOffReduced adds the write to the sleep control register of hardware-
// reduced ACPI: SLP_TYP in bits 2 to 4, SLP_EN in bit 5 (§4.8.3.7).
func (p *parser) powerOffReduced(t []byte, typ uint8) {
	if w, ok := register(t, fadtSleep); ok {
		w.Width = 8
		w.Value = uint32(typ)<<2 | 1<<5
		p.info.PowerOff = append(p.info.PowerOff, w)
	}
}

// extended reads the address of a register of the fixed hardware from its extended field, or
// else from the old field; it is 0 if the register does not exist.
func extended(t []byte, off, xoff int) Write {
	if w, ok := register(t, xoff); ok {
		return w
	}
	if port := le32(t[off:]); port < 1<<16 {
		return Write{Space: SpaceIO, Address: uint64(port)}
	}
	return Write{}
}

// register reads a generic address structure (§5.2.3.2), if the table has it and its address
// space can be written.
func register(t []byte, off int) (Write, bool) {
	if off+12 > len(t) {
		return Write{}, false
	}
	w := Write{Space: Space(t[off]), Address: le64(t[off+4:])}
	ok := w.Address != 0 && (w.Space == SpaceMemory || w.Space == SpaceIO && w.Address < 1<<16)
	return w, ok
}
