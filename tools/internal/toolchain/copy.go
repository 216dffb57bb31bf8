package toolchain

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/yolk-unikernel/yolk"
)

// copyTree copies a file or a folder; the copy is writable.
func copyTree(src, dst string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dst, strings.TrimPrefix(path, src))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		return copyFile(path, to)
	})
}

func copyFile(src, dst string) error {
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	return os.WriteFile(dst, text, info.Mode().Perm()|0o200)
}

// copyPackage copies one package's folder without tests and without sub-folders, which are packages
// of their own. It leaves out gVisor's generated files that register every type for checkpoints,
// because they would keep thousands of methods in each image and run at each start. gvisor.go has
// the other changes to gVisor's files.
func copyPackage(p listedPackage, dst string, edits map[string]FileEdit) error {
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(p.Dir, e.Name()), filepath.Join(dst, e.Name())
		switch {
		case e.IsDir() || strings.HasSuffix(e.Name(), "_test.go") || strings.HasSuffix(e.Name(), "_state_autogen.go"):
		case strings.HasSuffix(e.Name(), ".go"):
			text, err := os.ReadFile(from)
			if err != nil {
				return err
			}
			if f, ok := edits[p.ImportPath+"/"+e.Name()]; ok {
				if text, err = f.Apply(text); err != nil {
					return fmt.Errorf("netstack/gvisor/edits.txt: %w", err)
				}
			}
			if err := writeFile(to, renameImports(lean(e.Name(), text))); err != nil {
				return err
			}
		default:
			if err := copyFile(from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// extract writes the embedded folder root to dir, as it is.
func extract(root, dir string) error {
	return extractAs(root, dir, func(text []byte) []byte { return text })
}

// extractAs writes the embedded folder root to dir, its Go files as edit returns them.
func extractAs(root, dir string, edit func(text []byte) []byte) error {
	return fs.WalkDir(yolk.Source, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || skipFile(path) {
			return err
		}
		text, err := yolk.Source.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(rel, ".go") {
			text = edit(text)
		}
		return writeFile(filepath.Join(dir, rel), text)
	})
}

// extractFlat writes the files of one embedded folder, without its sub-folders.
func extractFlat(root, dir string) error {
	entries, err := yolk.Source.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := root + "/" + e.Name()
		if e.IsDir() || skipFile(path) {
			continue
		}
		text, err := yolk.Source.ReadFile(path)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, e.Name()), text); err != nil {
			return err
		}
	}
	return nil
}
