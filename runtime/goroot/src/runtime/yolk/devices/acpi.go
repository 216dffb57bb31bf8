//go:build tamago

package devices

import (
	"runtime/yolk"

	"github.com/yolk-unikernel/yolk/boot/acpi"
)

// acpiDevices are the virtio-mmio devices that ACPI lists.
var acpiDevices []acpi.VirtioMMIO

// readACPI takes from the tables what the machine needs: I/O APICs, devices,
// the power switch. Without tables (microvm with acpi=off) there is one I/O
// APIC at its usual place, and no switch.
func readACPI() {
	if yolk.RSDP() == 0 {
		return
	}
	info, err := acpi.Parse(yolk.RSDP(), yolk.MemoryAt)
	if err != nil {
		yolk.Kernel.Log(err.Error())
	}
	if info == nil {
		return
	}
	for _, a := range info.IOAPICs {
		yolk.AddIOAPIC(a.Address, a.GSIBase)
	}
	acpiDevices = info.Virtio
	if len(info.PowerOff) > 0 {
		setPowerOff(info.PowerOff[0])
	}
}

func setPowerOff(w acpi.Write) {
	if w.Space == acpi.SpaceIO {
		yolk.SetPowerOff(uint16(w.Address), uint16(w.Value), 0, 0)
	} else {
		yolk.SetPowerOff(0, 0, w.Address, byte(w.Value))
	}
}
