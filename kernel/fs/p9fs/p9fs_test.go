package p9fs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/p9fs"
)

// walk finds a path below the root.
func walk(fs *p9fs.FS, path string) (kernel.Inode, syscall.Errno) {
	var n kernel.Inode = fs.Root()
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		dir, ok := n.(kernel.Directory)
		if !ok {
			return nil, syscall.ENOTDIR
		}
		var e syscall.Errno
		if n, e = dir.Lookup(name); e != 0 {
			return nil, e
		}
	}
	return n, 0
}

func open(t *testing.T, fs *p9fs.FS, path string, flags int) kernel.File {
	t.Helper()
	n, e := walk(fs, path)
	if e != 0 {
		t.Fatalf("%s: %v", path, e)
	}
	f, e := n.Open(flags)
	if e != 0 {
		t.Fatalf("Open %s: %v", path, e)
	}
	return f
}

func create(t *testing.T, fs *p9fs.FS, dir, name string, flags int) kernel.File {
	t.Helper()
	n, e := walk(fs, dir)
	if e != 0 {
		t.Fatalf("%s: %v", dir, e)
	}
	_, f, e := n.(interface {
		OpenCreate(string, int, uint32) (kernel.Inode, kernel.File, syscall.Errno)
	}).OpenCreate(name, flags, 0o644)
	if e != 0 {
		t.Fatalf("OpenCreate %s: %v", name, e)
	}
	return f
}

func must(t *testing.T, what string, e syscall.Errno) {
	t.Helper()
	if e != 0 {
		t.Fatalf("%s: %v", what, e)
	}
}

