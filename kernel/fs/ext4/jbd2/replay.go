package jbd2

import (
	"cmp"
	"encoding/binary"
	"slices"
	"syscall"
)

// replay brings the file system to the state after the last complete transaction: on the
// disk, or in the cache if the disk is read-only. Nothing is written if a block to replay
// is damaged.
func (j *Journal) replay() error {
	start := j.super.get(superStart)
	j.sequence = j.super.get(superSequence)
	if start == 0 {
		return nil
	}
	s := &scan{j: j, l: j.super.layout(), pos: start, sequence: j.super.get(superSequence), sum: ^uint32(0),
		plan: map[uint64]place{}, w: window{log: &j.log, end: j.super.end}}
	if err := s.run(); err != nil {
		return err
	}
	if err := j.refuseFast(s.sequence); err != nil {
		return err
	}
	if e := s.revoke(); e != 0 {
		return s.corrupt(e.Error())
	}
	list := s.sorted()
	if err := s.verify(list); err != nil {
		return err
	}
	j.replayed = s.committed > 0
	// One sequence number is skipped: blocks of a transaction that was never committed
	// must not be taken for part of the next one.
	j.sequence = s.sequence + 1
	if j.cfg.ReadOnly {
		j.overlay = s.plan
		return nil
	}
	if e := s.apply(list); e != 0 {
		return &Error{"replaying the journal: " + e.Error()}
	}
	return nil
}

type planned struct {
	block uint64
	place
}

func (s *scan) sorted() []planned {
	list := make([]planned, 0, len(s.plan))
	for block, at := range s.plan {
		list = append(list, planned{block, at})
	}
	slices.SortFunc(list, func(a, b planned) int { return cmp.Compare(a.logical, b.logical) })
	return list
}

// verify reads what is to be replayed in the order of the log.
func (s *scan) verify(list []planned) error {
	if !s.l.sums() {
		return nil
	}
	for _, p := range list {
		data, e := s.w.get(p.logical)
		if e != 0 {
			return s.corrupt(e.Error())
		}
		if s.l.dataSum(p.sequence, data) != p.sum {
			return s.corrupt("wrong checksum of the copy of block " + number(p.block))
		}
	}
	return nil
}

// unescape restores the magic number at the start of a block.
func unescape(p []byte, escaped bool) {
	if escaped {
		be.PutUint32(p, magic)
	}
}

// apply writes each block once to its place, in any order. Then the log is empty.
func (s *scan) apply(list []planned) syscall.Errno {
	j := s.j
	slices.SortFunc(list, func(a, b planned) int { return cmp.Compare(a.block, b.block) })
	v := newVector(j.cfg.Device, j.cfg.BlockSize, len(list))
	for len(list) > 0 {
		var batch []logged
		for len(list) > 0 && !v.full() {
			p, _ := v.add(list[0].block)
			batch = append(batch, logged{list[0].place, p})
			list = list[1:]
		}
		if e := j.readLogged(batch); e != 0 {
			return e
		}
		if e := v.write(); e != 0 {
			return e
		}
	}
	if e := j.cfg.Device.Flush(); e != 0 {
		return e
	}
	if e := j.writeSuper(0, j.sequence); e != 0 {
		return e
	}
	return j.cfg.Device.Flush()
}

// logged is a block of the log and the buffer for it.
type logged struct {
	place
	data []byte
}

// readLogged reads neighbours in the log with one request.
func (j *Journal) readLogged(batch []logged) syscall.Errno {
	slices.SortFunc(batch, func(a, b logged) int { return cmp.Compare(a.logical, b.logical) })
	for i := 0; i < len(batch); {
		bufs := [][]byte{batch[i].data}
		for k := i + 1; k < len(batch) && batch[k].logical == batch[i].logical+uint32(k-i); k++ {
			bufs = append(bufs, batch[k].data)
		}
		if e := j.log.read(bufs, batch[i].logical); e != 0 {
			return e
		}
		i += len(bufs)
	}
	for _, l := range batch {
		unescape(l.data, l.escaped)
	}
	return 0
}

// fetch reads a block, from the log if the newest copy is there (Journal.overlay).
func (j *Journal) fetch(block uint64, p []byte) syscall.Errno {
	at, ok := j.overlay[block]
	if !ok {
		return j.cfg.Device.ReadAt([][]byte{p}, int64(block)*int64(j.cfg.BlockSize))
	}
	e := j.log.read([][]byte{p}, at.logical)
	if e == 0 {
		unescape(p, at.escaped)
	}
	return e
}

// Value of fast commits, which are little-endian: fs/ext4/fast_commit.h.
const fastHead = 9

// refuseFast returns an error if fast commits follow the last transaction. Their area is
// the end of the journal, and its first block is not used: j_fc_first is j_last + 1
// (journal_load_superblock in fs/jbd2/journal.c, and e2fsck/journal.c).
func (j *Journal) refuseFast(sequence uint32) error {
	if j.super.fast < 2 {
		return nil
	}
	p := make([]byte, j.cfg.BlockSize)
	if e := j.log.read([][]byte{p}, j.super.end+1); e != 0 {
		return &Error{"reading the journal's area of fast commits: " + e.Error()}
	}
	// tag, length, features, transaction
	if binary.LittleEndian.Uint16(p) == fastHead && binary.LittleEndian.Uint32(p[8:]) == sequence {
		return &Error{"the journal has fast commits (feature fast_commit) to replay; run e2fsck -f once"}
	}
	return nil
}
