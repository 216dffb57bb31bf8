// Package kerneltest has what the tests of several packages of the kernel need on the host.
package kerneltest

import (
	"sync"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// Machine is a kernel.Machine that has only a clock, and pages of the test's heap.
type Machine struct {
	mu    sync.Mutex
	all   [][]byte
	free  []uint64
	taken int
	most  int
}

var _ kernel.Machine = (*Machine)(nil)

// New returns a machine with a number of pages of 4 KiB.
func New(pages int) *Machine {
	kernel.AddCalls()
	return &Machine{most: pages}
}

// The other methods of kernel.Machine do nothing.

func (*Machine) SetPollable(int, bool)                                 {}
func (*Machine) Waiting(int)                                           {}
func (*Machine) Ready(int, kernel.Events)                              {}
func (*Machine) Syscall(uintptr, kernel.Args) (uintptr, syscall.Errno) { return 0, syscall.ENOSYS }
func (*Machine) SendSignal(int, *kernel.SignalInfo, bool) (bool, syscall.Errno) {
	return false, syscall.ENOSYS
}
func (*Machine) WatchSignals(uint64, func())              {}
func (*Machine) SetWallTime(int64)                        {}
func (*Machine) ConsoleWrite([]byte)                      {}
func (*Machine) Random([]byte, bool) bool                 { return true }
func (*Machine) CPU() int                                 { return 0 }
func (*Machine) CPUs() (int, string)                      { return 1, "host" }
func (*Machine) Busy(int) int64                           { return 0 }
func (*Machine) Stolen(int) int64                         { return 0 }
func (*Machine) LargePages() uint64                       { return 0 }
func (*Machine) Counts(int) kernel.CPUCounts              { return kernel.CPUCounts{} }
func (*Machine) Threads() []kernel.Thread                 { return nil }
func (*Machine) CPUID(uint32, uint32) (a, b, c, d uint32) { return 0, 0, 0, 0 }
func (*Machine) Area(uintptr) (start, end, prot uintptr)  { return 0, 0, 0 }
func (*Machine) CommandLine() string                      { return "" }
func (*Machine) InitialFiles() []byte                     { return nil }
func (*Machine) Nanotime() int64                          { return time.Now().UnixNano() }
func (*Machine) Exit(int)                                 {}

// Of pagecache.Machine, only the pages work: files cannot be mapped.

func (*Machine) SetChunks([]uint64)                                  {}
func (*Machine) Reclaim(int) int                                     { return 0 }
func (*Machine) NoticeStores(machine.StoreLimits)                    {}
func (*Machine) Stores() int                                         { return 0 }
func (*Machine) FreeFile(machine.File)                               {}
func (*Machine) EndCollect(machine.File)                             {}
func (*Machine) DropPages(machine.File, uintptr, uintptr)            {}
func (*Machine) SetFilePages(machine.File, uintptr)                  {}
func (*Machine) ShowPage(machine.File, uintptr, uint64) machine.Page { return 0 }
func (*Machine) NewFile(machine.Reader) (machine.File, syscall.Errno) {
	return 0, syscall.ENODEV
}
func (*Machine) ReachFile(machine.File, uintptr) (bool, syscall.Errno) {
	return false, syscall.ENODEV
}
func (*Machine) SetRuns(machine.File, []machine.Run) syscall.Errno { return syscall.ENODEV }
func (*Machine) MapFile(machine.File, uintptr, uintptr, uintptr, uintptr, uintptr) (uintptr, syscall.Errno) {
	return 0, syscall.ENODEV
}
func (*Machine) CollectPages(machine.File, uintptr, uintptr, []machine.Stored, bool) int { return 0 }

// Memory returns all memory and the free part, in bytes.
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
			at := (address(raw) + machine.PageSize - 1) &^ (machine.PageSize - 1)
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

// GivePages returns pages of TakePages.
func (m *Machine) GivePages(pages []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, pages...)
	m.taken -= len(pages)
}
