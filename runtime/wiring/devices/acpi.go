package devices

import (
	"sync"

	"github.com/yolk-unikernel/yolk/boot/acpi"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

var (
	tables   acpi.Info
	readOnce sync.Once
)

// ACPI returns what the machine's tables say; nothing where there are none
// (microvm with acpi=off). The first call takes the I/O APICs from them.
func ACPI() *acpi.Info {
	readOnce.Do(readACPI)
	return &tables
}

func readACPI() {
	if wiring.RSDP() == 0 {
		return
	}
	info, err := acpi.Parse(wiring.RSDP(), wiring.MemoryAt)
	if err != nil {
		wiring.Kernel.Log(err.Error())
	}
	if info == nil {
		return
	}
	tables = *info
	for _, a := range info.IOAPICs {
		wiring.AddIOAPIC(a.Address, a.GSIBase)
	}
}

// UsePowerSwitch has the machine switched off at its end as ACPI says. The smallest programs leave it out, and with it
// 6 KB: their end is told by a port of the VMM, or is a reset.
func UsePowerSwitch() {
	list := ACPI().PowerOff()
	if len(list) == 0 {
		return
	}
	if w := list[0]; w.Space == acpi.SpaceIO {
		wiring.SetPowerOff(uint16(w.Address), uint16(w.Value), 0, 0)
	} else {
		wiring.SetPowerOff(0, 0, w.Address, byte(w.Value))
	}
}
