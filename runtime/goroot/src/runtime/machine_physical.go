//go:build tamago

package runtime

import (
	"internal/runtime/yolk/areas"
	"internal/runtime/yolk/mman"
)

// Physical memory that a program has asked for, at the address that it has for devices: drivers of
// other systems use the one for the other.

// physicalBits are those of its pages. Frames are not freed with the mapping: they are a
// device's, or the program's for good.
const physicalBits = ptePresent | pteWrite | pteNX | pteBoot

// mapPhysical maps n bytes at a physical address that is not in RAM, uncached, at the same
// virtual address, and returns that. It is EINVAL for a range of no bytes or beyond the addresses of
// programs, EPERM for RAM, EBUSY where something is mapped, and ENOMEM without memory for
// page tables.
func (m *machMem) mapPhysical(phys, n uintptr) uintptr {
	start := phys &^ (machPage - 1)
	if n == 0 || start < mman.Lowest || phys >= mman.End || n > mman.End-phys {
		return machErr(_EINVAL)
	}
	end := (phys + n + machPage - 1) &^ (machPage - 1)
	if m.showsRAM(start, end) {
		return machErr(_EPERM)
	}
	if r := m.mapItself(start, end, pteNoCache); machFailed(r) {
		return r
	}
	return phys
}

// allocDMA takes n bytes of RAM in one piece, zeroed, for good, maps them at their physical address
// and returns that. It is EINVAL for no bytes and ENOMEM without such memory at an
// address where nothing is mapped.
func (m *machMem) allocDMA(n uintptr) uintptr {
	if n == 0 || n > m.total {
		return machErr(_EINVAL)
	}
	n = (n + machPage - 1) &^ (machPage - 1)
	p := m.contiguous(n)
	if p == 0 {
		return machErr(_ENOMEM)
	}
	if r := m.mapItself(p, p+n, 0); machFailed(r) {
		for at := p; at < p+n; at += machPage {
			m.freeFrame(at)
		}
		return machErr(_ENOMEM)
	}
	return p
}

// mapItself maps whole pages where they are physically, and notes the area.
func (m *machMem) mapItself(start, end uintptr, cache uint64) uintptr {
	const fewTables = 8 // at both ends
	switch {
	case start < mman.Lowest || m.areas().Overlaps(start, end):
		return machErr(_EBUSY)
	case m.Free/machPage < (end-start)>>30+fewTables:
		return machErr(_ENOMEM)
	}
	m.add(areas.Area{Start: start, End: end, Prot: areas.Read | areas.Write | areaImage})
	m.mapRange(start, start, end-start, physicalBits|cache)
	loadCR3(readCR3()) // a table that lay there before may be cached
	mach.smp.flushTLB()
	return start
}

// showsRAM tells whether the direct map shows any page of [start, end).
func (m *machMem) showsRAM(start, end uintptr) bool {
	for at := start; at < min(end, m.top); at += machPage {
		if m.isRAM(at, machPage) {
			return true
		}
	}
	return false
}
