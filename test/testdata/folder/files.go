package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

// files uses the operations of a file system, in an empty folder.
func files(dir string, _ []string) {
	for _, step := range []func(dir string){
		content, large, flags, names, links, unlinked, replaced, openDirectory, times, truncation, mapped, locks, special, misses,
	} {
		sub, err := os.MkdirTemp(dir, "step")
		check(err)
		step(sub)
		if err := os.RemoveAll(sub); err != nil {
			wrong("RemoveAll: %v", err)
		}
	}
}

func want(what string, got, want any) {
	if got != want {
		wrong("%s = %v; want %v", what, got, want)
	}
}

// wantErr checks an errno.
func wantErr(what string, err error, want syscall.Errno) {
	if !errors.Is(err, want) {
		wrong("%s: %v; want %v", what, err, want)
	}
}

func wantText(name, text string) {
	b, err := os.ReadFile(name)
	if err != nil || string(b) != text {
		wrong("%s holds %q, %v; want %q", name, b, err, text)
	}
}

func content(dir string) {
	name := filepath.Join(dir, "a file, named with \"care\" – ü")
	check(os.WriteFile(name, []byte("0123456789"), 0o640))
	wantText(name, "0123456789")
	info, err := os.Stat(name)
	check(err)
	want("size", info.Size(), int64(10))
	want("mode", info.Mode(), fs.FileMode(0o640))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	check(err)
	defer f.Close()
	_, err = f.WriteAt([]byte("xyz"), 20) // a hole
	check(err)
	var stack [30]byte // a buffer that lies on the stack
	n, err := syscall.Pread(int(f.Fd()), stack[:], 0)
	want("Pread", n, 23)
	want("Pread", string(stack[:n]), "0123456789"+string(make([]byte, 10))+"xyz")
	pos, err := f.Seek(-3, io.SeekEnd)
	check(err)
	want("Seek", pos, int64(20))
	n, err = f.Read(stack[:])
	want("Read", string(stack[:n]), "xyz")
	_, err = f.Read(stack[:])
	want("Read at the end", err, io.EOF)
	check(f.Sync())
	check(syscall.Fdatasync(int(f.Fd())))
}

// large reads and writes pieces of many sizes, from the heap and from the stack.
func large(dir string) {
	name := filepath.Join(dir, "large")
	data := make([]byte, 3<<20+12345)
	for i := range data {
		data[i] = byte(i ^ i>>9)
	}
	f, err := os.Create(name)
	check(err)
	defer f.Close()
	for at, size := 0, 1; at < len(data); size = size*3 + 1 {
		piece := data[at:min(len(data), at+size)]
		n, err := f.Write(piece)
		check(err)
		want("Write", n, len(piece))
		at += n
	}
	b, err := os.ReadFile(name)
	check(err)
	if !bytes.Equal(b, data) {
		wrong("what was read is not what was written")
	}
	onStack(f, data)
	for _, size := range []int{1, 4095, 4096, 4097, 100_000, 1 << 20, len(data)} {
		b := make([]byte, size)
		n, err := f.ReadAt(b, 777)
		if size > len(data)-777 {
			want("ReadAt over the end", err, io.EOF)
		}
		if !bytes.Equal(b[:n], data[777:777+n]) || n != min(size, len(data)-777) {
			wrong("ReadAt of %d bytes: %d", size, n)
		}
	}
	// Readv and writev through the descriptor's own calls.
	two := [2]syscall.Iovec{{Base: &data[100], Len: 5000}, {Base: &data[9000], Len: 20000}}
	_, err = f.Seek(0, io.SeekStart)
	check(err)
	n, _, e := syscall.Syscall(syscall.SYS_WRITEV, f.Fd(), uintptr(unsafe.Pointer(&two[0])), 2)
	want("writev", int(n), 25000)
	want("writev", e, syscall.Errno(0))
	b = make([]byte, 25000)
	_, err = f.ReadAt(b, 0)
	check(err)
	if !bytes.Equal(b[:5000], data[100:5100]) || !bytes.Equal(b[5000:], data[9000:29000]) {
		wrong("writev wrote something else")
	}
}

//go:noinline
func onStack(f *os.File, data []byte) {
	var b [20_000]byte
	n, err := syscall.Pread(int(f.Fd()), b[:], 4321)
	if n != len(b) || err != nil || !bytes.Equal(b[:], data[4321:4321+len(b)]) {
		wrong("Pread to the stack: %d, %v", n, err)
	}
	n, err = syscall.Pwrite(int(f.Fd()), b[:], 4321)
	if n != len(b) || err != nil {
		wrong("Pwrite from the stack: %d, %v", n, err)
	}
}

