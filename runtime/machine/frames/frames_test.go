package frames

import (
	"slices"
	"testing"
)

// A run of free frames does not reach over the border of two bitmaps.
func TestRunStopsAtBitmapsEnd(t *testing.T) {
	m := newMachine(t, physical(t))
	m.drain()
	for _, p := range []uintptr{127 << 20, 128 << 20} { // lost to the bitmaps
		m.f.Put(p)
	}
	for p := uintptr(128<<20 - 4*Page); p < 128<<20+9*Page; p += Page {
		if p != 128<<20 {
			m.f.Put(p)
		}
	}
	if p := m.f.Contiguous(8 * Page); p != 128<<20+Page {
		t.Errorf("Contiguous(8 pages) = %#x; want %#x", p, 128<<20+Page)
	}
	if p := m.f.Contiguous(4 * Page); p != 128<<20-4*Page {
		t.Errorf("Contiguous(4 pages) = %#x; want %#x", p, 128<<20-4*Page)
	}
	if m.f.Free != 0 {
		t.Errorf("%d bytes are free; want 0", m.f.Free)
	}
}

// The balloon's host takes what was used before what was not, and what it has dropped
// last.
func TestDirtyBeforeCleanOnes(t *testing.T) {
	m := newMachine(t, physical(t))
	a, b, c := m.f.Take(), m.f.Take(), m.f.Take()
	m.f.Put(a) // the bitmap
	m.f.Give(Range{b, b + Page}, true)
	m.f.Give(Range{c, c + Page}, false)
	if p := m.f.Take(); p != c {
		t.Errorf("Take = %#x; want the dirty frame %#x", p, c)
	}
	if p := m.f.Take(); p <= c {
		t.Errorf("Take = %#x; want one that was never used", p)
	}
}

// All blocks of 2 MiB that RAM has are found, and, when they were freed, those of which
// no frame was lost to a bitmap.
func TestTakeLarge(t *testing.T) {
	m := newMachine(t, physical(t))
	want := []uintptr{264 << 20, 262 << 20, 128 << 20} // from the end
	m.wantLarge(want)
	m.drain()
	for len(m.held) > 0 {
		r := m.untake(&m.held, 0)
		for p := r.Start; p < r.End; p += Page {
			m.put(p, false)
			m.f.Put(p)
		}
	}
	slices.Reverse(want) // from the lowest bitmap
	want = slices.DeleteFunc(want, func(block uintptr) bool {
		for p := block; p < block+Large; p += Page {
			if m.state[p/Page] != freed {
				return true
			}
		}
		return false
	})
	if len(want) == 0 {
		t.Fatal("no block is left")
	}
	m.wantLarge(want)
}

// wantLarge takes all blocks of 2 MiB that there are.
func (m *machine) wantLarge(want []uintptr) {
	m.t.Helper()
	var got []uintptr
	for p := m.f.TakeLarge(); p != 0; p = m.f.TakeLarge() {
		m.take(Range{p, p + Large}, &m.held)
		got = append(got, p)
	}
	if !slices.Equal(got, want) {
		m.t.Fatalf("TakeLarge finds %#x; want %#x", got, want)
	}
	m.check()
}

// A machine with one region gives away all of it, to the byte.
func TestOneRegion(t *testing.T) {
	base := physical(t)
	region := Range{127 << 20, 127<<20 + 8*Page}
	fresh := func() *Frames {
		f := new(Frames)
		f.AddRegion(region)
		if !f.Init(base) || f.Free != 7*Page {
			t.Fatalf("%d bytes are free; want 7 pages", f.Free)
		}
		return f
	}
	if p := fresh().TakeLow(7*Page - 5); p != region.Start+Page {
		t.Errorf("TakeLow of all = %#x", p)
	}
	f := fresh()
	if p := f.TakeLow(Page); p != region.Start+Page || f.Free != 6*Page {
		t.Errorf("TakeLow(1 page) = %#x, and %d bytes are free", p, f.Free)
	}
	if p := fresh().Contiguous(7 * Page); p != region.Start+Page {
		t.Errorf("Contiguous of all = %#x", p)
	}
	if p := fresh().Contiguous(8 * Page); p != 0 {
		t.Errorf("Contiguous of more than all = %#x", p)
	}
	if r := fresh().TakeSome(1<<30, false); r != (Range{region.Start + Page, region.End}) {
		t.Errorf("TakeSome of all = %#x", r)
	}
}

func TestNoRAM(t *testing.T) {
	var f Frames
	if f.Init(0) || f.Take() != 0 || f.Contiguous(Page) != 0 || f.TakeLarge() != 0 || f.TakeLow(1) != 0 || f.TakeSome(Page, false) != (Range{}) {
		t.Error("a machine without RAM has some")
	}
}

func BenchmarkTakePut(b *testing.B) {
	m := newMachine(b, physical(b))
	m.f.Put(m.f.Take())
	for range b.N {
		m.f.Put(m.f.Take())
	}
}
