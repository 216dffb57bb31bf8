// Package vsock has the sockets of AF_VSOCK (vsock(7)) as on a machine whose only transport is the
// loopback (VMADDR_CID_LOCAL): streams and sequenced packets between sockets of the program. There is no
// driver for virtio-vsock, so that no other address can be reached.
//
// A socket's data are carried by a unix socket of a family of its own (package unixsock), at a name made of the
// port. Start reading at socket.Connect.
package vsock

import (
	"encoding/binary"
	"sync"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/unixsock"
)

// Constants of linux/socket.h and linux/vm_sockets.h.
const (
	// AddressFamily is AF_VSOCK.
	AddressFamily = 40

	sockaddrSize = 16 // struct sockaddr_vm: family, 2 bytes, port, CID, flags, 3 bytes
	toHost       = 1  // VMADDR_FLAG_TO_HOST, the only flag
	anyNumber    = 1<<32 - 1
	localCID     = 1    // VMADDR_CID_LOCAL
	firstPort    = 1024 // of those that are chosen
)

// address is a CID and a port; anyNumber for what is not given.
type address struct{ cid, port uint32 }

// parse reads a struct sockaddr_vm; EINVAL if it is none.
func parse(b []byte) (a address, e syscall.Errno) {
	if len(b) < sockaddrSize || binary.NativeEndian.Uint16(b) != AddressFamily || b[12]&^toHost != 0 {
		return a, syscall.EINVAL
	}
	return address{binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[4:])}, 0
}

func (a address) put(dst []byte) int {
	var b [sockaddrSize]byte
	binary.NativeEndian.PutUint16(b[:], AddressFamily)
	binary.NativeEndian.PutUint32(b[4:], a.port)
	binary.NativeEndian.PutUint32(b[8:], a.cid)
	copy(dst, b[:])
	return sockaddrSize
}

// name is the sockaddr_un of the unix socket at a port: an abstract name.
func (a address) name() []byte {
	b := binary.NativeEndian.AppendUint16(nil, syscall.AF_UNIX)
	return binary.NativeEndian.AppendUint32(append(b, 0), a.port)
}

// portOf is the port of such a name.
func portOf(name []byte) uint32 {
	if len(name) != 7 {
		return anyNumber
	}
	return binary.NativeEndian.Uint32(name[3:])
}

// Family makes the sockets.
type Family struct {
	carriers *unixsock.Family

	mu    sync.Mutex
	ports map[uint32]*socket
	next  uint32 // the port that is tried next
}

// New returns a family.
func New() *Family {
	return &Family{
		carriers: unixsock.New(nil, func() syscall.Ucred { return syscall.Ucred{Pid: 1} }),
		ports:    map[uint32]*socket{}, next: firstPort,
	}
}

// Socket is a kernel.SocketFactory. Datagrams need a transport that nothing here has.
func (f *Family) Socket(typ, protocol int) (kernel.Socket, syscall.Errno) {
	if protocol != 0 && protocol != AddressFamily {
		return nil, syscall.EPROTONOSUPPORT
	}
	switch typ {
	case syscall.SOCK_DGRAM:
		return nil, syscall.ENODEV
	case syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET:
	default:
		return nil, syscall.ESOCKTNOSUPPORT
	}
	carrier, e := f.carriers.Socket(typ, 0)
	if e != 0 {
		return nil, e
	}
	return f.newSocket(carrier, typ), 0
}

func (f *Family) newSocket(carrier kernel.Socket, typ int) *socket {
	return &socket{
		Socket: carrier, family: f, typ: typ, local: address{anyNumber, anyNumber}, remote: address{anyNumber, anyNumber},
		size: defaultSize, least: leastSize, most: defaultSize, timeout: syscall.Timeval{Sec: 2},
	}
}

// take binds s to a.port, or to a port that is free.
func (f *Family) take(s *socket, a address) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.port == anyNumber {
		for f.ports[f.next] != nil {
			f.forward()
		}
		a.port = f.next
		f.forward()
	}
	if f.ports[a.port] != nil {
		return syscall.EADDRINUSE
	}
	if e := s.Socket.Bind(a.name()); e != 0 {
		return e
	}
	f.ports[a.port] = s
	s.local = a
	return 0
}

// forward chooses the port that is tried next. mu is held.
func (f *Family) forward() {
	if f.next++; f.next == anyNumber {
		f.next = firstPort
	}
}

func (f *Family) drop(s *socket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ports[s.local.port] == s {
		delete(f.ports, s.local.port)
	}
}
