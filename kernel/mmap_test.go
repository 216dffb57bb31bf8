package kernel

import (
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// A private mapping of a sparse file is a sparse copy.
func TestMapSparseCopy(t *testing.T) {
	s := newSystem(t)
	s.writeFile("/tmp/sparse", "begin")
	fd := s.open("/tmp/sparse", syscall.O_RDWR)
	const size = 64 << 20
	s.must(syscall.SYS_FTRUNCATE, fd, size)
	s.must(syscall.SYS_PWRITE64, fd, "middle", 6, size/2-3)
	at := s.must(syscall.SYS_MMAP, 0, size, syscall.PROT_READ, mapPrivate, fd, 0)
	resident := make([]byte, size/pageSize)
	if _, _, e := syscall.Syscall(syscall.SYS_MINCORE, uintptr(at), size, uintptr(unsafe.Pointer(&resident[0]))); e != 0 {
		t.Fatal(e)
	}
	if n := strings.Count(string(resident), "\x01"); n > 16 {
		t.Errorf("%d of %d pages of the copy are in memory; want the 3 with data", n, len(resident))
	}
	b := sliceAt(uintptr(at), size)
	if string(b[:6]) != "begin\x00" || string(b[size/2-3:][:6]) != "middle" || b[size-1] != 0 {
		t.Errorf("the copy has %q and %q", b[:6], b[size/2-3:][:6])
	}
}

// sparseFile is a file of another file system, such as 9P: bytes by offset; holes are zeroes.
type sparseFile struct {
	size    int64
	data    map[int64]byte
	written int
}

func (f *sparseFile) Read(p []byte, off int64) (int, syscall.Errno) {
	p = p[:max(min(int64(len(p)), f.size-off), 0)]
	clear(p)
	for at, c := range f.data {
		if at >= off && at-off < int64(len(p)) {
			p[at-off] = c
		}
	}
	return len(p), 0
}

func (f *sparseFile) Write(p []byte, off int64) (int, syscall.Errno) {
	f.written += len(p)
	for i, c := range p {
		if c != 0 {
			f.data[off+int64(i)] = c
		}
	}
	return len(p), 0
}

func (f *sparseFile) Stat(st *syscall.Stat_t) syscall.Errno {
	st.Mode, st.Size = syscall.S_IFREG|0o644, f.size
	return 0
}

func (f *sparseFile) Readiness() Events { return EventIn | EventOut }
func (f *sparseFile) Queue() *WaitQueue { return nil }
func (f *sparseFile) Release()          {}

func (f *sparseFile) Truncate(int64) syscall.Errno             { return syscall.EINVAL }
func (f *sparseFile) Allocate(int, int64, int64) syscall.Errno { return syscall.EOPNOTSUPP }

// A shared mapping that is a copy is written back without the file's holes.
func TestMapSparseWriteBack(t *testing.T) {
	s := newSystem(t)
	f := &sparseFile{size: 64 << 20, data: map[int64]byte{0: 'a'}}
	fd, e := s.k.fds.install(newDescription(s.k, f, syscall.O_RDWR), 0, false)
	if e != 0 {
		t.Fatal(e)
	}
	at := s.must(syscall.SYS_MMAP, 0, int(f.size), syscall.PROT_READ|syscall.PROT_WRITE, mapShared, fd, 0)
	b := sliceAt(uintptr(at), int(f.size))
	b[f.size/2], b[f.size-1] = 'b', 'c'
	s.must(syscall.SYS_MUNMAP, at, int(f.size))
	if f.written > 16*pageSize || f.data[0] != 'a' || f.data[f.size/2] != 'b' || f.data[f.size-1] != 'c' {
		t.Errorf("%d bytes were written back, %v; want the 3 pages with data", f.written, f.data)
	}
}

// A shared mapping that is a copy is written back from a goroutine whose stack grows during the
// call, at any depth.
func TestWriteBackAtAnyDepth(t *testing.T) {
	s := newSystem(t)
	f := &sparseFile{size: pageSize, data: map[int64]byte{}}
	fd, e := s.k.fds.install(newDescription(s.k, f, syscall.O_RDWR), 0, false)
	if e != 0 {
		t.Fatal(e)
	}
	for depth := range 400 {
		at := s.must(syscall.SYS_MMAP, 0, pageSize, syscall.PROT_READ|syscall.PROT_WRITE, mapShared, fd, 0)
		sliceAt(uintptr(at), pageSize)[depth] = 'x'
		done := make(chan byte)
		go func() {
			descend(depth, func() { sysMunmap(s.k, Args{N: [6]uintptr{uintptr(at), pageSize}}) })
			close(done)
		}()
		if <-done; f.data[int64(depth)] != 'x' {
			t.Errorf("%d calls deep the stored byte is lost", depth)
		}
	}
}

//go:noinline
func descend(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	descend(n-1, f)
}

// One munmap of two copies writes back both.
func TestUnmapTwoCopies(t *testing.T) {
	s := newSystem(t)
	const size, prot = 2 * pageSize, syscall.PROT_READ | syscall.PROT_WRITE
	at := s.must(syscall.SYS_MMAP, 0, size, prot, mapPrivate|mapAnonymous, -1, 0)
	for i, name := range []string{"/tmp/a", "/tmp/b"} {
		s.writeFile(name, "content")
		fd := s.open(name, syscall.O_RDWR)
		s.must(syscall.SYS_MMAP, at+i*pageSize, pageSize, prot, mapShared|mapFixed, fd, 0)
		sliceAt(uintptr(at+i*pageSize), pageSize)[0] = 'X'
	}
	s.must(syscall.SYS_MUNMAP, at, size)
	if a, b := s.readFile("/tmp/a"), s.readFile("/tmp/b"); a != "Xontent" || b != "Xontent" {
		t.Errorf("the files have %q and %q; want Xontent", a, b)
	}
}

func TestMincore(t *testing.T) {
	s := newSystem(t)
	at := s.must(syscall.SYS_MMAP, 0, 4*pageSize, syscall.PROT_READ|syscall.PROT_WRITE, mapPrivate|mapAnonymous, -1, 0)
	sliceAt(uintptr(at), 4*pageSize)[2*pageSize] = 1
	in := make([]byte, 4)
	s.must(syscall.SYS_MINCORE, at, 4*pageSize-1, in)
	if string(in) != "\x00\x00\x01\x00" {
		t.Errorf("mincore = %q", in)
	}
	for _, n := range []int{-1, -pageSize, 1 << 47} {
		if _, e := s.call(syscall.SYS_MINCORE, at, n, in); e != syscall.ENOMEM {
			t.Errorf("mincore of %d bytes = %v; want ENOMEM", n, e)
		}
	}
	if _, e := s.call(syscall.SYS_MINCORE, at+1, pageSize, in); e != syscall.EINVAL {
		t.Errorf("mincore of half a page = %v; want EINVAL", e)
	}
}

// A store to a mapping goes to the file that was mapped there last.
func TestMapFixedOverMapping(t *testing.T) {
	s := newSystem(t)
	const size, prot = 4096, syscall.PROT_READ | syscall.PROT_WRITE
	at := s.must(syscall.SYS_MMAP, 0, size, prot, mapPrivate|mapAnonymous, -1, 0)
	s.writeFile("/tmp/a", "aaa")
	s.writeFile("/tmp/b", "bbb")
	for _, name := range []string{"/tmp/a", "/tmp/b"} {
		fd := s.open(name, syscall.O_RDWR)
		if got := s.must(syscall.SYS_MMAP, at, size, prot, mapShared|mapFixed, fd, 0); got != at {
			t.Fatalf("mmap = %#x; want %#x", got, at)
		}
		s.close(fd)
	}
	sliceAt(uintptr(at), size)[1] = 'X'
	s.must(syscall.SYS_MUNMAP, at, size)
	if a, b := s.readFile("/tmp/a"), s.readFile("/tmp/b"); a != "aaa" || b != "bXb" {
		t.Errorf("the files have %q and %q; want aaa and bXb", a, b)
	}
}

// Linux preserves the third argument in RDX, which syscall.Syscall returns as r2.
func TestSecondResult(t *testing.T) {
	s := newSystem(t)
	for _, nr := range []uintptr{syscall.SYS_GETPID, syscall.SYS_SCHED_YIELD} {
		if _, r2, e := s.k.Dispatch(nr, Args{N: [6]uintptr{0, 0, 77}}); e != 0 || r2 != 77 {
			t.Errorf("call %d: r2 = %d, errno %d; want 77, 0", nr, r2, e)
		}
	}
}

// A shared mapping of a file in memory does not grow by a length that wraps around, is never
// executable, and does not go where it is told: it grows in its arena alone.
func TestArenaRefuses(t *testing.T) {
	s := newSystem(t)
	s.fake.area = hostArea
	fd := s.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR)
	s.must(syscall.SYS_FTRUNCATE, fd, pageSize)
	at := s.must(syscall.SYS_MMAP, 0, pageSize, syscall.PROT_READ|syscall.PROT_WRITE, mapShared, fd, 0)
	for _, c := range []struct {
		what string
		nr   uintptr
		args []any
		want syscall.Errno
	}{
		{"mremap to 1<<63", syscall.SYS_MREMAP, []any{at, pageSize, uintptr(1 << 63), 0}, syscall.EINVAL},
		{"mremap to 1<<46", syscall.SYS_MREMAP, []any{at, pageSize, 1 << 46, 0}, syscall.ENOMEM},
		{"mremap to an address", syscall.SYS_MREMAP, []any{at, pageSize, pageSize, 3, at + 1<<40}, syscall.EINVAL},
		{"mprotect", syscall.SYS_MPROTECT, []any{at, pageSize, syscall.PROT_READ | syscall.PROT_EXEC}, syscall.EACCES},
		{"mmap", syscall.SYS_MMAP, []any{0, pageSize, syscall.PROT_READ | syscall.PROT_EXEC, mapShared, fd, 0}, syscall.EPERM},
	} {
		if _, e := s.call(c.nr, c.args...); e != c.want {
			t.Errorf("%s: %v; want %v", c.what, e, c.want)
		}
	}
	if r := s.must(syscall.SYS_MREMAP, at, pageSize, 4*pageSize, 0); r != at {
		t.Errorf("mremap to four pages moves from %#x to %#x", at, r)
	}
	s.must(syscall.SYS_MUNMAP, at, 4*pageSize)
}

// A private mapping of a file has the protection that was asked for; it was not executable.
func TestCopyIsProtected(t *testing.T) {
	s := newSystem(t)
	fd := s.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR)
	s.must(syscall.SYS_FTRUNCATE, fd, pageSize)
	for prot := range uintptr(8) {
		at := s.must(syscall.SYS_MMAP, 0, pageSize, prot, mapPrivate, fd, 0)
		if _, _, got := hostArea(uintptr(at)); got != prot {
			t.Errorf("a mapping of protection %d has %d", prot, got)
		}
		s.must(syscall.SYS_MUNMAP, at, pageSize)
	}
}
