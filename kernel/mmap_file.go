package kernel

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine/mman"
)

// Mappings of files on disks: the parts of mmap.go that are only linked into images that can
// have disks.

// mapCalls are the operations of the system calls on mappings of page cache pages.
type mapCalls struct {
	mmap   func(k *Kernel, d *Description, m Mapper, a *Args, size uintptr, off int64) (uintptr, syscall.Errno)
	detach func(k *Kernel, addr, size uintptr) []fileMapping
	ended  func(k *Kernel, detached []fileMapping, e syscall.Errno)
	msync  func(k *Kernel, addr, size uintptr, wait bool) syscall.Errno
	mremap func(k *Kernel, a *Args) (uintptr, syscall.Errno)
	sealed func(k *Kernel, addr, size uintptr) bool
}

// EnableMappers makes mmap(2) of a Mapper map its pages. A file system with such files calls
// it when it is mounted.
func (k *Kernel) EnableMappers() {
	k.mapCalls = &mapCalls{
		mmap:   (*Kernel).mapPages,
		detach: func(k *Kernel, addr, size uintptr) []fileMapping { return k.maps.detach(addr, size) },
		ended:  func(k *Kernel, detached []fileMapping, e syscall.Errno) { k.maps.ended(detached, e) },
		msync:  (*Kernel).syncMapped,
		mremap: (*Kernel).remapPages,
		sealed: func(k *Kernel, addr, size uintptr) bool { return k.maps.sealed(addr, size) },
	}
}

// Mapper is a File whose pages the machine can map.
type Mapper interface {
	// Map is mmap(2) of the file: n and off are multiples of the page size.
	Map(addr, n uintptr, off int64, prot, flags uintptr) (uintptr, syscall.Errno)
	// Retain counts a second mapping after one was split in two.
	Retain()
	// Unmap uncounts a mapping whose addresses have been unmapped.
	Unmap()
}

// mapPages maps part of a file on a disk.
func (k *Kernel) mapPages(d *Description, m Mapper, a *Args, size uintptr, off int64) (uintptr, syscall.Errno) {
	size = (size + pageSize - 1) &^ (pageSize - 1)
	flags := a.N[3]
	addr, e := k.replacing(a, func() (uintptr, syscall.Errno) { return m.Map(a.N[0], size, off, a.N[2], flags) })
	if e != 0 {
		return 0, e
	}
	d.IncRef()
	k.maps.add(fileMapping{addr: addr, size: size, desc: d, off: off, mapper: m, flags: flags})
	return addr, 0
}

// detach takes a range off the list of mappings of pages before its addresses are unmapped:
// once they are, another mapping may get them. The mappings it returns still count as
// mapped, because the machine shows their pages until then. The caller must pass them to
// ended.
func (t *mapTable) detach(addr, size uintptr) (detached []fileMapping) {
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
		detached = append(detached, cut)
		for _, r := range [2]fileMapping{m.part(m.addr, cut.addr), m.part(cut.addr+cut.size, m.addr+m.size)} {
			if r.size > 0 {
				r.mapper.Retain()
				r.desc.IncRef()
				rest = append(rest, r)
			}
		}
	}
	clear(t.list[len(keep):])
	t.list = append(keep, rest...)
	return detached
}

// part returns the part of m that lies in a range; its size may be 0.
func (m fileMapping) part(start, end uintptr) fileMapping {
	start, end = max(start, m.addr), min(end, m.addr+m.size)
	m.off += int64(start - m.addr)
	m.addr, m.size = start, max(end, start)-start
	return m
}

// ended uncounts mappings from detach once their addresses are unmapped; after an error they
// are still mapped, and return to the list.
func (t *mapTable) ended(detached []fileMapping, e syscall.Errno) {
	for _, m := range detached {
		if e != 0 {
			t.add(m)
			continue
		}
		m.mapper.Unmap()
		m.desc.DecRef()
	}
}

// showsPages reports whether a range touches a mapping of a disk's file.
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

// showsIn reports whether m is of a disk's file and has a byte in the range.
func (m *fileMapping) showsIn(addr, size uintptr) bool {
	return m.mapper != nil && m.addr < addr+size && addr < m.addr+m.size
}

// touched returns the descriptions of disks' files mapped in a range, with references.
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

// syncMapped is msync(2) of files. Without wait there is nothing to do, as on Linux:
// writeback finds stores by itself.
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

// remapPages is mremap(2) of one mapping of a disk's file: it shrinks in place and grows
// elsewhere. A private mapping does not grow (ENOMEM): it has its own copies of pages that
// were stored to, and the machine cannot move them. Programs remap shared mappings and
// anonymous memory. MREMAP_FIXED and MREMAP_DONTUNMAP are not supported.
func (k *Kernel) remapPages(a *Args) (uintptr, syscall.Errno) {
	addr, flags := a.N[0], a.N[3]
	oldSize, newSize, refused := mman.Remap(addr, a.N[1], a.N[2], flags, a.N[4])
	if refused != 0 || flags&^mman.MayMove != 0 {
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
	if flags&mman.MayMove == 0 || m.flags&mapTypeMask == mapPrivate {
		return 0, syscall.ENOMEM
	}
	prot, ok := k.protection(addr, oldSize)
	if !ok {
		return 0, syscall.EFAULT
	}
	args := Args{N: [6]uintptr{0, newSize, prot, m.flags &^ (mapFixed | mapNoReplace)}}
	to, e := k.mapPages(m.desc, m.mapper, &args, newSize, m.off+int64(addr-m.addr))
	if e == 0 {
		unmap(addr, oldSize)
	}
	return to, e
}

// covering returns the mapping of a disk's file that contains a whole range, with a
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

// protection returns the PROT_ bits of a range; ok is false if they differ within it.
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

// sealed reports whether a range has a shared mapping of a disk's file that was not opened
// for writing.
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
