// Package ext4fs serves the files of an ext4 disk to the kernel: names and
// attributes are package ext4's, the content of files goes through package
// pagecache.
//
// Reading order: ext4fs.go (mount), node.go (inodes), dir.go (names), file.go (open
// files).
package ext4fs

import (
	"runtime"
	"sync"
	"syscall"
	"time"
	"weak"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// Options are the options of a mount.
type Options struct {
	Kernel   *kernel.Kernel
	Cache    *pagecache.Cache
	ReadOnly bool
	Dev      uint64            // st_dev of its files
	Reader   machine.Reader    // pagecache.ExtentMapper
	Log      func(line string) // gets lines about damage on the disk
}

// FS is a mounted disk.
type FS struct {
	opt  Options
	disk *ext4.FS
	root *node

	mu    sync.Mutex
	nodes map[uint32]weak.Pointer[node]
}

var _ kernel.FileSystem = (*FS)(nil)

// Mount opens the file system of a disk. Its errors say what is wrong and what to do.
func Mount(dev block.Device, opt Options) (*FS, error) {
	disk, err := ext4.Mount(dev, ext4.Options{
		ReadOnly: opt.ReadOnly,
		Now:      now,
		Log:      opt.Log,
	})
	if err != nil {
		return nil, err
	}
	opt.Kernel.EnableMappers()
	fs := &FS{opt: opt, disk: disk, nodes: make(map[uint32]weak.Pointer[node])}
	root, e := disk.Root()
	if e != 0 {
		disk.Unmount()
		return nil, e
	}
	fs.root = fs.node(root)
	return fs, nil
}

// tick is the granularity of file times, as with Linux's timer of 250 Hz
// (ktime_get_coarse_real_ts64): a file that is often written and synced need not store a new
// time each time.
const tick = 4 * time.Millisecond

// now is the time for changes of files, in ns since 1970.
func now() int64 {
	t := time.Now().UnixNano()
	return t - t%int64(tick)
}

// Type is the name for /proc/mounts.
func (fs *FS) Type() string { return "ext4" }

// Root returns the root directory.
func (fs *FS) Root() kernel.Directory { return fs.root.self.(kernel.Directory) }

// Volatile is false: only the kernel changes names.
func (fs *FS) Volatile() bool { return false }

// ReadOnly reports whether changes are EROFS.
func (fs *FS) ReadOnly() bool { return fs.disk.ReadOnly() }

// StatFS is statfs(2).
func (fs *FS) StatFS(st *syscall.Statfs_t) syscall.Errno {
	const magic = 0xef53 // EXT4_SUPER_MAGIC
	s := fs.disk.Stat()
	*st = syscall.Statfs_t{
		Type: magic, Bsize: int64(s.BlockSize), Frsize: int64(s.BlockSize),
		Blocks: s.Blocks, Bfree: s.Free, Bavail: s.Avail,
		Files: s.Inodes, Ffree: s.FreeInodes, Namelen: int64(s.NameMax),
	}
	st.Fsid.X__val[0] = int32(fs.opt.Dev)
	return 0
}

// Sync writes back everything.
func (fs *FS) Sync() syscall.Errno {
	first := fs.writeBack()
	if e := fs.disk.Sync(); e != 0 && first == 0 {
		first = e
	}
	return first
}

// writeBack writes the dirty pages of all files.
func (fs *FS) writeBack() (first syscall.Errno) {
	for _, n := range fs.live() {
		if f := n.pages.Load(); f != nil {
			if e := f.SyncAll(); e != 0 && first == 0 {
				first = e
			}
		}
	}
	return first
}

// live returns the nodes that are in use.
func (fs *FS) live() []*node {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	list := make([]*node, 0, len(fs.nodes))
	for _, w := range fs.nodes {
		if n := w.Value(); n != nil {
			list = append(list, n)
		}
	}
	return list
}

// Unmount writes back everything and marks the disk clean. Files that are still open return
// errors from then on; those without a name are freed.
func (fs *FS) Unmount() syscall.Errno {
	for _, n := range fs.live() {
		n.abandon()
	}
	first := fs.writeBack()
	if e := fs.disk.Unmount(); e != 0 && first == 0 {
		first = e
	}
	return first
}

// node returns the node of an inode, whose reference it takes over.
func (fs *FS) node(i *ext4.Inode) *node {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if n := fs.nodes[i.Number()].Value(); n != nil && !n.freed.Load() {
		i.Put()
		return n
	}
	n := newNode(fs, i)
	fs.nodes[i.Number()] = weak.Make(n)
	n.cleanup = runtime.AddCleanup(n, fs.forget, i)
	return n
}

// forget drops the inode of a node that is not used any more.
func (fs *FS) forget(i *ext4.Inode) {
	fs.mu.Lock()
	if w, ok := fs.nodes[i.Number()]; ok && w.Value() == nil {
		delete(fs.nodes, i.Number())
	}
	fs.mu.Unlock()
	go i.Put() // it may wait for the disk
}
