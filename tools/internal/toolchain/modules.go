package toolchain

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yolk-unikernel/yolk"
	"github.com/yolk-unikernel/yolk/runtime/machine/linked"
)

// listModules adds the file that tells the linker of which modules the placed packages come.
func (b *builder) listModules(pkgs []listedPackage) error {
	sums, err := moduleSums()
	if err != nil {
		return err
	}
	text := []byte("package linked\n\nfunc init() {\n\tModules = []Module{\n")
	for _, m := range modulesOf(pkgs, sums) {
		text = fmt.Appendf(text, "\t\t{%q, %q, %q, %#v},\n", m.Path, m.Version, m.Sum, m.Packages)
	}
	return writeFile(filepath.Join(b.dir, "src", machinePrefix, "linked/modules_placed.go"), append(text, "\t}\n}\n"...))
}

// modulesOf returns the modules of packages that are placed in the distribution, sorted by path.
func modulesOf(pkgs []listedPackage, sums map[string]string) []linked.Module {
	found := map[string]*linked.Module{}
	for _, p := range pkgs {
		m := linked.Module{Path: modulePath, Version: yolk.Version}
		to, ours := place(p.ImportPath)
		if rest, ok := strings.CutPrefix(p.ImportPath, gvisorPath+"pkg/"); ok {
			to = "gvisor/" + rest
		} else if !ours {
			to = "vendor/" + to
		}
		if !ours && p.Module != nil {
			m.Path, m.Version = p.Module.Path, p.Module.Version
			m.Sum = sums[m.Path+" "+m.Version]
		}
		if found[m.Path] == nil {
			found[m.Path] = &m
		}
		found[m.Path].Packages = append(found[m.Path].Packages, to)
	}
	var list []linked.Module
	for _, m := range found {
		slices.Sort(m.Packages)
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b linked.Module) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

// moduleSums returns the checksums of go.sum, by "PATH VERSION".
func moduleSums() (map[string]string, error) {
	text, err := yolk.Source.ReadFile("go.sum")
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for line := range bytes.Lines(text) {
		if w := strings.Fields(string(line)); len(w) == 3 {
			sums[w[0]+" "+w[1]] = w[2]
		}
	}
	return sums, nil
}

// Modules returns the modules of which the machine's packages come, for the source of this module in
// a folder.
func Modules(ctx context.Context, dir string) ([]linked.Module, error) {
	stock, version, err := Select(ctx, dir, io.Discard)
	if err != nil {
		return nil, err
	}
	b := &builder{ctx: ctx, stock: stock, version: version, source: dir}
	pkgs, err := b.kernelPackages()
	if err != nil {
		return nil, err
	}
	sums, err := moduleSums()
	if err != nil {
		return nil, err
	}
	return modulesOf(slices.DeleteFunc(pkgs, b.inStock), sums), nil
}