func flags(dir string) {
	name := filepath.Join(dir, "f")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	check(err)
	_, err = os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	wantErr("O_EXCL", err, syscall.EEXIST)
	for range 3 {
		_, err := f.WriteString("ab")
		check(err)
		g, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		check(err)
		g.WriteString("c")
		pos, _ := g.Seek(0, io.SeekCurrent)
		info, _ := os.Stat(name)
		want("position after an append", pos, info.Size())
		g.Close()
	}
	f.Close()
	wantText(name, "abcabcabc")
	f, err = os.OpenFile(name, os.O_RDWR|os.O_TRUNC, 0)
	check(err)
	wantText(name, "")
	// O_APPEND that is set after the open.
	_, _, e := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFL, syscall.O_APPEND)
	want("F_SETFL", e, syscall.Errno(0))
	f.WriteString("one")
	f.Seek(0, io.SeekStart)
	f.WriteString("two")
	wantText(name, "onetwo")
	f.Close()
	f, err = os.Open(name)
	check(err)
	_, err = f.WriteString("x")
	wantErr("write to a file opened for reading", err, syscall.EBADF)
	f.Close()
	f, err = os.OpenFile(filepath.Join(dir, "no write"), os.O_CREATE|os.O_WRONLY, 0o400)
	check(err)
	_, err = f.WriteString("its maker may")
	check(err)
	f.Close()
}

func names(dir string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	check(os.MkdirAll(p("a/b/c/d"), 0o755))
	check(os.WriteFile(p("a/b/c/d/e"), []byte("deep"), 0o644))
	check(os.Rename(p("a/b"), p("moved")))
	wantText(p("moved/c/d/e"), "deep")
	_, err := os.Stat(p("a/b"))
	wantErr("Stat of what moved", err, syscall.ENOENT)
	wantErr("Remove of a full folder", os.Remove(p("moved")), syscall.ENOTEMPTY)
	wantErr("Rename below itself", os.Rename(p("moved"), p("moved/c/x")), syscall.EINVAL)
	check(os.WriteFile(p("x"), []byte("x"), 0o644))
	check(os.WriteFile(p("y"), []byte("y"), 0o644))
	check(os.Rename(p("x"), p("y")))
	wantText(p("y"), "x")
	wantErr("Rename of a file to a folder", syscall.Rename(p("y"), p("a")), syscall.EISDIR)
	wantErr("Rename of a folder to a file", syscall.Rename(p("a"), p("y")), syscall.ENOTDIR)
	wantErr("Mkdir", os.Mkdir(p("a"), 0o755), syscall.EEXIST)
	wantErr("Rmdir of a file", syscall.Rmdir(p("y")), syscall.ENOTDIR)
	wantErr("Unlink of a folder", syscall.Unlink(p("a")), syscall.EISDIR)
	wantErr("a long name", os.WriteFile(p(string(bytes.Repeat([]byte("n"), 256))), nil, 0o644), syscall.ENAMETOOLONG)
	var seen []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		seen = append(seen, fmt.Sprint(rel, " ", d.Type()))
		return err
	})
	check(err)
	slices.Sort(seen)
	want("WalkDir", fmt.Sprint(seen), "[. d--------- a d--------- moved d--------- moved/c d--------- moved/c/d d--------- moved/c/d/e ---------- y ----------]")
	check(os.Chdir(p("moved/c")))
	wantText("d/e", "deep")
	wantText("../../y", "x")
	check(os.Chdir("/"))
}

