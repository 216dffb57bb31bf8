//go:build tamago

// Package wiring joins the machine half (package runtime), the kernel and the
// drivers: it is linked into every tamago program and initialises before all
// of the program's packages. Its subpackages are linked on demand: net when
// the program links package net, certs when it links crypto/x509.
//
// Start reading at start. docs/architecture.md has the whole picture.
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

// start brings the kernel up, in this order.
func start() {
	limitHeap()
	words := commandLineWords()
	Kernel = kernel.New(machine{}, options(words))
	countFiles((*int64)(unsafe.Pointer(Kernel.FilePages())))
	setHandler(dispatch)
	startConsole(words)
	if disks == 0 {
		Mount(nil)
	}
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
	changeDirectory(words)
}

// dispatch receives the program's system calls from runtime.kernelCall.
func dispatch(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr) {
	r1, r2, errno = Kernel.Dispatch(nr, kernel.Args{N: n, P: p})
	if ending.Load() {
		select {} // the program is not to see how its disks go
	}
	return r1, r2, errno
}

// heapLimit is what the collector was told; heapMost what it was told first.
var heapLimit, heapMost int64

// limitHeap leaves the collector what the image, the page tables and the
// network's buffers do not need: an eighth of the free memory, at least 2 MiB.
func limitHeap() {
	_, free := memory()
	heapMost = int64(free - max(free/8, 2<<20))
	heapLimit = heapMost
	limitMemory(heapMost)
}

// minHeap is the least that the collector's limit is lowered to.
const minHeap = 2 << 20

// ShrinkMemory tells the collector that n bytes of the RAM are not there for now.
// A limit of the program's own stays as it is.
func ShrinkMemory(n uint64) {
	limit := max(heapMost-int64(min(n, 1<<62)), minHeap)
	if limit != heapLimit && moveLimit(heapLimit, limit) {
		heapLimit = limit
	}
}

// commandLineWords returns the decoded words of the command line.
func commandLineWords() []string {
	var words []string
	line := []byte(commandLine())
	buf := make([]byte, len(line))
	for {
		word, rest, more := boot.NextWord(line, buf)
		if !more {
			return words
		}
		words = append(words, string(word))
		line = rest
	}
}

// AllWords returns the decoded words of the command line.
func AllWords() []string { return commandLineWords() }

// Words returns the values of the words that begin with prefix, such as "ip=".
func Words(prefix string) []string {
	var values []string
	for _, w := range commandLineWords() {
		if len(w) >= len(prefix) && w[:len(prefix)] == prefix {
			values = append(values, w[len(prefix):])
		}
	}
	return values
}

func options(words []string) kernel.Options {
	o := kernel.Options{
		Args:      runtimeArgs(),
		Env:       runtimeEnviron(),
		Interrupt: raise,
	}
	if len(o.Args) > 0 {
		o.Path = o.Args[0]
		if o.Path != "" && o.Path[0] != '/' {
			o.Path = "/" + o.Path
		}
	}
	for _, w := range words {
		if v, ok := boot.CutPrefix([]byte(w), "hostname="); ok {
			o.Hostname = string(v)
		}
		o.Terminal = o.Terminal || w == "yolk.tty=1"
	}
	return o
}

// changeDirectory enters the directory that the word cwd= names.
func changeDirectory(words []string) {
	for _, w := range words {
		if dir, ok := boot.CutPrefix([]byte(w), "cwd="); ok {
			path := append(dir[:len(dir):len(dir)], 0)
			_, _, errno := dispatch(syscall.SYS_CHDIR, [6]uintptr{uintptr(unsafe.Pointer(&path[0]))}, [6]unsafe.Pointer{unsafe.Pointer(&path[0])})
			if errno != 0 {
				Kernel.Log("cwd=" + string(dir) + ": " + syscall.Errno(errno).Error())
			}
		}
	}
}

// CommandLine returns the command line as the VMM gave it.
//
//go:linkname CommandLine
func CommandLine() string { return commandLine() }
