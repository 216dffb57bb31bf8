package toolchain

import (
	"bytes"
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

// copyPackage copies one package's folder without tests and sub-folders that
// are packages of their own. gVisor needs two changes: the compiler takes no
// //go:inline in standard packages, so those lines go; and the generated files
// that register every type for checkpoints stay behind, because they would
// keep thousands of methods in each image and run at each start.
func copyPackage(src, dst string) error {
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(src, e.Name()), filepath.Join(dst, e.Name())
		switch {
		case e.IsDir() || strings.HasSuffix(e.Name(), "_test.go") || strings.HasSuffix(e.Name(), "_state_autogen.go"):
		case strings.HasSuffix(e.Name(), ".go"):
			text, err := os.ReadFile(from)
			if err != nil {
				return err
			}
			text = bytes.ReplaceAll(text, []byte("\n//go:inline\n"), []byte("\n\n"))
			if err := writeFile(to, text); err != nil {
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

// extract writes the embedded folder root to dir.
func extract(root, dir string) error {
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
		return writeFile(filepath.Join(dir, rel), text)
	})
}

// extractFlat writes the files of one embedded folder, not of those below it.
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
