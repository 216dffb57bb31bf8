//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	"unsafe"
)

// Page tables and the areas of the lower half.

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

// machMem is all memory.
type machMem struct {
	machFrames
	root    uintptr // PML4 (direct map)
	area    *machArea
	narea   int
	areaCap int
	base    uintptr // the lowest address of mappings
	next    uintptr // where the search for a free range starts
	stack   uintptr // the end of the first thread's stack
	ioNext  uintptr
	large   int // 2 MiB pages of the program
}

// machArea is a range of mapped virtual addresses of one protection, as a
// Linux VMA. The areas are sorted and do not overlap.
type machArea struct {
	_          sys.NotInHeap
	start, end uintptr
	prot       uintptr   // PROT_ bits, areaLarge, areaFile, areaPrivate
	file       *machFile // of areaFile
	first      uintptr   // which of the file's pages is at start
}

// moveStart makes the area begin later.
func (a *machArea) moveStart(to uintptr) {
	a.first += (to - a.start) / machPage
	a.start = to
}

// areaLarge: the program asked for 2 MiB pages (MADV_HUGEPAGE).
const areaLarge = 1 << 8

func (m *machMem) areaAt(i int) *machArea {
	return (*machArea)(unsafe.Pointer(uintptr(unsafe.Pointer(m.area)) + uintptr(i)*unsafe.Sizeof(machArea{})))
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

// mapStack maps a stack of the machine's own a second time, with nothing below
// it, and returns its top.
func (m *machMem) mapStack(phys, n uintptr) uintptr {
	m.ioNext += machPage
	va := m.ioNext
	m.ioNext += n
	for p := uintptr(0); p < n; p += machPage {
		*m.entry(va+p, true) = uint64(phys+p) | ptePresent | pteWrite | pteNX
	}
	return va + n
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
	e.file, e.first = nil, 0
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
			oldStart, oldEnd, prot, file, first := a.start, a.end, a.prot, a.file, a.first
			a.end = start
			m.insert(i+1, machRange{oldStart, oldEnd}, prot)
			rest := m.areaAt(i + 1)
			rest.file, rest.first = file, first
			rest.moveStart(end)
			return
		case a.start < start:
			a.end = start
			i++
		case a.end > end:
			a.moveStart(end)
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
		if p := m.areaAt(i - 1); p.end == start && p.prot == prot && p.file == nil {
			p.end = end
			if i < m.narea {
				if n := m.areaAt(i); n.start == end && n.prot == prot && n.file == nil {
					p.end = n.end
					m.remove(i)
				}
			}
			return
		}
	}
	if i < m.narea {
		if n := m.areaAt(i); n.start == end && n.prot == prot && n.file == nil {
			n.start = start
			return
		}
	}
	m.insert(i, machRange{start, end}, prot)
}

// gap finds n free bytes for a mapping without a fixed address.
func (m *machMem) gap(n uintptr) uintptr {
	for try := 0; try < 2; try++ {
		at := m.next
		for i := m.find(at); ; i++ {
			if i == m.narea || m.areaAt(i).start >= at+n {
				if at+n > m.stack-mainStackSize*2 {
					break
				}
				m.next = at + n
				return at
			}
			at = m.areaAt(i).end
		}
		m.next = m.base
	}
	return 0
}

// mmap is mmap(2) for anonymous private memory.
func (m *machMem) mmap(addr, n, prot, flags uintptr) uintptr {
	if n > userEnd {
		return machErr(_ENOMEM)
	}
	n = (n + machPage - 1) &^ (machPage - 1)
	if addr = m.place(addr, n, flags); addr <= machErr(4096) {
		m.add(addr, addr+n, prot&7)
	}
	return addr
}

// place makes n bytes of address space free as mmap(2) chooses it.
func (m *machMem) place(addr, n, flags uintptr) uintptr {
	const noReplace = 0x100000 // MAP_FIXED_NOREPLACE
	if n == 0 {
		return machErr(_EINVAL)
	}
	if n > userEnd {
		return machErr(_ENOMEM)
	}
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
	return addr
}

func (m *machMem) munmap(addr, n uintptr) uintptr {
	if addr%machPage != 0 || n == 0 || addr+n < addr || addr+n > userEnd {
		return machErr(_EINVAL)
	}
	n = (n + machPage - 1) &^ (machPage - 1)
	m.cut(addr, addr+n)
	m.releaseRange(addr, addr+n)
	if addr >= m.base {
		// Page tables stay: use these again before more are needed.
		m.next = min(m.next, addr)
	}
	return 0
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
	m.setProt(addr, end, prot&7)
	if m.forEachPage(addr, end, protectPage, prot&7) > 0 {
		mach.smp.flushTLB()
	}
	return 0
}

// setProt changes the areas in a range; what is a file's stays so.
func (m *machMem) setProt(start, end, prot uintptr) {
	for at := start; at < end; {
		a := m.areaAt(m.find(at))
		to := min(a.end, end)
		file, first := a.file, a.first+(at-a.start)/machPage
		if file == nil {
			m.cut(at, to)
			m.add(at, to, prot)
		} else {
			kind := a.prot & (areaFile | areaPrivate)
			m.cut(at, to)
			m.addFile(at, to, prot|kind, file, first)
		}
		at = to
	}
}

func (m *machMem) madvise(addr, n, advice uintptr) uintptr {
	const collapse = 25 // MADV_COLLAPSE
	if addr%machPage != 0 || addr+n < addr || addr+n > userEnd {
		return machErr(_EINVAL)
	}
	end := addr + (n+machPage-1)&^(machPage-1)
	switch advice {
	case _MADV_DONTNEED, _MADV_FREE:
		m.releaseRange(addr, end)
	case _MADV_HUGEPAGE:
		m.setLarge(addr, end, areaLarge)
	case _MADV_NOHUGEPAGE:
		m.setLarge(addr, end, 0)
	case collapse:
		return m.collapse(addr, end)
	}
	return 0
}

// mincore is mincore(2): a byte for each page, 1 if it has a frame. What a mapping shows
// of a file counts once it was used.
func (m *machMem) mincore(addr, n, vec uintptr) uintptr {
	if addr%machPage != 0 || addr+n < addr || addr+n > userEnd {
		return machErr(_EINVAL)
	}
	for end := addr + (n+machPage-1)&^(machPage-1); addr < end; {
		i := m.find(addr)
		if i == m.narea || m.areaAt(i).start > addr {
			return machErr(_ENOMEM)
		}
		for to := min(m.areaAt(i).end, end); addr < to; addr, vec = addr+machPage, vec+1 {
			in := byte(0)
			if e := m.entry(addr, false); e != nil && *e&pteAddr != 0 {
				in = 1
			}
			*(*byte)(unsafe.Pointer(vec)) = in
		}
	}
	return 0
}

func machErr(errno uintptr) uintptr { return -errno }
