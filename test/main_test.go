// Package test boots real images and checks what a user sees: the console, the exit status, the
// network. It needs QEMU; every VM is emulated. test/corpus does the same with programs of other
// projects.
package test

import (
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

func TestMain(m *testing.M) { vm.Main(m) }

const (
	prog  = "./test/testdata/prog"
	serve = "./test/testdata/serve"
)

// runProg runs one case of testdata/prog.
func runProg(t *testing.T, flags []string, args ...string) vm.Result {
	t.Helper()
	return vm.Run(t, vm.Options{Flags: flags, Target: prog, Args: args})
}

func wantOutput(t *testing.T, got vm.Result, status int, want ...string) {
	t.Helper()
	if got.Status != status {
		t.Errorf("exit status %d; want %d", got.Status, status)
	}
	for _, w := range want {
		if !strings.Contains(got.Console(), w) {
			t.Errorf("console %q lacks %q", got.Console(), w)
		}
	}
}
