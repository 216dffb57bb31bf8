// Package pagecache keeps pages of files in memory: for read and write, which
// copy from and to them, for mappings, which show them, and for the file system
// below, which fills them and writes them back. Pages are frames of the machine,
// not of Go's heap, and known by chunks of 64.
//
// Reading order: cache.go (memory, what may be dirty), chunk.go (64 pages), file.go
// (read and write), readahead.go, writeback.go, truncate.go, mapping.go (mmap).
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
	// FreeFile ends it; no mapping is left.
	FreeFile(f machine.File)
	// MapFile maps n bytes from page first on, as mmap(2) with addr, prot and flags, and
	// returns their address.
	MapFile(f machine.File, addr, n, first, prot, flags uintptr) (uintptr, syscall.Errno)
	// ReachFile makes room for a number of pages; grown says that there was less, and
	// that pages above must be shown again. ENOMEM.
	ReachFile(f machine.File, pages uintptr) (grown bool, e syscall.Errno)
	// SetFilePages sets the size, in pages: an access beyond it is SIGBUS.
	SetFilePages(f machine.File, pages uintptr)
	// SetRuns says what of the file can be read from its device, in order. ENOMEM.
	SetRuns(f machine.File, runs []machine.Run) syscall.Errno
	// ShowPage makes a page (its address) visible to mappings. If the machine has made or
	// read one in the meantime, that one stays, becomes the caller's and is returned.
	ShowPage(f machine.File, index uintptr, page uint64) machine.Page
	// DropPages takes the pages [first, end) out of all mappings.
	DropPages(f machine.File, first, end uintptr)
	// CollectPages fills out with pages in [first, end) that mappings have stored to since
	// the last time, and returns how many; all means those too that the machine has made
	// or read. They are clean then, and are not evicted before EndCollect.
	CollectPages(f machine.File, first, end uintptr, out []machine.Stored, all bool) int
	// EndCollect says that the page cache keeps what was collected.
	EndCollect(f machine.File)

	// NoticeStores asks for an interrupt when mappings are stored to.
	NoticeStores(l machine.StoreLimits)
	// Stores returns how many pages mappings have stored to since they were collected.
	Stores() int
	// Reclaim takes about n clean pages of mapped files back and returns how many.
	Reclaim(n int) int
}

// Backing is the file below a File, on a device. Offsets are multiples of the
// file system's block; its methods block, and may be called at the same time for
// ranges that do not overlap.
type Backing interface {
	// BlockSize is at most PageSize.
	BlockSize() int
	// ReadData fills bufs from off; what is not stored reads as zeroes.
	ReadData(bufs [][]byte, off int64) syscall.Errno
	// WriteData stores runs, in ascending order, and makes the file at least size
	// bytes long there. All are tried; an error is that of any.
	WriteData(runs []block.Write, size int64) syscall.Errno
	// Reserve promises space for a range that will be written: ENOSPC.
	Reserve(off, n int64) syscall.Errno
	// Unreserve gives a promise back that WriteData did not use.
	Unreserve(off, n int64)
	// NextData returns where data begins at or after off, and where it ends
	// (a hole or the end of the file); start is -1 if there is none.
	NextData(off int64) (start, end int64, e syscall.Errno)
}

// Cache is the pages of all files of a machine.
type Cache struct {
	m     Machine
	floor uint64 // bytes of memory that are left free

	dirty       atomic.Int64 // pages
	dirtyLimit  int64        // writers wait for write-back above it
	dirtyEnough int64        // write-back begins

	mappedMu sync.Mutex
	mapped   map[*File]struct{} // those with mappings

	mu     sync.Mutex
	table  []uint64 // the machine's view: addresses of chunks; nil until the first chunk
	shown  int      // places that the machine knows
	chunks []*chunk // by place in table
	free   []int    // places
	hand   int

	tidying atomic.Bool

	flush flusher

	collectMu sync.Mutex
	collected [chunkPages]machine.Stored // room for CollectPages: it does not move
}

