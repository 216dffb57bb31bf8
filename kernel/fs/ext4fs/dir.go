package ext4fs

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// dir is a directory.
type dir struct{ *node }

var _ kernel.Directory = (*dir)(nil)

// Lookup returns the inode of a name. A file that loses its last name after the directory
// was read, but before it has a node, may have been freed, with pages that were not written
// back: then its name belongs to another file, and is looked up again.
func (d *dir) Lookup(name string) (kernel.Inode, syscall.Errno) {
	for range 100 {
		i, e := d.disk.Lookup(name)
		if e == syscall.ESTALE { // the directory itself was removed
			e = syscall.ENOENT
		}
		if e != 0 {
			return nil, e
		}
		n := d.fs.node(i)
		if n.disk.Attr().Nlink > 0 {
			return n.self, 0
		}
		n.freeIfUnused()
	}
	return nil, syscall.EIO // the name of a file without links: the disk is damaged
}

// Create makes a file. In a set-group-ID directory it gets the directory's group (inode(7)).
func (d *dir) Create(name string, mode uint32, dev uint64) (kernel.Inode, syscall.Errno) {
	mode, uid, gid := d.owner(mode)
	i, e := d.disk.Create(name, mode, uid, gid, dev)
	if e != 0 {
		return nil, e
	}
	return d.fs.node(i).self, 0
}

// owner returns mode, user and group for a file that is created in d.
func (d *dir) owner(mode uint32) (m, uid, gid uint32) {
	uid, gid = d.fs.opt.Kernel.Owner()
	if a := d.disk.Attr(); a.Mode&syscall.S_ISGID != 0 {
		gid = a.GID
		if mode&syscall.S_IFMT == syscall.S_IFDIR {
			mode |= syscall.S_ISGID
		}
	}
	return mode, uid, gid
}

// Symlink makes a symbolic link.
func (d *dir) Symlink(name, target string) (kernel.Inode, syscall.Errno) {
	_, uid, gid := d.owner(0)
	i, e := d.disk.Symlink(name, target, uid, gid)
	if e != 0 {
		return nil, e
	}
	return d.fs.node(i).self, 0
}

// Link gives a file another name.
func (d *dir) Link(name string, target kernel.Inode) syscall.Errno {
	n := d.fs.own(target)
	if n == nil {
		return syscall.EXDEV
	}
	if n.opened() != 0 {
		return syscall.ENOENT
	}
	defer n.closed()
	return d.disk.Link(name, n.disk)
}

// own returns the node of an inode of this file system, or nil.
func (fs *FS) own(i kernel.Inode) *node {
	var n *node
	switch i := i.(type) {
	case *node:
		n = i
	case *dir:
		n = i.node
	case *link:
		n = i.node
	case *special:
		n = i.node
	}
	if n == nil || n.fs != fs {
		return nil
	}
	return n
}

// Remove removes a name.
func (d *dir) Remove(name string, isDir bool) syscall.Errno {
	i, e := d.disk.Lookup(name)
	if e != 0 {
		return e
	}
	n := d.fs.node(i)
	if isDir {
		e = d.disk.Rmdir(name)
	} else {
		e = d.disk.Unlink(name)
	}
	if e == 0 {
		n.freeIfUnused()
	}
	return e
}

// Rename moves a name.
func (d *dir) Rename(name string, to kernel.Directory, newName string, exchange bool) syscall.Errno {
	t, ok := to.(*dir)
	if !ok || t.fs != d.fs {
		return syscall.EXDEV
	}
	var replaced *node
	if i, e := t.disk.Lookup(newName); e == 0 {
		replaced = d.fs.node(i)
	} else if e != syscall.ENOENT {
		return e
	}
	if e := d.disk.Rename(name, t.disk, newName, exchange); e != 0 {
		return e
	}
	if replaced != nil {
		replaced.freeIfUnused()
	}
	return 0
}

// Unnamed makes a regular file without a name, for O_TMPFILE.
func (fs *FS) Unnamed(near kernel.Inode, mode uint32) (kernel.Inode, syscall.Errno) {
	d, ok := near.(*dir)
	if !ok || d.fs != fs {
		return nil, syscall.EOPNOTSUPP
	}
	mode, uid, gid := d.owner(syscall.S_IFREG | mode&0o7777)
	i, e := d.disk.CreateUnnamed(mode, uid, gid)
	if e != 0 {
		return nil, e
	}
	return fs.node(i).self, 0
}

// Open opens the directory for reading.
func (d *dir) Open(int) (kernel.File, syscall.Errno) {
	if e := d.opened(); e != 0 {
		return nil, e
	}
	return &openDir{kernel.OpenDir{Dir: d}, d.node}, 0
}

// openDir is an open directory.
type openDir struct {
	kernel.OpenDir
	node *node
}

var _ kernel.DirReader = (*openDir)(nil)

// Release is close(2) of the last descriptor.
func (o *openDir) Release() { o.node.closed() }

// Sync is fsync(2).
func (o *openDir) Sync(dataOnly bool) syscall.Errno { return o.node.sync(dataOnly) }

// ReadDir lists the directory. Positions are ext4's, moved after those of "." and "..",
// which the kernel adds.
func (o *openDir) ReadDir(pos int64, emit func(kernel.DirEntry) bool) syscall.Errno {
	return o.node.disk.ReadDir(max(pos-kernel.FirstEntry, 0), func(name string, ino, kind uint32, next int64) bool {
		if name == "." || name == ".." {
			return true
		}
		return emit(kernel.DirEntry{Name: name, Ino: uint64(ino), Type: typeOf(kind), Next: next + kernel.FirstEntry})
	})
}

// typeOf returns the S_IFMT bits of a file type in a directory entry; 0 (DT_UNKNOWN) if the
// disk does not record types.
func typeOf(kind uint32) uint32 {
	types := [...]uint32{
		0, syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFLNK,
	}
	if kind >= uint32(len(types)) {
		return 0
	}
	return types[kind]
}

// The methods below are extended attributes, as in xattr(7).

// GetXattr returns the value of an attribute.
func (n *node) GetXattr(name string) ([]byte, syscall.Errno) { return n.disk.GetXattr(name) }

// SetXattr sets it, with the flags of setxattr(2).
func (n *node) SetXattr(name string, value []byte, flags int) syscall.Errno {
	if e := n.opened(); e != 0 {
		return e
	}
	defer n.closed()
	return n.disk.SetXattr(name, value, flags)
}

// ListXattr returns the names.
func (n *node) ListXattr() ([]string, syscall.Errno) { return n.disk.ListXattr() }

// RemoveXattr removes an attribute.
func (n *node) RemoveXattr(name string) syscall.Errno {
	if e := n.opened(); e != 0 {
		return e
	}
	defer n.closed()
	return n.disk.RemoveXattr(name)
}
