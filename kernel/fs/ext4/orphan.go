package ext4

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// orphans are inodes that a mount after a crash has to free or truncate: files without
// links that are still open, and files whose truncation takes several transactions. They
// form a list from s_last_orphan through i_dtime, or their numbers are in the blocks of
// the orphan file (ext4 docs: "Orphan file").
type orphans struct {
	mu    sync.Mutex
	head  *Inode
	file  []uint64 // blocks of the orphan file
	slots [][]uint32
	free  int // number of empty slots
	seed  uint32
}

const (
	orphanMagic    = 0x0b10ca04
	orphanTail     = 8
	checkedOrphans = 64
	maxOrphanFile  = 512 // blocks; EXT4_MAX_ORPHAN_FILE_BLOCKS
)

// addOrphan makes i an orphan. It costs three buffers. Caller holds i.mu.
func (i *Inode) addOrphan(o *op) syscall.Errno {
	if i.onOrphans {
		return 0
	}
	l := &i.fs.orphans
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free > 0 {
		return l.addToFile(o, i)
	}
	next := uint32(0)
	if l.head != nil {
		next = l.head.ino
	}
	if e := i.patchDtime(o, next); e != 0 {
		return e
	}
	o.setLastOrphan(i.ino)
	i.orphanPrev, i.orphanNext = nil, l.head
	if l.head != nil {
		l.head.orphanPrev = i
	}
	l.head, i.orphanSlot, i.onOrphans = i, -1, true
	return 0
}

// removeOrphan undoes addOrphan. It costs three buffers. Caller holds i.mu.
func (i *Inode) removeOrphan(o *op) syscall.Errno {
	if !i.onOrphans {
		return 0
	}
	l := &i.fs.orphans
	l.mu.Lock()
	defer l.mu.Unlock()
	if i.orphanSlot >= 0 {
		return l.removeFromFile(o, i)
	}
	next := uint32(0)
	if i.orphanNext != nil {
		next = i.orphanNext.ino
	}
	if i.orphanPrev != nil {
		if e := i.orphanPrev.patchDtime(o, next); e != 0 {
			return e
		}
		i.orphanPrev.orphanNext = i.orphanNext
	} else {
		o.setLastOrphan(next)
		l.head = i.orphanNext
	}
	if i.orphanNext != nil {
		i.orphanNext.orphanPrev = i.orphanPrev
	}
	i.orphanPrev, i.orphanNext, i.onOrphans = nil, nil, false
	return i.patchDtime(o, 0)
}

// patchDtime changes only i_dtime, which is a link of the list or the time of deletion:
// i.mu need not be locked.
func (i *Inode) patchDtime(o *op, v uint32) syscall.Errno {
	i.slot.Lock()
	defer i.slot.Unlock()
	le.PutUint32(i.raw[iDtime:], v)
	return i.putRaw(o)
}

func (o *op) setLastOrphan(ino uint32) {
	o.changeSuper(func(sb []byte) { le.PutUint32(sb[sLastOrphan:], ino) })
}

// changeSuper changes the superblock in this transaction.
func (o *op) changeSuper(f func(sb []byte)) {
	fs := o.fs
	fs.superMu.Lock()
	defer fs.superMu.Unlock()
	o.dirty(fs.superBuf, fs.sealSuper)
	f(fs.super())
}

func (fs *FS) sealSuper(*jbd2.Buffer) { sealSuper(fs.geometry, fs.super()) }

// openOrphanFile reads the orphan file.
func (fs *FS) openOrphanFile() syscall.Errno {
	if fs.orphanFile == 0 {
		return 0
	}
	l := &fs.orphans
	i := &Inode{fs: fs, ino: fs.orphanFile}
	if i.ino > fs.inodes {
		return fs.corrupt("number of the orphan file", uint64(i.ino))
	}
	if e := fs.readInode(i); e != 0 {
		return e
	}
	n := i.size >> fs.blockBits
	if i.kind() != typeReg || n > maxOrphanFile {
		return fs.corrupt("orphan file, inode", uint64(i.ino))
	}
	l.seed = i.seed
	for k := range n {
		m, e := i.lookup(k, 1)
		if e != 0 {
			return e
		}
		if !m.written() {
			return fs.corrupt("hole in the orphan file, inode", uint64(i.ino))
		}
		slots, e := fs.readOrphans(m.phys)
		if e != 0 {
			return e
		}
		l.file, l.slots = append(l.file, m.phys), append(l.slots, slots)
	}
	return 0
}

