package test

import (
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

func TestOwnMemory(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"maps", "stacks", "heapdump", "image"} {
		got := vm.Run(t, vm.Options{Target: "./test/testdata/memory", Args: []string{what}})
		wantOutput(t, got, 0, "fine\n")
	}
}
