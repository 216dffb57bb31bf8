package unixsock

import (
	"bytes"
	"encoding/binary"
	"syscall"
)

// A sockaddr_un (unix(7)) is a family and up to 108 bytes of path. A socket's name is the path
// bytes as getsockname(2) returns them: a path with its terminating NUL, or an abstract name
// with its leading NUL.
const (
	familySize = 2
	pathSize   = 108
)

// parseAddr returns the name in a sockaddr: empty if the sockaddr has only the family.
func parseAddr(addr []byte) ([]byte, syscall.Errno) {
	if len(addr) < familySize || len(addr) > familySize+pathSize ||
		binary.NativeEndian.Uint16(addr) != syscall.AF_UNIX {
		return nil, syscall.EINVAL
	}
	name := addr[familySize:]
	if len(name) == 0 || name[0] == 0 {
		return bytes.Clone(name), 0
	}
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	// All 108 bytes may be path; Linux then adds a NUL after them.
	return append(bytes.Clone(name), 0), 0
}

// formatAddr writes the sockaddr of name to dst and returns its length.
func formatAddr(dst []byte, name []byte) int {
	var family [familySize]byte
	binary.NativeEndian.PutUint16(family[:], syscall.AF_UNIX)
	n := copy(dst, family[:])
	copy(dst[n:], name)
	return familySize + len(name)
}

// path returns the path in a name from parseAddr, and whether the name is a path.
func path(name []byte) (string, bool) {
	if len(name) == 0 || name[0] == 0 {
		return "", false
	}
	return string(name[:len(name)-1]), true
}

// Bind implements kernel.Socket.
func (s *socket) Bind(addr []byte) syscall.Errno {
	name, e := parseAddr(addr)
	if e != 0 {
		return e
	}
	if p, ok := path(name); ok {
		return s.bindPath(p, name)
	}
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if len(name) == 0 {
		return s.autobind()
	}
	if s.name != nil {
		return syscall.EINVAL
	}
	return s.bindAbstract(name)
}

// bindPath sets the name before the inode exists, so that of two concurrent binds of one socket
// only one makes an inode.
func (s *socket) bindPath(p string, name []byte) syscall.Errno {
	s.family.mu.Lock()
	if s.name != nil {
		s.family.mu.Unlock()
		return syscall.EINVAL
	}
	s.name = name
	mode := s.mode
	s.family.mu.Unlock()

	e := s.family.files.MakeSocketNode(p, syscall.S_IFSOCK|mode, s)
	if e == 0 {
		return 0
	}
	s.family.mu.Lock()
	s.name = nil
	s.family.mu.Unlock()
	if e == syscall.EEXIST { // what mknod(2) returns
		return syscall.EADDRINUSE
	}
	return e
}

func (s *socket) bindAbstract(name []byte) syscall.Errno {
	key := abstractName{s.typ, string(name)}
	if s.family.abstract[key] != nil {
		return syscall.EADDRINUSE
	}
	s.family.abstract[key] = s
	s.name = name
	return 0
}

// autobind gives s an abstract name of five hexadecimal digits unless it has a name: unix(7),
// "Autobind feature".
func (s *socket) autobind() syscall.Errno {
	if s.name != nil {
		return 0
	}
	const names = 1 << 20
	for range names {
		s.family.lastAuto = (s.family.lastAuto + 1) % names
		if s.bindAbstract(autoName(s.family.lastAuto)) == 0 {
			return 0
		}
	}
	return syscall.ENOSPC
}

func autoName(n uint32) []byte {
	const digits = "0123456789abcdef"
	name := make([]byte, 6)
	for i := 5; i > 0; i-- {
		name[i] = digits[n&15]
		n >>= 4
	}
	return name
}

// forgetName frees an abstract name. The inode of a path stays, as on Linux, and leads to a
// closed socket from then on. The socket keeps its name, which the other end may still ask for.
func (s *socket) forgetName() {
	key := abstractName{s.typ, string(s.name)}
	if s.family.abstract[key] == s {
		delete(s.family.abstract, key)
	}
}

// find returns the socket at addr, which may have been closed since. The family's lock must not
// be held.
func (s *socket) find(addr []byte) (*socket, syscall.Errno) {
	name, e := parseAddr(addr)
	if e != 0 {
		return nil, e
	}
	if p, ok := path(name); ok {
		return s.findPath(p)
	}
	if len(name) == 0 { // the family alone is no address
		return nil, syscall.EINVAL
	}
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	other := s.family.abstract[abstractName{s.typ, string(name)}]
	if other == nil {
		return nil, syscall.ECONNREFUSED
	}
	return other, 0
}

func (s *socket) findPath(p string) (*socket, syscall.Errno) {
	owner, e := s.family.files.LookupSocketNode(p)
	if e != 0 {
		return nil, e
	}
	other, ok := owner.(*socket)
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	s.family.mu.Lock()
	closed := other.closed
	s.family.mu.Unlock()
	if closed {
		return nil, syscall.ECONNREFUSED
	}
	if other.typ != s.typ {
		return nil, syscall.EPROTOTYPE
	}
	return other, 0
}

// LocalAddr implements kernel.Socket.
func (s *socket) LocalAddr(dst []byte) (int, syscall.Errno) {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	return formatAddr(dst, s.name), 0
}

// PeerAddr implements kernel.Socket.
func (s *socket) PeerAddr(dst []byte) (int, syscall.Errno) {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if s.peer == nil {
		return 0, syscall.ENOTCONN
	}
	return formatAddr(dst, s.peer.name), 0
}
