package toolchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/yolk-unikernel/yolk"
)

const modulePath = "github.com/yolk-unikernel/yolk"

// placed are the paths of this module's folders in the distribution; the first match counts. The path
// is part of the name of every function in every image, so it is short. What package runtime
// imports must be where it may import it.
var placed = []struct{ folder, path string }{
	{"runtime/machine", machinePrefix},
	{"boot/acpi", ownPrefix + "/boot/acpi"},
	{"boot", bootPath},
	{"runtime", ownPrefix},
	{"", ownPrefix},
}

const (
	ownPrefix     = "runtime/yolk"
	machinePrefix = "internal/runtime/yolk"
	bootPath      = "internal/runtime/yolk/boot"
	wiringPath    = modulePath + "/runtime/wiring"
)

// place returns the import path in the distribution of a package of this module.
func place(path string) (to string, ours bool) {
	rel, ours := strings.CutPrefix(path, modulePath+"/")
	if !ours {
		return path, false
	}
	for _, p := range placed {
		if p.folder == "" {
			return p.path + "/" + rel, true
		}
		if rest, ok := strings.CutPrefix(rel, p.folder); ok && (rest == "" || rest[0] == '/') {
			return p.path + rest, true
		}
	}
	return path, false
}

// renameImports changes Go source to import this module's packages from the distribution. Other
// strings stay.
func renameImports(text []byte) []byte {
	f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.ImportsOnly)
	if err != nil {
		return text // the compiler will report it
	}
	var out []byte
	done := 0
	for _, i := range f.Imports {
		start, end := int(i.Path.Pos())-1, int(i.Path.End())-1 // positions of the only file begin at 1
		if to, ours := place(string(text[start+1 : end-1])); ours {
			out = append(append(out, text[done:start]...), `"`+to+`"`...)
			done = end
		}
	}
	return append(out, text[done:]...)
}

// builder makes one distribution.
type builder struct {
	ctx     context.Context
	stock   string // GOROOT of the stock distribution
	version string
	edits   []FileEdit
	cache   string // GOCACHE of the patched tools
	// hostCache is the GOCACHE of the stock tools, which build the patched ones; several
	// contents of the port share it.
	hostCache string
	final     string // final path of the distribution
	out       io.Writer

	dir    string // where it is being built
	source string // a copy of this module's source
}

