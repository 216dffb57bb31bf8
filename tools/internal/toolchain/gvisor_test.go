package toolchain

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEditedStack runs the tests of netstack, its packetsock and tun, and tools/abidiff on gVisor as images have it: with the
// edits, added files and replaced packages of netstack/gvisor. Otherwise those tests use the unchanged module.
func TestEditedStack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and tests the whole stack once more")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	modfile, err := EditedModule(t.TempDir(), root)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"test", "-modfile=" + modfile, "-count=1", "./netstack", "./netstack/packetsock", "./netstack/tun", "./tools/abidiff"}
	if os.Getenv("YOLK_TEST_RACE") != "" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=", "YOLK_TEST_EDITED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func output(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// TestEditsFind reports an edit whose line gVisor no longer has, and a
// replaced package that it no longer has.
func TestEditsFind(t *testing.T) {
	root, _ := filepath.Abs("../../..")
	module := output(t, root, "list", "-m", "-f", "{{.Dir}}", "gvisor.dev/gvisor")
	edits, err := GVisorEdits()
	if err != nil || len(edits) == 0 {
		t.Fatalf("GVisorEdits = %d files, %v", len(edits), err)
	}
	for _, f := range edits {
		text, err := os.ReadFile(filepath.Join(module, f.Path))
		if err != nil {
			t.Error(err)
		} else if _, err := f.Apply(text); err != nil {
			t.Error(err)
		}
	}
	folders, err := gvisorReplacements()
	if err != nil || len(folders) == 0 {
		t.Fatalf("gvisorReplacements = %v, %v", folders, err)
	}
	for path := range folders {
		if _, err := os.Stat(filepath.Join(module, strings.TrimPrefix(path, gvisorPath))); err != nil {
			t.Error(err)
		}
	}
}
