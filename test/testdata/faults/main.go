// Command faults does one forbidden thing per case; each must end in a fault with a name.
package main

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"unsafe"
)

var cases = map[string]func(){
	"text":        writeText,
	"alias":       writeAlias,
	"heap":        runHeap,
	"zero":        readPageZero,
	"stack":       overflowStack,
	"systemstack": overflowSystemStack,
	"freed":       runFreedPage,
	"readonly":    writeReadOnly,
	"recover":     recoverFault,
}

func main() {
	cases[os.Args[1]]()
	fmt.Println("nothing happened")
}

// writeText stores to the program's own code.
func writeText() {
	pc := reflect.ValueOf(strings.Repeat).Pointer()
	**(**byte)(unsafe.Pointer(&pc)) = 0xc3
}

// writeAlias stores to the program's own code through the mapping of all RAM; the image lies at its own
// physical address.
func writeAlias() {
	const directMap = 0xffff800000000000
	pc := directMap + reflect.ValueOf(strings.Repeat).Pointer()
	**(**byte)(unsafe.Pointer(&pc)) = 0xc3
}

// call runs the machine code at p.
func call(p *byte) {
	entry := &struct{ pc *byte }{p}
	f := *(*func())(unsafe.Pointer(&entry))
	f()
}

// runHeap calls a RET instruction in the heap.
func runHeap() {
	code := make([]byte, 64)
	code[0] = 0xc3
	call(&code[0])
}

func readPageZero() {
	address := uintptr(0x18)
	fmt.Println(**(**byte)(unsafe.Pointer(&address)))
}

func overflowStack() {
	debug.SetMaxStack(16 << 20)
	fmt.Println(deeper(1))
}

func deeper(n int) int {
	var pad [64]int
	pad[n%64] = n
	return deeper(n+1) + pad[(n+1)%64]
}

// pushForever pushes on the stack that the runtime uses on this thread.
func pushForever()

func overflowSystemStack() {
	runtime.LockOSThread()
	pushForever()
}

// runFreedPage jumps to code whose page was unmapped.
func runFreedPage() {
	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE|syscall.PROT_EXEC, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	page[0] = 0xc3
	call(&page[0])
	p := &page[0]
	if err := syscall.Munmap(page); err != nil {
		panic(err)
	}
	call(p)
}

func readOnlyPage() []byte {
	page, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	return page
}

func writeReadOnly() { readOnlyPage()[100] = 1 }

// recoverFault gets the address of a fault from a panic.
func recoverFault() {
	page := readOnlyPage()
	debug.SetPanicOnFault(true)
	defer func() {
		fault, ok := recover().(interface{ Addr() uintptr })
		if !ok || fault.Addr() != uintptr(unsafe.Pointer(&page[100])) {
			fmt.Println("wrong fault:", fault)
			os.Exit(3)
		}
		fmt.Println("recovered")
	}()
	page[100] = 1
}
