package kernel

import (
	"go/build"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// The kernel's imports initialise before the kernel, and package time's tests open files when
// they initialise: so the kernel does not import it.
func TestNoPackageTime(t *testing.T) {
	ctx := build.Default
	ctx.GOOS, ctx.BuildTags = "linux", []string{"yolk"}
	pkg, err := ctx.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(pkg.GoFiles, "clock_unsafe.go") {
		t.Fatalf("clock_unsafe.go is not among %v", pkg.GoFiles)
	}
	for _, name := range pkg.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			if path, _ := strconv.Unquote(imp.Path.Value); path == "time" {
				t.Errorf("%s imports package time; clock_unsafe.go has what the kernel needs of it", name)
			}
		}
	}
}

func TestAlarm(t *testing.T) {
	rung := make(chan bool, 1)
	a := afterFunc(1e6, func() { rung <- true })
	<-rung
	if a.stop() {
		t.Error("stop of an alarm that rang = true")
	}
	if a := afterFunc(1e12, func() { t.Error("a stopped alarm rang") }); !a.stop() {
		t.Error("stop of an alarm that did not ring = false")
	}
}
