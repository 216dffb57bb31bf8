package yolk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/runtime/machine/linked"
)

// upstream are the folders whose files belong to packages of the Go distribution: the
// host's tools cannot load them, because the rest of those packages is not here. Every
// other package is loaded by go list, go vet, gopls and staticcheck (make lint).
var upstream = []string{
	"runtime/goroot/src/cmd/go/internal/imports",
	"runtime/goroot/src/cmd/go/internal/load",
	"runtime/goroot/src/cmd/go/internal/modindex",
	"runtime/goroot/src/cmd/go/internal/run",
	"runtime/goroot/src/cmd/go/internal/work",
	"runtime/goroot/src/cmd/link/internal/ld",
	"runtime/goroot/src/cmd/link/internal/loader",
	"runtime/goroot/src/internal/syscall/unix",
	"runtime/goroot/src/os/signal",
	"runtime/goroot/src/runtime",
	"runtime/goroot/src/runtime/goos",
	"runtime/goroot/src/syscall",
	"runtime/goroot/src/time",
}

// added are folders whose files are added to packages of gVisor.
const added = "netstack/gvisor/add/"

// Every folder with Go files is a package that the go command lists, is one of
// upstream's, or is a module of its own or a test's data.
func TestPackagesAreListed(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, dir := range strings.Fields(string(out)) {
		rel, _ := filepath.Rel(root, dir)
		listed[filepath.ToSlash(rel)] = true
	}
	found := map[string]bool{}
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			if strings.HasSuffix(path, ".go") {
				found[filepath.ToSlash(filepath.Dir(path))] = true
			}
			return err
		}
		_, nested := os.Stat(filepath.Join(path, "go.mod"))
		if path != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || nested == nil) {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range found {
		if !listed[dir] && !slices.Contains(upstream, dir) && !strings.HasPrefix(dir, added) {
			t.Errorf("%s is no package that go list ./... lists", dir)
		}
	}
	for _, dir := range upstream {
		if !found[dir] {
			t.Errorf("%s is named as one of upstream's folders and has no Go file", dir)
		}
	}
}

// unsafe is for *_unsafe.go, the port and the wiring, which reach beyond Go, and for
// tests. A blank import is for linkname.
func TestUnsafe(t *testing.T) {
	goFiles(t, func(path string) {
		if strings.HasSuffix(path, "_unsafe.go") || strings.HasSuffix(path, "_test.go") ||
			strings.HasPrefix(path, "runtime/goroot/") || strings.HasPrefix(path, "runtime/wiring/") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if i.Path.Value == `"unsafe"` && (i.Name == nil || i.Name.Name != "_") {
				t.Errorf("%s imports unsafe; what needs it belongs in a file *_unsafe.go", path)
			}
		}
	})
}

// kernelImports is the import graph inside kernel/: a package may import those that
// stand beside it, packages of the standard library and libraries aside.
var kernelImports = map[string][]string{
	"kernel":                    {"runtime/machine/mman"},
	"kernel/kerneltest":         {"kernel", "runtime/machine"},
	"kernel/fs":                 {"kernel"},
	"kernel/fs/block":           {},
	"kernel/fs/block/blocktest": {"kernel/fs/block"},
	"kernel/fs/bounce":          {},
	"kernel/fs/fsprobe":         {"kernel/fs/block"},
	"kernel/fs/rawdisk":         {"kernel", "kernel/fs/block", "kernel/fs/bounce"},
	"kernel/fs/ext4":            {"kernel/fs/block", "kernel/fs/ext4/jbd2"},
	"kernel/fs/ext4/jbd2":       {"kernel/fs/block"},
	"kernel/fs/pagecache":       {"kernel/fs/block", "runtime/machine"},
	"kernel/fs/ext4fs":          {"kernel", "kernel/fs", "kernel/fs/block", "kernel/fs/ext4", "kernel/fs/pagecache", "runtime/machine"},
	"kernel/fs/erofs":           {"kernel", "kernel/fs", "kernel/fs/block", "kernel/fs/pagecache", "runtime/machine"},
	"kernel/fs/p9fs":            {"kernel", "kernel/fs/block", "kernel/fs/bounce", "kernel/fs/pagecache"},
}

