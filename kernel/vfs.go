package kernel

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// Inode is one object of a file system. Its methods may block on a device.
type Inode interface {
	// Type returns the S_IFMT bits.
	Type() uint32
	// Stat fills st as stat(2) does.
	Stat(st *syscall.Stat_t) syscall.Errno
	// SetAttr changes the attributes in c.Mask.
	SetAttr(c AttrChange) syscall.Errno
	// Open makes a file for the O_ flags of open(2).
	Open(flags int) (File, syscall.Errno)
}

// AttrChange says which attributes SetAttr changes. Times are in nanoseconds
// since 1970. A file system updates ctime itself.
type AttrChange struct {
	Mask         AttrMask
	Mode         uint32 // permission bits, with setuid, setgid and sticky
	UID, GID     uint32
	Size         int64
	Atime, Mtime int64
}

// AttrMask selects fields of AttrChange.
type AttrMask uint32

const (
	AttrMode AttrMask = 1 << iota
	AttrUID
	AttrGID
	AttrSize
	AttrAtime
	AttrMtime
	// AttrResized, beside AttrSize, changes the times even if the size is what it was: ftruncate(2) and
	// O_TRUNC, but not truncate(2) (do_truncate in Linux's fs/open.c).
	AttrResized
)

// DirEntry is an entry of a directory.
type DirEntry struct {
	Name string
	Ino  uint64
	Type uint32 // S_IFMT bits
	// Next is the position of the entry after this one. Positions 0 and 1 are "." and "..",
	// which the caller adds.
	Next int64
}

// FirstEntry is the position of a directory's first own entry.
const FirstEntry = 2

// Directory is an Inode with names. The caller makes one change in a directory at a time,
// with the NameLock of all directories involved; Lookup and ReadDir may run at any time.
type Directory interface {
	Inode
	// Lookup returns the inode of name: ENOENT if there is none.
	Lookup(name string) (Inode, syscall.Errno)
	// Create makes an object; mode has type and permissions, dev is the number of a device
	// node. EEXIST if name is taken.
	Create(name string, mode uint32, dev uint64) (Inode, syscall.Errno)
	// Symlink makes a symbolic link.
	Symlink(name, target string) (Inode, syscall.Errno)
	// Link gives target, of the same file system, another name.
	Link(name string, target Inode) syscall.Errno
	// Remove removes a name: of an empty directory if dir is true, else of another object.
	Remove(name string, dir bool) syscall.Errno
	// Rename moves name to newName in to, replacing an object there; with exchange, the two
	// names are exchanged. The caller has checked types.
	Rename(name string, to Directory, newName string, exchange bool) syscall.Errno
}

// Symlink is a symbolic link.
type Symlink interface {
	Inode
	Readlink() (string, syscall.Errno)
}

// magicLink is a link of procfs that leads to an object instead of a path.
type magicLink interface {
	target() (*dentry, syscall.Errno)
}

// FileSystem is a tree of inodes.
type FileSystem interface {
	// Type is the name in /proc/mounts.
	Type() string
	Root() Directory
	StatFS(st *syscall.Statfs_t) syscall.Errno
	// Volatile reports whether names may change without the kernel, so that dentries must
	// not be cached.
	Volatile() bool
	// Sync writes back everything.
	Sync() syscall.Errno
}

// readOnlyFS is a FileSystem that may refuse all changes with EROFS.
type readOnlyFS interface{ ReadOnly() bool }

// mount is a file system in the tree.
type mount struct {
	fs     FileSystem
	root   *dentry
	point  *dentry // where it is mounted; nil for the root
	source string
	id     int
}

func (m *mount) readOnly() bool {
	fs, ok := m.fs.(readOnlyFS)
	return ok && fs.ReadOnly()
}

// options returns the mount options for /proc/mounts.
func (m *mount) options() string {
	if m.readOnly() {
		return "ro,relatime"
	}
	return "rw,relatime"
}

// dentry is a name in the tree, with its inode. The parent of a dentry outside of any
// directory (a deleted or anonymous file) is nil.
type dentry struct {
	inode Inode
	mnt   *mount

	// users counts open files and working directories.
	users atomic.Int32

	// nameless says that no name can be given to it: O_EXCL with O_TMPFILE. It never changes.
	nameless bool

	// vfs.mu guards the fields below.
	parent   *dentry
	name     string
	children map[string]*dentry
	mounted  *mount
	deleted  bool
	recent   bool // looked up since the clock's last visit
	cached   bool // in vfs.cached, at index place
	place    int
}

// vfs is the tree of names.
type vfs struct {
	k    *Kernel
	once sync.Once

	// renames is held by rename(2) from one directory to another, so that no directory moves
	// while it compares their ancestors. It is taken before the directories' locks
	// (vfs_locks.go), which are taken before mu.
	renames sync.Mutex
	// otherNames is the lock of directories without a NameLock.
	otherNames NameLock
	// mu guards the fields of dentries. No call that blocks is made while it is held.
	mu sync.Mutex
	// cached are the dentries that are children of another one, for the clock of
	// vfs_cache.go.
	cached []*dentry
	hand   int
	most   int
	// generation counts changes: the result of a lookup that was concurrent with a change is
	// not cached.
	generation atomic.Uint64

	root   *dentry
	mounts []*mount
	// mountChanges counts the changes of mounts.
	mountChanges changeCount
	// devices are added by the wiring; mu guards them.
	devices []DeviceNode
	rootFS  *tmpfs // initial root file system, which MountRoot may hide
	initial *mount // mount of rootFS
	memfds  *mount // where memfds are: nowhere in the tree
	procFS  *genFS
	sysFS   *genFS
	devFS   *tmpfs

	pendingMu sync.Mutex
	built     bool
	pending   []func()
}

