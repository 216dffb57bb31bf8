package ext4fs

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// node is a file of any type. There is one per inode as long as it is referenced: by the
// kernel's dentries, open files or cached pages.
type node struct {
	fs      *FS
	disk    *ext4.Inode
	kind    uint32       // S_IFMT bits
	self    kernel.Inode // the same node as the kernel's interface
	cleanup runtime.Cleanup

	pages atomic.Pointer[pagecache.File] // pages of a regular file, from its first use on

	mu    sync.Mutex
	opens int
	freed atomic.Bool // the file has neither names nor users: the inode was freed
}

func newNode(fs *FS, i *ext4.Inode) *node {
	n := &node{fs: fs, disk: i, kind: i.Attr().Mode & syscall.S_IFMT}
	switch n.kind {
	case syscall.S_IFDIR:
		n.self = &dir{n}
	case syscall.S_IFLNK:
		n.self = &link{n}
	case syscall.S_IFREG:
		n.self = n
	default:
		n.self = &special{node: n}
	}
	return n
}

// Type returns the S_IFMT bits.
func (n *node) Type() uint32 { return n.kind }

// Stat is stat(2).
func (n *node) Stat(st *syscall.Stat_t) syscall.Errno {
	a := n.disk.Attr()
	*st = syscall.Stat_t{
		Dev: n.fs.opt.Dev, Ino: uint64(n.disk.Number()), Nlink: uint64(a.Nlink), Mode: a.Mode,
		Uid: a.UID, Gid: a.GID, Rdev: a.Rdev, Size: a.Size, Blksize: pagecache.PageSize, Blocks: a.Blocks,
		Atim: timespec(a.Atime), Mtim: timespec(a.Mtime), Ctim: timespec(a.Ctime),
	}
	if f := n.pages.Load(); f != nil {
		st.Size = f.Size()
	}
	return 0
}

func timespec(ns int64) syscall.Timespec {
	s, r := ns/1e9, ns%1e9
	if r < 0 {
		s, r = s-1, r+1e9
	}
	return syscall.Timespec{Sec: s, Nsec: r}
}

// BirthTime is when the inode was made (statx(2)), in ns since 1970.
func (n *node) BirthTime() int64 { return n.disk.Attr().Crtime }

// SetAttr changes the attributes in c.Mask.
func (n *node) SetAttr(c kernel.AttrChange) syscall.Errno {
	if e := n.opened(); e != 0 {
		return e
	}
	defer n.closed()
	if c.Mask&kernel.AttrSize != 0 {
		if n.kind != syscall.S_IFREG {
			return syscall.EINVAL
		}
		if c.Mask == kernel.AttrSize && c.Size == n.cache().Size() && !n.fs.ReadOnly() {
			return 0
		}
		if e := n.truncate(c.Size); e != 0 {
			return e
		}
	}
	var mask ext4.AttrMask
	for _, m := range [...]struct {
		from kernel.AttrMask
		to   ext4.AttrMask
	}{
		{kernel.AttrMode, ext4.SetMode}, {kernel.AttrUID, ext4.SetUID}, {kernel.AttrGID, ext4.SetGID},
		{kernel.AttrAtime, ext4.SetAtime}, {kernel.AttrMtime, ext4.SetMtime},
	} {
		if c.Mask&m.from != 0 {
			mask |= m.to
		}
	}
	if mask == 0 {
		return 0
	}
	return n.disk.SetAttr(mask, ext4.Attr{Mode: c.Mode, UID: c.UID, GID: c.GID, Atime: c.Atime, Mtime: c.Mtime})
}

