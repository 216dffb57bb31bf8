// Command protect does the forbidden thing that its argument names; each must end in a fault with
// a name. What the machine keeps for itself it finds by the registers of the CPU.
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

const page = 4096

var cases = map[string]func(){
	"text-read-only":           func() { write(text()) },
	"text-alias-read-only":     func() { write(directMap() + text()) },
	"rodata-read-only":         func() { write(rodata()) },
	"rodata-alias-read-only":   func() { write(directMap() + rodata()) },
	"data-not-executable":      func() { run(&data[0]) },
	"bss-not-executable":       func() { run(&bss[0]) },
	"heap-not-executable":      func() { run(&heap()[0]) },
	"stack-not-executable":     runStack,
	"mapping-not-executable":   func() { run(&mapped(syscall.PROT_READ | syscall.PROT_WRITE)[0]) },
	"direct-map-no-execute":    func() { run(pointer(directMap() + text())) },
	"mapping-read-only":        func() { mapped(syscall.PROT_READ)[100] = 1 },
	"mapping-no-access":        func() { fmt.Println(mapped(syscall.PROT_NONE)[100]) },
	"unmapped-page-gone":       runUnmapped,
	"page-zero-unmapped":       func() { read(0x18) },
	"physical-memory-unmapped": func() { read(0x100000) },
	"goroutine-stack-end":      overflowStack,
	"thread-stack-guard":       overflowSystemStack,
	"machine-stack-guard":      func() { write(machineStack() - 1) },
	"idt-read-only":            func() { write(idt() + 14*16) },
	"gdt-read-only":            func() { write(gdt() + 8) },
	"tss-read-only":            func() { write(gdt() + 0x100 + 36) },
	"cpu-start-code-read-only": func() { write(directMap() + cpuStart) },
	"cpu-start-code-unmapped":  func() { read(cpuStart) },
	"firmware-not-in-map":      func() { read(directMap() + 0xf0000) },
	"registers-not-in-map":     func() { read(directMap() + 0xfee00000) },
	"direct-map-ends-with-ram": func() { read(directMap() + ramEnd()) },
	"places":                   func() { fmt.Printf("%#x %#x\n", directMap(), machineStack()) },
	"recover":                  recoverFault,
}

func main() {
	cases[os.Args[1]]()
	fmt.Println("nothing happened")
}

func pointer(addr uintptr) *byte { return *(**byte)(unsafe.Pointer(&addr)) }

//go:noinline
func write(addr uintptr) { *pointer(addr) = ret }

//go:noinline
func read(addr uintptr) { fmt.Println(*pointer(addr)) }

// ret is the RET instruction.
const ret = 0xc3

// run calls the code at p.
//
//go:noinline
func run(p *byte) {
	entry := &struct{ pc *byte }{p}
	f := *(*func())(unsafe.Pointer(&entry))
	f()
}

var (
	data = [64]byte{ret}
	bss  [64]byte
)

func heap() []byte {
	b := make([]byte, 1<<16)
	b[0] = ret
	return b
}

//go:noinline
func runStack() {
	var code [64]byte
	code[0] = ret
	p := uintptr(unsafe.Pointer(&code))
	run(pointer(p))
	runtime.KeepAlive(&code)
}

// text is an address of the program's code, rodata one of its constants.
func text() uintptr   { return reflect.ValueOf(strings.Repeat).Pointer() }
func rodata() uintptr { return uintptr(unsafe.Pointer(unsafe.StringData("a constant"))) }

// idt returns the base of the interrupt descriptor table, gdt that of the global one.
func idt() uintptr
func gdt() uintptr

// directMap returns where the machine sees physical address 0: at a multiple of 1 GiB. Its
// descriptor tables are in the first.
func directMap() uintptr { return idt() &^ (1<<30 - 1) }

// machineStack returns the lowest address of the stack of traps, which the CPU's task state
// segment names (IST1, 8 KiB).
func machineStack() uintptr {
	tss := gdt() + 0x100
	top := *(*uintptr)(unsafe.Pointer(pointer(tss + 36)))
	return top - 8<<10
}

// cpuStart is where a further CPU begins, physically.
const cpuStart = 0x8000

// ramEnd returns the physical address behind the RAM, of which the machine has less than 2 GiB: with
// all that the VMM keeps for itself it ends at a multiple of 64 MiB.
func ramEnd() uintptr {
	var st syscall.Sysinfo_t
	syscall.Sysinfo(&st)
	return (uintptr(st.Totalram) + 64<<20 - 1) &^ (64<<20 - 1)
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

func mapped(prot int) []byte {
	b, err := syscall.Mmap(-1, 0, page, prot, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	if prot&syscall.PROT_WRITE != 0 {
		b[0] = ret
	}
	return b
}

// runUnmapped jumps to code whose page was unmapped.
func runUnmapped() {
	code := mapped(syscall.PROT_READ | syscall.PROT_WRITE | syscall.PROT_EXEC)
	run(&code[0])
	p := &code[0]
	if err := syscall.Munmap(code); err != nil {
		panic(err)
	}
	run(p)
}

// recoverFault gets the address of a fault from a panic.
func recoverFault() {
	b := mapped(syscall.PROT_READ)
	debug.SetPanicOnFault(true)
	defer func() {
		fault, ok := recover().(interface{ Addr() uintptr })
		if !ok || fault.Addr() != uintptr(unsafe.Pointer(&b[100])) {
			fmt.Println("wrong fault:", fault)
			os.Exit(3)
		}
		fmt.Println("recovered")
	}()
	b[100] = 1
}
