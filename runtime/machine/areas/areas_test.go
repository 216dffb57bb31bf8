package areas

import (
	"math/rand/v2"
	"testing"
)

// The model is a small address space, page by page.

const (
	base  = 16 * page
	pages = 48
	limit = base + pages*page
)

// shown is what the model knows of a page; the zero value is no mapping.
type shown struct {
	mapped     bool
	prot, file uintptr
	index      uintptr // which page of the file
}

type model [pages]shown

// machine is a list beside its model.
type machine struct {
	t     *testing.T
	list  List
	model model
}

// room gives the list place for exactly n more areas: a call that adds more panics.
func (m *machine) room(n int) List {
	return append(make(List, 0, len(m.list)+n), m.list...)
}

func address(i int) uintptr { return base + uintptr(i)*page }

// step takes one operation from the bytes of op and checks what it did.
func (m *machine) step(op [5]byte) {
	at := int(op[1]) % pages
	n := 1 + int(op[2])%(pages-at)
	start, end := address(at), address(at+n)
	kinds := []uintptr{0, Read, Read | Write, Read | Exec, Read | Write | 1<<8}
	prot := kinds[int(op[3])%len(kinds)]
	file := uintptr(op[4] % 3)
	first := uintptr(op[4] / 3 % 4)
	switch op[0] % 5 {
	case 0: // mmap with MAP_FIXED
		m.list = m.room(CutRoom).Cut(start, end)
		a := Area{Start: start, End: end, Prot: prot, File: file}
		if file != 0 {
			// Small steps, so that neighbours often continue each other.
			a.First = first + uintptr(at)
		}
		m.list = m.room(AddRoom).Add(a)
		for i := at; i < at+n; i++ {
			m.model[i] = shown{true, prot, file, 0}
			if file != 0 {
				m.model[i].index = a.First + uintptr(i-at)
			}
		}
	case 1:
		m.list = m.room(CutRoom).Cut(start, end)
		clear(m.model[at : at+n])
	case 2:
		m.list = m.room(ProtectRoom).Protect(start, end, Access, prot&Access)
		for i := at; i < at+n; i++ {
			if m.model[i].mapped {
				m.model[i].prot = m.model[i].prot&^Access | prot&Access
			}
		}
	case 3: // MADV_HUGEPAGE, MADV_NOHUGEPAGE
		m.list = m.room(ProtectRoom).Protect(start, end, 1<<8, prot&(1<<8))
		for i := at; i < at+n; i++ {
			if m.model[i].mapped {
				m.model[i].prot = m.model[i].prot&^(1<<8) | prot&(1<<8)
			}
		}
	case 4: // mmap without an address
		got := m.list.Gap(start, limit, uintptr(n)*page)
		if want := m.gap(at, n); got != want {
			m.t.Fatalf("Gap(%#x, %d pages) = %#x; want %#x in\n%v", start, n, got, want, m.list)
		}
	}
	m.check()
}

// gap searches the model.
func (m *machine) gap(from, n int) uintptr {
	for free := 0; from < pages; from++ {
		if free++; m.model[from].mapped {
			free = 0
		}
		if free == n {
			return address(from + 1 - n)
		}
	}
	return 0
}

// check compares the list with the model.
func (m *machine) check() {
	m.t.Helper()
	for i, a := range m.list {
		if a.Start >= a.End || a.Start%page != 0 || a.End%page != 0 || a.Start < base || a.End > limit {
			m.t.Fatalf("area %d is %+v", i, a)
		}
		if i == 0 {
			continue
		}
		if below := m.list[i-1]; below.End > a.Start {
			m.t.Fatalf("areas %d and %d overlap:\n%+v\n%+v", i-1, i, below, a)
		} else if below.End == a.Start && below.Prot == a.Prot && below.File == a.File &&
			(a.File == 0 || below.First+(below.End-below.Start)/page == a.First) {
			m.t.Fatalf("areas %d and %d are alike but not joined:\n%+v\n%+v", i-1, i, below, a)
		}
	}
	for i, want := range m.model {
		var got shown
		va := address(i) + uintptr(i)*85 // anywhere in the page
		a := m.list.At(va)
		if a != nil {
			got = shown{true, a.Prot, a.File, 0}
			if a.File != 0 {
				got.index = a.First + (va-a.Start)/page
			}
		}
		if got != want {
			m.t.Fatalf("page %d is %+v; want %+v in\n%v", i, got, want, m.list)
		}
		all, any, writable, plain := true, false, false, false
		for j := i; j < min(i+5, pages); j++ {
			all = all && m.model[j].mapped
			any = any || m.model[j].mapped
			if got := m.list.Covers(address(i), address(j+1)); got != all {
				m.t.Fatalf("Covers(pages %d to %d) = %t in\n%v", i, j, got, m.list)
			}
			if got := m.list.Overlaps(address(i), address(j+1)); got != any {
				m.t.Fatalf("Overlaps(pages %d to %d) = %t in\n%v", i, j, got, m.list)
			}
			writable = writable || m.model[j].prot&Write != 0
			if got := m.list.Has(address(i), address(j+1), Write, Write); got != writable {
				m.t.Fatalf("Has(pages %d to %d, Write) = %t in\n%v", i, j, got, m.list)
			}
			plain = plain || m.model[j].mapped && m.model[j].prot&Exec == 0
			if got := m.list.Has(address(i), address(j+1), Exec, 0); got != plain {
				m.t.Fatalf("Has(pages %d to %d, no Exec) = %t in\n%v", i, j, got, m.list)
			}
		}
	}
}

