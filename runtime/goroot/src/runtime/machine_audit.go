//go:build tamago

package runtime

// The word yolk.audit: instead of the program's start, a list of what the page tables map,
// with its rights. docs/memory.md has the form of a line, which tools read.

// machAudit writes a line for each range of addresses that are alike, and ends the machine.
func machAudit() {
	var start uintptr // of the range so far
	var rights uint64
	what := ""
	for va := uintptr(0); ; {
		r, size := mach.mem.mapped(va)
		w := ""
		if r != 0 {
			w = mach.mem.owner(va, r)
		}
		if r != rights || w != what {
			if rights != 0 {
				auditLine(start, va, rights, what)
			}
			start, rights, what = va, r, w
		}
		if va += size; va == 1<<47 {
			va |= canonical // the upper half; nothing is mapped on both sides
		}
		if va == 0 { // nor at the end
			machExit(0)
		}
	}
}

// mapped returns the bits for presence, stores, execution and caching that all tables give
// va together, 0 if nothing is mapped there, and the size of what follows va alike.
func (m *machMem) mapped(va uintptr) (rights uint64, size uintptr) {
	table := m.root
	allow, deny := uint64(ptePresent|pteWrite), uint64(0)
	for shift := uint(39); ; shift -= 9 {
		e := load64(table + (va>>shift&511)*8)
		size = 1<<shift - va&(1<<shift-1)
		if e&ptePresent == 0 {
			return 0, size
		}
		allow &= e
		deny |= e & pteNX
		if shift == 12 || e&pteLarge != 0 {
			return allow | deny | e&pteNoCache, size
		}
		table = uintptr(e&pteAddr) + directMap
	}
}

// owner says what is mapped at va.
func (m *machMem) owner(va uintptr, rights uint64) string {
	a := m.areas().At(va)
	switch {
	case a != nil && a.Prot&areaImage != 0:
		return "program image\n"
	case a != nil:
		return "program memory\n"
	case va-directMap < m.top:
		return "machine RAM\n"
	case rights&pteNoCache != 0:
		return "machine registers\n"
	}
	return "machine stack\n"
}

func auditLine(start, end uintptr, rights uint64, what string) {
	conString("map ")
	conHex(uint64(start))
	conString(" ")
	conHex(uint64(end))
	const all = " r-- rw- r-x rwx "
	i := rights & pteWrite << 1
	if rights&pteNX == 0 {
		i += 8
	}
	conString(all[i : i+5])
	conString(what)
}
