package mman

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yolk-unikernel/yolk/runtime/machine/areas"
)

// The model computes with integers that have no limit, and keeps what is mapped as a set of
// pages that ends lists by the boundaries of the calls so far. It knows nothing of the
// package's own arithmetic.

var (
	bigPage   = big.NewInt(4096)
	bigLowest = big.NewInt(1 << 16)
	bigEnd    = new(big.Int).SetUint64(0x7ffffffff000)
	bigAll    = new(big.Int).Lsh(big.NewInt(1), 64)
)

func number(v uintptr) *big.Int { return new(big.Int).SetUint64(uint64(v)) }

// up rounds up to a multiple of the page size.
func up(v *big.Int) *big.Int {
	pages := new(big.Int).Div(new(big.Int).Add(v, big.NewInt(4095)), bigPage)
	return pages.Mul(pages, bigPage)
}

func aligned(v *big.Int) bool { return new(big.Int).Mod(v, bigPage).Sign() == 0 }

func sum(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }

func above(a, b *big.Int) bool { return a.Cmp(b) > 0 }

// span is a range of the model that is mapped.
type span struct{ start, end *big.Int }

// space is an address space under test beside its model.
type space struct {
	t      *testing.T
	list   areas.List
	window Window
	mapped []span // disjoint, in no order
}

func newSpace(t *testing.T) *space {
	const base, limit = 0x7f1234567000, 0x7ffff7000000
	return &space{t: t, window: Window{Base: base, Next: base, Limit: limit}}
}

// cut takes a range out of the model.
func (s *space) cut(start, end *big.Int) {
	var rest []span
	for _, m := range s.mapped {
		if !above(end, m.start) || !above(m.end, start) {
			rest = append(rest, m)
			continue
		}
		if above(start, m.start) {
			rest = append(rest, span{m.start, start})
		}
		if above(m.end, end) {
			rest = append(rest, span{end, m.end})
		}
	}
	s.mapped = rest
}

// overlaps and covers are the questions that calls ask of the model.
func (s *space) overlaps(start, end *big.Int) bool {
	return slices.ContainsFunc(s.mapped, func(m span) bool { return above(end, m.start) && above(m.end, start) })
}

func (s *space) covers(start, end *big.Int) bool {
	left := new(big.Int).Sub(end, start)
	for _, m := range s.mapped {
		lo, hi := m.start, m.end
		if above(start, lo) {
			lo = start
		}
		if above(hi, end) {
			hi = end
		}
		if above(hi, lo) {
			left.Sub(left, new(big.Int).Sub(hi, lo))
		}
	}
	return left.Sign() <= 0
}

func (s *space) same(call string, got, want uintptr) {
	s.t.Helper()
	if got != want {
		s.t.Fatalf("%s: errno %d; want %d in\n%x", call, got, want, s.list)
	}
}

// room gives the list place for exactly n more areas.
func (s *space) room(n int) areas.List {
	return append(make(areas.List, 0, len(s.list)+n), s.list...)
}

// wantMap is what mmap(2) answers: 0 if the model accepts it.
func (s *space) wantMap(addr, n, flags uintptr) uintptr {
	size := up(number(n))
	end := sum(number(addr), size)
	fixed := flags&(0x10|0x100000) != 0
	switch {
	case n == 0:
		return EINVAL
	case above(size, bigEnd), fixed && above(end, bigEnd):
		return ENOMEM
	case fixed && !aligned(number(addr)):
		return EINVAL
	case fixed && above(bigLowest, number(addr)):
		return EPERM
	case flags&0x40000 != 0:
		return ENOMEM
	case flags&15 != 1 && flags&15 != 2:
		return EINVAL
	case flags&0x100000 != 0 && s.overlaps(number(addr), end):
		return EEXIST
	}
	return 0
}

// mmap is machMem.mmap without page tables.
func (s *space) mmap(addr, n, prot, flags uintptr) {
	call := fmt.Sprintf("mmap(%#x, %#x, %d, %#x)", addr, n, prot, flags)
	want := s.wantMap(addr, n, flags)
	size, errno := Map(addr, n, flags|Anonymous)
	at, replaces := uintptr(0), false
	if errno == 0 {
		at, replaces, errno = s.window.Place(s.list, addr, size, flags)
	}
	if errno == ENOMEM && want == 0 && flags&(Fixed|FixedNoReplace) == 0 {
		s.wantFull(call, n)
		return
	}
	s.same(call, errno, want)
	if errno != 0 {
		return
	}
	start, end := number(at), sum(number(at), up(number(n)))
	if flags&(Fixed|FixedNoReplace) != 0 && at != addr {
		s.t.Fatalf("%s lies at %#x", call, at)
	}
	if busy := s.overlaps(start, end); busy != replaces || busy && flags&Fixed == 0 {
		s.t.Fatalf("%s at %#x replaces %t; the model has %t in\n%x", call, at, replaces, busy, s.list)
	}
	if replaces {
		s.unmap(call, at, size)
	}
	s.list = s.room(areas.AddRoom).Add(areas.Area{Start: at, End: at + size, Prot: prot & areas.Access})
	s.cut(start, end)
	s.mapped = append(s.mapped, span{start, end})
}

