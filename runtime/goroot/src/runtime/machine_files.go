//go:build tamago

package runtime

import (
	"internal/runtime/sys"
	machine "internal/runtime/yolk"
	"internal/runtime/yolk/areas"
	"internal/runtime/yolk/mapped"
	"internal/runtime/yolk/mman"
	"unsafe"
)

// Mappings of files. The page cache of the kernel above owns the pages of a
// file; a machFile knows those that mappings may see. A mapping is an area
// with a file: its faults find the page here, and note the first store to it, so
// that the kernel knows what to write back. A page that is missing, below the end of
// the file, is read if the kernel has told where the device has it (machine.Run), else it
// is a hole, and a page of zeroes is made for it: what has another place, the kernel
// makes resident before it maps a range. Pages that can be read again are taken back
// when there is no other memory (machine_cache.go).

// machFile is what the mappings of one file have in common. It lies in a page
// of its own.
type machFile struct {
	_      sys.NotInHeap
	next   *machFile // of all
	table  uintptr   // the entry of each page of the file, by index; mapped on demand
	size   uintptr   // entries in table
	pages  uintptr   // of the file; beyond them is SIGBUS
	stores mapped.Stores
	reader *machReader // or nil
	runs   uintptr     // of machine.Run, in order
	nrun   uintptr
	hand   uintptr // where evictNew goes on
	held   bool    // in the midst of a change: no page may go
}

// Runs lie behind the machFile as long as they fit there.
const (
	runsAt     = 256
	runSize    = unsafe.Sizeof(machine.Run{})
	inlineRuns = (machPage - runsAt) / runSize
)

// place returns where the device has page index: its sector, and how many pages lie
// there from it on; 0, 0 if that is not known.
func (f *machFile) place(index uintptr) (sector, n uintptr) {
	return mapped.Runs(unsafe.Slice((*machine.Run)(unsafe.Pointer(f.runs)), f.nrun)).Place(index)
}

// placed reports whether page index can be read.
func (f *machFile) placed(index uintptr) bool {
	_, n := f.place(index)
	return n != 0
}

// setRuns replaces the runs by the n at from.
func (m *machMem) setRuns(f *machFile, from, n uintptr) bool {
	old, oldSize := f.runs, f.nrun*runSize
	to := uintptr(unsafe.Pointer(f)) + runsAt
	if n > inlineRuns {
		if to = m.mmap(0, n*runSize, _PROT_READ|_PROT_WRITE, _MAP_ANON|_MAP_PRIVATE); machFailed(to) {
			return false
		}
	}
	memmove(unsafe.Pointer(to), unsafe.Pointer(from), n*runSize)
	f.runs, f.nrun = to, n
	if oldSize > inlineRuns*runSize {
		m.munmap(old, oldSize)
	}
	return true
}

// Bits of the entries in a file's table.
const (
	fileResident  = mapped.Resident
	fileDirty     = mapped.Dirty
	fileNew       = mapped.New
	fileReading   = mapped.Reading
	fileCollected = mapped.Collected
)

const (
	// pteFile marks an entry whose page is a file's.
	pteFile = 1 << 10

	busAdrErr = 2 // BUS_ADRERR of siginfo(2)
)

// minFileTable is how many pages a table has room for at first: 4 GiB of file.
const minFileTable = 1 << 20

// newFile makes a machFile whose pages a reader can read, or none; 0 if there is no
// memory.
func (m *machMem) newFile(r *machReader) uintptr {
	p := m.contiguous(machPage)
	if p == 0 {
		return 0
	}
	f := (*machFile)(unsafe.Pointer(p + directMap))
	f.reader = r
	f.next = mach.cache.files
	mach.cache.files = f
	return p + directMap
}

// dropFile frees a machFile that no area names, and pages that the kernel has
// not taken.
func (m *machMem) dropFile(f *machFile) {
	m.cutFile(f, 0)
	m.setRuns(f, 0, 0)
	if f.reader != nil {
		f.reader.forget(f)
	}
	if mach.cache.file == f {
		mach.cache.file = f.next
	}
	for p := &mach.cache.files; *p != nil; p = &(*p).next {
		if *p == f {
			*p = f.next
			break
		}
	}
	if f.table != 0 {
		m.munmap(f.table, f.size*8)
	}
	m.freeFrame(uintptr(unsafe.Pointer(f)) - directMap)
}