// readOrphans decodes a block of the orphan file.
func (fs *FS) readOrphans(block uint64) ([]uint32, syscall.Errno) {
	b, e := fs.j.Get(block)
	if e != 0 {
		return nil, e
	}
	defer b.Put()
	tail := b.Data[fs.blockSize-orphanTail:]
	if le.Uint32(tail) != orphanMagic {
		return nil, fs.corrupt("magic number of orphan block", block)
	}
	if fs.metaCsum && atomic.LoadUint32(&b.Check)&checkedOrphans == 0 &&
		fs.orphanSum(block, b.Data) != le.Uint32(tail[4:]) {
		return nil, fs.corrupt("checksum of orphan block", block)
	}
	mark(b, checkedOrphans)
	slots := make([]uint32, (fs.blockSize-orphanTail)/4)
	for k := range slots {
		if slots[k] = le.Uint32(b.Data[4*k:]); slots[k] == 0 {
			fs.orphans.free++
		}
	}
	return slots, 0
}

func (fs *FS) orphanSum(block uint64, d []byte) uint32 {
	return crc32c(crc32c64(fs.orphans.seed, block), d[:fs.blockSize-orphanTail])
}

func (fs *FS) sealOrphans(b *jbd2.Buffer) {
	if fs.metaCsum {
		le.PutUint32(b.Data[fs.blockSize-4:], fs.orphanSum(b.Block, b.Data))
	}
}

func (l *orphans) addToFile(o *op, i *Inode) syscall.Errno {
	for k, slots := range l.slots {
		for s, ino := range slots {
			if ino != 0 {
				continue
			}
			if e := l.setSlot(o, k, s, i.ino); e != 0 {
				return e
			}
			l.free--
			i.orphanSlot, i.onOrphans = k*len(slots)+s, true
			return 0
		}
	}
	return o.fs.corrupt("orphan file has no slot, inode", uint64(o.fs.orphanFile))
}

func (l *orphans) removeFromFile(o *op, i *Inode) syscall.Errno {
	per := len(l.slots[0])
	if e := l.setSlot(o, i.orphanSlot/per, i.orphanSlot%per, 0); e != 0 {
		return e
	}
	l.free++
	i.orphanSlot, i.onOrphans = -1, false
	return 0
}

func (l *orphans) setSlot(o *op, block, slot int, ino uint32) syscall.Errno {
	b, e := o.get(l.file[block])
	if e != 0 {
		return e
	}
	defer b.Put()
	o.dirty(b, o.fs.sealOrphans)
	le.PutUint32(b.Data[4*slot:], ino)
	l.slots[block][slot] = ino
	return 0
}

// recoverOrphans frees and truncates the orphans that a crash has left.
func (fs *FS) recoverOrphans() syscall.Errno {
	if e := fs.openOrphanFile(); e != 0 {
		return e
	}
	list := fs.fileOrphans()
	if e := fs.listOrphans(&list); e != 0 {
		return e
	}
	for _, i := range list {
		if e := fs.recoverOrphan(i); e != 0 {
			return e
		}
	}
	return 0
}

// fileOrphans loads the inodes in the orphan file.
func (fs *FS) fileOrphans() (list []*Inode) {
	seen := map[uint32]bool{}
	for k, slots := range fs.orphans.slots {
		for s, ino := range slots {
			if ino == 0 {
				continue
			}
			i := fs.orphan(ino)
			if i == nil || seen[ino] {
				fs.orphans.slots[k][s] = 0 // stays in the block until the slot is used again
				continue
			}
			seen[ino] = true
			i.orphanSlot, i.onOrphans = k*len(slots)+s, true
			list = append(list, i)
		}
	}
	return list
}

