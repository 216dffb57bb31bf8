package pagecache

import "unsafe"

// pageBytes returns the page at an address of Machine.TakePages.
func pageBytes(address uint64) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&address))), PageSize)
}

// address is the chunk's address, for the machine.
func (c *chunk) address() uint64 { return uint64(uintptr(unsafe.Pointer(c))) }

// dirtyAddress is the address of the number of dirty pages, for the machine.
func (c *Cache) dirtyAddress() uintptr { return uintptr(unsafe.Pointer(&c.dirty)) }
