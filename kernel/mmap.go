package kernel

import (
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine/mman"
)

// Memory mappings. Anonymous memory is the machine's. A file is mapped in one
// of these ways:
//
//   - A file of a disk or of the host's folder: the mapping shows the pages of the page
//     cache (Mapper), so that stores, write(2) and all mappings see each other, and access
//     beyond the end of the file raises SIGBUS.
//   - MAP_SHARED of a tmpfs file: the beginning of the file moves into an arena
//     of machine memory, and every mapping of it is a part of that arena. So
//     stores, write(2) and all mappings see each other at once, as on Linux.
//   - MAP_SHARED of tmpfs at an address that the program names: a copy, written back on
//     msync(2), fsync(2) and munmap(2). write(2) is not seen through it.
//   - MAP_PRIVATE of tmpfs: a copy.
//
// There are differences from Linux, except for files of disks and folders. The memory of a shared mapping
// is writable even if PROT_WRITE was not asked for, and never executable, as with a tmpfs that is
// mounted noexec. Access beyond the end of the file reads
// zeroes instead of raising SIGBUS. Later changes of a file are not visible through a private
// mapping (mmap(2) leaves that open).

const (
	mapShared    = 0x01
	mapPrivate   = 0x02
	mapValidate  = 0x03
	mapTypeMask  = 0x0f
	mapFixed     = 0x10
	mapAnonymous = 0x20
	mapNoReserve = 0x4000
	mapNoReplace = 0x100000
)

// mapTable has the mappings of files.
type mapTable struct {
	mu   sync.Mutex
	list []fileMapping
}

type fileMapping struct {
	addr, size uintptr
	desc       *Description // a reference
	off        int64
	mapper     Mapper  // not nil: the pages of a disk's file are mapped
	flags      uintptr // of mmap(2), for mremap(2)
	// arena says that the memory belongs to the file; otherwise it is a copy, which is
	// written back if dirty.
	arena, dirty bool
	// fixed says that a mapping of an arena can never be made writable: of a descriptor that is not,
	// or of a file that was sealed.
	fixed bool
}

// sysMmap is mmap(2).
func sysMmap(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.N[5]%pageSize != 0 {
		return 0, syscall.EINVAL
	}
	if a.N[3]&mapAnonymous != 0 {
		return k.mapAnonymous(a)
	}
	d, e := k.get(&a, 4)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if e := checkFileMap(&a); e != 0 {
		return 0, e
	}
	size, off := a.N[1], int64(a.N[5])
	if !d.readable() {
		return 0, syscall.EACCES
	}
	if dev, ok := d.file.(*device); ok && dev.kind == devZero {
		a.N[3] |= mapAnonymous
		a.N[4] = ^uintptr(0)
		return k.mapAnonymous(a)
	}
	shared := a.N[3]&mapTypeMask == mapShared || a.N[3]&mapTypeMask == mapValidate
	if shared && a.N[2]&syscall.PROT_WRITE != 0 && !d.writable() {
		return 0, syscall.EACCES
	}
	if m, ok := d.file.(Mapper); ok && k.mapCalls != nil {
		return k.mapCalls.mmap(k, d, m, &a, size, off)
	}
	if _, ok := d.file.(Resizer); !ok {
		if _, ok := d.file.(*bytesFile); !ok {
			return 0, syscall.ENODEV
		}
	}
	if o, ok := d.file.(*tmpOpen); ok && shared && a.N[3]&(mapFixed|mapNoReplace) == 0 {
		if a.N[2]&syscall.PROT_EXEC != 0 {
			return 0, syscall.EPERM
		}
		return k.mapArena(d, o.f, size, off, a.N[2]&syscall.PROT_WRITE != 0)
	}
	return k.mapCopy(d, &a, size, off, shared)
}

// checkFileMap checks the address, length, offset and type of a mapping of a file.
func checkFileMap(a *Args) syscall.Errno {
	size, e := mman.Map(a.N[0], a.N[1], a.N[3])
	if e == 0 {
		e = mman.File(a.N[5], size)
	}
	if t := a.N[3] & mapTypeMask; e == 0 && t != mapShared && t != mapPrivate && t != mapValidate {
		e = mman.EINVAL
	}
	return syscall.Errno(e)
}

// mapAnonymous maps anonymous memory of the machine.
func (k *Kernel) mapAnonymous(a Args) (uintptr, syscall.Errno) {
	return k.replacing(&a, func() (uintptr, syscall.Errno) { return k.m.Syscall(syscall.SYS_MMAP, a) })
}

