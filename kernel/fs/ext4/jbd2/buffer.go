package jbd2

import (
	"sync/atomic"
	"syscall"
)

// Buffer is a block in the cache. Data is stable while the buffer is pinned.
type Buffer struct {
	Block uint64
	Data  []byte
	// Check is the file system's own, zero after a read: "checksum verified", say.
	Check uint32
	// Seal, if not nil, is called once per commit before Data is copied: it sets
	// checksums. Nobody else changes Data at that time.
	Seal func(*Buffer)

	j       *Journal
	pins    int
	loading bool
	errno   syscall.Errno // of the read that failed
	gone    bool          // not in the cache any more
	stale   bool          // not worth keeping: freed, or new and never dirtied

	tx      *transaction // the running transaction, if Data was changed in it
	sealing bool         // part of the committing transaction
	changed bool         // Data is newer than the newest copy of a commit

	// home is the newest durable transaction with the block, nil if that copy is at
	// its place. The copy is Data itself until that is changed again.
	home    *transaction
	copy    []byte
	writing bool // the copy is being written to its place

	prev, next *Buffer // in the list of clean buffers
}

func (b *Buffer) idle() bool {
	return b.pins == 0 && b.tx == nil && !b.sealing && b.home == nil && !b.writing && !b.loading && !b.gone
}

// preserve keeps what is to be written home before Data changes.
func (j *Journal) preserve(b *Buffer) {
	if b.home != nil && b.copy == nil && !b.changed {
		b.copy = j.spares.get(j.cfg.BlockSize)
		copy(b.copy, b.Data)
	}
}

// settle says that nothing of a buffer waits to be written home.
func (j *Journal) settle(b *Buffer) {
	if b.home == nil {
		return
	}
	b.home.pending--
	b.home = nil
	j.waiting--
	if b.copy != nil {
		j.spares.put(b.copy)
		b.copy = nil
	}
}

// spares are blocks for copies, kept from one commit to the next.
type spares struct {
	free [][]byte
	most int
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
	if len(s.free) < s.most {
		s.free = append(s.free, p)
	}
}

// cache holds buffers by block. Journal.mu guards it.
type cache struct {
	blocks map[uint64]*Buffer
	clean  Buffer // ring of idle buffers: next is the newest
	kept   int
	most   int
}

func (c *cache) init(bytes, blockSize int) {
	c.blocks = map[uint64]*Buffer{}
	c.clean.prev, c.clean.next = &c.clean, &c.clean
	c.most = max(bytes/blockSize, 16)
}

func (c *cache) unlink(b *Buffer) {
	if b.next == nil {
		return
	}
	b.prev.next, b.next.prev = b.next, b.prev
	b.prev, b.next = nil, nil
	c.kept--
}

// rest puts an idle buffer among the clean ones and evicts the oldest.
func (c *cache) rest(b *Buffer) {
	if b.next != nil || !b.idle() {
		return
	}
	if b.stale {
		c.drop(b)
		return
	}
	b.prev, b.next = &c.clean, c.clean.next
	b.prev.next, b.next.prev = b, b
	c.kept++
	for c.kept > c.most {
		c.drop(c.clean.prev)
	}
}

func (c *cache) drop(b *Buffer) {
	c.unlink(b)
	b.gone = true
	delete(c.blocks, b.Block)
}

// pin finds or makes the buffer of a block; fresh: it must be filled.
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

// loaded ends the reading of buffers.
func (j *Journal) loaded(list []*Buffer, e syscall.Errno) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, b := range list {
		b.loading, b.errno = false, e
		if e != 0 {
			j.cache.drop(b)
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
	for b.gone { // somebody's read failed
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
	n = min(n, j.cache.most/2)
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
	b.j.cache.rest(b)
	b.j.mu.Unlock()
}

// Forget drops the cached copy of a block that became data.
func (j *Journal) Forget(block uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b := j.cache.blocks[block]; b != nil && b.idle() {
		j.cache.drop(b)
	}
}
