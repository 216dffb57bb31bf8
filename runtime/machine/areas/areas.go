// Package areas keeps the mapped ranges of an address space as Linux keeps its VMAs:
// sorted, without overlaps, and joined where two that touch are alike.
//
// The machine half (machine_mem.go of package runtime) calls it on a private stack,
// where nothing may be allocated and no write barrier may run: nothing here grows a
// slice or stores a pointer. A list lies wherever its owner put it, and its owner makes
// room in its capacity before it calls what adds areas.
package areas

const page = 4096

// Bits of [Area.Prot]: those of mmap(2), and the owner's above them.
const (
	Read  = 1 << 0 // PROT_READ
	Write = 1 << 1 // PROT_WRITE
	Exec  = 1 << 2 // PROT_EXEC

	Access = Read | Write | Exec
)

// An Area is a range of mapped addresses of one protection.
type Area struct {
	Start, End uintptr // multiples of the page size
	Prot       uintptr
	File       uintptr // what file it shows, or 0
	First      uintptr // which of the file's pages is at Start
}

// A List is the areas of an address space in the order of their addresses.
type List []Area

// How many areas a call may add.
const (
	AddRoom     = 1
	CutRoom     = 1
	ProtectRoom = CutRoom + AddRoom
)

// Bits of a page fault's error code (Intel SDM volume 3, 4.7).
const (
	Present = 1 << 0 // the page is there, and protected
	Store   = 1 << 1
	Fetch   = 1 << 4 // of an instruction
)

// Allows tells whether the access may be made that a page fault's error code describes.
func (a *Area) Allows(code uintptr) bool {
	return a.Prot&Access != 0 && (code&Store == 0 || a.Prot&Write != 0) && (code&Fetch == 0 || a.Prot&Exec != 0)
}

// Shows returns the addresses at which the area shows those of its file's pages that are
// in [first, end): an empty range if there are none.
func (a *Area) Shows(first, end uintptr) (start, stop uintptr) {
	first = max(first, a.First)
	end = min(end, a.First+(a.End-a.Start)/page)
	if first >= end {
		return 0, 0
	}
	return a.Start + (first-a.First)*page, a.Start + (end-a.First)*page
}

// moveStart makes the area begin later.
func (a *Area) moveStart(to uintptr) {
	a.First += (to - a.Start) / page
	a.Start = to
}

// joins tells whether b continues a.
func (a *Area) joins(b *Area) bool {
	return a.End == b.Start && a.Prot == b.Prot && a.File == b.File &&
		(a.File == 0 || b.First-a.First == (b.Start-a.Start)/page)
}

// Find returns the index of the first area that ends above va.
//
//go:noinline
func (l List) Find(va uintptr) int {
	lo, hi := 0, len(l)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); l[mid].End <= va {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// At returns the area that va lies in, nil if there is none. It is valid until the list
// changes.
//
//go:noinline
func (l List) At(va uintptr) *Area {
	if i := l.Find(va); i < len(l) && l[i].Start <= va {
		return &l[i]
	}
	return nil
}

// Overlaps reports whether any address in [start, end) is mapped.
func (l List) Overlaps(start, end uintptr) bool {
	i := l.Find(start)
	return i < len(l) && l[i].Start < end
}

// Covers reports whether all of [start, end) is mapped.
//
//go:noinline
func (l List) Covers(start, end uintptr) bool {
	for i := l.Find(start); start < end; i++ {
		if i == len(l) || l[i].Start > start {
			return false
		}
		start = l[i].End
	}
	return true
}

// Has reports whether Prot of any area in [start, end) has the value want in the bits of mask.
//
//go:noinline
func (l List) Has(start, end, mask, want uintptr) bool {
	for i := l.Find(start); i < len(l) && l[i].Start < end; i++ {
		if l[i].Prot&mask == want {
			return true
		}
	}
	return false
}

// Gap returns the lowest address, from from on, of n bytes that are free and end at
// limit or below; 0 if there is none.
func (l List) Gap(from, limit, n uintptr) uintptr {
	for i := l.Find(from); from <= limit && limit-from >= n; i++ {
		if i == len(l) || l[i].Start >= from+n {
			return from
		}
		from = l[i].End
	}
	return 0
}

// Add enters an area where nothing is mapped, and joins it with neighbours that are
// alike. It needs AddRoom.
func (l List) Add(a Area) List {
	i := l.Find(a.Start)
	below := i > 0 && l[i-1].joins(&a)
	above := i < len(l) && a.joins(&l[i])
	switch {
	case below && above:
		l[i-1].End = l[i].End
		return l.remove(i)
	case below:
		l[i-1].End = a.End
	case above:
		l[i].Start, l[i].First = a.Start, a.First
	default:
		l = l.insert(i)
		l[i] = a
	}
	return l
}

// insert makes place for an area at index i.
func (l List) insert(i int) List {
	l = l[:len(l)+1]
	copy(l[i+1:], l[i:])
	return l
}

func (l List) remove(i int) List {
	return l[:i+copy(l[i:], l[i+1:])]
}

// Cut unmaps [start, end), splitting areas that reach into it. It needs CutRoom.
func (l List) Cut(start, end uintptr) List {
	for i := l.Find(start); i < len(l); {
		a := &l[i]
		if a.Start >= end {
			break
		}
		if a.Start < start {
			if a.End > end { // the hole is in the midst of it
				l = l.insert(i)
				l[i].End = start
				l[i+1].moveStart(end)
				break
			}
			a.End = start
			i++
			continue
		}
		if a.End > end {
			a.moveStart(end)
			break
		}
		l = l.remove(i)
	}
	return l
}

// Protect replaces the bits clear of Prot by set in all that is mapped in [start, end).
// It needs ProtectRoom: what it adds are the ends of the range.
func (l List) Protect(start, end, clear, set uintptr) List {
	for start < end {
		i := l.Find(start)
		if i == len(l) {
			break
		}
		a := l[i]
		if a.Start < start {
			a.moveStart(start)
		}
		a.End = min(a.End, end)
		start = a.End
		if prot := a.Prot&^clear | set; a.Start < a.End && prot != a.Prot {
			a.Prot = prot
			l = l.Cut(a.Start, a.End).Add(a)
		}
	}
	return l
}
