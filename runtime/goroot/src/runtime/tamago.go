//go:build tamago

package runtime

import (
	"internal/runtime/syscall/linux"
	machine "internal/runtime/yolk"
	"internal/stringslite"
	"unsafe"
)

// isSystemFunc tells from the name of a goroutine's first function whether the
// goroutine is one of the runtime, the kernel or the network stack.
func isSystemFunc(name string) bool {
	if len(name) > 7 && name[:7] == "runtime" {
		return name[7] == '.' || stringslite.HasPrefix(name[7:], "/yolk")
	}
	return stringslite.HasPrefix(name, "gvisor/")
}

// malgGuarded returns a g for a thread's own work or its signal handlers, with a
// stack of size bytes above a page that is never mapped.
func malgGuarded(malg func(int32) *g, size int32) *g {
	gp := malg(-1)
	n := uintptr(size) + physPageSize
	p := sysAlloc(n, &memstats.stacks_sys, "stack of a thread")
	if p == nil {
		throw("no memory for the stack of a thread")
	}
	mprotect(p, physPageSize, _PROT_NONE)
	gp.stack = stack{uintptr(p) + physPageSize, uintptr(p) + n}
	gp.stackguard0 = gp.stack.lo + stackGuard
	gp.stackguard1 = ^uintptr(0)
	return gp
}

// freeGuarded frees a stack of malgGuarded; that of the first thread is the
// machine's.
func freeGuarded(_ func(stack), stk stack) {
	sysFree(unsafe.Pointer(stk.lo-physPageSize), stk.hi-stk.lo+physPageSize, &memstats.stacks_sys)
}

// writeHeld writes to files what machHeld keeps.
func writeHeld() {
	var r machRange
	linux.Syscall6(uintptr(machine.CallHeldWrites), uintptr(unsafe.Pointer(&r)), 0, 0, 0, 0, 0)
	for at := r.start; at < r.end; {
		fd, n := uintptr(load64(at)), uintptr(load64(at+8))
		at += machHeldHeader
		for done := uintptr(0); done < n; {
			w, _, errno, ok := kernelCall(nrWrite, fd, at+done, n-done, 0, 0, 0)
			if !ok || errno != 0 || w == 0 {
				break // the dump is cut short, as upstream's is
			}
			done += w
		}
		at += n
	}
	if r.start != 0 {
		munmap(unsafe.Pointer(r.start), r.end-r.start)
	}
}