// page returns the entry of a page, nil if the table does not reach so far.
func (f *machFile) page(index uintptr) *uintptr {
	if index >= f.size {
		return nil
	}
	return (*uintptr)(unsafe.Pointer(f.table + index*8))
}

// resident is page where the machine half must not fault: it makes the part of the
// table resident. nil if the table does not reach so far.
func (m *machMem) resident(f *machFile, index uintptr) *uintptr {
	if index >= f.size {
		return nil
	}
	if e := m.entry(f.table+index*8, true); *e&ptePresent == 0 {
		*e = uint64(m.zeroFrame()-directMap) | protBits(_PROT_READ|_PROT_WRITE)
	}
	return f.page(index)
}

// present is page for an entry that may never have been used: nil then.
func (m *machMem) present(f *machFile, index uintptr) *uintptr {
	if index >= f.size {
		return nil
	}
	if e := m.entry(f.table+index*8, false); e == nil || *e&ptePresent == 0 {
		return nil
	}
	return f.page(index)
}

// reach makes the table large enough for n pages.
func (m *machMem) reach(f *machFile, n uintptr) bool {
	if n <= f.size {
		return true
	}
	n = max(2*n, minFileTable)
	table := m.mmap(0, n*8, _PROT_READ|_PROT_WRITE, _MAP_ANON|_MAP_PRIVATE)
	if machFailed(table) {
		return false
	}
	for at := uintptr(0); at < f.size*8; at += machPage {
		if e := m.entry(f.table+at, false); e != nil && *e&ptePresent != 0 {
			memmove(unsafe.Pointer(table+at), unsafe.Pointer(f.table+at), machPage)
		}
	}
	if f.table != 0 {
		m.munmap(f.table, f.size*8)
	}
	f.table, f.size = table, n
	return true
}

// mapFile maps n bytes of a file from page first on, as mmap(2) does.
func (m *machMem) mapFile(f *machFile, addr, n, first, prot, flags uintptr) uintptr {
	size, errno := mman.Map(addr, n, flags)
	if errno == 0 {
		errno = mman.File(first*machPage, size)
	}
	if errno != 0 {
		return machErr(errno)
	}
	if !m.reach(f, first+size/machPage) {
		return machErr(_ENOMEM)
	}
	addr, n = m.place(addr, n, prot, flags)
	if machFailed(addr) {
		return addr
	}
	prot = prot&7 | areaFile
	if flags&_MAP_PRIVATE != 0 {
		prot |= areaPrivate
	}
	m.add(areas.Area{Start: addr, End: addr + n, Prot: prot, File: uintptr(unsafe.Pointer(f)), First: first})
	return addr
}

// fileFault serves a fault at va in an area of a file; false is SIGBUS. The
// area allows the access.
func (m *machMem) fileFault(a *areas.Area, va, code uintptr) bool {
	f, prot := (*machFile)(unsafe.Pointer(a.File)), a.Prot
	index := a.First + (va-a.Start)/machPage
	p := m.resident(f, index)
	t := thisCPU().cur
	if t.lostPage != va {
		t.lostPage, t.alone = 0, false
	}
	if p == nil || index >= f.pages || t.lostPage == va && !t.alone {
		t.lostPage = 0
		return false
	}
	store := code&areas.Store != 0
	e := m.entry(va, true)
	if *e&ptePresent != 0 && (!store || *e&pteWrite != 0) {
		invlpg(va) // another CPU was faster
		return true
	}
	if *e&ptePresent != 0 && *e&pteFile == 0 { // a copy, protected and not any more
		*e |= pteWrite
		invlpg(va)
		return true
	}
	if *e&pteKept != 0 {
		*e = *e&pteAddr | protBits(prot)
		return true
	}
	switch {
	case *p&fileReading != 0, *p == 0 && f.placed(index):
		return m.waitPage(f, index, index+(a.End-va)/machPage, p)
	case *p == 0 && !m.fillHole(p):
		machOutOfMemory()
	}
	phys := *p & pteAddr
	switch {
	case prot&areaPrivate != 0 && store:
		return m.copyPage(va, e, p, protBits(prot))
	case prot&areaPrivate != 0:
		*e = uint64(phys) | protBits(prot)&^pteWrite | pteFile
	case store:
		if *p&fileDirty == 0 && !mach.cache.mayStore() {
			return true // later
		}
		*p |= fileDirty
		f.stores.Add(index)
		*e = uint64(phys) | protBits(prot) | pteFile
	default:
		*e = uint64(phys) | protBits(prot)&^pteWrite | pteFile
	}
	invlpg(va)
	return true
}

