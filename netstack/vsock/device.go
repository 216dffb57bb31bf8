package vsock

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// device is /dev/vsock, which tells the machine's CID.
type device struct {
	kernel.Always
	node kernel.Inode
}

const getLocalCID = 0x7b9 // IOCTL_VM_SOCKETS_GET_LOCAL_CID of linux/vm_sockets.h

// Open opens /dev/vsock.
func Open(node kernel.Inode, _ int) (kernel.File, syscall.Errno) { return &device{node: node}, 0 }

// Ioctl implements kernel.Ioctler.
func (d *device) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	if req != getLocalCID {
		return 0, syscall.ENOTTY // -ENOIOCTLCMD
	}
	b, e := a.Bytes(2, 4)
	if e != 0 {
		return 0, e
	}
	binary.NativeEndian.PutUint32(b, localCID)
	return 0, 0
}

func (d *device) Stat(st *syscall.Stat_t) syscall.Errno    { return d.node.Stat(st) }
func (d *device) Read([]byte, int64) (int, syscall.Errno)  { return 0, syscall.EINVAL }
func (d *device) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EINVAL }
func (d *device) Release()                                 {}
