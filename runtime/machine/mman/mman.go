// Package mman checks the arguments of mmap(2) and its kin, which come from anywhere, as
// Linux 6.18 does (mm/mmap.c, mm/mprotect.c, mm/madvise.c, mm/mremap.c, mm/msync.c): a
// range that wraps around or leaves the program's addresses is refused, and so is a
// length that rounds up to nothing. What a check returns is safe to compute with.
//
// The machine half (machine_mem.go of package runtime) and the kernel (kernel/mmap.go)
// both call it; images are small without a copy of a check in each caller. Nothing here
// allocates. Each check returns an errno, 0 if the call may go
// on; the caller then finds out what is mapped.
package mman

import "github.com/yolk-unikernel/yolk/runtime/machine/areas"

const (
	page = 4096

	// Lowest is the lowest address that can be mapped (vm.mmap_min_addr of Linux).
	Lowest = 1 << 16
	// End is where the addresses of programs end: TASK_SIZE_MAX with page tables of four
	// levels (arch/x86/include/asm/page_64_types.h).
	End = 1<<47 - page
)

// Errors of <asm-generic/errno-base.h> and errno.h.
const (
	EPERM     = 1
	ENOMEM    = 12
	EACCES    = 13
	EEXIST    = 17
	EINVAL    = 22
	EOVERFLOW = 75
)

// Flags of mmap(2).
const (
	Shared         = 0x01
	Private        = 0x02
	typeMask       = 0x0f
	Fixed          = 0x10
	Anonymous      = 0x20
	hugeTLB        = 0x40000
	FixedNoReplace = 0x100000
)

// whole rounds a length up to whole pages; 0 if there is no such length.
func whole(n uintptr) uintptr { return (n + page - 1) &^ (page - 1) }

// Map checks mmap(2) of n bytes and returns their number in whole pages. Without a fixed
// address, addr is a hint, which Place takes or not. Without MAP_ANONYMOUS there is a
// file, which File has checked.
//
//go:noinline
func Map(addr, n, flags uintptr) (size, errno uintptr) {
	size = whole(n)
	fixed := flags&(Fixed|FixedNoReplace) != 0
	switch {
	case n == 0:
		return 0, EINVAL
	case size == 0 || size > End:
		return 0, ENOMEM
	case fixed && addr > End-size:
		return 0, ENOMEM
	case fixed && addr%page != 0:
		return 0, EINVAL
	case fixed && addr < Lowest:
		return 0, EPERM
	case flags&Anonymous == 0:
		return size, 0
	case flags&hugeTLB != 0: // no such pages are reserved, as on most machines
		return 0, ENOMEM
	case flags&typeMask != Shared && flags&typeMask != Private:
		return 0, EINVAL
	}
	return size, 0
}

// File checks the offset at which mmap(2) shows size bytes of a file (ksys_mmap_pgoff,
// file_mmap_ok): no file reaches beyond 1<<63-1.
//
//go:noinline
func File(off, size uintptr) (errno uintptr) {
	const most = 1<<63 - 1
	switch {
	case off%page != 0:
		return EINVAL
	case off > most || size > most-off:
		return EOVERFLOW
	}
	return 0
}

// Unmap checks munmap(2) and returns where the range ends.
//
//go:noinline
func Unmap(addr, n uintptr) (end, errno uintptr) {
	if addr%page != 0 || addr > End || n > End-addr || n == 0 {
		return 0, EINVAL
	}
	return addr + whole(n), 0
}

// Bits that mprotect(2) knows beside areas.Access: PROT_SEM, which has no meaning on x86,
// and PROT_GROWSDOWN and PROT_GROWSUP, for areas that grow, of which there are none.
const (
	protSem   = 0x8
	protGrows = 0x03000000
)

// Protect checks mprotect(2) and returns where the range ends, at addr if it is empty.
//
//go:noinline
func Protect(addr, n, prot uintptr) (end, errno uintptr) {
	switch {
	case prot&protGrows == protGrows || addr%page != 0:
		return 0, EINVAL
	case n == 0:
		return addr, 0
	}
	if end = addr + whole(n); end <= addr {
		return 0, ENOMEM
	}
	if prot&^(areas.Access|protSem) != 0 {
		return 0, EINVAL
	}
	return end, 0
}

// Gains tells whether mprotect(2) makes memory executable that was not, or writable while
// it is.
func Gains(l areas.List, start, end, prot uintptr) bool {
	return prot&areas.Exec != 0 &&
		(prot&areas.Write != 0 || l.Has(start, end, areas.Exec, 0) || l.Has(start, end, areas.Write, areas.Write))
}

// Range checks the range of madvise(2) and mlock(2) and returns where it ends, at addr if
// it is empty. It may lie where nothing can be mapped, and is ENOMEM then.
//
//go:noinline
func Range(addr, n uintptr) (end, errno uintptr) {
	size := whole(n)
	if addr%page != 0 || n != 0 && size == 0 || addr+size < addr {
		return 0, EINVAL
	}
	return addr + size, 0
}

