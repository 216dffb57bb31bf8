package ext4fs

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/kernel/kerneltest"
)

// mkfs returns an ext4 disk as mkfs.ext4 makes it.
func mkfs(t testing.TB, size string, args ...string) *blocktest.Memory {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	args = append(append([]string{"-q"}, args...), file, size)
	if out, err := exec.Command("mkfs.ext4", args...).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4 (package e2fsprogs): %v\n%s", err, out)
	}
	image, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return blocktest.FromBytes(image, 512)
}

// fsck fails the test if e2fsck finds anything wrong; with replay, it replays the journal
// first.
func fsck(t testing.TB, d *blocktest.Memory) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, d.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("e2fsck", "-fn", file).CombinedOutput(); err != nil {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

// mounted is a mounted disk.
type mounted struct {
	t  testing.TB
	fs *FS
	m  *kerneltest.Machine
}

func mount(t testing.TB, d block.Device, pages int) *mounted {
	t.Helper()
	m := kerneltest.New(pages)
	fs, err := Mount(d, Options{Kernel: kernel.New(m, kernel.Options{}), Cache: pagecache.New(m), Dev: 77, Log: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	return &mounted{t, fs, m}
}

func (m *mounted) check(what string, e syscall.Errno) {
	m.t.Helper()
	if e != 0 {
		m.t.Fatal(what+":", e)
	}
}

// in returns the directory of a path, and the last name.
func (m *mounted) in(path string) (kernel.Directory, string) {
	m.t.Helper()
	d := m.fs.Root()
	parts := strings.Split(path, "/")
	for _, p := range parts[:len(parts)-1] {
		i, e := d.Lookup(p)
		m.check(path, e)
		d = i.(kernel.Directory)
	}
	return d, parts[len(parts)-1]
}

func (m *mounted) create(path string) *file {
	m.t.Helper()
	d, name := m.in(path)
	i, e := d.Create(name, syscall.S_IFREG|0o644, 0)
	if e == syscall.EEXIST {
		i, e = d.Lookup(name)
	}
	m.check("create "+path, e)
	return m.open(i)
}

func (m *mounted) open(i kernel.Inode) *file {
	m.t.Helper()
	f, e := i.Open(syscall.O_RDWR)
	m.check("open", e)
	return f.(*file)
}

func (m *mounted) read(path string) []byte {
	m.t.Helper()
	d, name := m.in(path)
	i, e := d.Lookup(name)
	m.check("lookup "+path, e)
	f := m.open(i)
	defer f.Release()
	var st syscall.Stat_t
	f.Stat(&st)
	p := make([]byte, st.Size)
	n, e := f.Read(p, 0)
	m.check("read "+path, e)
	return p[:n]
}

// Directory entries have the type of their file, which saves a program a stat.
func TestEntryTypes(t *testing.T) {
	m := mount(t, mkfs(t, "16M"), 500)
	root := m.fs.Root()
	want := map[string]uint32{"lost+found": syscall.S_IFDIR, "link": syscall.S_IFLNK}
	_, e := root.Symlink("link", "to")
	m.check("symlink", e)
	for name, kind := range map[string]uint32{
		"file": syscall.S_IFREG, "dir": syscall.S_IFDIR, "fifo": syscall.S_IFIFO, "socket": syscall.S_IFSOCK, "tty": syscall.S_IFCHR, "disk": syscall.S_IFBLK,
	} {
		_, e := root.Create(name, kind|0o600, 0x0501)
		m.check("create "+name, e)
		want[name] = kind
	}
	got := map[string]uint32{}
	f, e := root.Open(syscall.O_RDONLY)
	m.check("open", e)
	m.check("list", f.(kernel.DirReader).ReadDir(0, func(d kernel.DirEntry) bool {
		got[d.Name] = d.Type
		return true
	}))
	f.Release()
	if !maps.Equal(got, want) {
		t.Errorf("types %x; want %x", got, want)
	}
}

// An inode that is freed cannot be changed any more: its number may be another file's.
func TestFreedInodeIsLeftAlone(t *testing.T) {
	d := mkfs(t, "16M")
	m := mount(t, d, 500)
	root := m.fs.Root()
	m.create("f").Release()
	i, e := root.Lookup("f")
	m.check("lookup", e)
	m.check("remove", root.Remove("f", false))
	m.create("g").Release()
	x := i.(kernel.Xattrs)
	for what, e := range map[string]syscall.Errno{
		"chmod":       i.SetAttr(kernel.AttrChange{Mask: kernel.AttrMode, Mode: 0o600}),
		"truncate":    i.SetAttr(kernel.AttrChange{Mask: kernel.AttrSize, Size: 100}),
		"setxattr":    x.SetXattr("user.x", []byte("y"), 0),
		"removexattr": x.RemoveXattr("user.x"),
		"link":        root.Link("h", i),
	} {
		if e != syscall.ESTALE && e != syscall.ENOENT {
			t.Errorf("%s: %v; want ESTALE", what, e)
		}
	}
	m.check("unmount", m.fs.Unmount())
	fsck(t, d)
}

func TestWriteUnmountRead(t *testing.T) {
	d := mkfs(t, "64M")
	m := mount(t, d, 2000)
	root := m.fs.Root()
	_, e := root.Create("dir", syscall.S_IFDIR|0o755, 0)
	m.check("mkdir", e)
	want := make([]byte, 3<<20+123)
	rand.NewChaCha8([32]byte{}).Read(want)
	f := m.create("dir/file")
	n, e := f.Write(want, 0)
	m.check("write", e)
	if n != len(want) {
		t.Fatal("wrote", n)
	}
	m.check("sync", f.Sync(false))
	f.Release()
	if got := m.read("dir/file"); !bytes.Equal(got, want) {
		t.Fatal("read back differs")
	}
	_, e = root.Symlink("link", "dir/file")
	m.check("symlink", e)
	m.check("unmount", m.fs.Unmount())
	fsck(t, d)

	m = mount(t, d, 2000)
	if got := m.read("dir/file"); !bytes.Equal(got, want) {
		t.Fatal("after mounting again: differs")
	}
	m.check("unmount", m.fs.Unmount())
}

// A file's birth time stays the same, whatever happens to its other times.
func TestBirthTime(t *testing.T) {
	d := mkfs(t, "16M")
	m := mount(t, d, 500)
	born := func() int64 {
		t.Helper()
		i, e := m.fs.Root().Lookup("file")
		m.check("lookup", e)
		return i.(interface{ BirthTime() int64 }).BirthTime()
	}
	before := time.Now().UnixNano()
	m.create("file").Release()
	first := born()
	if first < before-time.Second.Nanoseconds() || first > time.Now().UnixNano() { // the clock is coarse
		t.Errorf("born at %d; the test began at %d", first, before)
	}
	i, e := m.fs.Root().Lookup("file")
	m.check("lookup", e)
	m.check("utimes", i.SetAttr(kernel.AttrChange{Mask: kernel.AttrAtime | kernel.AttrMtime, Atime: 5e9, Mtime: 6e9}))
	m.check("unmount", m.fs.Unmount())
	m = mount(t, d, 500)
	if again := born(); again != first {
		t.Errorf("after utimes and mounting again born at %d; want %d", again, first)
	}
	m.check("unmount", m.fs.Unmount())
}

// The space of a file is freed when its last name and its last user are gone.
func TestUnlinkedSpace(t *testing.T) {
	d := mkfs(t, "64M")
	m := mount(t, d, 4000)
	var before, after syscall.Statfs_t
	m.fs.StatFS(&before)
	f := m.create("gone")
	f.Write(make([]byte, 5<<20), 0)
	f.Sync(false)
	m.check("remove", m.fs.Root().Remove("gone", false))
	if n, e := f.Write([]byte("still here"), 0); n != 10 || e != 0 {
		t.Fatal("write to an unlinked file:", n, e)
	}
	f.Release()
	m.check("sync", m.fs.Sync())
	m.fs.StatFS(&after)
	if before.Bfree != after.Bfree {
		t.Errorf("free blocks: %d before, %d after", before.Bfree, after.Bfree)
	}
	m.check("unmount", m.fs.Unmount())
	fsck(t, d)
}

// A file that is larger than memory can be copied, and holes stay holes.
func TestSmallMemory(t *testing.T) {
	d := mkfs(t, "256M")
	m := mount(t, d, 1024) // 4 MiB
	f := m.create("large")
	p := make([]byte, 1<<20)
	for i := range 40 {
		for k := range p {
			p[k] = byte(i + k>>12)
		}
		_, e := f.Write(p, int64(i)<<21)
		m.check("write", e)
	}
	q := make([]byte, 1<<20)
	for i := range 40 {
		f.Read(q, int64(i)<<21)
		for k := range q {
			if q[k] != byte(i+k>>12) {
				t.Fatalf("MiB %d, byte %d: %d", i, k, q[k])
			}
		}
	}
	var st syscall.Stat_t
	m.check("sync", f.Sync(false))
	f.Stat(&st)
	if st.Size != 79<<20 || st.Blocks*512 > 41<<20 {
		t.Errorf("size %d, %d bytes stored", st.Size, st.Blocks*512)
	}
	f.Release()
	m.check("unmount", m.fs.Unmount())
	fsck(t, d)
}

// Many writers at once, each with its own files, fsync and rename; at the end all files are
// there.
func TestManyWriters(t *testing.T) {
	d := mkfs(t, "256M")
	m := mount(t, d, 8000)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			dir := fmt.Sprintf("d%d", w)
			if _, e := m.fs.Root().Create(dir, syscall.S_IFDIR|0o755, 0); e != 0 {
				t.Error("mkdir:", e)
				return
			}
			i, _ := m.fs.Root().Lookup(dir)
			for k := range 20 {
				n, e := i.(kernel.Directory).Create("tmp", syscall.S_IFREG|0o644, 0)
				if e != 0 {
					t.Error("create:", e)
					return
				}
				f, _ := n.Open(syscall.O_RDWR)
				f.Write(bytes.Repeat([]byte{byte(k)}, 10000*(k+1)), 0)
				if e := f.(kernel.Syncer).Sync(false); e != 0 {
					t.Error("fsync:", e)
				}
				f.Release()
				if e := i.(kernel.Directory).Rename("tmp", i.(kernel.Directory), fmt.Sprint(k), false); e != 0 {
					t.Error("rename:", e)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	m.check("unmount", m.fs.Unmount())
	fsck(t, d)
	m = mount(t, d, 8000)
	for w := range 16 {
		for k := range 20 {
			if got := m.read(fmt.Sprintf("d%d/%d", w, k)); !bytes.Equal(got, bytes.Repeat([]byte{byte(k)}, 10000*(k+1))) {
				t.Fatalf("d%d/%d: %d bytes, wrong", w, k, len(got))
			}
		}
	}
	m.check("unmount", m.fs.Unmount())
}

// A file without a name that is open when the program ends is freed.
func TestUnmountUnlinked(t *testing.T) {
	d := mkfs(t, "24M")
	m := mount(t, d, 2000)
	f := m.create("temporary")
	f.Write(make([]byte, 100000), 0)
	f.Sync(false)
	m.check("remove", m.fs.Root().Remove("temporary", false))
	f.Write(make([]byte, 100000), 200000)
	m.check("unmount", m.fs.Unmount())
	fsck(t, d)
}

// Goroutines that still write to a file without a name when the disk is unmounted change
// nothing: its inode is free.
func TestUnmountBesideWriters(t *testing.T) {
	for range 4 {
		d := mkfs(t, "64M")
		m := mount(t, d, 2000)
		var files []*file
		var writers sync.WaitGroup
		for i := range 4 {
			name := fmt.Sprint(i)
			f := m.create(name)
			m.check("remove", m.fs.Root().Remove(name, false))
			files = append(files, f)
		}
		started := make(chan struct{}, len(files))
		for _, f := range files {
			writers.Go(func() {
				p := make([]byte, 8192)
				for i := range int64(1000) { // no page twice: the device reads them meanwhile
					if i == 10 {
						started <- struct{}{}
					}
					if _, e := f.Write(p, i*int64(len(p))); e != 0 {
						return
					}
				}
			})
		}
		for range files {
			<-started
		}
		m.check("unmount", m.fs.Unmount())
		writers.Wait()
		for what, e := range map[string]syscall.Errno{
			"write": second(files[0].Write([]byte("x"), 0)), "truncate": files[0].Truncate(100), "chmod": files[0].node.SetAttr(kernel.AttrChange{Mask: kernel.AttrMode}),
		} {
			if e == 0 {
				t.Errorf("%s of a file that is gone: no error", what)
			}
		}
		fsck(t, d)
	}
}

func second(_ int, e syscall.Errno) syscall.Errno { return e }

// A power cut can leave half of a superblock that was being written.
func TestTornSuperblock(t *testing.T) {
	d := mkfs(t, "24M")
	sum := make([]byte, 512)
	d.ReadAt([][]byte{sum}, 1536)
	sum[0x3fc-512] ^= 0x55
	d.WriteAt([][]byte{sum}, 1536)
	m := mount(t, d, 2000)
	m.create("file").Release()
	m.check("unmount", m.fs.Unmount())
	fsck(t, d)
}