// newDentry makes a dentry that is no directory's child.
func newDentry(inode Inode, mnt *mount, parent *dentry, name string) *dentry {
	return &dentry{inode: inode, mnt: mnt, parent: parent, name: name}
}

// child returns the dentry of name in d, across a mount. A directory that was removed has no
// children: its inode may be free, or in use again.
func (v *vfs) child(d *dentry, name string) (*dentry, syscall.Errno) {
	v.mu.Lock()
	if d.deleted {
		v.mu.Unlock()
		return nil, syscall.ENOENT
	}
	c := d.children[name]
	if c != nil {
		c.recent = true
		c = c.top()
		v.mu.Unlock()
		return c, 0
	}
	gen := v.generation.Load()
	v.mu.Unlock()
	dir, ok := d.inode.(Directory)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	if len(name) > nameMax {
		return nil, syscall.ENAMETOOLONG
	}
	inode, e := dir.Lookup(name)
	if e != 0 {
		return nil, e
	}
	c = newDentry(inode, d.mnt, d, name)
	if d.mnt.fs.Volatile() {
		return c, 0
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := d.children[name]; old != nil {
		return old.top(), 0
	}
	if v.generation.Load() == gen && !d.deleted {
		v.cacheChild(d, c)
	}
	return c, 0
}

// top returns the root of what is mounted on d, or d. vfs.mu is held.
func (d *dentry) top() *dentry {
	for d.mounted != nil {
		d = d.mounted.root
	}
	return d
}

// cacheChild caches c as a child of d. vfs.mu is held.
func (v *vfs) cacheChild(d, c *dentry) {
	if !d.mnt.fs.Volatile() {
		d.addChild(c)
		v.cache(c)
	}
}

// addChild makes c a child of d, which the clock does not evict. vfs.mu is held.
func (d *dentry) addChild(c *dentry) {
	if d.children == nil {
		d.children = make(map[string]*dentry)
	}
	d.children[c.name] = c
}

// up returns the directory above d.
func (v *vfs) up(d *dentry) *dentry {
	v.mu.Lock()
	defer v.mu.Unlock()
	for d.parent == nil && d.mnt.point != nil {
		d = d.mnt.point
	}
	if d.parent == nil {
		return d
	}
	return d.parent.top()
}

// path returns the absolute path of d; deleted files have the suffix that Linux shows in
// /proc.
func (v *vfs) path(d *dentry) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	suffix := ""
	if d.deleted {
		suffix = " (deleted)"
	}
	if d.parent == nil && d.name != "" { // anonymous: a memfd
		return d.name + suffix
	}
	p := ""
	for {
		for d.parent == nil && d.mnt.point != nil {
			d = d.mnt.point
		}
		if d.parent == nil {
			break
		}
		p = "/" + d.name + p
		d = d.parent
	}
	if p == "" {
		p = "/"
	}
	return p + suffix
}

// isDeleted reports whether the name of d was removed.
func (v *vfs) isDeleted(d *dentry) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return d.deleted
}

// isDir says whether d is a directory.
func (d *dentry) isDir() bool { return d.inode.Type() == syscall.S_IFDIR }

// mountAt mounts fs on the directory d. vfs.mu must not be held.
func (v *vfs) mountAt(d *dentry, fs FileSystem, source string) *mount {
	m := &mount{fs: fs, source: source}
	m.root = newDentry(fs.Root(), m, nil, "")
	v.mu.Lock()
	m.id = len(v.mounts) + 20
	if d != nil {
		v.cover(d, m)
	}
	v.mounts = append(v.mounts, m)
	v.mu.Unlock()
	v.mountChanges.happened()
	return m
}

// cover mounts m on d, which must stay in the tree, even on a Volatile file system. mu is
// held.
func (v *vfs) cover(d *dentry, m *mount) {
	m.point = d
	for c := d; c.parent != nil; c = c.parent {
		c.parent.addChild(c)
	}
	d.mounted = m
}

// Mount mounts a file system on the directory dir, which is made if it is missing. source is
// the device name in /proc/mounts.
func (k *Kernel) Mount(dir string, fs FileSystem, source string) syscall.Errno {
	k.tree()
	if e := k.mkdirAll(dir); e != 0 {
		return e
	}
	var w walk
	d, e := k.vfs.resolve(k.vfs.root, dir, true, &w)
	if e != 0 {
		return e
	}
	if !d.isDir() {
		return syscall.ENOTDIR
	}
	k.vfs.mountAt(d, fs, source)
	return 0
}

// NewDevice returns a device number for a file system without a device.
func (k *Kernel) NewDevice() uint64 { return 64 + k.proc.nextID() }

// mountList returns the mounts in order.
func (v *vfs) mountList() []*mount {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*mount(nil), v.mounts...)
}
