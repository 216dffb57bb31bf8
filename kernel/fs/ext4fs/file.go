package ext4fs

import (
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
)

// sync makes content and attributes durable; of a directory, its names.
func (n *node) sync(dataOnly bool) syscall.Errno {
	var first syscall.Errno
	if f := n.pages.Load(); f != nil {
		first = f.SyncAll()
	}
	if e := n.disk.Fsync(dataOnly); e != 0 && first == 0 {
		first = e
	}
	return first
}

// file is an open regular file.
type file struct {
	kernel.Always
	node  *node
	f     *pagecache.File
	flags int
}

var (
	_ kernel.File     = (*file)(nil)
	_ kernel.Seeker   = (*file)(nil)
	_ kernel.Appender = (*file)(nil)
	_ kernel.Resizer  = (*file)(nil)
	_ kernel.Syncer   = (*file)(nil)
	_ kernel.Mapper   = (*file)(nil)
)

// Open opens a regular file. O_DIRECT is accepted and uses the page cache.
func (n *node) Open(flags int) (kernel.File, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY && n.fs.ReadOnly() {
		return nil, syscall.EROFS
	}
	if e := n.opened(); e != 0 {
		return nil, e
	}
	return &file{node: n, f: n.cache(), flags: flags}, 0
}

// Stat is fstat(2).
func (o *file) Stat(st *syscall.Stat_t) syscall.Errno { return o.node.Stat(st) }

// Release is close(2) of the last descriptor.
func (o *file) Release() { o.node.closed() }

// Sync is fsync(2).
func (o *file) Sync(dataOnly bool) syscall.Errno { return o.node.sync(dataOnly) }

// Read reads at off. At the end of the file it is an access, too.
func (o *file) Read(p []byte, off int64) (int, syscall.Errno) {
	n, e := o.f.ReadAt(p, off)
	if e == 0 && len(p) > 0 {
		o.node.accessed()
	}
	return n, e
}

// accessed sets the access time like the option relatime of mount(8).
func (n *node) accessed() {
	if n.fs.ReadOnly() {
		return
	}
	a := n.disk.Attr()
	const day = int64(24 * time.Hour)
	if t := now(); a.Atime <= a.Mtime || a.Atime <= a.Ctime || t-a.Atime > day {
		n.disk.SetAttr(ext4.SetAtime, ext4.Attr{Atime: t})
	}
}

// Write writes at off.
func (o *file) Write(p []byte, off int64) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	if e := o.mayGrow(off + int64(len(p))); e != 0 {
		return 0, e
	}
	n, e := o.f.WriteAt(p, off)
	return o.written(n, e)
}

// maxSize is the largest file in ext4 with blocks of 4 KiB, in bytes.
const maxSize = 1<<44 - pagecache.PageSize

func (o *file) mayGrow(end int64) syscall.Errno {
	if end > maxSize || end < 0 {
		return syscall.EFBIG
	}
	if o.node.fs.ReadOnly() {
		return syscall.EROFS
	}
	return 0
}

// Append writes at the end.
func (o *file) Append(p []byte) (int, int64, syscall.Errno) {
	if e := o.mayGrow(o.f.Size() + int64(len(p))); e != 0 {
		return 0, 0, e
	}
	n, end, e := o.f.Append(p)
	n, e = o.written(n, e)
	return n, end, e
}

// written completes a write: it sets times, and syncs if the file was opened with O_SYNC.
func (o *file) written(n int, e syscall.Errno) (int, syscall.Errno) {
	if n == 0 {
		return n, e
	}
	o.node.modified()
	if o.flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0 {
		if e := o.node.sync(o.flags&syscall.O_SYNC != syscall.O_SYNC); e != 0 {
			return 0, e
		}
	}
	return n, e
}

// modified sets the times of a change of the content.
func (n *node) modified() {
	t := now()
	n.disk.SetAttr(ext4.SetMtime|ext4.SetCtime, ext4.Attr{Mtime: t, Ctime: t})
}

// Truncate is ftruncate(2).
func (o *file) Truncate(size int64) syscall.Errno {
	if size > maxSize {
		return syscall.EFBIG
	}
	return o.node.truncate(size)
}

// Modes of fallocate(2).
const (
	fallocKeepSize  = 0x01
	fallocPunchHole = 0x02
	fallocZeroRange = 0x10
)

// Allocate is fallocate(2), without the modes that move the data after the range.
func (o *file) Allocate(mode int, off, n int64) syscall.Errno {
	if off < 0 || n <= 0 {
		return syscall.EINVAL
	}
	if e := o.mayGrow(off + n); e != 0 {
		return e
	}
	disk, keep := o.node.disk, mode&fallocKeepSize != 0
	switch mode &^ fallocKeepSize {
	case 0:
		if e := disk.Allocate(off, n, true); e != 0 {
			return e
		}
		o.node.modified()
	case fallocPunchHole:
		if !keep {
			return syscall.EOPNOTSUPP
		}
		return o.punch(off, off+n, disk.Punch)
	case fallocZeroRange:
		// Space comes first: without it nothing changes.
		if e := disk.Allocate(off, n, true); e != 0 {
			return e
		}
		if e := o.punch(off, off+n, disk.Zero); e != 0 {
			return e
		}
	default:
		return syscall.EOPNOTSUPP
	}
	if keep {
		return 0
	}
	return o.f.Extend(off+n, func() syscall.Errno { return disk.Allocate(off, n, false) })
}

func (o *file) punch(off, end int64, lower func(off, n int64) syscall.Errno) syscall.Errno {
	return o.f.Punch(off, end, func(off, end int64) syscall.Errno { return lower(off, end-off) })
}

// SeekTo sets the position. The disk decides what is data and what is a hole, so dirty pages
// are written first.
func (o *file) SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno) {
	if whence != kernel.SeekData && whence != kernel.SeekHole {
		return kernel.Seek(off, whence, cur, o.f.Size())
	}
	if off < 0 || off >= o.f.Size() {
		return 0, syscall.ENXIO
	}
	if e := o.f.SyncAll(); e != 0 {
		return 0, e
	}
	if whence == kernel.SeekData {
		return o.node.disk.SeekData(off)
	}
	return o.node.disk.SeekHole(off)
}

// Map serves mmap(2).
func (o *file) Map(addr, n uintptr, off int64, prot, flags uintptr) (uintptr, syscall.Errno) {
	return o.f.Map(addr, n, off, prot, flags)
}
func (o *file) Retain() { o.f.Retain() }
func (o *file) Unmap()  { o.f.Unmap() }
