package test

import (
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// The host's request to power off is SIGTERM in the program.
func TestPowerButton(t *testing.T) {
	keys := []map[string]any{{"type": "qcode", "data": "ctrl"}, {"type": "qcode", "data": "alt"}, {"type": "qcode", "data": "delete"}}
	for _, tt := range []struct {
		name      string
		flags     []string
		command   string
		arguments any
	}{
		{"q35", []string{"-machine", "q35"}, "system_powerdown", nil},
		{"pc", []string{"-machine", "pc"}, "system_powerdown", nil},
		{"microvm", []string{"-qemu-arg", "-machine", "-qemu-arg", "acpi=on"}, "system_powerdown", nil},
		{"q35, four CPUs", []string{"-machine", "q35", "-smp", "4"}, "system_powerdown", nil},
		{"ctrl-alt-delete", []string{"-machine", "q35"}, "send-key", map[string]any{"keys": keys}},
		{"ctrl-alt-delete, pc", []string{"-machine", "pc"}, "send-key", map[string]any{"keys": keys}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, m := startMonitored(t, vm.Options{Args: []string{"signal"}, Flags: tt.flags})
			v.WaitFor("waiting")
			// The button works a moment after main has begun; until then a press is lost, as on a
			// machine that is still booting.
			v.Eventually(func() error {
				m.try(tt.command, tt.arguments) // the VM may have ended before the answer
				return v.Within("asked to stop: terminated")
			})
			if status := v.Wait(); status != 9 {
				t.Errorf("exit status %d; want the program's 9", status)
			}
		})
	}
}

// A non-maskable interrupt is SIGQUIT: a program that hangs shows its stacks.
func TestNMI(t *testing.T) {
	for _, machine := range []string{"microvm", "q35"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			v, m := startMonitored(t, vm.Options{Args: []string{"signal"}, Flags: []string{"-machine", machine}})
			v.WaitFor("waiting")
			m.try("inject-nmi", nil) // the VM may be gone before the answer
			v.WaitFor("SIGQUIT: quit")
			v.WaitFor("main.waitForSignal(")
			if status := v.Wait(); status != 2 {
				t.Errorf("exit status %d; want 2", status)
			}
		})
	}
}
