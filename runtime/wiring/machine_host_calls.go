//go:build !yolk

package wiring

import (
	"crypto/rand"
	"syscall"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

func bootInfo() machine.Boot {
	b := host().Boot
	b.CPUs = max(b.CPUs, 1)
	return b
}

func setHandler(h func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr)) {
	host().handler = h
}

func runtimeArgs() []string    { return host().Args }
func runtimeEnviron() []string { return host().Env }

func isLinked(code uintptr) bool { return code != 0 }

func signalWanted(sig uint32) bool {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wanted[syscall.Signal(sig)]
}

func setPanicHook(f func()) { host().panicHook = f }
func addExitHook(f func())  { h := host(); h.exitHooks = append(h.exitHooks, f) }

// exit ends the calling goroutine: see HostMachine.Run.
func exit(status int) {
	h := host()
	h.mu.Lock()
	h.exits = append(h.exits, status)
	h.mu.Unlock()
	end()
}

// blockForever ends the goroutine, which is never seen again either.
func blockForever() {
	host().blocked <- struct{}{}
	end()
}

func setPowerOff(p machine.PowerOff) {
	h := host()
	h.mu.Lock()
	h.powerOff = p
	h.mu.Unlock()
}

// systemCall knows kill(2) of the program alone.
func systemCall(nr uintptr, n [6]uintptr) (r, errno uintptr) {
	if nr != syscall.SYS_KILL || n[0] != pid {
		return 0, uintptr(syscall.ENOSYS)
	}
	h := host()
	h.mu.Lock()
	h.signals = append(h.signals, syscall.Signal(n[1]))
	h.mu.Unlock()
	return 0, 0
}

func setPollable(fd int, pollable bool) {}
func notify(fd int, events uint32)      {}

func adjustWaiters(delta int32) {
	h := host()
	h.mu.Lock()
	h.waiting += delta
	h.mu.Unlock()
}

func nanotime() int64 { return int64(time.Since(host().begin)) }

func consoleWrite(p []byte) {
	h := host()
	h.mu.Lock()
	h.output = append(h.output, p...)
	h.mu.Unlock()
}

func consoleRead(p []byte) int {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	n := copy(p, h.input)
	h.input = h.input[n:]
	return n
}

// random waits for what machine_random.go waits for.
func random(p []byte, insecure bool) bool {
	h := host()
	h.mu.Lock()
	ready := !h.held && (!h.NoRDRAND || h.given)
	h.mu.Unlock()
	if !ready && !insecure {
		return false
	}
	rand.Read(p)
	return true
}

func holdRandom() {
	h := host()
	h.mu.Lock()
	h.held = true
	h.mu.Unlock()
}

func addEntropy(p []byte) bool {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held, h.given = false, h.given || len(p) > 0
	h.entropy = append(h.entropy, p...)
	return h.given || !h.NoRDRAND
}

func reseed() {
	h := host()
	h.mu.Lock()
	h.reseeded++
	h.mu.Unlock()
}

// watch takes what lies in the machine's memory, on whole words.
func watch(phys uint64) bool {
	h := host()
	if phys%8 != 0 || memoryAt(phys, 8) == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watched = append(h.watched, phys)
	return len(h.watched) <= machine.MaxWatched
}

func noticeResume(d machine.Device) {
	h := host()
	h.mu.Lock()
	h.resume = h.interrupts[d]
	h.mu.Unlock()
}

func startProfile(hz int) bool {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.profile != nil {
		return false
	}
	h.profile, h.profiled = []uint64{3, 0, uint64(hz)}, false
	return true
}

func stopProfile() {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.profiled = true
}

func readProfile() (data []uint64, end bool) {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.profile) > 0 {
		data, h.profile = h.profile, h.profile[:0]
	} else if h.profiled {
		h.profile, end = nil, true
	}
	return data, end
}

func cpu() int             { return 0 }
func busy(cpu int) int64   { return nanotime() / 2 }
func stolen(cpu int) int64 { return nanotime() / 4 }

// counts tells numbers that differ, so that a test sees which is which.
func counts(cpu int, c *machine.CPUCounts) {
	*c = machine.CPUCounts{Waits: 3, Preemptions: 2, Wakeups: 1, PageReads: 4}
	for v := range c.Traps {
		c.Traps[v] = uint64(1000*(cpu+1) + v)
	}
}

// threads has more threads than Threads makes room for at first.
func threads(list []machine.Thread) int {
	const count = 100
	for i := range min(count, len(list)) {
		list[i] = machine.Thread{ID: int32(i) + 1, Running: i == 0, Ran: int64(i)}
	}
	return count
}

// cpuid has RDRAND, unless the test wants none, and a name that is padded with blanks.
func cpuid(leaf, sub uint32) (a, b, c, d uint32) {
	switch leaf {
	case 1:
		if !host().NoRDRAND {
			c = 1 << 30
		}
	case 0x80000002: // "host CPU  "
		a, b, c = 0x74736f68, 0x55504320, 0x00002020
	}
	return a, b, c, d
}

func largePages() uint64 { return 0 }

func limitMemory(limit, stack int64) {
	host().SetHeapLimit(limit)
	host().StackLimit = stack
}

func moveLimit(old, limit int64) bool {
	h := host()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.limit != old {
		return false
	}
	h.limit = limit
	return true
}

func countFiles(pages *int64) {}

// area has one area, the first page above vm.mmap_min_addr.
func area(addr uintptr) machine.Area {
	if addr >= 0x11000 {
		return machine.Area{}
	}
	return machine.Area{Start: 0x10000, End: 0x11000, Prot: syscall.PROT_READ}
}

func mapIO(phys uint64, n int) Registers {
	h := host()
	r := h.Registers[phys]
	if r == nil && h.MapIO != nil {
		r = h.MapIO(phys, n)
	}
	if r == nil {
		r = noRegisters{}
	}
	return Registers{r, phys}
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
	if p := host().Ports; p != nil {
		return p.In(port, bits)
	}
	return ^uint32(0)
}

func out(port uint16, bits int, v uint32) {
	if p := host().Ports; p != nil {
		p.Out(port, bits, v)
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

// blockingCall is systemCall: nothing waits here.
func blockingCall(nr uintptr, n [6]uintptr) (r, errno uintptr) { return systemCall(nr, n) }

// sendSignal notes a signal to the process.
func sendSignal(tid int, info unsafe.Pointer, timer bool) (pending bool, e syscall.Errno) {
	if tid != 0 {
		return false, syscall.ESRCH
	}
	h := host()
	h.mu.Lock()
	h.signals = append(h.signals, syscall.Signal((*kernel.SignalInfo)(info).Signo))
	h.mu.Unlock()
	return false, 0
}

// watchSignals does nothing: a test's signals are not pending.
func watchSignals(d machine.Device, set uint64) {}

// setClock does nothing: the host's clock is not a test's to set.
func setClock(ns int64) {}
