package frames

import (
	"unsafe"
)

// memory returns what is at an address that is not Go's.
func memory(addr uintptr) unsafe.Pointer { return unsafe.Add(nil, addr) }

func (f *Frames) chunk(i uint) *chunk {
	return (*chunk)(memory(f.chunks + uintptr(i)*chunkSize))
}

// word is part of the chunk's bitmap.
func (c *chunk) word(k kind, i uint) *uint64 { return (*uint64)(memory(c.bitmap[k] + uintptr(i)*8)) }

// chunkSize is the size of a chunk, in bytes.
const chunkSize = unsafe.Sizeof(chunk{})
