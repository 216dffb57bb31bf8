package ext4

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// FormatOptions are the parameters of Format. Zero values stand for the defaults of
// mkfs.ext4, except that blocks have 4096 bytes on disks of every size.
type FormatOptions struct {
	Label     string   // at most 16 bytes
	UUID      [16]byte // random if zero
	HashSeed  [16]byte // seed of the hashes in directory indexes; random if zero
	BlockSize int      // 1024, 2048 or 4096 bytes
	// Inodes is the number of inodes, rounded up to whole blocks of inodes in each group.
	// If zero, there is one per BytesPerInode bytes, by default 16384, or 4096 on disks
	// below 512 MiB.
	Inodes        uint32
	BytesPerInode int64
	JournalBlocks uint32 // at most 131072; if zero, by the disk's size as in mkfs.ext4
	Now           int64  // ns since 1970; the current time if zero
}

const (
	formatCompat   = compatHasJournal | compatExtAttr | compatDirIndex
	formatIncompat = incompatFiletype | incompatExtents | incompat64bit | incompatFlexBG
	formatRO       = roSparseSuper | roLargeFile | roHugeFile | roDirNlink | roExtraIsize | roMetadataCsum

	formatInode  = 256
	formatDesc   = 64
	formatFlex   = 4 // log2 of the groups per flexible group, whose tables lie together
	lostFoundIno = 11
	lostFound    = 16 << 10 // bytes
	mostJournal  = rootExtents * maxExtent

	journalMagic = 0xc03b3998
)

// formatter makes one file system.
type formatter struct {
	*FS
	o       FormatOptions
	sb      []byte
	descs   []byte
	used    []span // blocks of files
	journal []span
	root    uint64
	lost    uint64 // first block of lost+found
	lostN   uint64
}

// Format makes an empty ext4 file system of the device's size, with the features that
// mkfs.ext4 enables except the reserve for growing (resize_inode).
func Format(dev block.Device, o FormatOptions) error {
	f := &formatter{FS: &FS{dev: dev, opt: Options{Log: func(string) {}}}, o: o}
	if dev.ReadOnly() {
		return mountError("format: the device is read-only")
	}
	if err := f.plan(); err != nil {
		return err
	}
	if e := f.write(); e != 0 {
		return mountError("format: " + e.Error())
	}
	return nil
}

func (f *formatter) write() syscall.Errno {
	steps := []func() syscall.Errno{f.zeroStart, f.writeJournal, f.writeDirs, f.writeInodes, f.writeBitmaps, f.writeSupers}
	for _, s := range steps {
		if e := s(); e != 0 {
			return e
		}
	}
	return f.dev.Flush()
}

func (f *formatter) put(block uint64, data []byte) syscall.Errno {
	return f.dev.WriteAt([][]byte{data}, f.blockBytes(block))
}

func (f *formatter) zero(start, n uint64) syscall.Errno {
	e := f.dev.WriteZeroes(f.blockBytes(start), f.blockBytes(n))
	if e != syscall.EOPNOTSUPP {
		return e
	}
	buf := make([]byte, 256<<10)
	for n > 0 {
		part := min(n, uint64(len(buf))>>f.blockBits)
		if e := f.put(start, buf[:part<<f.blockBits]); e != 0 {
			return e
		}
		start, n = start+part, n-part
	}
	return 0
}

// zeroStart erases the start of an earlier file system, its superblock included.
func (f *formatter) zeroStart() syscall.Errno {
	if e := f.zero(0, uint64(max(1, 4096/f.blockSize))); e != 0 {
		return e
	}
	return f.dev.Flush()
}

