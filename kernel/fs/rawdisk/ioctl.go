package rawdisk

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// These are requests of ioctl(2) for disks (linux/fs.h).
const (
	blkROGet      = 0x125e     // int: read-only
	blkGetSize    = 0x1260     // unsigned long: sectors of 512 bytes
	blkFlush      = 0x1261     // write back and drop the cache
	blkSectorSize = 0x1268     // int: size of a logical block
	blkDiscard    = 0x1277     // uint64[2]: offset and length
	blkIOMin      = 0x1278     // unsigned int
	blkIOOpt      = 0x1279     // unsigned int
	blkPhysical   = 0x127b     // unsigned int
	blkZeroOut    = 0x127f     // uint64[2]: offset and length
	blkBlockSize  = 0x80081270 // int: size of a block of the cache
	blkGetSize64  = 0x80081272 // uint64: bytes
)

// physical is implemented by devices that report the size of their physical blocks.
type physical interface{ PhysicalBlock() int }

// Ioctl is ioctl(2).
func (f *file) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	block := uint64(f.dev.BlockSize())
	switch req {
	case blkROGet:
		v := uint64(0)
		if f.dev.ReadOnly() {
			v = 1
		}
		return 0, put(&a, 4, v)
	case blkGetSize:
		return 0, put(&a, 8, uint64(f.dev.Size())/512)
	case blkGetSize64:
		return 0, put(&a, 8, uint64(f.dev.Size()))
	case blkSectorSize:
		return 0, put(&a, 4, block)
	case blkPhysical, blkIOMin:
		if p, ok := f.dev.(physical); ok {
			block = uint64(p.PhysicalBlock())
		}
		return 0, put(&a, 4, block)
	case blkIOOpt:
		return 0, put(&a, 4, 0)
	case blkBlockSize:
		return 0, put(&a, 4, 4096)
	case blkFlush:
		return 0, f.dev.Flush()
	case blkDiscard, blkZeroOut:
		b, e := a.Bytes(2, 16)
		if e != 0 {
			return 0, e
		}
		off, n := int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:]))
		if req == blkZeroOut {
			return 0, f.zero(off, n)
		}
		if e := f.checkRange(off, n); e != 0 {
			return 0, e
		}
		return 0, f.dev.Discard(off, n)
	}
	return 0, syscall.ENOTTY
}

// put stores v in the size bytes that argument 2 points to.
func put(a *kernel.Args, size int, v uint64) syscall.Errno {
	b, e := a.Bytes(2, size)
	if e != 0 {
		return e
	}
	if size == 4 {
		binary.NativeEndian.PutUint32(b, uint32(v))
	} else {
		binary.NativeEndian.PutUint64(b, v)
	}
	return 0
}
