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

// mountFolders mounts the host's folders. It is in runtime/yolk/folders, which
// only this reference links: programs that name no file do not carry it.
//
//go:linkname mountFolders
func mountFolders(words []string)

// folders holds the reference. Nobody calls it here: runtime/yolk has long done
// so, through the linker (tamagoFolders).
var folders func(words []string)

// useFolders is called where a path is made for a system call.
func useFolders() {
	if folders == nil {
		folders = mountFolders
	}
}
