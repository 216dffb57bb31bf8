package tun

import (
	"bytes"
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// Flags of TUNSETIFF and TUNGETIFF, linux/if_tun.h.
const (
	flagTun       = 0x0001 // IFF_TUN
	flagTap       = 0x0002 // IFF_TAP
	flagPersist   = 0x0800 // IFF_PERSIST, of TUNGETIFF
	flagNoPI      = 0x1000 // IFF_NO_PI
	flagOneQueue  = 0x2000 // IFF_ONE_QUEUE: means nothing, on Linux since 3.8
	flagHeader    = 0x4000 // IFF_VNET_HDR
	flagExclusive = 0x8000 // IFF_TUN_EXCL
	features      = flagTun | flagTap | flagNoPI | flagOneQueue | flagHeader
	acceptedFlags = features | flagExclusive
)

// Requests, linux/if_tun.h and linux/sockios.h.
const (
	setNoChecksum = 0x400454c8 // TUNSETNOCSUM
	setInterface  = 0x400454ca // TUNSETIFF
	setPersist    = 0x400454cb // TUNSETPERSIST
	setOwner      = 0x400454cc // TUNSETOWNER
	setLinkType   = 0x400454cd // TUNSETLINK
	setGroup      = 0x400454ce // TUNSETGROUP
	getFeatures   = 0x800454cf // TUNGETFEATURES
	setOffload    = 0x400454d0 // TUNSETOFFLOAD
	getInterface  = 0x800454d2 // TUNGETIFF
	getSendBuffer = 0x800454d3 // TUNGETSNDBUF
	setSendBuffer = 0x400454d4 // TUNSETSNDBUF
	getHeaderSize = 0x800454d7 // TUNGETVNETHDRSZ
	setHeaderSize = 0x400454d8 // TUNSETVNETHDRSZ
	setLittle     = 0x400454dc // TUNSETVNETLE
	getLittle     = 0x800454dd // TUNGETVNETLE
	setCarrier    = 0x400454e2 // TUNSETCARRIER
	getAddress    = 0x8927     // SIOCGIFHWADDR
	setAddress    = 0x8924     // SIOCSIFHWADDR
)

// Bits of TUNSETOFFLOAD. TUN_F_UFO, TUN_F_USO4 and TUN_F_USO6 are refused, as by Linux from 4.14 to 6.1.
const (
	offloadChecksum = 0x01 // TUN_F_CSUM
	offloadTSO4     = 0x02 // TUN_F_TSO4
	offloadTSO6     = 0x04 // TUN_F_TSO6
	offloadECN      = 0x08 // TUN_F_TSO_ECN
	offloads        = offloadChecksum | offloadTSO4 | offloadTSO6 | offloadECN
)

const (
	ifreqSize = 40 // bytes of struct ifreq: a name, and a union
	nameSize  = 16
	nobody    = 1<<32 - 1 // INVALID_UID
)

// Ioctl implements kernel.Ioctler.
func (f *File) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	switch req {
	case setInterface:
		return 0, f.setInterface(&a)
	case getFeatures:
		return 0, put32(&a, features)
	}
	dev, e := f.card()
	if e != 0 {
		return 0, e
	}
	switch req {
	case getInterface:
		return 0, dev.getInterface(&a)
	case getAddress, setAddress:
		return 0, dev.hardwareAddress(&a, req == setAddress)
	case setLinkType:
		return 0, dev.setLinkType(uint16(a.N[2]))
	case setOffload:
		return 0, dev.setOffload(uint32(a.N[2]))
	case setCarrier:
		on, e := get32(&a)
		if e == 0 {
			dev.port.SetCarrier(on != 0)
		}
		return 0, e
	}
	return 0, dev.option(req, &a)
}

// option serves requests about one number of the card.
func (dev *device) option(req uintptr, a *kernel.Args) syscall.Errno {
	dev.mu.Lock()
	defer dev.mu.Unlock()
	switch req {
	case setNoChecksum: // "[unimplemented]" on Linux: no effect
	case setPersist:
		dev.options &^= flagPersist
		if a.N[2] != 0 {
			dev.options |= flagPersist
		}
	case setOwner:
		dev.owner = uint32(a.N[2])
	case setGroup:
		dev.group = uint32(a.N[2])
	case getSendBuffer:
		return put32(a, uint32(dev.sendBuffer))
	case setSendBuffer:
		return dev.setSendBuffer(a)
	case getHeaderSize:
		return put32(a, uint32(dev.headerSize))
	case setHeaderSize:
		return dev.setHeaderSize(a)
	case getLittle: // the CPU's order is this one, whatever is asked for
		return put32(a, dev.little)
	case setLittle:
		v, e := get32(a)
		if e == 0 {
			dev.little = min(v, 1)
		}
		return e
	default:
		return syscall.EINVAL
	}
	return 0
}