// beyondFile tells whether a fault that cannot be served is an access, allowed
// otherwise, to a mapping behind the end of its file.
func (m *machMem) beyondFile(va, code uintptr) bool {
	a := m.areas().At(va)
	return a != nil && a.File != 0 && a.Allows(code)
}

// fillHole gives a page of zeroes to an entry.
func (m *machMem) fillHole(p *uintptr) bool {
	phys := m.frame()
	if phys == 0 {
		return false
	}
	zeroPage(phys + directMap)
	*p = phys | fileResident | fileNew
	mach.cache.pages++
	return true
}

// copyPage gives the mapping at va a page of its own with the content of the page
// whose entry is p.
func (m *machMem) copyPage(va uintptr, e *uint64, p *uintptr, bits uint64) bool {
	phys := m.frame()
	if phys == 0 {
		machOutOfMemory()
	}
	if *p == 0 { // that frame was it: the next fault has it read again
		m.freeFrame(phys)
		return true
	}
	memmove(unsafe.Pointer(phys+directMap), unsafe.Pointer(*p&pteAddr+directMap), machPage)
	seen := *e&ptePresent != 0
	*e = uint64(phys) | bits
	invlpg(va)
	if seen && mach.smp.online > 1 {
		mach.smp.flushTLB() // others may still read the file's page
	}
	return true
}

// forEachMapping calls fn for the page table entries of a file's pages in [first,
// end), in all its mappings; its argument is the address that page first would
// have. It returns how many there were: others' TLBs are the caller's.
func (m *machMem) forEachMapping(f *machFile, first, end uintptr, fn pageFunc) (n int) {
	list := m.areas()
	for i := range list {
		a := &list[i]
		if a.File != uintptr(unsafe.Pointer(f)) {
			continue
		}
		if start, stop := a.Shows(first, end); start < stop {
			n += m.forEachPage(start, stop, fn, a.Start+(first-a.First)*machPage)
		}
	}
	return n
}

// changeMappings is forEachMapping, and makes the change seen on all CPUs.
func (m *machMem) changeMappings(f *machFile, first, end uintptr, fn pageFunc) {
	if m.forEachMapping(f, first, end, fn) > 0 && mach.smp.online > 1 {
		mach.smp.flushTLB()
	}
}

func unmapFilePage(m *machMem, va uintptr, e *uint64, _ uintptr) {
	if *e&pteFile != 0 {
		*e = 0
	}
}

func cleanFilePage(m *machMem, va uintptr, e *uint64, _ uintptr) {
	if *e&pteFile != 0 {
		*e &^= pteWrite
	}
}

// fileInstall enters a page of the cache, page aligned in the direct map; 0. If there
// is one, it stays, becomes the caller's, and is returned: its address in the direct
// map with the bits of its entry.
func (m *machMem) fileInstall(f *machFile, index, page uintptr) uintptr {
	p := f.page(index)
	if p == nil {
		return 0
	}
	if *p != 0 && *p&fileReading == 0 {
		had := *p
		*p &^= fileNew // the caller takes it
		return had&^pteMask + directMap | had&pteMask
	}
	if page != 0 {
		*p = page - directMap | fileResident
	}
	return 0
}

const pteMask = machPage - 1

// fileDrop takes the pages in [first, end) from all mappings; those that the
// kernel did not know are freed. Copies of private mappings stay.
func (m *machMem) fileDrop(f *machFile, first, end uintptr) {
	m.changeMappings(f, first, end, unmapFilePage)
	end = min(end, f.size)
	for i := first; i < end; i = nextPart(i) {
		part := m.part(f, i, end)
		for k, e := range part {
			if e&fileNew != 0 {
				m.freeFrame(e & pteAddr)
				mach.cache.pages--
			}
			if e&fileDirty != 0 {
				mach.cache.stores.pages--
			}
			part[k] = 0
		}
	}
}

// cutFile sets the size of the file in pages.
func (m *machMem) cutFile(f *machFile, pages uintptr) {
	if pages < f.pages {
		m.fileDrop(f, pages, f.size)
	}
	f.pages = pages
}

