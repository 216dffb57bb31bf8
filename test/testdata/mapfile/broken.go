package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// broken reads a file, made by the host, of which the device cannot read one page: that
// one faults, and no other.
func broken() error {
	f, err := os.Open(filepath.Join(dir, "broken"))
	if err != nil {
		return err
	}
	defer f.Close()
	const pages = 60
	m, err := mapFile(f, 0, pages*page, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	for i := range pages {
		want := fmt.Sprintf("page %d of the file", i)
		got := ""
		addr, faulted := faults(func() { got = string(m[i*page:][:len(want)]) })
		switch {
		case i == 21:
			if at := uintptr(unsafe.Pointer(&m[i*page])); !faulted || addr != at {
				return fmt.Errorf("page %d, which cannot be read: %q, faulted %v at %#x; want %#x", i, got, faulted, addr, at)
			}
		case faulted || got != want:
			return fmt.Errorf("page %d: %q, faulted %v", i, got, faulted)
		}
	}
	return nil
}