func TestKernelImports(t *testing.T) {
	goFiles(t, func(path string) {
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir != "kernel" && !strings.HasPrefix(dir, "kernel/") || strings.HasSuffix(path, "_test.go") {
			return
		}
		may, known := kernelImports[dir]
		if !known {
			t.Errorf("%s is not in the import graph of kernel/ (kernelImports)", dir)
			return
		}
		for _, imp := range imports(t, path) {
			if rest, ours := strings.CutPrefix(imp, module); ours && !slices.Contains(may, rest) {
				t.Errorf("%s imports %s, which its place in kernelImports does not allow", path, rest)
			}
		}
	})
}

// machineFile is a line of the list of files in machine.go.
func machineFiles(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("runtime/goroot/src/runtime/machine.go")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "//\tmachine_"); ok {
			name, _, _ := strings.Cut(rest, " ")
			listed["machine_"+name] = true
		}
	}
	return listed
}

// machine.go lists the files of the machine half, all of them.
func TestMachineListsItsFiles(t *testing.T) {
	listed := machineFiles(t)
	names, err := filepath.Glob("runtime/goroot/src/runtime/machine_*")
	if err != nil || len(names) < 10 {
		t.Fatalf("found %d files of the machine half (%v)", len(names), err)
	}
	for _, n := range names {
		base := filepath.Base(n)
		if !listed[base] {
			t.Errorf("machine.go does not list %s", base)
		}
		delete(listed, base)
	}
	for n := range listed {
		t.Errorf("machine.go lists %s, which does not exist", n)
	}
}

// What the list of linked packages names exists and is in the table of docs/architecture.md,
// and every package of the wiring that others do not import is on it.
func TestLinkedPackages(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	onList := map[string]bool{}
	for _, p := range linked.Packages {
		if row := "| `runtime/" + strings.TrimPrefix(p.Path, "runtime/yolk/") + "`"; !strings.Contains(string(page), row) {
			t.Errorf("docs/architecture.md does not say what %s goes in with", p.Path)
		}
		onList[p.Path] = true
		dir := filepath.Join("runtime", strings.TrimPrefix(p.Path, "runtime/yolk/"))
		if files, _ := filepath.Glob(dir + "/*.go"); len(files) == 0 {
			t.Errorf("%s is on the list; there is no package in %s", p.Path, dir)
		}
	}
	imported, all := map[string]bool{}, map[string]bool{}
	goFiles(t, func(path string) {
		if !strings.HasPrefix(path, "runtime/wiring/") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "wiringtest/") {
			return
		}
		all["runtime/yolk/"+strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "runtime/")] = true
		for _, imp := range imports(t, path) {
			if rest, ok := strings.CutPrefix(imp, module+"runtime/"); ok {
				imported["runtime/yolk/"+rest] = true
			}
		}
	})
	for p := range all {
		if !onList[p] && !imported[p] {
			t.Errorf("%s is neither on the list nor imported: no program can have it", p)
		}
	}
}

// signatures returns the functions without a receiver that a file declares, as
// "name(types) types", and the comment of its package clause aside.
func signatures(t *testing.T, path string) map[string]string {
	t.Helper()
	set := token.NewFileSet()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
			list[fn.Name.Name] = types(fn.Type.Params) + " " + types(fn.Type.Results)
		}
	}
	return list
}

// types returns the types of a list of parameters, without their names.
func types(l *ast.FieldList) string {
	if l == nil {
		return "()"
	}
	var list []string
	for _, f := range l.List {
		for range max(len(f.Names), 1) {
			list = append(list, typeName(f.Type))
		}
	}
	return "(" + strings.Join(list, ", ") + ")"
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return typeName(e.X) + "." + e.Sel.Name
	case *ast.StarExpr:
		if typeName(e.X) == "pollDesc" { // known to package runtime alone
			return "unsafe.Pointer"
		}
		return "*" + typeName(e.X)
	case *ast.ArrayType:
		n := ""
		if l, ok := e.Len.(*ast.BasicLit); ok {
			n = l.Value
		}
		return "[" + n + "]" + typeName(e.Elt)
	case *ast.FuncType:
		return "func" + types(e.Params) + " " + types(e.Results)
	}
	return "?"
}

