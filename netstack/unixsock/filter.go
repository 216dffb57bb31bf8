package unixsock

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file has the filters of what others send: SO_ATTACH_FILTER of socket(7). A stream may have one,
// which is never asked, as on Linux.

// filters has the functions of filters behind function values, so that programs that cannot attach one are
// without them.
type filters struct {
	attach func(s *socket, val []byte) syscall.Errno
	wants  func(s *socket, m *message) bool
}

// attachFilter is SO_ATTACH_FILTER. Family.mu is held.
func (s *socket) attachFilter(val []byte) syscall.Errno {
	if s.family.filters == nil {
		return syscall.ENOPROTOOPT
	}
	return s.family.filters.attach(s, val)
}

func (s *socket) useNewFilter(make bpf.Maker, val []byte) syscall.Errno {
	f, e := make(val, s.filterLocked(), s.filter)
	if e == 0 {
		s.filter = f
	}
	return e
}

// detachFilter is SO_DETACH_FILTER. Family.mu is held.
func (s *socket) detachFilter() syscall.Errno {
	switch {
	case s.filterLocked():
		return syscall.EPERM
	case s.filter == nil:
		return syscall.ENOENT
	}
	s.filter = nil
	return 0
}

func (s *socket) filterLocked() bool { return s.options.Int(solsocket.LockFilter) != 0 }

// wants cuts a packet to what the socket's filter, which there is, lets pass; false: nothing of it. There is no header
// before the data, but loads that name the network's header find the data (unix_dgram_sendmsg in
// Linux's net/unix/af_unix.c). Family.mu is held.
func (s *socket) wants(m *message) bool {
	n := s.filter.Run(&bpf.Packet{Parts: [][]byte{m.data}, Link: -1})
	if uint64(n) < uint64(len(m.data)) {
		m.data = m.data[:n]
	}
	return n != 0
}
