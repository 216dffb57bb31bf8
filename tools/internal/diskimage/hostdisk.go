package diskimage

import (
	"os"
	"syscall"
)

// hostDisk is a new file as a disk (kernel/block.Device). Flushes do nothing: the file is synced
// when it is complete. Zeroes are not written, so they stay holes.
type hostDisk struct {
	f    *os.File
	size int64
	err  error // the host's first error
}

func (d *hostDisk) Size() int64    { return d.size }
func (d *hostDisk) BlockSize() int { return 512 }
func (d *hostDisk) ReadOnly() bool { return false }

// failed records the host's error, which contains more than an errno.
func (d *hostDisk) failed(err error) syscall.Errno {
	if d.err == nil {
		d.err = err
	}
	return syscall.EIO
}

func (d *hostDisk) ReadAt(bufs [][]byte, off int64) syscall.Errno {
	for _, b := range bufs {
		if _, err := d.f.ReadAt(b, off); err != nil {
			return d.failed(err)
		}
		off += int64(len(b))
	}
	return 0
}

func (d *hostDisk) WriteAt(bufs [][]byte, off int64) syscall.Errno {
	for _, b := range bufs {
		if _, err := d.f.WriteAt(b, off); err != nil {
			return d.failed(err)
		}
		off += int64(len(b))
	}
	return 0
}

func (d *hostDisk) Flush() syscall.Errno { return 0 }

func (d *hostDisk) Discard(off, n int64) syscall.Errno { return d.WriteZeroes(off, n) }

// WriteZeroes punches a hole if the host's file system supports that (fallocate(2)).
func (d *hostDisk) WriteZeroes(off, n int64) syscall.Errno {
	const punchHole, keepSize = 2, 1
	if syscall.Fallocate(int(d.f.Fd()), punchHole|keepSize, off, n) == nil {
		return 0
	}
	zero := make([]byte, min(n, 1<<20))
	for n > 0 {
		part := zero[:min(n, int64(len(zero)))]
		if _, err := d.f.WriteAt(part, off); err != nil {
			return d.failed(err)
		}
		off, n = off+int64(len(part)), n-int64(len(part))
	}
	return 0
}
