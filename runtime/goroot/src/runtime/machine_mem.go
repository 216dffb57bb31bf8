//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	"unsafe"
)

// Page frames, page tables and the areas of the lower half.

const (
	machPage      = 4096
	machLargePage = 2 << 20

	ptePresent = 1 << 0
	pteWrite   = 1 << 1
	pteNoCache = 1<<3 | 1<<4 // PWT, PCD
	pteLarge   = 1 << 7
	pteGlobal  = 1 << 8
	pteNX      = 1 << 63
	pteAddr    = 0x000ffffffffff000

	maxRegions = 64
	faultPages = 4 // how many pages one fault maps at most
)

// machMem is all memory. Frames come from the freed ones, then from the
// untouched part of the regions.
type machMem struct {
	region  [maxRegions]machRange // untouched RAM, physical
	nregion int
	at      int     // the region that frames are taken from
	freed   uintptr // list of free frames through their first word (direct map)
	free    uintptr // bytes free
	total   uintptr // bytes of RAM
	top     uintptr // end of the highest region
	root    uintptr // PML4 (direct map)
	area    *machArea
	narea   int
	areaCap int
	next    uintptr // where the search for a free range starts
	ioNext  uintptr
}

// machArea is a range of mapped virtual addresses of one protection, as a
// Linux VMA. The areas are sorted and do not overlap.
type machArea struct {
	_          sys.NotInHeap
	start, end uintptr
	prot       uintptr // PROT_ bits
}

func (m *machMem) areaAt(i int) *machArea {
	return (*machArea)(unsafe.Pointer(uintptr(unsafe.Pointer(m.area)) + uintptr(i)*unsafe.Sizeof(machArea{})))
}

// frame takes a page frame and returns its physical address, 0 if none is
// left. Its content is undefined.
func (m *machMem) frame() uintptr {
	if f := m.freed; f != 0 {
		m.freed = uintptr(load64(f))
		m.free -= machPage
		return f - directMap
	}
	for ; m.at < m.nregion; m.at++ {
		if r := &m.region[m.at]; r.end-r.start >= machPage {
			f := r.start
			r.start += machPage
			m.free -= machPage
			return f
		}
	}
	return 0
}

// zeroFrame takes a frame for the machine's own use and returns it in the
// direct map. Being out of memory is fatal here.
func (m *machMem) zeroFrame() uintptr {
	f := m.frame()
	if f == 0 {
		machOutOfMemory()
	}
	zeroPage(f + directMap)
	return f + directMap
}

// contiguous takes n bytes (whole pages) of physically contiguous, zeroed
// memory from the top of the regions and returns its physical address, or 0.
func (m *machMem) contiguous(n uintptr) uintptr {
	n = (n + machPage - 1) &^ (machPage - 1)
	for i := m.nregion - 1; i >= m.at && i >= 0; i-- {
		if r := &m.region[i]; r.end-r.start >= n {
			r.end -= n
			m.free -= n
			for p := r.end; p < r.end+n; p += machPage {
				zeroPage(p + directMap)
			}
			return r.end
		}
	}
	return 0
}

// contiguousLow is contiguous from the first region with room, for the time
// when only the lowest 4 GiB are mapped.
func (m *machMem) contiguousLow(n uintptr) uintptr {
	n = (n + machPage - 1) &^ (machPage - 1)
	for i := 0; i < m.nregion; i++ {
		if r := &m.region[i]; r.end-r.start >= n {
			r.start += n
			m.free -= n
			return r.start - n
		}
	}
	machOutOfMemory()
	return 0
}

func (m *machMem) freeFrame(phys uintptr) {
	store64(phys+directMap, uint64(m.freed))
	m.freed = phys + directMap
	m.free += machPage
}

// entry returns the page table entry of va for a 4 KiB page (or of the 2 MiB
// page that holds it), nil if its table is missing and alloc is false.
func (m *machMem) entry(va uintptr, alloc bool) *uint64 {
	table := m.root
	for shift := uint(39); ; shift -= 9 {
		e := (*uint64)(unsafe.Pointer(table + (va>>shift&511)*8))
		if shift == 12 || *e&pteLarge != 0 {
			return e
		}
		if *e&ptePresent == 0 {
			if !alloc {
				return nil
			}
			*e = uint64(m.zeroFrame()-directMap) | ptePresent | pteWrite
		}
		table = uintptr(*e&pteAddr) + directMap
	}
}

