package kernel

import (
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// genFS is a file system whose files are generated when they are read: /proc and /sys. Names
// come from tables (procfs.go, procfs_sysfs.go) and from SetFile.
type genFS struct {
	k     *Kernel
	kind  string
	magic int64
	dev   uint64
	size  int64 // st_size of files: 0 in procfs, 4096 in sysfs
	root  *genDir

	// constant is for files that do not say when they change.
	constant changeCount

	mu   sync.RWMutex // guards all directories
	next atomic.Uint64
	born int64 // all timestamps
}

func newGenFS(k *Kernel, kind string, magic int64, dev uint64) *genFS {
	fs := &genFS{k: k, kind: kind, magic: magic, dev: dev, born: k.bootTime()}
	fs.root = fs.newDir()
	return fs
}

func (fs *genFS) Type() string        { return fs.kind }
func (fs *genFS) Root() Directory     { return fs.root }
func (fs *genFS) Volatile() bool      { return true }
func (fs *genFS) Sync() syscall.Errno { return 0 }
func (fs *genFS) StatFS(st *syscall.Statfs_t) syscall.Errno {
	*st = syscall.Statfs_t{Type: fs.magic, Bsize: pageSize, Frsize: pageSize, Namelen: nameMax}
	return 0
}

// genNode is the common part of genFS's inodes.
type genNode struct {
	fs   *genFS
	ino  uint64
	mode uint32
}

func (fs *genFS) node(mode uint32) genNode {
	return genNode{fs: fs, ino: fs.next.Add(1), mode: mode}
}

func (n *genNode) Type() uint32 { return n.mode & syscall.S_IFMT }

func (n *genNode) Stat(st *syscall.Stat_t) syscall.Errno {
	t := timespec(n.fs.born)
	*st = syscall.Stat_t{
		Dev: n.fs.dev, Ino: n.ino, Nlink: 1, Mode: n.mode, Blksize: pageSize,
		Atim: t, Mtim: t, Ctim: t,
	}
	if n.fs.magic == procMagic {
		st.Blksize = 1024 // proc_fill_super
	}
	switch n.Type() {
	case syscall.S_IFREG:
		st.Size = n.fs.size
	case syscall.S_IFDIR:
		st.Nlink = 2
	}
	return 0
}

func (n *genNode) SetAttr(c AttrChange) syscall.Errno {
	if c.Mask&AttrSize != 0 && n.Type() == syscall.S_IFREG && n.mode&0o222 != 0 {
		return 0 // O_TRUNC before a write to a setting
	}
	return syscall.EPERM
}

// genFile is a generated file.
type genFile struct {
	genNode
	read  func(k *Kernel, b []byte) []byte
	write func(k *Kernel, p []byte) syscall.Errno
	// ready and changes are for poll(2). Without changes, epoll(7) does not accept the file.
	ready   genReadiness
	changes *changeCount
}

// newFile makes a generated file.
func (fs *genFS) newFile(n genNode, read func(*Kernel, []byte) []byte, write func(*Kernel, []byte) syscall.Errno) *genFile {
	f := &genFile{genNode: n, read: read, write: write}
	if fs.magic == sysfsMagic {
		f.ready = pollSysfs
	}
	return f
}

func (f *genFile) Open(flags int) (File, syscall.Errno) {
	o := &genOpen{bytesFile: bytesFile{inode: f}, file: f}
	if f.changes != nil && f.ready != pollSysfs {
		o.seen.Store(f.changes.n.Load())
	}
	if flags&syscall.O_ACCMODE != syscall.O_WRONLY && f.read != nil {
		o.data = f.read(f.fs.k, nil)
	}
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		if f.write == nil {
			return nil, syscall.EACCES
		}
		o.write = func(p []byte) syscall.Errno { return f.write(f.fs.k, p) }
	}
	return o, 0
}

// genLink is a symbolic link.
type genLink struct {
	genNode
	to func(k *Kernel) string
	// object, if not nil, returns what is opened through the link.
	object func(k *Kernel) (*dentry, syscall.Errno)
}

func (l *genLink) Open(int) (File, syscall.Errno)    { return nil, syscall.ELOOP }
func (l *genLink) Readlink() (string, syscall.Errno) { return l.to(l.fs.k), 0 }

// genMagic is a genLink to an object without a path.
type genMagic struct{ genLink }

func (l *genMagic) target() (*dentry, syscall.Errno) { return l.object(l.fs.k) }

// genDir is a directory.
type genDir struct {
	genNode
	names map[string]Inode
	// dynamic, if not nil, finds names that are not in names; list lists them.
	dynamic func(name string) (Inode, syscall.Errno)
	list    func() []string
	// counted: the size is how many names list has, as of /proc/self/fd (proc_fd_getattr).
	counted bool
}

