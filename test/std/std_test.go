// Package std runs a sample of the standard library's own tests in VMs, with tools/stdtests.
// docs/stdtests.md has the results of all of them.
package std

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// A package passes if each of its tests has the same verdict as on Linux, or a known cause for the
// difference.
func TestStandardLibrary(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: takes minutes")
	}
	results := filepath.Join(t.TempDir(), "results.json")
	cmd := exec.Command("go", "run", "./tools/stdtests", "-sample", "-jobs", "2", "-json", results)
	cmd.Dir = vm.Root(t)
	out, runErr := cmd.CombinedOutput()
	text, err := os.ReadFile(results)
	if err != nil {
		t.Fatalf("%v, %v\n%s", err, runErr, out)
	}
	var rows []struct {
		Package string
		VM      struct {
			Tests     map[string]string
			End, Tail string
		}
		Unexplained []string
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) < 25 {
		t.Errorf("%d packages; want 25 at least", len(rows))
	}
	for _, r := range rows {
		t.Run(r.Package, func(t *testing.T) {
			if r.VM.End != "" {
				t.Errorf("%s; the end of the output:\n%s", r.VM.End, r.VM.Tail)
			}
			for _, d := range r.Unexplained {
				t.Error(d)
			}
			if len(r.VM.Tests) == 0 {
				t.Error("no test ran")
			}
		})
	}
}