// replacing makes a mapping with do, over what MAP_FIXED replaces. Copies are written back
// first. Mappings of disks' files count as mapped until they are replaced, because the
// machine shows their pages. If do fails it has replaced nothing, since the machine unmaps
// last. (Linux may have unmapped the old mapping.)
func (k *Kernel) replacing(a *Args, do func() (uintptr, syscall.Errno)) (uintptr, syscall.Errno) {
	if a.N[3]&mapFixed == 0 {
		return do()
	}
	addr := a.N[0]
	size, refused := mman.Map(addr, a.N[1], a.N[3])
	if refused != 0 {
		return 0, syscall.Errno(refused)
	}
	k.maps.store(k, addr, size)
	var detached []fileMapping
	if c := k.mapCalls; c != nil {
		detached = c.detach(k, addr, size)
	}
	at, e := do()
	if detached != nil {
		k.mapCalls.ended(k, detached, e)
	}
	if e == 0 {
		k.maps.replaced(addr, size)
	}
	return at, e
}

func (t *mapTable) add(m fileMapping) {
	t.mu.Lock()
	t.list = append(t.list, m)
	t.mu.Unlock()
}

// names returns the paths of mapped files by address.
func (t *mapTable) names(k *Kernel) map[uintptr]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := make(map[uintptr]string, len(t.list))
	for i := range t.list {
		if d := t.list[i].desc.where; d != nil {
			m[t.list[i].addr] = k.vfs.path(d)
		}
	}
	return m
}

// overlaps returns the newest mapping that has a byte in the range, -1 if none: with
// MAP_FIXED it lies over older ones, and programs with many mappings unmap them in reverse.
// mu is held.
func (t *mapTable) overlaps(addr, size uintptr) int {
	for i := len(t.list) - 1; i >= 0; i-- {
		m := &t.list[i]
		if m.addr < addr+size && addr < m.addr+m.size {
			return i
		}
	}
	return -1
}

// sysMunmap is munmap(2).
func sysMunmap(k *Kernel, a Args) (uintptr, syscall.Errno) {
	addr := a.N[0]
	end, refused := mman.Unmap(addr, a.N[1])
	if refused != 0 {
		return 0, syscall.Errno(refused)
	}
	size := end - addr
	var detached []fileMapping
	if k.mapCalls != nil {
		detached = k.mapCalls.detach(k, addr, size)
	}
	var e syscall.Errno
	arena := false
	for found := true; found && !arena; {
		found, arena = k.maps.remove(k, addr, size)
	}
	if !arena {
		_, e = k.m.Syscall(syscall.SYS_MUNMAP, a)
	} else {
		for _, m := range detached { // beside an arena, which stays
			k.m.Syscall(syscall.SYS_MUNMAP, Args{N: [6]uintptr{m.addr, m.size}})
		}
	}
	if detached != nil {
		k.mapCalls.ended(k, detached, e)
	}
	return 0, e
}

// remove takes one mapping off the list, if it finds one. The memory of an arena stays,
// because it belongs to the file; that of a copy must be unmapped by the caller.
func (t *mapTable) remove(k *Kernel, addr, size uintptr) (found, arena bool) {
	m, found, last := t.take(k, addr, size)
	if last {
		m.drop()
	}
	return found, m.arena
}

// take is remove without uncounting m: if last is set, nothing of it is left, and the caller
// does. A part of an arena mapping keeps the rest counted.
func (t *mapTable) take(k *Kernel, addr, size uintptr) (m fileMapping, found, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.match(addr, size)
	if i < 0 {
		return m, false, false
	}
	m = t.list[i]
	m.flush(k, addr, size)
	start, end := max(addr, m.addr), min(addr+size, m.addr+m.size)
	t.list = append(t.list[:i], t.list[i+1:]...)
	last = true
	for _, part := range [2][2]uintptr{{m.addr, start}, {end, m.addr + m.size}} {
		if part[0] < part[1] {
			rest := m
			rest.addr, rest.size = part[0], part[1]-part[0]
			rest.off += int64(part[0] - m.addr)
			rest.retain(!last)
			t.list = append(t.list, rest)
			last = false
		}
	}
	return m, true, last
}

// retain counts one more part of a mapping that was split, if more is set.
func (m *fileMapping) retain(more bool) {
	if !more {
		return
	}
	m.desc.IncRef()
	if o, ok := m.desc.file.(*tmpOpen); ok && m.arena {
		o.f.mu.Lock()
		o.f.data.mapped++
		o.f.mu.Unlock()
	}
}

// drop uncounts a mapping.
func (m *fileMapping) drop() {
	if o, ok := m.desc.file.(*tmpOpen); ok && m.arena {
		o.f.mu.Lock()
		o.f.data.mapped--
		o.f.mu.Unlock()
	}
	m.desc.DecRef()
}

// match finds the mapping for a range: the newest one with exactly that range, since mappings
// of one file share addresses, otherwise any mapping that it touches. mu is held.
func (t *mapTable) match(addr, size uintptr) int {
	for i := len(t.list) - 1; i >= 0; i-- {
		if t.list[i].addr == addr && (t.list[i].size+pageSize-1)&^(pageSize-1) == size {
			return i
		}
	}
	return t.overlaps(addr, size)
}

