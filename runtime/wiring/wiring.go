// Package wiring joins the machine half (package runtime), the kernel and the drivers:
// it is linked into every tamago program and initialises before all of the program's
// packages. Its subpackages are linked on demand: runtime/machine/linked says with what.
//
// Start reading at start; what the machine is asked for is listed in machine.go, and
// docs/architecture.md has the whole picture.
package wiring

import (
	"syscall"
	"unsafe"

	"github.com/yolk-unikernel/yolk/boot"
	"github.com/yolk-unikernel/yolk/kernel"
)

// Kernel is the machine's kernel.
var Kernel *kernel.Kernel

func init() { start() }

// start brings the kernel up, in this order. The subpackages that a program carries
// follow, as the linker schedules them: disks, devices, resume, certs and net before the
// program's own packages, power and balloon after them.
func start() {
	booted = bootInfo()                                      // what the VMM told
	limitHeap()                                              // the collector leaves room
	words := commandLineWords()                              // settings
	Kernel = kernel.New(theMachine{}, options(words))        // system calls, files
	countFiles((*int64)(unsafe.Pointer(Kernel.FilePages()))) // for the out-of-memory report
	setHandler(dispatch)                                     // the program's calls arrive
	startConsole(words)                                      // input
	if disks == 0 {                                          // else package disks calls it
		Mount(nil) // the host's folders, the working directory
	}
}

// dispatch receives the program's system calls from runtime.kernelCall.
func dispatch(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr) {
	r1, r2, errno = Kernel.Dispatch(nr, kernel.Args{N: n, P: p})
	if ending.Load() {
		blockForever() // the program is not to see how its disks go
	}
	return r1, r2, errno
}

// Set by the linker (cmd/link/internal/ld/tamago.go): the address of the code that
// mounts the host's folders (package folders), and one that is not 0 if package
// disks is linked, which calls Mount when it has initialised.
var folders, disks uintptr

// Mount serves the words that mount what the host offers, and enters the working
// directory. A program that names no files has no use for that, and no code for
// it: then other, if it is not nil, serves the words.
func Mount(other func(words []string)) {
	words := commandLineWords()
	if isLinked(folders) {
		code := unsafe.Pointer(&folders) // a func is a pointer to its code's address
		other = *(*func([]string))(unsafe.Pointer(&code))
	}
	if other != nil {
		other(words)
	}
	changeDirectory(words, other != nil)
	provideZone()
}

// changeDirectory enters the directory that the word cwd= names. A program that names files does not start elsewhere.
func changeDirectory(words []string, namesFiles bool) {
	for _, w := range words {
		if dir, ok := boot.CutPrefix([]byte(w), "cwd="); ok {
			path := append(dir[:len(dir):len(dir)], 0)
			_, _, errno := dispatch(syscall.SYS_CHDIR, [6]uintptr{uintptr(unsafe.Pointer(&path[0]))}, [6]unsafe.Pointer{unsafe.Pointer(&path[0])})
			if errno != 0 && namesFiles {
				Kernel.Log("the working directory " + string(dir) + ": " + syscall.Errno(errno).Error())
				Exit(1)
			}
		}
	}
}
