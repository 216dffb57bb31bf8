package jbd2

import (
	"sync/atomic"
	"syscall"
)

// Buffer is a block in the cache. Data is stable while the buffer is pinned.
type Buffer struct {
	Block uint64
	Data  []byte
	// Check belongs to the file system ("checksum verified", say). It is zero after a read.
	Check uint32
	// Seal, if not nil, is called once per commit before Data is copied: it sets
	// checksums. Data does not change otherwise during the call.
	Seal func(*Buffer)

	j       *Journal
	pins    int
	loading bool
	errno   syscall.Errno // of a failed read
	evicted bool          // no longer in the cache
	stale   bool          // will not be needed: freed, or new and never dirtied

	tx      *transaction // the running transaction if Data was changed in it, or nil
	sealing bool         // part of the committing transaction
	changed bool         // Data is newer than the newest committed copy

	// checkpoint is the newest durable transaction with the block; nil if what it
	// committed has been written to the block's place. The committed content is in
	// Data itself until that is changed again, then in copy.
	checkpoint *transaction
	copy       []byte
	writing    bool // the committed content is being written to the block's place

	prev, next *Buffer // in the list of clean buffers
}

func (b *Buffer) idle() bool {
	return b.pins == 0 && b.tx == nil && !b.sealing && b.checkpoint == nil && !b.writing && !b.loading && !b.evicted
}

// preserve copies what the next checkpoint has to write before Data changes.
func (j *Journal) preserve(b *Buffer) {
	if b.checkpoint != nil && b.copy == nil && !b.changed {
		b.copy = j.spares.get(j.cfg.BlockSize)
		copy(b.copy, b.Data)
	}
}

// checkpointed takes a buffer off its transaction: it needs no checkpoint any more.
func (j *Journal) checkpointed(b *Buffer) {
	if b.checkpoint == nil {
		return
	}
	b.checkpoint.pending--
	b.checkpoint = nil
	j.uncheckpointed--
	if b.copy != nil {
		j.spares.put(b.copy)
		b.copy = nil
	}
}

// spares are blocks for copies, kept from one commit to the next.
type spares struct {
	free [][]byte
	max  int
}

const spareBytes = 1 << 20

func (s *spares) get(size int) []byte {
	if n := len(s.free); n > 0 {
		p := s.free[n-1]
		s.free = s.free[:n-1]
		return p
	}
	return make([]byte, size)
}

func (s *spares) put(p []byte) {
	if len(s.free) < s.max {
		s.free = append(s.free, p)
	}
}

// cache holds buffers by block. Journal.mu guards it.
type cache struct {
	blocks     map[uint64]*Buffer
	clean      Buffer // ring of idle buffers: next is the newest
	cleanCount int
	maxClean   int
}

func (c *cache) init(bytes, blockSize int) {
	c.blocks = map[uint64]*Buffer{}
	c.clean.prev, c.clean.next = &c.clean, &c.clean
	c.maxClean = max(bytes/blockSize, 16)
}

func (c *cache) unlink(b *Buffer) {
	if b.next == nil {
		return
	}
	b.prev.next, b.next.prev = b.next, b.prev
	b.prev, b.next = nil, nil
	c.cleanCount--
}

// addClean puts an idle buffer among the clean ones and evicts the oldest.
func (c *cache) addClean(b *Buffer) {
	if b.next != nil || !b.idle() {
		return
	}
	if b.stale {
		c.evict(b)
		return
	}
	b.prev, b.next = &c.clean, c.clean.next
	b.prev.next, b.next.prev = b, b
	c.cleanCount++
	for c.cleanCount > c.maxClean {
		c.evict(c.clean.prev)
	}
}

func (c *cache) evict(b *Buffer) {
	c.unlink(b)
	b.evicted = true
	delete(c.blocks, b.Block)
}

// pin finds or makes the buffer of a block. The caller must fill it if fresh is true.
func (j *Journal) pin(block uint64) (b *Buffer, fresh bool) {
	b = j.cache.blocks[block]
	if b == nil {
		b = &Buffer{Block: block, Data: make([]byte, j.cfg.BlockSize), j: j, loading: true}
		j.cache.blocks[block] = b
		fresh = true
	}
	j.cache.unlink(b)
	b.pins++
	for !fresh && b.loading {
		j.changed.Wait()
	}
	return b, fresh
}

// Get reads a block through the cache and pins it.
func (j *Journal) Get(block uint64) (*Buffer, syscall.Errno) {
	if block >= j.cfg.Blocks {
		return nil, syscall.EIO
	}
	j.mu.Lock()
	b, fresh := j.pin(block)
	j.mu.Unlock()
	if fresh {
		e := j.fetch(block, b.Data)
		j.loaded([]*Buffer{b}, e)
	}
	if b.errno != 0 {
		b.Put()
		return nil, b.errno
	}
	return b, 0
}

// loaded completes reads of buffers.
func (j *Journal) loaded(list []*Buffer, e syscall.Errno) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, b := range list {
		b.loading, b.errno = false, e
		if e != 0 {
			j.cache.evict(b)
		}
	}
	j.changed.Broadcast()
}

// New pins a block that is zero, without reading it: a metadata block that was
// just allocated. Handle.Dirty must follow.
func (j *Journal) New(block uint64) *Buffer {
	j.mu.Lock()
	defer j.mu.Unlock()
	b, fresh := j.pin(block)
	for b.evicted { // another goroutine's read failed
		b.pins--
		b, fresh = j.pin(block)
	}
	if fresh {
		b.loading = false
		j.changed.Broadcast()
	} else {
		j.preserve(b)
		clear(b.Data)
		atomic.StoreUint32(&b.Check, 0)
	}
	b.changed, b.stale = true, b.tx == nil
	return b
}

// Prefetch reads up to n blocks from first on that are not in the cache, with one
// request per gap, and returns when they are there. Errors are left to Get.
func (j *Journal) Prefetch(first uint64, n int) {
	n = min(n, j.cache.maxClean/2)
	for n > 0 && first < j.cfg.Blocks {
		list := j.missing(first, n)
		if len(list) > 0 {
			j.fill(list)
			first, n = list[len(list)-1].Block+1, n-int(list[len(list)-1].Block-first)-1
			continue
		}
		return
	}
}

// missing makes buffers for the first gap of a range.
func (j *Journal) missing(first uint64, n int) (list []*Buffer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for block := first; block < first+uint64(n) && block < j.cfg.Blocks; block++ {
		if _, logged := j.overlay[block]; logged || j.cache.blocks[block] != nil {
			if list != nil {
				break
			}
			continue
		}
		b, _ := j.pin(block)
		list = append(list, b)
	}
	return list
}

func (j *Journal) fill(list []*Buffer) {
	bufs := make([][]byte, len(list))
	for i, b := range list {
		bufs[i] = b.Data
	}
	j.loaded(list, j.cfg.Device.ReadAt(bufs, int64(list[0].Block)*int64(j.cfg.BlockSize)))
	for _, b := range list {
		b.Put()
	}
}

// Put unpins a buffer.
func (b *Buffer) Put() {
	b.j.mu.Lock()
	b.pins--
	b.j.cache.addClean(b)
	b.j.mu.Unlock()
}

// Forget drops the cached copy of a block that became data.
func (j *Journal) Forget(block uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b := j.cache.blocks[block]; b != nil && b.idle() {
		j.cache.evict(b)
	}
}
