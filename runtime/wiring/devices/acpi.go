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
// (microvm with acpi=off). The first call takes from them what the machine needs:
// I/O APICs and the power switch.
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
	if w := info.PowerOff(); len(w) > 0 {
		setPowerOff(w[0])
	}
}

func setPowerOff(w acpi.Write) {
	if w.Space == acpi.SpaceIO {
		wiring.SetPowerOff(uint16(w.Address), uint16(w.Value), 0, 0)
	} else {
		wiring.SetPowerOff(0, 0, w.Address, byte(w.Value))
	}
}
