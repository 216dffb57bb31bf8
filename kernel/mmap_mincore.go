package kernel

import "syscall"

// mostAsked is how many pages the machine is asked about at once: it does nothing else
// meanwhile.
const mostAsked = 1024

// resident asks the machine which pages from addr on have memory: in is 1 for these.
func (k *Kernel) resident(addr uintptr, in []byte) syscall.Errno {
	clear(in) // the machine should not have to find memory for it
	_, e := k.m.Syscall(syscall.SYS_MINCORE, pointerArgs(2, startOf(in), addr, uintptr(len(in))*pageSize))
	return e
}

// addressEnd is where the addresses of programs end (TASK_SIZE_MAX with four levels).
const addressEnd = 1<<47 - pageSize

// sysMincore is mincore(2).
func sysMincore(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.N[0]%pageSize != 0 {
		return 0, syscall.EINVAL
	}
	if a.N[0] > addressEnd || a.N[1] > addressEnd-a.N[0] {
		return 0, syscall.ENOMEM
	}
	p, e := a.Bytes(2, int((a.N[1]+pageSize-1)/pageSize))
	if e != 0 {
		return 0, e
	}
	in := make([]byte, min(len(p), mostAsked))
	for addr := a.N[0]; len(p) > 0; addr += mostAsked * pageSize {
		n := min(len(p), mostAsked)
		if e := k.resident(addr, in[:n]); e != 0 {
			return 0, e
		}
		p = p[copy(p, in[:n]):]
	}
	return 0, 0
}

// eachResident calls do for the parts of b, which begins with a page, that have memory:
// the others were never used, and a look at them would give them some.
func (k *Kernel) eachResident(b []byte, do func(from, to int)) {
	in := make([]byte, mostAsked)
	for n := 0; n < len(b); n += mostAsked * pageSize {
		pages := min((len(b)-n+pageSize-1)/pageSize, mostAsked)
		if k.resident(addressOf(b[n:]), in[:pages]) != 0 {
			for i := range pages { // some are not mapped any more
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
