package p9fs_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/kerneltest"
)

// guest makes system calls of a kernel with a folder of the host at /host.
type guest struct {
	t *testing.T
	k *kernel.Kernel
}

func (g guest) call(nr uintptr, args ...any) int {
	g.t.Helper()
	var a kernel.Args
	for i, v := range args {
		switch v := v.(type) {
		case int:
			a.N[i] = uintptr(v)
		case string:
			a.P[i] = unsafe.Pointer(unsafe.SliceData(append([]byte(v), 0)))
			a.N[i] = uintptr(a.P[i])
		case []byte:
			a.P[i] = unsafe.Pointer(unsafe.SliceData(v))
			a.N[i] = uintptr(a.P[i])
		}
	}
	r, _, e := g.k.Dispatch(nr, a)
	if e != 0 {
		if syscall.Errno(e) == syscall.EAGAIN {
			return 0
		}
		g.t.Fatalf("system call %d%v: %v", nr, args, syscall.Errno(e))
	}
	return int(r)
}

// A watch of a file that the host has removed does not report the events of a file that the host
// makes then, though it would get the first one's inode number.
func TestWatchOfRemovedFile(t *testing.T) {
	p := newPeer(t)
	g := guest{t, kernel.New(kerneltest.New(1<<12), kernel.Options{})}
	if e := g.k.Mount("/host", p.mount(t, false), "host"); e != 0 {
		t.Fatal(e)
	}
	old, fresh := filepath.Join(p.dir, "old"), filepath.Join(p.dir, "fresh")
	for _, f := range []string{old, fresh} { // does the host give numbers again at once?
		os.Remove(old)
		os.WriteFile(f, nil, 0o600)
	}
	again := number(t, fresh)
	os.Remove(fresh)
	os.WriteFile(old, nil, 0o600)
	if number(t, old) != again {
		t.Skip("the host's file system does not give an inode number again at once")
	}
	const allEvents = 0xfff
	in := g.call(syscall.SYS_INOTIFY_INIT1, syscall.O_NONBLOCK)
	g.call(syscall.SYS_INOTIFY_ADD_WATCH, in, "/host/old", allEvents)
	os.Remove(old)
	os.WriteFile(fresh, []byte("x"), 0o600)
	fd := g.call(syscall.SYS_OPEN, "/host/fresh", syscall.O_RDWR, 0)
	g.call(syscall.SYS_WRITE, fd, []byte("y"), 1)
	g.call(syscall.SYS_CLOSE, fd)
	events := make([]byte, 256)
	if n := g.call(syscall.SYS_READ, in, events, len(events)); n != 0 {
		t.Errorf("the watch reports %d bytes of events of another file: % x", n, events[:n])
	}
	g.call(syscall.SYS_CLOSE, in)
	p.waitForFiles(t, idle)
}

func number(t *testing.T, path string) uint64 {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}
