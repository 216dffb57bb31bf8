package ext4

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// op is a change: a handle of the journal, and blocks that were claimed for it so that it
// cannot run out of space half-way.
type op struct {
	fs      *FS
	h       *jbd2.Handle
	credits int
	left    int
	claimed int64
	changed bool // a buffer was changed through this handle
}

// begin opens a handle for a change of at most credits buffers that allocates at most
// blocks blocks. The caller has nothing open or locked that a commit waits for: no handle,
// no group. ENOSPC: there is not enough space, even if all that is pending is released.
func (fs *FS) begin(credits int, blocks int64) (*op, syscall.Errno) {
	return fs.beginMargin(credits, blocks, fs.margin()/2)
}

func (fs *FS) beginMargin(credits int, blocks, margin int64) (*op, syscall.Errno) {
	if fs.ro.Load() {
		return nil, syscall.EROFS
	}
	if e := fs.claim(blocks, margin); e != 0 {
		return nil, e
	}
	h, e := fs.j.Begin(credits)
	if e != 0 {
		fs.unclaim(blocks)
		return nil, e
	}
	return &op{fs: fs, h: h, credits: credits, left: credits, claimed: blocks}, 0
}

// end closes the handle and returns e, or the error of closing it. An error after a change
// leaves the transaction incomplete: it must not be committed, so the journal is aborted.
func (o *op) end(e syscall.Errno) syscall.Errno {
	if e != 0 && o.changed {
		o.fs.j.Abort(mountError("a change of metadata failed half-way: " + e.Error()))
	}
	o.fs.unclaim(o.claimed)
	o.claimed = 0
	if o.h == nil {
		return e
	}
	if ended := o.h.End(); e == 0 {
		e = ended
	}
	return e
}

// step says that the next part changes at most n buffers. If the handle has fewer credits
// left, a new one takes its place: what was done so far must be consistent by itself.
func (o *op) step(n int) syscall.Errno {
	if o.left >= n {
		o.left -= n
		return 0
	}
	if e := o.h.End(); e != 0 {
		return e
	}
	// The part before is complete: if the journal ends now, no change is half done.
	o.h, o.changed = nil, false
	h, e := o.fs.j.Begin(o.credits)
	if e != 0 {
		return e
	}
	o.h, o.left = h, o.credits-n
	return 0
}

func (o *op) get(block uint64) (*jbd2.Buffer, syscall.Errno) { return o.fs.j.Get(block) }

// dirty makes a buffer part of the transaction; seal computes its checksum.
func (o *op) dirty(b *jbd2.Buffer, seal func(*jbd2.Buffer)) {
	o.h.Dirty(b)
	if seal != nil || b.Seal != nil { // blocks of the inode table have several writers
		b.Seal = seal
	}
	o.changed = true
}

// fresh is the buffer of a newly allocated metadata block, zeroed, as part of the
// transaction. checked are the checks that a read would make: they are skipped, because
// the commit has not computed the checksum yet.
func (o *op) fresh(block uint64, checked uint32, seal func(*jbd2.Buffer)) *jbd2.Buffer {
	b := o.fs.j.New(block)
	o.dirty(b, seal)
	mark(b, checked)
	return b
}
