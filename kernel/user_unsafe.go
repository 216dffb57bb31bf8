package kernel

import (
	"syscall"
	"unsafe"
)

// This file accesses the caller's memory. A pointer stays an unsafe.Pointer or a slice in a
// local variable all the way: the caller's buffers may lie on the goroutine's stack, which
// moves when it grows, and only pointers in stack slots are adjusted then.

const (
	pathMax = 4096 // PATH_MAX, with the NUL
	nameMax = 255  // NAME_MAX
)

// noescape hides p from escape analysis, so that a local variable can be passed to an
// interface method without moving to the heap. This is needed not only to save allocations: a
// heap object may not point into a stack, and a Message does. It is sound because methods of
// File and Socket keep none of their arguments.
func noescape[T any](p *T) *T {
	x := uintptr(unsafe.Pointer(p))
	return *(**T)(unsafe.Pointer(&x))
}

// user returns argument i as a pointer to a T; EFAULT if no memory can be mapped there.
func user[T any](a *Args, i int) (*T, syscall.Errno) {
	p := a.Pointer(i)
	if uintptr(p) < minUserAddress {
		return nil, syscall.EFAULT
	}
	return (*T)(p), 0
}

// optional returns argument i as a pointer to a T, nil if it is 0.
func optional[T any](a *Args, i int) *T {
	p := a.Pointer(i)
	if uintptr(p) < minUserAddress {
		return nil
	}
	return (*T)(p)
}

// userSlice returns argument i as n values of type T.
func userSlice[T any](a *Args, i, n int) ([]T, syscall.Errno) {
	if n == 0 {
		return nil, 0
	}
	if n < 0 || n > 1<<20 {
		return nil, syscall.EINVAL
	}
	p, e := user[T](a, i)
	if e != 0 {
		return nil, e
	}
	return unsafe.Slice(p, n), 0
}

// bytesAt returns the n bytes at p.
func bytesAt(p unsafe.Pointer, n uint64) ([]byte, syscall.Errno) {
	if n == 0 {
		return nil, 0
	}
	if n > maxRW {
		n = maxRW
	}
	if uintptr(p) < minUserAddress {
		return nil, syscall.EFAULT
	}
	return unsafe.Slice((*byte)(p), int(n)), 0
}

// cString copies the string that argument i points to, up to max bytes with its NUL; a longer
// one is ENAMETOOLONG.
func (a *Args) cString(i, max int) (string, syscall.Errno) {
	p := a.Pointer(i)
	if uintptr(p) < minUserAddress {
		return "", syscall.EFAULT
	}
	for n := 0; n < max; n++ {
		if *(*byte)(unsafe.Add(p, n)) == 0 {
			return string(unsafe.Slice((*byte)(p), n)), 0
		}
	}
	return "", syscall.ENAMETOOLONG
}

// path is the path name in argument i.
func (a *Args) path(i int) (string, syscall.Errno) { return a.cString(i, pathMax) }

// iovec is struct iovec.
type iovec struct {
	base unsafe.Pointer
	len  uint64
}

// msghdr is struct msghdr (sendmsg(2)).
type msghdr struct {
	name       unsafe.Pointer
	nameLen    uint32
	_          uint32
	iov        *iovec
	iovLen     uint64
	control    unsafe.Pointer
	controlLen uint64
	flags      int32
	_          uint32
}

// vectors returns the first n of the message's buffers. EFAULT.
func (h *msghdr) vectors(n int) ([]iovec, syscall.Errno) {
	if uintptr(unsafe.Pointer(h.iov)) < minUserAddress {
		return nil, syscall.EFAULT
	}
	return unsafe.Slice(h.iov, n), 0
}

// mmsghdr is struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	hdr msghdr
	len uint32
	_   uint32
}

// structBytes returns the memory of v.
func structBytes[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// sliceAt makes a slice of memory that the machine has mapped at addr.
func sliceAt(addr uintptr, n int) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), n)
}

// pointerArgs builds Args whose argument i is the pointer p.
func pointerArgs(i int, p unsafe.Pointer, n ...uintptr) Args {
	var a Args
	copy(a.N[:], n)
	a.N[i], a.P[i] = uintptr(p), p
	return a
}

// startOf is addressOf as a pointer, for slices that may lie on a stack.
func startOf(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// addressOf returns the address of a slice of machine memory.
func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
