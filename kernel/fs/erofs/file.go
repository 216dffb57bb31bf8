package erofs

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
)

// file is an open regular file.
type file struct {
	kernel.Always
	node  *node
	pages *pagecache.File
}

var (
	_ kernel.File   = (*file)(nil)
	_ kernel.Seeker = (*file)(nil)
	_ kernel.Syncer = (*file)(nil)
	_ kernel.Mapper = (*file)(nil)
)

// Open opens a regular file for reading.
func (n *node) Open(flags int) (kernel.File, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0 {
		return nil, syscall.EROFS
	}
	pages, e := n.cache()
	if e != 0 {
		return nil, e
	}
	return &file{node: n, pages: pages}, 0
}

// cache returns the file's pages. It reads first where they lie on the device.
func (n *node) cache() (*pagecache.File, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f := n.pages.Load(); f != nil {
		return f, 0
	}
	c, e := n.content()
	if e != 0 {
		return nil, e
	}
	f := n.fs.opt.Cache.NewFile(c, n.size())
	n.pages.Store(f)
	return f, 0
}

// Stat is fstat(2).
func (o *file) Stat(st *syscall.Stat_t) syscall.Errno { return o.node.Stat(st) }

// Sync is fsync(2): nothing is ever dirty.
func (o *file) Sync(bool) syscall.Errno { return 0 }

// Read reads at off.
func (o *file) Read(p []byte, off int64) (int, syscall.Errno) { return o.pages.ReadAt(p, off) }

// Write is EBADF: files are only opened for reading.
func (o *file) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EBADF }

// SeekTo sets the position. Only chunk-based files have holes.
func (o *file) SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno) {
	if whence != kernel.SeekData && whence != kernel.SeekHole {
		return kernel.Seek(off, whence, cur, o.pages.Size())
	}
	if off < 0 || off >= o.pages.Size() {
		return 0, syscall.ENXIO
	}
	c, e := o.node.content()
	if e != 0 {
		return 0, e
	}
	return c.seek(off, whence == kernel.SeekData)
}

// Map serves mmap(2).
func (o *file) Map(addr, n uintptr, off int64, prot, flags uintptr) (uintptr, syscall.Errno) {
	return o.pages.Map(addr, n, off, prot, flags)
}
func (o *file) Retain() { o.pages.Retain() }
func (o *file) Unmap()  { o.pages.Unmap() }
