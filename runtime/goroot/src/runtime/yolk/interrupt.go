//go:build tamago

package yolk

import (
	"unsafe"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Interrupt is a device's interrupt vector with a goroutine waiting for it.
type Interrupt struct {
	vector int
	pd     unsafe.Pointer
}

func newInterrupt() *Interrupt {
	v, pd := interrupt()
	if pd == nil {
		return nil
	}
	return &Interrupt{v, pd}
}

// Wait returns once the interrupt has come since it returned last.
func (i *Interrupt) Wait() error {
	waitInterrupt(i.pd)
	return nil
}

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
	regs    virtio.Registers
	gsiBase uint32
	entries uint32
}

var ioapics []ioapic

func (a *ioapic) read(reg uint32) uint32 {
	a.regs.Write32(ioapicSelect, reg)
	return a.regs.Read32(ioapicData)
}

func (a *ioapic) write(reg, v uint32) {
	a.regs.Write32(ioapicSelect, reg)
	a.regs.Write32(ioapicData, v)
}

// findIOAPICs maps the I/O APICs: those that ACPI lists, or the one that every
// PC has at 0xfec00000.
func findIOAPICs() {
	for _, e := range ioapicList() {
		a := ioapic{regs: mapRegisters(e.address, 32), gsiBase: e.gsiBase}
		a.entries = a.read(ioapicVer)>>16&0xff + 1
		ioapics = append(ioapics, a)
	}
}

// routeGSI connects an interrupt line to a new vector of this CPU; nil if there
// is no such line. level is for lines that stay asserted until the device is
// served.
func routeGSI(gsi uint32, level bool) *Interrupt {
	if ioapics == nil {
		findIOAPICs()
	}
	for i := range ioapics {
		a := &ioapics[i]
		if gsi < a.gsiBase || gsi-a.gsiBase >= a.entries {
			continue
		}
		irq := newInterrupt()
		if irq == nil {
			return nil
		}
		low := uint32(irq.vector)
		if level {
			low |= ioapicLevel
		}
		reg := ioapicTable + 2*(gsi-a.gsiBase)
		a.write(reg+1, apicID()<<24)
		a.write(reg, low)
		return irq
	}
	return nil
}
