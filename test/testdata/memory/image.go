package main

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

const page = 4096

// constant fills pages of the image's constants, of which nothing else has a part.
const (
	line     = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF"
	kilobyte = line + line + line + line + line + line + line + line + line + line + line + line + line + line + line + line
	constant = kilobyte + kilobyte + kilobyte + kilobyte + kilobyte + kilobyte + kilobyte + kilobyte + kilobyte + kilobyte + kilobyte + kilobyte
)

// variables fill pages of the image's data.
var variables = [8 * page]byte{1}

// image: what the image brought cannot be fetched again, so it is not dropped, and its frames are
// not used for other memory when they are unmapped.
func image() error {
	code := reflect.ValueOf(strings.Repeat).Pointer() &^ (page - 1)
	data := (uintptr(unsafe.Pointer(&variables)) + page - 1) &^ (page - 1)
	for _, c := range []struct {
		what         string
		addr, advice uintptr
	}{
		{"code", code, syscall.MADV_DONTNEED}, {"code", code, madvFree},
		{"data", data, syscall.MADV_DONTNEED}, {"data", data, madvFree},
	} {
		if _, _, e := syscall.Syscall(syscall.SYS_MADVISE, c.addr, page, c.advice); e != syscall.EINVAL {
			return fmt.Errorf("madvise(%s, %d): %v; want EINVAL", c.what, c.advice, e)
		}
	}
	block := (code + 2<<20 - 1) &^ (2<<20 - 1)
	if _, _, e := syscall.Syscall(syscall.SYS_MADVISE, block, 2<<20, madvCollapse); e != syscall.EINVAL && e != syscall.ENOMEM {
		return fmt.Errorf("madvise(code, MADV_COLLAPSE): %v; want EINVAL, or ENOMEM where the image ends", e)
	}
	if err := dropConstants(); err != nil {
		return err
	}
	useAll()
	return nil
}

const (
	madvFree     = 8
	madvCollapse = 25
)

// dropConstants unmaps a page of constants and one of data.
func dropConstants() error {
	text := uintptr(unsafe.Pointer(unsafe.StringData(constant)))
	for _, addr := range []uintptr{text, uintptr(unsafe.Pointer(&variables))} {
		at := (addr + page - 1) &^ (page - 1)
		if _, _, e := syscall.Syscall(syscall.SYS_MUNMAP, at, page, 0); e != 0 {
			return fmt.Errorf("munmap: %v", e)
		}
	}
	return nil
}

// useAll uses nearly all memory, and with it every frame that is free.
func useAll() {
	var st syscall.Sysinfo_t
	syscall.Sysinfo(&st)
	b := make([]byte, st.Freeram*3/4)
	for i := 0; i < len(b); i += page {
		b[i] = 1
	}
	runtime.KeepAlive(b)
}
