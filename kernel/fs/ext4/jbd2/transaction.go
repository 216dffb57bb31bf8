package jbd2

import (
	"syscall"
	"time"
)

// transaction is a set of changes that are committed together.
//
// First it is the running transaction, which handles join. Then it is the committing
// one, while copies of its blocks are written to the log. Last it lies in the log
// until its blocks, or newer copies of them, are checkpointed.
type transaction struct {
	tid      uint64
	handles  int // open handles
	reserved int // credits of open handles that are not used yet
	dirty    []*Buffer
	count    int // buffers in dirty that have not been revoked since
	revoked  map[uint64]struct{}
	onCommit []func()
	timer    *time.Timer
	pushed   bool // a goroutine commits it

	copies   []snapshot // what the commit writes
	allotted bool       // it has room in the log, but is not in Journal.logged yet
	start    uint32     // first block in the log
	blocks   uint32     // length in the log
	sequence uint32

	buffers []*Buffer // what was committed
	pending int       // buffers whose newest committed content is not checkpointed
}

// snapshot is a buffer's content at the end of a transaction.
type snapshot struct {
	b    *Buffer
	data []byte
}

// Handle is one change of the file system, part of a transaction.
type Handle struct {
	j    *Journal
	tx   *transaction
	left int // credits
}

// size is how many blocks of the log a transaction needs at most.
func (j *Journal) size(tx *transaction, more int) int {
	n := tx.count + tx.reserved + more
	return n + (n+j.perDescriptor-1)/j.perDescriptor + (len(tx.revoked)+j.perRevoke-1)/j.perRevoke + 1
}

// Begin opens a handle in the running transaction for a change of at most credits
// blocks. It waits for a commit that is about to start and for room in the
// transaction. EROFS: the journal is read-only or has ended; EFBIG: no transaction
// may be that large.
func (j *Journal) Begin(credits int) (*Handle, syscall.Errno) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if j.err != nil || j.closed || j.cfg.ReadOnly {
			return nil, syscall.EROFS
		}
		tx := j.running
		switch {
		case credits < 0 || j.size(&transaction{}, credits) > j.maxTransaction:
			return nil, syscall.EFBIG
		case j.locked:
			j.changed.Wait()
		case tx == nil:
			j.start()
		case j.size(tx, credits) > j.targetTransaction && tx.count+tx.reserved+len(tx.revoked) > 0:
			j.push(tx)
			j.changed.Wait()
		default:
			tx.handles++
			tx.reserved += credits
			return &Handle{j: j, tx: tx, left: credits}, 0
		}
	}
}

// Newest is the number of the last transaction that was begun, 0 if none was.
func (j *Journal) Newest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return max(j.next, 1) - 1
}

// push starts the commit of a full transaction in the background.
func (j *Journal) push(tx *transaction) {
	if !tx.pushed {
		tx.pushed = true
		go j.Commit(tx.tid)
	}
}

// start makes a running transaction, which is committed after Config.Interval at the
// latest.
func (j *Journal) start() {
	tid := j.next
	j.next++
	j.running = &transaction{tid: tid}
	j.running.timer = time.AfterFunc(j.cfg.Interval, func() { j.Commit(tid) })
}

// Dirty makes a buffer part of the transaction. It comes before the change.
func (h *Handle) Dirty(b *Buffer) {
	j, tx := h.j, h.tx
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.tx == tx {
		return
	}
	j.preserve(b)
	b.tx, b.changed, b.stale = tx, true, false
	tx.dirty = append(tx.dirty, b)
	tx.count++
	if h.left > 0 {
		h.left--
		tx.reserved--
	}
	delete(tx.revoked, b.Block)
}

// Revoke says that metadata blocks are freed: what the log has of them is not
// replayed, and what the transaction has changed in them is dropped. They may be
// used for data after the transaction is durable.
func (h *Handle) Revoke(block uint64, count uint32) {
	j, tx := h.j, h.tx
	j.mu.Lock()
	defer j.mu.Unlock()
	if tx.revoked == nil {
		tx.revoked = map[uint64]struct{}{}
	}
	for ; count > 0; block, count = block+1, count-1 {
		tx.revoked[block] = struct{}{}
		b := j.cache.blocks[block]
		if b == nil {
			continue
		}
		if b.tx == tx {
			b.tx = nil
			tx.count--
		}
		b.stale = true
		j.cache.addClean(b)
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
	h.tx.reserved -= h.left
	h.left = 0
	if h.tx.handles == 0 {
		j.changed.Broadcast()
	}
	if j.err != nil {
		return syscall.EIO
	}
	return 0
}
