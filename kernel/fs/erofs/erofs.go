// Package erofs serves the files of an EROFS image to the kernel, read-only: the sealed
// counterpart of an ext4 disk. Package github.com/erofs/go-erofs implements the format
// (https://erofs.docs.kernel.org/en/latest/core_ondisk.html) and serves names and attributes;
// the content of files goes from the device directly to pages of the page cache.
//
// Reading order: erofs.go (mount), node.go (inodes), dir.go (names), file.go (open
// files), content.go (from the device).
package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
	"weak"

	format "github.com/erofs/go-erofs"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/runtime/machine"
)

// Options are the options of a mount.
type Options struct {
	Kernel *kernel.Kernel
	Cache  *pagecache.Cache
	Dev    uint64            // st_dev of its files
	Reader machine.Reader    // pagecache.ExtentMapper
	Log    func(line string) // gets lines about damage in the image
}

// FS is a mounted image.
type FS struct {
	opt   Options
	dev   block.Device
	image image
	super superblock
	root  *node

	mu    sync.Mutex
	nodes map[uint64]weak.Pointer[node]
}

var _ kernel.FileSystem = (*FS)(nil)

// image has the methods of the library's file systems. Paths are those of io/fs: slashes,
// "." for the root.
type image interface {
	fs.ReadDirFS
	Lstat(name string) (fs.FileInfo, error)
	ReadLink(name string) (string, error)
}

// Mount opens the image on a device. Its errors say what is wrong and what to do.
func Mount(dev block.Device, opt Options) (*FS, error) {
	m := &FS{opt: opt, dev: dev, nodes: make(map[uint64]weak.Pointer[node])}
	whole := newContent(m, []format.DataRange{{Size: dev.Size()}})
	meta := metadata{opt.Cache.NewFile(whole, dev.Size())}
	if err := m.super.read(meta, dev.Size()); err != nil {
		return nil, err
	}
	err := m.guarded(func() error {
		opened, err := format.Open(meta)
		if err != nil {
			return err
		}
		var ok bool
		if m.image, ok = opened.(image); !ok {
			return errors.ErrUnsupported
		}
		return nil
	})
	if errors.Is(err, format.ErrNotImplemented) {
		return nil, fmt.Errorf("%w; make the image with yolk disk create -type erofs, or with mkfs.erofs without compression", err)
	}
	if err != nil {
		return nil, err
	}
	root, e := m.node(".")
	if e != 0 {
		return nil, fmt.Errorf("its root directory: %w", e)
	}
	if root.kind != syscall.S_IFDIR {
		return nil, errors.New("its root is no directory: the image is damaged")
	}
	m.root = root
	opt.Kernel.EnableMappers()
	return m, nil
}

// superblock are the fields of struct erofs_super_block that the kernel needs.
type superblock struct {
	inodes    uint64
	blocks    uint64
	blockSize int64 // in bytes
}

// superblockAt is where the superblock lies, superblockSize how much of it is read.
const superblockAt, superblockSize = 1024, 128

func (s *superblock) read(r io.ReaderAt, size int64) error {
	b := make([]byte, superblockSize)
	if _, err := r.ReadAt(b, superblockAt); err != nil {
		return fmt.Errorf("its superblock: %w", err)
	}
	bits := b[12]
	if bits < 9 || bits > 16 {
		return fmt.Errorf("blocks of 2^%d bytes: the image is damaged", bits)
	}
	s.blockSize = 1 << bits
	s.inodes = binary.LittleEndian.Uint64(b[16:])
	s.blocks = uint64(binary.LittleEndian.Uint32(b[36:]))
	if end := int64(s.blocks) << bits; end > size {
		return fmt.Errorf("the image has %d bytes and the disk %d: it is cut short", end, size)
	}
	return nil
}

// Type is the name for /proc/mounts.
func (m *FS) Type() string { return "erofs" }

// Root returns the root directory.
func (m *FS) Root() kernel.Directory { return m.root.self.(kernel.Directory) }

// Volatile is false: names do not change.
func (m *FS) Volatile() bool { return false }

// ReadOnly is true: changes are EROFS.
func (m *FS) ReadOnly() bool { return true }

// Sync does nothing: nothing is dirty.
func (m *FS) Sync() syscall.Errno { return 0 }

// Unmount does nothing: open files stay usable.
func (m *FS) Unmount() syscall.Errno { return 0 }

// StatFS is statfs(2).
func (m *FS) StatFS(st *syscall.Statfs_t) syscall.Errno {
	const magic, nameMax = 0xe0f5e1e2, 255 // EROFS_SUPER_MAGIC_V1
	*st = syscall.Statfs_t{
		Type: magic, Bsize: m.super.blockSize, Frsize: m.super.blockSize,
		Blocks: m.super.blocks, Files: m.super.inodes, Namelen: nameMax,
	}
	st.Fsid.X__val[0] = int32(m.opt.Dev)
	return 0
}

// metadata is the device as the library reads it: in small pieces, through the page cache.
type metadata struct{ pages *pagecache.File }

// ReadAt implements io.ReaderAt.
func (m metadata) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, syscall.EINVAL
	}
	n := 0
	for n < len(p) {
		k, e := m.pages.ReadAt(p[n:], off+int64(n))
		if e != 0 {
			return n, e
		}
		if k == 0 {
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}

// call runs f, which reads the image. Damage that it finds is logged and is EIO.
func (m *FS) call(path string, f func() error) syscall.Errno {
	err := m.guarded(f)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNotExist):
		return syscall.ENOENT
	case errors.Is(err, format.ErrNotDirectory):
		return syscall.ENOTDIR
	}
	var e syscall.Errno
	if !errors.As(err, &e) {
		e = syscall.EIO
		m.damaged(path, err)
	}
	return e
}

var errNotExist = fs.ErrNotExist

func (m *FS) damaged(path string, err error) {
	m.opt.Log("/" + path + " cannot be read: " + err.Error())
}

// guarded turns a panic into an error: images are not to be trusted, and the library that
// reads them is not ours.
func (m *FS) guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged image: %v", r)
		}
	}()
	return f()
}
