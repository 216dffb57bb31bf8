package kernel

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// mapMachine is a fakeMachine that calls the test before and after its calls.
type mapMachine struct {
	*fakeMachine
	before, after func(nr uintptr, a Args)
}

func (m *mapMachine) Syscall(nr uintptr, a Args) (uintptr, syscall.Errno) {
	if m.before != nil {
		m.before(nr, a)
	}
	r, e := m.fakeMachine.Syscall(nr, a)
	if m.after != nil {
		m.after(nr, a)
	}
	return r, e
}

func (m *mapMachine) Area(addr uintptr) (start, end, prot uintptr) { return hostArea(addr) }

// hostArea finds the host's mapping.
func hostArea(addr uintptr) (start, end, prot uintptr) {
	list, _ := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(list)) {
		var bits string
		fmt.Sscanf(line, "%x-%x %s", &start, &end, &bits)
		if end <= addr {
			continue
		}
		for i, c := range "rwx" {
			if rune(bits[i]) == c {
				prot |= 1 << i
			}
		}
		return start, end, prot
	}
	return 0, 0, 0
}

// mapped is a file whose pages can be mapped: a memfd of the host. Like a file of a sealed
// image, it cannot be truncated.
type mapped struct {
	Always
	fd     int
	uses   int
	synced int
	fail   syscall.Errno // result of Map
	onMap  func()
}

var (
	_ Mapper = (*mapped)(nil)
	_ Syncer = (*mapped)(nil)
)

func newMapped(t *testing.T, pages int) *mapped {
	t.Helper()
	name := []byte("mapped\x00")
	fd, _, e := syscall.Syscall(nrMemfdCreate, uintptr(unsafe.Pointer(&name[0])), 0, 0)
	if e != 0 {
		t.Fatal("memfd_create:", e)
	}
	t.Cleanup(func() { syscall.Close(int(fd)) })
	for i := range pages {
		syscall.Pwrite(int(fd), []byte{byte(i + 1)}, int64(i)*pageSize)
	}
	syscall.Ftruncate(int(fd), int64(pages)*pageSize)
	return &mapped{fd: int(fd)}
}

func (f *mapped) Map(addr, n uintptr, off int64, prot, flags uintptr) (uintptr, syscall.Errno) {
	if f.onMap != nil {
		f.onMap()
	}
	if f.fail != 0 {
		return 0, f.fail
	}
	at, _, e := syscall.Syscall6(syscall.SYS_MMAP, addr, n, prot, flags, uintptr(f.fd), uintptr(off))
	if e == 0 {
		f.uses++
	}
	return at, e
}

func (f *mapped) Retain()                                  { f.uses++ }
func (f *mapped) Unmap()                                   { f.uses-- }
func (f *mapped) Sync(bool) syscall.Errno                  { f.synced++; return 0 }
func (f *mapped) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EBADF }
func (f *mapped) Read(p []byte, off int64) (int, syscall.Errno) {
	n, err := syscall.Pread(f.fd, p, off)
	if err != nil {
		return 0, syscall.EIO
	}
	return n, 0
}

func (f *mapped) Stat(st *syscall.Stat_t) syscall.Errno {
	if err := syscall.Fstat(f.fd, st); err != nil {
		return syscall.EIO
	}
	return 0
}

// mapSystem is a system with fake files of a disk.
func mapSystem(t *testing.T) (*system, *mapMachine) {
	m := &mapMachine{fakeMachine: newFake()}
	s := &system{TB: t, k: New(m, Options{}), fake: m.fakeMachine, dir: "/tmp"}
	s.k.EnableMappers()
	return s, m
}

func (s *system) openMapped(f *mapped, flags int) int {
	s.Helper()
	fd, e := s.k.fds.install(newDescription(s.k, f, flags), 0, false)
	if e != 0 {
		s.Fatal("install:", e)
	}
	return fd
}

const rw = syscall.PROT_READ | syscall.PROT_WRITE

// mmap maps pages of a file, shared.
func (s *system) mmap(at, pages, flags, fd int) uintptr {
	s.Helper()
	return uintptr(s.must(syscall.SYS_MMAP, at, pages*pageSize, rw, mapShared|flags, fd, 0))
}

