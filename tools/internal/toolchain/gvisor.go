package toolchain

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/yolk-unikernel/yolk"
)

// The toolchain's changes to its copy of gVisor are in netstack/gvisor: edits.txt has edits of
// single lines in the format of runtime/goroot/edits.txt, files of add/pkg/X are added to gVisor's
// package pkg/X, and a folder pkg/X replaces the whole package. Package gvisor there gives the
// reasons.
const (
	gvisorPath   = "gvisor.dev/gvisor/"
	gvisorSource = "netstack/gvisor"
)

// GVisorEdits returns the edits, by import path and file name.
func GVisorEdits() (map[string]FileEdit, error) {
	text, err := yolk.Source.ReadFile(gvisorSource + "/edits.txt")
	if err != nil {
		return nil, err
	}
	list, err := ParseEdits(text)
	edits := map[string]FileEdit{}
	for _, f := range list {
		name := gvisorPath + f.Path
		f.Edits = append(edits[name].Edits, f.Edits...) // the list is by reason, not by file
		edits[name] = f
	}
	return edits, err
}

// gvisorReplacements returns the import paths of packages that are replaced, with the embedded
// folders that replace them.
func gvisorReplacements() (map[string]string, error) {
	folders := map[string]string{}
	err := fs.WalkDir(yolk.Source, gvisorSource+"/pkg", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".go") {
			dir := name[:strings.LastIndexByte(name, '/')]
			folders[gvisorPath+strings.TrimPrefix(dir, gvisorSource+"/")] = dir
		}
		return err
	})
	return folders, err
}

// addToGVisor adds files to the copy of gVisor's packages below vendor.
func addToGVisor(vendor string) error {
	return extract(gvisorSource+"/add", filepath.Join(vendor, gvisorPath))
}

// substitute gives the replaced packages the folders and imports of their replacements.
func (b *builder) substitute(pkgs map[string]listedPackage, folders map[string]string) {
	for path, folder := range folders {
		ours := pkgs[modulePath+"/"+folder]
		pkgs[path] = listedPackage{ImportPath: path, Dir: filepath.Join(b.source, folder), Imports: ours.Imports}
	}
}

// lean removes from a file of gVisor what no image needs. The compiler refuses //go:inline in
// standard packages. The lock classes of the generated mutexes exist only for gVisor's lock order
// checker, which is off; their init functions would run at each start.
func lean(name string, text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("\n//go:inline\n"), []byte("\n\n"))
	if !strings.HasSuffix(name, "_mutex.go") {
		return text
	}
	var out [][]byte
	for _, line := range bytes.Split(text, []byte("\n")) {
		if !bytes.Contains(line, []byte("locking.NewMutexClass(")) && !bytes.Equal(bytes.TrimSpace(line), []byte(`"reflect"`)) {
			out = append(out, line)
		}
	}
	text = bytes.Join(out, []byte("\n"))
	// The rest of the init function does nothing.
	return bytes.ReplaceAll(text, []byte("\nfunc init() {\n"), []byte("\nfunc _() {\n"))
}

// shortenGVisor moves vendor/gvisor.dev/gvisor/pkg below src to gvisor, and
// renames the imports: the path is part of thousands of names in each image.
func shortenGVisor(src string) error {
	dst := filepath.Join(src, "gvisor")
	if err := os.Rename(filepath.Join(src, "vendor", gvisorPath, "pkg"), dst); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(src, "vendor/gvisor.dev")); err != nil {
		return err
	}
	for _, dir := range []string{dst, filepath.Join(src, ownPrefix)} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(name, bytes.ReplaceAll(text, []byte(`"`+gvisorPath+`pkg/`), []byte(`"gvisor/`)), 0o644)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
