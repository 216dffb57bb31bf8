// Package rawdisk is the file /dev/vda: a disk as one sequence of bytes, as in Linux's
// block/fops.c and ioctl(2). There is no cache: whole blocks are transferred between the
// device and the program's memory, and anything else through a buffer. Data that fsync(2)
// has not covered may be lost with the machine, as on any disk.
//
// Start reading at Disk.Open.
package rawdisk

import (
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/bounce"
)

// Disk is a disk that programs open.
type Disk struct {
	dev     block.Device
	bounces bounce.Pool // buffers for data that the device cannot access, and for parts of blocks

	// partial is read-locked by writes of whole blocks, and locked by writes that read a
	// block first.
	partial sync.RWMutex
}

// New makes a disk of a device. noDMA reports whether memory can move, such as a goroutine's
// stack, so that the device cannot access it; if nil, no memory moves.
func New(dev block.Device, noDMA func(b []byte) bool) *Disk {
	return &Disk{dev: dev, bounces: bounce.Pool{NoDMA: noDMA}}
}

// Open opens the disk; node is the inode through which it is opened.
func (d *Disk) Open(node kernel.Inode, flags int) (kernel.File, syscall.Errno) {
	return &file{Disk: d, node: node}, 0
}

// file is the open disk. Release does nothing: all writes are on the device.
type file struct {
	kernel.Always
	*Disk
	node kernel.Inode
}

var (
	_ kernel.Seeker  = (*file)(nil)
	_ kernel.Resizer = (*file)(nil)
	_ kernel.Syncer  = (*file)(nil)
	_ kernel.Ioctler = (*file)(nil)
)

// Stat is fstat(2). The size of a device node is 0.
func (f *file) Stat(st *syscall.Stat_t) syscall.Errno { return f.node.Stat(st) }

// Sync is fsync(2).
func (f *file) Sync(bool) syscall.Errno { return f.dev.Flush() }

// SeekTo is lseek(2). Linux refuses positions beyond the end (blkdev_llseek).
func (f *file) SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno) {
	pos, e := kernel.Seek(off, whence, cur, f.dev.Size())
	if e == 0 && pos > f.dev.Size() {
		e = syscall.EINVAL
	}
	return pos, e
}

// Read is pread(2).
func (f *file) Read(p []byte, off int64) (int, syscall.Errno) {
	return f.each(p, off, f.readSome)
}

// Write is pwrite(2). Linux allows a read-only disk to be opened for writing and refuses the
// writes with EPERM.
func (f *file) Write(p []byte, off int64) (int, syscall.Errno) {
	switch {
	case f.dev.ReadOnly():
		return 0, syscall.EPERM
	case len(p) > 0 && off >= f.dev.Size():
		return 0, syscall.ENOSPC
	}
	return f.each(p, off, f.writeSome)
}

// each calls some for parts of p until everything that lies on the disk is done.
func (f *file) each(p []byte, off int64, some func(p []byte, off int64) (int, syscall.Errno)) (done int, e syscall.Errno) {
	left := max(f.dev.Size()-off, 0)
	p = p[:min(int64(len(p)), left)]
	for done < len(p) {
		n, e := some(p[done:], off+int64(done))
		if e != 0 && done == 0 {
			return 0, e
		}
		if e != 0 {
			break
		}
		done += n
	}
	return done, 0
}

// direct returns how many bytes of p the device can access directly.
func (f *file) direct(p []byte, off int64) int {
	block := f.dev.BlockSize()
	if off&int64(block-1) != 0 || len(p) < block || f.bounces.Needed(p) {
		return 0
	}
	return len(p) &^ (block - 1)
}

// span returns the blocks that contain the first bytes of p, as many as fit a bounce buffer:
// their offset and length, and how many bytes of p they contain.
func (f *file) span(p []byte, off int64) (start int64, length, n int) {
	block := f.dev.BlockSize()
	before := int(off) & (block - 1)
	length = min((before+len(p)+block-1)&^(block-1), bounce.Size)
	return off - int64(before), length, min(len(p), length-before)
}

func (f *file) readSome(p []byte, off int64) (int, syscall.Errno) {
	if n := f.direct(p, off); n > 0 {
		return n, f.dev.ReadAt([][]byte{p[:n]}, off)
	}
	start, length, n := f.span(p, off)
	b := f.bounces.Get()
	defer f.bounces.Put(b)
	if e := f.dev.ReadAt([][]byte{b[:length]}, start); e != 0 {
		return 0, e
	}
	return copy(p[:n], b[off-start:]), 0
}

func (f *file) writeSome(p []byte, off int64) (int, syscall.Errno) {
	if n := f.direct(p, off); n > 0 {
		f.partial.RLock()
		defer f.partial.RUnlock()
		return n, f.dev.WriteAt([][]byte{p[:n]}, off)
	}
	start, length, n := f.span(p, off)
	b := f.bounces.Get()
	defer f.bounces.Put(b)
	f.partial.Lock()
	defer f.partial.Unlock()
	if n < length {
		if e := f.dev.ReadAt([][]byte{b[:length]}, start); e != 0 {
			return 0, e
		}
	}
	copy(b[off-start:], p[:n])
	return n, f.dev.WriteAt([][]byte{b[:length]}, start)
}

// Truncate is ftruncate(2), which fails on devices.
func (f *file) Truncate(int64) syscall.Errno { return syscall.EINVAL }

// Modes of fallocate(2) that devices support (blkdev_fallocate).
const (
	keepSize  = 0x01
	punchHole = 0x02
	zeroRange = 0x10
)

// Allocate is fallocate(2), which can zero ranges of a device.
func (f *file) Allocate(mode int, off, n int64) syscall.Errno {
	if mode != punchHole|keepSize && mode != zeroRange && mode != zeroRange|keepSize {
		return syscall.EOPNOTSUPP
	}
	return f.zero(off, n)
}

// zero zeroes a range, by a request to the device or else by writing.
func (f *file) zero(off, n int64) syscall.Errno {
	if e := f.checkRange(off, n); e != 0 {
		return e
	}
	e := f.dev.WriteZeroes(off, n)
	if e != syscall.EOPNOTSUPP {
		return e
	}
	b := f.bounces.Get()
	defer f.bounces.Put(b)
	clear(b)
	for n > 0 {
		part := b[:min(n, int64(len(b)))]
		if e := f.dev.WriteAt([][]byte{part}, off); e != 0 {
			return e
		}
		off, n = off+int64(len(part)), n-int64(len(part))
	}
	return 0
}

func (f *file) checkRange(off, n int64) syscall.Errno {
	switch {
	case f.dev.ReadOnly():
		return syscall.EPERM
	case off < 0 || n <= 0 || (off|n)&int64(f.dev.BlockSize()-1) != 0 || off > f.dev.Size() || n > f.dev.Size()-off:
		return syscall.EINVAL
	}
	return 0
}
