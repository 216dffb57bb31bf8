package erofs

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	format "github.com/erofs/go-erofs"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// Access control lists have the names of acl(5), which the format encodes as numbers.
func TestACLNames(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := format.Create(f)
	if err := w.CopyFrom(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	// With a dot at the end, the library stores the number of the name, as mkfs.erofs does.
	for name, value := range map[string]string{
		"system.posix_acl_access.": "access", "system.posix_acl_default.": "default", "user.colour.": "yellow",
	} {
		if err := w.Setxattr("/file", name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	fs, err := mount(t, blocktest.FromBytes(padded(t, name), 512))
	if err != nil {
		t.Fatal(err)
	}
	i, e := fs.Root().Lookup("file")
	if e != 0 {
		t.Fatal("lookup:", e)
	}
	x := i.(kernel.Xattrs)
	names, _ := x.ListXattr()
	if want := []string{"system.posix_acl_access", "system.posix_acl_default", "user.colour."}; !slices.Equal(names, want) {
		t.Errorf("names %q; want %q", names, want)
	}
	for name, want := range map[string]string{"system.posix_acl_access": "access", "system.posix_acl_default": "default", "user.colour.": "yellow"} {
		if v, e := x.GetXattr(name); string(v) != want || e != 0 {
			t.Errorf("%s = %q, %v; want %q", name, v, e, want)
		}
	}
	if _, e := x.GetXattr("system.posix_acl_access."); e != syscall.ENODATA {
		t.Errorf("the name with a dot: %v; want ENODATA", e)
	}
}