// sysMsync is msync(2).
func sysMsync(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const async, invalidate, sync = 1, 2, 4
	flags := a.Int(2)
	if flags&^(async|invalidate|sync) != 0 || flags&(async|sync) == async|sync || a.N[0]%pageSize != 0 {
		return 0, syscall.EINVAL
	}
	end, refused := mman.Sync(a.N[0], a.N[1])
	if refused != 0 {
		return 0, syscall.Errno(refused)
	}
	size := end - a.N[0]
	var first syscall.Errno
	if !k.isMapped(a.N[0], end) {
		first = syscall.ENOMEM // and what is mapped is synced
	}
	if c := k.mapCalls; c != nil {
		if e := c.msync(k, a.N[0], size, flags&sync != 0); e != 0 {
			first = e
		}
	}
	k.maps.mu.Lock()
	defer k.maps.mu.Unlock()
	for i := range k.maps.list {
		m := &k.maps.list[i]
		if m.dirty && m.addr < end && a.N[0] < m.addr+m.size {
			m.flush(k, a.N[0], size)
			if s, ok := m.desc.file.(Syncer); ok && flags&sync != 0 {
				s.Sync(true)
			}
		}
	}
	return 0, first
}

// isMapped reports whether all of a range is.
func (k *Kernel) isMapped(start, end uintptr) bool {
	for start < end {
		from, to, _ := k.m.Area(start)
		if to == 0 || from > start {
			return false
		}
		start = to
	}
	return true
}

// sysMadvise is madvise(2). Advice about a file's own memory is not passed on:
// MADV_DONTNEED would drop the file's data.
func sysMadvise(k *Kernel, a Args) (uintptr, syscall.Errno) {
	end, refused := mman.Range(a.N[0], a.N[1])
	if refused == 0 {
		refused = mman.Advice(uint32(a.N[2]))
	}
	if refused != 0 {
		return 0, syscall.Errno(refused)
	}
	if arena, _ := k.maps.arena(a.N[0], end-a.N[0]); arena {
		return 0, 0
	}
	return k.m.Syscall(syscall.SYS_MADVISE, a)
}

// sysMprotect is mprotect(2). A shared mapping stays writable, because the kernel writes to
// it, and is not executable.
func sysMprotect(k *Kernel, a Args) (uintptr, syscall.Errno) {
	end, refused := mman.Protect(a.N[0], a.N[1], a.N[2])
	if refused != 0 {
		return 0, syscall.Errno(refused)
	}
	size := end - a.N[0]
	if arena, fixed := k.maps.arena(a.N[0], size); arena {
		if a.N[2]&syscall.PROT_EXEC != 0 || fixed && a.N[2]&syscall.PROT_WRITE != 0 {
			return 0, syscall.EACCES
		}
		return 0, 0
	}
	if k.mapCalls != nil && a.N[2]&syscall.PROT_WRITE != 0 && k.mapCalls.sealed(k, a.N[0], size) {
		return 0, syscall.EACCES
	}
	return k.m.Syscall(syscall.SYS_MPROTECT, a)
}

// sysMlock is mlock(2), mlock2(2) and munlock(2): memory is never paged out.
func sysMlock(k *Kernel, a Args) (uintptr, syscall.Errno) {
	start, end, e := mman.Lock(a.N[0], a.N[1])
	if e == 0 && !k.isMapped(start, end) {
		e = mman.ENOMEM
	}
	return 0, syscall.Errno(e)
}

// sysMlock2 is mlock2(2), whose only flag is MLOCK_ONFAULT.
func sysMlock2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(2)&^1 != 0 {
		return 0, syscall.EINVAL
	}
	return sysMlock(k, a)
}

// sysMlockall is mlockall(2).
func sysMlockall(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const current, future, onFault = 1, 2, 4
	if flags := a.Int(0); flags&^(current|future|onFault) != 0 || flags&(current|future) == 0 {
		return 0, syscall.EINVAL
	}
	return 0, 0
}

// sysMremap is mremap(2). A shared file mapping grows in place, into its arena.
func sysMremap(k *Kernel, a Args) (uintptr, syscall.Errno) {
	oldSize, newSize, refused := mman.Remap(a.N[0], a.N[1], a.N[2], a.N[3], a.N[4])
	if refused != 0 {
		return 0, syscall.Errno(refused)
	}
	if c := k.mapCalls; c != nil && k.maps.showsPages(a.N[0], oldSize) {
		return c.mremap(k, &a)
	}
	k.maps.mu.Lock()
	defer k.maps.mu.Unlock()
	i := k.maps.match(a.N[0], oldSize)
	if i < 0 || !k.maps.list[i].arena {
		return k.m.Syscall(syscall.SYS_MREMAP, a)
	}
	if a.N[3]&^mman.MayMove != 0 {
		return 0, syscall.EINVAL
	}
	m := &k.maps.list[i]
	o := m.desc.file.(*tmpOpen)
	o.f.mu.RLock()
	room := int64(len(o.f.data.arena))
	o.f.mu.RUnlock()
	if m.addr != a.N[0] || m.off > room-int64(newSize) {
		return 0, syscall.ENOMEM
	}
	m.size = newSize
	return m.addr, 0
}