// run takes operations from bytes, five each.
func run(t *testing.T, ops []byte) {
	m := &machine{t: t}
	for ; len(ops) >= 5; ops = ops[5:] {
		m.step([5]byte(ops))
	}
}

func TestModel(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		ops := make([]byte, 5*200)
		for i := range ops {
			ops[i] = byte(r.Uint32())
			if i%5 == 2 && seed%2 == 0 {
				ops[i] &= 7 // short ranges, many areas
			}
		}
		run(t, ops)
	}
}

func FuzzList(f *testing.F) {
	f.Add([]byte{0, 4, 9, 2, 0, 2, 6, 2, 0, 0, 1, 8, 1, 0, 0, 4, 0, 3, 0, 0})
	f.Add([]byte{0, 4, 3, 1, 1, 0, 8, 3, 1, 1, 2, 5, 4, 2, 0, 2, 5, 4, 1, 0})
	f.Fuzz(func(t *testing.T, ops []byte) { run(t, ops[:min(len(ops), 5*500)]) })
}

// An area in whose midst a hole is made goes on in the right page of its file.
func TestCutKeepsFilePages(t *testing.T) {
	l := make(List, 0, 2).Add(Area{Start: base, End: base + 10*page, Prot: Read, File: 7, First: 100})
	l = l.Cut(base+3*page, base+5*page)
	want := List{{base, base + 3*page, Read, 7, 100}, {base + 5*page, base + 10*page, Read, 7, 105}}
	if len(l) != 2 || l[0] != want[0] || l[1] != want[1] {
		t.Errorf("Cut: %+v; want %+v", l, want)
	}
}

// A change back and forth leaves no pieces: a program that protects its pages one by
// one for ever does not fill memory with areas.
func TestProtectJoinsAgain(t *testing.T) {
	for _, file := range []uintptr{0, 7} {
		l := make(List, 0, 3).Add(Area{Start: base, End: limit, Prot: Read | Write, File: file})
		for i := range pages {
			l = l.Protect(address(i), address(i+1), Access, Read)
			l = l.Protect(address(i), address(i+1), Access, Read|Write)
		}
		if len(l) != 1 {
			t.Errorf("file %d: %d areas are left: %+v; want 1", file, len(l), l)
		}
	}
}

func TestGapDoesNotWrapAround(t *testing.T) {
	l := make(List, 0, 1).Add(Area{Start: base, End: base + page})
	if got := l.Gap(base, limit, ^uintptr(0)-page+1); got != 0 {
		t.Errorf("Gap of nearly the whole address space = %#x; want none", got)
	}
}

func TestShows(t *testing.T) {
	a := Area{Start: base, End: base + 10*page, File: 7, First: 100}
	for _, c := range []struct{ first, end, start, stop uintptr }{
		{0, ^uintptr(0), base, base + 10*page},
		{100, 110, base, base + 10*page},
		{103, 105, base + 3*page, base + 5*page},
		{50, 101, base, base + page},
		{109, 200, base + 9*page, base + 10*page},
		{50, 100, 0, 0},
		{110, 200, 0, 0},
		{0, 1, 0, 0},
		{1 << 60, ^uintptr(0), 0, 0},
	} {
		if start, stop := a.Shows(c.first, c.end); start != c.start || stop != c.stop {
			t.Errorf("Shows(%d, %d) = %#x, %#x; want %#x, %#x", c.first, c.end, start, stop, c.start, c.stop)
		}
	}
}

func TestAllows(t *testing.T) {
	const load = 0
	for _, c := range []struct {
		prot, code uintptr
		want       bool
	}{
		{0, load, false}, {0, Store, false}, {1 << 8, load, false},
		{Read, load, true}, {Read, Store, false}, {Read, Fetch, false},
		{Read | Write, Store, true}, {Read | Exec, Fetch, true},
		{Write, load, true}, // as on all x86 CPUs
		{Exec, load, true},
	} {
		if got := (&Area{Prot: c.prot}).Allows(c.code); got != c.want {
			t.Errorf("protection %#x allows access %d: %t; want %t", c.prot, c.code, got, c.want)
		}
	}
}

func BenchmarkAddCut(b *testing.B) {
	l := make(List, 0, 1001)
	for i := range uintptr(500) {
		l = l.Add(Area{Start: base + i*4*page, End: base + i*4*page + page, Prot: Read})
	}
	for i := range b.N {
		at := base + uintptr(i%500)*4*page + 2*page
		l = l.Add(Area{Start: at, End: at + page, Prot: Read}).Cut(at, at+page)
	}
}
