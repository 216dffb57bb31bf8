// Package kerneltest has what tests of the kernel's parts on the host need.
package kerneltest

import (
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
)

// Machine is a machine below the kernel that has a clock, and pages of the test's
// heap.
type Machine struct {
	mu    sync.Mutex
	all   [][]byte
	free  []uint64
	taken int
	most  int
}

var _ kernel.Machine = (*Machine)(nil)

// New returns a machine with so many pages of 4 KiB.
func New(pages int) *Machine { return &Machine{most: pages} }

// The rest of kernel.Machine does nothing.

func (*Machine) SetPollable(int, bool)                                 {}
func (*Machine) Waiting(int)                                           {}
func (*Machine) Ready(int, kernel.Events)                              {}
func (*Machine) Syscall(uintptr, kernel.Args) (uintptr, syscall.Errno) { return 0, syscall.ENOSYS }
func (*Machine) SendSignal(int, *kernel.SignalInfo, bool) (bool, syscall.Errno) {
	return false, syscall.ENOSYS
}
func (*Machine) SetWallTime(int64)                       {}
func (*Machine) ConsoleWrite([]byte)                     {}
func (*Machine) Random([]byte)                           {}
func (*Machine) CPU() int                                { return 0 }
func (*Machine) CPUs() (int, string)                     { return 1, "host" }
func (*Machine) Busy(int) int64                          { return 0 }
func (*Machine) Stolen(int) int64                        { return 0 }
func (*Machine) LargePages() uint64                      { return 0 }
func (*Machine) Area(uintptr) (start, end, prot uintptr) { return 0, 0, 0 }
func (*Machine) CommandLine() string                     { return "" }
func (*Machine) InitialFiles() []byte                    { return nil }
func (*Machine) Nanotime() int64                         { return time.Now().UnixNano() }
func (*Machine) CacheTable([]uint64)                     {}
func (*Machine) Exit(int)                                {}
func (*Machine) MappedFile(int, uintptr, *[5]uintptr) (uintptr, syscall.Errno) {
	return 0, syscall.ENODEV
}

// Memory returns what there is and what is not taken, in bytes.
func (m *Machine) Memory() (total, free uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(m.most) * 4096, uint64(m.most-m.taken) * 4096
}

// TakePages takes pages while more than floor bytes are free.
func (m *Machine) TakePages(dst []uint64, floor uint64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for ; n < len(dst) && uint64(m.most-m.taken)*4096 > floor; n++ {
		if len(m.free) == 0 {
			raw := make([]byte, 65*4096)
			m.all = append(m.all, raw)
			at := (uint64(uintptr(unsafe.Pointer(&raw[0]))) + 4095) &^ 4095
			for i := range uint64(64) {
				m.free = append(m.free, at+i*4096)
			}
		}
		dst[n] = m.free[len(m.free)-1]
		m.free = m.free[:len(m.free)-1]
		m.taken++
	}
	return n
}

// GivePages returns them.
func (m *Machine) GivePages(pages []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, pages...)
	m.taken -= len(pages)
}
