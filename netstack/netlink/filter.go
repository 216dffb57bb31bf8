package netlink

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file has the filters of what a socket is sent: SO_ATTACH_FILTER of socket(7).

// filters has the functions of filters behind function values, so that programs that cannot attach one are
// without them.
type filters struct {
	attach func(s *socket, val []byte) syscall.Errno
	wants  func(s *socket, d []byte) ([]byte, bool)
}

// UseFilters makes SO_ATTACH_FILTER work. It must be called before a program makes sockets.
func (f *Family) UseFilters(make bpf.Maker) {
	f.filters = &filters{
		attach: func(s *socket, val []byte) syscall.Errno {
			n, e := make(val, s.options.Int(solsocket.LockFilter) != 0, s.filter)
			if e == 0 {
				s.filter = n
			}
			return e
		},
		wants: (*socket).filtered,
	}
}

// attachFilter is SO_ATTACH_FILTER. mu is held.
func (s *socket) attachFilter(val []byte) syscall.Errno {
	if s.family.filters == nil {
		return syscall.ENOPROTOOPT
	}
	return s.family.filters.attach(s, val)
}

// detachFilter is SO_DETACH_FILTER. mu is held.
func (s *socket) detachFilter() syscall.Errno {
	switch {
	case s.options.Int(solsocket.LockFilter) != 0:
		return syscall.EPERM
	case s.filter == nil:
		return syscall.ENOENT
	}
	s.filter = nil
	return 0
}

// filtered cuts a datagram to what the socket's filter, which there is, lets pass; false: nothing of it.
// The sender is not told (netlink_unicast in Linux's net/netlink/af_netlink.c). mu is held.
func (s *socket) filtered(d []byte) ([]byte, bool) {
	n := s.filter.Run(&bpf.Packet{Parts: [][]byte{d}, Link: -1})
	return d[:min(uint64(n), uint64(len(d)))], n != 0
}
