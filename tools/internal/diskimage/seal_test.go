package diskimage

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/erofs/go-erofs"
)

// A sealed image has the folder's files with their modes, times and links, and belongs to root.
func TestSeal(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "sealed.img")
	os.MkdirAll(filepath.Join(dir, "sub/deep"), 0o750)
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	os.WriteFile(filepath.Join(dir, "sub/deep/file"), data, 0o640)
	os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600)
	os.Symlink("sub/deep/file", filepath.Join(dir, "link"))
	r, err := Create(Options{File: file, Type: EROFS, From: dir})
	if err != nil || r.Files != 5 || r.Type != EROFS {
		t.Fatalf("%+v, %v", r, err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := erofs.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(image, "link"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("by the link: %d bytes, %v", len(got), err)
	}
	for _, name := range []string{"sub", "sub/deep", "sub/deep/file", "empty"} {
		want, _ := os.Stat(filepath.Join(dir, name))
		got, err := fs.Stat(image, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		st := got.Sys().(*erofs.Stat) // Mode of this library has the disk's bits, not Go's
		if st.Mode != want.Mode() || !got.ModTime().Equal(want.ModTime()) || !got.IsDir() && got.Size() != want.Size() {
			t.Errorf("%s: %v, %v, %d bytes; want %v", name, st.Mode, got.ModTime(), got.Size(), want)
		}
		if st.UID != 0 || st.GID != 0 {
			t.Errorf("%s belongs to %d:%d", name, st.UID, st.GID)
		}
	}
}
