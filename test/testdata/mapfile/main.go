// Mapfile maps files in the folder of its first argument and checks that mappings, read and write
// agree, and that an access after a file's end faults. With a second argument it maps a file that the
// host has made (pages.go).
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"unsafe"
)

const page = 4096

var dir string

func main() {
	dir = os.Args[1]
	if len(os.Args) > 2 {
		check("pages", func() error { return pages(os.Args[2]) })
		return
	}
	for _, t := range []struct {
		name string
		do   func() error
	}{
		{"shared", shared}, {"holes", holes}, {"private", private}, {"two", two}, {"truncated", truncated},
		{"protected", protected}, {"part", part}, {"remap", remap}, {"large", large}, {"reopened", reopened},
		{"beyond", beyond}, {"appending", appending}, {"left", left},
		{"kept", kept},
	} {
		check(t.name, t.do)
	}
	fmt.Println("fine")
}

func check(name string, do func() error) {
	if err := do(); err != nil {
		fmt.Printf("%s: %v\n", name, err)
		os.Exit(1)
	}
}

func create(name string, size int) (*os.File, error) {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i / page)
	}
	_, err = f.Write(b)
	return f, err
}

func mapFile(f *os.File, off, n, prot, flags int) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), int64(off), n, prot, flags)
}

const rw = syscall.PROT_READ | syscall.PROT_WRITE

// shared: stores are read, writes are visible, and msync makes stores durable.
func shared() error {
	f, err := create("shared", 100*page)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := mapFile(f, 0, 100*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	for i := range 100 {
		if m[i*page] != byte(i) {
			return fmt.Errorf("page %d shows %d", i, m[i*page])
		}
	}
	copy(m[50*page+10:], "stored")
	got := make([]byte, 6)
	if f.ReadAt(got, 50*page+10); string(got) != "stored" {
		return fmt.Errorf("read after a store: %q", got)
	}
	f.WriteAt([]byte("written"), 70*page+5)
	if string(m[70*page+5:][:7]) != "written" {
		return fmt.Errorf("the mapping shows %q after a write", m[70*page+5:][:7])
	}
	if _, _, e := syscall.Syscall(syscall.SYS_MSYNC, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), 4); e != 0 {
		return e
	}
	copy(m[50*page+10:], "again!") // after the page was clean
	if f.ReadAt(got, 50*page+10); string(got) != "again!" {
		return fmt.Errorf("read after a store to a clean page: %q", got)
	}
	return syscall.Munmap(m)
}

