//go:build yolk

package buffer

import "unsafe"

const (
	// viewOverhead is what a view takes beside its bytes: itself and the head of its chunk.
	viewOverhead = int(unsafe.Sizeof(View{}) + unsafe.Sizeof(chunk{}))
	// receiveChunk is the size of what a card receives into (netstack.RxBuffer). Larger chunks
	// are written by programs.
	receiveChunk = 2048
	// growChunk is the size of the chunks by which AppendCopy grows a buffer.
	growChunk = 2048
)

// MemSize returns how many bytes of memory b keeps from being freed: the capacity of its
// chunks, not the bytes in use, as the truesize of Linux's sk_buff. A larger chunk than a card's
// belongs to several segments of one write in general: each is charged for its own bytes
// twice at most.
func (b *Buffer) MemSize() int {
	n := 0
	for v := b.data.Front(); v != nil; v = v.Next() {
		n += min(v.Capacity(), max(receiveChunk, 2*v.Size())) + viewOverhead
	}
	return n
}

// AppendCopy copies the bytes of src to the end of b if they fit there: into what is left of
// b's last chunk or, if grow is true, also into one more chunk. It reports whether it did.
func (b *Buffer) AppendCopy(src *Buffer, grow bool) bool {
	last := b.data.Back()
	if last == nil {
		return false
	}
	if last.sharesChunk() || int64(last.AvailableSize()) < src.size {
		if !grow || src.size > growChunk {
			return false
		}
		last = NewView(growChunk)
		b.data.PushBack(last)
	}
	for v := src.data.Front(); v != nil; v = v.Next() {
		last.Write(v.AsSlice())
	}
	b.size += src.size
	return true
}
