package pagecache

import (
	"sort"
	"syscall"

	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// An ExtentMapper is a Backing that can tell where the file lies on the device. Its answer
// stays true until WriteData adds to it, or Truncate or Punch remove from it.
type ExtentMapper interface {
	// Reader is the machine's handle for the device; 0 if the machine cannot read it.
	Reader() machine.Reader
	// Runs lists the parts of the file that can be read from the device, in order.
	Runs() ([]machine.Run, syscall.Errno)
}

// reader returns the machine's handle for the device of f, or 0.
func (f *File) reader() machine.Reader {
	if p, ok := f.b.(ExtentMapper); ok {
		return p.Reader()
	}
	return 0
}

// findRuns tells the machine what it can read. cut is locked, or busy is held.
func (f *File) findRuns() syscall.Errno {
	if f.mapped == 0 || f.reader() == 0 {
		return 0
	}
	runs, e := f.b.(ExtentMapper).Runs()
	if e != 0 {
		return e
	}
	return f.setRuns(runs)
}

func (f *File) setRuns(runs []machine.Run) syscall.Errno {
	e := f.c.m.SetRuns(f.mapped, runs)
	if e == 0 {
		f.runs = runs
	}
	return e
}

// onDevice returns which pages of a chunk the machine can read.
func (f *File) onDevice(index int64) (set uint64) {
	first := uintptr(index) * chunkPages
	i := sort.Search(len(f.runs), func(i int) bool { return f.runs[i].First+f.runs[i].Pages > first })
	for ; i < len(f.runs) && f.runs[i].First < first+chunkPages; i++ {
		r := &f.runs[i]
		set |= mask(int(max(r.First, first)-first), int(min(r.First+r.Pages, first+chunkPages)-first))
	}
	return set
}

// clipRuns removes the pages that [off, end) touches from what the machine can read: they
// are about to be freed. cut is held.
func (f *File) clipRuns(off, end int64) syscall.Errno {
	if len(f.runs) == 0 {
		return 0
	}
	first, last := uintptr(off/PageSize), uintptr(min(end, maxOffset-PageSize)+PageSize-1)/PageSize
	var list []machine.Run
	for _, r := range f.runs {
		if n := min(r.First+r.Pages, first); n > r.First {
			list = append(list, machine.Run{First: r.First, Pages: n - r.First, Sector: r.Sector})
		}
		if at := max(r.First, last); at < r.First+r.Pages {
			list = append(list, machine.Run{First: at, Pages: r.First + r.Pages - at, Sector: r.Sector + (at-r.First)*(PageSize/machine.SectorSize)})
		}
	}
	return f.setRuns(list)
}
