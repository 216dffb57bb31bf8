package ext4

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// These are offsets in a group descriptor; the upper halves exist with 64bit (ext4 docs:
// "Block Group Descriptors").
const (
	dBlockBitmap   = 0x0
	dInodeBitmap   = 0x4
	dInodeTable    = 0x8
	dFreeBlocks    = 0xc
	dFreeInodes    = 0xe
	dUsedDirs      = 0x10
	dFlags         = 0x12
	dBlockCsum     = 0x18
	dInodeCsum     = 0x1a
	dItableUnused  = 0x1c
	dChecksum      = 0x1e
	dBlockBitmapHi = 0x20
	dInodeBitmapHi = 0x24
	dInodeTableHi  = 0x28
	dFreeBlocksHi  = 0x2c
	dFreeInodesHi  = 0x2e
	dUsedDirsHi    = 0x30
	dUnusedHi      = 0x32
	dBlockCsumHi   = 0x38
	dInodeCsumHi   = 0x3a

	groupInodeUninit = 1
	groupBlockUninit = 2
	groupInodeZeroed = 4
)

// group is one block group. Its descriptor lies in a buffer that stays pinned;
// handles change it under mu.
type group struct {
	n    uint32
	desc []byte
	buf  *jbd2.Buffer

	mu sync.Mutex
	// mem is the block bitmap as the allocator sees it. It also has the bits of blocks
	// that are allocated but not journalled yet, and of blocks freed in a transaction
	// that is not durable. It is nil if the bitmap is not loaded.
	mem         []byte
	pendingBits int // number of bits that differ between mem and the buffer's bitmap; 0 without mem
	// bad is set if the bitmap contradicts the descriptor: nothing is allocated here.
	bad      bool
	freeBits atomic.Int32 // number of clear bits in mem, or the descriptor's count without mem
	largest  atomic.Int32 // no run of clear bits is longer; a hint
	cursor   uint32       // end of the last allocation
	// bitmaps that changed since the descriptor's checksums were computed, pinned
	staleBlocks, staleInodes *jbd2.Buffer
}

func (fs *FS) wide() bool { return fs.descSize >= 64 }

func pair32(b []byte, lo, hi int, wide bool) uint64 {
	v := uint64(le.Uint32(b[lo:]))
	if wide {
		v |= uint64(le.Uint32(b[hi:])) << 32
	}
	return v
}

func pair16(b []byte, lo, hi int, wide bool) uint32 {
	v := uint32(le.Uint16(b[lo:]))
	if wide {
		v |= uint32(le.Uint16(b[hi:])) << 16
	}
	return v
}

func putPair16(b []byte, lo, hi int, wide bool, v uint32) {
	le.PutUint16(b[lo:], uint16(v))
	if wide {
		le.PutUint16(b[hi:], uint16(v>>16))
	}
}

func (fs *FS) descFree(d []byte) uint32   { return pair16(d, dFreeBlocks, dFreeBlocksHi, fs.wide()) }
func (fs *FS) descInodes(d []byte) uint32 { return pair16(d, dFreeInodes, dFreeInodesHi, fs.wide()) }
func (fs *FS) descDirs(d []byte) uint32   { return pair16(d, dUsedDirs, dUsedDirsHi, fs.wide()) }
func (fs *FS) descUnused(d []byte) uint32 { return pair16(d, dItableUnused, dUnusedHi, fs.wide()) }
func (fs *FS) blockBitmap(g *group) uint64 {
	return pair32(g.desc, dBlockBitmap, dBlockBitmapHi, fs.wide())
}
func (fs *FS) inodeBitmap(g *group) uint64 {
	return pair32(g.desc, dInodeBitmap, dInodeBitmapHi, fs.wide())
}
func (fs *FS) inodeTable(g *group) uint64 {
	return pair32(g.desc, dInodeTable, dInodeTableHi, fs.wide())
}

// descChecksum computes the checksum of group n's descriptor (ext4_group_desc_csum).
func (g *geometry) descChecksum(n uint32, d []byte) uint16 {
	if g.metaCsum {
		sum := crc32c32(g.seed, n)
		sum = crc32c(sum, d[:dChecksum])
		sum = crc32c(sum, []byte{0, 0})
		return uint16(crc32c(sum, d[dChecksum+2:g.descSize]))
	}
	var num [4]byte
	le.PutUint32(num[:], n)
	sum := crc16(crc16(^uint16(0), g.uuid[:]), num[:])
	sum = crc16(sum, d[:dChecksum])
	if g.descSize > dChecksum+2 && g.hasIncompat(incompat64bit) {
		sum = crc16(sum, d[dChecksum+2:g.descSize])
	}
	return sum
}

