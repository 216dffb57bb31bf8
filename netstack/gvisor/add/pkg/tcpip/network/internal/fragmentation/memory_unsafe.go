//go:build yolk

package fragmentation

import (
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	holeMemory = int(unsafe.Sizeof(hole{}))
	// reassemblerMemory is a datagram without fragments: the reassembler and its place in the
	// map, whose slots are half empty.
	reassemblerMemory = int(unsafe.Sizeof(reassembler{})) + 2*int(unsafe.Sizeof(FragmentID{}))
)

// fragmentMemory returns how many bytes a fragment takes: its packet, the two holes that it
// leaves, and with the first of a datagram what that takes. The one with offset 0 is kept twice,
// but its bytes once.
func (r *reassembler) fragmentMemory(pkt *stack.PacketBuffer, first uint16) int {
	n := pkt.MemSize() + 2*holeMemory
	if first == 0 {
		n += stack.PacketBufferStructSize
	}
	if r.filled == 0 {
		n += reassemblerMemory
	}
	return n
}

// SetLimits bounds the memory of incomplete datagrams: above high bytes, the oldest are given up
// until low bytes are left.
func (f *Fragmentation) SetLimits(high, low int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.highLimit, f.lowLimit = high, low
}