func (b *builder) build() error {
	start := time.Now()
	fmt.Fprintf(b.out, "yolk: building the toolchain from %s (about a minute, once)\n", b.version)
	tmp, err := os.MkdirTemp(filepath.Dir(b.final), "tmp-")
	if err != nil {
		return err
	}
	defer removeAll(tmp)
	b.dir, b.source = filepath.Join(tmp, "goroot"), filepath.Join(tmp, "source")
	steps := []struct {
		what string
		do   func() error
	}{
		{"copying GOROOT", b.copyStock},
		{"applying the port", b.applyPort},
		{"placing the kernel and its libraries", b.placeKernel},
		{"rebuilding go and link", b.rebuildTools},
		{"finishing", b.finish},
	}
	for i, s := range steps {
		fmt.Fprintf(b.out, "yolk:   [%d/%d] %s\n", i+1, len(steps), s.what)
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	fmt.Fprintf(b.out, "yolk: toolchain ready after %.0f s\n", time.Since(start).Seconds())
	return nil
}

// copyStock copies the parts of the stock distribution that a build needs.
func (b *builder) copyStock() error {
	for _, name := range []string{"VERSION", "go.env", "bin", "lib", "pkg/include", "pkg/tool", "src"} {
		if err := copyTree(filepath.Join(b.stock, name), filepath.Join(b.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// A distribution from the module golang.org/toolchain has _go.mod.
	return filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "_go.mod" {
			return os.Rename(path, filepath.Join(filepath.Dir(path), "go.mod"))
		}
		return err
	})
}

// applyPort makes the edits and adds the files of runtime/goroot.
func (b *builder) applyPort() error {
	for _, f := range b.edits {
		path := filepath.Join(b.dir, f.Path)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if text, err = f.Apply(text); err != nil {
			return fmt.Errorf("the port does not apply to %s: %w; releases that it applies to are in runtime/goroot/releases.txt", b.version, err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	if err := extract("runtime/goroot/src", filepath.Join(b.dir, "src")); err != nil {
		return err
	}
	return b.placeContract()
}

// placeContract copies the packages that both package runtime and the wiring compile to where both
// may import them: the boot protocols and the leaf packages of runtime/machine.
func (b *builder) placeContract() error {
	if err := extractFlat("boot", filepath.Join(b.dir, "src", bootPath)); err != nil {
		return err
	}
	return extractAs("runtime/machine", filepath.Join(b.dir, "src", machinePrefix), renameImports)
}

// PortFiles returns the added files, as paths below GOROOT, with their sizes in lines.
func PortFiles() (map[string]int, error) {
	files := map[string]int{}
	err := fs.WalkDir(yolk.Source, "runtime/goroot/src", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || skipFile(path) {
			return err
		}
		text, err := yolk.Source.ReadFile(path)
		files[strings.TrimPrefix(path, "runtime/goroot/")] = bytes.Count(text, []byte("\n"))
		return err
	})
	return files, err
}

// placeKernel copies the wiring and its imports: this module's packages to the paths of place, others
// to src/vendor, where standard packages find their imports if the folder exists.
func (b *builder) placeKernel() error {
	if err := extract(".", b.source); err != nil {
		return err
	}
	pkgs, err := b.kernelPackages()
	if err != nil {
		return err
	}
	pkgs = slices.DeleteFunc(pkgs, b.inStock)
	edits, err := GVisorEdits()
	if err != nil {
		return err
	}
	for _, p := range pkgs {
		dst := filepath.Join(b.dir, "src/vendor", p.ImportPath)
		if to, ours := place(p.ImportPath); ours {
			dst = filepath.Join(b.dir, "src", to)
		}
		if err := copyPackage(p, dst, edits); err != nil {
			return err
		}
	}
	if err := addToGVisor(filepath.Join(b.dir, "src/vendor")); err != nil {
		return err
	}
	zones := filepath.Join(b.dir, "src", ownPrefix, "wiring/zoneinfo/zoneinfo.zip")
	if err := copyFile(filepath.Join(b.stock, "lib/time/zoneinfo.zip"), zones); err != nil {
		return err
	}
	if err := shortenGVisor(filepath.Join(b.dir, "src")); err != nil {
		return err
	}
	return b.listModules(pkgs)
}

// inStock reports whether the stock distribution has a package of its own.
func (b *builder) inStock(p listedPackage) bool {
	_, err := os.Stat(filepath.Join(b.stock, "src/vendor", p.ImportPath))
	return err == nil
}

// listedPackage is go list's description of a package.
type listedPackage struct {
	ImportPath, Dir string
	Standard        bool
	Imports         []string
	Module          *struct{ Path, Version string }
}

// kernelPackages lists the packages outside the standard library that the machine's packages import,
// with their folders.
func (b *builder) kernelPackages() ([]listedPackage, error) {
	pkgs, err := b.list("./runtime/wiring/...", "./"+gvisorSource+"/...")
	if err != nil {
		return nil, err
	}
	folders, err := gvisorReplacements()
	if err != nil {
		return nil, err
	}
	b.substitute(pkgs, folders)
	var found []listedPackage
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		p, listed := pkgs[path]
		if seen[path] || !listed || p.Standard || p.Dir == "" {
			return
		}
		seen[path] = true
		for _, i := range p.Imports {
			visit(i)
		}
		found = append(found, p)
	}
	for path := range pkgs {
		if strings.HasPrefix(path, wiringPath) {
			visit(path)
		}
	}
	return found, nil
}

// list returns packages and their direct and indirect imports.
func (b *builder) list(patterns ...string) (map[string]listedPackage, error) {
	cmd, err := b.listGo(append([]string{"list", "-e", "-deps", "-tags=yolk",
		"-json=ImportPath,Dir,Standard,Imports,Module"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, errs.Bytes())
	}
	pkgs := map[string]listedPackage{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		pkgs[p.ImportPath] = p
	}
}

// rebuildTools builds the go command and the linker from the patched source with the stock go
// command.
func (b *builder) rebuildTools() error {
	for _, t := range []struct{ pkg, out string }{
		{"cmd/go", "bin/go"},
		{"cmd/link", "pkg/tool/linux_amd64/link"},
	} {
		cmd := exec.CommandContext(b.ctx, filepath.Join(b.stock, "bin/go"), "build", "-trimpath", "-tags=yolktools",
			"-ldflags=-s -w -X internal/buildcfg.defaultGO_EXTLINK_ENABLED=", "-o", filepath.Join(b.dir, t.out), t.pkg)
		cmd.Dir = filepath.Join(b.dir, "src")
		cmd.Env = hostEnv("GOROOT="+b.dir, "GOCACHE="+b.hostCache, "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", t.pkg, err, out)
		}
	}
	return nil
}

// finish installs the exec hook in the distribution and moves it to its final path.
func (b *builder) finish() error {
	if err := os.MkdirAll(b.cache, 0o777); err != nil {
		return err
	}
	if err := os.Symlink(b.cache, filepath.Join(b.dir, cacheLink)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, doneFile), []byte(b.stock+"\n"), 0o666); err != nil {
		return err
	}
	removeAll(b.final)
	return os.Rename(b.dir, b.final)
}

// hostEnv returns the environment for building host tools, without another GOOS or toolchain.
func hostEnv(add ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "GOOS", "GOARCH", "GOROOT", "GOFLAGS", "GOCACHE", "GOTOOLCHAIN", "GOWORK", "GOEXPERIMENT", "CGO_ENABLED":
		default:
			env = append(env, kv)
		}
	}
	env = append(env, "GOTOOLCHAIN=local", "GOWORK=off", "CGO_ENABLED=0")
	return append(env, add...)
}