func links(dir string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	check(os.WriteFile(p("f"), []byte("file"), 0o644))
	check(os.Symlink("f", p("s")))
	check(os.Symlink(p("s"), p("s2")))
	check(os.Symlink("nowhere", p("dangling")))
	check(os.Symlink("loop", p("loop")))
	wantText(p("s2"), "file")
	to, err := os.Readlink(p("s"))
	want("Readlink", fmt.Sprint(to, err), "f<nil>")
	info, err := os.Lstat(p("s"))
	check(err)
	want("type of a link", info.Mode().Type(), fs.ModeSymlink)
	_, err = os.Stat(p("dangling"))
	wantErr("Stat of a dangling link", err, syscall.ENOENT)
	_, err = os.Stat(p("loop"))
	wantErr("Stat of a loop", err, syscall.ELOOP)
	check(os.WriteFile(p("dangling"), []byte("made"), 0o644))
	wantText(p("nowhere"), "made")
	_, err = os.OpenFile(p("s"), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	wantErr("O_NOFOLLOW", err, syscall.ELOOP)
	check(os.Link(p("f"), p("hard")))
	a, _ := os.Stat(p("f"))
	b, _ := os.Stat(p("hard"))
	want("SameFile", os.SameFile(a, b), true)
	want("link count", a.Sys().(*syscall.Stat_t).Nlink, uint64(2))
	check(os.WriteFile(p("hard"), []byte("both"), 0o644))
	wantText(p("f"), "both")
	wantErr("Link to what is there", os.Link(p("f"), p("hard")), syscall.EEXIST)
	wantErr("Link across file systems", os.Link(p("f"), "/dev/hard"), syscall.EXDEV)
}

// unlinked files can be used while they are open.
func unlinked(dir string) {
	name := filepath.Join(dir, "f")
	check(os.WriteFile(name, []byte("still here"), 0o644))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	check(err)
	defer f.Close()
	check(os.Remove(name))
	b, err := io.ReadAll(f)
	want("read", fmt.Sprintf("%s %v", b, err), "still here <nil>")
	_, err = f.WriteAt([]byte("and longer than before"), 5)
	check(err)
	info, err := f.Stat()
	check(err)
	want("size", info.Size(), int64(27))
	want("link count", info.Sys().(*syscall.Stat_t).Nlink, uint64(0))
	check(os.WriteFile(name, []byte("another"), 0o644))
	info, err = f.Stat()
	check(err)
	want("size beside another file of the name", info.Size(), int64(27))
	wantText(name, "another")
}

// replaced: an open file whose name another file takes.
func replaced(dir string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	check(os.WriteFile(p("old"), []byte("old content"), 0o644))
	f, err := os.OpenFile(p("old"), os.O_RDWR, 0)
	check(err)
	defer f.Close()
	check(os.WriteFile(p("new"), []byte("new"), 0o600))
	check(os.Rename(p("new"), p("old")))
	wantText(p("old"), "new")
	b, err := io.ReadAll(f)
	want("read", fmt.Sprintf("%s %v", b, err), "old content <nil>")
	info, err := f.Stat()
	check(err)
	want("size", info.Size(), int64(11))
	other, err := os.Stat(p("old"))
	check(err)
	want("SameFile", os.SameFile(info, other), false)
	f.Truncate(0) // may fail, but must not reach the other file
	f.Chmod(0o777)
	wantText(p("old"), "new")
	other, _ = os.Stat(p("old"))
	want("mode of the other file", other.Mode(), fs.FileMode(0o600))

	// A file that is renamed stays the same.
	g, err := os.OpenFile(p("old"), os.O_RDWR, 0)
	check(err)
	defer g.Close()
	check(os.Rename(p("old"), p("elsewhere")))
	check(g.Chmod(0o640))
	check(g.Truncate(2))
	wantText(p("elsewhere"), "ne")
	info, err = os.Stat(p("elsewhere"))
	check(err)
	want("mode", info.Mode(), fs.FileMode(0o640))
}

// openDirectory looks up names in a folder that is renamed.
func openDirectory(dir string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	check(os.Mkdir(p("d"), 0o755))
	root, err := os.OpenRoot(p("d"))
	check(err)
	defer root.Close()
	check(root.Mkdir("sub", 0o755))
	check(os.Rename(p("d"), p("moved")))
	check(root.WriteFile("sub/f", []byte("in the root"), 0o644))
	wantText(p("moved/sub/f"), "in the root")
	check(os.Symlink("../outside", p("moved/escape")))
	if _, err := root.ReadFile("escape"); err == nil {
		wrong("a link leads out of the root")
	}
	// Names that are removed while the folder is read.
	for i := range 300 {
		check(root.WriteFile(fmt.Sprint("n", i), nil, 0o644))
	}
	f, err := os.Open(p("moved"))
	check(err)
	defer f.Close()
	removed := 0
	for {
		names, err := f.Readdirnames(7)
		for _, n := range names {
			if n[0] == 'n' {
				check(root.Remove(n))
				removed++
			}
		}
		if err == io.EOF {
			break
		}
		check(err)
	}
	want("names removed while reading", removed, 300)
}

func times(dir string) {
	name := filepath.Join(dir, "f")
	check(os.WriteFile(name, nil, 0o600))
	when := time.Unix(1_234_567_890, 123_456_789)
	check(os.Chtimes(name, time.Unix(-5, 7), when))
	info, err := os.Stat(name)
	check(err)
	want("mtime", info.ModTime(), when)
	want("atime", info.Sys().(*syscall.Stat_t).Atim, syscall.Timespec{Sec: -5, Nsec: 7})
	check(os.Chtimes(name, time.Time{}, time.Now()))
	info, _ = os.Stat(name)
	want("atime that was left out", info.Sys().(*syscall.Stat_t).Atim, syscall.Timespec{Sec: -5, Nsec: 7})
	check(os.Chmod(name, 0o751))
	info, _ = os.Stat(name)
	want("mode", info.Mode(), fs.FileMode(0o751))
	check(os.Chmod(name, 0o644|fs.ModeSticky)) // a folder of root's takes no other such bit
	info, _ = os.Stat(name)
	want("mode", info.Mode(), 0o644|fs.ModeSticky)
	before := info.ModTime()
	time.Sleep(20 * time.Millisecond)
	check(os.WriteFile(name, []byte("x"), 0))
	info, _ = os.Stat(name)
	if !info.ModTime().After(before) {
		wrong("a write left mtime at %v", before)
	}
}

func truncation(dir string) {
	name := filepath.Join(dir, "f")
	check(os.WriteFile(name, []byte("0123456789"), 0o600))
	check(os.Truncate(name, 4))
	wantText(name, "0123")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	check(err)
	defer f.Close()
	check(f.Truncate(6))
	wantText(name, "0123\x00\x00")
	check(f.Truncate(0))
	wantText(name, "")
	wantErr("Truncate of a folder", os.Truncate(dir, 0), syscall.EISDIR)
}

func mapped(dir string) {
	name := filepath.Join(dir, "f")
	check(os.WriteFile(name, bytes.Repeat([]byte("page"), 3000), 0o600))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	check(err)
	defer f.Close()
	shared, err := syscall.Mmap(int(f.Fd()), 0, 12000, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err)
	private, err := syscall.Mmap(int(f.Fd()), 4096, 4096, syscall.PROT_READ, syscall.MAP_PRIVATE)
	check(err)
	want("private mapping", string(private[:4]), "page")
	copy(shared[8190:], "across pages")
	check(f.Sync())
	var b [12]byte
	_, err = f.ReadAt(b[:], 8190)
	check(err)
	want("after fsync", string(b[:]), "across pages")
	// Data that is transferred directly between a file and a mapping.
	n, err := f.ReadAt(shared[:8000], 4000)
	want("read into a mapping", n, 8000)
	check(err)
	check(syscall.Munmap(shared))
	check(syscall.Munmap(private))
}

func locks(dir string) {
	name := filepath.Join(dir, "lock")
	f, err := os.Create(name)
	check(err)
	defer f.Close()
	g, err := os.Open(name)
	check(err)
	defer g.Close()
	check(syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	wantErr("second lock", syscall.Flock(int(g.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
	check(syscall.Flock(int(f.Fd()), syscall.LOCK_UN))
	check(syscall.Flock(int(g.Fd()), syscall.LOCK_SH|syscall.LOCK_NB))
}

func special(dir string) {
	name := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		fmt.Println("Mkfifo:", err) // ENXIO from QEMU
	} else {
		info, err := os.Stat(name)
		check(err)
		want("type", info.Mode().Type(), fs.ModeNamedPipe)
		entries, err := os.ReadDir(dir)
		check(err)
		want("type in a listing", entries[0].Type(), fs.ModeNamedPipe)
	}
	var st syscall.Statfs_t
	check(syscall.Statfs(dir, &st))
	if st.Bsize <= 0 || st.Blocks == 0 || st.Namelen != 255 {
		wrong("Statfs = %+v", st)
	}
	fmt.Printf("type %#x\n", st.Type)
}

func misses(dir string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	check(os.WriteFile(p("f"), nil, 0o600))
	_, err := os.Open(p("none"))
	wantErr("Open", err, syscall.ENOENT)
	_, err = os.Open(p("none/below"))
	wantErr("Open below nothing", err, syscall.ENOENT)
	_, err = os.Open(p("f/below"))
	wantErr("Open below a file", err, syscall.ENOTDIR)
	_, err = os.Open(p("f") + "/")
	wantErr("Open of a file as a folder", err, syscall.ENOTDIR)
	_, err = os.OpenFile(dir, os.O_RDWR, 0)
	wantErr("Open of a folder for writing", err, syscall.EISDIR)
	wantErr("Remove", os.Remove(p("none")), syscall.ENOENT)
	wantErr("Rename", os.Rename(p("none"), p("x")), syscall.ENOENT)
}

// readOnly tries to change a folder that must not change.
func readOnly(dir string, _ []string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	wantText(p("greeting"), "hello")
	for what, err := range map[string]error{
		"WriteFile": os.WriteFile(p("new"), nil, 0o644), "overwriting": os.WriteFile(p("greeting"), nil, 0o644),
		"Mkdir": os.Mkdir(p("d"), 0o755), "Remove": os.Remove(p("greeting")), "Rename": os.Rename(p("greeting"), p("x")),
		"Symlink": os.Symlink("a", p("s")), "Link": os.Link(p("greeting"), p("l")), "Chmod": os.Chmod(p("greeting"), 0o600),
		"Truncate": os.Truncate(p("greeting"), 1), "Chtimes": os.Chtimes(p("greeting"), time.Now(), time.Now()),
		"access": syscall.Access(p("greeting"), 2),
	} {
		wantErr(what, err, syscall.EROFS)
	}
	var st syscall.Statfs_t
	check(syscall.Statfs(dir, &st))
	want("ST_RDONLY", st.Flags&1, int64(1))
}
