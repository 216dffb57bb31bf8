package pagecache

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// fakeMachine has a fixed number of pages, on the test's heap.
type fakeMachine struct {
	mu    sync.Mutex
	total int
	free  []uint64
	keep  [][]byte
	table []uint64
}

func newMachine(pages int) *fakeMachine {
	m := &fakeMachine{total: pages}
	for range pages {
		raw := make([]byte, 2*PageSize)
		m.keep = append(m.keep, raw)
		at := (uintptr(unsafe.Pointer(&raw[0])) + PageSize - 1) &^ (PageSize - 1)
		m.free = append(m.free, uint64(at))
	}
	return m
}

func (m *fakeMachine) Memory() (total, free uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(m.total) * PageSize, uint64(len(m.free)) * PageSize
}

func (m *fakeMachine) TakePages(dst []uint64, floor uint64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < len(dst) && len(m.free) > 0 && uint64(len(m.free))*PageSize > floor {
		dst[n] = m.free[len(m.free)-1]
		m.free = m.free[:len(m.free)-1]
		for i := range pageBytes(dst[n]) {
			pageBytes(dst[n])[i] = 0xa5
		}
		n++
	}
	return n
}

func (m *fakeMachine) GivePages(pages []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range pages {
		for i := range pageBytes(p) {
			pageBytes(p)[i] = 0x5a
		}
	}
	m.free = append(m.free, pages...)
}

func (m *fakeMachine) SetChunks(table []uint64) {
	m.mu.Lock()
	m.table = table
	m.mu.Unlock()
}

// fakeMachine maps no files: mappingMachine does.

func (m *fakeMachine) Reclaim(int) int                          { return 0 }
func (m *fakeMachine) NoticeStores(machine.StoreLimits)         {}
func (m *fakeMachine) Stores() int                              { return 0 }
func (m *fakeMachine) FreeFile(machine.File)                    {}
func (m *fakeMachine) EndCollect(machine.File)                  {}
func (m *fakeMachine) DropPages(machine.File, uintptr, uintptr) {}
func (m *fakeMachine) SetFilePages(machine.File, uintptr)       {}
func (m *fakeMachine) ShowPage(machine.File, uintptr, uint64) machine.Page {
	return 0
}
func (m *fakeMachine) NewFile(machine.Reader) (machine.File, syscall.Errno) {
	return 0, syscall.ENODEV
}
func (m *fakeMachine) ReachFile(machine.File, uintptr) (bool, syscall.Errno) {
	return false, syscall.ENODEV
}
func (m *fakeMachine) SetRuns(machine.File, []machine.Run) syscall.Errno { return syscall.ENODEV }
func (m *fakeMachine) MapFile(machine.File, uintptr, uintptr, uintptr, uintptr, uintptr) (uintptr, syscall.Errno) {
	return 0, syscall.ENODEV
}
func (m *fakeMachine) CollectPages(machine.File, uintptr, uintptr, []machine.Stored, bool) int {
	return 0
}

// reclaim does to one chunk what machPageCache.reclaim does.
func (m *fakeMachine) reclaim(at int) {
	m.mu.Lock()
	table := m.table
	m.mu.Unlock()
	if table == nil {
		return
	}
	p := atomic.LoadUint64(&table[at%len(table)])
	if p == 0 {
		return
	}
	c := (*chunk)(*(*unsafe.Pointer)(unsafe.Pointer(&p)))
	if !atomic.CompareAndSwapUint32(&c.Pins, 0, machine.ChunkTaken) {
		return
	}
	free := c.Valid &^ c.Keep
	var list []uint64
	for set := free; set != 0; set &= set - 1 {
		list = append(list, c.Page[bits.TrailingZeros64(set)])
	}
	c.Valid &^= free
	m.GivePages(list)
	atomic.StoreUint32(&c.Pins, 0)
}

// fakeFile is a Backing in memory.
type fakeFile struct {
	mu       sync.Mutex
	data     []byte
	reserved map[int64]bool // by page number
	stored   map[int64]bool // pages that need no reservation, by page number
	room     int            // number of pages that can be reserved
	fail     syscall.Errno
	badPage  int64 // reading this page fails with EIO, if not 0
	writes   int
}

func newBacking() *fakeFile {
	return &fakeFile{reserved: map[int64]bool{}, stored: map[int64]bool{}, room: 1 << 30}
}

func (f *fakeFile) BlockSize() int { return 1024 }

func (f *fakeFile) ReadData(bufs [][]byte, off int64) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != 0 {
		return f.fail
	}
	for _, b := range bufs {
		clear(b)
		if off < int64(len(f.data)) {
			copy(b, f.data[off:])
		}
		off += int64(len(b))
	}
	return 0
}

func (f *fakeFile) WriteData(runs []block.Write, size int64) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != 0 {
		return f.fail
	}
	f.writes++
	e := syscall.Errno(0)
	for _, r := range runs {
		if f.badPage != 0 && r.Off <= f.badPage*PageSize && f.badPage*PageSize < r.Off+r.Len() {
			e = syscall.EIO
			continue
		}
		f.writeRun(r.Bufs, r.Off)
	}
	return e
}

func (f *fakeFile) writeRun(bufs [][]byte, off int64) {
	for _, b := range bufs {
		if !f.reserved[off/PageSize] && !f.stored[off/PageSize] {
			panic("a page is written without a reservation")
		}
		delete(f.reserved, off/PageSize)
		f.stored[off/PageSize] = true
		if n := off + int64(len(b)); n > int64(len(f.data)) {
			f.data = append(f.data, make([]byte, n-int64(len(f.data)))...)
		}
		transfer(f.data[off:], b)
		off += int64(len(b))
	}
}

func (f *fakeFile) Reserve(off, n int64) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reserved)+int(n/PageSize) > f.room {
		return syscall.ENOSPC
	}
	for ; n > 0; off, n = off+PageSize, n-PageSize {
		f.reserved[off/PageSize] = true // again, if it is being written
	}
	return 0
}

func (f *fakeFile) Unreserve(off, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; n > 0; off, n = off+PageSize, n-PageSize {
		if !f.reserved[off/PageSize] && !f.stored[off/PageSize] {
			panic("a reservation is given back that was not made")
		}
		delete(f.reserved, off/PageSize)
	}
}

func (f *fakeFile) NextData(off int64) (start, end int64, e syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off >= int64(len(f.data)) {
		return -1, 0, 0
	}
	return off, int64(len(f.data)), 0
}

func (f *fakeFile) truncate(size int64) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = f.data[:min(size, int64(len(f.data)))]
	return 0
}

// transfer copies as a device does, which may read a page while a program is writing to it
// again: that page becomes dirty then, and is written once more.
//
//go:norace
func transfer(dst, src []byte) {
	//lint:ignore S1001 the race detector sees copy, and must not see this
	for i := range src {
		dst[i] = src[i]
	}
}