// listed returns the functions that the comment at the top of wiring/machine.go lists.
func listedContract(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("runtime/wiring/machine.go")
	if err != nil {
		t.Fatal(err)
	}
	var decls []string
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "// func "); ok {
			decls = append(decls, "func "+strings.TrimSpace(rest))
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "list", "package list\n"+strings.Join(decls, "\n"), parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("the list of functions in wiring/machine.go is not Go: %v", err)
	}
	list := map[string]string{}
	for _, d := range f.Decls {
		fn := d.(*ast.FuncDecl)
		list[fn.Name.Name] = types(fn.Type.Params) + " " + types(fn.Type.Results)
	}
	return list
}

// helpers are functions of machine_yolk.go that are no part of the contract.
var helpers = []string{"call", "yieldingCall", "ask", "word"}

// The contract is one list, at the top of wiring/machine.go; the real machine defines it
// and nothing else, and the host's stand-in defines all of it, with the same types.
func TestContractIsListed(t *testing.T) {
	list := listedContract(t)
	if len(list) < 40 {
		t.Fatalf("the list has %d functions; it was not found", len(list))
	}
	for _, side := range []string{"yolk", "host"} {
		have := map[string]string{}
		files, _ := filepath.Glob("runtime/wiring/*_" + side + "*.go")
		for _, path := range files {
			for name, sig := range signatures(t, path) {
				have[name] = sig
			}
		}
		for name, want := range list {
			if got, ok := have[name]; !ok {
				t.Errorf("%v lack the list's %s", files, name)
			} else if got != want {
				t.Errorf("%v: %s%s; the list says %s", files, name, got, want)
			}
		}
		for name := range have {
			if side == "yolk" && list[name] == "" && !slices.Contains(helpers, name) {
				t.Errorf("%s of %v is not on the list in wiring/machine.go", name, files)
			}
		}
	}
}

// linknames returns, for the files of a folder, what each //go:linkname names: the local
// function, with its signature, by the symbol.
func linknames(t *testing.T, pkg, pattern string) map[string]string {
	t.Helper()
	paths, _ := filepath.Glob(pattern)
	list := map[string]string{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		sigs := signatures(t, path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			switch {
			case len(f) == 0 || f[0] != "//go:linkname":
			case len(f) == 2: // the symbol is the function's own
				list[pkg+"."+f[1]] = sigs[f[1]]
			default:
				list[f[2]] = sigs[f[1]]
			}
		}
	}
	return list
}

// A function that one package pushes by linkname to another is declared there, with the
// same types: the compiler does not compare them.
func TestLinknamePairs(t *testing.T) {
	const port = "runtime/goroot/src/"
	pairs := []struct{ from, fromPattern, to, toPattern, symbols string }{
		{"runtime", port + "runtime/*.go", "runtime/yolk/wiring", "runtime/wiring/machine_yolk.go", "runtime/yolk/wiring."},
		{"runtime", port + "runtime/*.go", "syscall", port + "syscall/tamago.go", "syscall."},
		{"runtime/yolk/wiring/zoneinfo", "runtime/wiring/zoneinfo/*.go", "time", port + "time/tamago.go", "time."},
		{"runtime/yolk/wiring", "runtime/wiring/*.go", "runtime", "runtime/machine_yolk.go", "runtime/yolk/wiring."},
		{"runtime/yolk/wiring/devices", "runtime/wiring/devices/*.go", "runtime", "runtime/machine_yolk.go", "runtime/yolk/wiring/devices."},
		{"runtime/yolk/wiring/cards", "runtime/wiring/cards/*.go", "runtime", "runtime/machine_yolk.go", "runtime/yolk/wiring/cards."},
	}
	checked := 0
	for _, p := range pairs {
		from, to := linknames(t, p.from, p.fromPattern), linknames(t, p.to, p.toPattern)
		for symbol, got := range to {
			if !strings.HasPrefix(symbol, p.symbols) || strings.Contains(symbol[len(p.symbols):], "/") {
				continue
			}
			checked++
			want, ok := from[symbol]
			if !ok {
				t.Errorf("%s: nothing in %s defines %s", p.toPattern, p.fromPattern, symbol)
			} else if want != got {
				t.Errorf("%s: %s is %s there and %s in %s", p.toPattern, symbol, got, want, p.fromPattern)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d linknames were compared", checked)
	}
}
