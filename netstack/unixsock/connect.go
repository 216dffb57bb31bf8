package unixsock

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// maxBacklog is net.core.somaxconn.
const maxBacklog = 4096

// Connect implements kernel.Socket. If the listener's backlog is full it returns EAGAIN, and
// EventOut reports when to try again.
func (s *socket) Connect(addr []byte) syscall.Errno {
	if s.typ == syscall.SOCK_DGRAM {
		return s.connectDatagram(addr)
	}
	other, e := s.findNamed(addr)
	if e != 0 {
		return e
	}
	cred := s.family.credentials()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if other.closed || other.state != listening || other.shutdown&shutRead != 0 {
		return syscall.ECONNREFUSED
	}
	if len(other.pending) > other.backlog {
		if s.state == idle {
			s.blockOn(other)
		}
		return syscall.EAGAIN
	}
	switch s.state {
	case connected:
		return syscall.EISCONN
	case listening:
		return syscall.EINVAL
	}
	s.unblock()
	s.join(other, cred)
	return 0
}

// findNamed is find, after s has a name if its credentials are wanted: it gets one even if nobody is
// found.
func (s *socket) findNamed(addr []byte) (*socket, syscall.Errno) {
	if name, e := parseAddr(addr); e != 0 || len(name) == 0 {
		return nil, syscall.EINVAL
	}
	s.family.mu.Lock()
	e := s.autobindForCredentials()
	s.family.mu.Unlock()
	if e != 0 {
		return nil, e
	}
	return s.find(addr)
}

// join makes the server end of s's connection to the listener l.
func (s *socket) join(l *socket, cred syscall.Ucred) {
	server := s.family.newSocket(s.typ)
	server.state, server.peer, server.peerCred = connected, s, cred
	server.name = l.name
	for _, name := range [...]int{syscall.SO_PASSCRED, solsocket.PassSec, solsocket.PassRights} { // unix_stream_connect in Linux's net/unix/af_unix.c
		server.options.Keep(name, l.options.Int(name))
	}
	s.state, s.peer, s.peerCred = connected, server, l.peerCred
	l.pending = append(l.pending, server)
	l.queue.Notify(kernel.EventIn)
	s.queue.Notify(kernel.EventOut)
}

// connectDatagram sets, or with AF_UNSPEC clears, the peer to which datagrams are sent and from
// which they are accepted.
func (s *socket) connectDatagram(addr []byte) syscall.Errno {
	if len(addr) < familySize {
		return syscall.EINVAL
	}
	var other *socket
	if binary.NativeEndian.Uint16(addr) != syscall.AF_UNSPEC {
		var e syscall.Errno
		if other, e = s.findNamed(addr); e != 0 {
			return e
		}
	}
	var drop dropped
	defer drop.release()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if other != nil && !s.maySend(other) {
		return syscall.EPERM
	}
	old := s.peer
	s.setPeer(other)
	if old != nil && old != other {
		s.disconnectFrom(old, &drop)
	}
	s.unblock()
	s.queue.Notify(kernel.EventOut)
	return 0
}

func (s *socket) setPeer(other *socket) {
	s.peer, s.state = other, idle
	if other != nil {
		s.state = connected
	}
}

// disconnectFrom drops the datagrams from a former peer of s. If the peer is connected to s and
// loses some, it gets an error.
func (s *socket) disconnectFrom(old *socket, drop *dropped) {
	if len(s.messages) == 0 {
		return
	}
	s.purge(drop)
	s.wakeBlocked()
	if !old.closed && old.peer == s {
		old.err = syscall.ECONNRESET
		old.queue.Notify(kernel.EventErr)
	}
}

// maySend reports whether other accepts datagrams from s: a connected socket only accepts those
// of its peer.
func (s *socket) maySend(other *socket) bool { return other.peer == nil || other.peer == s }

// autobindForCredentials gives a name to a socket with SO_PASSCRED, so that a receiver of its
// credentials can answer: unix(7).
func (s *socket) autobindForCredentials() syscall.Errno {
	if !s.passCred() {
		return 0
	}
	return s.autobind()
}

// Listen implements kernel.Socket.
func (s *socket) Listen(backlog int) syscall.Errno {
	if !s.connectionBased() {
		return syscall.EOPNOTSUPP
	}
	cred := s.family.credentials()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if s.name == nil || s.state == connected {
		return syscall.EINVAL
	}
	if backlog < 0 || backlog > maxBacklog { // unsigned in Linux
		backlog = maxBacklog
	}
	if backlog > s.backlog {
		s.wakeBlocked()
	}
	s.backlog = backlog
	s.state = listening
	s.peerCred = cred
	return 0
}

// Accept implements kernel.Socket.
func (s *socket) Accept() (kernel.Socket, syscall.Errno) {
	if !s.connectionBased() {
		return nil, syscall.EOPNOTSUPP
	}
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if s.state != listening {
		return nil, syscall.EINVAL
	}
	if len(s.pending) == 0 {
		if s.shutdown&shutRead != 0 {
			return nil, syscall.EINVAL
		}
		return nil, syscall.EAGAIN
	}
	a := s.pending[0]
	s.pending[0] = nil
	s.pending = s.pending[1:]
	s.wakeBlocked()
	return a, 0
}

// Shutdown implements kernel.Socket. As on Linux, the socket need not be connected.
func (s *socket) Shutdown(how int) syscall.Errno {
	if how < syscall.SHUT_RD || how > syscall.SHUT_RDWR {
		return syscall.EINVAL
	}
	bits := how + 1
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	s.shut(bits)
	if p := s.peer; p != nil && s.connectionBased() && !p.closed {
		p.shut(bits&shutRead<<1 | bits&shutWrite>>1)
	}
	return 0
}

func (s *socket) shut(bits int) {
	s.shutdown |= bits
	// All waiters look again, as after Linux's sock_def_wakeup.
	s.queue.Notify(kernel.EventIn | kernel.EventOut | kernel.EventRdHup | kernel.EventHup | kernel.EventErr)
	if s.state == listening {
		s.wakeBlocked()
	}
}
