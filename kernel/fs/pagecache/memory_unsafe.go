package pagecache

import "unsafe"

// pageBytes returns the page at an address of Machine.TakePages.
func pageBytes(address uint64) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&address))), PageSize)
}

// address returns where the chunk is, for the machine.
func (c *chunk) address() uint64 { return uint64(uintptr(unsafe.Pointer(c))) }

// dirtyAddress returns where the number of dirty pages is, for the machine.
func (c *Cache) dirtyAddress() uintptr { return uintptr(unsafe.Pointer(&c.dirty)) }