// holes read as zero and can be stored to.
func holes() error {
	f, err := create("holes", page)
	if err != nil {
		return err
	}
	defer f.Close()
	f.Truncate(1 << 30)
	m, err := mapFile(f, 0, 1<<30, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	if m[500<<20] != 0 {
		return fmt.Errorf("a hole shows %d", m[500<<20])
	}
	m[900<<20] = 7
	one := make([]byte, 1)
	if f.ReadAt(one, 900<<20); one[0] != 7 {
		return fmt.Errorf("read of what was stored into a hole: %d", one[0])
	}
	f.WriteAt([]byte{9}, 700<<20)
	if m[700<<20] != 9 {
		return fmt.Errorf("the mapping shows %d after a write into a hole", m[700<<20])
	}
	if err := f.Sync(); err != nil {
		return err
	}
	var st syscall.Stat_t
	syscall.Fstat(int(f.Fd()), &st)
	if st.Blocks*512 > 1<<20 {
		return fmt.Errorf("a sparse file takes %d bytes", st.Blocks*512)
	}
	return syscall.Munmap(m)
}

// private: stores stay in the mapping.
func private() error {
	f, err := create("private", 10*page)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := mapFile(f, 0, 10*page, rw, syscall.MAP_PRIVATE)
	if err != nil {
		return err
	}
	if m[3*page] != 3 {
		return fmt.Errorf("shows %d", m[3*page])
	}
	m[3*page] = 99
	one := make([]byte, 1)
	if f.ReadAt(one, 3*page); one[0] != 3 || m[3*page] != 99 {
		return fmt.Errorf("file %d, mapping %d", one[0], m[3*page])
	}
	return syscall.Munmap(m)
}

// two: mappings of one file show each other's stores.
func two() error {
	f, err := create("two", 4*page)
	if err != nil {
		return err
	}
	defer f.Close()
	f.Truncate(8 * page)
	a, err := mapFile(f, 0, 8*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	b, err := mapFile(f, 2*page, 6*page, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	a[3*page], a[6*page] = 42, 43
	if b[page] != 42 || b[4*page] != 43 {
		return fmt.Errorf("the other mapping shows %d and %d", b[page], b[4*page])
	}
	syscall.Munmap(a)
	if b[page] != 42 {
		return fmt.Errorf("after unmapping the one, the other shows %d", b[page])
	}
	return syscall.Munmap(b)
}

// faults reports whether f faults, and at which address.
func faults(f func()) (addr uintptr, faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			faulted = true
			if a, ok := r.(interface{ Addr() uintptr }); ok {
				addr = a.Addr()
			}
		}
	}()
	f()
	return 0, false
}

var sink byte

// truncated: an access after the end is a fault; it does not read zeroes.
func truncated() error {
	f, err := create("truncated", 10*page)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := mapFile(f, 0, 10*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	sink = m[8*page]
	f.Truncate(5*page + 100)
	addr, ok := faults(func() { sink = m[8*page+1] })
	if want := uintptr(unsafe.Pointer(&m[8*page+1])); !ok || addr != want {
		return fmt.Errorf("read behind the end: fault %v at %x, want %x", ok, addr, want)
	}
	if _, ok := faults(func() { m[9*page] = 1 }); !ok {
		return fmt.Errorf("a store behind the end did not fault")
	}
	if m[5*page+200] != 0 {
		return fmt.Errorf("the rest of the last page shows %d", m[5*page+200])
	}
	f.Truncate(10 * page)
	if m[8*page] != 0 {
		return fmt.Errorf("after growing again: %d", m[8*page])
	}
	return syscall.Munmap(m)
}

// protected: a store to a mapping for reading faults, until mprotect.
func protected() error {
	f, err := create("protected", 2*page)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := mapFile(f, 0, 2*page, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	if _, ok := faults(func() { m[0] = 1 }); !ok {
		return fmt.Errorf("a store to a mapping for reading did not fault")
	}
	if err := syscall.Mprotect(m, rw); err != nil {
		return err
	}
	m[0] = 77
	one := make([]byte, 1)
	if f.ReadAt(one, 0); one[0] != 77 {
		return fmt.Errorf("read after mprotect and a store: %d", one[0])
	}
	return syscall.Munmap(m)
}

// part: unmapping the middle leaves both ends.
func part() error {
	f, err := create("part", 9*page)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := mapFile(f, 0, 9*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	at := uintptr(unsafe.Pointer(&m[0]))
	syscall.Syscall(syscall.SYS_MUNMAP, at+3*page, 3*page, 0)
	m[0], m[8*page] = 50, 51
	if _, ok := faults(func() { sink = m[4*page] }); !ok {
		return fmt.Errorf("what was unmapped can be read")
	}
	b := make([]byte, 9*page)
	if f.ReadAt(b, 0); b[0] != 50 || b[8*page] != 51 {
		return fmt.Errorf("stores at the ends: %d, %d", b[0], b[8*page])
	}
	syscall.Syscall(syscall.SYS_MUNMAP, at, 9*page, 0)
	return nil
}

// remap: mremap grows a mapping.
func remap() error {
	f, err := create("remap", 20*page)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := mapFile(f, 0, 4*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	m[0] = 200
	at, _, e := syscall.Syscall6(syscall.SYS_MREMAP, uintptr(unsafe.Pointer(&m[0])), 4*page, 20*page, 1, 0, 0)
	if e != 0 {
		return e
	}
	n := unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), 20*page)
	if n[0] != 200 || n[19*page] != 19 {
		return fmt.Errorf("shows %d and %d", n[0], n[19*page])
	}
	syscall.Syscall(syscall.SYS_MUNMAP, at, 20*page, 0)
	return nil
}

// large maps a file larger than the free memory; the heap takes memory of clean pages.
func large() error {
	f, err := create("large", 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	for i := range 100 {
		for k := 0; k < len(b); k += page {
			b[k] = byte(i + k/page)
		}
		if _, err := f.Write(b); err != nil {
			return err
		}
	}
	var keep [][]byte
	for i := range 30 { // needs the memory of the cache
		h := make([]byte, 1<<20)
		for k := 0; k < len(h); k += page {
			h[k] = byte(i)
		}
		keep = append(keep, h)
	}
	for i := range 100 {
		f.ReadAt(b, int64(i)<<20)
		for k := 0; k < len(b); k += page {
			if b[k] != byte(i+k/page) {
				return fmt.Errorf("MiB %d page %d: %d", i, k/page, b[k])
			}
		}
	}
	for i := range keep {
		if keep[i][0] != byte(i) {
			return fmt.Errorf("the heap has changed")
		}
	}
	return nil
}

// reopened: a store to a mapping is in the file after everything is closed.
func reopened() error {
	f, err := create("reopened", 3*page)
	if err != nil {
		return err
	}
	m, err := mapFile(f, 0, 3*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	f.Close()
	copy(m[page:], "stays")
	syscall.Munmap(m)
	b, err := os.ReadFile(filepath.Join(dir, "reopened"))
	if err != nil || !bytes.Equal(b[page:page+5], []byte("stays")) {
		return fmt.Errorf("%v, %q", err, b[page:page+5])
	}
	return nil
}

// appending: what is appended is in a mapping that reaches beyond the end, and what the mapping stores is in
// its place, though the file is open for appending alone.
func appending() error {
	if _, err := create("appending", page+10); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "appending"), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	m, err := mapFile(f, 0, 4*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	m[5] = 'x'
	tail := bytes.Repeat([]byte("tail"), 2*page/4)
	if _, err := f.Write(tail); err != nil {
		return err
	}
	if !bytes.Equal(m[page+10:][:len(tail)], tail) {
		return fmt.Errorf("the mapping has %q of what was appended", m[page+10:][:8])
	}
	m[page+10] = 'T'
	if err := syscall.Munmap(m); err != nil {
		return err
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || len(got) != page+10+len(tail) || got[5] != 'x' || string(got[page+10:page+14]) != "Tail" {
		return fmt.Errorf("the file has %d bytes, %q and %q: %v", len(got), got[5], got[page+10:page+14], err)
	}
	return nil
}

// kept ends the program with a mapping that was stored to and not synced: the file has it all the same.
func kept() error {
	f, err := create("kept", 3*page)
	if err != nil {
		return err
	}
	m, err := mapFile(f, 0, 3*page, rw, syscall.MAP_SHARED)
	if err == nil {
		copy(m[page:], "kept")
	}
	return err
}

// left ends the program with a file without a name that is mapped and was stored to.
func left() error {
	f, err := create("left", 300*page)
	if err != nil {
		return err
	}
	m, err := mapFile(f, 0, 300*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(m[20*page:], "stored")
	return os.Remove(f.Name())
}
