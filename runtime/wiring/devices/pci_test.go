package devices

import (
	"errors"
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtiopci "github.com/yolk-unikernel/yolk/drivers/virtio/pci"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/machine"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// function returns a virtio function with two queues.
func function(m *wiringtest.Machine, typ virtio.DeviceType) *virtiotest.PCI {
	return virtiotest.NewPCI(virtiotest.NewDevice(typ, m.DeviceMemory(), virtio.FeatureVersion1, nil, 8, 8))
}

// bridge is a function that is no virtio device, as each bus has one.
func bridge(m *wiringtest.Machine) *virtiotest.PCI {
	f := function(m, virtio.TypeNet)
	f.Space[0], f.Space[1] = 0x86, 0x80
	return f
}

// Where neither words nor ACPI name devices, bus 0 is searched.
func TestDevicesOfPCI(t *testing.T) {
	m := wiringtest.New(t)
	m.AddPCI(0, bridge(m), 0)
	m.AddPCI(2, function(m, virtio.TypeNet), 10)
	m.AddPCI(31, function(m, virtio.TypeBalloon), 11)
	m.AddTables(testdata + "q35.acpi")
	m.Start()
	wantDevices(t, "1 pci 00:2.0", "5 pci 00:1f.0")
	UsePowerSwitch()
	if off := m.PowerOff(); off.Port != 0x604 || off.Value != 0x2000 {
		t.Errorf("what switches off is %+v; want 0x2000 to port 0x604", off)
	}

	m = wiringtest.New(t)
	m.AddPCI(2, function(m, virtio.TypeNet), 10)
	m.AddSlot(slot(m, virtio.TypeEntropy, nil))
	m.Start()
	wantDevices(t, "4 mmio 0xfeb00000") // the bus is not looked at
}

// Each interrupt is a message to the boot CPU's local APIC (Intel SDM volume 3, §11.11).
func TestPCIMessages(t *testing.T) {
	m := wiringtest.New(t)
	m.Boot.BootAPIC = 3
	f := function(m, virtio.TypeBlock)
	m.AddPCI(3, f, 10)
	m.Start()
	tr, irqs, err := Devices()[0].OpenQueues(2)
	if err != nil {
		t.Fatal(err)
	}
	if len(irqs) != 3 || tr.(*virtiopci.Device).Vectors() != 3 || !f.MSIXEnabled() {
		t.Errorf("%d interrupts, MSI-X %v; want 3: for changes of configuration and each queue", len(irqs), f.MSIXEnabled())
	}
	for i, irq := range irqs {
		if got, want := f.Table[i], [4]uint32{0xfee03000, 0, irq.Vector(), 0}; got != want {
			t.Errorf("message %d is %#x; want %#x", i, got, want)
		}
	}
	if f.Command()&0x406 != 0x406 {
		t.Errorf("command register %#x; want memory and bus mastering on, INTx off", f.Command())
	}
}

// A device gets fewer messages when vectors run out, or when its table is small.
func TestFewMessages(t *testing.T) {
	for _, tt := range []struct {
		name    string
		vectors int
		prepare func(f *virtiotest.PCI)
		want    int // messages
	}{
		{"two vectors left", 3, nil, 2}, // and the console's
		{"two entries", 0, func(f *virtiotest.PCI) { f.Space[0x98+2] = 1 }, 2},
	} {
		m := wiringtest.New(t)
		m.Vectors = tt.vectors
		f := function(m, virtio.TypeBlock)
		if tt.prepare != nil {
			tt.prepare(f)
		}
		m.AddPCI(3, f, 10)
		m.Start()
		_, irqs, err := Devices()[0].OpenQueues(2)
		if err != nil || len(irqs) != tt.want {
			t.Errorf("%s: %d interrupts, %v; want %d", tt.name, len(irqs), err, tt.want)
		}
	}
}

// withoutMSIX takes the capability out of the list.
func withoutMSIX(f *virtiotest.PCI) *virtiotest.PCI {
	f.Space[0x41] = 0
	return f
}

// A function without MSI-X has its ISA interrupt, as ACPI routes it, if no other function
// has it.
func TestPCILine(t *testing.T) {
	m := wiringtest.New(t)
	chip := wiring.NewHostIOAPIC(24)
	m.Registers[0xfec00000] = chip
	m.AddTables(testdata + "q35.acpi")
	f := withoutMSIX(function(m, virtio.TypeBalloon))
	m.AddPCI(1, f, 10)
	m.AddPCI(2, withoutMSIX(function(m, virtio.TypeBalloon)), 10)
	m.AddPCI(3, withoutMSIX(function(m, virtio.TypeBalloon)), 0)
	m.AddPCI(4, withoutMSIX(function(m, virtio.TypeBalloon)), 255)
	m.Start()
	devices := Devices()
	tr, irqs, err := devices[0].Open()
	if err != nil || len(irqs) != 1 || tr.(*virtiopci.Device).Vectors() != 0 {
		t.Fatalf("Open = %v, %d interrupts", err, len(irqs))
	}
	if got, want := chip.Entry(10), uint64(irqs[0].Vector()); got != want || irqs[0].Vector() < machine.FirstVector {
		t.Errorf("line 10 is %#x; want vector %#x, edge-triggered", got, want)
	}
	f.Device.SetConfig(0)
	if irqs[0].Wait(); tr.Acknowledge() != virtio.CauseConfig {
		t.Error("the line does not tell of a change of the configuration")
	}
	for i, why := range []string{"a line that another has", "no line", "a line that no ISA interrupt has"} {
		if _, _, err := devices[1+i].Open(); !errors.Is(err, ErrNoInterrupt) {
			t.Errorf("Open of a function with %s = %v; want %v", why, err, ErrNoInterrupt)
		}
	}
}

// A function that cannot be used is an error of its own.
func TestBrokenFunction(t *testing.T) {
	m := wiringtest.New(t)
	f := function(m, virtio.TypeBlock)
	f.Space[0x34] = 0 // no capabilities: legacy alone
	m.AddPCI(1, f, 10)
	m.Start()
	if _, _, err := Devices()[0].Open(); !errors.Is(err, virtiopci.ErrLegacyOnly) {
		t.Errorf("Open = %v; want %v", err, virtiopci.ErrLegacyOnly)
	}
}
