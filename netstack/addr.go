package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// These are sizes of the socket addresses of ip(7) and ipv6(7). Linux accepts a sockaddr_in6
// without its scope id (RFC 2133).
const (
	sockaddrInLen     = 16
	sockaddrIn6Len    = 28
	sockaddrIn6MinLen = 24
)

// sockaddrFamily returns sa_family, or AF_UNSPEC with ok false if b is short.
func sockaddrFamily(b []byte) (family int, ok bool) {
	if len(b) < 2 {
		return syscall.AF_UNSPEC, false
	}
	return int(binary.NativeEndian.Uint16(b)), true
}

// decodeSockaddr reads a socket address for a socket of the family. The wildcard address
// becomes the empty one, which is what gVisor expects.
func decodeSockaddr(family int, b []byte) (tcpip.FullAddress, syscall.Errno) {
	got, ok := sockaddrFamily(b)
	if !ok {
		return tcpip.FullAddress{}, syscall.EINVAL
	}
	if family == syscall.AF_INET {
		return decodeInet4(got, b)
	}
	return decodeInet6(got, b)
}

func decodeInet4(got int, b []byte) (tcpip.FullAddress, syscall.Errno) {
	if len(b) < sockaddrInLen {
		return tcpip.FullAddress{}, syscall.EINVAL
	}
	if got != syscall.AF_INET {
		return tcpip.FullAddress{}, syscall.EAFNOSUPPORT
	}
	a := tcpip.FullAddress{Port: binary.BigEndian.Uint16(b[2:])}
	if ip := [4]byte(b[4:8]); ip != [4]byte{} {
		a.Addr = tcpip.AddrFrom4(ip)
	}
	return a, 0
}

func decodeInet6(got int, b []byte) (tcpip.FullAddress, syscall.Errno) {
	if got != syscall.AF_INET6 {
		return tcpip.FullAddress{}, syscall.EAFNOSUPPORT
	}
	if len(b) < sockaddrIn6MinLen {
		return tcpip.FullAddress{}, syscall.EINVAL
	}
	a := tcpip.FullAddress{Port: binary.BigEndian.Uint16(b[2:])}
	if ip := [16]byte(b[8:24]); ip != [16]byte{} {
		a.Addr = tcpip.AddrFrom16(ip)
	}
	if len(b) >= sockaddrIn6Len && hasScope(a.Addr) {
		a.NIC = tcpip.NICID(int32(binary.NativeEndian.Uint32(b[24:])))
	}
	return a, 0
}

// hasScope reports whether an address is only unique on one link (RFC 4007 §6), so that its
// scope id matters.
func hasScope(a tcpip.Address) bool {
	return header.IsV6LinkLocalUnicastAddress(a) || header.IsV6LinkLocalMulticastAddress(a) || isInterfaceLocal(a)
}

// isInterfaceLocal reports whether a is a group of one interface (RFC 4291 §2.7, scope 1).
func isInterfaceLocal(a tcpip.Address) bool {
	if !header.IsV6MulticastAddress(a) {
		return false
	}
	b := a.As16()
	return b[1]&0xf == 1
}

// encodeSockaddr writes a as a socket of the family sees it and returns the length. dst must
// have at least sockaddrIn6Len bytes.
func encodeSockaddr(family int, a tcpip.FullAddress, dst []byte) int {
	if family == syscall.AF_INET {
		clear(dst[:sockaddrInLen])
		binary.NativeEndian.PutUint16(dst, syscall.AF_INET)
		binary.BigEndian.PutUint16(dst[2:], a.Port)
		copy(dst[4:8], a.Addr.AsSlice())
		return sockaddrInLen
	}
	clear(dst[:sockaddrIn6Len])
	binary.NativeEndian.PutUint16(dst, syscall.AF_INET6)
	binary.BigEndian.PutUint16(dst[2:], a.Port)
	putAddr16(dst[8:24], a.Addr)
	if hasScope(a.Addr) {
		binary.NativeEndian.PutUint32(dst[24:], uint32(a.NIC))
	}
	return sockaddrIn6Len
}

// putAddr16 writes an address in 16 bytes; an IPv4 address as ::ffff:a.b.c.d.
func putAddr16(dst []byte, a tcpip.Address) {
	if a.Len() == header.IPv4AddressSize {
		dst[10], dst[11] = 0xff, 0xff
		copy(dst[12:16], a.AsSlice())
		return
	}
	copy(dst, a.AsSlice())
}
