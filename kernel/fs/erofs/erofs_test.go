package erofs

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	format "github.com/erofs/go-erofs"
	"github.com/google/go-cmp/cmp"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/kernel/kerneltest"
)

// folder makes files of many kinds and sizes.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"sub/deep/deeper", "many", "empty"} {
		do(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for i, size := range []int{0, 1, 100, 4095, 4096, 4097, 8192, 70_000, 1<<20 + 5} {
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		do(os.WriteFile(filepath.Join(dir, "sub/deep", fmt.Sprintf("file%d", i)), b, 0o640))
	}
	for i := range 500 {
		do(os.WriteFile(filepath.Join(dir, fmt.Sprintf("many/a rather long name of file %d", i)), []byte(fmt.Sprint(i)), 0o600))
	}
	do(os.WriteFile(filepath.Join(dir, "sparse"), []byte("begin"), 0o644))
	do(os.Truncate(filepath.Join(dir, "sparse"), 1<<20))
	do(os.Symlink("../sub/deep/file3", filepath.Join(dir, "sub/link")))
	do(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o622))
	do(os.Chmod(filepath.Join(dir, "sub/deep/file2"), 0o4755))
	do(os.Chtimes(filepath.Join(dir, "sub/deep/file4"), time.Time{}, time.Unix(1e9, 123)))
	syscall.Setxattr(filepath.Join(dir, "sub/deep/file5"), "user.colour", []byte("yellow"), 0)
	return dir
}

// entry are the properties of a file that the test compares.
type entry struct {
	Mode    uint32
	Size    int64
	Mtime   int64
	Content string // of a file or a symbolic link
	Xattr   string
}

