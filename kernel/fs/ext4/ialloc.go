package ext4

import (
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

const checkedInodes = 32

// newInode allocates an inode for a file in directory dir. It costs four buffers besides
// the inode's own. ENOSPC.
func (o *op) newInode(dir *Inode, isDir bool) (uint32, syscall.Errno) {
	fs := o.fs
	first := (dir.ino - 1) / fs.inodesPer
	if isDir {
		first = fs.dirGroup(dir, first)
	}
	for pass := range 2 {
		for k := range fs.groups {
			g := fs.group[(first+k)%fs.groups]
			if pass == 0 && g.freeBits.Load() == 0 {
				continue
			}
			ino, e := o.inodeFrom(g, isDir)
			if e != 0 || ino != 0 {
				return ino, e
			}
		}
	}
	return 0, syscall.ENOSPC
}

// dirGroup spreads directories as the Orlov allocator does: those in the root over groups
// with much space and few directories, others near their parent.
func (fs *FS) dirGroup(dir *Inode, near uint32) uint32 {
	inodes := uint32(max(0, fs.freeInode.Load())) / fs.groups
	blocks := int32(max(0, fs.space.free.Load()) / int64(fs.groups))
	if dir.ino != rootIno {
		for k := range fs.groups {
			g := fs.group[(near+k)%fs.groups]
			free, _ := fs.inodeCounts(g)
			if free >= min(inodes, fs.inodesPer/8+1) && g.freeBits.Load() >= blocks/4 {
				return g.n
			}
		}
		return near
	}
	best, least := near, ^uint32(0)
	for _, g := range fs.group {
		free, dirs := fs.inodeCounts(g)
		if free > 0 && free >= inodes && g.freeBits.Load() >= blocks && dirs < least {
			best, least = g.n, dirs
		}
	}
	return best
}

func (fs *FS) inodeCounts(g *group) (free, dirs uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fs.descInodes(g.desc), fs.descDirs(g.desc)
}

// inodeFrom allocates the first free inode of a group; 0: there is none.
func (o *op) inodeFrom(g *group, isDir bool) (uint32, syscall.Errno) {
	fs := o.fs
	g.mu.Lock()
	defer g.mu.Unlock()
	if fs.descInodes(g.desc) == 0 {
		return 0, 0
	}
	b, e := o.inodeBits(g)
	if e != 0 {
		return 0, 0 // the log has a line; other groups may do
	}
	index := uint32(0)
	if g.n == 0 {
		index = fs.firstIno - 1
	}
	index = nextZero(b.Data, index, fs.inodesPer)
	if index == fs.inodesPer {
		b.Put()
		return 0, 0
	}
	if !o.coverTable(g, index) {
		b.Put()
		return 0, 0
	}
	o.dirty(b, nil)
	setBits(b.Data, index, 1)
	o.changedInodes(g, b, -1, isDir)
	return g.n*fs.inodesPer + index + 1, 0
}

func (o *op) changedInodes(g *group, b *jbd2.Buffer, delta int, isDir bool) {
	fs := o.fs
	o.dirtyDesc(g)
	putPair16(g.desc, dFreeInodes, dFreeInodesHi, fs.wide(), uint32(int(fs.descInodes(g.desc))+delta))
	if isDir {
		putPair16(g.desc, dUsedDirs, dUsedDirsHi, fs.wide(), uint32(int(fs.descDirs(g.desc))-delta))
	}
	fs.freeInode.Add(int64(delta))
	if g.staleInodes == nil {
		g.staleInodes = b
		return
	}
	b.Put()
}

// inodeBits is the inode bitmap's buffer. Caller holds g.mu.
func (o *op) inodeBits(g *group) (*jbd2.Buffer, syscall.Errno) {
	fs := o.fs
	if fs.descCsum && le.Uint16(g.desc[dFlags:])&groupInodeUninit != 0 {
		b := o.fresh(fs.inodeBitmap(g), checkedInodes, nil)
		setBits(b.Data, fs.inodesPer, uint32(8*fs.blockSize)-fs.inodesPer)
		o.dirtyDesc(g)
		le.PutUint16(g.desc[dFlags:], le.Uint16(g.desc[dFlags:])&^groupInodeUninit)
		putPair16(g.desc, dItableUnused, dUnusedHi, fs.wide(), fs.inodesPer)
		return b, 0
	}
	b, e := fs.j.Get(fs.inodeBitmap(g))
	if e != 0 {
		return nil, e
	}
	if atomic.LoadUint32(&b.Check)&checkedInodes == 0 {
		if !fs.bitmapSumGood(g, dInodeCsum, dInodeCsumHi, b.Data[:fs.inodesPer/8]) {
			b.Put()
			return nil, fs.corrupt("checksum of the inode bitmap of group", uint64(g.n))
		}
		mark(b, checkedInodes)
	}
	return b, 0
}

// coverTable makes sure that the initialised part of the inode table reaches up to an
// inode. It zeroes table blocks that mkfs has not written.
func (o *op) coverTable(g *group, index uint32) bool {
	fs := o.fs
	if !fs.descCsum {
		return true
	}
	used := fs.inodesPer - fs.descUnused(g.desc)
	if index < used {
		return true
	}
	per := uint32(fs.blockSize / fs.inodeSize)
	if index > used && index/per > (used+per-1)/per {
		fs.corrupt("inodes beyond the used part of the table, group", uint64(g.n))
		return false
	}
	if used%per == 0 || index/per > used/per {
		if le.Uint16(g.desc[dFlags:])&groupInodeZeroed == 0 {
			o.fresh(fs.inodeTable(g)+uint64(index/per), 0, nil).Put()
		}
	}
	o.dirtyDesc(g)
	putPair16(g.desc, dItableUnused, dUnusedHi, fs.wide(), fs.inodesPer-index-1)
	return true
}

// freeInodeBit frees an inode in its bitmap. It costs two buffers.
func (o *op) freeInodeBit(ino uint32, isDir bool) syscall.Errno {
	fs := o.fs
	g, index := fs.group[(ino-1)/fs.inodesPer], (ino-1)%fs.inodesPer
	g.mu.Lock()
	defer g.mu.Unlock()
	b, e := o.inodeBits(g)
	if e != 0 {
		return e
	}
	if !bitSet(b.Data, index) || fs.descInodes(g.desc) >= fs.inodesPer || isDir && fs.descDirs(g.desc) == 0 {
		b.Put()
		return fs.corrupt("inode is freed twice:", uint64(ino))
	}
	o.dirty(b, nil)
	clearBits(b.Data, index, 1)
	o.changedInodes(g, b, 1, isDir)
	return 0
}

// inodeUsed reports whether an inode is in use according to the bitmap.
func (fs *FS) inodeUsed(ino uint32) bool {
	g, index := fs.group[(ino-1)/fs.inodesPer], (ino-1)%fs.inodesPer
	g.mu.Lock()
	defer g.mu.Unlock()
	if fs.descCsum && le.Uint16(g.desc[dFlags:])&groupInodeUninit != 0 {
		return false
	}
	b, e := fs.j.Get(fs.inodeBitmap(g))
	if e != 0 {
		return false
	}
	defer b.Put()
	return bitSet(b.Data, index)
}
