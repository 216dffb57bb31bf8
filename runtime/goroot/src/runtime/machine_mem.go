//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	"internal/runtime/yolk/areas"
	"internal/runtime/yolk/frames"
	"internal/runtime/yolk/mman"
	"unsafe"
)

// Page tables and the areas of the lower half.

const (
	machPage      = frames.Page
	machLargePage = frames.Large

	ptePresent = 1 << 0
	pteWrite   = 1 << 1
	pteNoCache = 1<<3 | 1<<4 // PWT, PCD
	pteLarge   = 1 << 7
	pteGlobal  = 1 << 8
	pteNX      = 1 << 63
	pteAddr    = 0x000ffffffffff000
	pteBoot    = 1 << 11 // mapped at boot, or at its physical address: the frame is not freed with the mapping
	pteFrame   = pteAddr | pteBoot | pteNoCache

	faultPages = 4 // how many pages one fault maps at most
)

// machMem is all memory.
type machMem struct {
	machFrames
	root    uintptr   // PML4 (direct map)
	area    *machArea // this and the next two lie as a slice's header does
	narea   int
	areaCap int
	window  mman.Window // where mappings without a fixed address go
	stack   uintptr     // the end of the first thread's stack
	ioNext  uintptr     // what is free of the window for registers
	ioEnd   uintptr
	large   int  // 2 MiB pages of the program
	strict  bool // nothing becomes executable (yolk.wx=strict)
}

// machArea is an area in memory of the machine's own.
type machArea struct {
	_ sys.NotInHeap
	areas.Area
}

const areaSize = unsafe.Sizeof(machArea{})

// Bits of Area.Prot beside those of mmap(2).
const (
	areaLarge   = 1 << 8 // the program asked for 2 MiB pages (MADV_HUGEPAGE)
	areaFile    = 1 << 9
	areaPrivate = 1 << 10 // MAP_PRIVATE: stores go to a copy
	areaImage   = 1 << 11 // of the image, or at its physical address: what a page had cannot be had again
)

// areas returns the list of areas; what changes it gives the result to keep. (The fields
// are a slice in all but the type: storing one needs a write barrier.)
func (m *machMem) areas() areas.List { return *(*areas.List)(unsafe.Pointer(&m.area)) }

// room is areas with place for n more.
func (m *machMem) room(n int) areas.List {
	if m.narea+n > m.areaCap {
		m.growAreas()
	}
	return m.areas()
}

func (m *machMem) keep(l areas.List) { m.narea = len(l) }

// growAreas moves the areas to twice as much memory.
func (m *machMem) growAreas() {
	old, oldSize := uintptr(unsafe.Pointer(m.area)), uintptr(m.areaCap)*areaSize
	n := max(2*oldSize, machPage)
	p := m.contiguous(n)
	if p == 0 {
		machOutOfMemory()
	}
	memmove(unsafe.Pointer(p+directMap), unsafe.Pointer(old), uintptr(m.narea)*areaSize)
	for at := old; at+machPage <= old+oldSize; at += machPage {
		m.freeFrame(at - directMap)
	}
	m.area = (*machArea)(unsafe.Pointer(p + directMap))
	m.areaCap = int(n / areaSize)
}

