//go:build !tamago

package wiring

import (
	"unsafe"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// A HostMachine's memory has two parts. Frames are what takeFrames and giveFrames move:
// addresses without anything behind them. Everything else is the test's own memory at
// its virtual address, and a device reaches those pages of it that somebody has asked
// the physical address of.

// frame is the state of a page of the first part.
type frame uint8

const (
	frameClean frame = iota // free, and the host has nothing behind it
	frameUsed               // free, but was used
	frameTaken              // out of use
)

// frameBase is the physical address of the first frame.
const frameBase = 1 << 32

func (h *HostMachine) ram() uint64 {
	if h.RAM == 0 {
		return 64 << 20
	}
	return h.RAM
}

// count returns how many bytes are in frames of that state. mu is held.
func (h *HostMachine) count(state frame) (n uint64) {
	for _, f := range h.frames {
		if f == state {
			n += machine.PageSize
		}
	}
	return n
}

// free returns how many bytes are. mu is held.
func (h *HostMachine) free() uint64 {
	return h.ram() - h.count(frameTaken) - uint64(h.pagesUsed)*machine.PageSize
}

// Use is what a program does that uses and frees n bytes of memory.
func (h *HostMachine) Use(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.frames {
		if n > 0 && h.frames[i] == frameClean {
			h.frames[i] = frameUsed
			n -= machine.PageSize
		}
	}
	h.tellFreed()
}

// Taken returns how many bytes are out of use, and Used how many are free but were used.
func (h *HostMachine) Taken() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count(frameTaken)
}

// Used returns how many bytes are free, and backed by the host for nothing.
func (h *HostMachine) Used() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count(frameUsed)
}

func (h *HostMachine) tellFreed() {
	if h.notice != nil && h.count(frameUsed) >= uint64(h.noticeAt) {
		h.notice.raise()
		h.notice = nil
	}
}

func memory() (total, free uint64) {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ram(), h.free()
}

func noticeFreed(d machine.Device, n int) {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notice, h.noticeAt = h.interrupts[d], n
	h.tellFreed()
}

func takeFrames(n int, used bool) (start, end uint64) {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	may := func(f frame) bool { return f == frameUsed || f == frameClean && !used }
	for i := 0; i < len(h.frames); i++ {
		if !may(h.frames[i]) {
			continue
		}
		first := i
		for ; i < len(h.frames) && may(h.frames[i]) && i-first < n/machine.PageSize; i++ {
			h.frames[i] = frameTaken
		}
		return frameBase + uint64(first)*machine.PageSize, frameBase + uint64(i)*machine.PageSize
	}
	return 0, 0
}

func giveFrames(start, end uint64, clean bool) {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	for ; start < end; start += machine.PageSize {
		f := &h.frames[(start-frameBase)/machine.PageSize]
		if *f != frameTaken {
			panic("wiring: memory is given that was not taken")
		}
		if *f = frameUsed; clean {
			*f = frameClean
		}
	}
	h.tellFreed()
}

func takePages(dst []uint64, floor uint64) int {
	h := host()
	for i := range dst {
		h.mu.Lock()
		enough := h.free() > floor+machine.PageSize
		more := enough && len(h.pages) == 0
		h.mu.Unlock()
		if more {
			_, phys := contiguous(machine.ChunkPages * machine.PageSize)
			h.mu.Lock()
			for p := range uint64(machine.ChunkPages) {
				h.pages = append(h.pages, phys+p*machine.PageSize)
			}
			h.mu.Unlock()
		}
		if !enough {
			return i
		}
		h.mu.Lock()
		last := len(h.pages) - 1
		dst[i], h.pages = h.pages[last], h.pages[:last]
		h.pagesUsed++
		h.mu.Unlock()
	}
	return len(dst)
}

func givePages(pages []uint64) {
	h := host()
	h.mu.Lock()
	h.pages = append(h.pages, pages...)
	h.pagesUsed -= len(pages)
	h.mu.Unlock()
}

func contiguous(n int) (mem []byte, phys uint64) {
	h := host()
	if h.NoMemory {
		return nil, 0
	}
	raw := make([]byte, n+machine.PageSize)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (machine.PageSize - 1)
	mem = raw[skip : skip+n : skip+n]
	for i := 0; i < n; i += machine.PageSize {
		physical(unsafe.Pointer(&mem[i]))
	}
	return mem, physical(unsafe.Pointer(&mem[0]))
}

func physical(p unsafe.Pointer) uint64 {
	h := host()
	h.mu.Lock()
	h.told[uint64(uintptr(p))&^(machine.PageSize-1)] = p // and is alive from now on
	h.mu.Unlock()
	return uint64(uintptr(p))
}

// DMA returns n bytes of memory as a device reaches them; nil if they are not all known
// to somebody by their physical address.
func (h *HostMachine) DMA(phys uint64, n int) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if phys >= frameBase && phys < frameBase+h.ram() {
		return make([]byte, n) // reports of frames say where they are, no more
	}
	if n < 0 {
		return nil
	}
	for page := phys &^ (machine.PageSize - 1); page < phys+uint64(n); page += machine.PageSize {
		if h.told[page] == nil {
			return nil
		}
	}
	// unsafe: told has a pointer to the memory, which is not on a stack.
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&phys))), n)
}

func memoryAt(phys uint64, n int) []byte {
	for at, mem := range host().Tables {
		if phys >= at && phys-at < uint64(len(mem)) && uint64(n) <= uint64(len(mem))-(phys-at) {
			return mem[phys-at:][:n:n]
		}
	}
	return nil
}

func onStack(p unsafe.Pointer) bool  { return false }
func isMapped(p unsafe.Pointer) bool { return false }
