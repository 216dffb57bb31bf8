package jbd2

import (
	"syscall"
	"time"
)

// Commit returns when a transaction is durable. EIO: the journal ended first.
//
// The first caller commits; callers that arrive meanwhile wait, and one of them then
// commits everything that has been added for all of them.
func (j *Journal) Commit(tid uint64) syscall.Errno {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.until(tid)
}

func (j *Journal) until(tid uint64) syscall.Errno {
	for j.committed < tid {
		switch {
		case j.err != nil:
			return syscall.EIO
		case j.locked || j.committing != nil:
			j.changed.Wait()
		case j.running == nil:
			return 0 // never begun
		default:
			j.commit()
		}
	}
	return 0
}

// CommitAll makes every change durable whose handle has ended.
func (j *Journal) CommitAll() syscall.Errno {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.running != nil:
		return j.until(j.running.tid)
	case j.committing != nil:
		return j.until(j.committing.tid)
	case j.err != nil:
		return syscall.EIO
	}
	return 0
}

// commit waits for the handles of the running transaction and writes it to the log.
// Handles can begin again once the blocks are copied.
func (j *Journal) commit() {
	tx := j.running
	j.locked = true
	for tx.handles > 0 {
		j.changed.Wait()
	}
	tx.timer.Stop()
	if j.err != nil { // a handle may have ended in the middle of a change
		j.locked = false
		j.changed.Broadcast()
		return
	}
	j.seal(tx)
	j.running, j.committing, j.locked = nil, tx, false
	j.changed.Broadcast()

	j.mu.Unlock()
	e := j.writeLog(tx)
	if e != 0 {
		j.Abort(&Error{"writing transaction " + number(uint64(tx.sequence)) + " to the log: " + e.Error()})
	}
	j.mu.Lock()

	if j.err == nil {
		j.finish(tx)
	}
	j.committing = nil
	j.changed.Broadcast()
	if j.err == nil && j.shouldCheckpoint() {
		j.checkpointing = true
		go j.checkpointInBackground()
	}
}

// seal copies the blocks of a transaction without handles. It releases Journal.mu:
// nothing can change the blocks while Begin waits.
func (j *Journal) seal(tx *transaction) {
	tx.copies = make([]snapshot, 0, tx.count)
	for _, b := range tx.dirty {
		if b.tx == tx {
			b.tx = nil // tx.dirty may list it twice
			b.sealing = true
			tx.copies = append(tx.copies, snapshot{b: b, data: j.spares.get(j.cfg.BlockSize)})
		}
	}
	tx.dirty = nil
	j.mu.Unlock()
	for _, c := range tx.copies {
		if c.b.Seal != nil {
			c.b.Seal(c.b) // may also set a checksum in another block
		}
	}
	for _, c := range tx.copies {
		copy(c.data, c.b.Data)
	}
	j.mu.Lock()
	for _, c := range tx.copies {
		c.b.changed = false
	}
}

// writeLog writes a transaction to the log: first everything but the commit block, and
// a flush, which also covers data that was written before; then the commit block and a
// flush.
func (j *Journal) writeLog(tx *transaction) syscall.Errno {
	if len(tx.copies) == 0 && len(tx.revoked) == 0 {
		return j.cfg.Device.Flush()
	}
	w := &logWriter{j: j, tx: tx}
	if e := j.allot(tx, w.length()); e != 0 {
		return e
	}
	w.revokes()
	w.descriptors()
	if e := j.startLog(tx); e != 0 {
		return e
	}
	if e := j.writeWrapped(w.bufs, tx.start); e != 0 {
		return e
	}
	if e := j.cfg.Device.Flush(); e != 0 {
		return e
	}
	if j.Err() != nil {
		return syscall.EIO
	}
	last := [][]byte{w.commitBlock(time.Now())}
	if e := j.writeWrapped(last, j.wrap(tx.start+tx.blocks-1)); e != 0 {
		return e
	}
	return j.cfg.Device.Flush()
}

// allot reserves room in the log. It checkpoints older transactions if the log is full
// or if too many blocks wait for a checkpoint.
func (j *Journal) allot(tx *transaction, blocks uint32) syscall.Errno {
	j.mu.Lock()
	defer j.mu.Unlock()
	for tries := 0; blocks >= j.length-j.used || tries == 0 && j.uncheckpointed*j.cfg.BlockSize > 2*j.cfg.MaxDirty; tries++ {
		if tries > 1 {
			j.cfg.Log("jbd2: a transaction of " + number(uint64(blocks)) + " blocks does not fit into the log of " + number(uint64(j.length)))
			return syscall.ENOSPC
		}
		j.mu.Unlock()
		e := j.checkpointLogged()
		j.mu.Lock()
		if e != 0 {
			return e
		}
	}
	tx.start, tx.blocks, tx.sequence, tx.allotted = j.head, blocks, j.sequence, true
	j.head = j.wrap(j.head + blocks)
	j.used += blocks
	j.sequence++
	return 0
}

// wrap brings a position that may be past the end of the log back into it.
func (j *Journal) wrap(pos uint32) uint32 {
	if pos >= j.super.end {
		pos -= j.length
	}
	return pos
}

// startLog records in the superblock that the log is in use, unless it says so already.
func (j *Journal) startLog(tx *transaction) syscall.Errno {
	j.superMu.Lock()
	defer j.superMu.Unlock()
	if j.super.get(superStart) != 0 {
		return 0
	}
	return j.writeSuper(tx.start, tx.sequence)
}

func (j *Journal) writeWrapped(bufs [][]byte, pos uint32) syscall.Errno {
	if n := j.super.end - pos; uint32(len(bufs)) > n {
		if e := j.log.write(bufs[:n], pos); e != 0 {
			return e
		}
		bufs, pos = bufs[n:], j.super.first
	}
	return j.log.write(bufs, pos)
}

// finish hands the buffers of a durable transaction to the checkpoint and releases
// the blocks that it has freed.
func (j *Journal) finish(tx *transaction) {
	for _, c := range tx.copies {
		c.b.sealing = false
		j.checkpointed(c.b)
		c.b.checkpoint = tx
		tx.pending++
		j.uncheckpointed++
		if c.b.changed {
			c.b.copy = c.data
		} else {
			j.spares.put(c.data)
		}
		tx.buffers = append(tx.buffers, c.b)
	}
	tx.copies = nil
	for block := range tx.revoked {
		j.release(block)
	}
	if tx.allotted {
		j.logged = append(j.logged, tx)
		tx.allotted = false // from here on moveTail finds it in logged
	}
	calls := tx.onCommit
	tx.onCommit, tx.revoked = nil, nil
	j.mu.Unlock()
	for _, f := range calls {
		f()
	}
	j.mu.Lock()
	j.committed = tx.tid
}

// release forgets the committed content of a block that was freed. The block may become
// data now, so release waits for a checkpoint that is writing it.
func (j *Journal) release(block uint64) {
	b := j.cache.blocks[block]
	if b == nil {
		return
	}
	for b.writing {
		j.changed.Wait()
	}
	j.checkpointed(b)
	j.cache.addClean(b)
}
