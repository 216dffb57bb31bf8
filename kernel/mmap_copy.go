package kernel

import (
	"bytes"
	"syscall"
)

// Mappings that are copies of a file, and the writeback of shared ones.

// mapCopy maps a copy of part of a file.
func (k *Kernel) mapCopy(d *Description, a *Args, size uintptr, off int64, shared bool) (uintptr, syscall.Errno) {
	flags := a.N[3]&(mapFixed|mapNoReplace) | mapPrivate | mapAnonymous
	prot := a.N[2] & (syscall.PROT_READ | syscall.PROT_WRITE | syscall.PROT_EXEC)
	addr, e := k.mapAnonymous(Args{N: [6]uintptr{
		a.N[0], size, syscall.PROT_READ | syscall.PROT_WRITE, flags, ^uintptr(0), 0,
	}})
	if e != 0 {
		return 0, e
	}
	b := sliceAt(addr, int(size))
	if e := fillCopy(b, d.file, off); e != 0 {
		k.unmap(b)
		return 0, e
	}
	if prot != syscall.PROT_READ|syscall.PROT_WRITE {
		if _, e := k.m.Syscall(syscall.SYS_MPROTECT, Args{N: [6]uintptr{addr, size, prot}}); e != 0 {
			k.unmap(b)
			return 0, e
		}
	}
	if shared && prot&syscall.PROT_WRITE != 0 {
		d.IncRef()
		k.maps.add(fileMapping{addr: addr, size: size, desc: d, off: off, dirty: true})
	}
	return addr, 0
}

// fillCopy fills b, new memory, from a file. It does not touch pages of zeroes, so that holes
// cost nothing.
func fillCopy(b []byte, f File, off int64) syscall.Errno {
	part := make([]byte, min(len(b), 256<<10))
	for n := 0; n < len(b); {
		m, e := f.Read(part[:min(len(part), len(b)-n)], off+int64(n))
		if e != 0 || m == 0 {
			return e
		}
		for p := part[:m]; len(p) > 0; {
			k := min(pageSize-n%pageSize, len(p))
			if !allZero(p[:k]) {
				copy(b[n:], p[:k])
			}
			n, p = n+k, p[k:]
		}
	}
	return 0
}

func allZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// flush writes a copy back to its file, up to the file's end.
func (m *fileMapping) flush(k *Kernel, addr, size uintptr) {
	if !m.dirty {
		return
	}
	start, end := max(addr, m.addr), min(addr+size, m.addr+m.size)
	if start >= end {
		return
	}
	var st syscall.Stat_t
	if m.desc.file.Stat(&st) != 0 {
		return
	}
	off := m.off + int64(start-m.addr)
	b := sliceAt(start, int(end-start))
	b = b[:max(min(int64(len(b)), st.Size-off), 0)]
	k.eachResident(b, func(from, to int) { m.desc.file.Write(b[from:to], off+int64(from)) })
}

// writeBack flushes the mappings of a file before it is synced.
func (t *mapTable) writeBack(k *Kernel, f File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		m := &t.list[i]
		if m.dirty && sameFile(m.desc.file, f) {
			m.flush(k, m.addr, m.size)
		}
	}
}

func sameFile(a, b File) bool {
	if a == b {
		return true
	}
	var x, y syscall.Stat_t
	return a.Stat(&x) == 0 && b.Stat(&y) == 0 && x.Dev == y.Dev && x.Ino == y.Ino
}

// store writes back the copies in a range.
func (t *mapTable) store(k *Kernel, addr, size uintptr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		t.list[i].flush(k, addr, size)
	}
}

// replaced takes the copies in a range off the list.
func (t *mapTable) replaced(addr, size uintptr) {
	var detached []*Description
	t.mu.Lock()
	for i := len(t.list) - 1; i >= 0; i-- {
		m := t.list[i]
		if !m.dirty || m.addr >= addr+size || addr >= m.addr+m.size {
			continue
		}
		t.list = append(t.list[:i], t.list[i+1:]...)
		detached = append(detached, m.desc)
		for _, rest := range [2]fileMapping{m.part(m.addr, addr), m.part(addr+size, m.addr+m.size)} {
			if rest.size > 0 {
				rest.desc.IncRef()
				t.list = append(t.list, rest)
			}
		}
	}
	t.mu.Unlock()
	for _, d := range detached {
		d.DecRef()
	}
}
