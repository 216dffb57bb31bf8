//go:build !yolk

package devices

import (
	"sync"

	"github.com/yolk-unikernel/yolk/boot/acpi"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// A machine that a test starts has devices of its own.
func init() {
	wiring.OnHostStart(func() {
		found, findOnce = nil, sync.Once{}
		tables, readOnce = acpi.Info{}, sync.Once{}
		linesTaken.Store(0)
		sci.irq, sci.failed, sci.handlers = nil, false, nil
	})
}
