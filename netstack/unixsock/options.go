package unixsock

import (
	"encoding/binary"
	"math"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// These are the smallest buffers: SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF of Linux on amd64.
const (
	minSendBuffer    = 4608
	minReceiveBuffer = 2304
)

// These are options that package syscall lacks: socket(7).
const (
	soNoCheck        = 11
	soReusePort      = 15
	soPassSec        = 34
	soProtocol       = 38
	soDomain         = 39
	soRxqOvfl        = 40
	soLockFilter     = 44
	soSelectErrQueue = 45
	soIncomingCPU    = 49
	soMeminfo        = 55
	soBindToIfIndex  = 62
	soNetnsCookie    = 71
	soReserveMem     = 73
	soTxRehash       = 74
	soZerocopy       = 60
)

// meminfoSize is the nine numbers of SO_MEMINFO, linux/sock_diag.h.
const meminfoSize = 36

// optionSize returns the size of an option that is stored but has no effect between two sockets
// of one machine (or, for timeouts, is implemented in the descriptor layer), and whether it
// reads back as 0 or 1. The size is 0 if there is no such option.
func optionSize(name int) (size int, isFlag bool) {
	switch name {
	case syscall.SO_DEBUG, syscall.SO_REUSEADDR, syscall.SO_DONTROUTE,
		syscall.SO_BROADCAST, syscall.SO_KEEPALIVE, syscall.SO_OOBINLINE, syscall.SO_TIMESTAMP,
		soNoCheck, soPassSec, soRxqOvfl, soLockFilter, soSelectErrQueue:
		return 4, true
	case syscall.SO_PRIORITY, syscall.SO_MARK, syscall.SO_RCVLOWAT, soIncomingCPU, soBindToIfIndex:
		return 4, false
	case syscall.SO_LINGER:
		return 8, false
	case syscall.SO_RCVTIMEO, syscall.SO_SNDTIMEO:
		return 16, false
	}
	return 0, false
}

// SetOption implements kernel.Socket.
func (s *socket) SetOption(level, name int, val []byte) syscall.Errno {
	if level != syscall.SOL_SOCKET {
		return syscall.EOPNOTSUPP
	}
	if len(val) < 4 {
		return syscall.EINVAL
	}
	n := int(int32(binary.NativeEndian.Uint32(val)))
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	switch name {
	case syscall.SO_PASSCRED:
		s.passCred = n != 0
	case soReusePort:
		if n != 0 {
			return syscall.EOPNOTSUPP // Linux 6.14: for internet sockets only
		}
	case syscall.SO_SNDBUF:
		s.sndbuf = bufferSize(n, minSendBuffer)
		s.queue.Notify(kernel.EventOut) // there may be more room
	case syscall.SO_RCVBUF:
		s.rcvbuf = bufferSize(n, minReceiveBuffer)
	case syscall.SO_TYPE, soProtocol, soDomain, syscall.SO_ERROR, syscall.SO_ACCEPTCONN, syscall.SO_PEERCRED:
		return syscall.ENOPROTOOPT
	case soReserveMem, soTxRehash, soZerocopy: // for other families, or other kernels
		return syscall.EOPNOTSUPP
	case soLockFilter:
		if n == 0 && s.filterLocked() {
			return syscall.EPERM
		}
		return s.store(name, n, val)
	case syscall.SO_ATTACH_FILTER:
		return s.attachFilter(val)
	case syscall.SO_DETACH_FILTER:
		return s.detachFilter()
	default:
		return s.store(name, n, val)
	}
	return 0
}

// bufferSize doubles the value, as socket(7) describes, within the limits.
func bufferSize(n, least int) int {
	if n < 0 || n > maxBuffer/2 { // the comparison is unsigned in Linux
		return maxBuffer
	}
	return max(2*n, least)
}

func (s *socket) store(name, n int, val []byte) syscall.Errno {
	size, isFlag := optionSize(name)
	if size == 0 {
		return syscall.ENOPROTOOPT
	}
	if len(val) < size {
		return syscall.EINVAL
	}
	if s.options == nil {
		s.options = make(map[int][]byte)
	}
	stored := append([]byte(nil), val[:size]...)
	switch {
	case isFlag && n != 0, name == syscall.SO_RCVLOWAT && n == 0:
		binary.NativeEndian.PutUint32(stored, 1)
	case name == syscall.SO_RCVLOWAT && n < 0:
		binary.NativeEndian.PutUint32(stored, math.MaxInt32)
	}
	s.options[name] = stored
	return 0
}

// GetOption implements kernel.Socket.
func (s *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	if level != syscall.SOL_SOCKET {
		return 0, syscall.EOPNOTSUPP
	}
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	var n int
	switch name {
	case syscall.SO_TYPE:
		n = s.typ
	case soDomain:
		n = syscall.AF_UNIX
	case soProtocol:
		n = 0
	case syscall.SO_ERROR:
		n = int(s.takeError())
	case syscall.SO_ACCEPTCONN:
		n = flag(s.state == listening)
	case syscall.SO_SNDBUF:
		n = s.sndbuf
	case syscall.SO_SNDLOWAT:
		n = 1 // always, socket(7)
	case syscall.SO_RCVBUF:
		n = s.rcvbuf
	case syscall.SO_PASSCRED:
		n = flag(s.passCred)
	case syscall.SO_PEERCRED:
		var b [ucredSize]byte
		putUcred(b[:], s.peerCred)
		return copy(dst, b[:]), 0
	case soMeminfo:
		var b [meminfoSize]byte
		binary.NativeEndian.PutUint32(b[4:], uint32(s.rcvbuf))
		binary.NativeEndian.PutUint32(b[12:], uint32(s.sndbuf))
		return copy(dst, b[:]), 0
	case soNetnsCookie: // the only network namespace
		if len(dst) != 8 {
			return 0, syscall.EINVAL
		}
		binary.NativeEndian.PutUint64(dst, 1)
		return 8, 0
	case syscall.SO_ATTACH_FILTER:
		return s.filter.Get(dst)
	case soTxRehash:
		return 0, syscall.EOPNOTSUPP
	case soReusePort, soReserveMem, soZerocopy:
		n = 0
	default:
		return s.stored(name, dst)
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(n))
	return copy(dst, b[:]), 0
}

func (s *socket) stored(name int, dst []byte) (int, syscall.Errno) {
	size, _ := optionSize(name)
	if size == 0 {
		return 0, syscall.ENOPROTOOPT
	}
	b := s.options[name]
	if b == nil {
		b = make([]byte, size)
		switch name {
		case syscall.SO_RCVLOWAT:
			b[0] = 1
		case soIncomingCPU:
			binary.NativeEndian.PutUint32(b, ^uint32(0))
		}
	}
	return copy(dst, b), 0
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