// writeJournal empties the log and writes its superblock (jbd2's journal_superblock_s,
// big-endian), so that no old transactions are found there.
func (f *formatter) writeJournal() syscall.Errno {
	total := uint64(0)
	for _, s := range f.journal {
		if e := f.zero(s.start, s.n); e != 0 {
			return e
		}
		total += s.n
	}
	b := make([]byte, f.blockSize)
	for k, v := range []uint32{journalMagic, 4, 0, uint32(f.blockSize), uint32(total), 1, 1} {
		b[4*k], b[4*k+1], b[4*k+2], b[4*k+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
	}
	copy(b[0x30:], f.uuid[:])
	b[0x43] = 1 // number of file systems that use the journal
	return f.put(f.journal[0].start, b)
}

// writeDirs writes the root directory and lost+found.
func (f *formatter) writeDirs() syscall.Errno {
	dir := func(ino, parent uint32) (*Inode, []byte) {
		i := &Inode{fs: f.FS, ino: ino, seed: crc32c32(crc32c32(f.seed, ino), 0)}
		d := make([]byte, f.blockSize)
		i.emptyDirBlock(d)
		putDirent(d, 0, 12, ino, ".", 2)
		putDirent(d, 12, f.dirLimit()-12, parent, "..", 2)
		return i, d
	}
	i, d := dir(rootIno, rootIno)
	le.PutUint16(d[16:], 12)
	putDirent(d, 24, f.dirLimit()-24, lostFoundIno, "lost+found", 2)
	i.sumDir(d)
	if e := f.put(f.root, d); e != 0 {
		return e
	}
	i, d = dir(lostFoundIno, rootIno)
	for k := range f.lostN {
		if k > 0 {
			i.emptyDirBlock(d)
		}
		i.sumDir(d)
		if e := f.put(f.lost+k, d); e != 0 {
			return e
		}
	}
	return 0
}

func (i *Inode) sumDir(d []byte) {
	le.PutUint32(d[len(d)-4:], crc32c(i.seed, d[:len(d)-dirTail]))
}

// writeInodes writes the inode table of group 0 and copies the journal's inode to the
// superblock, as e2fsck expects.
func (f *formatter) writeInodes() syscall.Errno {
	g := f.group[0]
	if e := f.zero(f.inodeTable(g), uint64(f.itableBlocks)); e != 0 {
		return e
	}
	table := make([]byte, (lostFoundIno*formatInode+f.blockSize-1)/f.blockSize*f.blockSize)
	f.inodeIn(table, rootIno, typeDir|0o755, 3, []span{{f.root, 1}})
	f.inodeIn(table, lostFoundIno, typeDir|0o700, 2, []span{{f.lost, f.lostN}})
	i := f.inodeIn(table, journalIno, typeReg|0o600, 1, f.journal)
	copy(f.sb[sJournalBlocks:], i.block[:])
	le.PutUint32(f.sb[sJournalBlocks+60:], uint32(i.size>>32))
	le.PutUint32(f.sb[sJournalBlocks+64:], uint32(i.size))
	for ino := uint32(1); ino < lostFoundIno; ino++ {
		if ino != rootIno && ino != journalIno {
			e := &Inode{fs: f.FS, ino: ino, raw: table[(ino-1)*formatInode:][:formatInode], seed: crc32c32(crc32c32(f.seed, ino), 0)}
			e.putSum()
		}
	}
	return f.put(f.inodeTable(g), table)
}

func (f *formatter) inodeIn(table []byte, ino uint32, mode uint16, links uint32, where []span) *Inode {
	i := &Inode{fs: f.FS, ino: ino, mode: mode, ftype: mode & typeMask, nlink: links, extraSize: 32,
		atime: f.o.Now, mtime: f.o.Now, ctime: f.o.Now, crtime: f.o.Now}
	i.raw = table[(ino-1)*formatInode:][:formatInode]
	i.seed = crc32c32(crc32c32(f.seed, ino), 0)
	i.initExtents()
	l := uint64(0)
	for k, s := range where {
		putExtent(entry(i.block[:], k), mapping{l, s.start, s.n, false})
		setEntries(i.block[:], k+1)
		l += s.n
	}
	i.size, i.blocks = l<<f.blockBits, l<<(f.blockBits-9)
	i.encode()
	i.putSum()
	return i
}

// writeBitmaps writes the bitmaps of groups that are not empty, and fills the
// descriptors.
func (f *formatter) writeBitmaps() syscall.Errno {
	free := uint64(0)
	b := make([]byte, f.blockSize)
	for _, g := range f.group {
		f.baseBits(g.n, b)
		start, count := f.groupStart(g.n), f.groupBlocks(g.n)
		for _, s := range f.used {
			from, to := max(s.start, start), min(s.start+s.n, start+uint64(count))
			if from < to {
				setBits(b, uint32(from-start), uint32(to-from))
			}
		}
		n := countZero(b, count)
		free += uint64(n)
		putPair16(g.desc, dFreeBlocks, dFreeBlocksHi, true, n)
		flags := uint16(0)
		if g.n > 0 && g.n < f.groups-1 && n == count-f.baseMeta(g.n) {
			flags = groupBlockUninit
		} else {
			putPair16(g.desc, dBlockCsum, dBlockCsumHi, true, crc32c(f.seed, b[:f.blocksPer/8]))
			if e := f.put(f.blockBitmap(g), b); e != 0 {
				return e
			}
		}
		if e := f.writeInodeBitmap(g, flags); e != 0 {
			return e
		}
		le.PutUint16(g.desc[dChecksum:], f.descChecksum(g.n, g.desc))
	}
	f.putCounts(f.sb, free)
	return 0
}

func (f *formatter) writeInodeBitmap(g *group, flags uint16) syscall.Errno {
	free, dirs := f.inodesPer, uint32(0)
	if g.n == 0 {
		free, dirs = free-lostFoundIno, 2
		flags |= groupInodeZeroed
		b := make([]byte, f.blockSize)
		setBits(b, 0, lostFoundIno)
		setBits(b, f.inodesPer, uint32(8*f.blockSize)-f.inodesPer)
		putPair16(g.desc, dInodeCsum, dInodeCsumHi, true, crc32c(f.seed, b[:f.inodesPer/8]))
		if e := f.put(f.inodeBitmap(g), b); e != 0 {
			return e
		}
	} else {
		flags |= groupInodeUninit
	}
	putPair16(g.desc, dFreeInodes, dFreeInodesHi, true, free)
	putPair16(g.desc, dItableUnused, dUnusedHi, true, free)
	putPair16(g.desc, dUsedDirs, dUsedDirsHi, true, dirs)
	le.PutUint16(g.desc[dFlags:], flags)
	return 0
}

func (f *formatter) putCounts(sb []byte, free uint64) {
	le.PutUint32(sb[sFreeBlocksLo:], uint32(free))
	le.PutUint32(sb[sFreeBlocksHi:], uint32(free>>32))
	le.PutUint32(sb[sFreeInodes:], f.inodes-lostFoundIno)
}

// writeSupers writes the copies of superblock and descriptors and then, when everything
// else is durable, the superblock.
func (f *formatter) writeSupers() syscall.Errno {
	for n := f.groups; n > 0; n-- {
		g := n - 1
		if !f.hasSuper(g) {
			continue
		}
		at := f.groupStart(g)
		if e := f.put(at+1, f.descs); e != 0 {
			return e
		}
		if g == 0 {
			if e := f.dev.Flush(); e != 0 {
				return e
			}
		}
		le.PutUint16(f.sb[sBlockGroup:], uint16(g))
		sealSuper(f.geometry, f.sb)
		b := make([]byte, f.blockSize)
		off := 0
		if g == 0 {
			off = superOffset & (f.blockSize - 1)
		}
		copy(b[off:], f.sb)
		if e := f.put(at, b); e != 0 {
			return e
		}
	}
	return 0
}
