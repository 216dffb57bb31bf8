package toolchain

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	edits, err := PortEdits()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range edits {
		n += f.Lines()
	}
	if n == 0 || n > Budget {
		t.Errorf("%d lines of upstream files are edited; the budget is %d", n, Budget)
	}
}

// Every edit must apply to the Go release at hand, once.
func TestEditsApply(t *testing.T) {
	if err := checkVersion(runtime.Version()); err != nil {
		t.Skip(err)
	}
	edits, err := PortEdits()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edits {
		text, err := os.ReadFile(filepath.Join(runtime.GOROOT(), f.Path))
		if err != nil {
			t.Skip("no source of the standard library here: ", err)
		}
		if strings.Contains(string(text), "tamago") {
			t.Skip("this is the patched distribution")
		}
		patched, err := f.Apply(text)
		if err != nil {
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

// Every file added to the go distribution needs a constraint: the stock go
// command builds the tools and knows no _tamago suffix. Files of the tools have
// the constraint yolktools, which keeps them out of this module's packages.
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

func TestUnsupported(t *testing.T) {
	for v, ok := range map[string]bool{"go1.26.8": true, "go1.26": true, "go1.25.3": false, "go1.260.1": false, "devel": false} {
		if err := checkVersion(v); (err == nil) != ok {
			t.Errorf("checkVersion(%q) = %v", v, err)
		}
	}
}