// wantFull checks that the window has no place for n bytes.
func (s *space) wantFull(call string, n uintptr) {
	starts := []*big.Int{number(s.window.Base)}
	for _, m := range s.mapped {
		starts = append(starts, m.end)
	}
	for _, at := range starts {
		end := sum(at, up(number(n)))
		if !above(number(s.window.Base), at) && !above(end, number(s.window.Limit)) && !s.overlaps(at, end) {
			s.t.Fatalf("%s: ENOMEM, and %x is free in\n%x", call, at, s.list)
		}
	}
}

func (s *space) munmap(addr, n uintptr) {
	call := fmt.Sprintf("munmap(%#x, %#x)", addr, n)
	want := uintptr(0)
	if n == 0 || !aligned(number(addr)) || above(sum(number(addr), number(n)), bigEnd) {
		want = EINVAL
	}
	s.same(call, s.unmap(call, addr, n), want)
	if want == 0 {
		s.cut(number(addr), sum(number(addr), up(number(n))))
	}
}

func (s *space) unmap(call string, addr, n uintptr) uintptr {
	end, errno := Unmap(addr, n)
	if errno != 0 {
		return errno
	}
	if number(end).Cmp(sum(number(addr), up(number(n)))) != 0 {
		s.t.Fatalf("%s ends at %#x", call, end)
	}
	s.list = s.room(areas.CutRoom).Cut(addr, end)
	s.window.Freed(addr)
	return 0
}

func (s *space) mprotect(addr, n, prot uintptr) {
	end := sum(number(addr), up(number(n)))
	want := uintptr(0)
	switch {
	case prot>>24&3 == 3, !aligned(number(addr)):
		want = EINVAL
	case n == 0:
	case end.Cmp(bigAll) >= 0:
		want = ENOMEM
	case prot&^15 != 0:
		want = EINVAL
	case !s.covers(number(addr), end):
		want = ENOMEM
	}
	to, errno := Protect(addr, n, prot)
	if errno == 0 && !s.list.Covers(addr, to) {
		errno = ENOMEM
	}
	s.same(fmt.Sprintf("mprotect(%#x, %#x, %#x)", addr, n, prot), errno, want)
	if errno == 0 {
		s.list = s.room(areas.ProtectRoom).Protect(addr, to, areas.Access, prot&areas.Access)
	}
}

// ranges checks the calls that change no area: madvise, mincore, mlock and msync.
func (s *space) ranges(addr, n uintptr) {
	a, size := number(addr), up(number(n))
	end := sum(a, size)
	missing := func() uintptr {
		if !s.covers(a, end) {
			return ENOMEM
		}
		return 0
	}
	ask := func(from, to, errno uintptr) uintptr {
		if errno == 0 && !s.list.Covers(from, to) {
			errno = ENOMEM
		}
		return errno
	}

	want := missing()
	if !aligned(a) || end.Cmp(bigAll) >= 0 && n != 0 {
		want = EINVAL
	}
	to, errno := Range(addr, n)
	s.same(fmt.Sprintf("madvise(%#x, %#x)", addr, n), ask(addr, to, errno), want)

	want = missing()
	if !aligned(a) {
		want = EINVAL
	} else if above(sum(a, number(n)), bigEnd) {
		want = ENOMEM
	}
	to, errno = Core(addr, n)
	s.same(fmt.Sprintf("mincore(%#x, %#x)", addr, n), ask(addr, to, errno), want)

	// Linux takes msync of a length that rounds up to 1<<64 for one of nothing.
	want = missing()
	if !aligned(a) {
		want = EINVAL
	} else if end.Cmp(bigAll) >= 0 {
		if want = ENOMEM; size.Cmp(bigAll) == 0 {
			want = 0
		}
	}
	to, errno = Sync(addr, n)
	s.same(fmt.Sprintf("msync(%#x, %#x)", addr, n), ask(addr, to, errno), want)

	from, to, errno := Lock(addr, n)
	bytes := sum(number(addr), number(n))
	if bytes.Cmp(bigAll) < 0 && errno == 0 {
		if above(number(from), a) || above(a, sum(number(from), big.NewInt(4095))) || above(bytes, number(to)) && to != 0 {
			s.t.Fatalf("mlock(%#x, %#x) is of %#x to %#x", addr, n, from, to)
		}
	}
	if from%page != 0 || to%page != 0 || to < from && errno == 0 {
		s.t.Fatalf("mlock(%#x, %#x) is of %#x to %#x, errno %d", addr, n, from, to, errno)
	}
}

