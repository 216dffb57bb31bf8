package frames

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// ram is a machine's memory map: parts of three bitmaps, one region over the border of
// two, holes, odd ends.
var ram = []Range{
	{127 << 20, 130<<20 + 3*Page},
	{1 << 20, 2 << 20},
	{260<<20 + 5*Page, 267<<20 - 7*Page},
	{3 << 20, 3<<20 + Page},
}

const end = 267 << 20 // of physical memory

// physical makes the test's physical memory, outside of Go's heap. What is no RAM cannot
// be touched.
func physical(t testing.TB) uintptr {
	m, err := syscall.Mmap(-1, 0, end, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	for _, r := range ram {
		if err := syscall.Mprotect(m[r.Start:r.End], syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
			t.Fatal(err)
		}
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(m)))
}

// What the model knows of a frame.
const (
	noRAM = iota
	free  // or lost to a bitmap
	used
	freed // and dirty
)

// machine is an allocator beside a model of who has what.
type machine struct {
	t       testing.TB
	f       Frames
	base    uintptr
	state   [end / Page]uint8
	bitmaps [end>>chunkShift + 1]bool // which have kept their first dirty frame
	all     []uintptr                 // the addresses of RAM's frames, in order
	held    []Range                   // what was taken
	lent    []Range                   // what TakeSome gave, still filled with a pattern
	mark    uint64
}

func newMachine(t testing.TB, base uintptr) *machine {
	m := &machine{t: t, base: base}
	for _, r := range ram {
		m.f.AddRegion(r)
		for p := r.Start; p < r.End; p += Page {
			m.state[p/Page] = free
			m.all = append(m.all, p)
		}
	}
	slices.Sort(m.all)
	for _, p := range m.all { // memory is not zeroed
		m.fill(p)
	}
	for i := uintptr(0); i < Page; i += 8 {
		*m.word(1<<20 + i) = ^uint64(0)
	}
	all := m.f.Free
	if all != uintptr(len(m.all))*Page {
		t.Fatalf("%d bytes are free; want %d", all, len(m.all)*Page)
	}
	if !m.f.Init(base) {
		t.Fatal("Init has no room")
	}
	// The table of bitmaps is taken, from the lowest region.
	for p := uintptr(1 << 20); p < 1<<20+all-m.f.Free; p += Page {
		m.state[p/Page] = used
	}
	return m
}

// word is a word of physical memory.
func (m *machine) word(p uintptr) *uint64 { return (*uint64)(unsafe.Add(nil, m.base+p)) }

// fill writes to a frame what looks like a bitmap that is full, and a mark.
func (m *machine) fill(p uintptr) {
	*m.word(p) = ^uint64(0)
	*m.word(p + 8) = m.mark<<32 | uint64(p/Page)
	*m.word(p + Page - 8) = ^uint64(0)
}

// filled tells whether nobody has written to it since.
func (m *machine) filled(p uintptr) bool {
	return *m.word(p) == ^uint64(0) && *m.word(p + 8)&(1<<32-1) == uint64(p/Page) && *m.word(p + Page - 8) == ^uint64(0)
}

// take notes that r was taken, and fills it.
func (m *machine) take(r Range, list *[]Range) {
	m.t.Helper()
	if r.Start%Page != 0 || r.End <= r.Start || r.End > end {
		m.t.Fatalf("got %#x", r)
	}
	m.mark++
	for p := r.Start; p < r.End; p += Page {
		if s := m.state[p/Page]; s != free && s != freed {
			m.t.Fatalf("got %#x, of which %#x is in state %d", r, p, s)
		}
		m.state[p/Page] = used
		m.fill(p)
	}
	*list = append(*list, r)
}

// untake takes entry i out of a list, and checks that nobody wrote to its memory.
func (m *machine) untake(list *[]Range, i int) Range {
	m.t.Helper()
	r := (*list)[i]
	(*list)[i] = (*list)[len(*list)-1]
	*list = (*list)[:len(*list)-1]
	for p := r.Start; p < r.End; p += Page {
		if !m.filled(p) {
			m.t.Fatalf("the allocator wrote to %#x, which was taken", p)
		}
	}
	return r
}

// put notes that a frame was freed.
func (m *machine) put(p uintptr, isClean bool) {
	m.state[p/Page] = freed
	if isClean {
		m.state[p/Page] = free
	} else if !m.bitmaps[p>>chunkShift] {
		m.bitmaps[p>>chunkShift] = true
		m.state[p/Page] = used // for ever
	}
}

// firstFreed returns the lowest run of dirty frames within one bitmap, n at most.
func (m *machine) firstFreed(n uintptr) Range {
	var r Range
	for _, p := range m.all {
		is := m.state[p/Page] == freed
		switch {
		case is && r.End == 0:
			r = Range{p, p + Page}
		case is && r.End == p && p%(1<<chunkShift) != 0 && r.End-r.Start < n:
			r.End += Page
		case r.End != 0:
			return r
		}
	}
	return r
}

// longest returns the longest run of dirty frames within one bitmap, in bytes.
func (m *machine) longest() (most uintptr) {
	run, next := uintptr(0), uintptr(0)
	for _, p := range m.all {
		if p != next || p%(1<<chunkShift) == 0 {
			run = 0
		}
		if run, next = run+Page, p+Page; m.state[p/Page] != freed {
			run = 0
		}
		most = max(most, run)
	}
	return most
}

