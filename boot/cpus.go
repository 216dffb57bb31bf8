package boot

// MaxCPUs is the most CPUs that are used; a machine's other CPUs stay off.
const MaxCPUs = 64

// CPUs are the processors that the firmware's tables list as usable.
type CPUs struct {
	// APIC are their local APIC IDs, in the order of the tables. One of them is the boot
	// processor, not always the first.
	APIC [MaxCPUs]uint32
	N    int
	// Left is the number of CPUs in the tables that do not fit in APIC.
	Left int
}

func (c *CPUs) add(apic uint32) {
	for _, id := range c.APIC[:c.N] {
		if id == apic {
			return
		}
	}
	if c.N == MaxCPUs {
		c.Left++
		return
	}
	c.APIC[c.N] = apic
	c.N++
}

// FindCPUs reads the ACPI tables if rsdp is not 0. Otherwise it reads the tables of the
// MultiProcessor Specification 1.4, which QEMU's microvm without ACPI and Firecracker have.
// c.N is 0 if there are neither, or bad ones.
func FindCPUs(c *CPUs, rsdp uint64, mem Memory) {
	*c = CPUs{}
	if rsdp != 0 {
		cpusFromACPI(c, rsdp, mem)
		return
	}
	cpusFromMP(c, mem)
}

// cpusFromACPI reads the MADT.
func cpusFromACPI(c *CPUs, rsdp uint64, mem Memory) {
	rsdt, xsdt, ok := RootPointer(rsdp, mem)
	if !ok {
		return
	}
	tables, _ := FindTables(rsdt, xsdt, mem)
	for at, rest, ok := tables.Cut(); ok; at, rest, ok = rest.Cut() {
		if Signature(at, mem) == [4]byte{'A', 'P', 'I', 'C'} {
			cpusFromMADT(c, MADT(Table(at, mem)))
			return
		}
	}
}

// cpusFromMADT adds the CPUs of §5.2.12.2 and §5.2.12.12 that are enabled. A VMM also lists CPUs
// that may be hot-plugged, which are not.
func cpusFromMADT(c *CPUs, entries []byte) {
	const enabled = 1
	for e, rest, ok := CutEntry(entries); ok; e, rest, ok = CutEntry(rest) {
		switch {
		case e[0] == 0 && len(e) >= 8 && e[4]&enabled != 0 && e[3] != 0xff: // local APIC; 255: none
			c.add(uint32(e[3]))
		case e[0] == 9 && len(e) >= 16 && e[8]&enabled != 0: // local x2APIC
			c.add(le32(e[4:]))
		}
	}
}

// cpusFromMP finds the floating pointer (§4.1: in the first KiB of the extended BIOS data area,
// or else in the last KiB of base memory, or else in the BIOS ROM) and reads the processor
// entries of the configuration table (§4.2, §4.3.1).
func cpusFromMP(c *CPUs, mem Memory) {
	if segment := mem(0x40e, 2); segment != nil {
		if mpSearch(c, uint64(segment[0])<<4|uint64(segment[1])<<12, 1<<10, mem) {
			return
		}
	}
	if !mpSearch(c, 639<<10, 1<<10, mem) {
		mpSearch(c, 0xf0000, 64<<10, mem)
	}
}

func mpSearch(c *CPUs, at uint64, n int, mem Memory) bool {
	for end := at + uint64(n); at < end; at += 16 {
		p := mem(at, 16)
		if p == nil {
			return false
		}
		if p[0] != '_' || string(p[:4]) != "_MP_" || p[8] != 1 || checksum(p) != 0 {
			continue
		}
		mpTable(c, uint64(le32(p[4:])), mem)
		return true
	}
	return false
}

func mpTable(c *CPUs, at uint64, mem Memory) {
	h := mem(at, 44)
	if h == nil || string(h[:4]) != "PCMP" {
		return
	}
	n := int(h[4]) | int(h[5])<<8
	t := mem(at, n)
	if n < 44 || t == nil || checksum(t) != 0 {
		return
	}
	for t = t[44:]; len(t) >= 20 && t[0] == 0; t = t[20:] { // processors come first
		if t[3]&1 != 0 { // EN
			c.add(uint32(t[1]))
		}
	}
}
