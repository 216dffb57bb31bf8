package virtiotest

import "unsafe"

// word returns an aligned 32-bit word of the rings. unsafe: the rings are C
// structures in the test's arena; Slice has checked that they lie there.
func (q *Queue) word(phys uint64) *uint32 {
	return (*uint32)(unsafe.Pointer(&q.dev.Memory.Slice(phys, 4)[0]))
}

func (q *Queue) desc(table uint64, i uint16) desc {
	return *(*desc)(unsafe.Pointer(&q.dev.Memory.Slice(table+uint64(i)*16, 16)[0]))
}

func (q *Queue) half(phys uint64) *uint16 {
	return (*uint16)(unsafe.Pointer(&q.dev.Memory.Slice(phys, 2)[0]))
}