// waitForFiles waits until the server has no more than n open files: the client closes
// files in the background.
func (p *peer) waitForFiles(t *testing.T, n int64) {
	t.Helper()
	for range 1000 {
		if p.files.Load() <= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("the server holds %d files; want %d at most", p.files.Load(), n)
}

// idle is how many open files a server may have that are not in use: the root, and the names
// looked up last.
const idle = 33

func TestFiles(t *testing.T) {
	p := newPeer(t)
	fs := p.mount(t, false)
	data := bytes.Repeat([]byte("0123456789abcdef"), 60_000) // several messages
	f := create(t, fs, "", "new", syscall.O_RDWR)
	n, e := f.Write(data, 0)
	if n != len(data) || e != 0 {
		t.Errorf("Write = %d, %v; want %d", n, e, len(data))
	}
	for _, size := range []int{0, 1, 4096, 4097, 300_000, len(data)} {
		b := make([]byte, size+10)
		n, e := f.Read(b, int64(len(data)-size))
		if n != size || e != 0 || !bytes.Equal(b[:n], data[len(data)-size:]) {
			t.Errorf("Read of the last %d bytes = %d, %v", size, n, e)
		}
	}
	if b, err := os.ReadFile(filepath.Join(p.dir, "new")); err != nil || !bytes.Equal(b, data) {
		t.Errorf("the server has %d bytes, %v", len(b), err)
	}
	must(t, "Truncate", f.(kernel.Resizer).Truncate(5))
	must(t, "Sync", f.(kernel.Syncer).Sync(true))
	var st syscall.Stat_t
	must(t, "Stat", f.Stat(&st))
	if st.Size != 5 || st.Mode != syscall.S_IFREG|0o644 || st.Dev != 77 || st.Nlink != 1 {
		t.Errorf("Stat = %+v", st)
	}
	if pos, e := f.(kernel.Seeker).SeekTo(-1, 2, 0); pos != 4 || e != 0 {
		t.Errorf("SeekTo = %d, %v; want 4", pos, e)
	}
	if n, end, e := f.(kernel.Appender).Append([]byte("more")); n != 4 || end != 9 || e != 0 {
		t.Errorf("Append = %d, %d, %v; want 4, 9", n, end, e)
	}
	if e := f.(kernel.Resizer).Allocate(0, 0, 1); e != syscall.EOPNOTSUPP {
		t.Errorf("Allocate = %v; want EOPNOTSUPP", e)
	}
	// What the host writes is visible at once.
	os.WriteFile(filepath.Join(p.dir, "new"), []byte("host"), 0o600)
	b := make([]byte, 10)
	if n, e := f.Read(b, 0); string(b[:n]) != "host" || e != 0 {
		t.Errorf("Read = %q, %v; want host", b[:n], e)
	}
	// An open file without a name.
	must(t, "Remove", fs.Root().Remove("new", false))
	if n, e := f.Read(b, 0); string(b[:n]) != "host" || e != 0 {
		t.Errorf("Read after Remove = %q, %v; want host", b[:n], e)
	}
	must(t, "Stat after Remove", f.Stat(&st))
	if st.Size != 4 || st.Nlink != 0 {
		t.Errorf("Stat after Remove: size %d, links %d; want 4, 0", st.Size, st.Nlink)
	}
	f.Release()
	p.waitForFiles(t, idle)
}

func TestNames(t *testing.T) {
	p := newPeer(t)
	fs := p.mount(t, false)
	root := fs.Root()
	_, e := root.Create("dir", syscall.S_IFDIR|0o755, 0)
	must(t, "Create", e)
	create(t, fs, "dir", "f", syscall.O_WRONLY).Release()
	if _, e := root.Create("dir", syscall.S_IFDIR|0o755, 0); e != syscall.EEXIST {
		t.Errorf("Create of what is there = %v; want EEXIST", e)
	}
	if _, e := walk(fs, "dir/none"); e != syscall.ENOENT {
		t.Errorf("Lookup of nothing = %v; want ENOENT", e)
	}
	_, e = root.Symlink("link", "dir/f")
	must(t, "Symlink", e)
	l, e := root.Lookup("link")
	must(t, "Lookup", e)
	if l.Type() != syscall.S_IFLNK {
		t.Errorf("type of a link is %#o", l.Type())
	}
	if to, e := l.(kernel.Symlink).Readlink(); to != "dir/f" || e != 0 {
		t.Errorf("Readlink = %q, %v", to, e)
	}
	file, e := walk(fs, "dir/f")
	must(t, "Lookup", e)
	must(t, "Link", root.Link("hard", file))
	dir, e := root.Lookup("dir")
	must(t, "Lookup", e)
	must(t, "Rename", root.Rename("hard", dir.(kernel.Directory), "moved", false))
	if e := root.Rename("link", dir.(kernel.Directory), "f", true); e != syscall.EINVAL {
		t.Errorf("Rename with exchange = %v; want EINVAL", e)
	}
	if e := root.Rename("link", p.mount2(t).Root(), "x", false); e != syscall.EXDEV {
		t.Errorf("Rename to another file system = %v; want EXDEV", e)
	}
	must(t, "SetAttr", file.SetAttr(kernel.AttrChange{Mask: kernel.AttrSize, Size: 3}))
	var st syscall.Stat_t
	must(t, "Stat", file.Stat(&st))
	if st.Size != 3 || st.Nlink != 2 {
		t.Errorf("Stat = size %d, links %d; want 3, 2", st.Size, st.Nlink)
	}
	for _, name := range []string{"dir/f", "dir/moved", "link"} {
		if _, err := os.Lstat(filepath.Join(p.dir, name)); err != nil {
			t.Error(err)
		}
	}
	p.waitForFiles(t, idle)
}

// mount2 is the file system of another server.
func (p *peer) mount2(t *testing.T) *p9fs.FS { return newPeer(t).mount(t, false) }

func TestReadDir(t *testing.T) {
	p := newPeer(t)
	want := []string{}
	for i := range 3000 {
		name := fmt.Sprintf("a name of some length %04d", i)
		want = append(want, name)
		os.WriteFile(filepath.Join(p.dir, name), nil, 0o600)
	}
	os.Mkdir(filepath.Join(p.dir, "d"), 0o700)
	want = append(want, "d")
	fs := p.mount(t, false)
	f := open(t, fs, "", 0)
	r := f.(kernel.DirReader)
	list := func(from int64, piece int) (names []string, pos int64) {
		for pos = from; ; {
			n := 0
			must(t, "ReadDir", r.ReadDir(pos, func(d kernel.DirEntry) bool {
				if n == piece {
					return false
				}
				if d.Next != pos+1 {
					t.Fatalf("position %d follows %d", d.Next, pos)
				}
				n++
				pos = d.Next
				names = append(names, d.Name)
				return true
			}))
			if n == 0 {
				return names, pos
			}
		}
	}
	for _, piece := range []int{100, 7, 10_000} {
		got, end := list(2, piece)
		slices.Sort(got)
		if !slices.Equal(got, want) || end != int64(2+len(want)) {
			t.Errorf("in pieces of %d: %d names, end %d", piece, len(got), end)
		}
	}
	all, _ := list(2, 1000)
	if some, _ := list(500, 1000); !slices.Equal(some, all[498:]) {
		t.Errorf("from position 500: %d names; want %d", len(some), len(all)-498)
	}
	f.Release()
	p.waitForFiles(t, idle)
}

// The number of fids is bounded, however many names are looked up, and a node that lost its
// fid gets a new one.
func TestFids(t *testing.T) {
	p := newPeer(t)
	fs := p.mount(t, false)
	os.MkdirAll(filepath.Join(p.dir, "a/b"), 0o700)
	os.WriteFile(filepath.Join(p.dir, "a/b/f"), []byte("content"), 0o600)
	early, e := walk(fs, "a/b")
	must(t, "Lookup", e)
	var st syscall.Stat_t
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				f := open(t, fs, "a/b/f", 0)
				var b [10]byte
				if n, e := f.Read(b[:], 0); n != 7 || e != 0 {
					t.Errorf("Read = %d, %v", n, e)
				}
				f.Release()
				if e := early.Stat(new(syscall.Stat_t)); e != 0 {
					t.Errorf("Stat = %v", e)
				}
				walk(fs, "a/none")
			}
		})
	}
	wg.Wait()
	p.waitForFiles(t, idle+16)
	must(t, "Stat", early.Stat(&st))
	f := open(t, fs, "a", 0) // keeps its position
	for range 100 {
		walk(fs, "a/b/f")
	}
	p.waitForFiles(t, idle+18)
	f.Release()
}

