package vsock

import (
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// states of a socket: Linux's socket_state, and TCP_LISTEN.
type state uint8

const (
	unconnected state = iota
	listening
	connected
)

// socket is a stream or sequenced packets. What it does not do itself its carrier does.
type socket struct {
	kernel.Socket // the unix socket that carries the data
	family        *Family
	typ           int

	mu            sync.Mutex
	state         state
	local, remote address

	// Options of vsock(7): bytes, and how long connect(2) may take, which never waits here.
	size, least, most uint64
	timeout           syscall.Timeval
}

// Bind implements kernel.Socket.
func (s *socket) Bind(addr []byte) syscall.Errno {
	a, e := parse(addr)
	if e != 0 {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.local.port != anyNumber:
		return syscall.EINVAL
	case a.cid != anyNumber && a.cid != localCID:
		return syscall.EADDRNOTAVAIL
	}
	return s.family.take(s, a)
}

// Connect implements kernel.Socket: vsock_connect in Linux's net/vmw_vsock/af_vsock.c. Nobody at the port, or
// somebody with too many connections that wait, resets it.
func (s *socket) Connect(addr []byte) syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case connected:
		return syscall.EISCONN
	case listening:
		return syscall.EINVAL
	}
	a, e := parse(addr)
	switch {
	case e != 0:
		return e
	case a.cid != localCID:
		return syscall.ENODEV // no transport goes there
	}
	if s.local.port == anyNumber {
		if e := s.family.take(s, s.local); e != 0 {
			return e
		}
	}
	if e := s.Socket.Connect(a.name()); e != 0 {
		return syscall.ECONNRESET
	}
	s.state, s.remote = connected, a
	return 0
}

// Listen implements kernel.Socket.
func (s *socket) Listen(backlog int) syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == connected || s.local.port == anyNumber {
		return syscall.EINVAL
	}
	e := s.Socket.Listen(backlog)
	if e == 0 {
		s.state = listening
	}
	return e
}

// Accept implements kernel.Socket.
func (s *socket) Accept() (kernel.Socket, syscall.Errno) {
	s.mu.Lock()
	is := s.state == listening
	s.mu.Unlock()
	if !is {
		return nil, syscall.EINVAL
	}
	carrier, e := s.Socket.Accept()
	if e != 0 {
		return nil, e
	}
	var b [128]byte
	n, _ := carrier.PeerAddr(b[:])
	a := s.family.newSocket(carrier, s.typ)
	a.state, a.local, a.remote = connected, address{localCID, s.local.port}, address{localCID, portOf(b[:n])}
	return a, 0
}

// AcceptedAddr implements kernel.Accepted.
func (s *socket) AcceptedAddr(dst []byte) int { return s.remote.put(dst) }

// LocalAddr implements kernel.Socket.
func (s *socket) LocalAddr(dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local.put(dst), 0
}

// PeerAddr implements kernel.Socket.
func (s *socket) PeerAddr(dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != connected {
		return 0, syscall.ENOTCONN
	}
	return s.remote.put(dst), 0
}

func (s *socket) isConnected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == connected
}

// Shutdown implements kernel.Socket.
func (s *socket) Shutdown(how int) syscall.Errno {
	switch {
	case how < syscall.SHUT_RD || how > syscall.SHUT_RDWR:
		return syscall.EINVAL
	case !s.isConnected():
		return syscall.ENOTCONN
	}
	return s.Socket.Shutdown(how)
}

// Read implements kernel.File.
func (s *socket) Read(p []byte, off int64) (int, syscall.Errno) {
	if !s.isConnected() {
		return 0, syscall.ENOTCONN
	}
	return s.Socket.Read(p, off)
}

// Write implements kernel.File.
func (s *socket) Write(p []byte, off int64) (int, syscall.Errno) {
	if !s.isConnected() {
		return 0, syscall.ENOTCONN
	}
	return s.Socket.Write(p, off)
}

// Send implements kernel.Socket. Control messages mean nothing to these sockets.
func (s *socket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	is := s.isConnected()
	switch {
	case flags&syscall.MSG_OOB != 0:
		return 0, syscall.EOPNOTSUPP
	case len(m.Addr) != 0 && is:
		return 0, syscall.EISCONN
	case len(m.Addr) != 0:
		return 0, syscall.EOPNOTSUPP
	case !is:
		return 0, syscall.ENOTCONN
	}
	for _, d := range m.Rights {
		d.DecRef()
	}
	return s.Socket.Send(&kernel.Message{Buffers: m.Buffers}, flags)
}

// Receive implements kernel.Socket.
func (s *socket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	m.Flags, m.AddrLen, m.ControlLen = 0, 0, 0
	switch {
	case flags&syscall.MSG_OOB != 0:
		return 0, syscall.EOPNOTSUPP
	case !s.isConnected():
		return 0, syscall.ENOTCONN
	}
	inner := kernel.Message{Buffers: m.Buffers}
	n, e := s.Socket.Receive(&inner, flags)
	m.Flags = inner.Flags
	return n, e
}

// Ioctl implements kernel.Ioctler.
func (s *socket) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	return s.Socket.(kernel.Ioctler).Ioctl(req, a)
}

// Release implements kernel.File.
func (s *socket) Release() {
	s.family.drop(s)
	s.Socket.Release()
}
