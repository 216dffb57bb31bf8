package jbd2

import "syscall"

// transaction is what is committed at once.
type transaction struct {
	tid      uint64
	handles  int // open ones
	reserved int // credits of open handles not used yet
	dirty    []*Buffer
	onCommit []func()
}

// Handle is one change of the file system, part of a transaction.
type Handle struct {
	j       *Journal
	tx      *transaction
	credits int
}

// Begin opens a handle in the running transaction for a change of at most credits
// blocks. It waits for a commit that is about to start. EROFS: the journal is
// read-only or has ended.
func (j *Journal) Begin(credits int) (*Handle, syscall.Errno) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.locked && j.err == nil {
		j.changed.Wait()
	}
	if j.err != nil || j.closed || j.cfg.ReadOnly {
		return nil, syscall.EROFS
	}
	if j.running == nil {
		j.running = &transaction{tid: j.next}
		j.next++
	}
	j.running.handles++
	return &Handle{j: j, tx: j.running, credits: credits}, 0
}

// Dirty makes a buffer part of the transaction. It comes before the change.
func (h *Handle) Dirty(b *Buffer) {
	h.j.mu.Lock()
	defer h.j.mu.Unlock()
	if b.tx == h.tx {
		return
	}
	b.tx = h.tx
	h.tx.dirty = append(h.tx.dirty, b)
}

// Revoke says that metadata blocks are freed: what the log has of them is not
// replayed, and what the transaction has changed in them is dropped. They may be
// used for data after the transaction is durable.
func (h *Handle) Revoke(block uint64, count uint32) {
	h.j.mu.Lock()
	defer h.j.mu.Unlock()
	for ; count > 0; block, count = block+1, count-1 {
		if b := h.j.cache.blocks[block]; b != nil {
			b.tx = nil
		}
	}
}

// OnCommit has f called when the transaction is durable, before Commit returns;
// never if the journal ends first.
func (h *Handle) OnCommit(f func()) {
	h.j.mu.Lock()
	h.tx.onCommit = append(h.tx.onCommit, f)
	h.j.mu.Unlock()
}

// TID is the transaction's number. Numbers only grow.
func (h *Handle) TID() uint64 { return h.tx.tid }

// End closes the handle. EIO: the journal has ended.
func (h *Handle) End() syscall.Errno {
	j := h.j
	j.mu.Lock()
	defer j.mu.Unlock()
	h.tx.handles--
	j.changed.Broadcast()
	if j.err != nil {
		return syscall.EIO
	}
	return 0
}
