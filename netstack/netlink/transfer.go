package netlink

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// Write implements kernel.File.
func (s *socket) Write(p []byte, _ int64) (int, syscall.Errno) {
	b := make([]byte, len(p)) // p may lie on the caller's stack
	copy(b, p)
	return s.send(b, nil)
}

// Read implements kernel.File.
func (s *socket) Read(p []byte, _ int64) (int, syscall.Errno) {
	b, e := s.take(false)
	return copy(p, b), e
}

// Send implements kernel.Socket.
func (s *socket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	var b []byte
	for _, part := range m.Buffers {
		b = append(b, part...)
	}
	return s.send(b, m.Addr)
}

// send answers the requests in b before it returns, like Linux's rtnetlink.
func (s *socket) send(b, addr []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.peer
	if len(addr) > 0 {
		var e syscall.Errno
		if to, _, e = parseAddr(addr); e != 0 {
			return 0, e
		}
	}
	if to != 0 || s.protocol == syscall.NETLINK_KOBJECT_UEVENT { // a socket of another program; nobody listens
		return 0, syscall.ECONNREFUSED
	}
	if len(b) == 0 {
		return 0, syscall.ENODATA
	}
	if len(b) > s.options.Send-32 { // Linux reserves 32 bytes
		return 0, syscall.EMSGSIZE
	}
	if s.port == 0 {
		s.autobind()
	}
	for rest := b; ; {
		r, next, ok := nextRequest(rest)
		if !ok {
			return len(b), 0
		}
		s.answer(&r)
		rest = next
	}
}

func (s *socket) answer(r *request) {
	a := answer{source: s.family.source, port: s.port, r: r, write: s.family.write,
		strict: s.on(netlinkStrict), capped: s.on(netlinkCapAck)}
	switch s.protocol {
	case syscall.NETLINK_GENERIC:
		a.serveGeneric()
	case protocolSockDiag:
		s.family.diagnose(&a)
	default:
		a.serve()
	}
	s.enqueue(a.datagrams()...)
}

// enqueue adds datagrams that belong together. If the buffer is full they are lost, and the reader gets
// ENOBUFS: netlink(7). A dump may be larger than the buffer: Linux makes it as it is read.
func (s *socket) enqueue(list ...[]byte) {
	full := s.queued >= s.options.Receive
	ev := kernel.Events(0)
	for _, d := range list {
		if s.filter != nil {
			var wanted bool
			if d, wanted = s.family.filters.wants(s, d); !wanted {
				continue
			}
		}
		ev = kernel.EventIn
		if full {
			s.err = syscall.ENOBUFS
			ev |= kernel.EventErr
			break
		}
		s.answers = append(s.answers, d)
		s.queued += len(d)
	}
	if ev != 0 {
		s.queue.Notify(ev)
	}
}

// Receive implements kernel.Socket.
func (s *socket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	m.Flags, m.AddrLen, m.ControlLen = 0, 0, 0
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	b, e := s.take(flags&syscall.MSG_PEEK != 0)
	if e != 0 {
		return 0, e
	}
	n := 0
	for _, part := range m.Buffers {
		n += copy(part, b[n:])
	}
	if n < len(b) {
		m.Flags |= syscall.MSG_TRUNC
		if flags&syscall.MSG_TRUNC != 0 {
			n = len(b)
		}
	}
	if m.Addr != nil {
		m.AddrLen = formatAddr(m.Addr, 0, 0)
	}
	s.putControl(m)
	return n, 0
}

// putControl writes the control messages that options ask for: the group of a message, of which
// there is none, and the credentials of its sender, the kernel.
func (s *socket) putControl(m *kernel.Message) {
	s.mu.Lock()
	info, credentials := s.on(netlinkPacketInfo), s.options.Int(syscall.SO_PASSCRED) != 0
	s.mu.Unlock()
	if info {
		solsocket.PutControl(m, solNetlink, netlinkPacketInfo, make([]byte, 4)) // struct nl_pktinfo
	}
	if credentials {
		solsocket.PutControl(m, syscall.SOL_SOCKET, syscall.SCM_CREDENTIALS, make([]byte, solsocket.UcredSize)) // struct ucred
	}
}

// take returns the first datagram; unless peek is set, it removes the datagram.
func (s *socket) take(peek bool) ([]byte, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.err; e != 0 {
		s.err = 0
		return nil, e
	}
	if len(s.answers) == 0 {
		return nil, syscall.EAGAIN
	}
	b := s.answers[0]
	if !peek {
		s.answers[0] = nil
		s.answers = s.answers[1:]
		s.queued -= len(b)
	}
	return b, 0
}
