// Package pagecache keeps pages of files in memory: for read and write, which copy from and
// to them, for mappings, which show them, and for the file system below, which fills them
// and writes them back. Pages are frames of the machine, not of Go's heap. They are managed
// in chunks of 64.
//
// Reading order: cache.go (memory, what may be dirty), chunk.go (64 pages), file.go
// (read and write), readahead.go, writeback.go, truncate.go, mapping.go (mmap), runs.go
// (what the machine reads by itself).
package pagecache

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// Page sizes, in bytes.
const (
	PageSize   = machine.PageSize
	chunkPages = machine.ChunkPages
	chunkSize  = chunkPages * PageSize
)

// Machine gives memory, and shows pages of files in mappings. It must define these
// methods; on the real machine they are calls of the machine half (machine.Call).
type Machine interface {
	// Memory returns the RAM and its free part, in bytes.
	Memory() (total, free uint64)
	// TakePages fills dst with the addresses of free pages of RAM, as long as more
	// than floor bytes are free, and returns how many. Their content is undefined.
	TakePages(dst []uint64, floor uint64) int
	// GivePages frees pages of TakePages.
	GivePages(pages []uint64)
	// SetChunks says where the addresses of all machine.Chunks are, 0 for none, so that
	// the machine can take clean pages back when it has no others. When it returns, the
	// machine is not at a chunk that was in the table before.
	SetChunks(table []uint64)

	// NewFile makes the machine's part of a file that is to be mapped, whose pages r can
	// read (0: none can). ENOMEM.
	NewFile(r machine.Reader) (machine.File, syscall.Errno)
	// FreeFile frees the machine's part; no mapping may be left.
	FreeFile(f machine.File)
	// MapFile maps n bytes from page first on, as mmap(2) with addr, prot and flags, and
	// returns their address.
	MapFile(f machine.File, addr, n, first, prot, flags uintptr) (uintptr, syscall.Errno)
	// ReachFile makes room for a number of pages. grown reports that there was less room
	// before, so that the pages above it must be shown again. ENOMEM.
	ReachFile(f machine.File, pages uintptr) (grown bool, e syscall.Errno)
	// SetFilePages sets the size, in pages: an access beyond it is SIGBUS.
	SetFilePages(f machine.File, pages uintptr)
	// SetRuns sets which parts of the file can be read from its device, in order. ENOMEM.
	SetRuns(f machine.File, runs []machine.Run) syscall.Errno
	// ShowPage makes a page (its address) visible to mappings. If the machine has made or
	// read a page itself in the meantime, that one stays and is returned to the caller.
	ShowPage(f machine.File, index uintptr, page uint64) machine.Page
	// DropPages removes the pages [first, end) from all mappings.
	DropPages(f machine.File, first, end uintptr)
	// CollectPages fills out with pages in [first, end) that mappings have stored to since
	// the last call, and returns how many. With all, it includes pages that the machine
	// has made or read. The pages are clean afterwards, and not evicted before EndCollect.
	CollectPages(f machine.File, first, end uintptr, out []machine.Stored, all bool) int
	// EndCollect says that the page cache has recorded the collected pages.
	EndCollect(f machine.File)

	// NoticeStores asks for an interrupt when mappings are stored to.
	NoticeStores(l machine.StoreLimits)
	// Stores returns how many pages are not collected yet that mappings have stored to.
	Stores() int
	// Reclaim takes about n clean pages of mapped files back and returns how many.
	Reclaim(n int) int
}

// Backing is the file below a File, on a device. Offsets are multiples of the file system's
// block size. Methods may block, and may be called concurrently for ranges that do not
// overlap.
type Backing interface {
	// BlockSize is at most PageSize.
	BlockSize() int
	// ReadData fills bufs from off. Holes, and the bytes after the end, read as zeroes.
	ReadData(bufs [][]byte, off int64) syscall.Errno
	// WriteData stores runs, in ascending order, and makes the file at least size bytes
	// long. All runs are tried; the error is that of any of them.
	WriteData(runs []block.Write, size int64) syscall.Errno
	// Reserve reserves space for a range that will be written (delayed allocation). ENOSPC.
	Reserve(off, n int64) syscall.Errno
	// Unreserve returns a reservation that WriteData did not use.
	Unreserve(off, n int64)
	// NextData returns where data begins at or after off, and where it ends (at a hole
	// or the end of the file); start is -1 if there is none.
	NextData(off int64) (start, end int64, e syscall.Errno)
}

