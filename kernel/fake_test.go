package kernel

import (
	"crypto/rand"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// fakeMachine is a Machine on the host: memory and clocks are the host's.
type fakeMachine struct {
	noRandom atomic.Bool
	start    time.Time
	archive  []byte
	memory   uint64
	mu       sync.Mutex
	out      []byte
	pollable map[int]bool
	ready    map[int]Events
	exit     int
	signals  []*SignalInfo // pending signals; all are blocked
	wall     int64         // set by SetWallTime
	area     func(addr uintptr) (start, end, prot uintptr)
}

func newFake() *fakeMachine {
	return &fakeMachine{start: time.Now(), memory: 256 << 20, pollable: map[int]bool{}, ready: map[int]Events{}, exit: -1}
}

func (m *fakeMachine) Waiting(int) {}

func (m *fakeMachine) SetPollable(fd int, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pollable[fd] = on
	if !on {
		delete(m.ready, fd)
	}
}

func (m *fakeMachine) Ready(fd int, ev Events) {
	m.mu.Lock()
	m.ready[fd] |= ev
	m.mu.Unlock()
}

func (m *fakeMachine) Syscall(nr uintptr, a Args) (uintptr, syscall.Errno) {
	var n [6]uintptr
	for i := range n {
		n[i] = uintptr(a.Pointer(i))
	}
	r, _, e := syscall.Syscall6(nr, n[0], n[1], n[2], n[3], n[4], n[5])
	return r, e
}

// SendSignal accepts the threads of the test process, and the process as a thread.
func (m *fakeMachine) SendSignal(tid int, info *SignalInfo, timer bool) (pending bool, e syscall.Errno) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); tid != 0 && tid != pid && err != nil {
		return false, syscall.ESRCH
	}
	for _, s := range m.signals {
		if timer && s.Code == siTimer && uint32(s.Fields[0]) == uint32(info.Fields[0]) {
			if info.Signo != 0 {
				s.Fields[0] += (info.Fields[0]>>32 + 1) << 32
			}
			return true, 0
		}
	}
	if info.Signo != 0 {
		m.signals = append(m.signals, info)
	}
	return false, 0
}

func (m *fakeMachine) WatchSignals(uint64, func()) {}

// deliver returns the oldest pending signal, nil if there is none.
func (m *fakeMachine) deliver() *SignalInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.signals) == 0 {
		return nil
	}
	s := m.signals[0]
	m.signals = m.signals[1:]
	return s
}

func (m *fakeMachine) SetWallTime(ns int64) { m.wall = ns }

func (m *fakeMachine) ConsoleWrite(p []byte) {
	m.mu.Lock()
	m.out = append(m.out, p...)
	m.mu.Unlock()
}

func (m *fakeMachine) output() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := string(m.out)
	m.out = nil
	return s
}

// fakeAreas are the mappings of a fakeMachine that has no others.
var fakeAreas = [...]struct{ start, end, prot uintptr }{
	{0x400000, 0x500000, syscall.PROT_READ | syscall.PROT_EXEC},
	{0x7f0000001000, 0x7f0000002000, syscall.PROT_NONE},
	{0x7f0000002000, 0x7f0000004000, syscall.PROT_READ | syscall.PROT_WRITE},
}

func (m *fakeMachine) Area(addr uintptr) (start, end, prot uintptr) {
	if m.area != nil {
		return m.area(addr)
	}
	for _, a := range fakeAreas {
		if a.end > addr {
			return a.start, a.end, a.prot
		}
	}
	return 0, 0, 0
}

func (m *fakeMachine) Random(p []byte, insecure bool) bool {
	if m.noRandom.Load() && !insecure {
		return false
	}
	rand.Read(p)
	return true
}

