package yolk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/yolk-unikernel/yolk/"

// forbidden says which folders may not import which: boot finds, drivers
// drive, kernel serves, netstack talks; only runtime/wiring joins them.
var forbidden = map[string][]string{
	"boot":     {"drivers", "kernel", "netstack", "runtime", "tools"},
	"drivers":  {"boot", "kernel", "netstack", "runtime", "tools"},
	"kernel":   {"drivers", "boot", "netstack", "runtime", "tools"},
	"netstack": {"drivers", "boot", "runtime", "tools"},
	"runtime":  {"tools"},
	"examples": {"boot", "drivers", "kernel", "netstack", "tools"},
}

// contract is what both sides of the machine's contract compile.
const contract = "runtime/machine/"

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
				if dir == f && !strings.HasPrefix(rest+"/", contract) {
					t.Errorf("%s imports %s: %s may not import %s", path, imp, top, f)
				}
			}
		}
	})
}

// lateKernel is the part of the kernel that only runtime/wiring/disks has: it initialises
// after runtime/wiring, and its library's packages, os and fmt among them, in between.
const lateKernel = "kernel/fs/erofs/"

func TestEarlyPackages(t *testing.T) {
	goFiles(t, func(path string) {
		top, _, _ := strings.Cut(path, "/")
		if top != "kernel" && top != "boot" && top != "drivers" || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "virtiotest") || strings.HasPrefix(path, lateKernel) {
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

// leafCall is a call in the compiler's listing.
var leafCall = regexp.MustCompile(`\b(?:CALL|JMP)\t(\S+)\(SB\)`)

// leafCallees are what the leaf packages of the machine half may call outside of
// themselves: they run on a private stack, without a P, so they may neither allocate nor
// store a pointer where the collector would have to know. A panic there is fatal.
var leafCallees = regexp.MustCompile(`^(runtime\.(memmove|memequal|memclrNoHeapPointers|panic\w+|morestack\w*|duffzero|duffcopy)|` +
	regexp.QuoteMeta(module) + `(boot|runtime/machine/\w+)\..*)$`)

func TestMachineLeavesCallNothing(t *testing.T) {
	folders, _ := filepath.Glob("runtime/machine/*")
	args := []string{"build", "-gcflags=-S"}
	for _, f := range folders {
		if filepath.Ext(f) == "" && f != "runtime/machine/linked" { // which is of the tools
			args = append(args, "./"+f)
		}
	}
	list, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, list)
	}
	seen := map[string]bool{}
	for _, m := range leafCall.FindAllSubmatch(list, -1) {
		if callee := string(m[1]); !seen[callee] {
			seen[callee] = true
			if !leafCallees.MatchString(callee) {
				t.Errorf("a package of runtime/machine calls %s", callee)
			}
		}
	}
	if !seen["runtime.memmove"] {
		t.Error("no call of memmove is in the listing; the pattern has gone wrong")
	}
}

func TestPackageComments(t *testing.T) {
	doc := map[string]bool{}
	goFiles(t, func(path string) {
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") || strings.Contains(dir, "goroot/src") || strings.Contains(dir, "netstack/gvisor") {
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

// quoted is a name in backquotes in docs/: package.Func, package.Type.Method or
// Type.Method of ours, or a bare name of the machine half.
var quoted = regexp.MustCompile("`([A-Za-z0-9_]+(?:\\.[A-Za-z0-9_]+)+|(?:mach|boot|pvh|linux|tamago|load)[A-Z][A-Za-z0-9]*)`")

// strict are the pages in which every name in backquotes must be one of ours, and
// every one in italics one of Go's or gVisor's: the paths that a newcomer follows.
var strict = map[string]bool{"docs/paths.md": true, "docs/packet.md": true, "docs/disks.md": true, "docs/files.md": true, "docs/boot.md": true}

// Functions that docs/ names must exist.
func TestDocsNameFunctions(t *testing.T) {
	have := declared(t)
	pages, _ := filepath.Glob("docs/*.md")
	checked := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
			name := m[1]
			first, _, dotted := strings.Cut(name, ".")
			ours := have["package "+first] || have[first]
			if isFile(name) || dotted && !ours && !strict[page] {
				continue
			}
			checked++
			if !have[name] {
				t.Errorf("%s names %s, which does not exist", page, name)
			}
		}
	}
	if checked < 150 {
		t.Errorf("only %d names were checked; the pattern has gone wrong", checked)
	}
}

// italic is a name of somebody else's in the tables of a strict page.
var italic = regexp.MustCompile(`\*([A-Za-z_][A-Za-z0-9_.]*)\*`)

// declaration is that of a function in Go or assembly, or of a constant, field or method
// of an interface in a list.
var declaration = regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|TEXT [^(\n]*·|\t)(\w+)`)

// What the strict pages name of Go's runtime and library and of gVisor exists in the
// releases at hand.
func TestDocsNameUpstream(t *testing.T) {
	have := map[string]bool{}
	for _, dir := range upstreamFolders(t) {
		files, _ := filepath.Glob(dir + "/*")
		for _, f := range files {
			if strings.HasSuffix(f, ".go") && !strings.HasSuffix(f, "_test.go") || strings.HasSuffix(f, "amd64.s") {
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range declaration.FindAllSubmatch(text, -1) {
					have[string(m[1])] = true
				}
			}
		}
	}
	for page := range strict {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "|") {
				continue
			}
			for _, m := range italic.FindAllStringSubmatch(line, -1) {
				name := m[1][strings.LastIndexByte(m[1], '.')+1:]
				if !have[name] {
					t.Errorf("%s names %s, which is declared neither in Go's nor in gVisor's packages", page, m[1])
				}
			}
		}
	}
}

// upstreamFolders returns the folders of the packages that the strict pages name.
func upstreamFolders(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "runtime", "runtime/debug", "net", "syscall", "os", "internal/poll",
		"gvisor.dev/gvisor/pkg/tcpip", "gvisor.dev/gvisor/pkg/tcpip/stack", "gvisor.dev/gvisor/pkg/tcpip/transport/tcp",
		"gvisor.dev/gvisor/pkg/tcpip/network/ipv4", "gvisor.dev/gvisor/pkg/waiter", "gvisor.dev/gvisor/pkg/buffer").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return append(strings.Fields(string(out)), "runtime/goroot/src/runtime")
}

func isFile(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".s", ".md", ".txt", ".zip", ".crt", ".ext4", ".erofs":
		return true
	}
	return false
}

// declared returns what the module declares: functions and types by their
// names and package-qualified, methods as package.Type.Method, Type.Method.
func declared(t *testing.T) map[string]bool {
	have := map[string]bool{}
	add := func(pkg, name string) {
		have["package "+pkg], have[name], have[pkg+"."+name] = true, true, true
	}
	goFiles(t, func(path string) {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					have[name] = true
					name = receiver(d.Recv.List[0].Type) + "." + name
				}
				add(f.Name.Name, name)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.ValueSpec); ok {
						for _, n := range s.Names {
							have[f.Name.Name+"."+n.Name] = true
						}
					}
					if s, ok := s.(*ast.TypeSpec); ok {
						add(f.Name.Name, s.Name.Name)
						if i, ok := s.Type.(*ast.InterfaceType); ok {
							for _, m := range i.Methods.List {
								for _, n := range m.Names {
									add(f.Name.Name, s.Name.Name+"."+n.Name)
								}
							}
						}
					}
				}
			}
		}
	})
	asm, _ := filepath.Glob("runtime/goroot/src/runtime/*.s")
	for _, path := range asm {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^TEXT runtime·(\w+)`).FindAllStringSubmatch(string(text), -1) {
			add("runtime", m[1])
		}
	}
	return have
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// Links between pages must lead somewhere.
func TestDocsLinks(t *testing.T) {
	pages, _ := filepath.Glob("docs/*.md")
	pages = append(pages, "README.md", "CONTRIBUTING.md")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}
