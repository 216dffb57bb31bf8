package netstack

import (
	"math/rand/v2"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// This file has bind(2), and the options that change which address and port it takes.

// Bind implements kernel.Socket.
func (k *socket) Bind(addr []byte) syscall.Errno {
	family, ok := sockaddrFamily(addr)
	if ok && family == syscall.AF_UNSPEC && k.family == syscall.AF_INET && len(addr) >= sockaddrInLen {
		// ip(7) does not say so, but bind(2) accepts AF_UNSPEC for AF_INET with the wildcard
		// address.
		if [4]byte(addr[4:8]) != [4]byte{} {
			return syscall.EAFNOSUPPORT
		}
		addr = append([]byte{syscall.AF_INET, 0}, addr[2:sockaddrInLen]...)
	}
	a, e := decodeSockaddr(k.family, addr)
	if e != 0 {
		return e
	}
	if hasScope(a.Addr) && a.NIC == 0 {
		return syscall.EINVAL
	}
	if header.IsV4MappedAddress(a.Addr) && k.ep().SocketOptions().GetV6Only() {
		return syscall.EINVAL
	}
	if e := k.bind(a); e != 0 {
		return e
	}
	switch { // inet6_bind in Linux's net/ipv6/af_inet6.c
	case k.family != syscall.AF_INET6 || a.Addr.Len() == 0:
	case header.IsV4MappedAddress(a.Addr):
		k.setFeature(boundToFour, 1)
	default:
		k.ep().SocketOptions().SetV6Only(true)
	}
	return 0
}

func (k *socket) bind(a tcpip.FullAddress) syscall.Errno {
	switch {
	case k.kind()&(streams|udps) == 0 || a.Port != 0:
	case k.kept(optionKey{syscall.IPPROTO_IP, ipBindNoPort}, 0) != 0:
		return k.bindLater(a)
	case k.ports.Load() != 0:
		return k.bindInRange(a)
	}
	if e := errnoOf(k.ep().Bind(a)); e != 0 {
		return e
	}
	k.late.Store(nil)
	k.given.Store(&a)
	return 0
}

// bindLater is bind(2) without a port and with IP_BIND_ADDRESS_NO_PORT: the port is chosen when the
// socket connects, sends or listens (completeBind).
func (k *socket) bindLater(a tcpip.FullAddress) syscall.Errno {
	if k.bound() {
		return syscall.EINVAL
	}
	if a.Addr.Len() != 0 && !k.isLocal(a) && !k.has(freebind|transparent) {
		return syscall.EADDRNOTAVAIL
	}
	k.late.Store(&a)
	return k.setFeature(bindPending, 1)
}

// isLocal reports whether a socket can be bound to an address: one of the machine's own, or one of
// many receivers.
func (k *socket) isLocal(a tcpip.FullAddress) bool {
	net := ipv4.ProtocolNumber
	if a.Addr.Len() == header.IPv6AddressSize {
		net = ipv6.ProtocolNumber
	}
	return a.Addr == header.IPv4Broadcast || header.IsV4MulticastAddress(a.Addr) || header.IsV6MulticastAddress(a.Addr) ||
		k.stack.stack.CheckLocalAddress(a.NIC, net, a.Addr) != 0 || k.stack.stack.IsSubnetBroadcast(a.NIC, net, a.Addr)
}

// completeBind binds a socket that has an address without a port, or that may only have certain ports,
// before it needs one.
func (k *socket) completeBind() syscall.Errno {
	if !k.has(bindPending) {
		return 0
	}
	k.setFeature(bindPending, 0)
	a := k.late.Swap(nil)
	switch {
	case a == nil && k.bound():
		return 0
	case a == nil:
		a = new(tcpip.FullAddress)
	}
	if k.ports.Load() != 0 {
		return k.bindInRange(*a)
	}
	return errnoOf(k.ep().Bind(*a))
}

// bindInRange binds to a free port of IP_LOCAL_PORT_RANGE, whose ends count as far as they lie in
// the system's range.
func (k *socket) bindInRange(a tcpip.FullAddress) syscall.Errno {
	low, high := firstEphemeral, lastEphemeral
	r := k.ports.Load()
	if v := int(uint16(r)); v >= low && v <= high {
		low = v
	}
	if v := int(uint16(r >> 16)); v >= low && v <= high {
		high = v
	}
	n := high - low + 1
	for i, at := 0, rand.IntN(n); i < n; i++ {
		a.Port = uint16(low + (at+i)%n)
		err := k.ep().Bind(a)
		if _, taken := err.(*tcpip.ErrPortInUse); !taken {
			return errnoOf(err)
		}
	}
	return syscall.EADDRINUSE
}

// setForeign is IP_FREEBIND or IP_TRANSPARENT: the socket may be bound to an address that the
// machine does not have, or not yet (options.go of the images' copy).
func (k *socket) setForeign(feature uint32, v int) syscall.Errno {
	so, ok := any(k.ep().SocketOptions()).(interface{ SetForeign(bool) })
	if !ok {
		return syscall.ENOPROTOOPT
	}
	k.setFeature(feature, v)
	so.SetForeign(k.has(freebind | transparent))
	return 0
}

func (k *socket) foreign(feature uint32) (int, syscall.Errno) { return k.feature(feature) }

// LocalAddr implements kernel.Socket.
func (k *socket) LocalAddr(dst []byte) (int, syscall.Errno) {
	if a := k.late.Load(); a != nil {
		return encodeSockaddr(k.family, *a, dst), 0
	}
	a, err := k.ep().GetLocalAddress()
	if err != nil {
		return 0, errnoOf(err)
	}
	if a.Addr.Len() == 0 && k.has(boundToFour) {
		a.Addr = mappedAny
	}
	return encodeSockaddr(k.family, a, dst), 0
}
