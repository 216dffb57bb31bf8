package wiring_test

import (
	"testing"

	"github.com/yolk-unikernel/yolk/runtime/machine"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// Redirection entries (82093AA §3.2.4): vector, level bit, destination.
const level = 1 << 15

func TestRouteGSI(t *testing.T) {
	m := wiringtest.New(t)
	m.Boot.BootAPIC = 7
	first, second := wiring.NewHostIOAPIC(24), wiring.NewHostIOAPIC(8)
	m.Registers[0xfec00000], m.Registers[0xfec10000] = first, second
	m.Start() // routes line 4 to the console
	if got, want := first.Entry(4), uint64(7)<<56|machine.FirstVector; got != want {
		t.Errorf("line 4 is %#x; want the console, %#x", got, want)
	}
	if wiring.RouteGSI(24, false) != nil {
		t.Error("line 24 of one I/O APIC with 24 was routed")
	}
	wiring.AddIOAPIC(0xfec10000, 24)
	wiring.AddIOAPIC(0xdead0000, 24) // known: nothing is mapped
	vector := uint64(machine.FirstVector)
	for _, tt := range []struct {
		gsi   uint32
		level bool
		chip  *wiring.HostIOAPIC
		input int
	}{{0, false, first, 0}, {23, true, first, 23}, {24, false, second, 0}, {31, true, second, 7}} {
		irq := wiring.RouteGSI(tt.gsi, tt.level)
		if irq == nil {
			t.Fatalf("RouteGSI(%d) = nil", tt.gsi)
		}
		vector++
		want := 7<<56 | vector
		if tt.level {
			want |= level
		}
		if got := tt.chip.Entry(tt.input); got != want || uint64(irq.Vector()) != vector {
			t.Errorf("RouteGSI(%d, %v): entry %#x, vector %d; want %#x, %d", tt.gsi, tt.level, got, irq.Vector(), want, vector)
		}
		m.RaiseGSI(tt.gsi)
		if err := irq.Wait(); err != nil {
			t.Errorf("Wait = %v", err)
		}
	}
	for _, gsi := range []uint32{32, 255, 1<<32 - 1} {
		if wiring.RouteGSI(gsi, false) != nil {
			t.Errorf("line %d, which no I/O APIC has, was routed", gsi)
		}
	}
	if got := second.Entry(1); got != 1<<16 {
		t.Errorf("a line that nobody asked for is %#x; want masked", got)
	}
}

// When all vectors are taken, a line stays as it was.
func TestVectorsUsedUp(t *testing.T) {
	m := wiringtest.New(t)
	chip := wiring.NewHostIOAPIC(24)
	m.Registers[0xfec00000], m.Vectors = chip, 3
	m.Start() // one for the console
	if wiring.NewInterrupt() == nil || wiring.RouteGSI(5, false) == nil {
		t.Fatal("two vectors are left, and cannot be had")
	}
	if irq := wiring.NewInterrupt(); irq != nil {
		t.Errorf("NewInterrupt = vector %d; want none", irq.Vector())
	}
	if wiring.RouteGSI(6, true) != nil || chip.Entry(6) != 1<<16 {
		t.Errorf("line 6 was routed without a vector: %#x", chip.Entry(6))
	}
}

// A machine without interrupts for the console has output alone.
func TestNoConsoleInterrupt(t *testing.T) {
	m := wiringtest.New(t)
	m.Registers[0xfec00000] = wiring.NewHostIOAPIC(2)
	m.Start()
	m.Must(sysWrite, 1, []byte("hello\n"), 6)
	if got := m.Output(); got != "hello\n" {
		t.Errorf("output %q", got)
	}
}
