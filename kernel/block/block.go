// Package block says what a disk is to the file systems above it. The driver of
// virtio devices, files of the host and the disks of tests that record, tear or
// fail implement it.
package block

import "syscall"

// Device is a disk. Any number of goroutines may use it. Offsets and lengths are
// in bytes and multiples of BlockSize; lengths of single buffers are free, only
// their sum counts. Buffers must not lie on a goroutine's stack.
//
// Calls block until the device has answered. A write that has returned is seen by
// every later read, but survives a power cut only if a Flush that began after it
// has returned without an error. Writes not covered by a flush may be kept,
// lost or torn between blocks, in any order.
//
// Errors: EIO, EROFS, EINVAL (alignment, range), EOPNOTSUPP (Discard, WriteZeroes).
type Device interface {
	// Size is the capacity in bytes, a multiple of BlockSize.
	Size() int64
	// BlockSize is the logical block: a power of two from 512 to 4096. One block is
	// written whole or not at all.
	BlockSize() int
	ReadOnly() bool
	// ReadAt fills bufs, one after the other, from offset off.
	ReadAt(bufs [][]byte, off int64) syscall.Errno
	// WriteAt writes bufs, one after the other, at offset off.
	WriteAt(bufs [][]byte, off int64) syscall.Errno
	// Flush makes durable what was written before.
	Flush() syscall.Errno
	// Discard says that a range is not needed: reads of it return anything.
	Discard(off, n int64) syscall.Errno
	// WriteZeroes makes a range read as zeroes.
	WriteZeroes(off, n int64) syscall.Errno
}
