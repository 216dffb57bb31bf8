package test

import (
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// A goroutine that recurses without end ends the program with Go's report, whatever the RAM.
func TestStackOverflow(t *testing.T) {
	t.Parallel()
	for _, ram := range []string{"16M", "64M", "300M"} {
		got := vm.Run(t, vm.Options{Target: "./test/testdata/overflow", Flags: []string{"-m", ram}})
		if got.Status != 2 {
			t.Errorf("-m %s: status %d; want 2\n%s", ram, got.Status, got.Stdout)
		}
		for _, want := range []string{"runtime: goroutine stack exceeds ", "fatal error: stack overflow", "main.down(", "frames elided"} {
			if !strings.Contains(got.Stdout+got.Stderr, want) {
				t.Errorf("-m %s: %q is missing in:\n%.2000s", ram, want, got.Stdout+got.Stderr)
			}
		}
	}
}
