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
	netlinkBroadcast   = 4
	netlinkNoNobufs    = 5
	netlinkAllNetworks = 8
	netlinkMemberships = 9
	netlinkCapAck      = 10
	netlinkExtAck      = 11
	netlinkStrict      = 12

	maxBuffer        = 2 * 212992 // net.core.rmem_max, doubled
	minBuffer        = 2304
	soReceiveForced  = syscall.SO_RCVBUFFORCE
	soTransmitForced = syscall.SO_SNDBUFFORCE
)

// Options of socket(7) that package syscall lacks.
const (
	soNoCheck        = 11
	soReusePort      = 15
	soPassSec        = 34
	soProtocol       = 38
	soDomain         = 39
	soRxqOvfl        = 40
	soPeekOff        = 42
	soLockFilter     = 44
	soSelectErrQueue = 45
	soIncomingCPU    = 49
	soMeminfo        = 55
	soZerocopy       = 60
	soBindToIfIndex  = 62
	soNetnsCookie    = 71
	soReserveMem     = 73
	soTxRehash       = 74
)

// meminfoSize is the nine numbers of SO_MEMINFO, linux/sock_diag.h.
const meminfoSize = 36

// kept says which options of SOL_SOCKET are kept, as by Linux, which does nothing with them for
// netlink; flag: any value but 0 is 1.
func kept(name int) (known, flag bool) {
	switch name {
	case syscall.SO_DEBUG, syscall.SO_REUSEADDR, syscall.SO_DONTROUTE, syscall.SO_BROADCAST, syscall.SO_KEEPALIVE,
		syscall.SO_OOBINLINE, soNoCheck, syscall.SO_PASSCRED, soPassSec, soRxqOvfl, soSelectErrQueue, soLockFilter:
		return true, true
	case syscall.SO_PRIORITY, syscall.SO_MARK, syscall.SO_RCVLOWAT, soIncomingCPU, soBindToIfIndex:
		return true, false
	}
	return false, false
}

// SetOption implements kernel.Socket.
func (s *socket) SetOption(level, name int, val []byte) syscall.Errno {
	if level != syscall.SOL_SOCKET && level != solNetlink {
		return syscall.ENOPROTOOPT
	}
	if len(val) < 4 {
		return syscall.EINVAL
	}
	v := binary.NativeEndian.Uint32(val)
	if level == solNetlink {
		s.mu.Lock()
		e := s.setNetlink(name, v)
		s.mu.Unlock()
		s.family.watch(s, false)
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case syscall.SO_RCVBUF, soReceiveForced:
		s.rcvbuf = bufferSize(v)
	case syscall.SO_SNDBUF, soTransmitForced:
		s.sndbuf = bufferSize(v)
	case syscall.SO_ATTACH_FILTER:
		return s.attachFilter(val)
	case syscall.SO_DETACH_FILTER:
		return s.detachFilter()
	case soReusePort, soPeekOff, soZerocopy, soReserveMem, soTxRehash: // for other families, or other kernels
		return syscall.EOPNOTSUPP
	default:
		return s.setKept(name, v)
	}
	return 0
}

func (s *socket) setKept(name int, v uint32) syscall.Errno {
	known, flag := kept(name)
	switch {
	case !known:
		return syscall.ENOPROTOOPT
	case name == soLockFilter && v == 0 && s.settings[setting{syscall.SOL_SOCKET, name}] != 0:
		return syscall.EPERM
	case flag && v != 0:
		v = 1
	}
	s.keep(setting{syscall.SOL_SOCKET, name}, v)
	return 0
}

func bufferSize(v uint32) int { return max(2*int(min(v, maxBuffer/2)), minBuffer) }

// setNetlink sets an option of netlink(7). Those that are only kept have no effect here: no message
// is lost by a broadcast, there is one network namespace, and errors have no text that could be added.
func (s *socket) setNetlink(name int, v uint32) syscall.Errno {
	switch name {
	case netlinkAdd, netlinkDrop:
		if v == 0 || v > 64 { // groups are numbered from 1
			return syscall.EINVAL
		}
		s.subscribe(v, name == netlinkAdd)
	case netlinkPacketInfo, netlinkBroadcast, netlinkNoNobufs, netlinkAllNetworks, netlinkCapAck, netlinkExtAck, netlinkStrict:
		s.keep(setting{solNetlink, name}, min(v, 1))
	default:
		return syscall.ENOPROTOOPT
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

// on reports whether an option of netlink(7) is on. mu is held.
func (s *socket) on(level, name int) bool { return s.settings[setting{level, name}] != 0 }

// GetOption implements kernel.Socket.
func (s *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v uint32
	var e syscall.Errno
	switch level {
	case syscall.SOL_SOCKET:
		switch name {
		case soMeminfo, soNetnsCookie:
			return s.getBytes(name, dst)
		case syscall.SO_ATTACH_FILTER: // SO_GET_FILTER, with the same number
			return s.filter.Get(dst)
		}
		v, e = s.getSocket(name)
	case solNetlink:
		v, e = s.getNetlink(name)
	default:
		e = syscall.ENOPROTOOPT
	}
	if e != 0 {
		return 0, e
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	return copy(dst, b[:]), 0
}

func (s *socket) getNetlink(name int) (uint32, syscall.Errno) {
	switch name {
	case netlinkMemberships:
		return s.groups, 0
	case netlinkPacketInfo, netlinkBroadcast, netlinkNoNobufs, netlinkAllNetworks, netlinkCapAck, netlinkExtAck, netlinkStrict:
		return s.settings[setting{solNetlink, name}], 0
	}
	return 0, syscall.ENOPROTOOPT
}

func (s *socket) getSocket(name int) (uint32, syscall.Errno) {
	switch name {
	case syscall.SO_TYPE:
		return uint32(s.typ), 0
	case soDomain:
		return syscall.AF_NETLINK, 0
	case soProtocol:
		return uint32(s.protocol), 0
	case syscall.SO_ERROR:
		v := uint32(s.err)
		s.err = 0
		return v, 0
	case syscall.SO_RCVBUF:
		return uint32(s.rcvbuf), 0
	case syscall.SO_SNDBUF:
		return uint32(s.sndbuf), 0
	case syscall.SO_ACCEPTCONN, soReusePort, soReserveMem, soZerocopy:
		return 0, 0
	case soPeekOff, soTxRehash:
		return 0, syscall.EOPNOTSUPP
	}
	known, _ := kept(name)
	if !known {
		return 0, syscall.ENOPROTOOPT
	}
	v, set := s.settings[setting{syscall.SOL_SOCKET, name}]
	switch {
	case !set && name == syscall.SO_RCVLOWAT:
		v = 1
	case !set && name == soIncomingCPU:
		v = ^uint32(0)
	}
	return v, 0
}

func (s *socket) getBytes(name int, dst []byte) (int, syscall.Errno) {
	if name == soNetnsCookie { // the only network namespace
		if len(dst) != 8 {
			return 0, syscall.EINVAL
		}
		binary.NativeEndian.PutUint64(dst, 1)
		return 8, 0
	}
	var b [meminfoSize]byte
	binary.NativeEndian.PutUint32(b[:], uint32(s.queued))
	binary.NativeEndian.PutUint32(b[4:], uint32(s.rcvbuf))
	binary.NativeEndian.PutUint32(b[12:], uint32(s.sndbuf))
	return copy(dst, b[:]), 0
}
