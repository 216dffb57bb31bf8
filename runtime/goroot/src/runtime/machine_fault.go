//go:build tamago

package runtime

import (
	"internal/runtime/yolk/areas"
	"internal/runtime/yolk/mman"
	"unsafe"
)

// Pages of the areas: on demand, by 4 KiB or, where the program asked for it,
// 2 MiB; their release and change.

// pteKept marks a 4 KiB entry that is not present because of PROT_NONE, or only
// for a moment, but has a page.
const pteKept = 1 << 9

// pageFault serves a fault at va (error code as the CPU gives it) and tells
// whether the access may be tried again.
func (m *machMem) pageFault(va, code uintptr) bool {
	a := m.areas().At(va)
	if a == nil || !a.Allows(code) {
		return false
	}
	va &^= machPage - 1
	if a.File != 0 {
		return m.fileFault(a, va, code)
	}
	bits := protBits(a.Prot)
	if a.Prot&areaLarge != 0 && m.faultLarge(a, va, bits) {
		return true
	}
	e := m.entry(va, true)
	if code&areas.Present != 0 || *e&pteLarge != 0 {
		// Present and allowed by the area: another CPU was faster, or a page
		// of the image, which is as it is.
		invlpg(va)
		return mach.smp.online > 1 && *e&^pteAddr&(ptePresent|pteWrite|pteNX) == bits
	}
	if *e&pteKept != 0 {
		*e = *e&pteFrame | bits
		return true
	}
	m.faultPages(va, a.End, e, bits)
	return true
}

// faultPages maps a few pages from va on, whose entry is e.
func (m *machMem) faultPages(va, end uintptr, e *uint64, bits uint64) {
	for n := 0; n < faultPages && va < end && *e == 0; n++ {
		f := m.frame()
		if f == 0 {
			if n == 0 {
				machOutOfMemory()
			}
			return
		}
		zeroPage(f + directMap)
		*e = uint64(f) | bits
		va += machPage
		if va>>12&511 == 0 {
			return // the next entry is in another table
		}
		e = (*uint64)(unsafe.Pointer(uintptr(unsafe.Pointer(e)) + 8))
	}
}

// faultLarge maps 2 MiB around va if they belong to the area, nothing is mapped
// there yet and there is the memory.
func (m *machMem) faultLarge(a *areas.Area, va uintptr, bits uint64) bool {
	base := va &^ (machLargePage - 1)
	if base < a.Start || base+machLargePage > a.End {
		return false
	}
	e := m.largeEntry(base)
	if *e != 0 {
		return false
	}
	f := m.TakeLarge()
	if f == 0 {
		return false
	}
	zeroPages(f+directMap, machLargePage)
	*e = uint64(f) | bits | pteLarge
	m.large++
	return true
}

func zeroPages(p, n uintptr) {
	for end := p + n; p < end; p += machPage {
		zeroPage(p)
	}
}

// split replaces a 2 MiB page by 4 KiB ones that have the same frames. It
// reports whether there is memory for their table.
func (m *machMem) split(e *uint64) bool {
	table := m.frame()
	if table == 0 {
		return false
	}
	bits := *e &^ pteLarge // the address has no bits below 2 MiB
	for i := uintptr(0); i < 512; i++ {
		store64(table+directMap+i*8, bits+uint64(i)*machPage)
	}
	if *e&pteBoot == 0 {
		m.large--
	}
	*e = uint64(table) | ptePresent | pteWrite
	return true
}

// protectDirect makes the direct map's view of physical memory read-only. Others' TLBs are
// the caller's.
func (m *machMem) protectDirect(start, end uintptr) {
	m.forEachPage(directMap+start, directMap+end, readOnlyPage, 0)
}

func readOnlyPage(m *machMem, va uintptr, e *uint64, _ uintptr) { *e &^= pteWrite }

// pageFunc changes the entry e of the page at va: 4 KiB, or 2 MiB if *e has
// pteLarge.
type pageFunc func(m *machMem, va uintptr, e *uint64, arg uintptr)

// mostPages is how many translations of the TLB are flushed one by one, before all are.
const mostPages = 32

