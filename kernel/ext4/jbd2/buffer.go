package jbd2

import "syscall"

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
	tx      *transaction  // the running transaction, if Data was changed in it
	gone    bool          // not in the cache any more
	// in the list of clean buffers, newest first
	prev, next *Buffer
}

func (b *Buffer) idle() bool { return b.pins == 0 && b.tx == nil && !b.loading && !b.gone }

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
		errno := j.fetch(block, b.Data)
		j.loaded([]*Buffer{b}, errno)
	}
	if b.errno != 0 {
		b.Put()
		return nil, b.errno
	}
	return b, 0
}

// loaded ends the reading of buffers.
func (j *Journal) loaded(list []*Buffer, errno syscall.Errno) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, b := range list {
		b.loading, b.errno = false, errno
		if errno != 0 {
			j.cache.drop(b)
		}
	}
	j.changed.Broadcast()
}

// New pins a block that is zero, without reading it: a metadata block that was
// just allocated. Handle.Dirty must follow.
func (j *Journal) New(block uint64) *Buffer {
	j.mu.Lock()
	b, fresh := j.pin(block)
	if fresh {
		b.loading = false
		j.changed.Broadcast()
	} else {
		clear(b.Data)
		b.Check = 0
	}
	j.mu.Unlock()
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