// reserve returns unused addresses.
func (s *system) reserve(pages int) int {
	s.Helper()
	return s.must(syscall.SYS_MMAP, 0, pages*pageSize, syscall.PROT_NONE, mapPrivate|mapAnonymous|mapNoReserve, -1, 0)
}

// Another mapping may get the addresses that munmap frees before munmap returns: that mapping
// stays.
func TestUnmapBesideMap(t *testing.T) {
	s, m := mapSystem(t)
	a, b := newMapped(t, 4), newMapped(t, 4)
	fa, fb := s.openMapped(a, syscall.O_RDWR), s.openMapped(b, syscall.O_RDWR)
	at := s.mmap(0, 4, 0, fa)
	m.after = func(nr uintptr, _ Args) {
		if nr == syscall.SYS_MUNMAP {
			m.after = nil
			s.mmap(int(at), 4, mapFixed, fb)
		}
	}
	s.must(syscall.SYS_MUNMAP, at, 4*pageSize)
	if a.uses != 0 || b.uses != 1 {
		t.Errorf("the files are mapped %d and %d times; want 0 and 1", a.uses, b.uses)
	}
	s.must(syscall.SYS_MSYNC, at, 4*pageSize, 4)
	if b.synced != 1 {
		t.Error("msync does not know the new mapping")
	}
	s.must(syscall.SYS_MUNMAP, at, 4*pageSize)
	if b.uses != 0 {
		t.Errorf("the second file is mapped %d times in the end", b.uses)
	}
}

// A mapping that MAP_FIXED replaces counts as mapped until the new one is made.
func TestMapFixedOverPages(t *testing.T) {
	s, m := mapSystem(t)
	a, b := newMapped(t, 4), newMapped(t, 4)
	fa, fb := s.openMapped(a, syscall.O_RDWR), s.openMapped(b, syscall.O_RDWR)
	s.writeFile("/tmp/f", "file")
	ft := s.open("/tmp/f", syscall.O_RDWR)
	for what, replace := range map[string]func(at uintptr){
		"file":      func(at uintptr) { s.mmap(int(at), 4, mapFixed, fb) },
		"anonymous": func(at uintptr) { s.mmap(int(at), 4, mapFixed|mapAnonymous, -1) },
		"zeroes":    func(at uintptr) { s.mmap(int(at), 4, mapFixed, s.open("/dev/zero", syscall.O_RDWR)) },
		"copy":      func(at uintptr) { s.mmap(int(at), 4, mapFixed, ft) },
		"parts": func(at uintptr) {
			s.mmap(int(at)+pageSize, 2, mapFixed, fb)
			if a.uses != 2 {
				t.Errorf("two parts are %d mappings", a.uses)
			}
			s.mmap(int(at), 4, mapFixed, fb)
		},
	} {
		at := s.mmap(0, 4, 0, fa)
		early := func() {
			if a.uses == 0 {
				t.Error(what + ": the mapping ended before it was replaced")
			}
		}
		m.before = func(nr uintptr, _ Args) {
			if nr == syscall.SYS_MMAP {
				early()
			}
		}
		b.onMap = early
		replace(at)
		m.before, b.onMap = nil, nil
		if a.uses != 0 {
			t.Errorf("%s: mapped %d times when it is replaced", what, a.uses)
		}
		s.must(syscall.SYS_MUNMAP, at, 4*pageSize)
		if b.uses != 0 {
			t.Errorf("%s: the other file is mapped %d times in the end", what, b.uses)
		}
	}
}

// A call that fails changes no mapping.
func TestFailedMapLeavesPages(t *testing.T) {
	s, _ := mapSystem(t)
	a, b := newMapped(t, 4), newMapped(t, 4)
	fa, fb := s.openMapped(a, syscall.O_RDWR), s.openMapped(b, syscall.O_RDWR)
	b.fail = syscall.ENOMEM
	at := s.mmap(0, 4, 0, fa)
	if _, e := s.call(syscall.SYS_MMAP, at, 4*pageSize, rw, mapShared|mapFixed, fb, 0); e != syscall.ENOMEM {
		t.Errorf("mmap: %v; want ENOMEM", e)
	}
	if _, e := s.call(syscall.SYS_MUNMAP, at+pageSize, 1<<62); e != syscall.EINVAL {
		t.Errorf("munmap behind all addresses: %v; want EINVAL", e)
	}
	for i := range uintptr(4) {
		s.must(syscall.SYS_MSYNC, at+i*pageSize, pageSize, 4)
	}
	if a.uses < 1 || a.synced != 4 {
		t.Errorf("mapped %d times, %d of 4 pages known", a.uses, a.synced)
	}
	s.must(syscall.SYS_MUNMAP, at, 4*pageSize)
	if a.uses != 0 {
		t.Errorf("mapped %d times in the end", a.uses)
	}
}

