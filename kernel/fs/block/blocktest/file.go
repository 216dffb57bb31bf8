package blocktest

import (
	"io"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// Host are the methods of *os.File that File needs.
type Host interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// File is a file of the host as a disk. The host's errors become EIO.
type File struct {
	host      Host
	size      int64
	blockSize int
	readOnly  bool
	// NoSync makes Flush do nothing: for tests that do not cut the host's power.
	NoSync bool
}

var _ block.Device = (*File)(nil)

// NewFile makes a disk of size bytes of a file, which must be as long.
func NewFile(host Host, size int64, blockSize int, readOnly bool) *File {
	return &File{host: host, size: size - size%int64(blockSize), blockSize: blockSize, readOnly: readOnly}
}

func (f *File) Size() int64    { return f.size }
func (f *File) BlockSize() int { return f.blockSize }
func (f *File) ReadOnly() bool { return f.readOnly }

func (f *File) ReadAt(bufs [][]byte, off int64) syscall.Errno {
	if e := check(f, off, total(bufs)); e != 0 {
		return e
	}
	for _, b := range bufs {
		if n, err := f.host.ReadAt(b, off); n < len(b) && err != nil {
			return syscall.EIO
		}
		off += int64(len(b))
	}
	return 0
}

func (f *File) WriteAt(bufs [][]byte, off int64) syscall.Errno {
	if e := check(f, off, total(bufs)); e != 0 {
		return e
	}
	if f.readOnly {
		return syscall.EROFS
	}
	for _, b := range bufs {
		if _, err := f.host.WriteAt(b, off); err != nil {
			return syscall.EIO
		}
		off += int64(len(b))
	}
	return 0
}

func (f *File) Flush() syscall.Errno {
	if f.readOnly || f.NoSync {
		return 0
	}
	if f.host.Sync() != nil {
		return syscall.EIO
	}
	return 0
}

func (f *File) Discard(off, n int64) syscall.Errno { return syscall.EOPNOTSUPP }

func (f *File) WriteZeroes(off, n int64) syscall.Errno {
	if e := check(f, off, n); e != 0 {
		return e
	}
	zero := make([]byte, min(n, 256<<10))
	for n > 0 {
		p := zero[:min(n, int64(len(zero)))]
		if e := f.WriteAt([][]byte{p}, off); e != 0 {
			return e
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return 0
}
