package kerneltest

import "unsafe"

// address returns the address of b.
func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }
