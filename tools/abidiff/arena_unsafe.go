package main

import "unsafe"

// An arena is the memory that the arguments of one step lie in. It is on the heap, where
// nothing moves, so that its addresses can be passed to either kernel as numbers.
type arena struct {
	memory []byte
	used   int
}

// arenaSize holds the arguments of any step: a few buffers of at most maxBuffer bytes.
const arenaSize = 1 << 20

func newArena() arena { return arena{memory: make([]byte, arenaSize)} }

// room returns n zero bytes at an address that is a multiple of 16, and the address.
func (a *arena) room(n int) ([]byte, uintptr) {
	b := a.memory[a.used : a.used+n : a.used+n]
	a.used += (n + 31) &^ 15
	clear(b)
	return b, uintptr(unsafe.Pointer(unsafe.SliceData(b)))
}

// put returns the address of a copy of s, with a NUL byte after it.
func (a *arena) put(s string) uintptr {
	b, at := a.room(len(s) + 1)
	copy(b, s)
	return at
}

// reset makes the memory free again.
func (a *arena) reset() { a.used = 0 }
