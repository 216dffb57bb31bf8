package bounce

import (
	"testing"
)

func TestPool(t *testing.T) {
	var p Pool
	a, b := p.Get(), p.Get()
	if len(a) != Size || len(b) != Size || &a[0] == &b[0] {
		t.Fatalf("Get returned buffers of %d and %d bytes, the same: %v; want two of %d", len(a), len(b), &a[0] == &b[0], Size)
	}
	p.Put(a)
	p.Put(b)
	if n := testing.AllocsPerRun(100, func() { p.Put(p.Get()) }); n != 0 {
		t.Errorf("Get makes %v allocations while buffers are free; want 0", n)
	}
}

func TestNeeded(t *testing.T) {
	data := make([]byte, 10)
	p := Pool{NoDMA: func(b []byte) bool { return &b[0] == &data[2] }}
	if p.Needed(data) || !p.Needed(data[2:]) {
		t.Errorf("Needed = %v and %v; want false, true as NoDMA says", p.Needed(data), p.Needed(data[2:]))
	}
	if (&Pool{}).Needed(data) {
		t.Error("Needed without NoDMA = true; want false")
	}
}