// fileCollect stores indexes and pages (as fileInstall returns them) of up to n
// pages in [first, end) that were stored to since the last time at out, each a
// machine.Stored, and returns how many. What it returns is clean and write-protected then, and
// cannot be evicted before endCollect. all means those too that are new.
func (m *machMem) fileCollect(f *machFile, first, end, out, n uintptr, all bool) uintptr {
	m.endCollect(f)
	found := unsafe.Slice((*machine.Stored)(unsafe.Pointer(out)), n)
	var c mapped.Collection
	c.Begin(&f.stores, mapped.Span{Start: first, End: end}, f.size, all, directMap)
	for i := c.Range.Start; i < c.Range.End && c.N < len(found); {
		part := m.part(f, i, c.Range.End)
		c.Part(i, part, found)
		i = nextPart(i)
	}
	mach.cache.stores.pages -= c.Dirty
	r := c.Finish(&f.stores, len(found))
	if c.N > 0 {
		m.changeMappings(f, r.Start, r.End, cleanFilePage)
	}
	return uintptr(c.N)
}

// endCollect says that the kernel keeps what the last fileCollect has returned.
func (m *machMem) endCollect(f *machFile) {
	r := f.stores.Collected()
	for i := r.Start; i < r.End; i = nextPart(i) {
		mapped.Release(m.part(f, i, r.End))
	}
}

// part returns the entries of the file's table from index i on, before end, that lie in
// the same page as i's; none if that page was never used.
func (m *machMem) part(f *machFile, i, end uintptr) []uintptr {
	p := m.present(f, i)
	if p == nil {
		return nil
	}
	return unsafe.Slice(p, min(end, nextPart(i))-i)
}

// nextPart returns the first index whose entry lies in another page than i's.
func nextPart(i uintptr) uintptr { return (i/mapped.PerTable + 1) * mapped.PerTable }

// machineFileCall serves the calls about the page cache and mappings of files, of which
// most are about one file.
func machineFileCall(call machine.Call, a1, a2, a3, a4, a5, a6 uintptr) uintptr {
	m := &mach.mem
	switch call {
	case machine.CallSetChunks:
		mach.cache.table, mach.cache.size = a1, a2
		return 0
	case machine.CallReclaim:
		return mach.cache.reclaimMost(a1)
	case machine.CallNoticeStores:
		mach.cache.stores.limits = *(*machine.StoreLimits)(unsafe.Pointer(a1))
		return 0
	case machine.CallStores:
		return mach.cache.stores.pages
	case machine.CallIsMapped:
		if area := m.areas().At(a1); area != nil && area.File != 0 {
			return 1
		}
		return 0
	case machine.CallNewFile:
		return m.newFile((*machReader)(unsafe.Pointer(a1)))
	case machine.CallFreeFile:
		m.dropFile((*machFile)(unsafe.Pointer(a1)))
		return 0
	case machine.CallMapFile, machine.CallShowPage, machine.CallDropPages, machine.CallSetFilePages,
		machine.CallReachFile, machine.CallCollectPages, machine.CallEndCollect, machine.CallSetRuns:
		f := (*machFile)(unsafe.Pointer(a1))
		f.held = true
		r := f.serve(call, a2, a3, a4, a5, a6)
		f.held = false
		return r
	}
	return machErr(_ENOSYS)
}

// serve makes a call about one file. What it touches may have to be made resident,
// and that may evict pages, but of other files only.
func (f *machFile) serve(call machine.Call, a2, a3, a4, a5, a6 uintptr) uintptr {
	m := &mach.mem
	switch call {
	case machine.CallMapFile:
		return m.mapFile(f, a2, a3, a4, a5, a6)
	case machine.CallShowPage:
		return m.fileInstall(f, a2, a3)
	case machine.CallDropPages:
		m.fileDrop(f, a2, a3)
	case machine.CallSetFilePages:
		m.cutFile(f, a2)
	case machine.CallCollectPages:
		return m.fileCollect(f, a2, a3, a4, a5, a6 != 0)
	case machine.CallReachFile:
		if a2 <= f.size {
			return 0
		}
		if !m.reach(f, a2) {
			return machErr(_ENOMEM)
		}
		return 1 // it reaches farther now
	case machine.CallEndCollect:
		m.endCollect(f)
	case machine.CallSetRuns:
		if !m.setRuns(f, a2, a3) {
			return machErr(_ENOMEM)
		}
	}
	return 0
}
