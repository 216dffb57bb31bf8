//go:build !yolk

package runtime

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestPhysicalOnHost(t *testing.T) {
	if _, err := MapPhysical(0xfec00000, 32); err != ErrNotMachine {
		t.Errorf("MapPhysical = %v; want ErrNotMachine", err)
	}
	if _, _, err := AllocDMA(4096); err != ErrNotMachine {
		t.Errorf("AllocDMA = %v; want ErrNotMachine", err)
	}
}

// The message says which memory, and what to do if it is RAM.
func TestPhysicalError(t *testing.T) {
	var err error = &PhysicalError{0x1000000, 4096, syscall.EPERM}
	for _, want := range []string{"0x1000000", "4096 bytes", "AllocDMA"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if !errors.Is(err, syscall.EPERM) {
		t.Errorf("%v is not EPERM", err)
	}
	err = &PhysicalError{0, 8192, syscall.ENOMEM}
	if got := err.Error(); got != "memory for DMA, 8192 bytes: cannot allocate memory" {
		t.Errorf("the error of AllocDMA is %q", got)
	}
}
