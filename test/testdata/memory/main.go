// Command memory examines its own memory, as debuggers and profilers do.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"unsafe"
)

var cases = map[string]func() error{
	"maps":     maps,
	"stacks":   stacks,
	"heapdump": heapDump,
	"image":    image,
}

func main() {
	if err := cases[os.Args[1]](); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("fine")
}

// mapping is a line of /proc/self/maps (proc(5)).
type mapping struct {
	start, end uintptr
	perms      string
	name       string
}

// find returns the mapping that contains an address.
func find(addr uintptr) (m mapping, err error) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return m, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m.name = ""
		fields := strings.Fields(lines.Text())
		if len(fields) > 5 {
			m.name = fields[5]
		}
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &m.start, &m.end); err != nil {
			return m, fmt.Errorf("%q: %v", lines.Text(), err)
		}
		if m.perms = fields[1]; m.start <= addr && addr < m.end {
			return m, nil
		}
	}
	return mapping{}, nil
}

// want checks the permissions of the mapping that contains an address.
func want(what string, addr uintptr, perms string) error {
	m, err := find(addr)
	if err == nil && m.perms != perms {
		err = fmt.Errorf("%s at %#x is mapped as %q; want %q", what, addr, m.perms, perms)
	}
	return err
}

var variable = 1

func maps() error {
	code := reflect.ValueOf(maps).Pointer()
	heap := uintptr(unsafe.Pointer(new([1 << 16]byte)))
	for _, c := range []struct {
		what  string
		addr  uintptr
		perms string
	}{
		{"code", code, "r-xp"}, {"data", uintptr(unsafe.Pointer(&variable)), "rw-p"},
		{"a constant", uintptr(unsafe.Pointer(unsafe.StringData("constant"))), "r--p"}, {"the heap", heap, "rw-p"}, {"page zero", 0, ""},
	} {
		if err := want(c.what, c.addr, c.perms); err != nil {
			return err
		}
	}
	name := "/tmp/mapped"
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 5000), 0o644); err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, 5000, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	if m, err := find(uintptr(unsafe.Pointer(&b[0]))); err != nil || m.perms[0] != 'r' {
		return fmt.Errorf("a mapped file is %+v, %v", m, err)
	}
	if m, err := find(code); err != nil || !strings.HasSuffix(m.name, "memory") {
		return fmt.Errorf("the code belongs to %+v, %v; want the program", m, err)
	}
	return nil
}

// systemStack returns the bounds of the stack that the runtime uses on this thread.
func systemStack() (lo, hi uintptr)

// stacks checks below the stacks of threads: an overflow must not reach other memory.
func stacks() error {
	runtime.LockOSThread() // the first thread
	result := make(chan error)
	for range 4 {
		go func() {
			runtime.LockOSThread()
			lo, hi := systemStack()
			if hi-lo < 16<<10 {
				result <- fmt.Errorf("the system stack has %d bytes", hi-lo)
				return
			}
			if err := want("the system stack", lo, "rw-p"); err != nil {
				result <- err
				return
			}
			if err := want("what is below the system stack", lo-1, "---p"); err != nil {
				result <- err
				return
			}
			var alt struct {
				sp    uintptr
				flags int32
				size  uintptr
			}
			if _, _, e := syscall.Syscall(syscall.SYS_SIGALTSTACK, 0, uintptr(unsafe.Pointer(&alt)), 0); e != 0 {
				result <- e
				return
			}
			if alt.size < 32<<10 {
				result <- fmt.Errorf("the signal stack has %d bytes", alt.size)
				return
			}
			result <- want("what is below the signal stack", alt.sp-1, "---p")
		}()
	}
	for range 4 {
		if err := <-result; err != nil {
			return err
		}
	}
	return nil
}

// heapDump writes a heap dump and looks for its header and a value of the heap.
func heapDump() error {
	f, err := os.Create("/tmp/heap")
	if err != nil {
		return err
	}
	kept := append([]byte(nil), "somebody looks for this in the dump"...)
	runtime.GC()
	debug.WriteHeapDump(f.Fd())
	f.WriteString("after")
	runtime.KeepAlive(kept)
	b, err := os.ReadFile("/tmp/heap")
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(b, []byte("go1.7 heap dump\n")) || !bytes.HasSuffix(b, []byte("after")) || !bytes.Contains(b, kept) {
		return fmt.Errorf("%d bytes, beginning with %q", len(b), b[:min(len(b), 20)])
	}
	return nil
}
