package jbd2

import "syscall"

// place is where the log has the newest copy of a block.
type place struct {
	logical  uint32
	sequence uint32
	sum      uint32
	escaped  bool
}

// scan finds the complete transactions of the log.
//
// Memory: one place per block to replay. Revoke records are not kept but read again when
// all places are recorded: only the newest copy of a block matters, and a record either
// revokes that or not.
type scan struct {
	j        *Journal
	l        layout
	w        window
	pos      uint32 // current block of the log
	used     uint32 // number of blocks read
	sequence uint32 // sequence number of the transaction at pos

	plan    map[uint64]place
	revokes []revokeBlock

	// The tags of the transaction at pos.
	tags      []pending
	records   []uint32 // revoke blocks of the transaction at pos
	sum       uint32   // compatChecksum: CRC-32 of the blocks of the transaction at pos
	suspect   bool     // a descriptor or revoke block has a wrong checksum
	lastTime  uint64   // commit time of the last complete transaction
	committed uint32   // number of complete transactions
}

type pending struct {
	tag
	logical uint32
}

type revokeBlock struct {
	logical, sequence uint32
}

// maxPlanned bounds the memory of a recovery: 2 GiB of blocks of 4096 bytes.
const maxPlanned = 512 << 10

func (s *scan) corrupt(what string) error {
	return &Error{"transaction " + number(uint64(s.sequence)) + " at block " + number(uint64(s.pos)) + " of the log: " + what + "; run e2fsck -f"}
}

func (s *scan) advance(n uint32) {
	s.used += n
	s.pos += n
	if end := s.j.super.end; s.pos >= end {
		s.pos -= end - s.j.super.first
	}
}

// run reads from the start of the log to the first block that does not belong to it.
func (s *scan) run() error {
	length := s.j.super.end - s.j.super.first
	for s.used < length {
		p, e := s.w.get(s.pos)
		if e != 0 {
			return s.corrupt(e.Error())
		}
		kind, sequence, ok := header(p)
		if !ok || sequence != s.sequence {
			return nil
		}
		more, err := s.step(kind, p, length)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (s *scan) step(kind uint32, p []byte, length uint32) (more bool, err error) {
	switch kind {
	case typeDescriptor:
		return s.descriptor(p, length)
	case typeRevoke:
		s.suspect = s.suspect || !s.l.tailGood(p)
		s.records = append(s.records, s.pos)
		s.advance(1)
		return true, nil
	case typeCommit:
		return s.commit(p)
	}
	return false, nil
}

func (s *scan) descriptor(p []byte, length uint32) (more bool, err error) {
	s.suspect = s.suspect || !s.l.tailGood(p)
	list := s.l.tags(p)
	if s.used+1+uint32(len(list)) > length {
		return false, nil // longer than the log: never committed
	}
	if s.l.v1 {
		s.sum = crc32be(s.sum, p)
	}
	s.advance(1)
	for _, t := range list {
		if s.l.v1 {
			data, e := s.w.get(s.pos)
			if e != 0 {
				return false, s.corrupt(e.Error())
			}
			s.sum = crc32be(s.sum, data)
		}
		s.tags = append(s.tags, pending{t, s.pos})
		s.advance(1)
	}
	return true, nil
}

// commit ends a transaction. A wrong checksum in a block older than the last good
// commit comes from an earlier use of the disk and is not damage.
func (s *scan) commit(p []byte) (more bool, err error) {
	seconds := be.Uint64(p[commitSeconds:])
	if s.suspect {
		if seconds >= s.lastTime {
			return false, s.corrupt("wrong checksum of a descriptor")
		}
		return false, nil
	}
	if !s.l.commitGood(p) || s.l.v1 && !s.v1Good(p) {
		if seconds >= s.lastTime && !s.j.super.has(incompatAsyncCommit) {
			return false, s.corrupt("wrong checksum of the commit")
		}
		return false, nil
	}
	s.lastTime = seconds
	if err := s.accept(); err != nil {
		return false, err
	}
	s.sequence++
	s.committed++
	s.advance(1)
	return true, nil
}

// v1Good checks a commit block of compatChecksum; one without a checksum is good.
func (s *scan) v1Good(p []byte) bool {
	kind, size, want := p[commitSumType], p[commitSumType+1], be.Uint32(p[commitSum:])
	if kind == 0 && size == 0 && want == 0 {
		return true
	}
	return kind == checksumCRC32 && size == 4 && want == s.sum
}

// accept adds the blocks of a complete transaction to the plan.
func (s *scan) accept() error {
	for _, t := range s.tags {
		if t.block >= s.j.cfg.Blocks || s.j.log.owns(t.block) {
			return s.corrupt("block " + number(t.block) + " is not one of metadata")
		}
		s.plan[t.block] = place{t.logical, s.sequence, t.sum, t.flags&flagEscape != 0}
	}
	if len(s.plan) > maxPlanned {
		return s.corrupt("more than " + number(maxPlanned) + " blocks to replay")
	}
	for _, at := range s.records {
		s.revokes = append(s.revokes, revokeBlock{at, s.sequence})
	}
	s.tags, s.records, s.sum = s.tags[:0], s.records[:0], ^uint32(0)
	return nil
}

// revoke removes blocks from the plan whose newest copy is not newer than their
// revocation. Sequence numbers wrap around.
func (s *scan) revoke() syscall.Errno {
	for _, r := range s.revokes {
		p, e := s.w.get(r.logical)
		if e != 0 {
			return e
		}
		s.l.revoked(p, func(block uint64) {
			if at, ok := s.plan[block]; ok && int32(at.sequence-r.sequence) <= 0 {
				delete(s.plan, block)
			}
		})
	}
	return 0
}

// crc32be is the kernel's crc32_be: polynomial 0x04c11db7, highest bit first.
func crc32be(sum uint32, p []byte) uint32 {
	for _, c := range p {
		sum = sum<<8 ^ crcTable[byte(sum>>24)^c]
	}
	return sum
}

var crcTable = func() (t [256]uint32) {
	for i := range t {
		v := uint32(i) << 24
		for range 8 {
			v = v<<1 ^ (v>>31)*0x04c11db7
		}
		t[i] = v
	}
	return t
}()
