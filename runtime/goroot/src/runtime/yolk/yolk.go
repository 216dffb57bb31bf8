//go:build tamago

// Package yolk starts the machine.
package yolk

import "unsafe"

//go:linkname setHandler
func setHandler(h func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr))

func handle(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr) {
	if nr == 1 {
		consoleWrite(unsafe.Slice((*byte)(ptr(n, p, 1)), n[2]))
		return n[2], 0, 0
	}
	if nr == 72 {
		return 2, 0, 0
	}
	return 0, 0, 38
}

func ptr(n [6]uintptr, p [6]unsafe.Pointer, i int) unsafe.Pointer {
	if p[i] != nil {
		return p[i]
	}
	return unsafe.Pointer(n[i])
}

//go:linkname consoleWrite
func consoleWrite(p []byte)

func init() { setHandler(handle) }
