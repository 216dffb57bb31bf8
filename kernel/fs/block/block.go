// Package block defines what a disk is to the file systems above it. It is implemented by
// the driver of virtio devices, by files of the host, and by disks for tests that record,
// tear or fail.
package block

import "syscall"

// Device is a disk. Any number of goroutines may use it. Offsets and lengths are in bytes and
// multiples of BlockSize. Single buffers may have any length: only their sum counts. Buffers
// must not lie on a goroutine's stack.
//
// Calls block until the device has answered. A completed write is visible to every later
// read. It survives a power cut only if a Flush that began after it has returned without an
// error. Writes not covered by a flush may be kept, lost or torn between blocks, in any
// order.
//
// Errors: EIO, EROFS, EINVAL (alignment, range), EOPNOTSUPP (Discard, WriteZeroes).
type Device interface {
	// Size is the capacity in bytes, a multiple of BlockSize.
	Size() int64
	// BlockSize is the size of a logical block: a power of two from 512 to 4096. A block is
	// written as a whole or not at all.
	BlockSize() int
	ReadOnly() bool
	// ReadAt fills bufs, one after the other, from offset off.
	ReadAt(bufs [][]byte, off int64) syscall.Errno
	// WriteAt writes bufs, one after the other, at offset off.
	WriteAt(bufs [][]byte, off int64) syscall.Errno
	// Flush makes every write durable that has returned before.
	Flush() syscall.Errno
	// Discard says that a range is not needed: reads of it may return anything.
	Discard(off, n int64) syscall.Errno
	// WriteZeroes makes a range read as zeroes.
	WriteZeroes(off, n int64) syscall.Errno
}

// Write is the argument of one WriteAt.
type Write struct {
	Bufs [][]byte
	Off  int64
}

// Len is the number of bytes.
func (w Write) Len() (n int64) {
	for _, b := range w.Bufs {
		n += int64(len(b))
	}
	return n
}

// Batcher is a Device that can have many writes under way at once.
type Batcher interface {
	// WriteAll carries out n writes that do not overlap, in any order; write returns the
	// i-th. All are tried; the error is that of any of them.
	WriteAll(n int, write func(i int) (bufs [][]byte, off int64)) syscall.Errno
}

// WriteAll writes a list, whose writes do not overlap, to a device. All are tried; the error
// is that of any of them.
func WriteAll(d Device, list []Write) (first syscall.Errno) {
	if len(list) == 1 {
		return d.WriteAt(list[0].Bufs, list[0].Off)
	}
	if b, ok := d.(Batcher); ok && len(list) > 0 {
		return b.WriteAll(len(list), func(i int) ([][]byte, int64) { return list[i].Bufs, list[i].Off })
	}
	for _, w := range list {
		if e := d.WriteAt(w.Bufs, w.Off); e != 0 && first == 0 {
			first = e
		}
	}
	return first
}
