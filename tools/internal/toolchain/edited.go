package toolchain

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// EditedModule makes gVisor's module as images have it, with the edits, added files and replaced
// packages of netstack/gvisor, below dir. It returns a go.mod there for -modfile: with it the go
// command builds this module, whose folder root is, on that copy.
func EditedModule(dir, root string) (modfile string, err error) {
	edits, err := GVisorEdits()
	if err != nil {
		return "", err
	}
	stock, err := goOutput(os.TempDir(), "env", "GOROOT")
	if err != nil {
		return "", err
	}
	b := &builder{ctx: context.Background(), stock: stock, source: root}
	pkgs, err := b.kernelPackages()
	if err != nil {
		return "", err
	}
	for _, p := range pkgs {
		if name, ok := strings.CutPrefix(p.ImportPath, gvisorPath); ok {
			if err := copyPackage(p, filepath.Join(dir, gvisorPath, name), edits); err != nil {
				return "", err
			}
		}
	}
	if err := addToGVisor(dir); err != nil {
		return "", err
	}
	if err := forAnySystem(filepath.Join(dir, gvisorPath)); err != nil {
		return "", err
	}
	return editedModfile(dir, root)
}

// editedModfile writes go.mod and go.sum of the module in root, which take gVisor from dir.
func editedModfile(dir, root string) (string, error) {
	module, err := goOutput(root, "list", "-m", "-f", "{{.Dir}}", "gvisor.dev/gvisor")
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, gvisorPath)
	if err := copyFile(filepath.Join(module, "go.mod"), filepath.Join(copied, "go.mod")); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	modfile := filepath.Join(dir, "go.mod")
	if err := writeFile(modfile, append(text, "\nreplace gvisor.dev/gvisor => "+copied+"\n"...)); err != nil {
		return "", err
	}
	return modfile, copyFile(filepath.Join(root, "go.sum"), filepath.Join(dir, "go.sum"))
}

// forAnySystem removes the build constraint from the added files, which keeps them from being built
// in netstack/gvisor/add.
func forAnySystem(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") {
			return err
		}
		text, err := os.ReadFile(name)
		if rest, ok := bytes.CutPrefix(text, []byte("//go:build yolk\n")); ok {
			return writeFile(name, rest)
		}
		return err
	})
}

// goOutput runs the go command in dir and returns what it prints.
func goOutput(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