func (s *space) mremap(addr, old, size, flags, to uintptr) {
	newSize := up(number(size))
	fixed := flags&2 != 0
	invalid := flags>>3 != 0 || flags&1 == 0 && flags&6 != 0 || flags&4 != 0 && old != size ||
		!aligned(number(addr)) || size == 0 || above(newSize, bigEnd)
	if fixed && !invalid {
		end := sum(number(to), newSize)
		invalid = !aligned(number(to)) || above(end, bigEnd)
		a, b := number(addr), sum(number(addr), up(number(old)))
		if b.Cmp(bigAll) < 0 {
			invalid = invalid || above(b, number(to)) && above(end, a)
		} else {
			fixed = false // it will be EFAULT, if it is not EINVAL
		}
	}
	oldSize, gotSize, errno := Remap(addr, old, size, flags, to)
	call := fmt.Sprintf("mremap(%#x, %#x, %#x, %d, %#x)", addr, old, size, flags, to)
	if errno == 0 && (number(gotSize).Cmp(newSize) != 0 || new(big.Int).Mod(up(number(old)), bigAll).Cmp(number(oldSize)) != 0) {
		s.t.Fatalf("%s: sizes %#x and %#x", call, oldSize, gotSize)
	}
	if (errno != 0) != invalid && (fixed || flags&2 == 0) {
		s.t.Fatalf("%s: errno %d; the model refuses it: %t", call, errno, invalid)
	}
}

// check compares what is mapped.
func (s *space) check() {
	s.t.Helper()
	total := new(big.Int)
	for _, m := range s.mapped {
		total.Add(total, new(big.Int).Sub(m.end, m.start))
	}
	listed := new(big.Int)
	for i, a := range s.list {
		if a.Start < Lowest || a.End > End || a.Start >= a.End || a.Start%page != 0 || a.End%page != 0 {
			s.t.Fatalf("area %d is %#x to %#x: not of the program's", i, a.Start, a.End)
		}
		if !s.covers(number(a.Start), number(a.End)) {
			s.t.Fatalf("area %d, %#x to %#x, is not mapped in the model", i, a.Start, a.End)
		}
		listed.Add(listed, new(big.Int).Sub(number(a.End), number(a.Start)))
	}
	if listed.Cmp(total) != 0 {
		s.t.Fatalf("%v bytes are mapped; want %v", listed, total)
	}
}

// corners are addresses and lengths around which arithmetic goes wrong.
var corners = []uintptr{
	0, 1, page, Lowest, 0x400000, 0x7f1234567000, End, 1 << 47, 1 << 63, 0xffff800000000000, 0xffffffff80000000, ^uintptr(0) &^ (page - 1), ^uintptr(0),
}

// value makes a number out of five bytes: a corner and a distance from it.
func value(b []byte) uintptr {
	v := corners[int(b[0])%len(corners)]
	d := uintptr(int64(int16(binary.LittleEndian.Uint16(b[1:]))))
	switch b[3] % 4 {
	case 0:
		return v + d%8*page
	case 1:
		return v + d*page
	case 2:
		return v + d
	}
	return v - End + d*page // a length that leads from another corner to the end
}

const opSize = 16

// step makes the call that the bytes of op stand for.
func (s *space) step(op []byte) {
	addr, n := value(op[1:]), value(op[5:])
	flags := []uintptr{Private, Private | Fixed, Private | FixedNoReplace, Shared | Fixed, Private | Fixed | FixedNoReplace, 0, 3, Private | hugeTLB}[op[9]%8]
	prot := []uintptr{0, 1, 3, 5, 7, 8 | 1, 16, 1 << 24, 3 << 24}[int(op[10])%9]
	switch op[0] % 6 {
	case 0, 1:
		s.mmap(addr, n, prot, flags)
	case 2:
		s.munmap(addr, n)
	case 3:
		s.mprotect(addr, n, prot)
	case 4:
		s.ranges(addr, n)
	case 5:
		s.mremap(addr, n, value(op[11:]), uintptr(op[9]%9), value(op[12:]))
	}
	s.check()
}