// msync and munmap find the pages of a file beside a copy of another one.
func TestRangeOfMappings(t *testing.T) {
	s, _ := mapSystem(t)
	a := newMapped(t, 1)
	fa := s.openMapped(a, syscall.O_RDWR)
	s.writeFile("/tmp/copy", "copy")
	copied := s.open("/tmp/copy", syscall.O_RDWR)
	at := s.reserve(2)
	s.mmap(at, 1, mapFixed, fa)
	s.mmap(at+pageSize, 1, mapFixed, copied)
	sliceAt(uintptr(at), pageSize+1)[pageSize] = 'C'
	s.must(syscall.SYS_MSYNC, at, 2*pageSize, 4)
	if got := s.readFile("/tmp/copy"); a.synced != 1 || got != "Copy" {
		t.Errorf("msync: synced %d times, the copy is %q", a.synced, got)
	}
	sliceAt(uintptr(at), pageSize+1)[pageSize] = 'D'
	s.must(syscall.SYS_MUNMAP, at, 2*pageSize)
	if got := s.readFile("/tmp/copy"); a.uses != 0 || got != "Dopy" {
		t.Errorf("munmap: mapped %d times, the copy is %q", a.uses, got)
	}
	if i := slices.IndexFunc(s.k.maps.list, func(m fileMapping) bool { return m.addr-uintptr(at) < 2*pageSize }); i >= 0 {
		t.Errorf("%+v is left", s.k.maps.list[i])
	}
}

// A mapping that moves to grow keeps its protection and all stores to it; otherwise it does
// not move.
func TestRemapPages(t *testing.T) {
	s, m := mapSystem(t)
	a := newMapped(t, 4)
	fa := s.openMapped(a, syscall.O_RDWR)
	mremap := func(at int) (int, syscall.Errno) {
		const mayMove = 1
		return s.call(syscall.SYS_MREMAP, at, 2*pageSize, 4*pageSize, mayMove)
	}
	for _, prot := range [][2]int{{rw, syscall.PROT_READ}, {syscall.PROT_READ, rw}} {
		at := s.must(syscall.SYS_MMAP, 0, 2*pageSize, prot[0], mapShared, fa, 0)
		s.must(syscall.SYS_MPROTECT, at, 2*pageSize, prot[1])
		to, e := mremap(at)
		if e != 0 || a.uses != 1 {
			t.Fatalf("mremap: %v, mapped %d times", e, a.uses)
		}
		if _, _, got := m.Area(uintptr(to)); got != uintptr(prot[1]) {
			t.Errorf("protection %d; want %d", got, prot[1])
		}
		if got := sliceAt(uintptr(to), 4*pageSize)[3*pageSize]; got != 4 {
			t.Errorf("the last page shows %d", got)
		}
		s.must(syscall.SYS_MUNMAP, to, 4*pageSize)
	}

	at := int(s.mmap(0, 2, 0, fa))
	s.must(syscall.SYS_MPROTECT, at, pageSize, syscall.PROT_READ)
	if _, e := mremap(at); e != syscall.EFAULT || a.uses != 1 {
		t.Errorf("mremap of two protections: %v, mapped %d times; want EFAULT", e, a.uses)
	}
	s.must(syscall.SYS_MUNMAP, at, 2*pageSize)

	at = s.must(syscall.SYS_MMAP, 0, 2*pageSize, rw, mapPrivate, fa, 0)
	sliceAt(uintptr(at), pageSize)[0] = 99
	if to, e := mremap(at); e != syscall.ENOMEM {
		t.Errorf("mremap of a private mapping: %v, its store is %d; want ENOMEM", e, sliceAt(uintptr(to), pageSize)[0])
	} else if sliceAt(uintptr(at), pageSize)[0] != 99 || a.uses != 1 {
		t.Error("the private mapping is gone")
	}
}
