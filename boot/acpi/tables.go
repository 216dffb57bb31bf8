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
	fadtXDSDT      = 140
	fadtXPM1aEvt   = 148
	fadtXPM1bEvt   = 160
	fadtXPM1aCnt   = 172
	fadtXPM1bCnt   = 184
	fadtXGPE0      = 220
	fadtSleep      = 244

	fadtMinSize   = 116 // ACPI 1.0
	flagNoPWRBTN  = 1 << 4
	flagHWReduced = 1 << 20
)

// fadt reads the fixed table and with it the DSDT.
func (p *parser) fadt(t []byte) {
	if len(t) < fadtMinSize {
		p.fail(ErrFADT)
		return
	}
	dsdt := uint64(le32(t[fadtDSDT:]))
	if len(t) >= fadtXDSDT+8 && le64(t[fadtXDSDT:]) != 0 {
		dsdt = le64(t[fadtXDSDT:])
	}
	info := p.info
	aml := boot.Table(dsdt, info.mem)
	if aml == nil || string(aml[:4]) != "DSDT" {
		p.fail(ErrNoDSDT)
		return
	}
	info.fadt, info.aml = t, aml[headerSize:]
	info.devices = findDevices(info.aml)
	for _, d := range info.devices {
		if d.is(hidVirtio) {
			if v, irq := resources(d); irq && v.valid() && len(info.Virtio) < maxVirtio {
				info.Virtio = append(info.Virtio, v)
			}
		}
	}
}

// PowerOff returns the writes that power the machine off (S5), in order; none: it is not known how.
func (i *Info) PowerOff() []Write {
	a, b, ok := findS5(i.aml)
	switch {
	case !ok:
		return nil
	case le32(i.fadt[fadtFlags:])&flagHWReduced != 0:
		return powerOffReduced(i.fadt, a)
	}
	return append(powerOff(i.fadt, fadtPM1aCnt, fadtXPM1aCnt, a), powerOff(i.fadt, fadtPM1bCnt, fadtXPM1bCnt, b)...)
}

// powerOff returns the write to one PM1 control register, if there is that: SLP_TYP in bits 10 to 12,
// SLP_EN in bit 13 (§4.8.3.2.1).
func powerOff(t []byte, off, xoff int, typ uint8) []Write {
	w := extended(t, off, xoff)
	if w.Address == 0 {
		return nil
	}
	w.Width = 16
	w.Value = uint32(typ)<<10 | 1<<13
	return []Write{w}
}

// powerOffReduced returns the write to the sleep control register of hardware-
// reduced ACPI: SLP_TYP in bits 2 to 4, SLP_EN in bit 5 (§4.8.3.7).
func powerOffReduced(t []byte, typ uint8) []Write {
	w, ok := register(t, fadtSleep)
	if !ok {
		return nil
	}
	w.Width = 8
	w.Value = uint32(typ)<<2 | 1<<5
	return []Write{w}
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
