package wiring

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// CacheMachine is the machine as the page cache sees it (pagecache.Machine). It is apart
// from what the kernel sees, so that images without disks do not carry its methods.
type CacheMachine struct{}

// Memory returns the RAM and the free part of it, in bytes.
func (CacheMachine) Memory() (total, free uint64) { return memory() }

// The methods are those of pagecache.Machine.

func (CacheMachine) TakePages(dst []uint64, floor uint64) int { return takePages(dst, floor) }
func (CacheMachine) GivePages(pages []uint64)                 { givePages(pages) }
func (CacheMachine) SetChunks(table []uint64)                 { setChunks(table) }
func (CacheMachine) Reclaim(n int) int                        { return reclaim(n) }
func (CacheMachine) NoticeStores(l machine.StoreLimits)       { noticeStores(l) }
func (CacheMachine) Stores() int                              { return stores() }
func (CacheMachine) FreeFile(f machine.File)                  { freeFile(f) }
func (CacheMachine) EndCollect(f machine.File)                { endCollect(f) }

func (CacheMachine) NewFile(r machine.Reader) (machine.File, syscall.Errno) { return newFile(r) }
func (CacheMachine) DropPages(f machine.File, first, end uintptr)           { dropPages(f, first, end) }
func (CacheMachine) SetFilePages(f machine.File, pages uintptr)             { setFilePages(f, pages) }

func (CacheMachine) MapFile(f machine.File, addr, n, first, prot, flags uintptr) (uintptr, syscall.Errno) {
	return mapFile(f, addr, n, first, prot, flags)
}

func (CacheMachine) ShowPage(f machine.File, index uintptr, page uint64) machine.Page {
	return showPage(f, index, page)
}

func (CacheMachine) ReachFile(f machine.File, pages uintptr) (grown bool, e syscall.Errno) {
	return reachFile(f, pages)
}

func (CacheMachine) CollectPages(f machine.File, first, end uintptr, out []machine.Stored, all bool) int {
	return collectPages(f, first, end, out, all)
}

func (CacheMachine) SetRuns(f machine.File, runs []machine.Run) syscall.Errno {
	return setRuns(f, runs)
}

// NewReader makes the machine read over a queue whose interrupt is irq, and returns
// its handle; 0 if it cannot.
func NewReader(s machine.ReaderSpec, irq *Interrupt) machine.Reader {
	s.Device = irq.device
	return newReader(&s)
}

// EndReader says that the device has ended; leaky, that it may still write to memory
// that it was given.
func EndReader(r machine.Reader, leaky bool) { endReader(r, leaky) }
