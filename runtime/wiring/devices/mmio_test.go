package devices

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// The form is Linux's (admin-guide/kernel-parameters): SIZE@ADDRESS:IRQ[:ID].
var specs = []struct {
	spec string
	addr uint64
	gsi  uint32
	ok   bool
}{
	{"512@0xfeb00000:5", 0xfeb00000, 5, true},
	{"4K@0xd0000000:5", 0xd0000000, 5, true}, // Firecracker's
	{"512@0xfeb00e00:12:3", 0xfeb00e00, 12, true},
	{"@1:2", 1, 2, true},
	{"512@0xffffffffffffffff:4294967295", 1<<64 - 1, 1<<32 - 1, true},
	{"512@0x1ffffffffffffffff:5", 0, 0, false},
	{"512@0xfeb00000:4294967296", 0, 0, false},
	{"512@0xfeb00000:-1", 0, 0, false},
	{"512@-1:5", 0, 0, false},
	{"512@0xfeb00000", 0, 0, false},
	{"0xfeb00000:5", 0, 0, false},
	{"512@:5", 0, 0, false},
	{"512@0xfeb00000:", 0, 0, false},
	{"512@feb00000:5", 0, 0, false},
	{"512@0xfeb00000 :5", 0, 0, false},
	{"512@512@0xfeb00000:5", 0, 0, false},
	{":@:", 0, 0, false},
	{"", 0, 0, false},
}

func TestParseMMIO(t *testing.T) {
	for _, tt := range specs {
		addr, gsi, ok := parseMMIO(tt.spec)
		if ok != tt.ok || ok && (addr != tt.addr || gsi != tt.gsi) {
			t.Errorf("parseMMIO(%q) = %#x, %d, %v; want %#x, %d, %v", tt.spec, addr, gsi, ok, tt.addr, tt.gsi, tt.ok)
		}
	}
}

// What is taken is what the word says, and stays so when it is written anew.
func FuzzParseMMIO(f *testing.F) {
	for _, tt := range specs {
		f.Add(tt.spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		addr, gsi, ok := parseMMIO(spec)
		if !ok {
			return
		}
		size, place, _ := strings.Cut(spec, "@")
		if fields := strings.Split(place, ":"); strings.Contains(size, "@") || len(fields) < 2 {
			t.Errorf("parseMMIO(%q) was taken", spec)
		}
		again := fmt.Sprintf("%s@%#x:%d", size, addr, gsi)
		if a, g, ok := parseMMIO(again); a != addr || g != gsi || !ok {
			t.Errorf("parseMMIO(%q) = %#x, %d, %v; want what %q is: %#x, %d", again, a, g, ok, spec, addr, gsi)
		}
	})
}

// locations describes what was found.
func locations(list []*Device) (s []string) {
	for _, d := range list {
		s = append(s, fmt.Sprintf("%d %s", d.Type, d.Location))
	}
	return s
}

func wantDevices(t *testing.T, want ...string) {
	t.Helper()
	if got := locations(Devices()); !slices.Equal(got, want) {
		t.Errorf("devices %q; want %q", got, want)
	}
}

// slot is the registers of a virtio-mmio place.
func slot(m *wiringtest.Machine, typ virtio.DeviceType, spoil map[uintptr]uint32) *virtiotest.MMIO {
	d := virtiotest.NewDevice(typ, m.DeviceMemory(), virtio.FeatureVersion1, nil, 8)
	return &virtiotest.MMIO{Device: d, Overrides: spoil}
}

const (
	regMagic, regVersion = 0x000, 0x004
)