func TestReadOnly(t *testing.T) {
	p := newPeer(t)
	os.WriteFile(filepath.Join(p.dir, "f"), []byte("x"), 0o600)
	fs := p.mount(t, true)
	root := fs.Root()
	f, e := root.Lookup("f")
	must(t, "Lookup", e)
	_, open := f.Open(syscall.O_RDWR)
	_, trunc := f.Open(syscall.O_RDONLY | syscall.O_TRUNC)
	_, mk := root.Create("d", syscall.S_IFDIR, 0)
	_, link := root.Symlink("s", "t")
	for what, e := range map[string]syscall.Errno{
		"Open": open, "O_TRUNC": trunc, "Create": mk, "Symlink": link, "Link": root.Link("l", f), "Remove": root.Remove("f", false),
		"Rename": root.Rename("f", root, "g", false), "SetAttr": f.SetAttr(kernel.AttrChange{Mask: kernel.AttrSize}),
	} {
		if e != syscall.EROFS {
			t.Errorf("%s = %v; want EROFS", what, e)
		}
	}
	if _, e := f.Open(syscall.O_RDONLY); e != 0 {
		t.Errorf("Open for reading = %v", e)
	}
}

// After the loss of the server every call is EIO.
func TestServerGone(t *testing.T) {
	p := newPeer(t)
	var lines []string
	fs, err := p9fs.Mount(p9fs.Config{Transport: p.stream, Log: func(s string) { lines = append(lines, s) }})
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	for range 3 {
		if _, e := fs.Root().Lookup("x"); e != syscall.EIO {
			t.Errorf("Lookup = %v; want EIO", e)
		}
	}
	if len(lines) != 1 {
		t.Errorf("log %q; want one line", lines)
	}
}
