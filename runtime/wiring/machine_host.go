//go:build !tamago

package wiring

import (
	"crypto/rand"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// Host stands in for the machine on a host, where only tests run: memory is the test's
// own, physical addresses are virtual ones, registers and I/O ports are what a test has
// put there. It is not for several tests at once. Fields are set before Start.
var Host = &HostMachine{}

// HostMachine is a machine of the test's memory.
type HostMachine struct {
	Boot      machine.Boot
	Registers map[uint64]HostRegisters // by physical address
	Ports     HostPorts                // nil: there is none; reads are ones
	Memory    map[uint64][]byte        // by physical address, for MemoryAt
	RAM       uint64                   // bytes; 256 MiB if 0
	NoRDRAND  bool                     // what cpuid says
	Vectors   int                      // interrupts there are; machine.NumDevices if 0

	mu         sync.Mutex
	interrupts []*hostInterrupt
	output     []byte
	input      []byte
	pinned     [][]byte // what contiguous returned
	taken      uint64   // bytes of takeFrames
	freed      *hostInterrupt
	limit      int64
	exits      []int
	signals    []syscall.Signal
	entropy    []byte
	powerOff   machine.PowerOff
	handler    func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr)
	exitHooks  []func()
	waiting    int32
	wanted     map[syscall.Signal]bool
}

// HostRegisters are a device's registers: virtio.Registers has the same methods.
type HostRegisters interface {
	Read8(off uintptr) uint8
	Read16(off uintptr) uint16
	Read32(off uintptr) uint32
	Write8(off uintptr, v uint8)
	Write16(off uintptr, v uint16)
	Write32(off uintptr, v uint32)
}

// HostPorts are I/O ports of 8, 16 or 32 bits.
type HostPorts interface {
	In(port uint16, bits int) uint32
	Out(port uint16, bits int, v uint32)
}

// Registers is a window of a device's registers.
type Registers struct {
	HostRegisters
	at uint64
}

// Address returns the physical address, as there is no other.
func (r Registers) Address() uintptr { return uintptr(r.at) }

// Start makes h the machine and starts a kernel on it, as the start of a program does.
func (h *HostMachine) Start() {
	Host = h
	ioapics, disks, folders = nil, 0, 0
	beforeExit = nil
	ending.Store(false)
	start()
}

// hostInterrupt is a device interrupt: a channel with room for one.
type hostInterrupt struct{ came chan struct{} }

// Raise sends device interrupt d.
func (h *HostMachine) Raise(d machine.Device) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if int(d) < len(h.interrupts) {
		h.interrupts[d].raise()
	}
}

func (i *hostInterrupt) raise() {
	select {
	case i.came <- struct{}{}:
	default:
	}
}

// Type is what a person types: it interrupts as the serial port does.
func (h *HostMachine) Type(p []byte) {
	h.mu.Lock()
	h.input = append(h.input, p...)
	h.mu.Unlock()
	h.RaiseGSI(comIRQ)
}

// RaiseGSI sends the interrupt to which a line was routed.
func (h *HostMachine) RaiseGSI(gsi uint32) {
	for i := range ioapics {
		a := &ioapics[i]
		if gsi >= a.gsiBase && gsi-a.gsiBase < a.entries {
			vector := a.read(ioapicTable+2*(gsi-a.gsiBase)) & 0xff
			h.Raise(machine.Device(vector - machine.FirstVector))
		}
	}
}

// Output returns what was written to the console since the last call.
func (h *HostMachine) Output() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := string(h.output)
	h.output = nil
	return s
}

// Want says that the program asks for a signal.
func (h *HostMachine) Want(sig syscall.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wanted == nil {
		h.wanted = map[syscall.Signal]bool{}
	}
	h.wanted[sig] = true
}

// Ends returns the exit statuses and the signals with which the machine or the program
// was to end.
func (h *HostMachine) Ends() (exits []int, signals []syscall.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.exits, h.signals
}

// Entropy returns what was mixed into the generator.
func (h *HostMachine) Entropy() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entropy
}

// PowerOff returns what switches the machine off.
func (h *HostMachine) PowerOff() machine.PowerOff { return h.powerOff }

// Free makes the interrupt come that noticeFreed asked for.
func (h *HostMachine) Free() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.freed != nil {
		h.freed.raise()
		h.freed = nil
	}
}

