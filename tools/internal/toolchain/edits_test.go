package toolchain

import (
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	for _, r := range releases(t) {
		edits, err := PortEdits(r.Name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range edits {
			n += f.Lines()
		}
		if n == 0 || n > Budget {
			t.Errorf("%s: %d lines of upstream files are edited; the budget is %d", r.Name, n, Budget)
		}
	}
}

// Every edit applies exactly once to the current Go release, and to the others in the module cache.
func TestEditsApply(t *testing.T) {
	roots, err := filepath.Glob(filepath.Join(output(t, os.TempDir(), "env", "GOMODCACHE"), "golang.org/toolchain@*.linux-amd64"))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, root := range append(roots, output(t, os.TempDir(), "env", "GOROOT")) {
		goroot, version, err := readStock(root)
		if errors.Is(err, ErrUnsupported) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		tried++
		t.Run(version, func(t *testing.T) { testEdits(t, goroot, version) })
	}
	if tried == 0 {
		t.Skip("no supported Go release here")
	}
}

func testEdits(t *testing.T, goroot, version string) {
	edits, err := PortEdits(version)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edits {
		text, err := os.ReadFile(filepath.Join(goroot, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		patched, err := f.Apply(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), f.Path, patched, parser.SkipObjectResolution); err != nil {
			t.Error(err)
		}
		replaced := 0
		for _, e := range f.Edits {
			if e.Replace {
				replaced++
			}
		}
		got := strings.Count(string(patched), "\n") - strings.Count(string(text), "\n")
		if want := f.Lines() - replaced; got != want {
			t.Errorf("%s grows by %d lines; want %d", f.Path, got, want)
		}
	}
}

// Every file added to the go distribution needs a constraint: the stock go command builds the tools
// and does not recognise the suffix _tamago. One that all programs have says `tamago || !tamago`. Files of the tools have the constraint yolktools,
// which keeps them out of this module's packages.
func TestAddedFilesAreConstrained(t *testing.T) {
	files, err := PortFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		tag := "tamago"
		if strings.HasPrefix(name, "src/cmd/") {
			tag = "yolktools"
		}
		text, err := os.ReadFile(filepath.Join("../../../runtime/goroot", name))
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(string(text), "\n"); !strings.HasPrefix(first, "//go:build ") || !strings.Contains(first, tag) {
			t.Errorf("%s does not begin with a //go:build line that names %s", name, tag)
		}
	}
}

func TestParseEditsErrors(t *testing.T) {
	for _, text := range []string{"find x", "file a\n+b", "file a\nfind x\nwhat"} {
		if _, err := ParseEdits([]byte(text)); err == nil {
			t.Errorf("ParseEdits(%q) accepted it", text)
		}
	}
}

func TestApply(t *testing.T) {
	files, err := ParseEdits([]byte("file f\nfind a\n+b\nfind 2 x\n=y\n=z\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := files[0].Apply([]byte("\ta\nx\n x\n"))
	if err != nil || string(got) != "\ta\nb\nx\ny\nz\n" {
		t.Errorf("Apply = %q, %v", got, err)
	}
	if _, err := files[0].Apply([]byte("a\nx\n")); err == nil {
		t.Error("a missing line went unnoticed")
	}
}

// Imports are renamed to a package's path in the distribution; other strings stay.
func TestRenameImports(t *testing.T) {
	const in = `package p

import (
	"os"

	"github.com/yolk-unikernel/yolk/boot"
	acpi "github.com/yolk-unikernel/yolk/boot/acpi"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
	"github.com/yolk-unikernel/yolk/runtime/machine/linked"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

const path = "github.com/yolk-unikernel/yolk/runtime"
`
	const want = `package p

import (
	"os"

	"internal/runtime/yolk/boot"
	acpi "runtime/yolk/boot/acpi"
	"runtime/yolk/kernel/fs/ext4"
	"internal/runtime/yolk/linked"
	"runtime/yolk/wiring"
)

const path = "github.com/yolk-unikernel/yolk/runtime"
`
	if got := string(renameImports([]byte(in))); got != want {
		t.Errorf("renameImports:\n%s\nwant:\n%s", got, want)
	}
}
