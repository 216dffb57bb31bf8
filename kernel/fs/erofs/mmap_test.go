package erofs

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/kernel/kerneltest"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// mapMachine is a machine whose mappings are copies of the pages that the cache has shown
// it: an image's files do not change.
type mapMachine struct {
	*kerneltest.Machine
	t     *testing.T
	pages map[uintptr]uint64 // addresses by index in the file
}

func (m *mapMachine) NewFile(machine.Reader) (machine.File, syscall.Errno) {
	m.pages = map[uintptr]uint64{}
	return 1, 0
}

func (m *mapMachine) ReachFile(machine.File, uintptr) (bool, syscall.Errno) { return false, 0 }

func (m *mapMachine) ShowPage(_ machine.File, index uintptr, page uint64) machine.Page {
	m.pages[index] = page
	return 0
}

func (m *mapMachine) MapFile(_ machine.File, _, n, first, _, _ uintptr) (uintptr, syscall.Errno) {
	b, err := syscall.Mmap(-1, 0, int(n), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return 0, syscall.ENOMEM
	}
	m.t.Cleanup(func() { syscall.Munmap(b) })
	for i := range n / pagecache.PageSize {
		if p := m.pages[first+i]; p != 0 {
			copy(b[i*pagecache.PageSize:], memory(uintptr(p), pagecache.PageSize))
		}
	}
	return uintptr(unsafe.Pointer(&b[0])), 0
}

// memory returns n bytes at an address.
func memory(addr, n uintptr) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), n)
}

// All calls that only read, mmap(2) among them, work on a sealed file.
func TestCallsThatRead(t *testing.T) {
	dir := t.TempDir()
	want := bytes.Repeat([]byte("sealed "), 3000)
	if err := os.WriteFile(filepath.Join(dir, "file"), want, 0o644); err != nil {
		t.Fatal(err)
	}
	m := &mapMachine{Machine: kerneltest.New(4000), t: t}
	k := kernel.New(m, kernel.Options{})
	fs, err := Mount(blocktest.FromBytes(small(t, dir)[0], 512), Options{Kernel: k, Cache: pagecache.New(m), Dev: 7, Log: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	if e := k.Mount("/image", fs, "image"); e != 0 {
		t.Fatal("mount:", e)
	}
	call := func(nr uintptr, args ...any) uintptr {
		t.Helper()
		var a kernel.Args
		for i, v := range args {
			switch v := v.(type) {
			case string:
				a.P[i] = unsafe.Pointer(unsafe.StringData(v + "\x00"))
			case int:
				a.N[i] = uintptr(v)
			case uintptr:
				a.N[i] = v
			}
		}
		r, _, e := k.Dispatch(nr, a)
		if e != 0 {
			t.Fatalf("call %d: %v", nr, syscall.Errno(e))
		}
		return r
	}
	const cwd = -100
	fd := call(syscall.SYS_OPENAT, cwd, "/image/file", syscall.O_RDONLY)
	size := uintptr(len(want))
	for _, flags := range []int{syscall.MAP_SHARED, syscall.MAP_PRIVATE} {
		at := call(syscall.SYS_MMAP, 0, size, syscall.PROT_READ, flags, fd, 0)
		if got := memory(at, size); !bytes.Equal(got, want) {
			t.Errorf("flags %d: the mapping shows %.20q…", flags, got)
		}
	}
	call(syscall.SYS_READAHEAD, fd, 0, 4096)
	call(syscall.SYS_FADVISE64, fd, 0, 4096, 3)
	out := call(syscall.SYS_OPENAT, cwd, "/copy", syscall.O_RDWR|syscall.O_CREAT, 0o600)
	if n := call(syscall.SYS_SENDFILE, out, fd, 0, len(want)); n != size {
		t.Errorf("sendfile: %d of %d bytes", n, size)
	}
}
