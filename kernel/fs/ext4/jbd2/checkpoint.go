package jbd2

import (
	"cmp"
	"slices"
	"syscall"
)

// Checkpoint commits everything and writes it to its place in the file system. Changes
// that are made meanwhile may still be in the log afterwards.
func (j *Journal) Checkpoint() syscall.Errno {
	if j.cfg.ReadOnly {
		return 0
	}
	if e := j.CommitAll(); e != 0 {
		return e
	}
	return j.checkpointLogged()
}

// shouldCheckpoint reports whether many blocks wait for a checkpoint or the log is three
// quarters full.
func (j *Journal) shouldCheckpoint() bool {
	return !j.checkpointing && (j.uncheckpointed*j.cfg.BlockSize > j.cfg.MaxDirty || j.used > j.length/4*3)
}

func (j *Journal) checkpointInBackground() {
	j.checkpointLogged()
	j.mu.Lock()
	j.checkpointing = false
	j.changed.Broadcast()
	j.mu.Unlock()
}

// checkpointLogged writes the blocks of committed transactions to their places and frees
// their room in the log: the writes, a flush, the superblock, a flush. Only then is the
// room used again. Commits go on meanwhile.
func (j *Journal) checkpointLogged() syscall.Errno {
	j.checkpointMu.Lock()
	defer j.checkpointMu.Unlock()
	list, e := j.checkpointBuffers()
	if e == 0 && len(list) > 0 {
		e = j.writeBuffers(list)
	}
	if e == 0 {
		e = j.moveTail()
	}
	if e != 0 {
		j.Abort(&Error{"writing blocks of the log to their places: " + e.Error()})
	}
	return e
}

func (j *Journal) checkpointBuffers() (list []*Buffer, e syscall.Errno) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return nil, syscall.EIO
	}
	for _, tx := range j.logged {
		for _, b := range tx.buffers {
			if b.checkpoint == tx {
				list = append(list, b)
			}
		}
	}
	slices.SortFunc(list, func(a, b *Buffer) int { return cmp.Compare(a.Block, b.Block) })
	return list, 0
}

func (j *Journal) writeBuffers(list []*Buffer) syscall.Errno {
	v := newVector(j.cfg.Device, j.cfg.BlockSize, len(list))
	for len(list) > 0 {
		j.mu.Lock()
		if j.err != nil {
			j.mu.Unlock()
			return syscall.EIO
		}
		batch, rest, from := j.gather(v, list)
		j.mu.Unlock()
		list = rest
		e := v.write()
		j.mu.Lock()
		for i, b := range batch {
			b.writing = false
			if e == 0 && b.checkpoint == from[i] {
				j.checkpointed(b)
				j.cache.addClean(b)
			}
		}
		j.changed.Broadcast()
		j.mu.Unlock()
		if e != 0 {
			return e
		}
	}
	return 0
}

// gather copies the newest committed contents of buffers until the vector is full.
func (j *Journal) gather(v *vector, list []*Buffer) (batch, rest []*Buffer, from []*transaction) {
	for len(list) > 0 && !v.full() {
		b := list[0]
		list = list[1:]
		if b.checkpoint == nil {
			continue // it was freed
		}
		p, _ := v.add(b.Block)
		if b.copy != nil {
			copy(p, b.copy)
		} else {
			copy(p, b.Data)
		}
		b.writing = true
		batch, from = append(batch, b), append(from, b.checkpoint)
	}
	return batch, list, from
}

// moveTail frees the room of the oldest transactions in the log, up to the first one
// with blocks that are not checkpointed.
func (j *Journal) moveTail() syscall.Errno {
	j.mu.Lock()
	n, room := 0, uint32(0)
	for n < len(j.logged) && j.logged[n].pending == 0 {
		room += j.logged[n].blocks
		n++
	}
	start, sequence := j.head, j.sequence
	switch {
	case n < len(j.logged):
		start, sequence = j.logged[n].start, j.logged[n].sequence
	case j.committing != nil && j.committing.allotted:
		start, sequence = j.committing.start, j.committing.sequence
	}
	j.mu.Unlock()
	if n == 0 {
		return 0
	}
	if e := j.cfg.Device.Flush(); e != 0 {
		return e
	}
	j.superMu.Lock()
	e := j.writeSuper(start, sequence)
	j.superMu.Unlock()
	if e != 0 {
		return e
	}
	if e := j.cfg.Device.Flush(); e != 0 {
		return e
	}
	j.mu.Lock()
	j.logged = slices.Delete(j.logged, 0, n)
	j.used -= room
	j.mu.Unlock()
	return 0
}
