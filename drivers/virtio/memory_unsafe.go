package virtio

import "unsafe"

// Memory provides memory that a device can reach by DMA. The drivers assume
// cache-coherent DMA and an ordering of plain stores as x86 has it.
type Memory interface {
	// Alloc returns zeroed memory that starts on a page boundary and is
	// physically contiguous, and the physical address of its first byte.
	Alloc(size int) (mem []byte, phys uint64, err error)
	// Phys returns the physical address of one byte of resident memory.
	// Memory is taken to be contiguous only within a page of PageSize.
	Phys(p unsafe.Pointer) uint64
}
