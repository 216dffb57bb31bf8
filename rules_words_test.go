package yolk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notYet are types whose methods still have several names for their receiver.
var notYet = []string{
	"drivers/virtio/net net_test.fast",
}

// receiverNames returns the names that the methods of each type give to their receiver, by
// "folder package.Type", each with the position of one such method. Methods that do not
// name it count for nothing.
func receiverNames(t *testing.T) map[string]map[string]token.Position {
	list := map[string]map[string]token.Position{}
	goFiles(t, func(path string) {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || len(fn.Recv.List[0].Names) == 0 || fn.Recv.List[0].Names[0].Name == "_" {
				continue
			}
			r := fn.Recv.List[0]
			key := filepath.ToSlash(filepath.Dir(path)) + " " + f.Name.Name + "." + receiver(r.Type)
			if list[key] == nil {
				list[key] = map[string]token.Position{}
			}
			list[key][r.Names[0].Name] = set.Position(fn.Pos())
		}
	})
	return list
}

// All methods of a type name their receiver alike.
func TestOneReceiverName(t *testing.T) {
	list := receiverNames(t)
	for _, key := range slices.Sorted(maps.Keys(list)) {
		if several := len(list[key]) > 1; several && !slices.Contains(notYet, key) {
			t.Errorf("the receiver of %s has several names: %v", key, list[key])
		}
	}
	for _, key := range notYet {
		if len(list[key]) < 2 {
			t.Errorf("the receiver of %s has one name: strike it off the list notYet", key)
		}
	}
}

// plainFolders are the folders whose comments TestPlainWords checks.
var plainFolders = []string{"boot", "examples", "kernel", "netstack", "test", "tools"}

// unclear are phrases that a newcomer stumbles over, each with what to write instead.
var unclear = []struct {
	phrase *regexp.Regexp
	advice string
}{
	{regexp.MustCompile(`(?i)(\b(for|to|of|by|than|that|and|but|or)|[,;:.]) who\b`), "name the person or thing"},
	{regexp.MustCompile(`^Who\b`), "name the person or thing"},
	{regexp.MustCompile(`(?i)\bso many\b`), "name the number"},
	{regexp.MustCompile(`(?i)\b(soil|wash)`), "pages are dirty or clean"},
	{regexp.MustCompile(`(?i)\bsettle(s|d)?\b`), "say what is done: written back, checkpointed, finished"},
}

// plainFiles calls visit for the Go files of plainFolders, those of tests and their data
// included.
func plainFiles(t *testing.T, visit func(path string)) {
	t.Helper()
	for _, dir := range plainFolders {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") {
				visit(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Comments do without the phrases in unclear.
func TestPlainWords(t *testing.T) {
	plainFiles(t, func(path string) {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Comments {
			text := strings.Join(strings.Fields(c.Text()), " ")
			for _, u := range unclear {
				if found := u.phrase.FindString(text); found != "" {
					t.Errorf("%s: %q in a comment: %s", set.Position(c.Pos()), found, u.advice)
				}
			}
		}
	})
}

// errnoFolders are the folders in which a syscall.Errno is called e.
var errnoFolders = []string{"kernel", "netstack"}

// otherErrno are names for a syscall.Errno that have been in use.
var otherErrno = []string{"err", "errno", "eno", "en"}

// errnoFields returns the declarations of parameters, results and variables that give a
// syscall.Errno another name than e. Names that tell two of them apart (first, closed) are
// not among them.
func errnoFields(f *ast.File) (names []*ast.Ident) {
	check := func(list []*ast.Ident, typ ast.Expr) {
		sel, ok := typ.(*ast.SelectorExpr)
		if !ok || typeName(sel) != "syscall.Errno" {
			return
		}
		for _, n := range list {
			if slices.Contains(otherErrno, n.Name) {
				names = append(names, n)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncType:
			for _, l := range []*ast.FieldList{n.Params, n.Results} {
				if l == nil {
					continue
				}
				for _, field := range l.List {
					check(field.Names, field.Type)
				}
			}
		case *ast.ValueSpec:
			check(n.Names, n.Type)
		case *ast.AssignStmt:
			for _, x := range n.Lhs {
				if id, ok := x.(*ast.Ident); ok && n.Tok == token.DEFINE && id.Name == "errno" {
					names = append(names, id)
				}
			}
		}
		return true
	})
	return names
}

// A syscall.Errno is called e, as in most of the kernel; err is an error.
func TestErrnoName(t *testing.T) {
	goFiles(t, func(path string) {
		if top, _, _ := strings.Cut(filepath.ToSlash(path), "/"); !slices.Contains(errnoFolders, top) {
			return
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range errnoFields(f) {
			t.Errorf("%s: the syscall.Errno %s is called e elsewhere", set.Position(n.Pos()), n.Name)
		}
	})
}
