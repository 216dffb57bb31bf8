package ext4

import (
	"strings"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// checkName refuses names that cannot be created or removed.
func checkName(name string) syscall.Errno {
	switch {
	case name == "":
		return syscall.ENOENT
	case len(name) > nameMax:
		return syscall.ENAMETOOLONG
	case name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return syscall.EINVAL
	}
	return 0
}

// mayAdd checks that a name can be added and returns how many blocks that needs. Caller
// holds i.mu; no handle is open.
func (i *Inode) mayAdd(name string) (int64, syscall.Errno) {
	if i.fs.ro.Load() {
		return 0, syscall.EROFS
	}
	if name == "." || name == ".." {
		return 0, syscall.EEXIST
	}
	if e := checkName(name); e != 0 {
		return 0, e
	}
	b, _, e := i.lookupName(name)
	if e == 0 {
		b.Put()
		return 0, syscall.EEXIST
	}
	if e != syscall.ENOENT {
		return 0, e
	}
	return i.needsRoom(name)
}

func (i *Inode) needsRoom(name string) (int64, syscall.Errno) {
	blocks, e := i.needs(name)
	if blocks == 0 || e != 0 {
		return 0, e
	}
	full, e := i.indexFull(name)
	if full {
		e = syscall.ENOSPC
	}
	return blocks, e
}

// addCost is the cost in buffers of adding a name, of which blocks are new blocks.
func addCost(blocks int64) int {
	if blocks > 0 {
		return dirCost
	}
	return 2
}

// Create makes a file of any type but a symbolic link. mode has the type bits; rdev is the
// number of a device. The caller gets a reference. EEXIST, ENOSPC, EMLINK…
func (i *Inode) Create(name string, mode, uid, gid uint32, rdev uint64) (*Inode, syscall.Errno) {
	return i.create(name, uint16(mode), uid, gid, 0, func(c *Inode, o *op) syscall.Errno {
		switch c.kind() {
		case typeDir:
			return c.initDir(o, i.ino)
		case typeReg:
			c.initExtents()
		case typeChar, typeBlk:
			c.putRdev(rdev)
		}
		return 0
	})
}

// Symlink makes a symbolic link. ENAMETOOLONG: the target does not fit a block.
func (i *Inode) Symlink(name, target string, uid, gid uint32) (*Inode, syscall.Errno) {
	if target == "" {
		return nil, syscall.ENOENT
	}
	if len(target) >= i.fs.blockSize {
		return nil, syscall.ENAMETOOLONG
	}
	blocks := int64(0)
	if len(target) >= iBlockSize {
		blocks = 1
	}
	return i.create(name, typeLink|0777, uid, gid, blocks, func(c *Inode, o *op) syscall.Errno {
		c.size = uint64(len(target))
		if blocks == 0 {
			copy(c.block[:], target)
			return 0
		}
		c.initExtents()
		return c.firstContent(o, func(d []byte) { copy(d, target) })
	})
}

// firstContent gives a new inode its first block, which is metadata.
func (i *Inode) firstContent(o *op, fill func(d []byte)) syscall.Errno {
	block, e := o.block(i.goalLocked(0))
	if e != 0 {
		return e
	}
	i.blocks += uint64(i.fs.blockSize >> 9)
	seal, checked := i.sealDir(), uint32(checkedDir)
	if !i.isDir() {
		seal, checked = nil, 0
	}
	b := o.fresh(block, checked, seal)
	fill(b.Data)
	b.Put()
	return i.insert(o, mapping{0, block, 1, false})
}

// initDir makes the first block of a new directory.
func (i *Inode) initDir(o *op, parent uint32) syscall.Errno {
	i.initExtents()
	i.size, i.nlink = uint64(i.fs.blockSize), 2
	kind := i.fs.direntKind(typeDir)
	return i.firstContent(o, func(d []byte) {
		i.emptyDirBlock(d)
		putDirent(d, 0, 12, i.ino, ".", kind)
		putDirent(d, 12, i.fs.dirLimit()-12, parent, "..", kind)
	})
}

func (i *Inode) create(name string, mode uint16, uid, gid uint32, blocks int64, init func(*Inode, *op) syscall.Errno) (*Inode, syscall.Errno) {
	fs := i.fs
	switch mode & typeMask {
	case typeReg, typeDir, typeChar, typeBlk, typeFIFO, typeSock, typeLink:
	default:
		return nil, syscall.EINVAL
	}
	isDir := mode&typeMask == typeDir
	if isDir {
		blocks = 1
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	need, e := i.mayAdd(name)
	if e != 0 {
		return nil, e
	}
	if isDir && !i.mayLink() {
		return nil, syscall.EMLINK
	}
	if fs.freeInode.Load() <= 0 {
		return nil, syscall.ENOSPC
	}
	o, e := fs.begin(16+addCost(need), need+blocks)
	if e != 0 {
		return nil, e
	}
	c, e := o.newChild(i, mode, uid, gid)
	if e != 0 {
		return nil, o.end(e)
	}
	defer c.mu.Unlock()
	e = init(c, o)
	if e == 0 {
		e = i.addEntry(o, name, c)
	}
	if e == 0 {
		e = c.writeData(o)
	}
	if e == 0 {
		if isDir {
			i.link()
		}
		e = i.touchDir(o)
	}
	return c.orDrop(o.end(e))
}

// orDrop returns the inode, or drops it after an error.
func (i *Inode) orDrop(e syscall.Errno) (*Inode, syscall.Errno) {
	if e != 0 {
		i.unref()
		return nil, e
	}
	return i, 0
}

// touchDir writes a directory whose names have changed.
func (i *Inode) touchDir(o *op) syscall.Errno {
	i.mtime = i.fs.opt.Now()
	i.ctime = i.mtime
	return i.writeData(o)
}

// newChild makes an inode near directory dir, in the table and with i.mu locked.
func (o *op) newChild(dir *Inode, mode uint16, uid, gid uint32) (*Inode, syscall.Errno) {
	fs := o.fs
	ino, e := o.newInode(dir, mode&typeMask == typeDir)
	if e != 0 {
		return nil, e
	}
	now := fs.opt.Now()
	c := &Inode{fs: fs, ino: ino, ftype: mode & typeMask, mode: mode, uid: uid, gid: gid, nlink: 1, orphanSlot: -1,
		atime: now, mtime: now, ctime: now, crtime: now, raw: make([]byte, fs.inodeSize), extraSize: fs.wantExtra}
	c.generation = uint32(now) ^ uint32(now>>32) ^ ino*0x9e3779b1
	c.seed = crc32c32(crc32c32(fs.seed, ino), c.generation)
	c.mu.Lock()
	fs.adopt(c)
	return c, 0
}

// mayLink reports whether a directory can have one more subdirectory.
func (i *Inode) mayLink() bool {
	return i.nlink < linkMax || i.fs.hasRO(roDirNlink) && i.indexed()
}

// link counts a new subdirectory; a directory with too many gets the count 1.
func (i *Inode) link() {
	i.nlink++
	if i.indexed() && (i.nlink > linkMax || i.nlink == 2) {
		i.nlink = 1
	}
}

// unlink uncounts a subdirectory.
func (i *Inode) unlink() {
	if i.nlink > 2 {
		i.nlink--
	}
}

// CreateUnnamed makes a file without a name (O_TMPFILE). Link can give it one; otherwise
// the last Put frees it.
func (i *Inode) CreateUnnamed(mode, uid, gid uint32) (*Inode, syscall.Errno) {
	fs := i.fs
	if fs.ro.Load() {
		return nil, syscall.EROFS
	}
	if !i.isDir() {
		return nil, syscall.ENOTDIR
	}
	if mode&typeMask != typeReg {
		return nil, syscall.EINVAL
	}
	if fs.freeInode.Load() <= 0 {
		return nil, syscall.ENOSPC
	}
	o, e := fs.begin(16, 0)
	if e != 0 {
		return nil, e
	}
	c, e := o.newChild(i, uint16(mode), uid, gid)
	if e != 0 {
		return nil, o.end(e)
	}
	defer c.mu.Unlock()
	c.nlink = 0
	c.initExtents()
	if e = c.addOrphan(o); e == 0 {
		e = c.writeData(o)
	}
	return c.orDrop(o.end(e))
}

// Link gives a file another name. EPERM: it is a directory. ESTALE: it has been freed.
// EMLINK, EEXIST, ENOSPC.
func (i *Inode) Link(name string, c *Inode) syscall.Errno {
	if c.isDir() {
		return syscall.EPERM
	}
	// The caller's reference may be the last one and be dropped now: then the file is
	// freed, and a name would lead to nothing.
	if !c.tryRef() {
		return syscall.ESTALE
	}
	defer c.Put()
	i.mu.Lock()
	defer i.mu.Unlock()
	need, e := i.mayAdd(name)
	if e != 0 {
		return e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nlink >= linkMax {
		return syscall.EMLINK
	}
	if c.nlink == 0 && !c.onOrphans {
		return syscall.ENOENT
	}
	o, e := i.fs.begin(10+addCost(need), need)
	if e != 0 {
		return e
	}
	e = i.addEntry(o, name, c)
	if e == 0 {
		e = c.removeOrphan(o)
	}
	if e == 0 {
		c.nlink++
		c.ctime = i.fs.opt.Now()
		e = c.writeData(o)
	}
	if e == 0 {
		e = i.touchDir(o)
	}
	return o.end(e)
}

// Unlink removes a name that is not a directory's. EISDIR, ENOENT.
func (i *Inode) Unlink(name string) syscall.Errno {
	c, e := i.unlinkName(name)
	if c != nil {
		c.Put()
	}
	return e
}

func (i *Inode) unlinkName(name string) (*Inode, syscall.Errno) {
	if i.fs.ro.Load() {
		return nil, syscall.EROFS
	}
	if name == "." || name == ".." {
		return nil, syscall.EISDIR
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	b, d, e := i.lookupName(name)
	if e != 0 {
		return nil, e
	}
	defer b.Put()
	c, e := i.child(d.ino)
	if e != 0 {
		return nil, e
	}
	if c.isDir() {
		return c, syscall.EISDIR
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nlink == 0 {
		return c, i.fs.corrupt("name of a file without links, inode", uint64(c.ino))
	}
	return c, i.dropName(b, d, c)
}

// dropName removes the name d, in block b, of c and, if c is a directory, the link of its "..".
// Caller holds i.mu and c.mu.
func (i *Inode) dropName(b *jbd2.Buffer, d dirent, c *Inode) syscall.Errno {
	o, e := i.fs.beginReserved(10, 0)
	if e != 0 {
		return e
	}
	e = i.removeName(o, b, d)
	if e == 0 {
		e = c.dropLink(o)
	}
	if e == 0 {
		if c.isDir() {
			i.unlink()
		}
		e = i.touchDir(o)
	}
	return o.end(e)
}

// dropLink removes one link; a file without links is an orphan until it is freed. Caller
// holds i.mu.
func (i *Inode) dropLink(o *op) syscall.Errno {
	i.nlink--
	if i.isDir() {
		i.nlink = 0
	}
	i.ctime = i.fs.opt.Now()
	if i.nlink == 0 {
		if e := i.addOrphan(o); e != 0 {
			return e
		}
	}
	e := i.writeData(o)
	if i.nlink == 0 {
		i.fs.dropLazyTimes(i)
	}
	return e
}

// Rmdir removes an empty directory. ENOTEMPTY, ENOTDIR.
func (i *Inode) Rmdir(name string) syscall.Errno {
	// This lock must be held to lock two directories: on a damaged disk, names may form
	// loops.
	i.fs.rename.Lock()
	c, e := i.rmdirName(name)
	i.fs.rename.Unlock()
	if c != nil {
		c.Put()
	}
	return e
}

func (i *Inode) rmdirName(name string) (*Inode, syscall.Errno) {
	switch {
	case i.fs.ro.Load():
		return nil, syscall.EROFS
	case name == ".":
		return nil, syscall.EINVAL
	case name == "..":
		return nil, syscall.ENOTEMPTY
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	b, d, e := i.lookupName(name)
	if e != 0 {
		return nil, e
	}
	defer b.Put()
	c, e := i.child(d.ino)
	if e != 0 {
		return nil, e
	}
	if !c.isDir() {
		return c, syscall.ENOTDIR
	}
	if c == i || c.ino == rootIno {
		return c, i.fs.corrupt("directory contains itself, inode", uint64(c.ino))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.removable(); e != 0 {
		return c, e
	}
	return c, i.dropName(b, d, c)
}

// removable returns the reason why a directory cannot be removed, or 0.
func (i *Inode) removable() syscall.Errno {
	if i.nlink == 0 {
		return i.fs.corrupt("name of a directory without links, inode", uint64(i.ino))
	}
	empty, e := i.empty()
	if e == 0 && !empty {
		e = syscall.ENOTEMPTY
	}
	return e
}