// Cache has the pages of all files of a machine.
type Cache struct {
	m     Machine
	floor uint64 // bytes of memory that are left free

	dirty           atomic.Int64 // number of dirty pages
	dirtyLimit      int64        // dirty pages above which writers wait for writeback (Linux: dirty_ratio)
	dirtyBackground int64        // dirty pages at which writeback starts (Linux: dirty_background_ratio)

	mappedMu sync.Mutex
	mapped   map[*File]struct{} // files with mappings

	mu     sync.Mutex
	table  []uint64 // addresses of chunks for the machine, by slot; nil until the first chunk
	shown  int      // number of slots that the machine looks at
	chunks []*chunk // by slot
	free   []int    // unused slots
	hand   int

	tidying atomic.Bool

	flush flusher

	collectMu sync.Mutex
	collected [chunkPages]machine.Stored // buffer for CollectPages: its address must not change
}

// New makes a cache. It takes no memory yet.
func New(m Machine) *Cache {
	total, _ := m.Memory()
	c := &Cache{m: m, floor: max(total/16, 1<<20), mapped: make(map[*File]struct{})}
	// At most a tenth of the RAM waits for writeback (Linux: dirty_ratio is 20 % of the
	// available memory).
	c.dirtyLimit = max(int64(total/10/PageSize), 4*chunkPages)
	c.dirtyBackground = c.dirtyLimit / 2
	c.flush.init(c)
	return c
}

// pagesPerChunk is how many pages a chunk should have at least, on average. With many small
// files, the oldest chunks are evicted even if there is memory for their pages.
const pagesPerChunk = 8

// addChunk gives a chunk a slot in the table.
func (c *Cache) addChunk(ch *chunk) {
	if c.insert(ch) && c.tidying.CompareAndSwap(false, true) {
		go c.limitChunks()
	}
}

// limitChunks frees chunks because there are many.
func (c *Cache) limitChunks() {
	c.shrink(chunkPages * 4)
	c.tidying.Store(false)
}

// insert gives a chunk a slot, and reports whether there are too many chunks.
func (c *Cache) insert(ch *chunk) (many bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table == nil {
		total, _ := c.m.Memory()
		c.table = make([]uint64, total/PageSize)
	}
	n := len(c.chunks)
	if k := len(c.free); k > 0 {
		n = c.free[k-1]
		c.free = c.free[:k-1]
		c.chunks[n] = ch
	} else {
		c.chunks = append(c.chunks, ch)
	}
	ch.slot = n
	if n < len(c.table) {
		atomic.StoreUint64(&c.table[n], ch.address())
		if n >= c.shown {
			c.show(min(2*n+64, len(c.table)))
		}
	}
	return (len(c.chunks)-len(c.free))*pagesPerChunk > len(c.table)
}

// show makes the machine look at the first n slots. It reads them when it has no memory
// left, so they must be resident. mu is held.
func (c *Cache) show(n int) {
	for i := c.shown; i < n; i++ {
		if i >= len(c.chunks) {
			atomic.StoreUint64(&c.table[i], 0)
		}
	}
	c.shown = n
	c.m.SetChunks(c.table[:n])
}

// removeChunk takes a chunk, which has no pages, out of the table.
func (c *Cache) removeChunk(ch *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.slot < len(c.table) {
		atomic.StoreUint64(&c.table[ch.slot], 0)
	}
	c.m.SetChunks(c.table[:c.shown]) // when it returns, the machine does not use the chunk
	c.chunks[ch.slot] = nil
	c.free = append(c.free, ch.slot)
}

// take fills dst with pages: free ones, else those of chunks that were not used lately. It
// is ENOMEM only if no page can be had at all.
func (c *Cache) take(dst []uint64) syscall.Errno {
	n := c.m.TakePages(dst, c.floor)
	for tries := 0; n < len(dst); tries++ {
		if tries == 8 || !c.shrink(c.missing()+max(len(dst)-n, chunkPages)) {
			n += c.m.TakePages(dst[n:], c.floor/4)
			break
		}
		n += c.m.TakePages(dst[n:], c.floor)
	}
	if n == len(dst) {
		return 0
	}
	c.m.GivePages(dst[:n])
	return syscall.ENOMEM
}

