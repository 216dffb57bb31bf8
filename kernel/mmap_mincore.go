package kernel

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine/mman"
)

// maxAsked is how many pages the machine is asked about at once: other calls wait meanwhile.
const maxAsked = 1024

// resident sets in to 1 for each page from addr on that has memory.
func (k *Kernel) resident(addr uintptr, in []byte) syscall.Errno {
	clear(in) // makes its pages resident: the machine cannot allocate during the call
	_, e := k.m.Syscall(syscall.SYS_MINCORE, pointerArgs(2, startOf(in), addr, uintptr(len(in))*pageSize))
	return e
}

// sysMincore is mincore(2).
func sysMincore(k *Kernel, a Args) (uintptr, syscall.Errno) {
	end, refused := mman.Core(a.N[0], a.N[1])
	if refused != 0 {
		return 0, syscall.Errno(refused)
	}
	p, e := a.Bytes(2, int((end-a.N[0])/pageSize))
	if e != 0 {
		return 0, e
	}
	in := make([]byte, min(len(p), maxAsked))
	for addr := a.N[0]; len(p) > 0; addr += maxAsked * pageSize {
		n := min(len(p), maxAsked)
		if e := k.resident(addr, in[:n]); e != 0 {
			return 0, e
		}
		p = p[copy(p, in[:n]):]
	}
	return 0, 0
}

// eachResident calls do for the parts of b, which begins with a page, that have memory.
// Reading the other parts, which were never used, would allocate some.
func (k *Kernel) eachResident(b []byte, do func(from, to int)) {
	in := make([]byte, maxAsked)
	for n := 0; n < len(b); n += maxAsked * pageSize {
		pages := min((len(b)-n+pageSize-1)/pageSize, maxAsked)
		if k.resident(addressOf(b[n:]), in[:pages]) != 0 {
			for i := range pages { // some pages may have been unmapped
				if k.resident(addressOf(b[n+i*pageSize:]), in[i:i+1]) != 0 {
					in[i] = 0
				}
			}
		}
		for i := 0; i < pages; {
			from := i
			for i < pages && in[i] == in[from] {
				i++
			}
			if in[from] != 0 {
				do(n+from*pageSize, min(n+i*pageSize, len(b)))
			}
		}
	}
}
