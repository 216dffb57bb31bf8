package linked

import "strings"

// A Module is a Go module of which the machine's packages come, as the build
// information of an image names it (runtime/debug.Module).
type Module struct {
	Path, Version string
	Sum           string   // as in go.sum, "" for this module
	Packages      []string // paths in the distribution
}

// Modules are those of the distribution. yolk toolchain adds a file that fills them
// in; elsewhere there are none.
var Modules []Module

// In returns the modules of which a program that has the packages for which has returns
// true carries something.
func In(modules []Module, has func(path string) bool) []Module {
	var in []Module
	for _, m := range modules {
		for _, p := range m.Packages {
			if has(p) {
				in = append(in, m)
				break
			}
		}
	}
	return in
}

// AddModules returns a program's build information (runtime/debug.BuildInfo.String, between
// the two marks of 16 bytes that cmd/go puts around it) with a line for each module, as
// for any other that the program is built from. A module that the program has in the same
// version is there once.
func AddModules(info string, modules []Module) string {
	const mark = 16
	if len(info) < 2*mark {
		return info
	}
	at := strings.Index(info, "\nbuild\t") + 1
	if at == 0 {
		at = len(info) - mark
	}
	head, add := info[:at], ""
	for _, m := range modules {
		name := "\t" + m.Path + "\t" + m.Version
		if !strings.Contains(head, "dep"+name) && !strings.Contains(head, "mod\t"+m.Path+"\t") {
			add += "dep" + name + "\t" + m.Sum + "\n"
		}
	}
	return head + add + info[at:]
}
