package test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// Mmap(2) and its kin answer hostile arguments in a VM as on the host's Linux.
func TestMmapCalls(t *testing.T) {
	t.Parallel()
	const program = "./testdata/mmapcalls"
	host, err := exec.Command("go", "run", program).Output()
	if err != nil || !strings.HasSuffix(string(host), "done\n") || strings.Contains(string(host), "wrong") {
		t.Fatalf("on Linux: %v\n%s", err, host)
	}
	want := strings.Split(string(host), "\n")
	for _, cpus := range []string{"1", "2"} {
		got := vm.Run(t, vm.Options{Flags: []string{"-smp", cpus}, Target: "./test" + program[1:]})
		lines := strings.Split(got.Stdout, "\n")
		for i := range max(len(want), len(lines)) {
			if h, g := lineOf(want, i), lineOf(lines, i); h != g {
				t.Errorf("line %d:\n  Linux %s\n  yolk  %s", i+1, h, g)
			}
		}
	}
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}