// forEachPage calls f for every entry in [start, end) that has a page, skipping
// empty tables, and flushes this CPU's TLB. A 2 MiB page that reaches beyond the
// range is split. It returns how many there were: others' TLBs are the caller's.
func (m *machMem) forEachPage(start, end uintptr, f pageFunc, arg uintptr) (n int) {
	for va := start; va < end; {
		table := m.root
		shift := uint(39)
		for ; shift > 12; shift -= 9 {
			e := (*uint64)(unsafe.Pointer(table + (va>>shift&511)*8))
			if *e&pteLarge != 0 {
				if va%machLargePage == 0 && end-va >= machLargePage {
					f(m, va, e, arg)
					n += largeFrames
					break
				}
				if !m.split(e) {
					machOutOfMemory()
				}
			}
			if *e&ptePresent == 0 {
				break
			}
			table = uintptr(*e&pteAddr) + directMap
		}
		if shift > 12 { // nothing below this entry
			va = (va>>shift + 1) << shift
			continue
		}
		for ; va < end; va += machPage {
			e := (*uint64)(unsafe.Pointer(table + (va>>12&511)*8))
			if *e != 0 {
				f(m, va, e, arg)
				if n++; n <= mostPages {
					invlpg(va)
				}
			}
			if va>>12&511 == 511 {
				va += machPage
				break
			}
		}
	}
	if n > mostPages {
		loadCR3(readCR3())
	}
	return n
}

// releaseRange gives back the pages of a range, present or kept. What is below the
// addresses of areas is not the program's: a CPU may be starting there.
func (m *machMem) releaseRange(start, end uintptr) {
	start = max(start, mman.Lowest)
	if mach.smp.online > 1 {
		// No CPU may write to a frame that is free.
		if m.forEachPage(start, end, hidePage, 0) > 0 {
			mach.smp.flushTLB()
		}
	}
	m.forEachPage(start, end, releasePage, 0)
}

func hidePage(m *machMem, va uintptr, e *uint64, _ uintptr) { *e &^= ptePresent }

func releasePage(m *machMem, va uintptr, e *uint64, _ uintptr) {
	f := uintptr(*e & pteAddr)
	if *e&(pteFile|pteBoot) != 0 {
		*e = 0
		return
	}
	if *e&pteLarge != 0 {
		for end := f + machLargePage; f < end; f += machPage {
			m.freeFrame(f)
		}
		m.large--
	} else {
		m.freeFrame(f)
	}
	*e = 0
}

func protectPage(m *machMem, va uintptr, e *uint64, prot uintptr) {
	large := *e & pteLarge
	if *e&pteFile != 0 {
		// The next fault decides: a store must be noted, or copies.
		*e = 0
		return
	}
	if prot == _PROT_NONE && large != 0 {
		// A 2 MiB entry cannot be kept; 4 KiB ones can.
		if !m.split(e) {
			machOutOfMemory()
		}
		m.forEachPage(va, va+machLargePage, protectPage, prot)
		return
	}
	if prot == _PROT_NONE {
		// Keep the page but not the access: the frame stays in the entry.
		*e = *e&pteFrame | pteKept
		return
	}
	*e = *e&pteFrame | protBits(prot) | large
}

// collapse is MADV_COLLAPSE: the 2 MiB blocks of a range get 2 MiB pages now, as
// far as they lie in one area and there is the memory.
func (m *machMem) collapse(start, end uintptr) uintptr {
	for base := (start + machLargePage - 1) &^ (machLargePage - 1); base < end && end-base >= machLargePage; base += machLargePage {
		a := m.areas().At(base)
		if a == nil {
			return machErr(_ENOMEM)
		}
		if base+machLargePage > a.End || a.Prot&areas.Access == _PROT_NONE || a.Prot&areaImage != 0 || a.File != 0 {
			return machErr(_EINVAL)
		}
		if !m.collapseBlock(base, protBits(a.Prot)) {
			return machErr(_ENOMEM)
		}
	}
	return 0
}

// collapseBlock moves the pages of 2 MiB to one page.
func (m *machMem) collapseBlock(base uintptr, bits uint64) bool {
	pde := m.largeEntry(base)
	if *pde&pteLarge != 0 {
		return true
	}
	f := m.TakeLarge()
	if f == 0 {
		return false
	}
	table := uintptr(*pde & pteAddr)
	*pde = 0 // a thread that comes by on another CPU waits for the lock
	loadCR3(readCR3())
	mach.smp.flushTLB()
	for i := uintptr(0); i < largeFrames; i++ {
		to := f + directMap + i*machPage
		if e := entryOf(table, i); e != 0 {
			memmove(unsafe.Pointer(to), unsafe.Pointer(uintptr(e&pteAddr)+directMap), machPage)
			m.freeFrame(uintptr(e & pteAddr))
		} else {
			zeroPage(to)
		}
	}
	*pde = uint64(f) | bits | pteLarge
	m.large++
	if table != 0 {
		m.freeFrame(table)
	}
	return true
}

// entryOf returns entry i of a page table, 0 if there is no table.
func entryOf(table, i uintptr) uint64 {
	if table == 0 {
		return 0
	}
	return load64(table + directMap + i*8)
}
