//go:build tamago

package syscall

import _ "unsafe" // for linkname

// kernelCall passes a system call to the kernel in this address space; ok is
// false where it must take the SYSCALL instruction to the machine half (on a
// system stack, with runtime locks held, or before the kernel is up). It is
// runtime.kernelCall.
//
//go:linkname kernelCall
func kernelCall(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr, ok bool)

// allThreadsSyscall makes a call that changes all threads: what it changes, the
// kernel keeps for the process. do is runtime_doAllThreadsSyscall.
func allThreadsSyscall(do func(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr), trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr) {
	if r1, r2, errno, ok := kernelCall(trap, a1, a2, a3, a4, a5, a6); ok {
		return r1, r2, errno
	}
	return do(trap, a1, a2, a3, a4, a5, a6)
}
