package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// Programs of the TamaGo framework, for each of its boards that are virtual machines for the PC, are built as
// they are and run: what their drivers reach is there, and what would take the machine over
// panics. The board's own init functions, which do that, have not run.
func TestFrameworkBoards(t *testing.T) {
	t.Parallel()
	for board, machine := range map[string]string{"qemu": "microvm", "firecracker": "microvm", "cloudhypervisor": "q35"} {
		t.Run(board, func(t *testing.T) {
			got := vm.Run(t, vm.Options{
				Flags:  []string{"-m", "128M", "-smp", "2", "-machine", machine, "-tags=tamago"},
				Target: "./test/testdata/boards/" + board,
			})
			const panics = ": the yolk machine has the exceptions, interrupts, CPUs and clock"
			wantOutput(t, got, 0, "console by the board", "CPU true true", "RTC true <nil>",
				"I/O APIC <nil>, 24 entries", "madvise: invalid argument", "mprotect: <nil> <nil> 24", "munmap: true <nil> 24",
				"DMA a Frame, aligned true, itself true, zeroed true", "operation not permitted: it is RAM, which AllocDMA gives",
				"hooks: false true true true", "EINVAL: true", "EPERM: true", "EBUSY: true", "AllocDMA: true true",
				"exceptions"+panics, "interrupts"+panics, "CPUs"+panics)
			if devices := strings.Contains(got.Stdout, "PCI 0"); devices != (machine == "microvm") {
				t.Errorf("PCI devices on %s: %s", machine, got.Stdout)
			}
		})
	}
}

func TestExampleUART(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "com2.txt")
	got := vm.Run(t, vm.Options{
		Flags:  []string{"-m", "32M", "-machine", "q35", "-qemu-arg", "-serial", "-qemu-arg", "file:" + out},
		Target: "./examples/uart", Args: []string{"hello,", "COM2"},
	})
	wantOutput(t, got, 0, "13 bytes to COM2")
	if b, err := os.ReadFile(out); string(b) != "hello, COM2\r\n" {
		t.Errorf("the second serial port has got %q, %v", b, err)
	}
}
