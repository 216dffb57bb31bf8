package devices

import (
	"sync"
	"time"

	"github.com/yolk-unikernel/yolk/boot/acpi"
	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// The system control interrupt (ACPI 6.5 §5.6.1), which the events of the fixed hardware share.
var sci struct {
	mu       sync.Mutex
	irq      *wiring.Interrupt
	failed   bool
	handlers []func()
}

// ErrNoSCI means that events of ACPI's fixed hardware do not interrupt.
const ErrNoSCI = virtio.Error("ACPI mode or its interrupt is missing")

// ServeSCI has handle called at once, and then whenever the interrupt comes that the power button
// b has, as all events of the fixed hardware. handle clears the status of its events; it may
// not block.
//
// The interrupt is connected edge-triggered, even where ACPI calls it level-triggered: a line
// that stays up until a goroutine has served it would interrupt all the time. It falls when all
// handlers have run, which see to everything that could hold it.
func ServeSCI(b *acpi.PowerButton, handle func()) error {
	sci.mu.Lock()
	defer sci.mu.Unlock()
	if sci.irq == nil && !sci.failed {
		sci.irq = wiring.RouteGSI(ACPI().GSI(b.IRQ), false)
		if sci.failed = sci.irq == nil || !enableACPI(b); !sci.failed {
			go serveSCI(sci.irq)
		}
	}
	if sci.failed {
		return ErrNoSCI
	}
	handle()
	sci.handlers = append(sci.handlers, handle)
	return nil
}

func serveSCI(irq *wiring.Interrupt) {
	for {
		irq.Wait()
		sci.mu.Lock()
		for _, f := range sci.handlers {
			f()
		}
		sci.mu.Unlock()
	}
}

// enableACPI takes the fixed hardware over from the firmware (§4.8.2.5), which on
// a virtual machine happens at once.
func enableACPI(b *acpi.PowerButton) bool {
	const enabled = 1 << 0 // SCI_EN of PM1 control (§4.8.3.2.1)
	if b.SMICommand != 0 && wiring.InWord(b.Control)&enabled == 0 {
		wiring.OutByte(b.SMICommand, b.EnableACPI)
	}
	for range 100 {
		if b.SMICommand == 0 || wiring.InWord(b.Control)&enabled != 0 {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}
