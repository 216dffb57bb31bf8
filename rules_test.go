package yolk

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/yolk-unikernel/yolk/"

// forbidden says which folders may not import which: boot finds, drivers
// drive, kernel serves, netstack talks; only runtime/goroot joins them.
var forbidden = map[string][]string{
	"boot":     {"drivers", "kernel", "netstack", "runtime", "tools"},
	"drivers":  {"boot", "kernel", "netstack", "runtime", "tools"},
	"kernel":   {"drivers", "boot", "netstack", "runtime", "tools"},
	"netstack": {"drivers", "boot", "runtime", "tools"},
	"runtime":  {"tools"},
	"examples": {"boot", "drivers", "kernel", "netstack", "tools"},
}

// early are packages that hold state of the program's or need the kernel: what
// initialises before it must not import them.
var early = []string{"os", "fmt", "net", "log", "io/ioutil"}

func goFiles(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || path == "test" || path != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func imports(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, i := range f.Imports {
		list = append(list, strings.Trim(i.Path.Value, `"`))
	}
	return list
}

func TestImportRules(t *testing.T) {
	goFiles(t, func(path string) {
		top, _, _ := strings.Cut(path, "/")
		for _, imp := range imports(t, path) {
			rest, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			dir, _, _ := strings.Cut(rest, "/")
			for _, f := range forbidden[top] {
				if dir == f && !(top == "runtime" && f == "runtime") {
					t.Errorf("%s imports %s: %s may not import %s", path, imp, top, f)
				}
			}
		}
	})
}

func TestEarlyPackages(t *testing.T) {
	goFiles(t, func(path string) {
		top, _, _ := strings.Cut(path, "/")
		if top != "kernel" && top != "boot" && top != "drivers" || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "virtiotest") {
			return
		}
		for _, imp := range imports(t, path) {
			for _, e := range early {
				if imp == e {
					t.Errorf("%s imports %s, which initialises after the kernel", path, imp)
				}
			}
		}
	})
}

func TestPackageComments(t *testing.T) {
	doc := map[string]bool{}
	goFiles(t, func(path string) {
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") || strings.Contains(dir, "goroot/src") && !strings.Contains(dir, "runtime/yolk") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		doc[dir] = doc[dir] || f.Doc != nil
	})
	for dir, ok := range doc {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}
