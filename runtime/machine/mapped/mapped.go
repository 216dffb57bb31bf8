// Package mapped is what the machine half keeps of a file that is mapped: where its
// device has it, and the state of its pages.
//
// The table of a file's pages is mapped on demand, so that only parts of it are there;
// the caller (machine_files.go of package runtime) hands over one resident part after the
// other. It does so on a private stack, where nothing may be allocated and no write
// barrier may run.
package mapped

import "github.com/yolk-unikernel/yolk/runtime/machine"

// Runs are in the order of the file's pages, and do not overlap.
type Runs []machine.Run

// Place returns where the device has a page: its sector, and how many pages lie there
// from it on; 0, 0 if that is not known.
func (r Runs) Place(index uintptr) (at, n uintptr) {
	lo, hi := 0, len(r)
	for lo < hi { // the first run that ends behind index
		if mid := int(uint(lo+hi) >> 1); r[mid].First+r[mid].Pages <= index {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(r) || index < r[lo].First {
		return 0, 0
	}
	behind := index - r[lo].First
	return r[lo].Sector + behind*(machine.PageSize/machine.SectorSize), r[lo].Pages - behind
}

// The entry of a page is 0 or its physical address and these bits.
const (
	Resident  = uintptr(machine.PagePresent)
	Dirty     = uintptr(machine.PageDirty)
	New       = uintptr(machine.PageNew)
	Reading   = uintptr(machine.PageReading) // the rest is the mark of a request
	Collected = uintptr(machine.PageCollected)
)

// PerTable is how many entries a page of the table has.
const PerTable = machine.PageSize / 8

// A Span is pages of a file.
type Span struct{ Start, End uintptr }

// Stores says where in a file pages may be that a mapping has stored to.
type Stores struct {
	dirty     Span // pages outside of it are not Dirty
	collected Span // pages outside of it are not Collected
}

// Add says that a page is Dirty now.
func (s *Stores) Add(index uintptr) {
	if s.dirty.Start >= s.dirty.End {
		s.dirty = Span{index, index + 1}
		return
	}
	s.dirty.Start = min(s.dirty.Start, index)
	s.dirty.End = max(s.dirty.End, index+1)
}

// Collected returns the pages that may be Collected, and forgets them: the caller calls
// Release for those parts of the table that are there.
func (s *Stores) Collected() Span {
	c := s.collected
	s.collected = Span{}
	return c
}

// Release ends what Collect began: the kernel keeps the pages by itself.
func Release(part []uintptr) {
	for i := range part {
		part[i] &^= Collected
	}
}

// A Collection looks for pages that were stored to. Begin it, call Part for each part of
// the table in Range that is there, in order, and Finish it.
type Collection struct {
	Range Span    // where to look
	N     int     // how many were found
	Dirty uintptr // how many of them were Dirty

	whole bool    // the range has all that are Dirty
	want  uintptr // bits of those that are wanted
	base  uintptr
	found Span
}

// Begin prepares for collecting in r, in a file whose table has size entries. all means
// pages that are New, too; base is where physical address 0 is seen.
func (c *Collection) Begin(s *Stores, r Span, size uintptr, all bool, base uintptr) {
	*c = Collection{Range: r, want: Dirty, base: base}
	c.whole = r.Start <= s.dirty.Start && s.dirty.End <= r.End
	if all {
		c.want |= New
	} else {
		c.Range = Span{max(r.Start, s.dirty.Start), min(r.End, s.dirty.End)}
	}
	c.Range.End = min(c.Range.End, size)
}

// Part collects from entries of the table, of the pages from index on, as many as fit in
// out[c.N:]. What is found is clean then, and Collected.
func (c *Collection) Part(index uintptr, entries []uintptr, out []machine.Stored) {
	for i, e := range entries {
		if e&c.want == 0 {
			continue
		}
		if c.N == len(out) {
			return
		}
		at := index + uintptr(i)
		out[c.N] = machine.Stored{Index: at, Page: machine.Page(e + c.base)}
		entries[i] = e&^(Dirty|New) | Collected
		if c.N == 0 {
			c.found.Start = at
		}
		c.found.End = at + 1
		c.N++
		c.Dirty += e / Dirty % 2
	}
}

// Finish notes what was found, with room for most pages, and returns where that lies.
func (c *Collection) Finish(s *Stores, most int) Span {
	switch {
	case c.whole && c.N < most:
		s.dirty = Span{}
	case c.whole:
		s.dirty.Start = max(s.dirty.Start, c.found.End)
	}
	s.collected = c.found
	return c.found
}

// Unstored returns which of up to 64 entries are New and were not stored to: pages that
// only the machine knows, and that it can make again.
func Unstored(entries []uintptr) (set uint64) {
	for i, e := range entries {
		if e&(New|Dirty) == New {
			set |= 1 << i
		}
	}
	return set
}
