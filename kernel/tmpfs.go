package kernel

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// tmpfs is the file system in memory of the root, /tmp and /dev (tmpfs(5)). File data is in
// pages of 4 KiB (tmpfs_pages.go); each directory has a map and an ordered list of its names
// (tmpfs_dir.go).
type tmpfs struct {
	k    *Kernel
	kind string // "tmpfs" or "devtmpfs"
	dev  uint64
	ino  atomic.Uint64
	root *tmpDir
	used *atomic.Int64 // number of data pages
	// limit is half of the machine's RAM, as on Linux.
	limit int64
	nodes atomic.Int64
}

func newTmpfs(k *Kernel, kind string, dev uint64) *tmpfs {
	fs := &tmpfs{k: k, kind: kind, dev: dev, used: new(atomic.Int64)}
	total, _ := k.m.Memory()
	fs.limit = int64(total / 2 / pageSize)
	fs.root = &tmpDir{}
	fs.root.init(fs, syscall.S_IFDIR|0o755)
	fs.root.nlink = 2
	return fs
}

// FilePages returns the number of 4 KiB pages in files of the root file system.
func (k *Kernel) FilePages() *atomic.Int64 { return &k.filePages }

func (fs *tmpfs) Type() string        { return fs.kind }
func (fs *tmpfs) Root() Directory     { return fs.root }
func (fs *tmpfs) Volatile() bool      { return false }
func (fs *tmpfs) Sync() syscall.Errno { return 0 }

const tmpfsMagic = 0x01021994 // TMPFS_MAGIC, statfs(2)

func (fs *tmpfs) StatFS(st *syscall.Statfs_t) syscall.Errno {
	free := max(fs.limit-fs.used.Load(), 0)
	_, ram := fs.k.m.Memory()
	avail := min(free, int64(ram/pageSize))
	*st = syscall.Statfs_t{
		Type: tmpfsMagic, Bsize: pageSize, Frsize: pageSize,
		Blocks: uint64(fs.limit), Bfree: uint64(avail), Bavail: uint64(avail),
		Files: uint64(fs.limit), Ffree: uint64(max(fs.limit-fs.nodes.Load(), 0)), Namelen: nameMax,
	}
	st.Fsid.X__val[0] = int32(fs.dev)
	return 0
}

// charge takes n pages from the limit: false if they are not left (ENOSPC).
func (fs *tmpfs) charge(n int64) bool {
	if fs.used.Add(n) > fs.limit {
		fs.used.Add(-n)
		return false
	}
	return true
}

// tmpNode is the common part of all inodes of tmpfs. mu guards the fields below it and the
// contents of the embedding type.
type tmpNode struct {
	fs   *tmpfs
	ino  uint64
	kind uint32 // S_IFMT bits; never changes

	mu                  sync.RWMutex
	mode                uint32 // type and permissions
	uid, gid            uint32
	nlink               uint32
	unnamed             bool // made by O_TMPFILE and not linked yet
	rdev                uint64
	atime, mtime, ctime int64
	born                int64 // never changes
	xattrs              map[string][]byte
}

func (n *tmpNode) init(fs *tmpfs, mode uint32) {
	n.fs, n.ino, n.mode, n.nlink = fs, fs.ino.Add(1), mode, 1
	n.kind = mode & syscall.S_IFMT
	n.atime = wallTime()
	n.mtime, n.ctime, n.born = n.atime, n.atime, n.atime
	fs.nodes.Add(1)
}

func (n *tmpNode) Type() uint32     { return n.kind }
func (n *tmpNode) BirthTime() int64 { return n.born }
func (n *tmpNode) node() *tmpNode   { return n }

// tmpInode is any inode of tmpfs.
type tmpInode interface {
	Inode
	node() *tmpNode
}

// stat fills the fields that do not depend on the type. mu is held.
func (n *tmpNode) stat(st *syscall.Stat_t, size, blocks int64) {
	*st = syscall.Stat_t{
		Dev: n.fs.dev, Ino: n.ino, Nlink: uint64(n.nlink), Mode: n.mode,
		Uid: n.uid, Gid: n.gid, Rdev: n.rdev,
		Size: size, Blksize: pageSize, Blocks: blocks,
		Atim: timespec(n.atime), Mtim: timespec(n.mtime), Ctim: timespec(n.ctime),
	}
}

func (n *tmpNode) Stat(st *syscall.Stat_t) syscall.Errno {
	n.mu.RLock()
	n.stat(st, 0, 0)
	n.mu.RUnlock()
	return 0
}

func (n *tmpNode) SetAttr(c AttrChange) syscall.Errno {
	if c.Mask&AttrSize != 0 {
		return syscall.EINVAL
	}
	n.mu.Lock()
	n.setAttr(c)
	n.mu.Unlock()
	return 0
}

// setAttr changes all attributes but the size. mu is held.
func (n *tmpNode) setAttr(c AttrChange) {
	if c.Mask&AttrMode != 0 {
		n.mode = n.mode&syscall.S_IFMT | c.Mode&0o7777
	}
	if c.Mask&AttrUID != 0 {
		n.uid = c.UID
	}
	if c.Mask&AttrGID != 0 {
		n.gid = c.GID
	}
	if c.Mask&AttrAtime != 0 {
		n.atime = c.Atime
	}
	if c.Mask&AttrMtime != 0 {
		n.mtime = c.Mtime
	}
	n.ctime = wallTime()
}

// accessed sets the time of the last access if it is not after the last change of the content or
// of the attributes (relatime, as mount(8), but for its update once a day).
func (n *tmpNode) accessed() {
	n.mu.RLock()
	stale := n.atime <= max(n.mtime, n.ctime)
	n.mu.RUnlock()
	if stale {
		now := wallTime()
		n.mu.Lock()
		n.atime = now
		n.mu.Unlock()
	}
}

// linked counts one more name. It returns false if the last name was removed, so that there
// can be no new one (link(2): ENOENT), unless the file never had one.
func (n *tmpNode) linked() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nlink == 0 && !n.unnamed {
		return false
	}
	n.unnamed = false
	n.nlink++
	n.ctime = wallTime()
	return true
}

// unlinked uncounts a name.
func (n *tmpNode) unlinked() {
	n.mu.Lock()
	n.nlink--
	n.ctime = wallTime()
	n.mu.Unlock()
}

// tmpLink is a symbolic link.
type tmpLink struct {
	tmpNode
	to string
}

// Readlink counts as an access, as does following the link.
func (l *tmpLink) Readlink() (string, syscall.Errno) {
	l.accessed()
	return l.to, 0
}

func (l *tmpLink) Stat(st *syscall.Stat_t) syscall.Errno {
	l.mu.RLock()
	const short = 128 // a target up to this, with its NUL, is in the inode (mm/shmem.c)
	blocks := int64(0)
	if len(l.to) >= short {
		blocks = pageSize / 512
	}
	l.stat(st, int64(len(l.to)), blocks)
	l.mu.RUnlock()
	return 0
}

func (l *tmpLink) Open(flags int) (File, syscall.Errno) { return nil, syscall.ELOOP }

// tmpSpecial is a device node, a FIFO or a socket.
type tmpSpecial struct {
	tmpNode
	Special
}

func (s *tmpSpecial) Open(flags int) (File, syscall.Errno) {
	return s.OpenSpecial(s.fs.k, s, s.Type(), s.rdev, flags)
}
