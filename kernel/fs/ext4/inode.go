package ext4

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// These are offsets in an inode (ext4 docs: "Index Nodes").
const (
	iMode       = 0x0
	iUID        = 0x2
	iSizeLo     = 0x4
	iAtime      = 0x8
	iCtime      = 0xc
	iMtime      = 0x10
	iDtime      = 0x14
	iGID        = 0x18
	iLinks      = 0x1a
	iBlocksLo   = 0x1c
	iFlags      = 0x20
	iBlock      = 0x28
	iGeneration = 0x64
	iFileACL    = 0x68
	iSizeHi     = 0x6c
	iBlocksHi   = 0x74
	iFileACLHi  = 0x76
	iUIDHi      = 0x78
	iGIDHi      = 0x7a
	iCsumLo     = 0x7c
	iExtraSize  = 0x80
	iCsumHi     = 0x82
	iCtimeExtra = 0x84
	iMtimeExtra = 0x88
	iAtimeExtra = 0x8c
	iCrtime     = 0x90
	iCrtExtra   = 0x94
	iBlockSize  = 60

	flagImmutable = 0x10
	flagAppend    = 0x20
	flagIndex     = 0x1000
	flagHugeFile  = 0x40000
	flagExtents   = 0x80000
	flagEAInode   = 0x200000
	flagInline    = 0x10000000
)

// These are the file types of i_mode.
const (
	typeMask = 0xf000
	typeFIFO = 0x1000
	typeChar = 0x2000
	typeDir  = 0x4000
	typeBlk  = 0x6000
	typeReg  = 0x8000
	typeLink = 0xa000
	typeSock = 0xc000
)

// linkMax is the most links of a file, and of a directory without dir_nlink
// (EXT4_LINK_MAX).
const linkMax = 65000

// Inode is a file of any type. There is one per number while it is referenced.
type Inode struct {
	fs  *FS
	ino uint32

	refs     int  // guarded by the lock of the shard of FS.table
	evicting bool // the last reference of a file without links was dropped, and it is being freed

	load    sync.Mutex // held while the inode is read
	loaded  bool
	loadErr syscall.Errno

	data sync.RWMutex
	grow sync.Mutex
	mu   sync.RWMutex

	freed bool // the file was freed, and changes are ESTALE; set with data locked

	ftype                       uint16 // type bits of mode; never changes
	mode                        uint16
	uid, gid                    uint32
	nlink                       uint32
	size                        uint64
	blocks                      uint64 // in units of 512 bytes
	flags                       uint32
	atime, mtime, ctime, crtime int64
	generation                  uint32
	acl                         uint64 // block of extended attributes
	block                       [iBlockSize]byte
	seed                        uint32 // seed of checksums
	extraSize                   int

	slot sync.Mutex
	raw  []byte // the inode as last put into the inode table

	dirtyTimes  bool        // times changed outside of a transaction (lazytime)
	tid         uint64      // last transaction that changed the inode
	dataTID     uint64      // last transaction that changed size or extents
	overwritten atomic.Bool // data was written in place since the last flush of the device
	syncing     sync.Mutex
	reserved    intervals // blocks reserved for dirty pages (delayed allocation)
	prealloc    window    // blocks preallocated in memory after the end
	onOrphans   bool
	orphanPrev  *Inode // the inode whose i_dtime names this one; guarded by FS.orphans
	orphanNext  *Inode
	orphanSlot  int // index in the orphan file; -1: in the linked list
}

// Number is the inode's number.
func (i *Inode) Number() uint32 { return i.ino }

func (i *Inode) kind() uint16  { return i.ftype }
func (i *Inode) isDir() bool   { return i.kind() == typeDir }
func (i *Inode) extents() bool { return i.flags&flagExtents != 0 }

// locate says which block of the inode table holds an inode, and where.
func (fs *FS) locate(ino uint32) (block uint64, off int) {
	g := fs.group[(ino-1)/fs.inodesPer]
	index := (ino - 1) % fs.inodesPer
	per := uint32(fs.blockSize / fs.inodeSize)
	return fs.inodeTable(g) + uint64(index/per), int(index%per) * fs.inodeSize
}

// readInode fills i from the inode table.
func (fs *FS) readInode(i *Inode) syscall.Errno {
	block, off := fs.locate(i.ino)
	b, e := fs.j.Get(block)
	if e != 0 {
		return e
	}
	defer b.Put()
	i.raw = make([]byte, fs.inodeSize)
	copy(i.raw, b.Data[off:])
	// An earlier user of the inode may have changed it: fsync must cover that too.
	i.tid = fs.j.Newest()
	i.dataTID = i.tid
	i.overwritten.Store(true)
	return i.decode()
}

