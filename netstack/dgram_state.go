package netstack

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport"

	"github.com/yolk-unikernel/yolk/kernel"
)

// This file has what a socket of datagrams remembers beside the state of gVisor's endpoint: its peer,
// the port that it has of itself, and which directions are shut down.

// isConnected reports whether the socket has a peer.
func (k *datagramSocket) isConnected() bool {
	return transport.DatagramEndpointState(k.ep().State()) == transport.DatagramEndpointStateConnected
}

// Shutdown implements kernel.Socket. Datagrams still arrive; a reader that would wait gets an end
// (inet_shutdown in Linux's net/ipv4/af_inet.c does no more). gVisor's would drop them, so it is not
// told.
func (k *datagramSocket) Shutdown(how int) syscall.Errno {
	if _, e := k.noteShutdown(how); e != 0 {
		return e
	}
	if k.shut.Load()&shutWrite != 0 {
		k.setFeature(closedForSend, 1)
	}
	k.queue.Notify(kernel.EventIn | kernel.EventHup | kernel.EventRdHup)
	if !k.isConnected() {
		return syscall.ENOTCONN
	}
	return 0
}

// Connect implements kernel.Socket: it sets the peer.
func (k *datagramSocket) Connect(addr []byte) syscall.Errno {
	family, ok := sockaddrFamily(addr)
	if ok && family == syscall.AF_UNSPEC {
		return k.disconnect()
	}
	a, e := k.decode(addr)
	if e != 0 {
		return e
	}
	if a, e = k.inFamily(a); e != 0 {
		return e
	}
	if e := k.reachable(a); e != 0 {
		return e
	}
	if !k.ep().SocketOptions().GetBroadcast() && (a.Addr == header.IPv4Broadcast || k.stack.stack.IsSubnetBroadcast(a.NIC, header.IPv4ProtocolNumber, a.Addr)) {
		return syscall.EACCES
	}
	if e := k.completeBind(); e != 0 {
		return e
	}
	if a.NIC == 0 {
		a.NIC = tcpip.NICID(k.unicastNIC.Load())
	}
	before, _ := k.ep().GetLocalAddress()
	if err := k.ep().Connect(a); err != nil {
		return errnoOf(err)
	}
	if before.Addr.Len() == 0 && k.family == syscall.AF_INET6 && header.IsV4MappedAddress(a.Addr) {
		k.setFeature(boundToFour, 1)
	}
	return 0
}

// disconnect is connect(2) with AF_UNSPEC: there is no peer any more, and neither the address nor the
// port that the program has not chosen (__udp_disconnect in Linux's net/ipv4/udp.c).
func (k *datagramSocket) disconnect() syscall.Errno {
	if err := k.ep().Disconnect(); err != nil {
		return errnoOf(err)
	}
	given := k.given.Load()
	if k.family == syscall.AF_INET6 && (given == nil || !header.IsV4MappedAddress(given.Addr)) {
		k.setFeature(boundToFour, 0)
	}
	ep, ok := k.ep().(interface{ Unbind() }) // udp/unbind.go of the images' copy
	if !ok || given != nil && given.Port != 0 {
		return 0
	}
	ep.Unbind()
	if given != nil {
		k.late.Store(given)
		return k.setFeature(bindPending, 1)
	}
	return 0
}

// autobind gives a socket a port before it sends, even if the datagram is refused afterwards, as
// inet_send_prepare does in Linux's net/ipv4/af_inet.c.
func (k *datagramSocket) autobind() {
	if k.kind() == udps && !k.bound() {
		_ = k.ep().Bind(tcpip.FullAddress{})
	}
}

// decode reads the address of connect(2) or sendto(2). A UDP socket of AF_INET6 also accepts an
// AF_INET address.
func (k *datagramSocket) decode(addr []byte) (tcpip.FullAddress, syscall.Errno) {
	if got, _ := sockaddrFamily(addr); got != syscall.AF_INET || k.family != syscall.AF_INET6 || k.kind() != udps {
		return decodeSockaddr(k.family, addr)
	}
	a, e := decodeSockaddr(syscall.AF_INET, addr)
	switch {
	case e != 0:
		return a, e
	case k.ep().SocketOptions().GetV6Only():
		return a, syscall.ENETUNREACH
	case a.Addr.Len() == 0:
		a.Addr = header.IPv4Loopback
	}
	a.Addr = mapped(a.Addr)
	return a, 0
}

// isNone reports whether an address of sendto(2) means that there is none: AF_UNSPEC in udpv6_sendmsg.
func (k *datagramSocket) isNone(addr []byte) bool {
	family, ok := sockaddrFamily(addr)
	return ok && family == syscall.AF_UNSPEC && k.family == syscall.AF_INET6 && k.kind() == udps
}

// destination reads the address of sendto(2).
func (k *datagramSocket) destination(addr []byte) (tcpip.FullAddress, syscall.Errno) {
	if got, ok := sockaddrFamily(addr); ok && got == syscall.AF_UNSPEC && k.kind() != pings {
		// udp_sendmsg, raw_sendmsg and rawv6_sendmsg take it for their own.
		addr = append([]byte{byte(k.family), 0}, addr[2:]...)
	}
	a, e := k.decode(addr)
	if e != 0 {
		return a, e
	}
	if k.kind() == udps && a.Port == 0 {
		return a, syscall.EINVAL
	}
	if p := int(a.Port); k.kind() == raws && k.family == syscall.AF_INET6 && p != 0 && (p > 255 || p != k.protocol && k.protocol != syscall.IPPROTO_RAW) {
		return a, syscall.EINVAL // the port of raw(7) is the protocol, which the socket has
	}
	if a, e = k.inFamily(a); e != 0 {
		return a, e
	}
	return a, k.reachable(a)
}

// inFamily returns an address as a destination: the wildcard address is the machine itself. A socket
// of AF_INET6 that has an address of IPv4 has no way to IPv6 (ip6_dst_lookup_tail in Linux's
// net/ipv6/ip6_output.c).
func (k *socket) inFamily(a tcpip.FullAddress) (tcpip.FullAddress, syscall.Errno) {
	switch {
	case k.family == syscall.AF_INET:
		if a.Addr.Len() == 0 {
			a.Addr = header.IPv4Loopback
		}
	case a.Addr.Len() == 0:
		a.Addr = header.IPv6Loopback
		if k.has(boundToFour) {
			a.Addr = mapped(header.IPv4Loopback)
		}
	case a.Addr == mappedAny:
		a.Addr = mapped(header.IPv4Loopback)
	case k.has(boundToFour) && !header.IsV4MappedAddress(a.Addr):
		return a, syscall.EAFNOSUPPORT
	}
	return a, 0
}

// mappedAny is ::ffff:0.0.0.0.
var mappedAny = mapped(tcpip.AddrFrom4([4]byte{}))

// mapped returns an address of IPv4 as one of IPv6 (RFC 4291 §2.5.5.2).
func mapped(a tcpip.Address) tcpip.Address {
	var b [header.IPv6AddressSize]byte
	putAddr16(b[:], a)
	return tcpip.AddrFrom16(b)
}
