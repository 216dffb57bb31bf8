package jbd2

import (
	"strconv"
	"syscall"
)

// super is the journal's superblock, block 0 of the journal.
type super struct {
	raw   []byte // the whole block
	first uint32 // first block of the log
	end   uint32 // end of the log: the block after the last, without the area of fast commits
	fast  uint32 // size of the area of fast commits, which starts at end; its first block is not used
}

const known = incompatRevoke | incompat64bit | incompatAsyncCommit | incompatCsumV2 | incompatCsumV3 | incompatFastCommit

func (s *super) get(off int) uint32    { return be.Uint32(s.raw[off:]) }
func (s *super) put(off int, v uint32) { be.PutUint32(s.raw[off:], v) }
func (s *super) has(incompat uint32) bool {
	return s.get(superIncompat)&incompat != 0
}

func (s *super) layout() layout {
	return layout{
		wide: s.has(incompat64bit),
		v2:   s.has(incompatCsumV2),
		v3:   s.has(incompatCsumV3),
		v1:   s.get(superCompat)&compatChecksum != 0,
		seed: crc32c(^uint32(0), s.raw[superUUID:superUUID+uuidBytes]),
	}
}

func (s *super) sum() uint32 {
	var zero [4]byte
	sum := crc32c(^uint32(0), s.raw[:superChecksum])
	sum = crc32c(sum, zero[:])
	return crc32c(sum, s.raw[superChecksum+4:superBytes])
}

// parse checks the superblock of a journal of the given number of blocks.
func (s *super) parse(blockSize int, blocks uint64) error {
	kind, _, ok := header(s.raw)
	if !ok || kind != typeSuperV1 && kind != typeSuperV2 {
		return &Error{"the journal has no superblock; run e2fsck -f"}
	}
	if kind == typeSuperV1 {
		return &Error{"the journal's superblock is of version 1; make a new journal with tune2fs -O ^has_journal and -j"}
	}
	if err := s.parseFeatures(); err != nil {
		return err
	}
	if got := s.get(superBlockSize); got != uint32(blockSize) {
		return &Error{"the journal's blocks have " + number(uint64(got)) + " bytes, the file system's " + strconv.Itoa(blockSize)}
	}
	return s.parseSize(blocks)
}

func (s *super) parseFeatures() error {
	incompat, ro := s.get(superIncompat), s.get(superROCompat)
	if incompat&^known != 0 || ro != 0 {
		return &Error{"unknown features of the journal: incompat " + hex(incompat&^known) + ", ro_compat " + hex(ro)}
	}
	l := s.layout()
	if l.v2 && l.v3 || l.v1 && l.sums() {
		return &Error{"the journal has checksums of two versions; run e2fsck -f"}
	}
	if !l.sums() {
		return nil
	}
	if s.raw[superChecksumType] != checksumCRC32C {
		return &Error{"the journal's checksums are of the unknown type " + number(uint64(s.raw[superChecksumType]))}
	}
	if s.get(superChecksum) != s.sum() {
		return &Error{"the checksum of the journal's superblock is wrong; run e2fsck -f"}
	}
	return nil
}

func (s *super) parseSize(blocks uint64) error {
	s.first, s.end = s.get(superFirst), s.get(superMaxLen)
	if uint64(s.end) > blocks {
		return &Error{"the journal's superblock says " + number(uint64(s.end)) + " blocks, its inode has " + number(blocks) + "; run e2fsck -f"}
	}
	if s.has(incompatFastCommit) {
		if s.fast = s.get(superFastBlocks); s.fast == 0 {
			s.fast = defaultFastArea
		}
		s.end -= min(s.fast, s.end)
	}
	if s.first == 0 || s.first >= s.end || s.end-s.first < minLog {
		return &Error{"the journal's log is from block " + number(uint64(s.first)) + " to " + number(uint64(s.end)) + ", which is too short; run e2fsck -f"}
	}
	if start := s.get(superStart); start != 0 && (start < s.first || start >= s.end) {
		return &Error{"the journal's log starts at block " + number(uint64(start)) + ", outside of it; run e2fsck -f"}
	}
	return nil
}

func hex(v uint32) string { return "0x" + strconv.FormatUint(uint64(v), 16) }

// minLog is the shortest log, in blocks, with which a transaction of the largest size, a
// quarter of the log, is still of use.
const minLog = 64

// readSuper reads and checks the superblock.
func (j *Journal) readSuper() error {
	j.super.raw = make([]byte, j.cfg.BlockSize)
	if e := j.log.read([][]byte{j.super.raw}, 0); e != 0 {
		return &Error{"reading the journal's superblock: " + e.Error()}
	}
	return j.super.parse(j.cfg.BlockSize, uint64(j.log.blocks))
}

// writeSuper records where the log starts (0: it is empty) and the sequence number of its
// first transaction. It does not flush. Only the first sector of the block changes: it is
// written as a whole or not at all.
func (j *Journal) writeSuper(start uint32, sequence uint32) syscall.Errno {
	s := &j.super
	s.put(superStart, start)
	s.put(superSequence, sequence)
	return j.storeSuper()
}

func (j *Journal) storeSuper() syscall.Errno {
	s := &j.super
	if s.layout().sums() {
		s.put(superChecksum, s.sum())
	}
	return j.log.write([][]byte{append([]byte(nil), s.raw...)}, 0)
}
