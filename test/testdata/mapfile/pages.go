package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"unsafe"
)

// hostPages is the length of the file from the host: each page contains its number, and zeroes.
const hostPages = 60

func hostPage(i int) string { return fmt.Sprintf("page %d of the file", i) }

func hostFile(name string, flag int) (*os.File, []byte, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), flag, 0)
	if err != nil {
		return nil, nil, err
	}
	prot := syscall.PROT_READ
	if flag == os.O_RDWR {
		prot = rw
	}
	m, err := mapFile(f, 0, hostPages*page, prot, syscall.MAP_SHARED)
	return f, m, err
}

// pages does one check of the host's file: of its content in order ("broken" if the device cannot read
// one of the pages), or one of the checks below.
func pages(which string) error {
	switch which {
	case "written":
		return written()
	case "cut":
		return errors.Join(cut(false), cut(true))
	case "around":
		return around()
	}
	_, m, err := hostFile("pages", os.O_RDONLY)
	if err != nil {
		return err
	}
	for i := range hostPages {
		want, got := hostPage(i), ""
		addr, faulted := faults(func() { got = string(m[i*page:][:len(want)]) })
		switch {
		case i == 21 && which == "broken":
			if at := uintptr(unsafe.Pointer(&m[i*page])); !faulted || addr != at {
				return fmt.Errorf("page %d, which cannot be read: %q, faulted %v at %#x; want %#x", i, got, faulted, addr, at)
			}
		case faulted || got != want:
			return fmt.Errorf("page %d: %q, faulted %v", i, got, faulted)
		}
	}
	return nil
}

// written: the first access to a page is by a write(2) to the console.
func written() error {
	_, m, err := hostFile("pages", os.O_RDONLY)
	if err != nil {
		return err
	}
	os.Stdout.Write(m[5*page:][:len(hostPage(5))])
	fmt.Println()
	return nil
}

// cut truncates the file in the middle of a page, which was accessed before or not: the first half
// stays, the second is lost.
func cut(touched bool) error {
	name, half := "cut", 4*page+6
	if touched {
		name = "cut2"
	}
	f, m, err := hostFile(name, os.O_RDWR)
	if err != nil {
		return err
	}
	if touched && m[half] == 0 {
		return fmt.Errorf("%s: nothing is to be cut off", name)
	}
	if err := f.Truncate(int64(half)); err != nil {
		return err
	}
	buf := make([]byte, 10)
	for _, size := range [...]int{half, hostPages * page} {
		if err := f.Truncate(int64(size)); err != nil {
			return err
		}
		f.ReadAt(buf[:6], 4*page)
		f.ReadAt(buf[6:], int64(half))
		const want = "page 4\x00\x00\x00\x00"
		if shown := string(m[4*page:][:10]); shown != want || string(buf) != want {
			return fmt.Errorf("%s, %d bytes long: shown %q, read %q; want %q", name, size, shown, buf, want)
		}
	}
	return nil
}

// around: goroutines map, read and unmap, each a file of its own.
func around() error {
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for w, name := range []string{"pages", "pages2", "cut", "cut2"} {
		wg.Go(func() {
			for range 500 {
				f, m, err := hostFile(name, os.O_RDONLY)
				if err == nil && string(m[7*page:][:len(hostPage(7))]) != hostPage(7) {
					err = fmt.Errorf("%s shows %q", name, m[7*page:][:20])
				}
				if err == nil {
					err = syscall.Munmap(m)
				}
				if f.Close(); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
