package main

import (
	"syscall"
	"unsafe"
)

// statSize is the size of struct stat.
const statSize = int(unsafe.Sizeof(syscall.Stat_t{}))

// statOf returns the struct stat in memory of an arena.
func statOf(b []byte) *syscall.Stat_t { return (*syscall.Stat_t)(unsafe.Pointer(unsafe.SliceData(b))) }
