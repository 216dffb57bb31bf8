package kernel

import "syscall"

// Mappings of disks' files: the calls of mmap.go for them. They are in images that
// can have disks.

// mapCalls are what the system calls do for mappings that show a file's pages.
type mapCalls struct {
	mmap    func(k *Kernel, d *Description, m Mapper, a *Args, size uintptr, off int64) (uintptr, syscall.Errno)
	replace func(k *Kernel, addr, size uintptr)
	msync   func(k *Kernel, addr, size uintptr, wait bool) syscall.Errno
	mremap  func(k *Kernel, a *Args) (uintptr, syscall.Errno)
	sealed  func(k *Kernel, addr, size uintptr) bool
}

// EnableMappers makes mmap(2) of a Mapper show its pages. A file system that has
// such files calls it when it is mounted.
func (k *Kernel) EnableMappers() {
	k.mapCalls = &mapCalls{
		mmap:    (*Kernel).mapPages,
		replace: func(k *Kernel, addr, size uintptr) { k.maps.removePages(addr, (size+pageSize-1)&^(pageSize-1)) },
		msync:   (*Kernel).syncMapped,
		mremap:  (*Kernel).remapPages,
		sealed:  func(k *Kernel, addr, size uintptr) bool { return k.maps.sealed(addr, size) },
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
	if flags&mapFixed != 0 && a.N[0]%pageSize == 0 {
		k.maps.removePages(a.N[0], size) // what lies there is replaced
	}
	addr, e := m.Map(a.N[0], size, off, a.N[2], flags)
	if e != 0 {
		return 0, e
	}
	d.IncRef()
	k.maps.add(fileMapping{addr: addr, size: size, desc: d, off: off, shows: m, flags: flags, prot: a.N[2]})
	return addr, 0
}

// removePages takes the range off the list of mappings that show pages. They are
// unmapped, or about to be.
func (t *mapTable) removePages(addr, size uintptr) {
	t.mu.Lock()
	var keep, gone []fileMapping
	for _, m := range t.list {
		start, end := max(addr, m.addr), min(addr+size, m.addr+m.size)
		if m.shows == nil || start >= end {
			keep = append(keep, m)
			continue
		}
		parts := 0
		for _, part := range [2][2]uintptr{{m.addr, start}, {end, m.addr + m.size}} {
			if part[0] < part[1] {
				rest := m
				rest.addr, rest.size = part[0], part[1]-part[0]
				rest.off += int64(part[0] - m.addr)
				keep = append(keep, rest)
				if parts++; parts == 2 {
					m.shows.Retain()
					m.desc.IncRef()
				}
			}
		}
		if parts == 0 {
			gone = append(gone, m)
		}
	}
	t.list = keep
	t.mu.Unlock()
	for i := range gone {
		gone[i].shows.Unmap()
		gone[i].desc.DecRef()
	}
}

// showsPages tells whether a range touches a mapping of a disk's file.
func (t *mapTable) showsPages(addr, size uintptr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.overlaps(addr, size)
	return i >= 0 && t.list[i].shows != nil
}

// touched returns what is mapped of disks' files in a range, with references.
func (t *mapTable) touched(addr, size uintptr) []*Description {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*Description
	for i := range t.list {
		m := &t.list[i]
		if m.shows != nil && m.addr < addr+size && addr < m.addr+m.size {
			m.desc.IncRef()
			list = append(list, m.desc)
		}
	}
	return list
}

// syncMapped is msync(2) of files; without wait there is nothing to do, as on
// Linux: stores are seen by the write-back as they are.
func (k *Kernel) syncMapped(addr, size uintptr, wait bool) (first syscall.Errno) {
	for _, d := range k.maps.touched(addr, size) {
		if s, ok := d.file.(Syncer); ok && wait {
			if e := s.Sync(true); e != 0 && first == 0 {
				first = e
			}
		}
		d.DecRef()
	}
	return first
}

// remapPages is mremap(2) of one mapping of a disk's file: it shrinks in place, and
// grows elsewhere. MREMAP_FIXED and MREMAP_DONTUNMAP are not served.
func (k *Kernel) remapPages(a *Args) (uintptr, syscall.Errno) {
	const mayMove = 1
	addr, flags := a.N[0], a.N[3]
	oldSize := (a.N[1] + pageSize - 1) &^ (pageSize - 1)
	newSize := (a.N[2] + pageSize - 1) &^ (pageSize - 1)
	if addr%pageSize != 0 || newSize == 0 || flags&^mayMove != 0 {
		return 0, syscall.EINVAL
	}
	k.maps.mu.Lock()
	var m fileMapping
	if i := k.maps.match(addr, oldSize); i >= 0 {
		m = k.maps.list[i]
	}
	if m.shows == nil || m.addr > addr || m.addr+m.size < addr+oldSize {
		k.maps.mu.Unlock()
		return 0, syscall.EFAULT
	}
	m.desc.IncRef()
	k.maps.mu.Unlock()
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
	if flags&mayMove == 0 {
		return 0, syscall.ENOMEM
	}
	args := Args{N: [6]uintptr{0, newSize, m.prot, m.flags &^ (mapFixed | mapNoReplace)}}
	to, e := k.mapPages(m.desc, m.shows, &args, newSize, m.off+int64(addr-m.addr))
	if e == 0 {
		unmap(addr, oldSize)
	}
	return to, e
}

// sealed tells whether a range has a shared mapping of a disk's file that was not
// opened for writing.
func (t *mapTable) sealed(addr, size uintptr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		m := &t.list[i]
		if m.shows != nil && m.addr < addr+size && addr < m.addr+m.size && m.flags&mapTypeMask != mapPrivate && !m.desc.writable() {
			return true
		}
	}
	return false
}
