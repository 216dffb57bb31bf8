//go:build tamago

package runtime

import _ "unsafe" // for linkname

// What the TamaGo framework's Go has in this package and packages of the framework use.

// MemRegion returns the addresses of the Go heap. Memory for DMA is not taken there.
func MemRegion() (start, end uint64) {
	h := &mheap_
	lock(&h.lock)
	defer unlock(&h.lock)
	if len(h.heapArenas) == 0 {
		return 0, 0
	}
	low, high := h.heapArenas[0], h.heapArenas[0]
	for _, a := range h.heapArenas {
		low, high = min(low, a), max(high, a)
	}
	return uint64(arenaBase(low)), uint64(arenaBase(high) + heapArenaBytes)
}

// The framework's assembly refers to these, in functions that are not called here: since Go 1.27 the linker
// wants a linkname of what packages outside of the standard library refer to.
//
//go:linkname systemstack
//go:linkname settls

// signal_waiting is signal.Waiting.
//
//go:linkname signal_waiting os/signal.Waiting
func signal_waiting() bool { return sig.state.Load() == sigReceiving }

// CPU returns the name of the CPU (Intel SDM volume 2A, CPUID leaves 0x80000002 to 0x80000004).
func CPU() string {
	const first, last = 0x80000002, 0x80000004
	if highest, _, _, _ := machCPUID(0x80000000, 0); highest < last {
		return ""
	}
	var name []byte
	for leaf := uint32(first); leaf <= last; leaf++ {
		a, b, c, d := machCPUID(leaf, 0)
		for _, v := range [...]uint32{a, b, c, d} {
			name = append(name, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
		}
	}
	for i, c := range name {
		if c == 0 {
			return string(name[:i])
		}
	}
	return string(name)
}