// orphan loads an inode that is listed as an orphan; nil: it cannot be one.
func (fs *FS) orphan(ino uint32) *Inode {
	if ino < fs.firstIno || ino > fs.inodes || !fs.inodeUsed(ino) {
		fs.corrupt("list of orphans names inode", uint64(ino))
		return nil
	}
	i, e := fs.inode(ino)
	if e != 0 {
		fs.corrupt("list of orphans names inode", uint64(ino))
		return nil
	}
	return i
}

// listOrphans loads the inodes of the list, up to the first damage.
func (fs *FS) listOrphans(list *[]*Inode) syscall.Errno {
	ino := le.Uint32(fs.super()[sLastOrphan:])
	var last *Inode
	for ino != 0 {
		i := fs.orphan(ino)
		if i == nil {
			break
		}
		if i.onOrphans {
			i.Put()
			fs.corrupt("list of orphans has a loop at inode", uint64(ino))
			break
		}
		i.onOrphans, i.orphanPrev = true, last
		if last == nil {
			fs.orphans.head = i
		} else {
			last.orphanNext = i
		}
		last = i
		*list = append(*list, i)
		ino = le.Uint32(i.raw[iDtime:])
	}
	if last != nil || ino == 0 {
		return 0
	}
	o, e := fs.begin(1, 0)
	if e != 0 {
		return e
	}
	o.setLastOrphan(0)
	return o.end(0)
}

// recoverOrphan frees an inode without links, or truncates it to its size.
func (fs *FS) recoverOrphan(i *Inode) syscall.Errno {
	if i.nlink == 0 {
		i.Put()
		return 0
	}
	defer i.Put()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.kind() == typeReg {
		if e := i.zeroPart(i.size, uint64(fs.blockSize)); e != 0 {
			return e
		}
	}
	o, e := fs.beginReserved(80, 0)
	if e != 0 {
		return e
	}
	if i.kind() == typeReg {
		e = i.cut(o, (i.size+uint64(fs.blockSize)-1)>>fs.blockBits)
	}
	if e == 0 {
		e = i.next(o, 4)
	}
	if e == 0 {
		e = i.removeOrphan(o)
	}
	if e == 0 {
		e = i.writeData(o)
	}
	return o.end(e)
}

// evict frees an inode that has no links and no references. If the file system ends while
// files are open, goroutines may still use the inode: i.data waits for those that write to
// its blocks, and the others find it freed.
func (fs *FS) evict(i *Inode) {
	i.data.Lock()
	defer i.data.Unlock()
	i.mu.Lock()
	i.freed = true
	fs.release(&i.prealloc)
	fs.unclaim(int64(i.reserved.remove(0, maxLogical+1)))
	o, e := fs.beginReserved(80, 0)
	if e == 0 {
		e = o.end(i.freeAll(o))
	}
	i.mu.Unlock()
	if e != 0 {
		fs.opt.Log("ext4: inode without links stays an orphan: " + e.Error())
	}
	i.forget()
}

func (i *Inode) freeAll(o *op) syscall.Errno {
	i.size = 0
	if e := i.freeContent(o); e != 0 {
		return e
	}
	if e := i.next(o, 12); e != 0 {
		return e
	}
	if e := i.freeAttrBlock(o); e != 0 {
		return e
	}
	if e := i.removeOrphan(o); e != 0 {
		return e
	}
	i.slot.Lock()
	le.PutUint32(i.raw[iDtime:], uint32(i.fs.opt.Now()/1e9))
	i.slot.Unlock()
	if e := i.write(o); e != 0 {
		return e
	}
	i.forget()
	return o.freeInodeBit(i.ino, i.isDir())
}

// freeContent frees the blocks of a file of any type.
func (i *Inode) freeContent(o *op) syscall.Errno {
	switch i.kind() {
	case typeReg, typeDir:
	case typeLink:
		// freeAll has set the size to 0; a symbolic link in the inode has no blocks.
		if !i.extents() && i.blocks <= i.attrBlocks() {
			return 0
		}
	default:
		return 0
	}
	return i.cut(o, 0)
}

func (i *Inode) attrBlocks() uint64 {
	if i.acl == 0 {
		return 0
	}
	return uint64(i.fs.blockSize >> 9)
}
