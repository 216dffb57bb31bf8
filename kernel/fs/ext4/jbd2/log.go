package jbd2

import (
	"cmp"
	"slices"
	"sort"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// logArea maps blocks of the journal to the device.
type logArea struct {
	dev       block.Device
	blockSize int
	runs      []Run  // sorted by Logical
	places    []Run  // the same runs, sorted by Physical
	blocks    uint32 // size of the whole journal
}

// init checks that the runs are complete, within the file system and do not overlap.
func (l *logArea) init(cfg *Config) error {
	l.dev, l.blockSize, l.runs = cfg.Device, cfg.BlockSize, cfg.Journal
	next := uint64(0)
	for _, r := range l.runs {
		if uint64(r.Logical) != next || r.Count == 0 || r.Physical == 0 || r.Physical >= cfg.Blocks || uint64(r.Count) > cfg.Blocks-r.Physical {
			return &Error{"the journal's inode maps block " + number(uint64(r.Logical)) + " wrongly; run e2fsck -f"}
		}
		next += uint64(r.Count)
	}
	if next == 0 || next > 1<<31 {
		return &Error{"the journal's inode has " + number(next) + " blocks; run e2fsck -f"}
	}
	l.blocks = uint32(next)
	l.places = slices.Clone(l.runs)
	slices.SortFunc(l.places, func(a, b Run) int { return cmp.Compare(a.Physical, b.Physical) })
	for i := 1; i < len(l.places); i++ {
		if last := l.places[i-1]; last.Physical+uint64(last.Count) > l.places[i].Physical {
			return &Error{"the journal's inode has block " + number(l.places[i].Physical) + " twice; run e2fsck -f"}
		}
	}
	return nil
}

// owns reports whether a block of the file system is one of the journal.
func (l *logArea) owns(block uint64) bool {
	i := sort.Search(len(l.places), func(i int) bool { return l.places[i].Physical > block }) - 1
	return i >= 0 && block-l.places[i].Physical < uint64(l.places[i].Count)
}

// find is the place of a block of the journal and how many follow it without a gap.
func (l *logArea) find(logical uint32) (physical uint64, n uint32) {
	i := sort.Search(len(l.runs), func(i int) bool { return l.runs[i].Logical > logical }) - 1
	r := l.runs[i]
	return r.Physical + uint64(logical-r.Logical), r.Count - (logical - r.Logical)
}

// each splits a range of the journal into requests without gaps.
func (l *logArea) each(bufs [][]byte, logical uint32, do func([][]byte, int64) syscall.Errno) syscall.Errno {
	for len(bufs) > 0 {
		if logical >= l.blocks {
			return syscall.EIO
		}
		physical, n := l.find(logical)
		n = min(n, uint32(len(bufs)), maxVector)
		if e := do(bufs[:n], int64(physical)*int64(l.blockSize)); e != 0 {
			return e
		}
		bufs, logical = bufs[n:], logical+n
	}
	return 0
}

// maxVector is the most buffers of one request.
const maxVector = 256

// read reads consecutive blocks of the journal, one per buffer; it does not wrap around.
func (l *logArea) read(bufs [][]byte, logical uint32) syscall.Errno {
	return l.each(bufs, logical, l.dev.ReadAt)
}

func (l *logArea) write(bufs [][]byte, logical uint32) syscall.Errno {
	return l.each(bufs, logical, l.dev.WriteAt)
}

// window reads the log in order, many blocks per request.
type window struct {
	log   *logArea
	end   uint32 // end of the log
	first uint32
	bufs  [][]byte
	n     uint32 // number of valid blocks in bufs
}

const windowBytes = 256 << 10

// get returns a block, valid until the next call.
func (w *window) get(logical uint32) ([]byte, syscall.Errno) {
	if logical-w.first >= w.n {
		if e := w.fill(logical); e != 0 {
			return nil, e
		}
	}
	return w.bufs[logical-w.first], 0
}

func (w *window) fill(logical uint32) syscall.Errno {
	if w.bufs == nil {
		p := make([]byte, min(windowBytes, int64(w.end)*int64(w.log.blockSize)))
		for ; len(p) > 0; p = p[w.log.blockSize:] {
			w.bufs = append(w.bufs, p[:w.log.blockSize:w.log.blockSize])
		}
	}
	w.n = 0
	n := min(uint32(len(w.bufs)), w.end-logical)
	if e := w.log.read(w.bufs[:n], logical); e != 0 {
		return e
	}
	w.first, w.n = logical, n
	return 0
}
