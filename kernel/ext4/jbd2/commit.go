package jbd2

import "syscall"

// Commit returns when a transaction is durable. EIO: the journal ended first.
func (j *Journal) Commit(tid uint64) syscall.Errno {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.committed < tid {
		if j.err != nil {
			return syscall.EIO
		}
		if j.locked {
			j.changed.Wait()
			continue
		}
		if j.running == nil {
			return 0
		}
		j.commit()
	}
	return 0
}

// commit writes the running transaction straight to its place.
func (j *Journal) commit() {
	j.locked = true
	tx := j.running
	for tx.handles > 0 {
		j.changed.Wait()
	}
	j.mu.Unlock()
	errno := syscall.Errno(0)
	for _, b := range tx.dirty {
		if b.tx != tx {
			continue
		}
		if b.Seal != nil {
			b.Seal(b)
		}
		if e := j.cfg.Device.WriteAt([][]byte{b.Data}, int64(b.Block)*int64(j.cfg.BlockSize)); e != 0 {
			errno = e
		}
	}
	if e := j.cfg.Device.Flush(); e != 0 {
		errno = e
	}
	if errno != 0 {
		j.Abort(errno)
	} else {
		for _, f := range tx.onCommit {
			f()
		}
	}
	j.mu.Lock()
	for _, b := range tx.dirty {
		if b.tx == tx {
			b.tx = nil
			j.cache.rest(b)
		}
	}
	j.running, j.locked, j.committed = nil, false, tx.tid
	j.changed.Broadcast()
}

// CommitAll makes everything durable whose handle has ended.
func (j *Journal) CommitAll() syscall.Errno {
	j.mu.Lock()
	tid := uint64(0)
	if j.running != nil {
		tid = j.running.tid
	}
	j.mu.Unlock()
	return j.Commit(tid)
}

// Checkpoint makes everything durable and writes it to its place.
func (j *Journal) Checkpoint() syscall.Errno { return j.CommitAll() }
