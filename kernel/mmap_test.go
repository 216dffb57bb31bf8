package kernel

import (
	"syscall"
	"testing"
)

// What is stored in a mapping goes to the file that was mapped there last.
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

// Linux leaves the third argument in RDX, which syscall.Syscall returns as r2.
func TestSecondResult(t *testing.T) {
	s := newSystem(t)
	for _, nr := range []uintptr{syscall.SYS_GETPID, syscall.SYS_SCHED_YIELD} {
		if _, r2, e := s.k.Dispatch(nr, Args{N: [6]uintptr{0, 0, 77}}); e != 0 || r2 != 77 {
			t.Errorf("call %d: r2 = %d, errno %d; want 77, 0", nr, r2, e)
		}
	}
}
