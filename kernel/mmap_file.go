package kernel

import "syscall"

// Mappings of disks' files: the calls of mmap.go for them. They are in images that
// can have disks.

// mapCalls are what the system calls do for mappings that show a file's pages.
type mapCalls struct {
	mmap   func(k *Kernel, d *Description, m Mapper, a *Args, size uintptr, off int64) (uintptr, syscall.Errno)
	detach func(k *Kernel, addr, size uintptr) []fileMapping
	ended  func(k *Kernel, gone []fileMapping, e syscall.Errno)
	msync  func(k *Kernel, addr, size uintptr, wait bool) syscall.Errno
	mremap func(k *Kernel, a *Args) (uintptr, syscall.Errno)
	sealed func(k *Kernel, addr, size uintptr) bool
}

// EnableMappers makes mmap(2) of a Mapper show its pages. A file system that has
// such files calls it when it is mounted.
func (k *Kernel) EnableMappers() {
	k.mapCalls = &mapCalls{
		mmap:   (*Kernel).mapPages,
		detach: func(k *Kernel, addr, size uintptr) []fileMapping { return k.maps.detach(addr, size) },
		ended:  func(k *Kernel, gone []fileMapping, e syscall.Errno) { k.maps.ended(gone, e) },
		msync:  (*Kernel).syncMapped,
		mremap: (*Kernel).remapPages,
		sealed: func(k *Kernel, addr, size uintptr) bool { return k.maps.sealed(addr, size) },
	}
}

// Mapper is a File of which the machine can show the pages.
type Mapper interface {
	// Map is mmap(2) of the file: n is a multiple of the page size, off too.
	Map(addr, n uintptr, off int64, prot, flags uintptr) (uintptr, syscall.Errno)
	// Retain counts one more mapping, part of one that was split.
	Retain()
	// Unmap uncounts a mapping, whose addresses are unmapped already.
	Unmap()
}

// mapPages maps part of a disk's file.
func (k *Kernel) mapPages(d *Description, m Mapper, a *Args, size uintptr, off int64) (uintptr, syscall.Errno) {
	size = (size + pageSize - 1) &^ (pageSize - 1)
	flags := a.N[3]
	addr, e := k.replacing(a, func() (uintptr, syscall.Errno) { return m.Map(a.N[0], size, off, a.N[2], flags) })
	if e != 0 {
		return 0, e
	}
	d.IncRef()
	k.maps.add(fileMapping{addr: addr, size: size, desc: d, off: off, shows: m, flags: flags})
	return addr, 0
}

// detach takes the range off the list of mappings that show pages, before their
// addresses are unmapped: another mapping may have them the moment they are. What it
// returns still counts as mapped, for the machine shows it until then; ended ends it.
func (t *mapTable) detach(addr, size uintptr) (gone []fileMapping) {
	size = (size + pageSize - 1) &^ (pageSize - 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	var rest []fileMapping
	keep := t.list[:0]
	for _, m := range t.list {
		if !m.showsIn(addr, size) {
			keep = append(keep, m)
			continue
		}
		cut := m.part(addr, addr+size)
		gone = append(gone, cut)
		for _, r := range [2]fileMapping{m.part(m.addr, cut.addr), m.part(cut.addr+cut.size, m.addr+m.size)} {
			if r.size > 0 {
				r.shows.Retain()
				r.desc.IncRef()
				rest = append(rest, r)
			}
		}
	}
	clear(t.list[len(keep):])
	t.list = append(keep, rest...)
	return gone
}

// part returns the part of m that lies in a range; its size may be 0.
func (m fileMapping) part(start, end uintptr) fileMapping {
	start, end = max(start, m.addr), min(end, m.addr+m.size)
	m.off += int64(start - m.addr)
	m.addr, m.size = start, max(end, start)-start
	return m
}

// ended uncounts mappings of detach whose addresses are unmapped; after an error
// they are not, and come back.
func (t *mapTable) ended(gone []fileMapping, e syscall.Errno) {
	for _, m := range gone {
		if e != 0 {
			t.add(m)
			continue
		}
		m.shows.Unmap()
		m.desc.DecRef()
	}
}

// showsPages tells whether a range touches a mapping of a disk's file.
func (t *mapTable) showsPages(addr, size uintptr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		if t.list[i].showsIn(addr, size) {
			return true
		}
	}
	return false
}

