// Package power turns a request of the host to switch off into SIGTERM: the power
// button of ACPI's fixed hardware or of a generic event device, and
// Ctrl-Alt-Delete on the keyboard controller. It is linked into programs that
// link os/signal or the network, and starts after their own packages have initialised,
// before main.main.
//
// Start reading at start.
package power

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/boot/acpi"
	"github.com/yolk-unikernel/yolk/drivers/i8042"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
)

func start() {
	devices.UsePowerSwitch()
	info := devices.ACPI()
	if b := info.Button(); b != nil {
		go serveButton(b)
	}
	if e := info.Events(); e != nil {
		go serveEvents(e)
	}
	serveKeyboard(info.GSI(i8042.IRQ))
}

func pressed() { wiring.Raise(syscall.SIGTERM) }

// pm1Button is the power button's bit of the PM1 status and enable registers (§4.8.3.1).
const pm1Button = 1 << 8

// serveButton serves the power button of the fixed hardware.
func serveButton(b *acpi.PowerButton) {
	first := true
	err := devices.ServeSCI(b, func() {
		for i, port := range b.Status {
			switch {
			case first: // pressed before: that started the machine
				wiring.OutWord(port, pm1Button)
				wiring.OutWord(b.Enable[i], pm1Button) // and nothing else
			case wiring.InWord(port)&pm1Button != 0:
				wiring.OutWord(port, pm1Button)
				pressed()
			}
		}
		first = false
	})
	if err != nil {
		wiring.Kernel.Log("the power button cannot be used: " + err.Error())
	}
}

// The interrupts that follow are edge-triggered, as devices.ServeSCI explains.

// serveEvents serves a generic event device.
func serveEvents(e *acpi.EventDevice) {
	irq := wiring.RouteGSI(e.GSI, false)
	if irq == nil {
		wiring.Kernel.Log("the power button cannot be used: its interrupt is missing")
		return
	}
	regs := wiring.MapRegisters(e.Address, e.Width/8)
	for {
		if readEvents(regs, e.Width)&e.PowerButton != 0 {
			pressed()
		}
		irq.Wait()
	}
}

func readEvents(regs wiring.Registers, width int) uint32 {
	switch width {
	case 8:
		return uint32(regs.Read8(0))
	case 16:
		return uint32(regs.Read16(0))
	}
	return regs.Read32(0)
}

// serveKeyboard serves the keyboard controller, if there is one.
func serveKeyboard(gsi uint32) {
	c, err := i8042.New(ports{})
	if err != nil {
		return
	}
	irq := wiring.RouteGSI(gsi, false)
	if irq == nil {
		return
	}
	for {
		if c.HandleInterrupt() {
			pressed()
		}
		irq.Wait()
	}
}

type ports struct{}

func (ports) In(port uint16) uint8     { return wiring.InByte(port) }
func (ports) Out(port uint16, v uint8) { wiring.OutByte(port, v) }