// hostTree describes a folder of the host.
func hostTree(t testing.TB, dir string) map[string]entry {
	t.Helper()
	tree := map[string]entry{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		e := entry{Mode: st.Mode, Mtime: info.ModTime().Unix()}
		switch info.Mode().Type() {
		case 0:
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			e.Size, e.Content = st.Size, string(b)
			v := make([]byte, 100)
			if n, err := syscall.Getxattr(name, "user.colour", v); err == nil {
				e.Xattr = string(v[:n])
			}
		case fs.ModeSymlink:
			e.Content, err = os.Readlink(name)
			e.Size = int64(len(e.Content))
		}
		rel, _ := filepath.Rel(dir, name)
		tree[rel] = e
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func mount(t testing.TB, d block.Device) (*FS, error) {
	m := kerneltest.New(4000)
	return Mount(d, Options{Kernel: kernel.New(m, kernel.Options{}), Cache: pagecache.New(m), Dev: 7, Log: func(s string) { t.Log(s) }})
}

// walk describes what is mounted. It passes errors to fail and goes on.
func (m *FS) walk(fail func(name string, e syscall.Errno)) map[string]entry {
	tree := map[string]entry{}
	var visit func(i kernel.Inode, name string, depth int)
	visit = func(i kernel.Inode, name string, depth int) {
		var st syscall.Stat_t
		i.Stat(&st)
		found := entry{Mode: st.Mode, Mtime: st.Mtim.Sec}
		if x, ok := i.(kernel.Xattrs); ok {
			if v, e := x.GetXattr("user.colour"); e == 0 {
				found.Xattr = string(v)
			}
		}
		var e syscall.Errno
		switch i := i.(type) {
		case kernel.Directory:
			if depth < 6 {
				visitAll(i, name, func(n string, c kernel.Inode) { visit(c, path.Join(name, n), depth+1) }, fail)
			}
		case kernel.Symlink:
			found.Size = st.Size
			if found.Content, e = i.Readlink(); e != 0 {
				fail(name, e)
			}
		case *node:
			found.Size = st.Size
			if found.Content, e = content16(i, st.Size); e != 0 {
				fail(name, e)
			}
		}
		tree[name] = found
	}
	visit(m.Root(), ".", 0)
	return tree
}

// visitAll looks up every name of a directory.
func visitAll(d kernel.Directory, name string, f func(string, kernel.Inode), fail func(string, syscall.Errno)) {
	o, e := d.Open(0)
	if e != 0 {
		fail(name, e)
		return
	}
	for pos := int64(0); ; {
		last := pos
		e := o.(kernel.DirReader).ReadDir(pos, func(entry kernel.DirEntry) bool {
			pos = entry.Next
			i, e := d.Lookup(entry.Name)
			if e != 0 {
				fail(path.Join(name, entry.Name), e)
				return true
			}
			f(entry.Name, i)
			return pos%7 != 0 // as a full buffer would
		})
		if e != 0 {
			fail(name, e)
		}
		if e != 0 || pos == last {
			return
		}
	}
}

// content16 reads a file of at most 16 MiB.
func content16(i kernel.Inode, size int64) (string, syscall.Errno) {
	f, e := i.Open(syscall.O_RDONLY)
	if e != 0 {
		return "", e
	}
	defer f.Release()
	b := make([]byte, min(size, 16<<20)+10)
	n := 0
	for {
		k, e := f.Read(b[n:], int64(n))
		if e != 0 || k == 0 {
			return string(b[:n]), e
		}
		n += k
	}
}

// images makes images of a folder in all ways: with the library, and with mkfs.erofs
// (erofs-utils) where that is installed.
func images(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := format.Create(f)
	if err := w.CopyFrom(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Setxattr("/sub/deep/file5", "user.colour", "yellow"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	all["library"] = padded(t, name)
	if _, err := exec.LookPath("mkfs.erofs"); err != nil {
		t.Log("mkfs.erofs is not installed (erofs-utils): its images are not tried")
		return all
	}
	for what, args := range map[string][]string{
		"plain": nil, "extended": {"-Eforce-inode-extended"}, "compact": {"-Eforce-inode-compact"}, "no inline": {"-Enoinline_data"},
	} {
		os.Remove(name)
		if out, err := exec.Command("mkfs.erofs", append(args, name, dir)...).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.erofs %q: %v\n%s", args, err, out)
		}
		all[what] = padded(t, name)
	}
	return all
}

// padded reads a file and pads it to whole blocks.
func padded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, make([]byte, -len(b)&511)...)
}

// A sealed folder has the same files, with every tool that seals it.
func TestFiles(t *testing.T) {
	dir := folder(t)
	want := hostTree(t, dir)
	for what, image := range images(t, dir) {
		t.Run(what, func(t *testing.T) {
			for _, size := range []int{512, 4096} {
				image := append(image, make([]byte, -len(image)&(size-1))...)
				f, err := mount(t, blocktest.FromBytes(image, size))
				if err != nil {
					t.Fatal(err)
				}
				got := f.walk(func(name string, e syscall.Errno) { t.Errorf("%s: %v", name, e) })
				if what == "compact" { // compact inodes have the superblock's time
					for name, e := range got {
						e.Mtime = want[name].Mtime
						got[name] = e
					}
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("blocks of %d: -want +got\n%.2000s", size, d)
				}
			}
		})
	}
}

// Nothing can be changed.
func TestReadOnly(t *testing.T) {
	f, err := mount(t, blocktest.FromBytes(images(t, folder(t))["library"], 512))
	if err != nil {
		t.Fatal(err)
	}
	root := f.Root()
	sparse, e := root.Lookup("sparse")
	if e != 0 {
		t.Fatal(e)
	}
	_, create := root.Create("x", syscall.S_IFREG, 0)
	_, symlink := root.Symlink("x", "y")
	_, write := sparse.Open(syscall.O_RDWR)
	_, truncate := sparse.Open(syscall.O_TRUNC)
	for what, e := range map[string]syscall.Errno{
		"create": create, "symlink": symlink, "open to write": write, "open to truncate": truncate, "link": root.Link("x", sparse),
		"remove": root.Remove("sparse", false), "rename": root.Rename("sparse", root, "x", false),
		"chmod": sparse.SetAttr(kernel.AttrChange{}), "setxattr": sparse.(kernel.Xattrs).SetXattr("user.x", nil, 0),
	} {
		if e != syscall.EROFS {
			t.Errorf("%s: %v; want EROFS", what, e)
		}
	}
	if _, e := root.Lookup("none"); e != syscall.ENOENT {
		t.Errorf("a name that is not there: %v", e)
	}
	var st syscall.Statfs_t
	if f.StatFS(&st); st.Type != 0xe0f5e1e2 || st.Blocks == 0 || st.Bfree != 0 || !f.ReadOnly() {
		t.Errorf("statfs: %+v", st)
	}
}

// A device that cannot read is an error of the call that needs it, and later reads work.
func TestFaults(t *testing.T) {
	dir := folder(t)
	d := blocktest.NewFaulty(blocktest.FromBytes(images(t, dir)["library"], 512))
	f, err := mount(t, d)
	if err != nil {
		t.Fatal(err)
	}
	d.SetRule(blocktest.FailAfter(blocktest.Read, 3, 1<<30, syscall.EIO))
	failed := 0
	f.walk(func(name string, e syscall.Errno) {
		if failed++; e != syscall.EIO {
			t.Errorf("%s: %v; want EIO", name, e)
		}
	})
	if failed == 0 {
		t.Error("nothing failed")
	}
	d.SetRule(nil)
	if diff := cmp.Diff(hostTree(t, dir), f.walk(func(name string, e syscall.Errno) { t.Errorf("%s: %v", name, e) })); diff != "" {
		t.Errorf("-want +got\n%.2000s", diff)
	}
}

// try mounts an image that may be damaged and reads all that it has.
func try(t testing.TB, image []byte) {
	if f, err := mount(t, blocktest.FromBytes(image, 512)); err == nil {
		f.walk(func(string, syscall.Errno) {})
	}
}

// Images with any bytes changed are read as far as possible, or refused.
func TestDamage(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "a/b"), 0o755)
	os.WriteFile(filepath.Join(dir, "a/b/c"), make([]byte, 5000), 0o644)
	os.WriteFile(filepath.Join(dir, "a/d"), []byte("d"), 0o644)
	os.Symlink("b/c", filepath.Join(dir, "a/link"))
	r := rand.New(rand.NewPCG(3, 4))
	os.WriteFile(filepath.Join(dir, "sub"), nil, 0o644)
	for _, image := range small(t, dir) {
		for range rounds {
			bad := bytes.Clone(image)
			for range 1 + r.IntN(4) {
				bad[superblockAt+r.IntN(len(bad)-superblockAt)] = byte(r.Uint32())
			}
			try(t, bad)
		}
	}
}

// small returns images without large files.
func small(t testing.TB, dir string) [][]byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := format.Create(f, format.WithBlockSize(512))
	if err := w.CopyFrom(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	list := [][]byte{padded(t, name)}
	if _, err := exec.LookPath("mkfs.erofs"); err == nil {
		os.Remove(name)
		if out, err := exec.Command("mkfs.erofs", name, dir).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.erofs: %v\n%s", err, out)
		}
		list = append(list, padded(t, name))
	}
	return list
}

// FuzzImage reads any bytes as an image, seeded with real ones.
func FuzzImage(f *testing.F) {
	dir := f.TempDir()
	os.MkdirAll(filepath.Join(dir, "a/b"), 0o755)
	os.WriteFile(filepath.Join(dir, "a/b/c"), make([]byte, 900), 0o644)
	os.Symlink("b/c", filepath.Join(dir, "a/link"))
	for _, image := range small(f, dir) {
		f.Add(image)
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		if len(image) > 1<<20 {
			return
		}
		try(t, append(image, make([]byte, -len(image)&511)...))
	})
}