// cache returns the pages of a regular file.
func (n *node) cache() *pagecache.File {
	if f := n.pages.Load(); f != nil {
		return f
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if f := n.pages.Load(); f != nil {
		return f
	}
	f := n.fs.opt.Cache.NewFile(backing{n, n.fs.disk.Stat().BlockSize}, n.disk.Attr().Size)
	if n.freed.Load() {
		f.Discard()
	}
	n.pages.Store(f)
	return f
}

// backing is a node as the page cache's Backing. The node lives as long as pages of it are
// cached.
type backing struct {
	n     *node
	block int
}

func (b backing) BlockSize() int { return b.block }

func (b backing) ReadData(bufs [][]byte, off int64) syscall.Errno {
	return b.n.disk.ReadData(bufs, off)
}

func (b backing) WriteData(runs []block.Write, size int64) syscall.Errno {
	return b.n.disk.WriteRuns(runs, size)
}

func (b backing) Reserve(off, n int64) syscall.Errno { return b.n.disk.Reserve(off, n) }
func (b backing) Unreserve(off, n int64)             { b.n.disk.Unreserve(off, n) }

// NextData finds the next data at or after off.
func (b backing) NextData(off int64) (start, end int64, e syscall.Errno) {
	start, e = b.n.disk.SeekData(off)
	if e == syscall.ENXIO {
		return -1, 0, 0
	}
	if e != 0 {
		return -1, 0, e
	}
	end, e = b.n.disk.SeekHole(start)
	return start, end, e
}

// Reader is the machine's handle for the disk.
func (b backing) Reader() machine.Reader { return b.n.fs.opt.Reader }

// Runs lists the written extents in whole pages. It leaves out a partial page at the end of
// the file: the machine would show what lies after it on the disk.
func (b backing) Runs() (list []machine.Run, e syscall.Errno) {
	const most = 1024
	for off, end := int64(0), b.n.disk.Attr().Size/pagecache.PageSize*pagecache.PageSize; off < end; {
		extents, e := b.n.disk.Extents(off, end-off, most)
		if e != 0 {
			return nil, e
		}
		for _, x := range extents {
			skip := -x.Offset & (pagecache.PageSize - 1)
			pages := (min(x.Length, end-x.Offset) - skip) / pagecache.PageSize
			if x.Physical != 0 && !x.Unwritten && pages > 0 {
				list = append(list, machine.Run{
					First: uintptr((x.Offset + skip) / pagecache.PageSize), Pages: uintptr(pages),
					Sector: uintptr((x.Physical + skip) / 512),
				})
			}
			off = x.Offset + x.Length
		}
		if len(extents) == 0 {
			break
		}
	}
	return list, 0
}

func (n *node) truncate(size int64) syscall.Errno {
	if n.fs.ReadOnly() {
		return syscall.EROFS
	}
	return n.cache().Truncate(size, func() syscall.Errno { return n.disk.Truncate(size) })
}

// opened counts an open file or a change of the inode; ESTALE if the inode was freed.
func (n *node) opened() syscall.Errno {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.freed.Load() {
		return syscall.ESTALE
	}
	n.opens++
	return 0
}

// closed undoes opened.
func (n *node) closed() {
	n.mu.Lock()
	n.opens--
	n.mu.Unlock()
	n.freeIfUnused()
}

// abandon drops the uses by open files and mappings: the file system ends.
func (n *node) abandon() {
	n.mu.Lock()
	n.opens = 0
	n.mu.Unlock()
	n.freeIfUnused()
}

// freeIfUnused frees the file if no name and no open file is left.
func (n *node) freeIfUnused() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opens > 0 || n.freed.Load() || n.disk.Attr().Nlink > 0 {
		return
	}
	n.freed.Store(true)
	if f := n.pages.Load(); f != nil {
		f.Discard()
	}
	n.cleanup.Stop()
	n.disk.Put() // the last reference: ext4 frees it
}

// link is a symbolic link.
type link struct{ *node }

// Readlink returns the link's target. That counts as an access, as does following the link.
func (l *link) Readlink() (string, syscall.Errno) {
	to, e := l.disk.Readlink()
	if e == 0 {
		l.accessed()
	}
	return to, e
}

// Open is ELOOP (open(2), O_NOFOLLOW).
func (l *link) Open(int) (kernel.File, syscall.Errno) { return nil, syscall.ELOOP }

// special is a FIFO, a socket or a device node.
type special struct {
	*node
	kernel.Special
}

// Open opens the FIFO or device.
func (s *special) Open(flags int) (kernel.File, syscall.Errno) {
	return s.OpenSpecial(s.fs.opt.Kernel, s, s.kind, s.disk.Attr().Rdev, flags)
}