// Lock checks the range of mlock(2), mlock2(2) and munlock(2), which covers each page
// that has a byte of it, and returns it.
func Lock(addr, n uintptr) (start, end, errno uintptr) {
	start = addr &^ (page - 1)
	// Linux loses what the sum overflows by, and then finds the range empty.
	if end = start + whole(n+addr%page); end < start {
		return 0, 0, EINVAL
	}
	return start, end, 0
}

// Sync checks the range of msync(2) and returns where it ends.
func Sync(addr, n uintptr) (end, errno uintptr) {
	if addr%page != 0 {
		return 0, EINVAL
	}
	if end = addr + whole(n); end < addr {
		return 0, ENOMEM
	}
	return end, 0
}

// Core checks mincore(2) and returns where the range ends.
//
//go:noinline
func Core(addr, n uintptr) (end, errno uintptr) {
	switch {
	case addr%page != 0:
		return 0, EINVAL
	case addr > End || n > End-addr:
		return 0, ENOMEM
	}
	return addr + whole(n), 0
}

// Flags of mremap(2).
const (
	MayMove    = 1
	RemapFixed = 2
	dontUnmap  = 4
)

// Remap checks mremap(2) and returns both sizes in whole pages. A range that wraps around
// is in no area (EFAULT), which is the caller's to find.
//
//go:noinline
func Remap(addr, old, size, flags, to uintptr) (oldSize, newSize, errno uintptr) {
	oldSize, newSize = whole(old), whole(size)
	fixed := flags&RemapFixed != 0
	switch {
	case flags&^(MayMove|RemapFixed|dontUnmap) != 0,
		flags&MayMove == 0 && flags&(RemapFixed|dontUnmap) != 0,
		flags&dontUnmap != 0 && old != size,
		addr%page != 0, newSize == 0, newSize > End,
		fixed && (to%page != 0 || to > End-newSize),
		fixed && overlap(addr, oldSize, to, newSize):
		return 0, 0, EINVAL
	}
	return oldSize, newSize, 0
}

// overlap tells whether two ranges have an address in common; the first, if it is empty,
// whether it lies inside of the second, but not at its start. The first may wrap around, the
// second does not.
func overlap(a, n, b, m uintptr) bool { return b-a < n || a-b < m && (n != 0 || a != b) }

// Advice of madvise(2) that has no effect here or is a mere hint, as <asm-generic/mman-common.h>
// numbers it: NORMAL to WILLNEED, DONTFORK and DOFORK, HUGEPAGE and NOHUGEPAGE, DONTDUMP and
// DODUMP, WIPEONFORK and KEEPONFORK (there is no fork), COLD, PAGEOUT.
const hints = uint64(0xf)<<0 | 3<<10 | 3<<14 | 3<<16 | 3<<18 | 3<<20

// Advice that is served.
const (
	DontNeed       = 4
	Free           = 8
	HugePage       = 14
	NoHugePage     = 15
	DontNeedLocked = 24
	Collapse       = 25
)

const served = 1<<DontNeed | 1<<Free | 1<<DontNeedLocked | 1<<Collapse

// Advice checks the third argument of madvise(2): what is not known is EINVAL.
//
//go:noinline
func Advice(advice uint32) (errno uintptr) {
	if advice > 63 || (hints|served)>>advice&1 == 0 {
		return EINVAL
	}
	return 0
}

// A Window is where mappings without a fixed address go: from Base to Limit, by the
// address Next on, where the last search ended.
type Window struct{ Base, Next, Limit uintptr }

// Place returns where a mapping goes that Map has accepted, and whether others must be
// unmapped for it. addr is a hint without one of the flags for fixed addresses.
func (w *Window) Place(l areas.List, addr, size, flags uintptr) (at uintptr, replaces bool, errno uintptr) {
	busy := l.Overlaps(addr, addr+size)
	switch {
	case flags&FixedNoReplace != 0 && busy:
		return 0, false, EEXIST
	case flags&(Fixed|FixedNoReplace) != 0:
		return addr, busy, 0
	}
	addr &^= page - 1 // as Linux rounds hints
	if addr >= Lowest && addr <= End-size && !l.Overlaps(addr, addr+size) {
		return addr, false, 0
	}
	if at = w.gap(l, size); at == 0 {
		return 0, false, ENOMEM
	}
	return at, false, 0
}

// gap finds size free bytes, 0 if there are none.
func (w *Window) gap(l areas.List, size uintptr) uintptr {
	at := l.Gap(w.Next, w.Limit, size)
	if at == 0 {
		at = l.Gap(w.Base, w.Limit, size)
	}
	if at != 0 {
		w.Next = at + size
	}
	return at
}

// Freed notes that addresses are free from addr on: page tables stay, and those are to be
// used again before more are needed.
func (w *Window) Freed(addr uintptr) {
	if addr >= w.Base {
		w.Next = min(w.Next, addr)
	}
}
