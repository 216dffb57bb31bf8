package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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
		got := vm.Yolk(t, vm.Options{}, "build", "-json", "-o", out, target)
		if got.Status != 0 {
			t.Errorf("yolk build %s: %+v", target, got)
			continue
		}
		var told struct {
			Path      string
			Bytes     int64
			MinMemory int64
			Go        string
		}
		if err := json.Unmarshal([]byte(got.Stdout), &told); err != nil {
			t.Errorf("yolk build -json: %v: %q", err, got.Stdout)
		}
		info, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		if told.Path != out || told.Bytes != info.Size() || told.MinMemory < 16<<20 || told.MinMemory > 64<<20 || !strings.HasPrefix(told.Go, "go1.") {
			t.Errorf("yolk build -json says %+v of %s with %d bytes", told, out, info.Size())
		}
		if info.Size() > most {
			t.Errorf("%s has %d bytes; want %d at most", target, info.Size(), most)
		}
	}
}
