package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// pages reads a file of the host's, of which the device may have lost a page: that
// one faults, and no other.
func pages(broken bool) error {
	f, err := os.Open(filepath.Join(dir, "pages"))
	if err != nil {
		return err
	}
	defer f.Close()
	const n = 60
	m, err := mapFile(f, 0, n*page, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	for i := range n {
		want := fmt.Sprintf("page %d of the file", i)
		got := ""
		addr, faulted := faults(func() { got = string(m[i*page:][:len(want)]) })
		switch {
		case i == 21 && broken:
			if at := uintptr(unsafe.Pointer(&m[i*page])); !faulted || addr != at {
				return fmt.Errorf("page %d, which cannot be read: %q, faulted %v at %#x; want %#x", i, got, faulted, addr, at)
			}
		case faulted || got != want:
			return fmt.Errorf("page %d: %q, faulted %v", i, got, faulted)
		}
	}
	return nil
}