// The devices of the command line are found in its order. Empty slots are passed over in
// silence, broken ones and words without sense with a message.
func TestDevicesOfWords(t *testing.T) {
	m := wiringtest.New(t)
	m.AddSlot(slot(m, virtio.TypeNet, nil))
	m.AddSlot(slot(m, 0, nil)) // empty
	m.AddSlot(slot(m, virtio.TypeEntropy, map[uintptr]uint32{regMagic: 0x12345678}))
	m.AddSlot(slot(m, virtio.TypeEntropy, map[uintptr]uint32{regVersion: 3}))
	m.AddSlot(slot(m, virtio.TypeBlock, nil))
	m.AddSlot(slot(m, virtio.TypeNet, map[uintptr]uint32{regVersion: 1})) // legacy
	m.Start("virtio_mmio.device=512@here:5", "virtio_mmio.device=", "virtio_mmio.device=512@0xf0000000:5")
	m.WantQuiet()
	wantDevices(t, "1 mmio 0xfeb00000", "2 mmio 0xfeb00800", "1 mmio 0xfeb00a00")
	if got, want := m.Output(), "yolk: virtio-mmio 0xfeb00400: mmio: no virtio-mmio device at this address\n"+
		"yolk: virtio-mmio 0xfeb00600: mmio: unknown version of virtio-mmio\n"+
		"yolk: virtio_mmio.device=512@here:5: expected SIZE@ADDRESS:GSI\n"+
		"yolk: virtio_mmio.device=: expected SIZE@ADDRESS:GSI\n"+
		"yolk: virtio-mmio 0xf0000000: mmio: no virtio-mmio device at this address\n"; got != want {
		t.Errorf("the console says %q; want %q", got, want)
	}
	if got := locations(FindDevices(virtio.TypeNet)); len(got) != 2 {
		t.Errorf("network cards: %q; want two", got)
	}
	types, places := List()
	if !slices.Equal(types, []uint32{1, 2, 1}) || !slices.Equal(places, []string{"mmio 0xfeb00000", "mmio 0xfeb00800", "mmio 0xfeb00a00"}) {
		t.Errorf("List() = %v, %q", types, places)
	}
	m.WantQuiet() // they are looked for once
}

const testdata = "../../../boot/acpi/testdata/"

// Without words, ACPI lists the devices; with a word, it does not count.
func TestDevicesOfACPI(t *testing.T) {
	for _, tt := range []struct {
		words []string
		want  []string
	}{
		{nil, []string{"4 mmio 0xfeb02e00", "1 mmio 0xfeb02c00"}},
		{[]string{"virtio_mmio.device=512@0xfeb02c00:46"}, []string{"1 mmio 0xfeb02c00"}},
	} {
		m := wiringtest.New(t)
		m.AddTables(testdata + "microvm.acpi")
		second := wiring.NewHostIOAPIC(24)
		m.Registers[0xfec10000] = second
		m.Registers[0xfeb02e00] = slot(m, virtio.TypeEntropy, nil)
		m.Registers[0xfeb02c00] = slot(m, virtio.TypeNet, nil)
		m.Start(tt.words...)
		wantDevices(t, tt.want...)
		_, irqs, err := FindDevices(virtio.TypeNet)[0].Open()
		if err != nil || len(irqs) != 1 {
			t.Fatalf("Open = %v, %d interrupts", err, len(irqs))
		}
		if got, want := second.Entry(46-24), uint64(irqs[0].Vector()); got != want {
			t.Errorf("line 46 of the second I/O APIC is %#x; want %#x, edge-triggered", got, want)
		}
		UsePowerSwitch()
		if off := m.PowerOff(); off.Register != 0xfea00200 || off.RegisterValue != 0x34 {
			t.Errorf("what switches off is %+v; want 0x34 to 0xfea00200", off)
		}
		m.WantQuiet()
	}
}

// Broken tables are told of, and what can be read of them counts.
func TestBrokenACPI(t *testing.T) {
	m := wiringtest.New(t)
	m.AddTables(testdata + "microvm.acpi")
	for at, b := range m.Tables {
		if string(b[:4]) == "APIC" {
			m.Tables[at] = append([]byte(nil), b...)
			m.Tables[at][40]++
		}
	}
	m.Registers[0xfeb02e00] = slot(m, virtio.TypeEntropy, nil)
	m.Start()
	wantDevices(t, "4 mmio 0xfeb02e00")
	m.WantOutput("yolk: acpi: a table has a bad length or checksum\n", "virtio-mmio 0xfeb02c00: mmio: no virtio-mmio device")
	if _, _, err := Devices()[0].Open(); err != ErrNoInterrupt {
		t.Errorf("Open of a device on a line of an unknown I/O APIC = %v; want %v", err, ErrNoInterrupt)
	}

	m = wiringtest.New(t)
	m.Boot.RSDP = 0xe0000 // where nothing is
	m.Start()
	wantDevices(t)
	m.WantOutput("acpi: no root pointer (RSDP)")
}