// add enters an area where nothing is mapped.
func (m *machMem) add(a areas.Area) { m.keep(m.room(areas.AddRoom).Add(a)) }

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
	if phys := va - directMap; phys < m.top {
		return phys
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

// Bits of the machine half's own mappings: registers, its stacks, memory of the firmware.
const (
	ioBits    = ptePresent | pteWrite | pteNoCache | pteNX
	stackBits = ptePresent | pteWrite | pteNX
	romBits   = ptePresent | pteNX
)

// mapIO maps physical memory that is no RAM and returns its virtual address, 0 if there
// is no room.
func (m *machMem) mapIO(phys, n uintptr, bits uint64) uintptr {
	start := phys &^ (machPage - 1)
	if room := m.ioEnd - m.ioNext; n > room || phys-start > room-n {
		return 0
	}
	n = (phys + n - start + machPage - 1) &^ (machPage - 1)
	va := m.ioNext
	m.ioNext += n
	m.mapRange(va, start, n, bits)
	return va + phys - start
}

// view returns where n bytes at a physical address are seen: RAM, or the firmware's memory
// below 4 GiB, which is mapped for that, read-only; 0 elsewhere.
func (m *machMem) view(phys, n uintptr) uintptr {
	switch {
	case m.isRAM(phys, n):
		return directMap + phys
	case phys >= 4<<30 || n > 4<<30-phys:
		return 0
	}
	return m.mapIO(phys, n, romBits)
}

// isRAM tells whether the direct map shows n bytes at phys. It may be asked outside of
// the machine half: entries of the direct map are there for good.
func (m *machMem) isRAM(phys, n uintptr) bool {
	if phys >= m.top || n > m.top-phys {
		return false
	}
	for at := phys &^ (machPage - 1); at < phys+n; {
		e := m.entry(directMap+at, false)
		if e == nil || *e&ptePresent == 0 {
			return false
		}
		at += machPage
		if *e&pteLarge != 0 {
			at = (at + machLargePage - 1) &^ (machLargePage - 1)
		}
	}
	return true
}

// mapStack maps a stack of the machine's own a second time, with nothing below
// it, and returns its top.
func (m *machMem) mapStack(phys, n uintptr) uintptr {
	m.ioNext += machPage
	va := m.ioNext
	m.ioNext += n
	m.mapRange(va, phys, n, stackBits)
	return va + n
}

// mmap is mmap(2) for anonymous memory.
func (m *machMem) mmap(addr, n, prot, flags uintptr) uintptr {
	addr, n = m.place(addr, n, prot, flags)
	if !machFailed(addr) {
		m.add(areas.Area{Start: addr, End: addr + n, Prot: prot & areas.Access})
	}
	return addr
}

// place makes address space for n bytes free as mmap(2) chooses it, and returns it and
// its size in whole pages. A strict machine maps nothing that can be executed: EACCES, as
// mmap(2) answers under SELinux without execmem, and with PR_SET_MDWE (prctl(2)).
func (m *machMem) place(addr, n, prot, flags uintptr) (at, size uintptr) {
	size, errno := mman.Map(addr, n, flags)
	if errno == 0 && m.strict && prot&_PROT_EXEC != 0 {
		errno = mman.EACCES
	}
	if errno != 0 {
		return machErr(errno), 0
	}
	at, replaces, errno := m.window.Place(m.areas(), addr, size, flags)
	if errno != 0 {
		return machErr(errno), 0
	}
	if replaces {
		m.munmap(at, size)
	}
	return at, size
}

func (m *machMem) munmap(addr, n uintptr) uintptr {
	end, errno := mman.Unmap(addr, n)
	if errno != 0 {
		return machErr(errno)
	}
	m.keep(m.room(areas.CutRoom).Cut(addr, end))
	m.releaseRange(addr, end)
	m.window.Freed(addr)
	return 0
}

func (m *machMem) mprotect(addr, n, prot uintptr) uintptr {
	end, errno := mman.Protect(addr, n, prot)
	if errno != 0 {
		return machErr(errno)
	}
	if !m.areas().Covers(addr, end) {
		return machErr(_ENOMEM)
	}
	if m.strict && mman.Gains(m.areas(), addr, end, prot) {
		return machErr(mman.EACCES)
	}
	m.protect(addr, end, areas.Access, prot&areas.Access)
	if m.forEachPage(addr, end, protectPage, prot&areas.Access) > 0 {
		mach.smp.flushTLB()
	}
	return 0
}

// protect replaces bits of the areas in a range.
func (m *machMem) protect(start, end, clear, set uintptr) {
	m.keep(m.room(areas.ProtectRoom).Protect(start, end, clear, set))
}

// madvise is madvise(2). As there, advice is taken for what is mapped of a range, and
// what is not is reported then.
func (m *machMem) madvise(addr, n, advice uintptr) uintptr {
	end, errno := mman.Range(addr, n)
	if errno == 0 {
		errno = mman.Advice(uint32(advice))
	}
	if errno != 0 {
		return machErr(errno)
	}
	all := m.areas().Covers(addr, end)
	end = min(end, mman.End)
	switch uint32(advice) {
	case mman.DontNeed, mman.Free, mman.DontNeedLocked:
		if m.areas().Has(addr, end, areaImage, areaImage) {
			return machErr(_EINVAL) // as for pages that are locked
		}
		m.releaseRange(addr, end)
	case mman.HugePage:
		m.protect(addr, end, areaLarge, areaLarge)
	case mman.NoHugePage:
		m.protect(addr, end, areaLarge, 0)
	case mman.Collapse:
		return m.collapse(addr, end)
	}
	if !all {
		return machErr(_ENOMEM)
	}
	return 0
}

// mincore is mincore(2): a byte for each page, 1 if it has a frame. What a mapping shows
// of a file counts once it was used.
func (m *machMem) mincore(addr, n, vec uintptr) uintptr {
	end, errno := mman.Core(addr, n)
	if errno != 0 {
		return machErr(errno)
	}
	for addr < end {
		a := m.areas().At(addr)
		if a == nil {
			return machErr(_ENOMEM)
		}
		for to := min(a.End, end); addr < to; addr, vec = addr+machPage, vec+1 {
			in := byte(0)
			if e := m.entry(addr, false); e != nil && *e&pteAddr != 0 {
				in = 1
			}
			*(*byte)(unsafe.Pointer(vec)) = in
		}
	}
	return 0
}

// machErr is the result of a system call that fails, machFailed tells one from others.
func machErr(errno uintptr) uintptr { return -errno }
func machFailed(r uintptr) bool     { return r >= machErr(maxErrno) }

const maxErrno = 4095