// loadGroups reads and checks all descriptors.
func (fs *FS) loadGroups() syscall.Errno {
	fs.group = make([]*group, 0, fs.groups)
	for k := uint32(0); k < fs.descBlocks; k++ {
		if k%64 == 0 {
			fs.j.Prefetch(fs.descBlock(k), int(min(64, fs.descBlocks-k)))
		}
		block := fs.descBlock(k)
		if block >= fs.blocks {
			return fs.corrupt("group descriptors lie beyond the end, block", block)
		}
		b, e := fs.j.Get(block)
		if e != 0 {
			return e
		}
		b.Seal = fs.sealDescs
		fs.descBufs = append(fs.descBufs, b)
		for s := uint32(0); s < fs.descsPer && k*fs.descsPer+s < fs.groups; s++ {
			d := b.Data[int(s)*fs.descSize:][:fs.descSize:fs.descSize]
			g := &group{n: k*fs.descsPer + s, desc: d, buf: b}
			if e := fs.checkGroup(g); e != 0 {
				return e
			}
			g.freeBits.Store(int32(fs.descFree(d)))
			g.largest.Store(g.freeBits.Load())
			fs.group = append(fs.group, g)
		}
	}
	return fs.findSystem()
}

func (fs *FS) checkGroup(g *group) syscall.Errno {
	if fs.descCsum && fs.descChecksum(g.n, g.desc) != le.Uint16(g.desc[dChecksum:]) {
		return fs.corrupt("checksum of the descriptor of group", uint64(g.n))
	}
	inside := func(block uint64, n uint32) bool {
		return block > fs.firstData && block < fs.blocks && uint64(n) <= fs.blocks-block
	}
	if !inside(fs.blockBitmap(g), 1) || !inside(fs.inodeBitmap(g), 1) || !inside(fs.inodeTable(g), fs.itableBlocks) {
		return fs.corrupt("bitmaps or inode table lie outside, group", uint64(g.n))
	}
	if fs.descFree(g.desc) > fs.groupBlocks(g.n) || fs.descInodes(g.desc) > fs.inodesPer ||
		fs.descUnused(g.desc) > fs.inodesPer || fs.descDirs(g.desc) > fs.inodesPer {
		return fs.corrupt("counts of group", uint64(g.n))
	}
	return 0
}

// sealDescs computes the checksums of one block of descriptors, after those of the bitmaps
// that the transaction has changed. No handle is open when it runs.
func (fs *FS) sealDescs(b *jbd2.Buffer) {
	first := uint32(0)
	for k, d := range fs.descBufs {
		if d == b {
			first = uint32(k) * fs.descsPer
		}
	}
	for n := first; n < min(first+fs.descsPer, fs.groups); n++ {
		g := fs.group[n]
		if s := g.staleBlocks; s != nil {
			fs.putBitmapSum(g, dBlockCsum, dBlockCsumHi, crc32c(fs.seed, s.Data[:fs.blocksPer/8]))
			g.staleBlocks = nil
			s.Put()
		}
		if s := g.staleInodes; s != nil {
			fs.putBitmapSum(g, dInodeCsum, dInodeCsumHi, crc32c(fs.seed, s.Data[:fs.inodesPer/8]))
			g.staleInodes = nil
			s.Put()
		}
		if fs.descCsum {
			le.PutUint16(g.desc[dChecksum:], fs.descChecksum(n, g.desc))
		}
	}
}

func (fs *FS) putBitmapSum(g *group, lo, hi int, sum uint32) {
	if fs.metaCsum {
		putPair16(g.desc, lo, hi, fs.wide(), sum)
	}
}

// bitmapSumGood checks a bitmap's checksum in the descriptor.
func (fs *FS) bitmapSumGood(g *group, lo, hi int, bits []byte) bool {
	if !fs.metaCsum {
		return true
	}
	sum := crc32c(fs.seed, bits)
	if !fs.wide() {
		sum &= 0xffff
	}
	return pair16(g.desc, lo, hi, fs.wide()) == sum
}

// dirtyDesc makes a group's descriptor part of the transaction. Caller holds g.mu.
func (o *op) dirtyDesc(g *group) {
	o.h.Dirty(g.buf)
	o.changed = true
}
