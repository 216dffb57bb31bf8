package wiring

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// Interrupt is an interrupt of a device, with what a goroutine waits on.
type Interrupt struct {
	device machine.Device
	wait   unsafe.Pointer
	served atomic.Uint64
}

// NewInterrupt takes a device interrupt of the boot CPU; nil if none is left.
func NewInterrupt() *Interrupt {
	d, wait := interrupt()
	if wait == nil {
		return nil
	}
	return &Interrupt{device: d, wait: wait}
}

// Vector returns the number that the device is to send.
func (i *Interrupt) Vector() uint32 { return i.device.Vector() }

// Device returns the number by which the machine knows it.
func (i *Interrupt) Device() machine.Device { return i.device }

// Wait returns once the interrupt has come since it returned last. It has no error on a
// machine: a driver's loop is virtio.Serve.
func (i *Interrupt) Wait() error {
	waitInterrupt(i.wait)
	i.served.Add(1)
	return nil
}

// Served returns how often Wait has returned.
func (i *Interrupt) Served() uint64 { return i.served.Load() }

// The I/O APIC (Intel 82093AA): an index and a data register. TamaGo's driver
// reaches it at its physical address, which is not mapped here, and does not
// know level-triggered lines.
const (
	ioapicSelect = 0x00
	ioapicData   = 0x10
	ioapicVer    = 1
	ioapicTable  = 0x10
	ioapicLevel  = 1 << 15
)

type ioapic struct {
	regs    Registers
	gsiBase uint32
	entries uint32
}

var (
	ioapicMu sync.Mutex // protects the table, and the registers' select and data
	ioapics  []ioapic
)

func (a *ioapic) read(reg uint32) uint32 {
	a.regs.Write32(ioapicSelect, reg)
	return a.regs.Read32(ioapicData)
}

func (a *ioapic) write(reg, v uint32) {
	a.regs.Write32(ioapicSelect, reg)
	a.regs.Write32(ioapicData, v)
}

// AddIOAPIC maps an I/O APIC whose first input is interrupt gsiBase, unless it
// is known. The one that every PC has at 0xfec00000 needs no call.
func AddIOAPIC(address uint64, gsiBase uint32) {
	ioapicMu.Lock()
	addIOAPIC(address, gsiBase)
	ioapicMu.Unlock()
}

func addIOAPIC(address uint64, gsiBase uint32) {
	for i := range ioapics {
		if ioapics[i].gsiBase == gsiBase {
			return
		}
	}
	a := ioapic{regs: MapRegisters(address, 32), gsiBase: gsiBase}
	a.entries = a.read(ioapicVer)>>16&0xff + 1
	ioapics = append(ioapics, a)
}

// RouteGSI connects an interrupt line to a new vector of this CPU; nil if there
// is no such line. level is for lines that stay asserted until the device is
// served.
func RouteGSI(gsi uint32, level bool) *Interrupt {
	ioapicMu.Lock()
	defer ioapicMu.Unlock()
	addIOAPIC(0xfec00000, 0)
	for i := range ioapics {
		a := &ioapics[i]
		if gsi < a.gsiBase || gsi-a.gsiBase >= a.entries {
			continue
		}
		irq := NewInterrupt()
		if irq == nil {
			return nil
		}
		low := irq.Vector()
		if level {
			low |= ioapicLevel
		}
		reg := ioapicTable + 2*(gsi-a.gsiBase)
		a.write(reg+1, booted.BootAPIC<<24)
		a.write(reg, low)
		return irq
	}
	return nil
}

// MapRegisters maps n bytes of registers at a physical address, uncached.
func MapRegisters(phys uint64, n int) Registers { return mapIO(phys, n) }