func (m *fakeMachine) Memory() (total, free uint64) { return m.memory, m.memory / 2 }
func (m *fakeMachine) CPU() int                     { return 1 }
func (m *fakeMachine) CPUs() (n int, model string)  { return 2, "fake" }
func (m *fakeMachine) Busy(cpu int) int64           { return int64(cpu+1) * 1e8 }
func (m *fakeMachine) Stolen(cpu int) int64         { return int64(cpu) * 3e9 }
func (m *fakeMachine) LargePages() uint64           { return 4 << 20 }
func (m *fakeMachine) Threads() []Thread            { return fakeThreads[:] }

// fakeThreads are the threads of a fakeMachine.
var fakeThreads = [...]Thread{{ID: 3, Ran: 2e9, Waits: 8, Preemptions: 9}, {ID: 1, Running: true, Ran: 1e9}}

func (m *fakeMachine) Counts(cpu int) CPUCounts {
	c := CPUCounts{Timer: 10, Kicks: 20, Devices: make([]uint64, 93), Faults: 30, PageReads: 4, Waits: 50, Preemptions: 6, Wakeups: 7}
	c.Devices[2] = uint64(cpu) * 100
	return c
}

// CPUID is that of a processor of Intel's family 6, model 42, with a cache of 4 MiB.
func (m *fakeMachine) CPUID(leaf, sub uint32) (a, b, c, d uint32) {
	switch {
	case leaf == 0:
		return 7, 0x756e6547, 0x6c65746e, 0x49656e69 // "GenuineIntel"
	case leaf == 1:
		return 0x000206a7, 8 << 8, 1<<0 | 1<<31, 1<<0 | 1<<4 | 1<<26
	case leaf == 4 && sub == 0:
		return 3<<5 | 3, 15<<22 | 63, 4095, 0 // level 3: 16 ways, lines of 64 bytes, 4096 sets
	case leaf == 7 && sub == 0:
		return 0, 1 << 5, 0, 0
	case leaf == 0x80000000:
		return 0x80000008, 0, 0, 0
	case leaf == 0x80000001:
		return 0, 0, 1, 1 << 29
	case leaf == 0x80000008:
		return 48<<8 | 39, 0, 0, 0
	}
	return 0, 0, 0, 0
}
func (m *fakeMachine) CommandLine() string  { return "console=ttyS0" }
func (m *fakeMachine) InitialFiles() []byte { return m.archive }
func (m *fakeMachine) Nanotime() int64      { return int64(time.Since(m.start)) + 1e9 }
func (m *fakeMachine) Exit(status int)      { m.exit = status }

func (m *fakeMachine) state(fd int) (on bool, ev Events) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pollable[fd], m.ready[fd]
}

// These are numbers of system calls that package syscall lacks on amd64.
const (
	nrSendmmsg      = 307
	nrRenameat2     = 316
	nrGetrandom     = 318
	nrMemfdCreate   = 319
	nrCopyFileRange = 326
	nrPreadv2       = 327
	nrStatx         = 332
	nrCloseRange    = 436
	nrFaccessat2    = 439
)

// system makes system calls: those of a Kernel or, for comparison, the host's.
type system struct {
	testing.TB
	k    *Kernel
	fake *fakeMachine
	dir  string // directory for files of the test
	log  []string
}

func newSystem(t testing.TB) *system { return newSystemWith(t, newFake(), Options{}) }

func newSystemWith(t testing.TB, m *fakeMachine, opt Options) *system {
	return &system{TB: t, k: New(m, opt), fake: m, dir: "/tmp"}
}

