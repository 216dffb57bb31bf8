package toolchain

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEditedStack runs the tests of netstack on gVisor as images have it: with the edits, added
// files and replaced packages of netstack/gvisor. Otherwise those tests use the unchanged module.
func TestEditedStack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and tests the whole stack once more")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	modfile := editedModule(t, root)
	args := []string{"test", "-modfile=" + modfile, "-count=1", "./netstack"}
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

// editedModule makes gVisor's module with the changes and returns a go.mod that uses it.
func editedModule(t *testing.T, root string) (modfile string) {
	t.Helper()
	dir := t.TempDir()
	edits, err := GVisorEdits()
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{ctx: context.Background(), stock: goroot(t), source: root}
	pkgs, err := b.kernelPackages()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		if name, ok := strings.CutPrefix(p.ImportPath, gvisorPath); ok {
			if err := copyPackage(p, filepath.Join(dir, gvisorPath, name), edits); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := addToGVisor(dir); err != nil {
		t.Fatal(err)
	}
	forAnySystem(t, dir)
	module := output(t, root, "list", "-m", "-f", "{{.Dir}}", "gvisor.dev/gvisor")
	if err := copyFile(filepath.Join(module, "go.mod"), filepath.Join(dir, gvisorPath, "go.mod")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	modfile = filepath.Join(dir, "go.mod")
	if err := writeFile(modfile, append(text, "\nreplace gvisor.dev/gvisor => "+filepath.Join(dir, gvisorPath)+"\n"...)); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join(root, "go.sum"), filepath.Join(dir, "go.sum")); err != nil {
		t.Fatal(err)
	}
	return modfile
}

// forAnySystem removes the build constraint from the added files, which keeps them from being built
// in netstack/gvisor/add.
func forAnySystem(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, gvisorPath), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") {
			return err
		}
		text, err := os.ReadFile(name)
		if rest, ok := bytes.CutPrefix(text, []byte("//go:build tamago\n")); ok {
			return writeFile(name, rest)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func goroot(t *testing.T) string { return output(t, os.TempDir(), "env", "GOROOT") }

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
