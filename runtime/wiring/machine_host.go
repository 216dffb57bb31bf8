//go:build !yolk

package wiring

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// HostMachine stands in for the machine on a host, where only tests run: physical
// addresses are made up, registers and I/O ports are what a test has put there.
// The exported fields are set before Start. One machine at a time is the wiring's: tests
// that start one are not parallel. Package wiringtest adds devices to it.
//
// The functions of machine.go are in machine_host_calls.go and machine_host_memory.go,
// interrupts in machine_host_interrupts.go.
type HostMachine struct {
	Boot      machine.Boot
	Args, Env []string                               // of the program
	Tables    map[uint64][]byte                      // what memory holds, by physical address: ACPI's tables
	Registers map[uint64]HostRegisters               // by physical address; an I/O APIC at 0xfec00000 if there is none
	MapIO     func(phys uint64, n int) HostRegisters // finds those that Registers does not have; may be nil
	Ports     HostPorts                              // nil: reads are ones
	RAM       uint64                                 // in bytes; 64 MiB if 0
	NoMemory  bool                                   // there is no contiguous memory left
	NoRDRAND  bool                                   // what cpuid says
	Vectors   int                                    // device interrupts: machine.NumDevices if 0, none if negative
	Disks     bool                                   // the program carries package disks
	Folders   func(words []string)                   // what mounts folders; a function of a package, or nil
	Zones     func(name string) (string, error)      // what has the time zones, likewise

	// StackLimit is the most that a goroutine's stack may have, in bytes.
	StackLimit int64

	begin   time.Time
	stopped chan struct{}
	blocked chan struct{} // has an element for each goroutine of blockForever
	handler func(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r1, r2, errno uintptr)

	exitHooks []func()
	panicHook func()

	mu         sync.Mutex // protects what follows
	interrupts []*hostInterrupt
	output     []byte
	input      []byte
	physical   map[uintptr]uint64        // addresses of pages, by their virtual ones
	memory     map[uint64]unsafe.Pointer // the reverse: something in the page
	nextPage   uint64
	frames     []frame
	pages      []uint64 // free ones of takePages, by virtual address
	kept       [][]byte // where they lie
	pagesUsed  int
	notice     *hostInterrupt // of noticeFreed
	noticeAt   int
	limit      int64
	exits      []int
	signals    []syscall.Signal
	wanted     map[syscall.Signal]bool
	entropy    []byte
	given      bool // entropy was
	held       bool // and is about to be
	reseeded   int
	watched    []uint64
	resume     *hostInterrupt // of noticeResume
	powerOff   machine.PowerOff
	waiting    int32
	profile    []uint64 // what startProfile has begun; nil: nothing
	profiled   bool     // stopProfile has ended it
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

// before is the machine until a test starts one: nothing interrupts on it, so that no
// goroutine runs.
var before = &HostMachine{Vectors: -1, begin: time.Now()}

var started atomic.Pointer[HostMachine]

// host returns the machine.
func host() *HostMachine {
	if h := started.Load(); h != nil {
		return h
	}
	return before
}

var atHostStart []func()

// OnHostStart has f called whenever a HostMachine starts: packages forget there what
// they know of the machine before.
func OnHostStart(f func()) { atHostStart = append(atHostStart, f) }

// Start makes h the machine and starts a kernel on it, as the start of a program does.
// It reports whether that has ended the machine.
func (h *HostMachine) Start() (ended bool) {
	h.begin, h.stopped, h.blocked = time.Now(), make(chan struct{}), make(chan struct{}, 64)
	h.physical, h.memory = map[uintptr]uint64{}, map[uint64]unsafe.Pointer{}
	h.frames = make([]frame, h.ram()/machine.PageSize)
	if h.Registers == nil {
		h.Registers = map[uint64]HostRegisters{}
	}
	if h.Registers[0xfec00000] == nil {
		h.Registers[0xfec00000] = NewHostIOAPIC(24)
	}
	started.Store(h)
	ioapicMu.Lock()
	ioapics = nil
	ioapicMu.Unlock()
	beforeExit, endings = nil, nil
	ending.Store(false)
	disks, folders, zones = 0, 0, 0
	if h.Disks {
		disks = 1
	}
	if h.Folders != nil {
		folders = **(**uintptr)(unsafe.Pointer(&h.Folders)) // its code's address
	}
	if h.Zones != nil {
		zones = **(**uintptr)(unsafe.Pointer(&h.Zones))
	}
	for _, f := range atHostStart {
		f()
	}
	return h.Run(start)
}

// Stop ends the goroutines that wait for an interrupt, now or later.
func (h *HostMachine) Stop() {
	close(h.stopped)
	h.mu.Lock() // what they did before they waited has happened: see waitInterrupt
	defer h.mu.Unlock()
}

// Run calls f in a goroutine of its own and reports whether the machine has ended
// before f returned.
func (h *HostMachine) Run(f func()) (ended bool) {
	done := make(chan bool, 1)
	go func() {
		returned := false
		defer func() { done <- !returned }()
		f()
		returned = true
	}()
	return <-done
}

// Syscall makes a system call as the program does. It does not return when that ends
// the machine: see Run.
func (h *HostMachine) Syscall(nr uintptr, n [6]uintptr, p [6]unsafe.Pointer) (r uintptr, e syscall.Errno) {
	r, _, errno := h.handler(nr, n, p)
	return r, syscall.Errno(errno)
}

// OSExit is os.Exit, or the return of main: package runtime's hooks, then the end.
func (h *HostMachine) OSExit(status int) {
	h.Run(func() {
		for i := len(h.exitHooks) - 1; i >= 0; i-- {
			h.exitHooks[i]()
		}
		exit(status)
	})
}

// Panic is a panic that nobody recovers: package runtime's hook, then exit status 2.
func (h *HostMachine) Panic() {
	h.Run(func() {
		if h.panicHook != nil {
			h.panicHook()
		}
		exit(2)
	})
}

// Ends returns the exit statuses with which the machine was to end, and the signals
// that the program got.
func (h *HostMachine) Ends() (exits []int, signals []syscall.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]int(nil), h.exits...), append([]syscall.Signal(nil), h.signals...)
}

