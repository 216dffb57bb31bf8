package ext4

import (
	"sync"
	"syscall"
)

// defaultDiscard is the shortest run of freed blocks that is worth a request, in
// bytes.
const defaultDiscard = 256 << 10

// discards tells the device which blocks are unused, so that the host can free them in
// the image file, as with Linux's mount option discard. It works in the background, on
// long runs of blocks, after the transaction that freed them is durable. Until the device
// has answered, the blocks are not allocated.
type discards struct {
	mu      sync.Mutex
	ended   sync.Cond // signalled when no request is left; its lock is mu
	list    []freed
	running bool
	off     bool // the device does not support the request or has failed it
}

// freed are n freed blocks of a group, from bit on.
type freed struct {
	g      *group
	bit, n uint32
}

// afterFree is called when a transaction that frees blocks is durable. It returns the
// blocks to the allocator at once or queues them to be discarded first.
func (fs *FS) afterFree(f freed) {
	d := &fs.discards
	d.mu.Lock()
	if d.off || fs.opt.Discard < 0 || fs.blockBytes(uint64(f.n)) < fs.opt.Discard {
		d.mu.Unlock()
		fs.returnBlocks(f)
		return
	}
	d.list = append(d.list, f)
	if !d.running {
		d.running = true
		go fs.discardAll()
	}
	d.mu.Unlock()
}

// returnBlocks makes blocks available to the allocator.
func (fs *FS) returnBlocks(f freed) {
	fs.giveBack(f.g, f.bit, f.n)
	fs.space.deferred.Add(-int64(f.n))
}

// discardAll discards the blocks in the list until it is empty.
func (fs *FS) discardAll() {
	d := &fs.discards
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.list) > 0 {
		f := d.list[0]
		d.list = d.list[1:]
		off := d.off
		d.mu.Unlock()
		var e syscall.Errno
		if !off {
			e = fs.dev.Discard(fs.blockBytes(fs.groupStart(f.g.n)+uint64(f.bit)), fs.blockBytes(uint64(f.n)))
		}
		fs.returnBlocks(f)
		d.mu.Lock()
		if e != 0 {
			d.off = true
			if e != syscall.EOPNOTSUPP {
				fs.opt.Log("ext4: the disk fails to discard blocks, which is not tried again: " + e.Error())
			}
		}
	}
	d.list, d.running = nil, false
	d.ended.Broadcast()
}

// waitDiscards waits until all queued blocks are discarded.
func (fs *FS) waitDiscards() {
	d := &fs.discards
	d.mu.Lock()
	for d.running {
		d.ended.Wait()
	}
	d.mu.Unlock()
}

// endDiscards stops discarding and waits for the request that is under way: the next
// mount of the disk may use the blocks.
func (fs *FS) endDiscards() {
	fs.discards.mu.Lock()
	fs.discards.off = true
	fs.discards.mu.Unlock()
	fs.waitDiscards()
}
