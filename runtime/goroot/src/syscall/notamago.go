//go:build linux && !tamago

package syscall

func kernelCall(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr, ok bool) {
	return 0, 0, 0, false
}

func allThreadsSyscall(do func(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr), trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr) {
	return do(trap, a1, a2, a3, a4, a5, a6)
}