// decode checks i.raw and extracts its fields.
func (i *Inode) decode() syscall.Errno {
	fs, r := i.fs, i.raw
	i.mode = le.Uint16(r[iMode:])
	i.ftype = i.mode & typeMask
	i.nlink = uint32(le.Uint16(r[iLinks:]))
	if i.mode == 0 && i.nlink == 0 {
		return syscall.ESTALE
	}
	i.generation = le.Uint32(r[iGeneration:])
	i.seed = crc32c32(crc32c32(fs.seed, i.ino), i.generation)
	if len(r) > 128 {
		i.extraSize = int(le.Uint16(r[iExtraSize:]))
		if i.extraSize > len(r)-128 || i.extraSize%4 != 0 {
			return fs.corrupt("extra size of inode", uint64(i.ino))
		}
	}
	if fs.metaCsum && !i.sumGood() {
		return fs.corrupt("checksum of inode", uint64(i.ino))
	}
	i.uid = uint32(le.Uint16(r[iUID:])) | uint32(le.Uint16(r[iUIDHi:]))<<16
	i.gid = uint32(le.Uint16(r[iGID:])) | uint32(le.Uint16(r[iGIDHi:]))<<16
	i.size = uint64(le.Uint32(r[iSizeLo:])) | uint64(le.Uint32(r[iSizeHi:]))<<32
	i.flags = le.Uint32(r[iFlags:])
	i.blocks = uint64(le.Uint32(r[iBlocksLo:]))
	if fs.hasRO(roHugeFile) {
		i.blocks |= uint64(le.Uint16(r[iBlocksHi:])) << 32
		if i.flags&flagHugeFile != 0 {
			i.blocks <<= fs.blockBits - 9
		}
	}
	i.acl = uint64(le.Uint32(r[iFileACL:]))
	if fs.hasIncompat(incompat64bit) {
		i.acl |= uint64(le.Uint16(r[iFileACLHi:])) << 32
	}
	copy(i.block[:], r[iBlock:])
	i.atime = i.getTime(iAtime, iAtimeExtra)
	i.mtime = i.getTime(iMtime, iMtimeExtra)
	i.ctime = i.getTime(iCtime, iCtimeExtra)
	if i.fits(iCrtExtra) {
		i.crtime = i.getTime(iCrtime, iCrtExtra)
	}
	i.orphanSlot = -1
	return i.check()
}

// check refuses an inode that no operation could handle.
func (i *Inode) check() syscall.Errno {
	fs := i.fs
	if i.flags&(flagInline|flagEAInode) != 0 {
		return fs.corrupt("flags of inode", uint64(i.ino))
	}
	if i.size > 1<<63-1-uint64(fs.blockSize) || i.size>>fs.blockBits > 1<<32-1 && i.extents() {
		return fs.corrupt("size of inode", uint64(i.ino))
	}
	if i.acl != 0 && !fs.usable(i.acl, 1) {
		return fs.corrupt("attribute block of inode", uint64(i.ino))
	}
	switch i.kind() {
	case typeDir:
		if i.size%uint64(fs.blockSize) != 0 || i.size>>fs.blockBits > fs.blocks || i.size == 0 {
			return fs.corrupt("size of directory", uint64(i.ino))
		}
	case typeReg, typeLink, typeFIFO, typeSock, typeChar, typeBlk:
	default:
		if i.ino >= fs.firstIno {
			return fs.corrupt("type of inode", uint64(i.ino))
		}
	}
	return 0
}

// sum computes the inode's checksum over i.raw (ext4_inode_csum).
func (i *Inode) sum() uint32 {
	r := i.raw
	s := crc32c(i.seed, r[:iCsumLo])
	s = crc32c(s, []byte{0, 0})
	s = crc32c(s, r[iCsumLo+2:128])
	if len(r) == 128 {
		return s
	}
	s = crc32c(s, r[128:iCsumHi])
	if i.fits(iCsumHi - 2) {
		s = crc32c(s, []byte{0, 0})
		return crc32c(s, r[iCsumHi+2:])
	}
	return crc32c(s, r[iCsumHi:])
}

func (i *Inode) sumGood() bool {
	want, got := uint32(le.Uint16(i.raw[iCsumLo:])), i.sum()
	if len(i.raw) > 128 && i.fits(iCsumHi-2) {
		return want|uint32(le.Uint16(i.raw[iCsumHi:]))<<16 == got
	}
	return want == got&0xffff
}

