package vsock

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// Options of level AF_VSOCK, linux/vm_sockets.h.
const (
	bufferSize     = 0 // SO_VM_SOCKETS_BUFFER_SIZE
	bufferLeast    = 1 // SO_VM_SOCKETS_BUFFER_MIN_SIZE
	bufferMost     = 2 // SO_VM_SOCKETS_BUFFER_MAX_SIZE
	connectTimeout = 6 // SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD
	connectNew     = 8 // SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW, the same where long has 64 bits

	defaultSize = 256 << 10
	leastSize   = 128
)

// SetOption implements kernel.Socket: vsock_connectible_setsockopt in Linux's net/vmw_vsock/af_vsock.c.
func (s *socket) SetOption(level, name int, val []byte) syscall.Errno {
	switch level {
	case AddressFamily:
		return s.setOwn(name, val)
	case syscall.SOL_SOCKET:
		if name == syscall.SO_ATTACH_FILTER || name == syscall.SO_DETACH_FILTER {
			return syscall.EOPNOTSUPP
		}
		if e := refusal(name); e != 0 {
			return e
		}
		return s.Socket.SetOption(level, name, val)
	}
	return syscall.ENOPROTOOPT
}

// refusal is the answer to options that unix sockets have and these do not.
func refusal(name int) syscall.Errno {
	switch name {
	case syscall.SO_PASSCRED, solsocket.PassSec, solsocket.PeekOff, solsocket.PassPidFD, solsocket.PassRights:
		return syscall.EOPNOTSUPP
	case solsocket.Inq:
		return syscall.ENOPROTOOPT
	}
	return 0
}

func (s *socket) setOwn(name int, val []byte) syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case bufferSize, bufferLeast, bufferMost:
		if len(val) < 8 {
			return syscall.EINVAL
		}
		s.resize(name, binary.NativeEndian.Uint64(val))
	case connectTimeout, connectNew:
		if len(val) < 16 {
			return syscall.EINVAL
		}
		sec, usec := int64(binary.NativeEndian.Uint64(val)), int64(binary.NativeEndian.Uint64(val[8:]))
		if sec < 0 || usec < 0 || usec >= 1e6 {
			return syscall.ERANGE
		}
		s.timeout = syscall.Timeval{Sec: sec, Usec: usec}
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

// resize is vsock_update_buffer_size: the size stays between the least and the most. mu is held.
func (s *socket) resize(name int, n uint64) {
	size := s.size
	switch name {
	case bufferLeast:
		s.least = n
	case bufferMost:
		s.most = n
	default:
		size = n
	}
	s.size = max(min(size, s.most), s.least)
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(min(s.size, 1<<30)))
	s.Socket.SetOption(syscall.SOL_SOCKET, syscall.SO_SNDBUF, b[:])
}

// GetOption implements kernel.Socket.
func (s *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	switch {
	case level == AddressFamily:
		return s.getOwn(name, dst)
	case level != syscall.SOL_SOCKET:
		return 0, syscall.ENOPROTOOPT
	case refusal(name) != 0:
		return 0, refusal(name)
	case name == solsocket.PeerName:
		return solsocket.GetPeerName(dst, s.PeerAddr)
	case name == solsocket.PeerGroups || name == solsocket.PeerPidFD:
		return 0, syscall.ENODATA
	case name == solsocket.Domain:
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], AddressFamily)
		return copy(dst, b[:]), 0
	}
	return s.Socket.GetOption(level, name, dst)
}

func (s *socket) getOwn(name int, dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	switch name {
	case bufferSize:
		b = binary.NativeEndian.AppendUint64(b, s.size)
	case bufferLeast:
		b = binary.NativeEndian.AppendUint64(b, s.least)
	case bufferMost:
		b = binary.NativeEndian.AppendUint64(b, s.most)
	case connectTimeout, connectNew:
		b = binary.NativeEndian.AppendUint64(b, uint64(s.timeout.Sec))
		b = binary.NativeEndian.AppendUint64(b, uint64(s.timeout.Usec))
	default:
		return 0, syscall.ENOPROTOOPT
	}
	if len(dst) < len(b) {
		return 0, syscall.EINVAL
	}
	return copy(dst, b), 0
}