func get32(a *kernel.Args) (uint32, syscall.Errno) {
	b, e := a.Bytes(2, 4)
	if e != 0 {
		return 0, e
	}
	return binary.NativeEndian.Uint32(b), 0
}

func put32(a *kernel.Args, v uint32) syscall.Errno {
	b, e := a.Bytes(2, 4)
	if e == 0 {
		binary.NativeEndian.PutUint32(b, v)
	}
	return e
}

// setInterface is TUNSETIFF: a name and flags in a struct ifreq, which gets the card's name.
func (f *File) setInterface(a *kernel.Args) syscall.Errno {
	r, e := a.Bytes(2, ifreqSize)
	if e != 0 {
		return e
	}
	r[nameSize-1] = 0
	name, _, _ := bytes.Cut(r[:nameSize], []byte{0})
	got, e := f.attach(string(name), binary.NativeEndian.Uint16(r[nameSize:]))
	if e == 0 {
		putName(r, got)
	}
	return e
}

func putName(r []byte, name string) {
	clear(r[:nameSize])
	copy(r, name)
}

// getInterface is TUNGETIFF.
func (dev *device) getInterface(a *kernel.Args) syscall.Errno {
	r, e := a.Bytes(2, ifreqSize)
	if e != 0 {
		return e
	}
	putName(r, dev.port.Name())
	dev.mu.Lock()
	defer dev.mu.Unlock()
	binary.NativeEndian.PutUint16(r[nameSize:], dev.kind|dev.options)
	return 0
}

// setSendBuffer is TUNSETSNDBUF. What a program writes has reached its end when write(2) returns, so
// that it is always below the limit.
func (dev *device) setSendBuffer(a *kernel.Args) syscall.Errno {
	v, e := get32(a)
	switch {
	case e != 0:
		return e
	case int32(v) <= 0:
		return syscall.EINVAL
	}
	dev.sendBuffer = int32(v)
	return 0
}

// setHeaderSize is TUNSETVNETHDRSZ.
func (dev *device) setHeaderSize(a *kernel.Args) syscall.Errno {
	v, e := get32(a)
	switch {
	case e != 0:
		return e
	case int32(v) < shortHeader || int32(v) > longestHeader:
		return syscall.EINVAL
	}
	dev.headerSize = int(v)
	return 0
}

// setLinkType is TUNSETLINK: the card's type is that of its frames, and no other can be claimed.
func (dev *device) setLinkType(v uint16) syscall.Errno {
	kind := uint16(syscall.ARPHRD_NONE)
	if dev.kind == flagTap {
		kind = syscall.ARPHRD_ETHER
	}
	switch {
	case dev.port.Up():
		return syscall.EBUSY
	case v != kind:
		return syscall.EINVAL
	}
	return 0
}

// setOffload is TUNSETOFFLOAD: what the program takes. Segments of TCP are asked for in both families
// or not at all, since connections of the stack ask the card and not the family.
func (dev *device) setOffload(v uint32) syscall.Errno {
	if v&^offloads != 0 || v&^offloadChecksum != 0 && v&offloadChecksum == 0 || v&offloadECN != 0 && v&(offloadTSO4|offloadTSO6) == 0 {
		return syscall.EINVAL
	}
	dev.mu.Lock()
	dev.offload = v
	both := v&offloadTSO4 != 0 && v&offloadTSO6 != 0 && dev.options&flagHeader != 0
	dev.mu.Unlock()
	dev.port.SetSegments(both)
	return 0
}

// hardwareAddress is SIOCGIFHWADDR and SIOCSIFHWADDR: a name, and a sockaddr with the address.
func (dev *device) hardwareAddress(a *kernel.Args, set bool) syscall.Errno {
	r, e := a.Bytes(2, ifreqSize)
	if e != 0 {
		return e
	}
	kind := uint16(syscall.ARPHRD_NONE)
	if dev.kind == flagTap {
		kind = syscall.ARPHRD_ETHER
	}
	sockaddr := r[nameSize:]
	if !set {
		putName(r, dev.port.Name())
		clear(sockaddr[:16])
		binary.NativeEndian.PutUint16(sockaddr, kind)
		copy(sockaddr[2:], dev.port.LinkAddress())
		return 0
	}
	mac := [6]byte(sockaddr[2:8])
	switch {
	case dev.kind != flagTap:
		return syscall.EOPNOTSUPP
	case binary.NativeEndian.Uint16(sockaddr) != kind:
		return syscall.EINVAL
	case mac[0]&1 != 0 || mac == [6]byte{}:
		return syscall.EADDRNOTAVAIL // eth_mac_addr
	}
	dev.port.SetAddress(mac)
	return 0
}
