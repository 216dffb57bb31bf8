package wiring_test

import (
	"testing"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

const mib = 1 << 20

// The collector leaves an eighth of the memory to others, at least 2 MiB; a stack gets a quarter at
// most, and never more than Go allows.
func TestHeapLimit(t *testing.T) {
	for ram, want := range map[uint64]int64{64 * mib: 56 * mib, 8 * mib: 6 * mib, 1024 * mib: 896 * mib} {
		m := wiringtest.New(t)
		m.RAM = ram
		m.Start()
		if got := m.HeapLimit(); got != want {
			t.Errorf("%d MiB: limit %d; want %d", ram/mib, got, want)
		}
		if got := uint64(m.StackLimit); got != ram/4 {
			t.Errorf("%d MiB: a stack may have %d bytes; want a quarter", ram/mib, got)
		}
	}
}

// A balloon takes memory from the collector and gives it back, down to a least size; a
// limit of the program's own stays.
func TestShrinkMemory(t *testing.T) {
	m := wiringtest.New(t)
	m.Start()
	for _, s := range []struct {
		balloon uint64
		want    int64
	}{{8 * mib, 48 * mib}, {0, 56 * mib}, {55 * mib, 2 * mib}, {1 << 63, 2 * mib}, {16 * mib, 40 * mib}, {16 * mib, 40 * mib}} {
		wiring.ShrinkMemory(s.balloon)
		if got := m.HeapLimit(); got != s.want {
			t.Errorf("a balloon of %d bytes: limit %d; want %d", s.balloon, got, s.want)
		}
	}
	m.SetHeapLimit(20 * mib)
	for _, n := range []uint64{0, 50 * mib} {
		wiring.ShrinkMemory(n)
		if got := m.HeapLimit(); got != 20*mib {
			t.Errorf("a balloon of %d bytes: the program's limit is %d; want it to stay 20 MiB", n, got)
		}
	}
}
