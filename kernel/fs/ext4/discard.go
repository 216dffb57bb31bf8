package ext4

import (
	"sync"
	"syscall"
)

// defaultDiscard is the shortest run of freed blocks that is worth a request, in
// bytes.
const defaultDiscard = 256 << 10

// discards tells the device which blocks nobody needs, so that an image of the host
// gets smaller again, as mount -o discard of Linux does: long runs, after the
// transaction that frees them is durable, beside all else. Until the device has
// answered the blocks are nobody's.
type discards struct {
	mu      sync.Mutex
	ended   sync.Cond // nothing is left to do; its lock is mu
	list    []freed
	running bool
	off     bool // the device has no such request, or fails at it
}

// freed are n blocks of a group, from bit on.
type freed struct {
	g      *group
	bit, n uint32
}

// afterFree gives freed blocks back, their transaction being durable: at once, or
// when they are discarded.
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

// returnBlocks makes blocks free to be taken.
func (fs *FS) returnBlocks(f freed) {
	fs.giveBack(f.g, f.bit, f.n)
	fs.space.deferred.Add(-int64(f.n))
}

// discardAll discards what is in the list, until it is empty.
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

// waitDiscards returns when what was to be discarded is.
func (fs *FS) waitDiscards() {
	d := &fs.discards
	d.mu.Lock()
	for d.running {
		d.ended.Wait()
	}
	d.mu.Unlock()
}

// endDiscards discards nothing any more and waits for the request that is under way:
// who mounts the disk next may use the blocks.
func (fs *FS) endDiscards() {
	fs.discards.mu.Lock()
	fs.discards.off = true
	fs.discards.mu.Unlock()
	fs.waitDiscards()
}
