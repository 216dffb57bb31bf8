package mapped

import (
	"math/rand/v2"
	"testing"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// size is the table of the model's file in entries: five parts, the last one short.
const size = 4*PerTable + 100

const base = 0xffff800000000000

// file is a file beside a model of its table.
type file struct {
	t      *testing.T
	stores Stores
	table  [size]uintptr
	model  [size]uintptr
	there  [size/PerTable + 1]bool // parts of the table
}

// frame is a page's physical address.
func frame(index uintptr) uintptr { return (index + 1000) * machine.PageSize }

// step takes one operation from six bytes.
func (f *file) step(op [6]byte) {
	a := (uintptr(op[1]) | uintptr(op[2])<<8) % size
	b := a + (uintptr(op[3])|uintptr(op[4])<<8)%(size+200-a)
	switch op[0] % 4 {
	case 0, 1: // a store, which makes the page resident if it was not, or only that
		f.there[a/PerTable] = true
		if f.table[a] == 0 {
			f.table[a] = frame(a) | Resident | uintptr(op[5]&1)*New
		}
		if op[5]&2 == 0 {
			f.table[a] |= Dirty
			f.stores.Add(a)
		}
		f.model[a] = f.table[a]
	case 2:
		f.release()
		f.collect(Span{a, b}, int(op[5]%8), op[5]&64 != 0)
	case 3:
		f.release()
		f.collect(Span{0, ^uintptr(0)}, int(op[5]%64), op[5]&64 != 0)
	}
	f.check()
}

// parts calls do for each part of the table in s that is there.
func (f *file) parts(s Span, do func(index uintptr, entries []uintptr)) {
	for i := s.Start; i < s.End; {
		next := min((i/PerTable+1)*PerTable, s.End)
		if f.there[i/PerTable] {
			do(i, f.table[i:next])
		}
		i = next
	}
}

func (f *file) release() {
	f.parts(f.stores.Collected(), func(_ uintptr, entries []uintptr) { Release(entries) })
	for i := range f.model {
		f.model[i] &^= Collected
	}
}

func (f *file) collect(r Span, most int, all bool) {
	var want []machine.Stored
	dirty := uintptr(0)
	for i := r.Start; i < min(r.End, size) && len(want) < most; i++ {
		if e := f.model[i]; e&Dirty != 0 || all && e&New != 0 {
			want = append(want, machine.Stored{Index: i, Page: machine.Page(e + base)})
			if e&Dirty != 0 {
				dirty++
			}
			f.model[i] = e&^(Dirty|New) | Collected
		}
	}
	var c Collection
	out := make([]machine.Stored, most)
	c.Begin(&f.stores, r, size, all, base)
	f.parts(c.Range, func(index uintptr, entries []uintptr) { c.Part(index, entries, out) })
	got := out[:c.N]
	s := c.Finish(&f.stores, most)
	if len(got) != len(want) || c.Dirty != dirty {
		f.t.Fatalf("collecting %d from %d to %d, all %t: got %d pages, %d dirty; want %d, %d", most, r.Start, r.End, all, len(got), c.Dirty, len(want), dirty)
	}
	for i, w := range want {
		if got[i] != w {
			f.t.Fatalf("collecting %d from %d to %d, all %t: page %d is %#x; want %#x", most, r.Start, r.End, all, i, got[i], w)
		}
	}
	if n := len(got); n > 0 && (s.Start != got[0].Index || s.End != got[n-1].Index+1) {
		f.t.Fatalf("pages %d to %d are said to be in %v", got[0].Index, got[n-1].Index, s)
	}
}

func (f *file) check() {
	f.t.Helper()
	for i, want := range f.model {
		if f.table[i] != want {
			f.t.Fatalf("the entry of page %d is %#x; want %#x", i, f.table[i], want)
		}
	}
}

func run(t *testing.T, ops []byte) {
	f := &file{t: t}
	for ; len(ops) >= 6; ops = ops[6:] {
		f.step([6]byte(ops))
	}
	f.release()
	f.collect(Span{0, size}, size, false)
	f.check()
}

func TestModel(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		ops := make([]byte, 6*100)
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		run(t, ops)
	}
}

func FuzzStores(f *testing.F) {
	f.Add([]byte{0, 9, 0, 0, 0, 0, 0, 9, 2, 0, 0, 1, 2, 0, 0, 255, 1, 1, 3, 0, 0, 0, 0, 65})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 3, 3, 0, 0, 0, 0, 66, 0, 7, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, ops []byte) { run(t, ops[:min(len(ops), 6*100)]) })
}

// runs makes runs from bytes, and the same as a list of sectors by page; 0 is unknown.
func runs(b []byte) (Runs, []uintptr) {
	var r Runs
	var sectors []uintptr
	for ; len(b) >= 3 && len(sectors) < 1000; b = b[3:] {
		sectors = append(sectors, make([]uintptr, b[0]%5)...) // a hole
		run := machine.Run{First: uintptr(len(sectors)), Pages: 1 + uintptr(b[1]%9), Sector: 8 + uintptr(b[2])*1000}
		for i := range run.Pages {
			sectors = append(sectors, run.Sector+8*i)
		}
		r = append(r, run)
	}
	return r, append(sectors, make([]uintptr, 3)...)
}

func testPlace(t *testing.T, b []byte) {
	r, sectors := runs(b)
	for i, want := range sectors {
		at, n := r.Place(uintptr(i))
		if at != want || (n == 0) != (want == 0) {
			t.Fatalf("Place(%d) = %d, %d; want sector %d in %v", i, at, n, want, r)
		}
		for j := range n {
			if sectors[uintptr(i)+j] != at+8*j {
				t.Fatalf("Place(%d) = %d, %d: page %d lies at %d", i, at, n, uintptr(i)+j, sectors[uintptr(i)+j])
			}
		}
	}
}

func TestPlace(t *testing.T) {
	for seed := range 100 {
		r := rand.New(rand.NewPCG(uint64(seed), 4))
		b := make([]byte, 3*r.IntN(80))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		testPlace(t, b)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add([]byte{0, 3, 1, 2, 0, 4, 0, 8, 8})
	f.Fuzz(testPlace)
}

func TestUnstored(t *testing.T) {
	entries := []uintptr{0, frame(1) | Resident, frame(2) | Resident | New, frame(3) | Resident | New | Dirty, 77<<12 | Reading, frame(5) | New}
	if got := Unstored(entries); got != 1<<2|1<<5 {
		t.Errorf("Unstored = %b; want pages 2 and 5", got)
	}
	if got := Unstored(make([]uintptr, 64)); got != 0 {
		t.Errorf("Unstored of nothing = %b", got)
	}
}
