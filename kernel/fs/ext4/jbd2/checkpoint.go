package jbd2

import (
	"cmp"
	"slices"
	"syscall"
)

// Checkpoint makes everything durable and writes it to its place. What is changed
// meanwhile may still be in the log afterwards.
func (j *Journal) Checkpoint() syscall.Errno {
	if j.cfg.ReadOnly {
		return 0
	}
	if e := j.CommitAll(); e != 0 {
		return e
	}
	return j.writeHome()
}

// shouldWriteHome: much waits, or the log is three quarters full.
func (j *Journal) shouldWriteHome() bool {
	return !j.homing && (j.waiting*j.cfg.BlockSize > j.cfg.MaxDirty || j.used > j.length/4*3)
}

func (j *Journal) background() {
	j.writeHome()
	j.mu.Lock()
	j.homing = false
	j.changed.Broadcast()
	j.mu.Unlock()
}

// writeHome writes what is committed to its places and frees its room in the log:
// the writes, a flush, the superblock, a flush. Only then is the room used again.
// Commits go on meanwhile.
func (j *Journal) writeHome() syscall.Errno {
	j.homeMu.Lock()
	defer j.homeMu.Unlock()
	list, e := j.waitingBuffers()
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

func (j *Journal) waitingBuffers() (list []*Buffer, e syscall.Errno) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return nil, syscall.EIO
	}
	for _, tx := range j.logged {
		for _, b := range tx.buffers {
			if b.home == tx {
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
			if e == 0 && b.home == from[i] {
				j.settle(b)
				j.cache.rest(b)
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
		if b.home == nil {
			continue // freed since
		}
		p, _ := v.add(b.Block)
		if b.copy != nil {
			copy(p, b.copy)
		} else {
			copy(p, b.Data)
		}
		b.writing = true
		batch, from = append(batch, b), append(from, b.home)
	}
	return batch, list, from
}

// moveTail frees the room of the transactions at the log's beginning of which
// nothing waits.
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
