package ext4

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// tool runs a tool of e2fsprogs and returns its output and exit code. The test is skipped if
// the tool is not installed.
func tool(t testing.TB, name string, args ...string) (string, int) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name
		if _, err := os.Stat(path); err != nil {
			t.Skip("needs e2fsprogs: " + name)
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "E2FSPROGS_FAKE_TIME=", "MKE2FS_SYNC=0")
	out, err := cmd.CombinedOutput()
	if e, ok := err.(*exec.ExitError); ok {
		return string(out), e.ExitCode()
	}
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out), 0
}

// mkfs makes an image of a size, such as "16M", and returns its path.
func mkfs(t testing.TB, size string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if len(args) == 0 || args[0] != "-t" {
		args = append([]string{"-t", "ext4"}, args...)
	}
	out, code := tool(t, "mke2fs", append([]string{"-q"}, append(args, path, size)...)...)
	if code != 0 {
		t.Fatalf("mke2fs %v: %d\n%s", args, code, out)
	}
	return path
}

// fsck fails the test if e2fsck finds anything.
func fsck(t testing.TB, path string) {
	t.Helper()
	if out, code := tool(t, "e2fsck", "-fn", path); code != 0 {
		t.Fatalf("e2fsck -fn: %d\n%s", code, out)
	}
}

func debugfs(t testing.TB, path string, script ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(strings.Join(script, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, code := tool(t, "debugfs", "-w", "-f", file, path)
	if code != 0 {
		t.Fatalf("debugfs: %d\n%s", code, out)
	}
	return out
}

// device opens an image.
func device(t testing.TB, path string, readOnly bool) block.Device {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return blocktest.NewFile(f, info.Size(), 512, readOnly)
}

func mount(t testing.TB, dev block.Device, opt Options) *FS {
	t.Helper()
	if opt.Log == nil {
		opt.Log = func(s string) { t.Log(s) }
	}
	fs, err := Mount(dev, opt)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func unmount(t testing.TB, fs *FS) {
	t.Helper()
	if e := fs.Unmount(); e != 0 {
		t.Fatal("Unmount: ", e)
	}
}

// ok fails the test on an error.
func ok(t testing.TB, e syscall.Errno) {
	t.Helper()
	if e != 0 {
		t.Fatal(e)
	}
}

func root(t testing.TB, fs *FS) *Inode {
	t.Helper()
	i, e := fs.Root()
	ok(t, e)
	return i
}

// walk returns the inode of a path.
func walk(t testing.TB, fs *FS, path string) *Inode {
	t.Helper()
	i := root(t, fs)
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		c, e := i.Lookup(name)
		if e != 0 {
			t.Fatalf("%s: %v", path, e)
		}
		i.Put()
		i = c
	}
	return i
}

func create(t testing.TB, dir *Inode, name string, mode uint32) *Inode {
	t.Helper()
	i, e := dir.Create(name, mode, 0, 0, 0)
	if e != 0 {
		t.Fatalf("create %s: %v", name, e)
	}
	return i
}

// readAll reads a file as a page cache would: in whole blocks, cut to the size.
func readAll(i *Inode) ([]byte, syscall.Errno) {
	size, bs := i.Attr().Size, int64(i.fs.blockSize)
	buf := make([]byte, (size+bs-1)/bs*bs)
	bufs := [][]byte{}
	for p := buf; len(p) > 0; p = p[min(len(p), 8192):] {
		bufs = append(bufs, p[:min(len(p), 8192)])
	}
	e := i.ReadData(bufs, 0)
	return buf[:size], e
}

// writeAt writes data into a file as a page cache with up-to-date pages would.
func writeAt(i *Inode, data []byte, off int64) syscall.Errno {
	bs := int64(i.fs.blockSize)
	end := off + int64(len(data))
	first, last := off/bs*bs, (end+bs-1)/bs*bs
	buf := make([]byte, last-first)
	if e := i.ReadData([][]byte{buf}, first); e != 0 {
		return e
	}
	size := i.Attr().Size
	for k := max(size-first, 0); k < int64(len(buf)); k++ {
		buf[k] = 0
	}
	copy(buf[off-first:], data)
	return i.WriteData([][]byte{buf}, first, max(end, size))
}

func writeFile(t testing.TB, dir *Inode, name string, data []byte) {
	t.Helper()
	i := create(t, dir, name, typeReg|0o644)
	if len(data) > 0 {
		ok(t, writeAt(i, data, 0))
	}
	i.Put()
}

func names(t testing.TB, dir *Inode) (list []string) {
	t.Helper()
	ok(t, dir.ReadDir(0, func(name string, ino, kind uint32, next int64) bool {
		if name != "." && name != ".." {
			list = append(list, name)
		}
		return true
	}))
	return list
}

// pattern is n bytes without repetitions.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for k := range b {
		x = x*1664525 + 1013904223
		b[k] = byte(x >> 24)
	}
	return b
}

func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		k := 0
		for k < min(len(got), len(want)) && got[k] == want[k] {
			k++
		}
		t.Fatalf("%s: %d bytes, want %d; first difference at %d", what, len(got), len(want), k)
	}
}

// image puts data into a file of the host, for debugfs.
func image(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
