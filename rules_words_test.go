package yolk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
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
