package netlink

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
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
	if to != 0 { // a socket of another program
		return 0, syscall.ECONNREFUSED
	}
	if len(b) == 0 {
		return 0, syscall.ENODATA
	}
	if len(b) > s.sndbuf-32 { // Linux reserves 32 bytes
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
	a := answer{source: s.family.source, port: s.port, r: r,
		strict: s.settings[setting{solNetlink, netlinkStrict}] != 0,
		capped: s.settings[setting{solNetlink, netlinkCapAck}] != 0}
	a.serve()
	for _, d := range a.datagrams() {
		s.enqueue(d)
	}
}

// enqueue adds a datagram. If the buffer is full the datagram is lost, and the reader gets
// ENOBUFS: netlink(7).
func (s *socket) enqueue(d []byte) {
	ev := kernel.EventIn
	if s.queued >= s.rcvbuf {
		s.err = syscall.ENOBUFS
		ev |= kernel.EventErr
	} else {
		s.answers = append(s.answers, d)
		s.queued += len(d)
	}
	s.queue.Notify(ev)
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
	return n, 0
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
