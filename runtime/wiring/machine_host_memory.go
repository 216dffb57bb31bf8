//go:build !yolk

package wiring

import (
	"syscall"
	"unsafe"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// A HostMachine's memory has two parts. Frames are what takeFrames and giveFrames move:
// addresses without anything behind them. Everything else is the test's own memory: a
// page of it gets a physical address when somebody asks for one, and is within reach of
// devices from then on. Such pages are neighbours only if contiguous has made them so.

// frame is the state of a page of the first part.
type frame uint8

const (
	frameClean frame = iota // free, and the host has nothing behind it
	frameUsed               // free, but was used
	frameTaken              // out of use
)

// frameBase is the physical address of the first frame, pageBase that of the first page.
const (
	frameBase = 1 << 32
	pageBase  = 2 << 32
)

func (h *HostMachine) ram() uint64 {
	if h.RAM == 0 {
		return 64 << 20
	}
	return h.RAM
}

// mapPhysical has no devices whose memory it could show.
func mapPhysical(phys uint64, n int) ([]byte, syscall.Errno) { return nil, syscall.EINVAL }

// allocDMA is contiguous: the stand-in's memory is not at its physical address.
func allocDMA(n int) ([]byte, uint64, syscall.Errno) {
	mem, phys := contiguous(n)
	if mem == nil {
		return nil, 0, syscall.ENOMEM
	}
	return mem, phys, 0
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
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range dst {
		if h.free() <= floor+machine.PageSize {
			return i
		}
		if len(h.pages) == 0 {
			mem, _ := h.newMemory(machine.ChunkPages * machine.PageSize)
			h.kept = append(h.kept, mem)
			for at := 0; at < len(mem); at += machine.PageSize {
				h.pages = append(h.pages, uint64(uintptr(unsafe.Pointer(&mem[at]))))
			}
		}
		last := len(h.pages) - 1
		dst[i], h.pages = h.pages[last], h.pages[:last]
		h.pagesUsed++
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
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newMemory(n)
}

// newMemory returns n bytes of contiguous memory. mu is held.
func (h *HostMachine) newMemory(n int) (mem []byte, phys uint64) {
	raw := make([]byte, n+machine.PageSize)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (machine.PageSize - 1)
	mem = raw[skip : skip+n : skip+n]
	return mem, h.newPages(unsafe.Pointer(&mem[0]), (n+machine.PageSize-1)/machine.PageSize)
}

// newPages gives n pages, the first of which is p's, physical addresses and returns that
// of the first. mu is held.
func (h *HostMachine) newPages(p unsafe.Pointer, n int) (phys uint64) {
	phys = pageBase + h.nextPage
	for i := range uint64(n) {
		at := i * machine.PageSize
		h.physical[(uintptr(p)+uintptr(at))&^(machine.PageSize-1)] = phys + at
		h.memory[phys+at] = unsafe.Add(p, at)
	}
	h.nextPage += uint64(n+1) * machine.PageSize
	return phys
}

func physical(p unsafe.Pointer) uint64 {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	page := uintptr(p) &^ (machine.PageSize - 1)
	phys := h.physical[page]
	if phys == 0 {
		phys = h.newPages(p, 1)
	}
	h.memory[phys] = p // it is alive from now on
	return phys + uint64(uintptr(p)-page)
}

// DMA returns n bytes of memory as a device reaches them; nil if they are not all known
// to somebody by their physical address.
func (h *HostMachine) DMA(phys uint64, n int) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if phys >= frameBase && phys < frameBase+h.ram() {
		return make([]byte, n) // reports of frames say where they are, no more
	}
	page := phys &^ (machine.PageSize - 1)
	for at := page; n < 0 || at < phys+uint64(n); at += machine.PageSize {
		if h.memory[at] == nil {
			return nil
		}
	}
	// unsafe: memory has a pointer to what lies in the page, which is not on a stack.
	at := uintptr(h.memory[page])&^(machine.PageSize-1) + uintptr(phys-page)
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), n)
}

func memoryAt(phys uint64, n int) []byte {
	for at, mem := range host().Tables {
		if phys >= at && phys-at < uint64(len(mem)) && uint64(n) <= uint64(len(mem))-(phys-at) {
			return mem[phys-at:][:n:n]
		}
	}
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	off := phys % machine.PageSize
	p := h.memory[phys-off]
	if p == nil || uint64(n) > machine.PageSize-off {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(p, int(off)-int(uintptr(p)%machine.PageSize))), n)
}

func onStack(p unsafe.Pointer) bool  { return false }
func isMapped(p unsafe.Pointer) bool { return false }
