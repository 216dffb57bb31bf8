package solsocket

import (
	"bytes"
	"syscall"
)

// ifNameSize is IFNAMSIZ, linux/if.h.
const ifNameSize = 16

// DeviceIndex returns the index of the interface that a value of SO_BINDTODEVICE names, NUL-terminated or not, 0 for
// no name; ENODEV if interfaces, names by index, has none.
func DeviceIndex(val []byte, interfaces map[int]string) (int, syscall.Errno) {
	name := val[:min(len(val), ifNameSize-1)]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	if len(name) == 0 {
		return 0, 0
	}
	for i, n := range interfaces {
		if n == string(name) {
			return i, 0
		}
	}
	return 0, syscall.ENODEV
}

// GetDevice is SO_BINDTODEVICE read: the name of Device among interfaces, of no bytes if it is 0.
func (o *Options) GetDevice(dst []byte, interfaces map[int]string) (int, syscall.Errno) {
	if o.Device == 0 {
		return 0, 0
	}
	if len(dst) < ifNameSize {
		return 0, syscall.EINVAL
	}
	name, ok := interfaces[o.Device]
	if !ok {
		return 0, syscall.ENODEV
	}
	return copy(dst, name+"\x00"), 0
}
