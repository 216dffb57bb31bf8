package test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// The same source gives the same image in another folder, with another build cache and another build
// of the toolchain.
func TestSameBits(t *testing.T) {
	t.Parallel()
	root := vm.Root(t)
	build := func(dir string, env ...string) []byte {
		if err := os.CopyFS(filepath.Join(dir, "cmd/web"), os.DirFS(filepath.Join(root, "examples/web"))); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/site\n\ngo 1.26\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		if got := vm.Yolk(t, vm.Options{Dir: dir, Env: env}, "build", "-o", "web.elf", "./cmd/web"); got.Status != 0 {
			t.Fatalf("yolk build: %+v", got)
		}
		image, err := os.ReadFile(filepath.Join(dir, "web.elf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, root} {
			if bytes.Contains(image, []byte(path)) {
				t.Errorf("the image names the folder %s", path)
			}
		}
		return image
	}
	one := build(t.TempDir())
	two := build(filepath.Join(t.TempDir(), "another/folder/with/a/longer/name"), "YOLK_CACHE="+t.TempDir())
	if !bytes.Equal(one, two) {
		t.Errorf("the images differ: %d and %d bytes", len(one), len(two))
	}
}
