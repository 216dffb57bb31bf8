package netstack

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// AllowIoctls has ioctl(2) of sockets change the network: netdevice(7). Most programs carry nothing for
// that.
func AllowIoctls(s *Stack) { s.setByIoctl = s.ioctlChange }

// ioctlChange serves the requests that change interfaces, addresses and routes; others are EPERM.
func (s *Stack) ioctlChange(req uintptr, a *kernel.Args) syscall.Errno {
	switch req {
	case syscall.SIOCADDRT, syscall.SIOCDELRT, syscall.SIOCSARP, syscall.SIOCDARP:
		return syscall.EPERM // their structures have pointers; programs have netlink for these
	}
	r, e := a.Bytes(2, ifreqSize)
	if e != 0 {
		return e
	}
	name, union := cString(r[:ifNameSize]), r[ifNameSize:]
	for _, i := range s.Interfaces() {
		if i.Name == name {
			return s.setIfreq(req, union, &i)
		}
	}
	return syscall.ENODEV
}

// setIfreq changes an interface as the union of a struct ifreq says.
func (s *Stack) setIfreq(req uintptr, union []byte, i *InterfaceInfo) syscall.Errno {
	switch req {
	case syscall.SIOCSIFFLAGS:
		return s.setFlags(i, binary.NativeEndian.Uint16(union))
	case syscall.SIOCSIFMTU:
		return s.SetMTU(i.Index, int(int32(binary.NativeEndian.Uint32(union))))
	case syscall.SIOCSIFNAME:
		return s.Rename(i.Index, cString(union[:ifNameSize]))
	case syscall.SIOCSIFADDR, syscall.SIOCSIFNETMASK, syscall.SIOCSIFBRDADDR:
		if binary.NativeEndian.Uint16(union) != syscall.AF_INET {
			return syscall.EINVAL
		}
		return s.setInet(req, netip.AddrFrom4([4]byte(union[4:8])), i)
	case siocSIfTxQLen:
		if int(int32(binary.NativeEndian.Uint32(union))) != i.QueueLength {
			return syscall.EOPNOTSUPP
		}
		return 0
	}
	return syscall.EPERM
}

// setFlags is SIOCSIFFLAGS: IFF_UP can be changed.
func (s *Stack) setFlags(i *InterfaceInfo, flags uint16) syscall.Errno {
	const others = syscall.IFF_PROMISC | syscall.IFF_ALLMULTI | syscall.IFF_NOARP
	if (uint32(flags)^i.Flags)&others&^(i.Flags&syscall.IFF_NOARP) != 0 {
		return syscall.EOPNOTSUPP
	}
	return s.SetUp(i.Index, flags&syscall.IFF_UP != 0)
}

// setInet is SIOCSIFADDR, SIOCSIFNETMASK and SIOCSIFBRDADDR: the first IPv4 address of an interface
// (devinet_ioctl of Linux).
func (s *Stack) setInet(req uintptr, v netip.Addr, i *InterfaceInfo) syscall.Errno {
	var old *InterfaceAddr
	for n := range i.Addrs {
		if i.Addrs[n].Addr.Is4() {
			old = &i.Addrs[n]
			break
		}
	}
	switch {
	case req == syscall.SIOCSIFADDR:
		return s.setFirst(i, old, v)
	case old == nil:
		return syscall.EADDRNOTAVAIL
	case req == syscall.SIOCSIFNETMASK:
		return s.setMask(i, old, v)
	}
	last := broadcastOf(*old)
	if v != last {
		return syscall.EOPNOTSUPP // gVisor knows only this one
	}
	return 0
}

// setFirst is SIOCSIFADDR: the prefix is that of the address's class (inet_abc_len), and 0.0.0.0 removes
// the address.
func (s *Stack) setFirst(i *InterfaceInfo, old *InterfaceAddr, v netip.Addr) syscall.Errno {
	bits, ok := classOf(v)
	if !ok {
		return syscall.EINVAL
	}
	if old != nil {
		if old.Addr == v {
			return 0
		}
		if e := s.RemoveAddress(i.Index, old.Addr, old.Bits); e != 0 {
			return e
		}
	}
	if v.IsUnspecified() {
		return 0
	}
	if i.Flags&syscall.IFF_POINTOPOINT != 0 {
		bits = 32
	}
	if e := s.AddAddress(i.Index, netip.PrefixFrom(v, bits), AddressOptions{}); e != 0 {
		return e
	}
	return s.SetUp(i.Index, true)
}

// classOf returns the length of an address's network by its class; false if it has none.
func classOf(a netip.Addr) (bits int, ok bool) {
	switch first := a.As4()[0]; {
	case a.IsUnspecified():
		return 0, true
	case first < 128:
		return 8, true
	case first < 192:
		return 16, true
	case first < 224:
		return 24, true
	}
	return 0, false
}

// setMask is SIOCSIFNETMASK.
func (s *Stack) setMask(i *InterfaceInfo, old *InterfaceAddr, v netip.Addr) syscall.Errno {
	b := v.As4()
	mask := binary.BigEndian.Uint32(b[:])
	if inverse := ^mask; inverse&(inverse+1) != 0 {
		return syscall.EINVAL
	}
	bits := 0
	for m := mask; m != 0; m <<= 1 {
		bits++
	}
	if bits == old.Bits {
		return 0
	}
	if e := s.RemoveAddress(i.Index, old.Addr, old.Bits); e != 0 {
		return e
	}
	return s.AddAddress(i.Index, netip.PrefixFrom(old.Addr, bits), AddressOptions{})
}

// broadcastOf returns the last address of an address's network.
func broadcastOf(a InterfaceAddr) netip.Addr {
	b := a.Addr.As4()
	last := binary.BigEndian.Uint32(b[:]) | uint32(uint64(0xffffffff)>>a.Bits)
	binary.BigEndian.PutUint32(b[:], last)
	return netip.AddrFrom4(b)
}
