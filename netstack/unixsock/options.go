package unixsock

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file has what unix sockets answer by themselves to options of SOL_SOCKET, socket(7); solsocket.Options has the
// others.

// traits are those of all unix sockets.
const traits = solsocket.Credentials | solsocket.PeekOffset | solsocket.Rights

// SetOption implements kernel.Socket.
func (s *socket) SetOption(level, name int, val []byte) syscall.Errno {
	if level != syscall.SOL_SOCKET {
		return syscall.EOPNOTSUPP
	}
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	if name == syscall.SO_BINDTODEVICE {
		return s.bindToDevice(val)
	}
	if len(val) < 4 {
		return syscall.EINVAL
	}
	switch name {
	case syscall.SO_ATTACH_FILTER:
		return s.attachFilter(val)
	case syscall.SO_DETACH_FILTER:
		return s.detachFilter()
	case solsocket.Inq:
		return s.setQueued(val)
	}
	e := s.options.Set(name, val)
	if name == syscall.SO_SNDBUF || name == syscall.SO_SNDBUFFORCE {
		s.queue.Notify(kernel.EventOut) // there may be more room
	}
	return e
}

// bindToDevice is SO_BINDTODEVICE, which Linux keeps and does not look at. No interface is known here.
func (s *socket) bindToDevice(val []byte) syscall.Errno {
	index, e := solsocket.DeviceIndex(val, nil)
	if e == 0 {
		s.options.Device = index
	}
	return e
}

// passCred reports whether SO_PASSCRED is on.
func (s *socket) passCred() bool { return s.options.Int(syscall.SO_PASSCRED) != 0 }

// passRights reports whether SO_PASSRIGHTS is on: the socket may be sent descriptors.
func (s *socket) passRights() bool { return s.options.Int(solsocket.PassRights) != 0 }

// setQueued is SO_INQ, of streams: unix_setsockopt in Linux's net/unix/af_unix.c. It cannot be read.
func (s *socket) setQueued(val []byte) syscall.Errno {
	if s.typ != syscall.SOCK_STREAM {
		return syscall.ENOPROTOOPT
	}
	v := binary.NativeEndian.Uint32(val)
	if len(val) != 4 || v > 1 {
		return syscall.EINVAL
	}
	s.tellsQueued = v == 1
	return 0
}

// GetOption implements kernel.Socket.
func (s *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	if level != syscall.SOL_SOCKET {
		return 0, syscall.EOPNOTSUPP
	}
	if name == solsocket.PeerName {
		return solsocket.GetPeerName(dst, s.PeerAddr)
	}
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	switch name {
	case syscall.SO_ERROR:
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(s.takeError()))
		return copy(dst, b[:]), 0
	case syscall.SO_PEERCRED:
		var b [solsocket.UcredSize]byte
		putUcred(b[:], s.peerCred)
		return copy(dst, b[:]), 0
	case solsocket.PeerGroups:
		if s.peerCred != noCredentials {
			return 0, 0 // the only user is in no more groups
		}
	case solsocket.PeerPidFD:
		if s.peerCred != noCredentials {
			return 0, syscall.ENOPROTOOPT // as before Linux 6.5
		}
	case syscall.SO_ATTACH_FILTER: // also SO_GET_FILTER
		return s.filter.Get(dst)
	case syscall.SO_BINDTODEVICE:
		return s.options.GetDevice(dst, nil)
	}
	return s.options.Get(name, dst, &solsocket.About{Domain: syscall.AF_UNIX, Type: s.typ, Listening: s.state == listening, Cookie: s.ino})
}
