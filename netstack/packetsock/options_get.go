package packetsock

import (
	"encoding/binary"
	"math"
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// This file reads options of SOL_SOCKET.

// GetOption implements kernel.Socket.
func (s *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch level {
	case syscall.SOL_PACKET:
		return s.getPacketOption(name, dst)
	case syscall.SOL_SOCKET:
		if n, e, ok := s.getBytes(name, dst); ok {
			return n, e
		}
		v, e := s.getInt(name)
		if e != 0 {
			return 0, e
		}
		return putInt(dst, v), 0
	}
	return 0, syscall.ENOPROTOOPT
}

func putInt(dst []byte, v int32) int {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(v))
	return copy(dst, b[:])
}

// getInt returns an option that is an int. mu is held.
func (s *socket) getInt(name int) (int32, syscall.Errno) {
	switch name {
	case syscall.SO_TYPE:
		return int32(s.typ), 0
	case soDomain:
		return syscall.AF_PACKET, 0
	case syscall.SO_ERROR:
		return int32(s.takeError()), 0
	case syscall.SO_SNDBUF:
		return int32(s.sndbuf), 0
	case syscall.SO_RCVBUF:
		return int32(s.rcvbuf), 0
	case syscall.SO_SNDLOWAT:
		return 1, 0 // always, socket(7)
	case soBPFExtensions:
		return bpf.MetadataEnd, 0
	case soBindToIfIndex:
		return int32(s.device), 0
	case syscall.SO_TIMESTAMP, syscall.SO_TIMESTAMPNS, soTimestampNew, soTimestampNSNew:
		if s.stampForm() == name {
			return 1, 0
		}
		return 0, 0
	case soProtocol, syscall.SO_ACCEPTCONN, soIncomingNapiID, soZerocopy, soReserveMem, soBSDCompat:
		return 0, 0
	case syscall.SO_PASSCRED, syscall.SO_PASSSEC, soPeekOff, soTxRehash, soPassPidFD, soPassRights:
		return 0, syscall.EOPNOTSUPP
	case soPeerName:
		return 0, syscall.ENOTCONN
	case soPeerGroups, soPeerPidFD:
		return 0, syscall.ENODATA
	}
	o, ok := kept(name)
	if !ok {
		return 0, syscall.ENOPROTOOPT
	}
	if v, ok := s.stored[name]; ok {
		return v, 0
	}
	return o.standard, 0
}

// getBytes returns an option that is not an int; ok is false if it is one. mu is held.
func (s *socket) getBytes(name int, dst []byte) (n int, e syscall.Errno, ok bool) {
	var b [36]byte
	switch name {
	case syscall.SO_LINGER:
		return copy(dst, s.linger[:]), 0, true
	case soTxTime:
		return copy(dst, s.txTime[:]), 0, true
	case soMaxPacingRate:
		return s.getPacingRate(dst), 0, true
	case syscall.SO_PEERCRED: // nobody: no process, user and group -1
		copy(b[4:12], "\xff\xff\xff\xff\xff\xff\xff\xff")
		return copy(dst, b[:12]), 0, true
	case syscall.SO_TIMESTAMPING, soTimestampingNew: // struct so_timestamping: flags, and a clock
		if name == syscall.SO_TIMESTAMPING || s.newStamps {
			binary.NativeEndian.PutUint32(b[:], s.stamping)
		}
		return copy(dst, b[:8]), 0, true
	case syscall.SO_ATTACH_FILTER: // also SO_GET_FILTER
		n, e = s.filter.Load().Get(dst)
		return n, e, true
	case syscall.SO_BINDTODEVICE:
		n, e = s.getDevice(dst)
		return n, e, true
	case soMeminfo: // the numbers of linux/sock_diag.h that there are here
		binary.NativeEndian.PutUint32(b[0:], uint32(s.held))
		binary.NativeEndian.PutUint32(b[4:], uint32(s.rcvbuf))
		binary.NativeEndian.PutUint32(b[12:], uint32(s.sndbuf))
		binary.NativeEndian.PutUint32(b[32:], s.drops)
		return copy(dst, b[:]), 0, true
	case soCookie:
		if len(dst) < 8 {
			return 0, syscall.EINVAL, true
		}
		binary.NativeEndian.PutUint64(dst, s.inode)
		return 8, 0, true
	case soNetnsCookie: // the only network namespace
		if len(dst) != 8 {
			return 0, syscall.EINVAL, true
		}
		binary.NativeEndian.PutUint64(dst, 1)
		return 8, 0, true
	}
	return 0, 0, false
}

func (s *socket) getPacingRate(dst []byte) int {
	rate := ^s.pacing
	if len(dst) < 8 {
		return putInt(dst, int32(uint32(min(rate, math.MaxUint32))))
	}
	binary.NativeEndian.PutUint64(dst, rate)
	return 8
}

func (s *socket) getDevice(dst []byte) (int, syscall.Errno) {
	if s.device == 0 {
		return 0, 0
	}
	if len(dst) < ifNameSize {
		return 0, syscall.EINVAL
	}
	name, ok := s.family.net.InterfaceNames()[s.device]
	if !ok {
		return 0, syscall.ENODEV
	}
	return copy(dst, name+"\x00"), 0
}
