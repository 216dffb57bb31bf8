package blk

import (
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

// ErrLargeBlocks: file systems and the kernel work in blocks of a page at most.
const ErrLargeBlocks = virtio.Error("virtio-blk: the block size is more than 4096; set logical_block_size=4096 or less")

// Disk is a Device as the kernel knows disks (block.Device of kernel/fs/block): its calls
// block, and their errors are those of system calls. Any number of goroutines
// may use it.
type Disk struct {
	dev *Device
	opt DiskOptions

	mu   sync.Mutex
	lost [][][]byte // buffers that the device may write to for ever
}

// DiskOptions are what a Disk needs of its machine. Each may be nil.
type DiskOptions struct {
	// Waiting counts the goroutines that wait for the device.
	Waiting func(delta int)
	// Touch makes a buffer resident that the device is to write to, and faults
	// if it may not be written.
	Touch func(p []byte)
}

// NewDisk makes a disk of a device at work.
func NewDisk(dev *Device, opt DiskOptions) (*Disk, error) {
	if dev.info.BlockSize > virtio.PageSize {
		return nil, ErrLargeBlocks
	}
	if opt.Waiting == nil {
		opt.Waiting = func(int) {}
	}
	if opt.Touch == nil {
		opt.Touch = func([]byte) {}
	}
	return &Disk{dev: dev, opt: opt}, nil
}

// Device returns the device below.
func (d *Disk) Device() *Device { return d.dev }

// Size is the capacity in bytes, which can grow.
func (d *Disk) Size() int64 { return d.dev.capacity.Load() }

// BlockSize is the logical block size.
func (d *Disk) BlockSize() int { return d.dev.info.BlockSize }

// PhysicalBlock is the block below which a write makes the device read first.
func (d *Disk) PhysicalBlock() int { return d.dev.info.PhysicalBlock }

// ReadOnly reports whether the device refuses writes.
func (d *Disk) ReadOnly() bool { return d.dev.info.ReadOnly }

// ReadAt fills bufs, one after the other, from offset off.
func (d *Disk) ReadAt(bufs [][]byte, off int64) syscall.Errno {
	for _, b := range bufs {
		d.opt.Touch(b)
	}
	return d.do(Request{Op: Read, Offset: off, Buffers: bufs})
}

// WriteAt writes bufs, one after the other, at offset off.
func (d *Disk) WriteAt(bufs [][]byte, off int64) syscall.Errno {
	return d.do(Request{Op: Write, Offset: off, Buffers: bufs})
}

// WriteAll carries out n writes, which write returns, and waits for all.
func (d *Disk) WriteAll(n int, write func(i int) (bufs [][]byte, off int64)) syscall.Errno {
	list := make([]Request, n)
	for i := range list {
		bufs, off := write(i)
		list[i] = Request{Op: Write, Offset: off, Buffers: bufs}
	}
	d.opt.Waiting(1)
	err := d.dev.doAll(list)
	d.opt.Waiting(-1)
	return errnoOf(err)
}

// Flush makes durable what was written before.
func (d *Disk) Flush() syscall.Errno { return d.do(Request{Op: Flush}) }

// Discard says that a range is not needed.
func (d *Disk) Discard(off, n int64) syscall.Errno {
	return d.do(Request{Op: Discard, Offset: off, Length: n})
}

// WriteZeroes makes a range read as zeroes; the device may free its space.
func (d *Disk) WriteZeroes(off, n int64) syscall.Errno {
	return d.do(Request{Op: WriteZeroes, Offset: off, Length: n, Unmap: true})
}

func (d *Disk) do(r Request) syscall.Errno {
	d.opt.Waiting(1)
	err := d.dev.do(r)
	d.opt.Waiting(-1)
	if err == virtio.ErrReset && r.Op == Read {
		d.mu.Lock()
		d.lost = append(d.lost, r.Buffers)
		d.mu.Unlock()
	}
	return errnoOf(err)
}

// errnoOf returns the error of a system call that stands for err. A device that
// has ended is EIO, as one that reports an error.
func errnoOf(err error) syscall.Errno {
	switch err {
	case nil:
		return 0
	case ErrReadOnly:
		return syscall.EROFS
	case ErrUnsupported:
		return syscall.EOPNOTSUPP
	case ErrAlign, ErrRange, ErrOp, ErrPieces:
		return syscall.EINVAL
	}
	return syscall.EIO
}
