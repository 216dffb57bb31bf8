package kernel

import (
	"syscall"
	"unsafe"
)

// Args are the six arguments of one system call, each in two forms. N has the arguments as
// they were passed. P has the same value as a pointer if it points into the calling
// goroutine's stack, and nil otherwise: a goroutine's stack moves when a handler makes it
// grow, and then only a slot of pointer type is adjusted. Memory outside the stack (heap,
// data, mappings) does not move, so N is enough for it.
//
// A handler runs on the caller's goroutine. It must not keep a pointer or a
// slice made from Args after it returns, store one in the heap, or hand one to
// another goroutine.
type Args struct {
	N [6]uintptr
	P [6]unsafe.Pointer
}

// Pointer returns argument i as a pointer (nil if it is 0).
func (a *Args) Pointer(i int) unsafe.Pointer {
	if a.P[i] != nil {
		return a.P[i]
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&a.N[i]))
}

// Int returns argument i as a C int.
func (a *Args) Int(i int) int { return int(int32(a.N[i])) }

// Bytes returns the n bytes that argument i points to. Memory below 64 KiB is
// never mapped: such a pointer with n > 0 is EFAULT.
func (a *Args) Bytes(i int, n int) ([]byte, syscall.Errno) {
	if n == 0 {
		return nil, 0
	}
	if n < 0 {
		return nil, syscall.EINVAL
	}
	p := a.Pointer(i)
	if uintptr(p) < minUserAddress {
		return nil, syscall.EFAULT
	}
	return unsafe.Slice((*byte)(p), n), 0
}

// minUserAddress is the lowest address that can be mapped (as Linux's
// vm.mmap_min_addr).
const minUserAddress = 1 << 16
