package netlink

import (
	"encoding/binary"
	"syscall"
)

// setting identifies an option whose value is only stored.
type setting struct{ level, name int }

// Options of netlink(7).
const (
	solNetlink         = 270
	netlinkAdd         = 1
	netlinkDrop        = 2
	netlinkPacketInfo  = 3
	netlinkMemberships = 9
	netlinkCapAck      = 10
	netlinkStrict      = 12

	soProtocol       = 38
	soDomain         = 39
	maxBuffer        = 2 * 212992 // net.core.rmem_max, doubled
	minBuffer        = 2304
	soReceiveForced  = syscall.SO_RCVBUFFORCE
	soTransmitForced = syscall.SO_SNDBUFFORCE
)

// SetOption implements kernel.Socket.
func (s *socket) SetOption(level, name int, val []byte) syscall.Errno {
	if level != syscall.SOL_SOCKET && level != solNetlink {
		return syscall.ENOPROTOOPT
	}
	if len(val) < 4 {
		return syscall.EINVAL
	}
	v := binary.NativeEndian.Uint32(val)
	s.mu.Lock()
	defer s.mu.Unlock()
	if level == solNetlink {
		return s.setNetlink(name, v)
	}
	switch name {
	case syscall.SO_RCVBUF, soReceiveForced:
		s.rcvbuf = bufferSize(v)
	case syscall.SO_SNDBUF, soTransmitForced:
		s.sndbuf = bufferSize(v)
	case syscall.SO_TYPE, syscall.SO_ERROR, syscall.SO_ACCEPTCONN, soProtocol, soDomain:
		return syscall.ENOPROTOOPT
	default:
		s.keep(setting{level, name}, v)
	}
	return 0
}

func bufferSize(v uint32) int { return max(2*int(min(v, maxBuffer/2)), minBuffer) }

// setNetlink accepts options that have no effect here, so that programs which enable extended
// errors or subscribe to groups continue.
func (s *socket) setNetlink(name int, v uint32) syscall.Errno {
	switch {
	case name == netlinkAdd || name == netlinkDrop:
		if v == 0 || v > 64 { // groups are numbered from 1
			return syscall.EINVAL
		}
		s.subscribe(v, name == netlinkAdd)
	case name < netlinkPacketInfo || name > netlinkStrict || name == netlinkMemberships:
		return syscall.ENOPROTOOPT
	default:
		s.keep(setting{solNetlink, name}, v)
	}
	return 0
}

// subscribe records a subscription to one of the groups that getsockname(2) can report.
func (s *socket) subscribe(group uint32, on bool) {
	if group > 32 {
		return
	}
	s.groups &^= 1 << (group - 1)
	if on {
		s.groups |= 1 << (group - 1)
	}
}

func (s *socket) keep(k setting, v uint32) {
	if s.settings == nil {
		s.settings = make(map[setting]uint32)
	}
	s.settings[k] = v
}

// GetOption implements kernel.Socket.
func (s *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v uint32
	switch (setting{level, name}) {
	case setting{syscall.SOL_SOCKET, syscall.SO_TYPE}:
		v = uint32(s.typ)
	case setting{syscall.SOL_SOCKET, soDomain}:
		v = syscall.AF_NETLINK
	case setting{syscall.SOL_SOCKET, soProtocol}:
		v = syscall.NETLINK_ROUTE
	case setting{syscall.SOL_SOCKET, syscall.SO_ERROR}:
		v = uint32(s.err)
		s.err = 0
	case setting{syscall.SOL_SOCKET, syscall.SO_RCVBUF}:
		v = uint32(s.rcvbuf)
	case setting{syscall.SOL_SOCKET, syscall.SO_SNDBUF}:
		v = uint32(s.sndbuf)
	case setting{solNetlink, netlinkMemberships}:
		v = s.groups
	default:
		kept, ok := s.settings[setting{level, name}]
		if !ok && level != syscall.SOL_SOCKET && level != solNetlink {
			return 0, syscall.ENOPROTOOPT
		}
		v = kept
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	return copy(dst, b[:]), 0
}
