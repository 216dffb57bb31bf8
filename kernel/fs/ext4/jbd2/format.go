package jbd2

import (
	"encoding/binary"
	"hash/crc32"
)

// Names and values of the format: filesystems/ext4/journal.rst of the kernel's
// documentation. All numbers on the disk are big-endian.
const (
	magic = 0xc03b3998

	headerBytes = 12 // magic, type, sequence

	typeDescriptor = 1
	typeCommit     = 2
	typeSuperV1    = 3
	typeSuperV2    = 4
	typeRevoke     = 5

	compatChecksum = 1 // commit blocks have a CRC-32 of their transaction

	incompatRevoke      = 0x01
	incompat64bit       = 0x02
	incompatAsyncCommit = 0x04
	incompatCsumV2      = 0x08
	incompatCsumV3      = 0x10
	incompatFastCommit  = 0x20

	flagEscape   = 1 // the block began with the magic number, which is zero in the log
	flagSameUUID = 2 // no UUID follows the tag
	flagLast     = 8

	uuidBytes         = 16
	revokeHeaderBytes = 16 // header and the number of bytes in use
	tailBytes         = 4  // checksum at the end of descriptor and revoke blocks
	commitBytes       = 64 // the part of a commit block that has values

	superBytes      = 1024
	checksumCRC32   = 1 // h_chksum_type of compatChecksum
	checksumCRC32C  = 4 // s_checksum_type
	defaultFastArea = 256
)

// offsets in the superblock
const (
	superBlockSize    = 0x0c
	superMaxLen       = 0x10
	superFirst        = 0x14
	superSequence     = 0x18
	superStart        = 0x1c
	superErrno        = 0x20
	superCompat       = 0x24
	superIncompat     = 0x28
	superROCompat     = 0x2c
	superUUID         = 0x30
	superChecksumType = 0x50
	superFastBlocks   = 0x54
	superChecksum     = 0xfc
)

// offsets in a commit block
const (
	commitSumType = 0x0c
	commitSum     = 0x10
	commitSeconds = 0x30
	commitNanos   = 0x38
)

var be = binary.BigEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c is the kernel's: neither the seed nor the result is inverted.
func crc32c(seed uint32, p []byte) uint32 { return ^crc32.Update(^seed, castagnoli, p) }

// header parses the header of a log block; ok is false for a block of data.
func header(p []byte) (kind, sequence uint32, ok bool) {
	return be.Uint32(p[4:]), be.Uint32(p[8:]), be.Uint32(p) == magic
}

func putHeader(p []byte, kind, sequence uint32) {
	be.PutUint32(p, magic)
	be.PutUint32(p[4:], kind)
	be.PutUint32(p[8:], sequence)
}

// tag describes one block of a transaction.
type tag struct {
	block uint64
	flags uint32
	sum   uint32 // 16 bits with csum_v2
}

// layout is the format of the log: it follows from the features.
type layout struct {
	wide   bool   // feature 64bit
	v2, v3 bool   // checksums of csum_v2, csum_v3
	v1     bool   // checksum of compatChecksum, read only
	seed   uint32 // crc32c of the journal's UUID
}

func (l layout) sums() bool { return l.v2 || l.v3 }

// tail is the size of the checksum at the end of a block.
func (l layout) tail() int {
	if l.sums() {
		return tailBytes
	}
	return 0
}

// tagBytes without the UUID. With csum_v2 a tag is two bytes longer than its
// fields, as the kernel has it.
func (l layout) tagBytes() int {
	if l.v3 {
		return 16
	}
	n := 8
	if l.v2 {
		n += 2
	}
	if l.wide {
		n += 4
	}
	return n
}

func (l layout) getTag(p []byte) (t tag) {
	t.block = uint64(be.Uint32(p))
	if l.v3 {
		t.flags, t.sum = be.Uint32(p[4:]), be.Uint32(p[12:])
	} else {
		t.sum, t.flags = uint32(be.Uint16(p[4:])), uint32(be.Uint16(p[6:]))
	}
	if l.wide {
		t.block |= uint64(be.Uint32(p[8:])) << 32
	}
	return t
}

func (l layout) putTag(p []byte, t tag) {
	clear(p[:l.tagBytes()])
	be.PutUint32(p, uint32(t.block))
	if l.v3 {
		be.PutUint32(p[4:], t.flags)
		be.PutUint32(p[12:], t.sum)
	} else {
		be.PutUint16(p[4:], uint16(t.sum))
		be.PutUint16(p[6:], uint16(t.flags))
	}
	if l.wide {
		be.PutUint32(p[8:], uint32(t.block>>32))
	}
}

// perDescriptor is how many tags fit a descriptor block: the first has a UUID.
func (l layout) perDescriptor(blockSize int) int {
	return (blockSize - headerBytes - l.tail() - uuidBytes) / l.tagBytes()
}

// tags parses a descriptor block, up to the last tag or the end.
func (l layout) tags(p []byte) (list []tag) {
	end := len(p) - l.tail()
	for off := headerBytes; off+l.tagBytes() <= end; {
		t := l.getTag(p[off:])
		list = append(list, t)
		off += l.tagBytes()
		if t.flags&flagSameUUID == 0 {
			off += uuidBytes
		}
		if t.flags&flagLast != 0 {
			break
		}
	}
	return list
}

// dataSum is the checksum of a block, as the log has it, for its tag.
func (l layout) dataSum(sequence uint32, p []byte) uint32 {
	var s [4]byte
	be.PutUint32(s[:], sequence)
	sum := crc32c(crc32c(l.seed, s[:]), p)
	if l.v3 {
		return sum
	}
	return sum & 0xffff
}

// sumWithZero is the checksum of a block whose four bytes at off count as zero.
func (l layout) sumWithZero(p []byte, off int) uint32 {
	var zero [4]byte
	sum := crc32c(l.seed, p[:off])
	sum = crc32c(sum, zero[:])
	return crc32c(sum, p[off+4:])
}

// tailGood checks the checksum of a descriptor or revoke block.
func (l layout) tailGood(p []byte) bool {
	off := len(p) - tailBytes
	return !l.sums() || be.Uint32(p[off:]) == l.sumWithZero(p, off)
}

func (l layout) putTail(p []byte) {
	if l.sums() {
		off := len(p) - tailBytes
		be.PutUint32(p[off:], l.sumWithZero(p, off))
	}
}

// commitGood checks a commit block. One of which the disk has written only the first
// sector is good too: the rest has no meaning and is taken as zero.
func (l layout) commitGood(p []byte) bool {
	if !l.sums() || be.Uint32(p[commitSum:]) == l.sumWithZero(p, commitSum) {
		return true
	}
	q := make([]byte, len(p))
	copy(q, p[:commitBytes])
	return be.Uint32(q[commitSum:]) == l.sumWithZero(q, commitSum)
}

func (l layout) recordBytes() int {
	if l.wide {
		return 8
	}
	return 4
}

// revoked calls each for the records of a revoke block; not at all if its length is wrong.
func (l layout) revoked(p []byte, each func(block uint64)) {
	end := be.Uint32(p[headerBytes:])
	if end > uint32(len(p)-l.tail()) {
		return
	}
	n := l.recordBytes()
	for off := revokeHeaderBytes; off+n <= int(end); off += n {
		if l.wide {
			each(be.Uint64(p[off:]))
		} else {
			each(uint64(be.Uint32(p[off:])))
		}
	}
}
