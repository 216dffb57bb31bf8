package erofs

import (
	"io/fs"
	"path"
	"strings"
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// dir is a directory.
type dir struct{ *node }

var _ kernel.Directory = (*dir)(nil)

// Lookup returns the inode of a name.
func (d *dir) Lookup(name string) (kernel.Inode, syscall.Errno) {
	n, e := d.fs.node(path.Join(d.path, name))
	if e != 0 {
		return nil, e
	}
	return n.self, 0
}

// Create is EROFS, as are all other changes.
func (d *dir) Create(string, uint32, uint64) (kernel.Inode, syscall.Errno) {
	return nil, syscall.EROFS
}
func (d *dir) Symlink(string, string) (kernel.Inode, syscall.Errno) { return nil, syscall.EROFS }
func (d *dir) Link(string, kernel.Inode) syscall.Errno              { return syscall.EROFS }
func (d *dir) Remove(string, bool) syscall.Errno                    { return syscall.EROFS }
func (d *dir) Rename(string, kernel.Directory, string, bool) syscall.Errno {
	return syscall.EROFS
}

// Open opens the directory for reading.
func (d *dir) Open(int) (kernel.File, syscall.Errno) {
	return &openDir{OpenDir: kernel.OpenDir{Dir: d}, node: d.node}, 0
}

// openDir is an open directory. All its names are read at once: they do not change.
type openDir struct {
	kernel.OpenDir
	node    *node
	mu      sync.Mutex
	read    bool
	entries []fs.DirEntry
}

var _ kernel.DirReader = (*openDir)(nil)

// ReadDir lists the directory from a position on, an index in the list of names.
func (o *openDir) ReadDir(pos int64, emit func(kernel.DirEntry) bool) syscall.Errno {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.load(); e != 0 {
		return e
	}
	for i := max(pos-kernel.FirstEntry, 0); i < int64(len(o.entries)); i++ {
		entry, e := o.entry(o.entries[i])
		if e != 0 {
			return e
		}
		entry.Next = i + 1 + kernel.FirstEntry
		if !emit(entry) {
			break
		}
	}
	return 0
}

// load reads the names if that was not done yet.
func (o *openDir) load() syscall.Errno {
	if o.read {
		return 0
	}
	m := o.node.fs
	o.entries = nil // of an attempt that failed
	e := m.call(o.node.path, func() error {
		list, err := m.image.ReadDir(o.node.path)
		for _, entry := range list {
			if name := entry.Name(); name == "" || strings.ContainsAny(name, "/\x00") {
				m.opt.Log("/" + o.node.path + " has a name that is none; it is left out")
				continue
			}
			o.entries = append(o.entries, entry)
		}
		return err
	})
	o.read = e == 0
	return e
}

// entry is what getdents64(2) returns for a name. The library finds the inode's number by
// reading the inode.
func (o *openDir) entry(from fs.DirEntry) (kernel.DirEntry, syscall.Errno) {
	entry := kernel.DirEntry{Name: from.Name(), Type: modeOf(from.Type()) & syscall.S_IFMT}
	e := o.node.fs.call(path.Join(o.node.path, from.Name()), func() error {
		info, err := from.Info()
		if err == nil {
			entry.Ino = info.(interface{ Ino() uint64 }).Ino()
		}
		return err
	})
	return entry, e
}