// WaitBlocked waits until n goroutines of the program are in a system call that will not
// return.
func (h *HostMachine) WaitBlocked(n int) {
	for range n {
		<-h.blocked
	}
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

// Type is what comes in at the console: it interrupts as the serial port does.
func (h *HostMachine) Type(p []byte) {
	h.mu.Lock()
	h.input = append(h.input, p...)
	h.mu.Unlock()
	h.RaiseGSI(comIRQ)
}

// Output returns what was written to the console since the last call.
func (h *HostMachine) Output() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := string(h.output)
	h.output = nil
	return s
}

// Entropy returns what was mixed into the generator.
func (h *HostMachine) Entropy() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entropy
}

// Resume is what the machine does when it goes on from a saved state: nothing that was
// brought to the generator counts any more, and the interrupt that was asked for comes.
func (h *HostMachine) Resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.given = false
	if h.resume != nil {
		h.resume.raise()
	}
}

// Reseeded returns how often the generators of package runtime got new keys.
func (h *HostMachine) Reseeded() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reseeded
}

// Watched returns the addresses that tell of a resume.
func (h *HostMachine) Watched() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]uint64(nil), h.watched...)
}

// PowerOff returns what switches the machine off.
func (h *HostMachine) PowerOff() machine.PowerOff {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.powerOff
}

// Waiting returns how many goroutines wait for something from outside.
func (h *HostMachine) Waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int(h.waiting)
}

// HeapLimit returns the collector's limit; SetHeapLimit is debug.SetMemoryLimit.
func (h *HostMachine) HeapLimit() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.limit
}

// SetHeapLimit sets the collector's limit, as the program may.
func (h *HostMachine) SetHeapLimit(limit int64) {
	h.mu.Lock()
	h.limit = limit
	h.mu.Unlock()
}

// end ends the calling goroutine, which has nothing to run on any more.
func end() { runtime.Goexit() }
