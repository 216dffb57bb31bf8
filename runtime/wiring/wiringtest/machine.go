//go:build !yolk

// Package wiringtest is what the tests of the wiring share: a wiring.HostMachine that has
// devices of package virtiotest, ACPI's tables of real machines, and a program that makes
// system calls. Each test starts a machine of its own; most run in a bubble of
// testing/synctest, where waiting takes no time and goroutines that still run are seen.
//
// Start reading at New.
package wiringtest

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// A Machine is a machine of a test, and the program that runs on it.
type Machine struct {
	*wiring.HostMachine
	t     testing.TB
	words []string
	slots int
	bus   *bus
}

// New returns a machine without devices; Start starts it.
func New(t testing.TB) *Machine {
	m := &Machine{t: t, HostMachine: &wiring.HostMachine{
		Args: []string{"app"}, Env: []string{"HOME=/root"},
		Registers: map[uint64]wiring.HostRegisters{}, Tables: map[uint64][]byte{},
	}}
	return m
}

// Bubble calls f with a new machine in a bubble of testing/synctest. System calls that
// sleep in the kernel cannot be made there: it keeps the channels that they sleep on, and
// those of another bubble may not be used.
func Bubble(t *testing.T, f func(t *testing.T, m *Machine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, New(t)) })
}

// Start starts the machine with these words on its command line, behind those of its
// devices, and stops it at the end of the test. It reports whether it has ended.
func (m *Machine) Start(words ...string) (ended bool) {
	m.t.Helper()
	m.Boot.CommandLine = strings.Join(append(m.words, words...), " ")
	m.Boot.Words = m.Boot.CommandLine
	ended = m.HostMachine.Start()
	m.t.Cleanup(m.Stop)
	return ended
}

// AddSlot puts registers where a virtio-mmio device may be, and names the place on the
// command line.
func (m *Machine) AddSlot(r wiring.HostRegisters) (addr uint64, gsi uint32) {
	addr, gsi = 0xfeb00000+uint64(m.slots)*0x200, 5+uint32(m.slots)
	m.slots++
	m.Registers[addr] = r
	m.words = append(m.words, "virtio_mmio.device=512@0x"+strconv.FormatUint(addr, 16)+":"+strconv.Itoa(int(gsi)))
	return addr, gsi
}

// Add adds a device behind virtio-mmio registers and returns its place as messages name
// it.
func (m *Machine) Add(d *virtiotest.Device) (location string) {
	addr, gsi := m.AddSlot(&virtiotest.MMIO{Device: d})
	d.Raised = func(cause) { m.RaiseGSI(gsi) }
	return "mmio 0x" + strconv.FormatUint(addr, 16)
}

// DeviceMemory is the machine's memory as its devices see it.
func (m *Machine) DeviceMemory() *virtiotest.Memory { return virtiotest.MemoryOf(m.DMA) }

// AddTables gives the machine the ACPI tables of a dump of boot/acpi/testdata, such as
// q35; its format is told in that package's test.
func (m *Machine) AddTables(dump string) {
	m.t.Helper()
	b, err := os.ReadFile(dump)
	if err != nil {
		m.t.Fatal(err)
	}
	for first := true; len(b) >= 12; first = false {
		at, n := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
		if first {
			m.Boot.RSDP = at
		}
		m.Tables[at] = b[12 : 12+n]
		b = b[12+n:]
	}
}

// WantOutput checks that what was written to the console since the last call has each of
// these strings, and returns it.
func (m *Machine) WantOutput(want ...string) string {
	m.t.Helper()
	got := m.Output()
	for _, w := range want {
		if !strings.Contains(got, w) {
			m.t.Errorf("the console says %q; want %q", got, w)
		}
	}
	return got
}

// WantQuiet checks that nothing was written to the console since the last call.
func (m *Machine) WantQuiet() {
	m.t.Helper()
	if got := m.Output(); got != "" {
		m.t.Errorf("the console says %q; want nothing", got)
	}
}
