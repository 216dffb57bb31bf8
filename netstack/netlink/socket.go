package netlink

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// Family makes netlink sockets and assigns their port numbers.
type Family struct {
	source Source
	pid    uint32
	write  func(*answer) syscall.Errno // see AllowWrites

	diagnose func(*answer) // answers NETLINK_SOCK_DIAG, see ListSockets
	filters  *filters      // those of SO_ATTACH_FILTER; nil: there are none

	subscribers subscribers
	cookies     atomic.Uint64 // the last one given

	mu    sync.Mutex
	ports map[portKey]*socket
}

// portKey is a port, of which each protocol has its own.
type portKey struct {
	protocol int
	port     uint32
}

// New returns a family that answers from source. pid is the process id, which its first socket
// gets as port: netlink(7), nl_pid.
func New(source Source, pid int) *Family {
	return &Family{source: source, pid: uint32(pid), ports: make(map[portKey]*socket)}
}

// Socket is a kernel.SocketFactory.
func (f *Family) Socket(typ, protocol int) (kernel.Socket, syscall.Errno) {
	if typ != syscall.SOCK_RAW && typ != syscall.SOCK_DGRAM {
		return nil, syscall.ESOCKTNOSUPPORT
	}
	switch {
	case protocol == syscall.NETLINK_ROUTE, protocol == syscall.NETLINK_GENERIC, protocol == syscall.NETLINK_KOBJECT_UEVENT:
	case protocol == protocolSockDiag && f.diagnose != nil:
	default:
		return nil, syscall.EPROTONOSUPPORT
	}
	return &socket{family: f, typ: typ, protocol: protocol, cookie: 1<<32 | f.cookies.Add(1), options: solsocket.New(solsocket.Credentials)}, 0
}

// socket is a netlink socket. mu guards its fields except those that never change; the family's
// lock is taken while mu is held.
type socket struct {
	family   *Family
	typ      int
	protocol int
	cookie   uint64 // SO_COOKIE, beyond the inodes that are those of other families' sockets
	queue    kernel.WaitQueue

	mu      sync.Mutex
	port    uint32 // 0: not bound
	groups  uint32 // subscribed by bind(2)
	peer    uint32 // set by connect(2); 0 is the kernel
	answers [][]byte
	queued  int // bytes in queued answers
	err     syscall.Errno
	flags   uint32 // options of netlink(7) that are on, by number
	options solsocket.Options
	filter  *bpf.Filter // of what is sent to the socket
}

// sockaddrSize is the size of struct sockaddr_nl: family, padding, port and
// groups.
const sockaddrSize = 12

func parseAddr(addr []byte) (port, groups uint32, e syscall.Errno) {
	if len(addr) < sockaddrSize || binary.NativeEndian.Uint16(addr) != syscall.AF_NETLINK {
		return 0, 0, syscall.EINVAL
	}
	return binary.NativeEndian.Uint32(addr[4:]), binary.NativeEndian.Uint32(addr[8:]), 0
}

func formatAddr(dst []byte, port, groups uint32) int {
	var b [sockaddrSize]byte
	binary.NativeEndian.PutUint16(b[:], syscall.AF_NETLINK)
	binary.NativeEndian.PutUint32(b[4:], port)
	binary.NativeEndian.PutUint32(b[8:], groups)
	copy(dst, b[:])
	return sockaddrSize
}

// Bind implements kernel.Socket.
func (s *socket) Bind(addr []byte) syscall.Errno {
	e := s.bind(addr)
	s.family.watch(s, false)
	return e
}

func (s *socket) bind(addr []byte) syscall.Errno {
	port, groups, e := parseAddr(addr)
	if e != 0 {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.port != 0 && port != 0 && port != s.port:
		return syscall.EINVAL
	case s.port == 0 && port == 0:
		s.autobind()
	case s.port == 0:
		if !s.family.take(port, s) {
			return syscall.EADDRINUSE
		}
		s.port = port
	}
	s.groups = groups
	return 0
}

// autobind gives s the process id as port, or a high number if that is taken. The caller holds
// s.mu.
func (s *socket) autobind() {
	const firstHigh = ^uint32(0) - 4096 // where Linux starts counting down
	for port := s.family.pid; s.port == 0; port-- {
		if s.family.take(port, s) {
			s.port = port
		} else if port == s.family.pid {
			port = firstHigh + 1
		}
	}
}

func (f *Family) take(port uint32, s *socket) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ports[portKey{s.protocol, port}] != nil {
		return false
	}
	f.ports[portKey{s.protocol, port}] = s
	return true
}

// Connect implements kernel.Socket.
func (s *socket) Connect(addr []byte) syscall.Errno {
	if len(addr) < 2 {
		return syscall.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if binary.NativeEndian.Uint16(addr) == syscall.AF_UNSPEC {
		s.peer = 0
		return 0
	}
	port, _, e := parseAddr(addr)
	if e != 0 {
		return e
	}
	if s.port == 0 {
		s.autobind()
	}
	s.peer = port
	return 0
}

// Listen implements kernel.Socket.
func (s *socket) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

// Accept implements kernel.Socket.
func (s *socket) Accept() (kernel.Socket, syscall.Errno) { return nil, syscall.EOPNOTSUPP }

// Shutdown implements kernel.Socket.
func (s *socket) Shutdown(int) syscall.Errno { return syscall.EOPNOTSUPP }

// LocalAddr implements kernel.Socket.
func (s *socket) LocalAddr(dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return formatAddr(dst, s.port, s.groups), 0
}

// PeerAddr implements kernel.Socket: the peer of an unconnected socket is the kernel.
func (s *socket) PeerAddr(dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return formatAddr(dst, s.peer, 0), 0
}

// Readiness implements kernel.File.
func (s *socket) Readiness() kernel.Events {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev := kernel.EventOut
	if len(s.answers) > 0 {
		ev |= kernel.EventIn
	}
	if s.err != 0 {
		ev |= kernel.EventErr
	}
	return ev.Band()
}

// Queue implements kernel.File.
func (s *socket) Queue() *kernel.WaitQueue { return &s.queue }

// Stat implements kernel.File.
func (s *socket) Stat(st *syscall.Stat_t) syscall.Errno {
	*st = syscall.Stat_t{Mode: syscall.S_IFSOCK | 0777, Nlink: 1, Blksize: 4096}
	return 0
}

// Release implements kernel.File.
func (s *socket) Release() {
	s.family.watch(s, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if s.family.ports[portKey{s.protocol, s.port}] == s {
		delete(s.family.ports, portKey{s.protocol, s.port})
	}
	s.answers = nil
}