// Stat implements Inode.
func (d *genDir) Stat(st *syscall.Stat_t) syscall.Errno {
	e := d.genNode.Stat(st)
	if d.counted {
		st.Size = int64(len(d.list()))
	}
	return e
}

func (fs *genFS) newDir() *genDir {
	return &genDir{genNode: fs.node(syscall.S_IFDIR | 0o555), names: make(map[string]Inode)}
}

func (d *genDir) Lookup(name string) (Inode, syscall.Errno) {
	d.fs.mu.RLock()
	n := d.names[name]
	d.fs.mu.RUnlock()
	if n != nil {
		return n, 0
	}
	if d.dynamic != nil {
		return d.dynamic(name)
	}
	return nil, syscall.ENOENT
}

func (d *genDir) Open(int) (File, syscall.Errno) { return &genDirFile{OpenDir{Dir: d}}, 0 }

func (d *genDir) Create(string, uint32, uint64) (Inode, syscall.Errno) { return nil, syscall.ENOENT }
func (d *genDir) Symlink(string, string) (Inode, syscall.Errno)        { return nil, syscall.EPERM }
func (d *genDir) Link(string, Inode) syscall.Errno                     { return syscall.EPERM }
func (d *genDir) Remove(string, bool) syscall.Errno                    { return syscall.EPERM }
func (d *genDir) Rename(string, Directory, string, bool) syscall.Errno { return syscall.EPERM }

type genDirFile struct{ OpenDir }

func (f *genDirFile) ReadDir(pos int64, emit func(DirEntry) bool) syscall.Errno {
	d := f.Dir.(*genDir)
	d.fs.mu.RLock()
	names := make([]string, 0, len(d.names))
	for n := range d.names {
		names = append(names, n)
	}
	d.fs.mu.RUnlock()
	sort.Strings(names)
	if d.list != nil {
		names = append(names, d.list()...)
	}
	for i := int(pos - FirstEntry); i < len(names); i++ {
		inode, e := d.Lookup(names[i])
		if e != 0 {
			continue
		}
		var st syscall.Stat_t
		inode.Stat(&st)
		if !emit(DirEntry{Name: names[i], Ino: st.Ino, Type: inode.Type(), Next: int64(i) + 1 + FirstEntry}) {
			break
		}
	}
	return 0
}

// dir returns the directory at a path, which is made if it is missing. mu is held.
func (fs *genFS) dir(path string) *genDir {
	d := fs.root
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		sub, ok := d.names[name].(*genDir)
		if !ok {
			sub = fs.newDir()
			d.names[name] = sub
		}
		d = sub
	}
	return d
}

// add puts an inode at a path.
func (fs *genFS) add(path string, n Inode) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir, name := fs.split(path)
	dir.names[name] = n
}

// split returns the directory of a path, which is made if it is missing, and the name in it. mu is
// held.
func (fs *genFS) split(path string) (*genDir, string) {
	i := strings.LastIndexByte(path, '/')
	return fs.dir(path[:max(i, 0)]), path[i+1:]
}

// file adds a generated file.
func (fs *genFS) file(path string, mode uint32, read func(*Kernel, []byte) []byte, write func(*Kernel, []byte) syscall.Errno) {
	f := fs.newFile(fs.node(syscall.S_IFREG|mode), read, write)
	if fs.magic != procMagic || !strings.HasPrefix(path, "1/") || strings.Contains(path, "/net/") {
		f.changes = &fs.constant
	}
	fs.add(path, f)
}

// addTexts adds files of constant content below dir: path and text in turn.
func (fs *genFS) addTexts(dir string, write func(*Kernel, []byte) syscall.Errno, pairs ...string) {
	mode := uint32(0o444)
	if write != nil {
		mode = 0o644
	}
	for i := 0; i < len(pairs); i += 2 {
		text := pairs[i+1]
		fs.file(dir+pairs[i], mode, func(_ *Kernel, b []byte) []byte { return append(b, text...) }, write)
	}
}

// link adds a symbolic link.
func (fs *genFS) link(path string, to func(*Kernel) string) {
	fs.add(path, &genLink{genNode: fs.node(syscall.S_IFLNK | 0o777), to: to})
}

// magicLink adds a link to an object.
func (fs *genFS) magicLink(path string, to func(*Kernel) string, object func(*Kernel) (*dentry, syscall.Errno)) {
	fs.add(path, &genMagic{genLink{genNode: fs.node(syscall.S_IFLNK | 0o777), to: to, object: object}})
}

// genTable is a list of generated files.
type genTable []struct {
	path  string
	read  func(k *Kernel, b []byte) []byte
	write func(k *Kernel, p []byte) syscall.Errno
}

func (fs *genFS) addTable(t genTable) {
	for i := range t {
		mode := uint32(0o444)
		if t[i].write != nil {
			mode = 0o644
		}
		fs.file(t[i].path, mode, t[i].read, t[i].write)
	}
}