// step takes one operation from three bytes.
func (m *machine) step(op [3]byte) {
	pick := int(binary.LittleEndian.Uint16(op[1:]))
	n := uintptr(1+op[1]%32) * Page
	before := m.f.Free
	switch op[0] % 8 {
	case 0, 1:
		want := m.firstFreed(Page)
		p := m.f.Take()
		if p == 0 {
			if before != 0 {
				m.t.Fatalf("Take finds nothing, with %d bytes free", before)
			}
			return
		}
		if want.End != 0 && p != want.Start {
			m.t.Fatalf("Take = %#x; want the lowest dirty frame, %#x", p, want.Start)
		}
		m.take(Range{p, p + Page}, &m.held)
		m.gone(before, Page)
	case 2, 3:
		if len(m.held) == 0 {
			return
		}
		r := m.untake(&m.held, pick%len(m.held))
		for p := r.Start; p < r.End; p += Page {
			m.put(p, false)
			m.f.Put(p)
		}
	case 4:
		p := m.f.Contiguous(n)
		if p == 0 {
			if most := m.longest(); most >= n {
				m.t.Fatalf("Contiguous(%#x) finds nothing; %#x dirty bytes lie in a run", n, most)
			}
			return
		}
		m.take(Range{p, p + n}, &m.held)
		m.gone(before, n)
	case 5:
		p := m.f.TakeLarge()
		if p%Large != 0 {
			m.t.Fatalf("TakeLarge = %#x", p)
		}
		if p != 0 {
			m.take(Range{p, p + Large}, &m.held)
		}
	case 6:
		onlyUsed := op[2]&1 != 0
		want := m.firstFreed(n)
		r := m.f.TakeSome(n+uintptr(op[2]), onlyUsed)
		if (want.End != 0 || onlyUsed) && r != want {
			m.t.Fatalf("TakeSome(%#x) = %#x; want the lowest dirty run, %#x", n, r, want)
		}
		if r.Start == r.End {
			if !onlyUsed && before != 0 {
				m.t.Fatalf("TakeSome finds nothing, with %d bytes free", before)
			}
			return
		}
		if r.End-r.Start > n {
			m.t.Fatalf("TakeSome(%#x) = %#x", n, r)
		}
		m.take(r, &m.lent)
		m.gone(before, r.End-r.Start)
	case 7:
		if len(m.lent) == 0 {
			return
		}
		r := m.untake(&m.lent, pick%len(m.lent))
		for p := r.Start; p < r.End; p += Page {
			m.put(p, op[2]&1 != 0)
		}
		m.f.Give(r, op[2]&1 != 0)
	}
	m.check()
}

// gone checks that n bytes less are free than before.
func (m *machine) gone(before, n uintptr) {
	m.t.Helper()
	if got := before - m.f.Free; got != n {
		m.t.Fatalf("%d bytes less are free; want %d", int(got), int(n))
	}
}

// check compares numbers: what is free and what is not are all RAM, but for a frame for
// each bitmap of clean ones, which the model cannot know.
func (m *machine) check() {
	m.t.Helper()
	might, dirty := uintptr(0), uintptr(0)
	for _, p := range m.all {
		switch m.state[p/Page] {
		case freed:
			dirty++
			might++
		case free:
			might++
		}
	}
	if m.f.Free > might*Page || m.f.Free+uintptr(len(m.bitmaps))*Page < might*Page {
		m.t.Fatalf("%d frames are free; want %d", m.f.Free/Page, might)
	}
	if m.f.Dirty() != dirty*Page {
		m.t.Fatalf("%d bytes are dirty; want %d", m.f.Dirty(), dirty*Page)
	}
}

// drain takes everything that is free.
func (m *machine) drain() {
	for want := m.f.Free / Page; want > 0; want-- {
		p := m.f.Take()
		if p == 0 {
			m.t.Fatalf("%d frames cannot be taken", want)
		}
		m.take(Range{p, p + Page}, &m.held)
	}
	if p := m.f.Take(); p != 0 || m.f.Free != 0 {
		m.t.Fatalf("with nothing left Take = %#x, Free = %d", p, m.f.Free)
	}
}

// run takes operations from bytes, then all that is left, and frees it.
func run(t testing.TB, base uintptr, ops []byte) {
	m := newMachine(t, base)
	for ; len(ops) >= 3; ops = ops[3:] {
		m.step([3]byte(ops))
	}
	m.drain()
	for len(m.held) > 0 {
		r := m.untake(&m.held, 0)
		for p := r.Start; p < r.End; p += Page {
			m.put(p, false)
			m.f.Put(p)
		}
	}
	m.check()
}

func TestModel(t *testing.T) {
	base := physical(t)
	rounds := 60
	if testing.Short() {
		rounds = 12
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		ops := make([]byte, 3*400)
		for i := range ops {
			ops[i] = byte(r.Uint32())
			if i%3 == 0 && r.IntN(4) < seed%4 {
				ops[i] = []byte{0, 4, 5, 6}[r.IntN(4)] // more is taken than freed
			}
		}
		run(t, base, ops)
	}
}

func FuzzFrames(f *testing.F) {
	base := physical(f)
	f.Add([]byte{0, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 0, 0})
	f.Add([]byte{5, 0, 0, 2, 0, 0, 4, 9, 0, 6, 31, 0, 6, 31, 1, 7, 0, 1, 7, 1, 0, 5, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) { run(t, base, ops[:min(len(ops), 3*200)]) })
}