// missing is how many pages have to be freed before any can be taken.
func (c *Cache) missing() int {
	_, free := c.m.Memory()
	return int((c.floor - min(free, c.floor)) / PageSize)
}

// shrink frees about n clean pages, with a clock over the chunks, and reports whether it
// freed any.
func (c *Cache) shrink(n int) bool {
	freed := 0
	var empty []*chunk
	c.mu.Lock()
	for left := 2 * len(c.chunks); left > 0 && freed < n; left-- {
		if c.hand++; c.hand >= len(c.chunks) {
			c.hand = 0
		}
		if ch := c.chunks[c.hand]; ch != nil {
			n, none := ch.evict(c.m)
			freed += n
			if none {
				empty = append(empty, ch)
			}
		}
	}
	c.mu.Unlock()
	for _, ch := range empty {
		ch.f.forgetIfEmpty(ch)
	}
	if freed < n { // pages of mapped files are evicted by the machine
		freed += c.m.Reclaim(n - freed)
	}
	return freed > 0
}

// flusher writes back pages that have been dirty for a while, and more when many are dirty.
// Its goroutine exists while there are dirty pages.
type flusher struct {
	c     *Cache
	mu    sync.Mutex
	files map[*File]struct{} // files that may have dirty pages
	timer *time.Timer
	busy  bool
}

// flushAfter is how long a page may stay dirty (Linux: dirty_writeback_centisecs
// and dirty_expire_centisecs, 5 and 30 s).
const flushAfter = 5 * time.Second

func (w *flusher) init(c *Cache) {
	w.c = c
	w.files = make(map[*File]struct{})
}

// note makes sure that a file is written back in time.
func (w *flusher) note(f *File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[f] = struct{}{}
	if w.busy {
		return
	}
	if w.c.dirty.Load() > w.c.dirtyBackground {
		w.start()
	} else if w.timer == nil {
		w.timer = time.AfterFunc(flushAfter, w.expired)
	}
}

func (w *flusher) expired() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.busy {
		w.start()
	}
}

// start begins a round of writeback. mu is held.
func (w *flusher) start() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	w.busy = true
	go w.run()
}

// run writes the files that have dirty pages now.
func (w *flusher) run() {
	w.mu.Lock()
	list := make([]*File, 0, len(w.files))
	for f := range w.files {
		list = append(list, f)
	}
	clear(w.files)
	w.mu.Unlock()
	for _, f := range list {
		f.SyncAll()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	for _, f := range list {
		if f.dirty.Load() > 0 { // writeback failed, or it was written to meanwhile
			w.files[f] = struct{}{}
		}
	}
	if len(w.files) > 0 {
		w.timer = time.AfterFunc(flushAfter, w.expired)
	}
	w.noteStores(w.c.stored()) // mappings were stored to during writeback
}

// ServeStores writes back pages that mappings have stored to, in time. The machine sends an
// interrupt when they do: wait returns after each. ServeStores returns when wait fails.
func (c *Cache) ServeStores(interrupt machine.Device, wait func() error) {
	c.m.NoticeStores(machine.StoreLimits{
		Device: interrupt, Enough: uintptr(c.dirtyBackground), Limit: uintptr(2 * c.dirtyLimit), Dirty: c.dirtyAddress(),
	})
	for wait() == nil {
		c.flush.mu.Lock()
		c.flush.noteStores(c.stored())
		c.flush.mu.Unlock()
	}
}

// stored returns how many pages mappings have stored to, and the files that these may
// belong to.
func (c *Cache) stored() (list []*File, n int64) {
	stores := c.m.Stores()
	if stores == 0 {
		return nil, 0
	}
	c.mappedMu.Lock()
	defer c.mappedMu.Unlock()
	for f := range c.mapped {
		list = append(list, f)
	}
	return list, int64(stores)
}

// noteStores schedules the writeback of files whose mappings were stored to, n pages in all.
// mu is held.
func (w *flusher) noteStores(list []*File, n int64) {
	for _, f := range list {
		w.files[f] = struct{}{}
	}
	switch {
	case w.busy || n == 0:
	case n >= w.c.dirtyBackground:
		w.start()
	case w.timer == nil:
		w.timer = time.AfterFunc(flushAfter, w.expired)
	}
}

// throttle makes a writer wait while too many pages are dirty: it writes back its own file.
func (c *Cache) throttle(f *File) {
	if c.dirty.Load() > c.dirtyLimit {
		f.writeBack(0, maxOffset)
	}
}
