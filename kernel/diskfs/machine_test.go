package diskfs

import (
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
)

// hostMachine is the machine below the kernel: a clock, and pages.
type hostMachine struct {
	mu    sync.Mutex
	all   [][]byte
	free  []uint64
	taken int
	most  int
}

func (*hostMachine) SetPollable(int, bool)                                 {}
func (*hostMachine) Waiting(int)                                           {}
func (*hostMachine) Ready(int, kernel.Events)                              {}
func (*hostMachine) Syscall(uintptr, kernel.Args) (uintptr, syscall.Errno) { return 0, syscall.ENOSYS }
func (*hostMachine) ConsoleWrite([]byte)                                   {}
func (*hostMachine) Random([]byte)                                         {}
func (*hostMachine) CPU() int                                              { return 0 }
func (*hostMachine) CPUs() (int, string)                                   { return 1, "host" }
func (*hostMachine) Busy(int) int64                                        { return 0 }
func (*hostMachine) Stolen(int) int64                                      { return 0 }
func (*hostMachine) LargePages() uint64                                    { return 0 }
func (*hostMachine) Area(uintptr) (start, end, prot uintptr)               { return 0, 0, 0 }
func (*hostMachine) CommandLine() string                                   { return "" }
func (*hostMachine) InitialFiles() []byte                                  { return nil }
func (*hostMachine) Nanotime() int64                                       { return time.Now().UnixNano() }
func (*hostMachine) CacheTable([]uint64)                                   {}
func (*hostMachine) Exit(int)                                              {}
func (*hostMachine) MappedFile(int, uintptr, *[5]uintptr) (uintptr, syscall.Errno) {
	return 0, syscall.ENODEV
}

func (m *hostMachine) Memory() (total, free uint64) {
	return uint64(m.most) * 4096, uint64(m.most-m.taken) * 4096
}

func (m *hostMachine) TakePages(dst []uint64, floor uint64) int {
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

func (m *hostMachine) GivePages(pages []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, pages...)
	m.taken -= len(pages)
}
