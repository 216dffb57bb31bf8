package main

import (
	"syscall"
	"unsafe"
)

// address is a struct ifreq with an address in it, flags one with flags.
type (
	address struct {
		name [16]byte
		addr syscall.RawSockaddrInet4
		_    [8]byte
	}
	flags struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
)

func ioctl(fd int, req uintptr, p unsafe.Pointer) error {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), req, uintptr(p)); e != 0 {
		return e
	}
	return nil
}

func setAddress(fd int, name string, req uintptr, ip [4]byte) error {
	r := address{addr: syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: ip}}
	copy(r.name[:], name)
	return ioctl(fd, req, unsafe.Pointer(&r))
}

func up(fd int, name string) error {
	r := flags{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(r.name[:], name)
	return ioctl(fd, syscall.SIOCSIFFLAGS, unsafe.Pointer(&r))
}