func run(t *testing.T, ops []byte) {
	s := newSpace(t)
	for ; len(ops) >= opSize; ops = ops[opSize:] {
		s.step(ops[:opSize])
	}
}

func TestModel(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		ops := make([]byte, opSize*100)
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		run(t, ops)
	}
}

func FuzzCalls(f *testing.F) {
	f.Add([]byte{0, 9, 2, 0, 0, 3, 0, 0, 3, 1, 2, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) { run(t, ops[:min(len(ops), opSize*200)]) })
}

// Ranges that wrap around were accepted: what they covered was the direct map of all RAM.
func TestWrappingRanges(t *testing.T) {
	const directMap = 0xffff800000000000
	for _, addr := range []uintptr{directMap, directMap + 2*page, 1 << 63, ^uintptr(0) - page + 1} {
		for _, n := range []uintptr{page, -addr, -addr + page, -addr - 1, End, ^uintptr(0), 1 << 63} {
			if _, errno := Map(addr, n, Private|Fixed); errno != ENOMEM {
				t.Errorf("Map(%#x, %#x, MAP_FIXED) = errno %d; want ENOMEM", addr, n, errno)
			}
			if _, errno := Unmap(addr, n); errno != EINVAL {
				t.Errorf("Unmap(%#x, %#x) = errno %d; want EINVAL", addr, n, errno)
			}
			if _, errno := Core(addr, n); errno != ENOMEM {
				t.Errorf("Core(%#x, %#x) = errno %d; want ENOMEM", addr, n, errno)
			}
			if _, _, errno := Remap(Lowest, page, n, MayMove|RemapFixed, addr); errno != EINVAL {
				t.Errorf("Remap to %#x, %#x = errno %d; want EINVAL", addr, n, errno)
			}
		}
	}
}

func TestFile(t *testing.T) {
	for _, c := range []struct{ off, size, want uintptr }{
		{0, page, 0}, {page, page, 0}, {1, page, EINVAL}, {page - 1, page, EINVAL},
		{1<<63 - page, page, EOVERFLOW}, {1<<63 - page, page - 1, 0}, {1<<63 - 2*page, page, 0},
		{1 << 63, page, EOVERFLOW}, {^uintptr(0) - page + 1, page, EOVERFLOW}, {0, 1 << 63, EOVERFLOW},
	} {
		if got := File(c.off, c.size); got != c.want {
			t.Errorf("File(%#x, %#x) = %d; want %d", c.off, c.size, got, c.want)
		}
	}
}

// What is accepted has an effect or is a mere hint.
func TestAdvice(t *testing.T) {
	accepted := []uint32{0, 1, 2, 3, DontNeed, Free, 10, 11, HugePage, NoHugePage, 16, 17, 18, 19, 20, 21, DontNeedLocked, Collapse}
	for advice := range uint32(200) {
		if got, want := Advice(advice) == 0, slices.Contains(accepted, advice); got != want {
			t.Errorf("Advice(%d) accepts it: %t; want %t", advice, got, want)
		}
	}
	if Advice(1<<31|DontNeed) == 0 {
		t.Error("Advice accepts a number with another bit")
	}
}

func TestGains(t *testing.T) {
	const r, w, x = areas.Read, areas.Write, areas.Exec
	l := make(areas.List, 0, 4)
	at := uintptr(Lowest)
	for _, prot := range []uintptr{r | x, r, r | w, r | w | x} { // a page each
		l = l.Add(areas.Area{Start: at, End: at + page, Prot: prot})
		at += page
	}
	for _, c := range []struct {
		first, n, prot uintptr
		want           bool
	}{
		{0, 1, r, false}, {0, 1, r | w, false}, {0, 1, r | x, false}, {0, 1, x, false}, {0, 1, r | w | x, true},
		{1, 1, r | w, false}, {1, 1, r | x, true}, {1, 1, x, true}, {1, 1, r | w | x, true},
		{2, 1, r, false}, {2, 1, r | x, true},
		{3, 1, r | w, false}, {3, 1, r | x, true}, {3, 1, r | w | x, true}, // what was written becomes code
		{0, 2, r | x, true}, {0, 4, r | w, false}, {0, 0, r | x, false},
	} {
		start := Lowest + c.first*page
		if got := Gains(l, start, start+c.n*page, c.prot); got != c.want {
			t.Errorf("Gains(%d pages from %d, %d) = %t; want %t", c.n, c.first, c.prot, got, c.want)
		}
	}
}