func (h *HostMachine) ram() uint64 {
	if h.RAM == 0 {
		return 256 << 20
	}
	return h.RAM
}

func bootInfo() machine.Boot {
	b := Host.Boot
	b.CPUs = max(b.CPUs, 1)
	return b
}

func setHandler(h func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr)) {
	Host.handler = h
}

func runtimeArgs() []string    { return []string{"app"} }
func runtimeEnviron() []string { return []string{"HOME=/root"} }

func isLinked(code uintptr) bool { return code != 0 }

func signalWanted(sig uint32) bool {
	Host.mu.Lock()
	defer Host.mu.Unlock()
	return Host.wanted[syscall.Signal(sig)]
}

func setPanicHook(f func()) {}
func addExitHook(f func())  { Host.exitHooks = append(Host.exitHooks, f) }

func exit(status int) {
	Host.mu.Lock()
	Host.exits = append(Host.exits, status)
	Host.mu.Unlock()
}

func setPowerOff(p machine.PowerOff) { Host.powerOff = p }

// systemCall knows kill(2) of this process alone.
func systemCall(nr uintptr, n [6]uintptr) (r, errno uintptr) {
	if nr != syscall.SYS_KILL {
		return 0, uintptr(syscall.ENOSYS)
	}
	Host.mu.Lock()
	Host.signals = append(Host.signals, syscall.Signal(n[1]))
	Host.mu.Unlock()
	return 0, 0
}

func setPollable(fd int, pollable bool) {}
func notify(fd int, events uint32)      {}

func adjustWaiters(delta int32) {
	Host.mu.Lock()
	Host.waiting += delta
	Host.mu.Unlock()
}

func interrupt() (machine.Device, unsafe.Pointer) {
	h := Host
	h.mu.Lock()
	defer h.mu.Unlock()
	most := h.Vectors
	if most == 0 {
		most = machine.NumDevices
	}
	if len(h.interrupts) == most {
		return 0, nil
	}
	i := &hostInterrupt{make(chan struct{}, 1)}
	h.interrupts = append(h.interrupts, i)
	return machine.Device(len(h.interrupts) - 1), unsafe.Pointer(i)
}

func waitInterrupt(wait unsafe.Pointer) { <-(*hostInterrupt)(wait).came }

var hostStart = time.Now()

func nanotime() int64 { return int64(time.Since(hostStart)) }

func consoleWrite(p []byte) {
	Host.mu.Lock()
	Host.output = append(Host.output, p...)
	Host.mu.Unlock()
}

func consoleRead(p []byte) int {
	Host.mu.Lock()
	defer Host.mu.Unlock()
	n := copy(p, Host.input)
	Host.input = Host.input[n:]
	return n
}

func random(p []byte) { rand.Read(p) }

func addEntropy(p []byte) {
	Host.mu.Lock()
	Host.entropy = append(Host.entropy, p...)
	Host.mu.Unlock()
}

func cpu() int             { return 0 }
func busy(cpu int) int64   { return nanotime() / 2 }
func stolen(cpu int) int64 { return 0 }

// cpuid has RDRAND, unless the test wants none, and a name.
func cpuid(leaf, sub uint32) (a, b, c, d uint32) {
	switch leaf {
	case 1:
		if !Host.NoRDRAND {
			c = 1 << 30
		}
	case 0x80000002: // "host CPU"
		a, b = 0x74736f68, 0x55504320
	}
	return a, b, c, d
}

func memory() (total, free uint64) {
	Host.mu.Lock()
	defer Host.mu.Unlock()
	return Host.ram(), Host.ram() - Host.taken
}

func largePages() uint64 { return 0 }

func limitMemory(limit int64) { Host.limit = limit }

func moveLimit(old, limit int64) bool {
	Host.mu.Lock()
	defer Host.mu.Unlock()
	if Host.limit != old {
		return false
	}
	Host.limit = limit
	return true
}

func countFiles(pages *int64) {}

func area(addr uintptr) machine.Area { return machine.Area{} }

func takeFrames(n int, used bool) (start, end uint64) {
	Host.mu.Lock()
	defer Host.mu.Unlock()
	if used || Host.ram()-Host.taken < uint64(n) {
		return 0, 0
	}
	start = 1<<32 + Host.taken
	Host.taken += uint64(n)
	return start, start + uint64(n)
}

func giveFrames(start, end uint64, clean bool) {
	Host.mu.Lock()
	Host.taken -= end - start
	Host.mu.Unlock()
}

