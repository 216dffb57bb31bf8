package kernel

import "syscall"

// treeFS is a read-only tree whose files a function finds by name (Kernel.SetTree), for
// example the time zones of a Go program.
type treeFS struct {
	k    *Kernel
	open func(name string) ([]byte, bool)
	dev  uint64
	born int64
}

func newTreeFS(k *Kernel, open func(string) ([]byte, bool)) *treeFS {
	return &treeFS{k: k, open: open, dev: k.NewDevice(), born: k.bootTime()}
}

func (fs *treeFS) Type() string        { return "yolk" }
func (fs *treeFS) Root() Directory     { return &treeDir{fs: fs} }
func (fs *treeFS) Volatile() bool      { return true }
func (fs *treeFS) Sync() syscall.Errno { return 0 }
func (fs *treeFS) StatFS(st *syscall.Statfs_t) syscall.Errno {
	*st = syscall.Statfs_t{Type: tmpfsMagic, Bsize: pageSize, Frsize: pageSize, Namelen: nameMax}
	return 0
}

func (fs *treeFS) stat(st *syscall.Stat_t, name string, mode uint32, size int64) {
	t := timespec(fs.born)
	*st = syscall.Stat_t{
		Dev: fs.dev, Ino: hashName(name), Nlink: 1, Mode: mode, Size: size, Blksize: pageSize,
		Blocks: (size + 511) / 512, Atim: t, Mtim: t, Ctim: t,
	}
}

// hashName computes an inode number from a name (FNV-1a).
func hashName(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

// treeDir is the root, or a name that is not a file: it may be a directory above one. Only
// the root can be examined.
type treeDir struct {
	fs   *treeFS
	name string
}

func (d *treeDir) Type() uint32 { return syscall.S_IFDIR }

func (d *treeDir) Stat(st *syscall.Stat_t) syscall.Errno {
	if d.name != "" {
		return syscall.ENOENT
	}
	d.fs.stat(st, "", syscall.S_IFDIR|0o555, 0)
	return 0
}

func (d *treeDir) SetAttr(AttrChange) syscall.Errno { return syscall.EROFS }

func (d *treeDir) Open(int) (File, syscall.Errno) {
	if d.name != "" {
		return nil, syscall.ENOENT
	}
	return &treeDirFile{OpenDir{Dir: d}}, 0
}

func (d *treeDir) Lookup(name string) (Inode, syscall.Errno) {
	if d.name != "" {
		name = d.name + "/" + name
	}
	if data, ok := d.fs.open(name); ok {
		return &treeFile{fs: d.fs, name: name, data: data}, 0
	}
	return &treeDir{fs: d.fs, name: name}, 0
}

func (d *treeDir) Create(string, uint32, uint64) (Inode, syscall.Errno) { return nil, syscall.EROFS }
func (d *treeDir) Symlink(string, string) (Inode, syscall.Errno)        { return nil, syscall.EROFS }
func (d *treeDir) Link(string, Inode) syscall.Errno                     { return syscall.EROFS }
func (d *treeDir) Remove(string, bool) syscall.Errno                    { return syscall.EROFS }
func (d *treeDir) Rename(string, Directory, string, bool) syscall.Errno { return syscall.EROFS }

type treeDirFile struct{ OpenDir }

func (f *treeDirFile) ReadDir(int64, func(DirEntry) bool) syscall.Errno { return 0 }

type treeFile struct {
	fs   *treeFS
	name string
	data []byte
}

func (f *treeFile) Type() uint32                     { return syscall.S_IFREG }
func (f *treeFile) SetAttr(AttrChange) syscall.Errno { return syscall.EROFS }
func (f *treeFile) Stat(st *syscall.Stat_t) syscall.Errno {
	f.fs.stat(st, f.name, syscall.S_IFREG|0o444, int64(len(f.data)))
	return 0
}

func (f *treeFile) Open(flags int) (File, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return nil, syscall.EROFS
	}
	return &bytesFile{inode: f, data: f.data}, 0
}
