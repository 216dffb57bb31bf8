// Package unixsock implements AF_UNIX sockets as unix(7) describes them: streams, datagrams and
// sequenced packets between descriptors of one machine, with path names, abstract names or no
// names (socketpair(2)). Descriptors (SCM_RIGHTS) and credentials (SCM_CREDENTIALS) can be sent
// with the data.
//
// Sequences, limits and error numbers follow Linux 6: where unix(7) is silent, the tests run
// each case on the host first and compare.
//
// Start reading at Family, then socket (socket.go). A write appends a message to the receive
// queue of the other end and charges its bytes to the writer (send.go); a read removes the
// message and uncharges the writer (receive.go).
//
// Two things are missing: MSG_OOB, and the garbage collection of sockets that are reachable
// only through each other's queues.
package unixsock

import (
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// Files are the operations of the file system that path names need.
type Files interface {
	// MakeSocketNode creates a socket inode with an owner at path; EADDRINUSE or EEXIST if
	// the path exists.
	MakeSocketNode(path string, mode uint32, owner any) syscall.Errno
	// LookupSocketNode returns the owner of the inode at path; nil or ECONNREFUSED if it is
	// not a socket.
	LookupSocketNode(path string) (any, syscall.Errno)
}

// Family is the set of unix sockets that can reach each other.
//
// One lock guards all of them: an operation uses two or three sockets in no fixed order, and
// copies at most one buffer while it holds the lock. Files and Description.DecRef, which may
// close more sockets, are called without it.
type Family struct {
	files       Files
	credentials func() syscall.Ucred
	filters     *filters // those of SO_ATTACH_FILTER; nil: there are none

	mu       sync.Mutex
	first    *socket // of those that are open
	abstract map[abstractName]*socket
	lastAuto uint32
	lastIno  uint64
}

// abstractName is a name in the abstract namespace. As on Linux it includes the type, so that a
// stream and a datagram socket may have the same name.
type abstractName struct {
	typ  int
	name string
}

// New returns an empty family. credentials returns the process's current credentials.
func New(files Files, credentials func() syscall.Ucred) *Family {
	return &Family{files: files, credentials: credentials, abstract: make(map[abstractName]*socket)}
}

// UseFilters makes SO_ATTACH_FILTER work. It must be called before a program makes sockets.
func (f *Family) UseFilters(make bpf.Maker) {
	f.filters = &filters{
		attach: func(s *socket, val []byte) syscall.Errno { return s.useNewFilter(make, val) },
		wants:  (*socket).wants,
	}
}

// Socket is a kernel.SocketFactory.
func (f *Family) Socket(typ, protocol int) (kernel.Socket, syscall.Errno) {
	typ, e := checkType(typ, protocol)
	if e != 0 {
		return nil, e
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newSocket(typ), 0
}

// Pair is a kernel.PairFactory.
func (f *Family) Pair(typ, protocol int) (kernel.Socket, kernel.Socket, syscall.Errno) {
	typ, e := checkType(typ, protocol)
	if e != 0 {
		return nil, nil, e
	}
	cred := f.credentials()
	f.mu.Lock()
	defer f.mu.Unlock()
	a, b := f.newSocket(typ), f.newSocket(typ)
	a.peer, b.peer = b, a
	a.state, b.state = connected, connected
	a.peerCred, b.peerCred = cred, cred
	return a, b, 0
}

// checkType returns the type that socket(2) makes of typ.
func checkType(typ, protocol int) (int, syscall.Errno) {
	if protocol != 0 && protocol != syscall.AF_UNIX {
		return 0, syscall.EPROTONOSUPPORT
	}
	switch typ {
	case syscall.SOCK_RAW: // as BSD did; unix(7) does not mention it
		return syscall.SOCK_DGRAM, 0
	case syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET:
		return typ, 0
	}
	return 0, syscall.ESOCKTNOSUPPORT
}