// physical returns the physical address of va, 0 if nothing is mapped there.
func (m *machMem) physical(va uintptr) uintptr {
	if va >= directMap && va < ioMap {
		return va - directMap
	}
	e := m.entry(va, false)
	if e == nil || *e&ptePresent == 0 {
		return 0
	}
	if *e&pteLarge != 0 {
		return uintptr(*e&pteAddr)&^(machLargePage-1) + va&(machLargePage-1)
	}
	return uintptr(*e&pteAddr) + va&(machPage-1)
}

func protBits(prot uintptr) uint64 {
	bits := uint64(ptePresent)
	if prot&_PROT_WRITE != 0 {
		bits |= pteWrite
	}
	if prot&_PROT_EXEC == 0 {
		bits |= pteNX
	}
	return bits
}

// mapRange maps [va, va+n) to phys, with 2 MiB pages where both are aligned.
func (m *machMem) mapRange(va, phys, n uintptr, bits uint64) {
	for end := va + n; va < end; {
		if va%machLargePage == 0 && phys%machLargePage == 0 && end-va >= machLargePage {
			*m.largeEntry(va) = uint64(phys) | bits | pteLarge
			va, phys = va+machLargePage, phys+machLargePage
			continue
		}
		e := uintptr(unsafe.Pointer(m.entry(va, true)))
		for { // to the end of this table
			store64(e, uint64(phys)|bits)
			va, phys, e = va+machPage, phys+machPage, e+8
			if va == end || va%machLargePage == 0 {
				break
			}
		}
	}
}

// largeEntry returns the page directory entry of va.
func (m *machMem) largeEntry(va uintptr) *uint64 {
	table := m.root
	for shift := uint(39); ; shift -= 9 {
		e := (*uint64)(unsafe.Pointer(table + (va>>shift&511)*8))
		if shift == 21 {
			return e
		}
		if *e&ptePresent == 0 {
			*e = uint64(m.zeroFrame()-directMap) | ptePresent | pteWrite
		}
		table = uintptr(*e&pteAddr) + directMap
	}
}

// mapIO maps device registers uncached and returns their virtual address.
func (m *machMem) mapIO(phys, n uintptr) uintptr {
	start := phys &^ (machPage - 1)
	n = (phys + n - start + machPage - 1) &^ (machPage - 1)
	if m.ioNext+n > ioMapEnd {
		return 0
	}
	va := m.ioNext
	m.ioNext += n
	for p := uintptr(0); p < n; p += machPage {
		*m.entry(va+p, true) = uint64(start+p) | ptePresent | pteWrite | pteNoCache | pteNX
	}
	return va + phys - start
}

