package kernel

import "syscall"

// A shared mapping of a tmpfs file moves the file's first bytes to memory of the machine,
// which is then mapped.

// arenaMinimum is the least address space reserved for a file that is mapped shared, so that
// it can grow and be mapped again in place. It costs no memory until it is used.
const arenaMinimum = 1 << 30

// mapArena maps part of a tmpfs file.
func (k *Kernel) mapArena(d *Description, f *tmpFile, size uintptr, off int64, write bool) (uintptr, syscall.Errno) {
	size = (size + pageSize - 1) &^ (pageSize - 1)
	f.mu.Lock()
	sealed := f.seal&(sealWrite|sealFutureWrite) != 0
	if write && sealed {
		f.mu.Unlock()
		return 0, syscall.EPERM
	}
	e := f.data.needArena(off + int64(size))
	var addr uintptr
	if e == 0 {
		f.data.mapped++
		addr = addressOf(f.data.arena) + uintptr(off)
	}
	f.mu.Unlock()
	if e != 0 {
		return 0, e
	}
	d.IncRef()
	k.maps.add(fileMapping{addr: addr, size: size, desc: d, off: off, arena: true, fixed: sealed || !d.writable()})
	return addr, 0
}

// needArena moves the first n bytes of the file to memory of the machine, with room to grow.
func (d *pages) needArena(n int64) syscall.Errno {
	if int64(len(d.arena)) >= n {
		return 0
	}
	if d.mapped > 0 {
		return syscall.ENOMEM // the arena cannot move while it is mapped
	}
	room := max(arenaMinimum, 4*n)
	arena, e := d.fs.k.anonymous(uintptr(room))
	if e != 0 {
		if arena, e = d.fs.k.anonymous(uintptr(n)); e != 0 {
			return e
		}
	}
	old := d.arena
	d.copyTo(arena)
	d.arena = arena
	if old != nil {
		d.fs.k.unmap(old)
	}
	return 0
}

// copyTo moves the first len(arena) bytes of the file to arena and frees their pages. It does
// not touch holes, so that they cost nothing.
func (d *pages) copyTo(arena []byte) {
	copy(arena, d.arena[:min(int64(len(d.arena)), max(d.size, 0))])
	if start := len(d.arena); start < len(d.base) {
		copy(arena[min(start, len(arena)):], d.base[start:])
	}
	for key, c := range d.chunks {
		for j, pg := range c {
			at := (key*chunkPages + int64(j)) * pageSize
			if pg == nil || at >= int64(len(arena)) {
				continue
			}
			copy(arena[at:], pg[:])
			c[j] = nil
			d.count--
			d.fs.used.Add(-1)
		}
		if *c == (chunk{}) {
			delete(d.chunks, key)
		}
	}
	if len(arena) >= len(d.base) {
		d.base = nil
	}
}

// freeArena unmaps the arena.
func (d *pages) freeArena() {
	if d.arena != nil {
		d.fs.k.unmap(d.arena)
		d.arena = nil
	}
}

// anonymous maps n bytes of zeros.
func (k *Kernel) anonymous(n uintptr) ([]byte, syscall.Errno) {
	n = (n + pageSize - 1) &^ (pageSize - 1)
	addr, e := k.m.Syscall(syscall.SYS_MMAP, Args{N: [6]uintptr{
		0, n, syscall.PROT_READ | syscall.PROT_WRITE, mapPrivate | mapAnonymous | mapNoReserve, ^uintptr(0), 0,
	}})
	if e != 0 {
		return nil, e
	}
	return sliceAt(addr, int(n)), 0
}

func (k *Kernel) unmap(b []byte) {
	k.m.Syscall(syscall.SYS_MUNMAP, Args{N: [6]uintptr{addressOf(b), uintptr(len(b))}})
}

// zeroMemory clears b, part of an arena; the pages of large parts are freed.
func (k *Kernel) zeroMemory(b []byte) {
	const large = 256 << 10
	if len(b) < large {
		clear(b)
		return
	}
	addr := addressOf(b)
	first := (addr + pageSize - 1) &^ (pageSize - 1)
	last := (addr + uintptr(len(b))) &^ (pageSize - 1)
	_, e := k.m.Syscall(syscall.SYS_MADVISE, Args{N: [6]uintptr{first, last - first, syscall.MADV_DONTNEED}})
	if e != 0 {
		clear(b)
		return
	}
	clear(b[:first-addr])
	clear(b[last-addr:])
}

// arena reports whether a range touches an arena, and whether that can never be made writable.
func (t *mapTable) arena(addr, size uintptr) (arena, fixed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.overlaps(addr, size)
	if i < 0 {
		return false, false
	}
	return t.list[i].arena, t.list[i].fixed
}
