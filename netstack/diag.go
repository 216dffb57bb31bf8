package netstack

import (
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// SocketInfo describes a TCP or UDP socket that has a port, for sock_diag(7).
type SocketInfo struct {
	Local, Remote    netip.AddrPort // of the socket's family; Remote is unspecified where there is none
	State            uint8          // enum tcp_states
	Shutdown         uint8          // bits: receives no more, sends no more
	Bound            bool           // bind(2) has named the port
	Interface        int            // SO_BINDTODEVICE's; 0 for none
	Inode            uint64         // also the cookie (SO_COOKIE)
	Received, Unsent int            // bytes; of a listener, connections that wait and its backlog
	// Option is getsockopt(2).
	Option func(level, name int, dst []byte) (int, syscall.Errno)
}

// Sockets returns the sockets of a family and a protocol that have a port.
func (s *Stack) Sockets(family, protocol int) []SocketInfo {
	typ := syscall.SOCK_STREAM
	if protocol == syscall.IPPROTO_UDP {
		typ = syscall.SOCK_DGRAM
	}
	var list []SocketInfo
	for _, k := range s.socks.all(family, typ) {
		if k.protocol != protocol {
			continue // ping sockets
		}
		if i, ok := k.info(); ok {
			list = append(list, i)
		}
	}
	return list
}

// info describes a socket if it has a port.
func (k *socket) info() (i SocketInfo, ok bool) {
	local, err := k.ep().GetLocalAddress()
	if err != nil || local.Port == 0 {
		return i, false
	}
	remote, err := k.ep().GetRemoteAddress()
	given := k.given.Load()
	i = SocketInfo{
		Local: k.addrPort(local), Remote: k.addrPort(remote), State: uint8(tcp.StateClose), Inode: k.inode,
		Bound:     given != nil && given.Port != 0,
		Interface: int(k.ep().SocketOptions().GetBindToDevice()),
		Shutdown:  uint8(k.shut.Load()),
		Option:    k.GetOption,
	}
	i.Unsent, i.Received = k.queued()
	switch {
	case k.typ == syscall.SOCK_STREAM:
		i.State = uint8(linuxTCPState(k.ep().State()))
		if tcp.EndpointState(i.State) == tcp.StateListen {
			i.Received, i.Unsent = k.waiting(), int(k.backlog.Load())
		}
	case err == nil:
		i.State = uint8(tcp.StateEstablished)
	}
	return i, true
}

// addrPort is an address as a socket of the family has it.
func (k *socket) addrPort(a tcpip.FullAddress) netip.AddrPort {
	var b [sockaddrIn6Len]byte
	encodeSockaddr(k.family, a, b[:])
	if k.family == syscall.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), a.Port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), a.Port)
}