// showsIn tells whether m is of a disk's file and has a byte in the range.
func (m *fileMapping) showsIn(addr, size uintptr) bool {
	return m.shows != nil && m.addr < addr+size && addr < m.addr+m.size
}

// touched returns what is mapped of disks' files in a range, with references.
func (t *mapTable) touched(addr, size uintptr) []*Description {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*Description
	for i := range t.list {
		m := &t.list[i]
		if m.showsIn(addr, size) {
			m.desc.IncRef()
			list = append(list, m.desc)
		}
	}
	return list
}

// syncMapped is msync(2) of files; without wait there is nothing to do, as on
// Linux: stores are seen by the write-back as they are.
func (k *Kernel) syncMapped(addr, size uintptr, wait bool) (first syscall.Errno) {
	if !wait {
		return 0
	}
	for _, d := range k.maps.touched(addr, size) {
		if s, ok := d.file.(Syncer); ok {
			if e := s.Sync(true); e != 0 && first == 0 {
				first = e
			}
		}
		d.DecRef()
	}
	return first
}

// remapPages is mremap(2) of one mapping of a disk's file: it shrinks in place, and
// grows elsewhere. A private mapping does not grow (ENOMEM): the pages that were
// stored to are its own, and the machine cannot move them. Programs remap shared
// mappings and anonymous memory. MREMAP_FIXED and MREMAP_DONTUNMAP are not served.
func (k *Kernel) remapPages(a *Args) (uintptr, syscall.Errno) {
	const mayMove = 1
	addr, flags := a.N[0], a.N[3]
	oldSize := (a.N[1] + pageSize - 1) &^ (pageSize - 1)
	newSize := (a.N[2] + pageSize - 1) &^ (pageSize - 1)
	if addr%pageSize != 0 || newSize == 0 || flags&^mayMove != 0 {
		return 0, syscall.EINVAL
	}
	m, ok := k.maps.covering(addr, oldSize)
	if !ok {
		return 0, syscall.EFAULT
	}
	defer m.desc.DecRef()
	unmap := func(addr, size uintptr) {
		sysMunmap(k, Args{N: [6]uintptr{addr, size}})
	}
	if newSize <= oldSize {
		if newSize < oldSize {
			unmap(addr+newSize, oldSize-newSize)
		}
		return addr, 0
	}
	if flags&mayMove == 0 || m.flags&mapTypeMask == mapPrivate {
		return 0, syscall.ENOMEM
	}
	prot, ok := k.protection(addr, oldSize)
	if !ok {
		return 0, syscall.EFAULT
	}
	args := Args{N: [6]uintptr{0, newSize, prot, m.flags &^ (mapFixed | mapNoReplace)}}
	to, e := k.mapPages(m.desc, m.shows, &args, newSize, m.off+int64(addr-m.addr))
	if e == 0 {
		unmap(addr, oldSize)
	}
	return to, e
}

// covering returns the mapping of a disk's file that has all of a range, with a
// reference.
func (t *mapTable) covering(addr, size uintptr) (m fileMapping, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.list {
		if m.showsIn(addr, size) && m.addr <= addr && addr+size <= m.addr+m.size {
			m.desc.IncRef()
			return m, true
		}
	}
	return m, false
}

// protection returns the PROT_ bits of a range, if they are the same everywhere.
func (k *Kernel) protection(addr, size uintptr) (prot uintptr, ok bool) {
	for at := addr; at < addr+size; {
		start, end, p := k.m.Area(at)
		if end == 0 || start > at || at != addr && p != prot {
			return 0, false
		}
		prot, at = p, end
	}
	return prot, true
}

// sealed tells whether a range has a shared mapping of a disk's file that was not
// opened for writing.
func (t *mapTable) sealed(addr, size uintptr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		m := &t.list[i]
		if m.showsIn(addr, size) && m.flags&mapTypeMask != mapPrivate && !m.desc.writable() {
			return true
		}
	}
	return false
}