// call makes a system call. Pointers must be to the heap, where a pointer that is passed here
// points in any case: it escapes.
func (s *system) call(nr uintptr, args ...any) (int, syscall.Errno) {
	var n [6]uintptr
	var p [6]unsafe.Pointer
	for i, a := range args {
		switch a := a.(type) {
		case int:
			n[i] = uintptr(a)
		case uintptr:
			n[i] = a
		case unsafe.Pointer:
			n[i], p[i] = uintptr(a), a
		case string:
			b := append([]byte(a), 0)
			p[i] = unsafe.Pointer(&b[0])
		case []byte:
			p[i] = unsafe.Pointer(unsafe.SliceData(a))
		default:
			panic("an argument of a type that no call takes")
		}
		if p[i] != nil {
			n[i] = uintptr(p[i])
		}
	}
	if s.k == nil {
		defer unpreempted(nr)()
		r, _, e := syscall.Syscall6(nr, uintptr(ptr(n[0], p[0])), uintptr(ptr(n[1], p[1])), uintptr(ptr(n[2], p[2])),
			uintptr(ptr(n[3], p[3])), uintptr(ptr(n[4], p[4])), uintptr(ptr(n[5], p[5])))
		return int(r), e
	}
	r, _, e := s.k.Dispatch(nr, Args{N: n, P: p})
	return int(r), syscall.Errno(e)
}

// unpreempted keeps the runtime's SIGURG from a thread of the host whose call can block: the
// signal would end poll(2) with EINTR, and a write(2) half-way.
func unpreempted(nr uintptr) (end func()) {
	switch nr {
	case syscall.SYS_READ, syscall.SYS_WRITE, syscall.SYS_POLL, syscall.SYS_PPOLL, syscall.SYS_SELECT, syscall.SYS_PSELECT6,
		syscall.SYS_EPOLL_WAIT, syscall.SYS_EPOLL_PWAIT, syscall.SYS_OPEN, syscall.SYS_NANOSLEEP, syscall.SYS_CLOCK_NANOSLEEP:
	default:
		return func() {}
	}
	const sigBlock, sigSetMask = 0, 2
	mask, old := uint64(1)<<(syscall.SIGURG-1), uint64(0)
	runtime.LockOSThread()
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigBlock, uintptr(unsafe.Pointer(&mask)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	return func() {
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetMask, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
		runtime.UnlockOSThread()
	}
}

func ptr(n uintptr, p unsafe.Pointer) unsafe.Pointer {
	if p != nil {
		return p
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&n))
}

// must is call, and fails the test on an error.
func (s *system) must(nr uintptr, args ...any) int {
	s.Helper()
	r, e := s.call(nr, args...)
	if e != 0 {
		s.Fatalf("%s%v: %v", table[nr].name, args, e)
	}
	return r
}

func (s *system) open(path string, flags int) int {
	s.Helper()
	return s.must(syscall.SYS_OPENAT, atFdCwd, path, flags, 0o644)
}

func (s *system) write(fd int, data string) int {
	s.Helper()
	return s.must(syscall.SYS_WRITE, fd, []byte(data), len(data))
}

func (s *system) read(fd, n int) string {
	s.Helper()
	b := make([]byte, n+1)
	return string(b[:s.must(syscall.SYS_READ, fd, b, n)])
}

func (s *system) close(fd int) { s.Helper(); s.must(syscall.SYS_CLOSE, fd) }

func (s *system) readFile(path string) string {
	s.Helper()
	fd := s.open(path, syscall.O_RDONLY)
	defer s.close(fd)
	var out []byte
	for b := make([]byte, 4096); ; {
		n := s.must(syscall.SYS_READ, fd, b, len(b))
		if n == 0 {
			return string(out)
		}
		out = append(out, b[:n]...)
	}
}

func (s *system) writeFile(path, data string) {
	s.Helper()
	fd := s.open(path, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_TRUNC)
	if data != "" {
		s.write(fd, data)
	}
	s.close(fd)
}

func (s *system) stat(path string) (st syscall.Stat_t, e syscall.Errno) {
	p := new(syscall.Stat_t)
	_, e = s.call(syscall.SYS_LSTAT, path, unsafe.Pointer(p))
	return *p, e
}

// p is a path in the test's directory.
func (s *system) p(name string) string { return s.dir + "/" + name }

// overrun returns how often the first pending signal's timer has expired again.
func (m *fakeMachine) overrun() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.signals) == 0 {
		return 0
	}
	return m.signals[0].Fields[0] >> 32
}

func init() { AddCalls() }