func (i *Inode) putSum() {
	if !i.fs.metaCsum {
		return
	}
	s := i.sum()
	le.PutUint16(i.raw[iCsumLo:], uint16(s))
	if len(i.raw) > 128 && i.fits(iCsumHi-2) {
		le.PutUint16(i.raw[iCsumHi:], uint16(s>>16))
	}
}

// fits reports whether the four bytes at off lie within the inode's extra fields, whose
// size is i_extra_isize, or in its first 128 bytes.
func (i *Inode) fits(off int) bool { return off+4 <= 128+i.extraSize }

// getTime decodes a time: 34 bits of seconds, which cover the years 1901 to 2446, and 30
// bits of nanoseconds.
func (i *Inode) getTime(off, extra int) int64 {
	sec, ns := int64(int32(le.Uint32(i.raw[off:]))), int64(0)
	if i.fits(extra) {
		x := le.Uint32(i.raw[extra:])
		sec += int64(x&3) << 32
		ns = int64(x >> 2)
	}
	return sec*1e9 + ns
}

func (i *Inode) putTime(off, extra int, t int64) {
	sec, ns := t/1e9, t%1e9
	if ns < 0 {
		sec, ns = sec-1, ns+1e9
	}
	le.PutUint32(i.raw[off:], uint32(sec))
	if i.fits(extra) {
		epoch := uint32((sec-int64(int32(sec)))>>32) & 3
		le.PutUint32(i.raw[extra:], uint32(ns)<<2|epoch)
	}
}

// encode puts the fields into i.raw. Caller holds i.mu and i.slot.
func (i *Inode) encode() {
	fs, r := i.fs, i.raw
	le.PutUint16(r[iMode:], i.mode)
	le.PutUint16(r[iUID:], uint16(i.uid))
	le.PutUint16(r[iUIDHi:], uint16(i.uid>>16))
	le.PutUint16(r[iGID:], uint16(i.gid))
	le.PutUint16(r[iGIDHi:], uint16(i.gid>>16))
	le.PutUint16(r[iLinks:], uint16(i.nlink))
	le.PutUint32(r[iSizeLo:], uint32(i.size))
	le.PutUint32(r[iSizeHi:], uint32(i.size>>32))
	blocks := i.blocks
	i.flags &^= flagHugeFile
	if blocks >= 1<<48 {
		i.flags |= flagHugeFile
		blocks >>= fs.blockBits - 9
	}
	le.PutUint32(r[iBlocksLo:], uint32(blocks))
	if fs.hasRO(roHugeFile) {
		le.PutUint16(r[iBlocksHi:], uint16(blocks>>32))
	}
	le.PutUint32(r[iFlags:], i.flags)
	le.PutUint32(r[iGeneration:], i.generation)
	le.PutUint32(r[iFileACL:], uint32(i.acl))
	if fs.hasIncompat(incompat64bit) {
		le.PutUint16(r[iFileACLHi:], uint16(i.acl>>32))
	}
	copy(r[iBlock:], i.block[:])
	if len(r) > 128 {
		le.PutUint16(r[iExtraSize:], uint16(i.extraSize))
	}
	i.putTime(iAtime, iAtimeExtra, i.atime)
	i.putTime(iMtime, iMtimeExtra, i.mtime)
	i.putTime(iCtime, iCtimeExtra, i.ctime)
	if i.fits(iCrtExtra) {
		i.putTime(iCrtime, iCrtExtra, i.crtime)
	}
}

// write journals the whole inode. Caller holds i.mu.
func (i *Inode) write(o *op) syscall.Errno {
	i.slot.Lock()
	defer i.slot.Unlock()
	i.encode()
	i.tid = o.h.TID()
	i.dirtyTimes = false
	return i.putRaw(o)
}

// writeData is write after a change of size or extents, which fdatasync must cover.
func (i *Inode) writeData(o *op) syscall.Errno {
	i.dataTID = o.h.TID()
	return i.write(o)
}

// putRaw copies i.raw with its checksum into the inode table. Caller holds i.slot.
func (i *Inode) putRaw(o *op) syscall.Errno {
	i.putSum()
	block, off := i.fs.locate(i.ino)
	b, e := o.get(block)
	if e != 0 {
		return e
	}
	o.dirty(b, nil)
	copy(b.Data[off:off+len(i.raw)], i.raw)
	b.Put()
	return 0
}

// sealExtents returns the function that computes checksums of extent blocks at a commit.
func (i *Inode) sealExtents() func(*jbd2.Buffer) {
	if !i.fs.metaCsum {
		return nil
	}
	seed := i.seed
	return func(b *jbd2.Buffer) { sealExtentBlock(seed, b.Data) }
}
