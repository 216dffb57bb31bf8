package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// An image that is larger than the memory is refused by yolk run, and with another VMM says so itself.
func TestImageLargerThanRAM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module large\n\ngo 1.26\n",
		"main.go": "package main\n\nimport _ \"embed\"\n\n//go:embed data\nvar data []byte\n\nfunc main() { println(len(data)) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), make([]byte, 24<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "large.elf")
	if got := vm.Yolk(t, vm.Options{Dir: dir}, "build", "-o", image, "."); got.Status != 0 {
		t.Fatalf("yolk build: %+v", got)
	}
	got := vm.Run(t, vm.Options{Target: image, Flags: []string{"-m", "20M"}})
	if got.Status == 0 || !strings.Contains(got.Stderr, "-m 20M: "+image+" alone has 2") || !strings.Contains(got.Stderr, "use -m 3") {
		t.Errorf("yolk run -m 20M: %+v", got)
	}
	line := vm.Yolk(t, vm.Options{}, "run", "-n", "-m", "64M", image)
	if line.Status != 0 || !strings.Contains(line.Stdout, " -m 64M ") {
		t.Fatalf("yolk run -n: %+v", line)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "sh", "-c", "exec "+strings.Replace(line.Stdout, " -m 64M ", " -m 20M ", 1)).CombinedOutput()
	if want := "yolk: the machine has less memory than the image; give it more"; !strings.Contains(string(out), want) {
		t.Errorf("the VMM's own start: %q; want %q", out, want)
	}
}
