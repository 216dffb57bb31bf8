package netcalls

import (
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/netlink"
	"github.com/yolk-unikernel/yolk/netstack/unixsock"
)

// listSockets has netlink list the sockets of the stack, and those of AF_UNIX (sock_diag(7)).
func listSockets(f *netlink.Family, s *netstack.Stack, u *unixsock.Family) {
	netlink.ListSockets(f, sockets{s, u})
}

// sockets is what netlink lists.
type sockets struct {
	internet *netstack.Stack
	unix     *unixsock.Family
}

// InternetSockets is netlink.SocketSource's.
func (s sockets) InternetSockets(family, protocol int) []netlink.InternetSocket {
	var list []netlink.InternetSocket
	for _, i := range s.internet.Sockets(family, protocol) {
		list = append(list, netlink.InternetSocket(i))
	}
	return list
}

// UnixSockets is netlink.SocketSource's.
func (s sockets) UnixSockets() []netlink.UnixSocket {
	var list []netlink.UnixSocket
	for _, i := range s.unix.Sockets() {
		list = append(list, netlink.UnixSocket(i))
	}
	return list
}
