// Package virtiotest is the device side of virtio in memory: DMA memory whose
// virtual and physical addresses differ and whose pages are scattered, the
// device's end of a split virtqueue, and devices as a driver sees them through
// registers (MMIO, PCI) or directly as a virtio.Transport. Its devices can
// also misbehave. Tests, fuzz targets and benchmarks of the drivers share it.
//
// It follows virtio 1.2. Start reading at Device.
package virtiotest

import (
	"errors"
	"sync"
	"unsafe"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// Physical addresses of the two kinds of memory. Both are above 4 GiB to catch
// lost upper halves, and below what a legacy device can address.
const (
	contiguousBase = 0x1_4000_0000
	scatteredBase  = 0x2_8000_0000
)

// Memory is a virtio.Memory for tests.
type Memory struct {
	arena []byte
	pages int                             // first page of the scattered half
	slice func(phys uint64, n int) []byte // what Slice is, or nil

	mu   sync.Mutex
	next int // page that Alloc returns next
	last int // page that Buffer returns next
	fail bool
}

var _ virtio.Memory = (*Memory)(nil)

// ErrNoMemory is what Alloc returns when the memory is used up.
var ErrNoMemory = errors.New("virtiotest: out of memory")

// NewMemory returns a memory with n pages for Alloc and n pages for Buffer.
func NewMemory(n int) *Memory {
	raw := make([]byte, (2*n+1)*virtio.PageSize)
	skip := -uintptr(unsafe.Pointer(&raw[0])) % virtio.PageSize
	return &Memory{arena: raw[skip:][:2*n*virtio.PageSize], pages: n, last: n}
}

// MemoryOf returns the memory of a machine that has one of its own, as its devices see
// it: it has Slice alone.
func MemoryOf(slice func(phys uint64, n int) []byte) *Memory { return &Memory{slice: slice} }

// FailAlloc makes Alloc fail from now on, or work again.
func (m *Memory) FailAlloc(fail bool) {
	m.mu.Lock()
	m.fail = fail
	m.mu.Unlock()
}

// Alloc returns physically contiguous memory.
func (m *Memory) Alloc(size int) ([]byte, uint64, error) {
	n := (size + virtio.PageSize - 1) / virtio.PageSize
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail || m.next+n > m.pages {
		return nil, 0, ErrNoMemory
	}
	off := m.next * virtio.PageSize
	m.next += n
	return m.arena[off : off+size : off+size], contiguousBase + uint64(off), nil
}

// Buffer returns memory for data whose pages are contiguous only virtually. It
// begins off bytes into a page.
func (m *Memory) Buffer(off, size int) []byte {
	n := (off + size + virtio.PageSize - 1) / virtio.PageSize
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last+n > 2*m.pages {
		panic("virtiotest: out of buffer memory")
	}
	at := m.last*virtio.PageSize + off
	m.last += n
	return m.arena[at : at+size : at+size]
}

// Phys returns the physical address of a byte of this memory.
func (m *Memory) Phys(p unsafe.Pointer) uint64 {
	off := int(uintptr(p) - uintptr(unsafe.Pointer(&m.arena[0])))
	if off < 0 || off >= len(m.arena) {
		panic("virtiotest: DMA to memory that is not DMA memory")
	}
	page, in := off/virtio.PageSize, off%virtio.PageSize
	if page < m.pages {
		return contiguousBase + uint64(off)
	}
	// In reverse order, with gaps.
	return scatteredBase + uint64(2*(2*m.pages-page))*virtio.PageSize + uint64(in)
}

// Slice returns n bytes at a physical address, as the device sees them; nil if
// they are not all memory.
func (m *Memory) Slice(phys uint64, n int) []byte {
	if m.slice != nil {
		return m.slice(phys, n)
	}
	half := uint64(m.pages) * virtio.PageSize
	off := phys - contiguousBase
	limit := half
	if phys >= scatteredBase {
		q := (phys - scatteredBase) / virtio.PageSize
		page := uint64(2*m.pages) - q/2
		if q%2 != 0 || q == 0 || page < uint64(m.pages) {
			return nil
		}
		off = page*virtio.PageSize + phys%virtio.PageSize
		limit = (page + 1) * virtio.PageSize
	}
	if n < 0 || off > limit || uint64(n) > limit-off {
		return nil
	}
	return m.arena[off : off+uint64(n) : off+uint64(n)]
}