// New makes a cache. It takes no memory yet.
func New(m Machine) *Cache {
	total, _ := m.Memory()
	c := &Cache{m: m, floor: max(total/16, 1<<20), mapped: make(map[*File]struct{})}
	// At most a tenth of the RAM waits to be written (Linux: dirty_ratio is 20 %
	// of what is available).
	c.dirtyLimit = max(int64(total/10/PageSize), 4*chunkPages)
	c.dirtyEnough = c.dirtyLimit / 2
	c.flush.init(c)
	return c
}

// pagesPerChunk is the least that chunks should hold on average: with many small
// files, the oldest go although there is memory for their pages.
const pagesPerChunk = 8

// enter gives a chunk a place in the table.
func (c *Cache) enter(ch *chunk) {
	if c.place(ch) && c.tidying.CompareAndSwap(false, true) {
		go c.tidy()
	}
}

// tidy frees chunks, because there are many.
func (c *Cache) tidy() {
	c.shrink(chunkPages * 4)
	c.tidying.Store(false)
}

// place does so, and says whether there are too many.
func (c *Cache) place(ch *chunk) (many bool) {
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
	ch.place = n
	if n < len(c.table) {
		atomic.StoreUint64(&c.table[n], ch.address())
		if n >= c.shown {
			c.show(min(2*n+64, len(c.table)))
		}
	}
	return (len(c.chunks)-len(c.free))*pagesPerChunk > len(c.table)
}

// show makes the machine look at the first n places. It does so when it has no
// memory left, so they must be resident. mu is held.
func (c *Cache) show(n int) {
	for i := c.shown; i < n; i++ {
		if i >= len(c.chunks) {
			atomic.StoreUint64(&c.table[i], 0)
		}
	}
	c.shown = n
	c.m.SetChunks(c.table[:n])
}

// leave takes a chunk, which has no pages, out of the table.
func (c *Cache) leave(ch *chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.place < len(c.table) {
		atomic.StoreUint64(&c.table[ch.place], 0)
	}
	c.m.SetChunks(c.table[:c.shown]) // when it returns, the machine is not at the chunk
	c.chunks[ch.place] = nil
	c.free = append(c.free, ch.place)
}

// take fills dst with pages: free ones, else those of chunks that nobody used
// lately. It is ENOMEM only if nothing can be had at all.
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

// shrink frees about n clean pages, by a clock over the chunks, and reports
// whether it freed any.
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
	if freed < n { // those of mapped files are the machine's to evict
		freed += c.m.Reclaim(n - freed)
	}
	return freed > 0
}

// flusher writes back what has been dirty for a while, and when much is. Its
// goroutine exists while something is dirty.
type flusher struct {
	c     *Cache
	mu    sync.Mutex
	files map[*File]struct{} // that may have dirty pages
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
	if w.c.dirty.Load() > w.c.dirtyEnough {
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

// start begins a round. mu is held.
func (w *flusher) start() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	w.busy = true
	go w.run()
}

// run writes the files that are dirty now.
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
		if f.dirty.Load() > 0 { // failed, or written meanwhile
			w.files[f] = struct{}{}
		}
	}
	if len(w.files) > 0 {
		w.timer = time.AfterFunc(flushAfter, w.expired)
	}
	w.noteStores(w.c.stored()) // while others were written
}

// ServeStores writes back what mappings have stored, in time. The machine tells by an
// interrupt that they do: wait returns after each. It returns when wait fails.
func (c *Cache) ServeStores(interrupt machine.Device, wait func() error) {
	c.m.NoticeStores(machine.StoreLimits{
		Device: interrupt, Enough: uintptr(c.dirtyEnough), Limit: uintptr(2 * c.dirtyLimit), Dirty: c.dirtyAddress(),
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

// noteStores is note for files whose mappings were stored to, n pages in all. mu is
// held.
func (w *flusher) noteStores(list []*File, n int64) {
	for _, f := range list {
		w.files[f] = struct{}{}
	}
	switch {
	case w.busy || n == 0:
	case n >= w.c.dirtyEnough:
		w.start()
	case w.timer == nil:
		w.timer = time.AfterFunc(flushAfter, w.expired)
	}
}

// throttle makes a writer wait while too much is dirty: it writes its own file.
func (c *Cache) throttle(f *File) {
	if c.dirty.Load() > c.dirtyLimit {
		f.writeBack(0, maxOffset)
	}
}
