// Package check does on a board of the TamaGo framework what its drivers are for.
package check

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/goos"
	"syscall"
	"time"
	"unsafe"

	"github.com/usbarmory/tamago/amd64"
	"github.com/usbarmory/tamago/dma"
	"github.com/usbarmory/tamago/soc/intel/ioapic"
	"github.com/usbarmory/tamago/soc/intel/pci"
	"github.com/usbarmory/tamago/soc/intel/rtc"
	"github.com/usbarmory/tamago/soc/intel/uart"
	machine "github.com/yolk-unikernel/yolk/runtime"
)

// Board prints what the board's parts answer. Its variables have the values of its source; what they drive
// is the machine that the program runs on.
func Board(cpu *amd64.CPU, chip *ioapic.IOAPIC, console *uart.UART) {
	console.Write([]byte("console by the board\n"))
	_, b, _, _ := cpu.CPUID(0, 0)
	fmt.Printf("CPU %t %t\n", cpu.Name() != "", b != 0)
	now, err := (&rtc.RTC{Location: time.UTC}).Now()
	fmt.Printf("RTC %t %v\n", time.Since(now).Abs() < 24*time.Hour, err)
	fmt.Printf("PCI %d\n", len(pci.Devices(0)))

	registers(chip)
	transfer()
	hooks()
	refusals(uint64(chip.Base))

	cpu.Init()
	fmt.Println("exceptions:", refused(cpu.EnableExceptions))
	fmt.Println("interrupts:", refused(func() { cpu.ServiceInterrupts(nil) }))
	fmt.Println("CPUs:", refused(func() { cpu.InitSMP(-1) }))
}

// hooks asks for what the framework's Go has.
func hooks() {
	before := signal.Waiting()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1)
	for !signal.Waiting() { // until the goroutine that has been started receives
		runtime.Gosched()
	}
	start, end := runtime.MemRegion()
	at := uint64(uintptr(unsafe.Pointer(new([64]byte))))
	_, inHeap := dma.NewRegion(uint(at), 64, false)
	fmt.Println("hooks:", before, start <= at && at < end, inHeap != nil, goos.RamStart != 0)
}

// refused calls f, which is to panic.
func refused(f func()) (why any) {
	defer func() { why = recover() }()
	f()
	return nil
}

// registers reads the I/O APIC's, and again when their mapping has been changed in the ways that leave the
// registers there.
func registers(chip *ioapic.IOAPIC) {
	mem, err := machine.MapPhysical(uint64(chip.Base), 32)
	fmt.Printf("I/O APIC %v, %d entries\n", err, chip.Entries())
	page := unsafe.Slice(&mem[0], 4096)
	fmt.Println("madvise:", syscall.Madvise(page, syscall.MADV_DONTNEED))
	none, back := syscall.Mprotect(page, syscall.PROT_NONE), syscall.Mprotect(page, syscall.PROT_READ|syscall.PROT_WRITE)
	fmt.Println("mprotect:", none, back, chip.Entries())
	_, _, gone := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(chip.Base), 4096, 0)
	_, err = machine.MapPhysical(uint64(chip.Base), 32)
	fmt.Println("munmap:", gone == 0, err, chip.Entries())
}

// transfer has package dma place a buffer in memory of AllocDMA.
func transfer() {
	mem, addr, err := machine.AllocDMA(1 << 20)
	if err != nil {
		fmt.Println(err)
		return
	}
	dma.Init(uint(addr), len(mem))
	at := dma.Alloc([]byte("a frame"), 64)
	mem[at-uint(addr)+2] = 'F' // as a device would
	got := make([]byte, 7)
	dma.Read(at, 0, got)
	where := uintptr(unsafe.Pointer(&mem[0]))
	fmt.Printf("DMA %s, aligned %t, itself %t, zeroed %t\n", got, at%64 == 0, uint64(where) == addr,
		bytes.Count(mem, []byte{0}) == len(mem)-len(got))
	dma.Free(at)
	_, err = machine.MapPhysical(addr, len(mem))
	fmt.Println("DMA again:", err)
}

// refusals asks for what must not be mapped.
func refusals(mapped uint64) {
	_, null := machine.MapPhysical(0, 4096)
	_, none := machine.MapPhysical(0xfd000000, 0)
	_, beyond := machine.MapPhysical(1<<47-4096, 8192)
	_, wraps := machine.MapPhysical(1<<64-4096, 8192)
	fmt.Println("EINVAL:", is(syscall.EINVAL, null, none, beyond, wraps))
	_, ram := machine.MapPhysical(16<<20, 4096)
	_, top := machine.MapPhysical(64<<20-4096, 1<<30)
	fmt.Println("EPERM:", is(syscall.EPERM, ram, top), ram)
	_, twice := machine.MapPhysical(mapped+4, 4)
	fmt.Println("EBUSY:", is(syscall.EBUSY, twice))
	_, _, much := machine.AllocDMA(1 << 40)
	_, _, nothing := machine.AllocDMA(-1)
	_, _, most := machine.AllocDMA(120 << 20)
	fmt.Println("AllocDMA:", is(syscall.EINVAL, much, nothing), is(syscall.ENOMEM, most))
}

func is(want syscall.Errno, errs ...error) bool {
	for _, err := range errs {
		if e, ok := err.(*machine.PhysicalError); !ok || e.Err != want {
			return false
		}
	}
	return true
}