func noticeFreed(d machine.Device, n int) {
	Host.mu.Lock()
	Host.freed = Host.interrupts[d]
	Host.mu.Unlock()
}

func takePages(dst []uint64, floor uint64) int {
	for i := range dst {
		_, dst[i] = contiguous(machine.PageSize)
	}
	return len(dst)
}

func givePages(pages []uint64) {}

// contiguous pins what it returns: devices know it by its address.
func contiguous(n int) (mem []byte, phys uint64) {
	raw := make([]byte, n+machine.PageSize)
	Host.mu.Lock()
	Host.pinned = append(Host.pinned, raw)
	Host.mu.Unlock()
	off := -int(physical(unsafe.Pointer(&raw[0]))) & (machine.PageSize - 1)
	mem = raw[off : off+n : off+n]
	return mem, physical(unsafe.Pointer(&mem[0]))
}

func physical(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }

func memoryAt(phys uint64, n int) []byte {
	for at, mem := range Host.Memory {
		if phys >= at && phys-at < uint64(len(mem)) && uint64(n) <= uint64(len(mem))-(phys-at) {
			return mem[phys-at:][:n:n]
		}
	}
	return nil
}

func onStack(p unsafe.Pointer) bool  { return false }
func isMapped(p unsafe.Pointer) bool { return false }

// mapIO finds the registers that the test has put at an address: none read as ones.
func mapIO(phys uint64, n int) Registers {
	if r := Host.Registers[phys]; r != nil {
		return Registers{r, phys}
	}
	return Registers{noRegisters{}, phys}
}

// noRegisters is what an address without a device reads as.
type noRegisters struct{}

func (noRegisters) Read8(uintptr) uint8     { return 0xff }
func (noRegisters) Read16(uintptr) uint16   { return 0xffff }
func (noRegisters) Read32(uintptr) uint32   { return 0xffffffff }
func (noRegisters) Write8(uintptr, uint8)   {}
func (noRegisters) Write16(uintptr, uint16) {}
func (noRegisters) Write32(uintptr, uint32) {}

func in(port uint16, bits int) uint32 {
	if Host.Ports == nil {
		return ^uint32(0)
	}
	return Host.Ports.In(port, bits)
}

func out(port uint16, bits int, v uint32) {
	if Host.Ports != nil {
		Host.Ports.Out(port, bits, v)
	}
}

func outByte(port uint16, v uint8)   { out(port, 8, uint32(v)) }
func inByte(port uint16) uint8       { return uint8(in(port, 8)) }
func outAlone(port uint16, v uint32) { out(port, 32, v) }

// OutWord writes 16 bits to an I/O port.
func OutWord(port, v uint16) { out(port, 16, uint32(v)) }

// InWord reads 16 bits from an I/O port.
func InWord(port uint16) uint16 { return uint16(in(port, 16)) }

// OutLong writes 32 bits to an I/O port.
func OutLong(port uint16, v uint32) { out(port, 32, v) }

// InLong reads 32 bits from an I/O port.
func InLong(port uint16) uint32 { return in(port, 32) }

// A host shows no pages of files: mmap(2) of them is ENODEV.

func setChunks(table []uint64)                                 {}
func reclaim(n int) int                                        { return 0 }
func noticeStores(l machine.StoreLimits)                       {}
func stores() int                                              { return 0 }
func newFile(r machine.Reader) (machine.File, syscall.Errno)   { return 0, syscall.ENODEV }
func freeFile(f machine.File)                                  {}
func dropPages(f machine.File, first, end uintptr)             {}
func setFilePages(f machine.File, pages uintptr)               {}
func endCollect(f machine.File)                                {}
func setRuns(f machine.File, runs []machine.Run) syscall.Errno { return syscall.ENODEV }
func newReader(s *machine.ReaderSpec) machine.Reader           { return 0 }
func endReader(r machine.Reader, leaky bool)                   {}
func reachFile(f machine.File, pages uintptr) (bool, syscall.Errno) {
	return false, syscall.ENODEV
}

func showPage(f machine.File, index uintptr, page uint64) machine.Page { return 0 }

func mapFile(f machine.File, addr, n, first, prot, flags uintptr) (uintptr, syscall.Errno) {
	return 0, syscall.ENODEV
}

func collectPages(f machine.File, first, end uintptr, out []machine.Stored, all bool) int {
	return 0
}