// find returns the index of the first area that ends above va.
func (m *machMem) find(va uintptr) int {
	lo, hi := 0, m.narea
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); m.areaAt(mid).end <= va {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// insert places an area at index i, moving the others up.
func (m *machMem) insert(i int, a machRange, prot uintptr) {
	const size = unsafe.Sizeof(machArea{})
	if m.narea == m.areaCap {
		n := 2 * uintptr(m.areaCap) * size
		if n == 0 {
			n = machPage
		}
		p := m.contiguous(n)
		if p == 0 {
			machOutOfMemory()
		}
		memmove(unsafe.Pointer(p+directMap), unsafe.Pointer(m.area), uintptr(m.narea)*size)
		for old, end := uintptr(unsafe.Pointer(m.area)), uintptr(unsafe.Pointer(m.area))+uintptr(m.areaCap)*size; old != 0 && old+machPage <= end; old += machPage {
			m.freeFrame(old - directMap)
		}
		m.area = (*machArea)(unsafe.Pointer(p + directMap))
		m.areaCap = int(n / size)
	}
	base := uintptr(unsafe.Pointer(m.area))
	memmove(unsafe.Pointer(base+uintptr(i+1)*size), unsafe.Pointer(base+uintptr(i)*size), uintptr(m.narea-i)*size)
	m.narea++
	e := m.areaAt(i)
	e.start, e.end, e.prot = a.start, a.end, prot
}

func (m *machMem) remove(i int) {
	const size = unsafe.Sizeof(machArea{})
	base := uintptr(unsafe.Pointer(m.area))
	m.narea--
	memmove(unsafe.Pointer(base+uintptr(i)*size), unsafe.Pointer(base+uintptr(i+1)*size), uintptr(m.narea-i)*size)
}

// cut makes [start, end) free of areas, splitting those that reach into it.
func (m *machMem) cut(start, end uintptr) {
	for i := m.find(start); i < m.narea; {
		a := m.areaAt(i)
		if a.start >= end {
			return
		}
		switch {
		case a.start < start && a.end > end:
			oldEnd, prot := a.end, a.prot
			a.end = start
			m.insert(i+1, machRange{end, oldEnd}, prot)
			return
		case a.start < start:
			a.end = start
			i++
		case a.end > end:
			a.start = end
			return
		default:
			m.remove(i)
		}
	}
}

// add enters [start, end), which must be free, joining equal neighbours.
func (m *machMem) add(start, end, prot uintptr) {
	i := m.find(start)
	if i > 0 {
		if p := m.areaAt(i - 1); p.end == start && p.prot == prot {
			p.end = end
			if i < m.narea {
				if n := m.areaAt(i); n.start == end && n.prot == prot {
					p.end = n.end
					m.remove(i)
				}
			}
			return
		}
	}
	if i < m.narea {
		if n := m.areaAt(i); n.start == end && n.prot == prot {
			n.start = start
			return
		}
	}
	m.insert(i, machRange{start, end}, prot)
}

// forEachPage calls f for every 4 KiB entry in [start, end) that has a page,
// skipping empty tables, and flushes this CPU's TLB. It returns how many there
// were: others' TLBs are the caller's.
func (m *machMem) forEachPage(start, end uintptr, f func(m *machMem, va uintptr, e *uint64, arg uintptr), arg uintptr) (n int) {
	for va := start; va < end; {
		table := m.root
		shift := uint(39)
		for ; shift > 12; shift -= 9 {
			e := load64(table + (va>>shift&511)*8)
			if e&ptePresent == 0 || e&pteLarge != 0 {
				break
			}
			table = uintptr(e&pteAddr) + directMap
		}
		if shift > 12 { // nothing below this entry
			va = (va>>shift + 1) << shift
			continue
		}
		for ; va < end; va += machPage {
			e := (*uint64)(unsafe.Pointer(table + (va>>12&511)*8))
			if *e != 0 {
				f(m, va, e, arg)
				if n++; n <= 32 {
					invlpg(va)
				}
			}
			if va>>12&511 == 511 {
				va += machPage
				break
			}
		}
	}
	if n > 32 {
		loadCR3(readCR3())
	}
	return n
}

func releasePage(m *machMem, va uintptr, e *uint64, _ uintptr) {
	m.freeFrame(uintptr(*e & pteAddr))
	*e = 0
}

func protectPage(m *machMem, va uintptr, e *uint64, prot uintptr) {
	if prot == _PROT_NONE {
		// Keep the page but not the access: the frame stays in the entry.
		*e = *e&pteAddr | pteKept
		return
	}
	*e = *e&pteAddr | protBits(prot)
}

// pteKept marks an entry that is not present because of PROT_NONE but has a
// page.
const pteKept = 1 << 9

// pageFault serves a fault at va (error code as the CPU gives it) and tells
// whether the access may be tried again.
func (m *machMem) pageFault(va, code uintptr) bool {
	i := m.find(va)
	if i == m.narea || va >= userEnd {
		return false
	}
	a := m.areaAt(i)
	if va < a.start || a.prot == _PROT_NONE || code&2 != 0 && a.prot&_PROT_WRITE == 0 || code&16 != 0 && a.prot&_PROT_EXEC == 0 {
		return false
	}
	va &^= machPage - 1
	bits := protBits(a.prot)
	e := m.entry(va, true)
	if code&1 != 0 {
		// Present and allowed by the area: another CPU was faster, or a page
		// of the image, which is as it is.
		invlpg(va)
		return mach.smp.online > 1 && *e&^pteAddr&(ptePresent|pteWrite|pteNX) == bits
	}
	if *e&pteKept != 0 {
		*e = *e&pteAddr | bits
		return true
	}
	for n := 0; n < faultPages && va < a.end; n++ {
		if *e != 0 {
			break
		}
		f := m.frame()
		if f == 0 {
			if n == 0 {
				machOutOfMemory()
			}
			break
		}
		zeroPage(f + directMap)
		*e = uint64(f) | bits
		va += machPage
		if va>>12&511 == 0 {
			break // the next entry is in another table
		}
		e = (*uint64)(unsafe.Pointer(uintptr(unsafe.Pointer(e)) + 8))
	}
	return true
}

// gap finds n free bytes for a mapping without a fixed address.
func (m *machMem) gap(n uintptr) uintptr {
	for try := 0; try < 2; try++ {
		at := m.next
		for i := m.find(at); ; i++ {
			if i == m.narea || m.areaAt(i).start >= at+n {
				if at+n > userEnd-mainStackSize*2 {
					break
				}
				m.next = at + n
				return at
			}
			at = m.areaAt(i).end
		}
		m.next = mmapBase
	}
	return 0
}

// mmap is mmap(2) for anonymous private memory.
func (m *machMem) mmap(addr, n, prot, flags uintptr) uintptr {
	const noReplace = 0x100000 // MAP_FIXED_NOREPLACE
	if n == 0 || n > userEnd {
		return machErr(_EINVAL)
	}
	n = (n + machPage - 1) &^ (machPage - 1)
	fixed := flags&(_MAP_FIXED|noReplace) != 0
	if fixed && (addr%machPage != 0 || addr < 1<<16 || addr+n > userEnd) {
		return machErr(_EINVAL)
	}
	busy := false
	if i := m.find(addr); i < m.narea && m.areaAt(i).start < addr+n {
		busy = true
	}
	switch {
	case flags&noReplace != 0 && busy:
		return machErr(17) // EEXIST
	case fixed:
		if busy {
			m.munmap(addr, n)
		}
	case addr < 1<<16 || addr%machPage != 0 || busy || addr+n > userEnd || addr+n < addr:
		if addr = m.gap(n); addr == 0 {
			return machErr(_ENOMEM)
		}
	}
	m.add(addr, addr+n, prot&7)
	return addr
}

func (m *machMem) munmap(addr, n uintptr) uintptr {
	if addr%machPage != 0 || n == 0 || addr+n < addr || addr+n > userEnd {
		return machErr(_EINVAL)
	}
	n = (n + machPage - 1) &^ (machPage - 1)
	m.cut(addr, addr+n)
	m.releaseRange(addr, addr+n)
	return 0
}

// releaseRange gives back the pages of a range, present or kept.
func (m *machMem) releaseRange(start, end uintptr) {
	if mach.smp.online > 1 {
		// No CPU may write to a frame that is free.
		if m.forEachPage(start, end, protectPage, _PROT_NONE) > 0 {
			mach.smp.flushTLB()
		}
	}
	m.forEachPage(start, end, releasePage, 0)
}

func (m *machMem) mprotect(addr, n, prot uintptr) uintptr {
	n = (n + machPage - 1) &^ (machPage - 1)
	end := addr + n
	if addr%machPage != 0 || end < addr || end > userEnd {
		return machErr(_EINVAL)
	}
	for at := addr; at < end; { // every page must belong to an area
		i := m.find(at)
		if i == m.narea || m.areaAt(i).start > at {
			return machErr(_ENOMEM)
		}
		at = m.areaAt(i).end
	}
	m.cut(addr, end)
	m.add(addr, end, prot&7)
	if m.forEachPage(addr, end, protectPage, prot&7) > 0 {
		mach.smp.flushTLB()
	}
	return 0
}

func (m *machMem) madvise(addr, n, advice uintptr) uintptr {
	const collapse = 25 // MADV_COLLAPSE
	if addr%machPage != 0 || addr+n < addr || addr+n > userEnd {
		return machErr(_EINVAL)
	}
	switch advice {
	case _MADV_DONTNEED, _MADV_FREE:
		m.releaseRange(addr, addr+(n+machPage-1)&^(machPage-1))
	case collapse:
		return machErr(_EINVAL)
	}
	return 0
}

// machOutOfMemory ends the machine: there is no page left for an access that
// the program may make.
func machOutOfMemory() {
	conString("\nyolk: out of memory: all ")
	conDec(uint64(mach.mem.total >> 20))
	conString(" MiB of RAM are in use; give the VM more (yolk run -m SIZE)\n")
	machExit(137)
}

func machErr(errno uintptr) uintptr { return -errno }
