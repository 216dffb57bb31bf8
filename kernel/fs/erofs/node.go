package erofs

import (
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"weak"

	format "github.com/erofs/go-erofs"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
)

// node is a file of any type. There is one per inode as long as it is referenced.
type node struct {
	fs   *FS
	path string // one of its names
	stat *format.Stat
	mode uint32       // S_IFMT bits and permissions
	kind uint32       // S_IFMT bits
	self kernel.Inode // the same node as the kernel's interface

	mu    sync.Mutex
	pages atomic.Pointer[pagecache.File] // pages of a regular file, from its first use on
}

// node returns the node of a path.
func (m *FS) node(path string) (*node, syscall.Errno) {
	var st *format.Stat
	e := m.call(path, func() error {
		info, err := m.image.Lstat(path)
		if err == nil {
			st = info.Sys().(*format.Stat)
		}
		return err
	})
	if e != 0 {
		return nil, e
	}
	nameACLs(st.Xattrs)
	n := &node{fs: m, path: path, stat: st, mode: modeOf(st.Mode)}
	n.kind = n.mode & syscall.S_IFMT
	switch n.kind {
	case syscall.S_IFDIR:
		n.self = &dir{n}
	case syscall.S_IFLNK:
		n.self = &link{n}
	case syscall.S_IFREG:
		n.self = n
	case 0:
		return nil, syscall.EIO
	default:
		n.self = &special{node: n}
	}
	return m.intern(n), 0
}

// intern returns the existing node of the inode of n, or else n, which becomes that node.
func (m *FS) intern(n *node) *node {
	ino := uint64(n.stat.Ino)
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.nodes[ino].Value(); old != nil {
		return old
	}
	m.nodes[ino] = weak.Make(n)
	runtime.AddCleanup(n, m.forget, ino)
	return n
}

func (m *FS) forget(ino uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w, ok := m.nodes[ino]; ok && w.Value() == nil {
		delete(m.nodes, ino)
	}
}

// modeOf returns st_mode; the type bits are 0 if the type does not exist on Linux.
func modeOf(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for _, b := range [...]struct {
		from fs.FileMode
		to   uint32
	}{{fs.ModeSetuid, syscall.S_ISUID}, {fs.ModeSetgid, syscall.S_ISGID}, {fs.ModeSticky, syscall.S_ISVTX}} {
		if m&b.from != 0 {
			mode |= b.to
		}
	}
	switch m.Type() {
	case 0:
		mode |= syscall.S_IFREG
	case fs.ModeDir:
		mode |= syscall.S_IFDIR
	case fs.ModeSymlink:
		mode |= syscall.S_IFLNK
	case fs.ModeNamedPipe:
		mode |= syscall.S_IFIFO
	case fs.ModeSocket:
		mode |= syscall.S_IFSOCK
	case fs.ModeDevice:
		mode |= syscall.S_IFBLK
	case fs.ModeDevice | fs.ModeCharDevice:
		mode |= syscall.S_IFCHR
	}
	return mode
}

// Type returns the S_IFMT bits.
func (n *node) Type() uint32 { return n.kind }

// Stat is stat(2).
func (n *node) Stat(st *syscall.Stat_t) syscall.Errno {
	s := n.stat
	t := syscall.Timespec{Sec: int64(s.Mtime), Nsec: int64(s.MtimeNs % 1e9)}
	*st = syscall.Stat_t{
		Dev: n.fs.opt.Dev, Ino: uint64(s.Ino), Nlink: uint64(max(s.Nlink, 0)), Mode: n.mode,
		Uid: s.UID, Gid: s.GID, Rdev: uint64(s.Rdev), Size: n.size(), Blksize: pagecache.PageSize,
		Blocks: (n.size() + 511) / 512, Atim: t, Mtim: t, Ctim: t,
	}
	return 0
}

func (n *node) size() int64 { return max(n.stat.Size, 0) }

// SetAttr is EROFS.
func (n *node) SetAttr(kernel.AttrChange) syscall.Errno { return syscall.EROFS }

// The methods below are extended attributes, as in xattr(7).

// nameACLs gives access control lists their names of xattr(7). The format encodes such a
// whole name as a number, which the library takes for that of a prefix and ends with a dot.
func nameACLs(attrs map[string]string) {
	for _, name := range [...]string{"system.posix_acl_access", "system.posix_acl_default"} {
		if v, ok := attrs[name+"."]; ok {
			delete(attrs, name+".")
			attrs[name] = v
		}
	}
}

// GetXattr returns the value of an attribute.
func (n *node) GetXattr(name string) ([]byte, syscall.Errno) {
	v, ok := n.stat.Xattrs[name]
	if !ok {
		return nil, syscall.ENODATA
	}
	return []byte(v), 0
}

// ListXattr returns the names.
func (n *node) ListXattr() ([]string, syscall.Errno) {
	var names []string
	for name := range n.stat.Xattrs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, 0
}

// SetXattr is EROFS.
func (n *node) SetXattr(string, []byte, int) syscall.Errno { return syscall.EROFS }
func (n *node) RemoveXattr(string) syscall.Errno           { return syscall.EROFS }

// link is a symbolic link.
type link struct{ *node }

// Readlink returns the link's target.
func (l *link) Readlink() (target string, e syscall.Errno) {
	e = l.fs.call(l.path, func() (err error) {
		target, err = l.fs.image.ReadLink(l.path)
		return err
	})
	return target, e
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
	return s.OpenSpecial(s.fs.opt.Kernel, s, s.kind, uint64(s.stat.Rdev), flags)
}
