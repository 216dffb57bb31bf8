package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"unsafe"
)

func init() {
	cases["strict"] = strict
}

// want compares the error of a call.
func want(what string, got, wanted error) {
	if !errors.Is(got, wanted) {
		fmt.Printf("wrong: %s: %v; want %v\n", what, got, wanted)
	}
}

// protect calls mprotect(2).
func protect(addr, n uintptr, prot int) error {
	if _, _, e := syscall.Syscall(syscall.SYS_MPROTECT, addr&^(page-1), n, uintptr(prot)); e != 0 {
		return e
	}
	return nil
}

// mapAt calls mmap(2).
func mapAt(addr, n uintptr, prot, flags, fd int) error {
	if _, _, e := syscall.Syscall6(syscall.SYS_MMAP, addr&^(page-1), n, uintptr(prot), uintptr(flags), uintptr(fd), 0); e != 0 {
		return e
	}
	return nil
}

// strict looks for a way to new executable memory. Its further arguments are files to map.
func strict() {
	const r, w, x = syscall.PROT_READ, syscall.PROT_WRITE, syscall.PROT_EXEC
	const anonymous = syscall.MAP_ANON | syscall.MAP_PRIVATE
	code := reflect.ValueOf(strings.Repeat).Pointer()
	plain := uintptr(unsafe.Pointer(&mapped(r | w)[0]))
	closed := uintptr(unsafe.Pointer(&mapped(syscall.PROT_NONE)[0]))
	for _, prot := range []int{x, r | x, w | x, r | w | x} {
		want(fmt.Sprint("mmap ", prot), mapAt(0, page, prot, anonymous, -1), syscall.EACCES)
		want(fmt.Sprint("shared mmap ", prot), mapAt(0, page, prot, syscall.MAP_ANON|syscall.MAP_SHARED, -1), syscall.EACCES)
		want(fmt.Sprint("mmap over code ", prot), mapAt(code, page, prot, anonymous|syscall.MAP_FIXED, -1), syscall.EACCES)
		want(fmt.Sprint("mprotect ", prot), protect(plain, page, prot), syscall.EACCES)
		want(fmt.Sprint("mprotect of what had no access ", prot), protect(closed, page, prot), syscall.EACCES)
		want(fmt.Sprint("mprotect of data ", prot), protect(uintptr(unsafe.Pointer(&data)), page, prot), syscall.EACCES)
		want(fmt.Sprint("mprotect of constants ", prot), protect(rodata(), page, prot), syscall.EACCES)
		want(fmt.Sprint("mprotect of the heap ", prot), protect(uintptr(unsafe.Pointer(&heap()[0])), page, prot), syscall.EACCES)
	}
	want("mprotect of code, writable", protect(code, page, r|w|x), syscall.EACCES)
	want("mprotect of code as it is", protect(code, page, r|x), nil)
	want("mprotect without execution", protect(plain, page, r), nil)
	want("mmap without execution", mapAt(0, page, r|w, anonymous, -1), nil)
	for _, name := range os.Args[2:] {
		strictFile(name)
	}
	fmt.Println("strict")
}

// strictFile maps a file.
func strictFile(name string) {
	const r, w, x = syscall.PROT_READ, syscall.PROT_WRITE, syscall.PROT_EXEC
	if err := os.WriteFile(name, make([]byte, page), 0o755); err != nil {
		fmt.Println("wrong:", err)
		return
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		fmt.Println("wrong:", err)
		return
	}
	fd := int(f.Fd())
	for _, prot := range []int{r | x, r | w | x} {
		want(fmt.Sprint(name, " private ", prot), mapAt(0, page, prot, syscall.MAP_PRIVATE, fd), syscall.EACCES)
		err := mapAt(0, page, prot, syscall.MAP_SHARED, fd)
		if !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EPERM) { // EPERM: files in RAM are never executable
			fmt.Printf("wrong: %s shared %d: %v\n", name, prot, err)
		}
	}
	b, err := syscall.Mmap(fd, 0, page, r|w, syscall.MAP_SHARED)
	want(name+" without execution", err, nil)
	want(name+" mprotect", protect(uintptr(unsafe.Pointer(&b[0])), page, r|x), syscall.EACCES)
}
