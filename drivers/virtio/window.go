package virtio

// Window is a part of other registers. Reads beyond its end return zero and
// writes there do nothing: a device may announce a smaller configuration space
// than a driver wants to see.
type Window struct {
	Registers
	Offset, Size uintptr
}

func (w Window) has(off, n uintptr) bool { return off <= w.Size && n <= w.Size-off }

// Read8 reads a byte.
func (w Window) Read8(off uintptr) uint8 {
	if !w.has(off, 1) {
		return 0
	}
	return w.Registers.Read8(w.Offset + off)
}

// Read16 reads 16 bits.
func (w Window) Read16(off uintptr) uint16 {
	if !w.has(off, 2) {
		return 0
	}
	return w.Registers.Read16(w.Offset + off)
}

// Read32 reads 32 bits.
func (w Window) Read32(off uintptr) uint32 {
	if !w.has(off, 4) {
		return 0
	}
	return w.Registers.Read32(w.Offset + off)
}

// Write8 writes a byte.
func (w Window) Write8(off uintptr, v uint8) {
	if w.has(off, 1) {
		w.Registers.Write8(w.Offset+off, v)
	}
}

// Write16 writes 16 bits.
func (w Window) Write16(off uintptr, v uint16) {
	if w.has(off, 2) {
		w.Registers.Write16(w.Offset+off, v)
	}
}

// Write32 writes 32 bits.
func (w Window) Write32(off uintptr, v uint32) {
	if w.has(off, 4) {
		w.Registers.Write32(w.Offset+off, v)
	}
}
