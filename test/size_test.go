package test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// Images, not stripped, stay within the sizes below.
func TestImageSize(t *testing.T) {
	t.Parallel()
	for target, most := range map[string]int64{
		"./examples/hello":              3_520_000,
		"./tools/bench/guest/cmd/plain": 13_730_000,
	} {
		out := filepath.Join(t.TempDir(), "app.elf")
		if got := vm.Yolk(t, vm.Options{}, "build", "-o", out, target); got.Status != 0 {
			t.Errorf("yolk build %s: %+v", target, got)
			continue
		}
		info, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most {
			t.Errorf("%s has %d bytes; want %d at most", target, info.Size(), most)
		}
	}
}
