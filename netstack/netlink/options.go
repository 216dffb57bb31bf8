package netlink

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

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
)

// SetOption implements kernel.Socket.
func (s *socket) SetOption(level, name int, val []byte) syscall.Errno {
	if level != syscall.SOL_SOCKET && level != solNetlink {
		return syscall.ENOPROTOOPT
	}
	if level == syscall.SOL_SOCKET && name == syscall.SO_BINDTODEVICE {
		return s.bindToDevice(val)
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
	case syscall.SO_ATTACH_FILTER:
		return s.attachFilter(val)
	case syscall.SO_DETACH_FILTER:
		return s.detachFilter()
	}
	return s.options.Set(name, val)
}

// bindToDevice is SO_BINDTODEVICE, which Linux keeps and does not look at.
func (s *socket) bindToDevice(val []byte) syscall.Errno {
	index, e := solsocket.DeviceIndex(val, s.family.interfaces())
	if e != 0 {
		return e
	}
	s.mu.Lock()
	s.options.Device = index
	s.mu.Unlock()
	return 0
}

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
		s.setFlag(name, v != 0)
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

// interfaces returns the names of the interfaces by index.
func (f *Family) interfaces() map[int]string {
	names := make(map[int]string)
	for _, i := range f.source.Interfaces() {
		names[i.Index] = i.Name
	}
	return names
}

func (s *socket) setFlag(name int, on bool) {
	s.flags &^= 1 << name
	if on {
		s.flags |= 1 << name
	}
}

// on reports whether an option of netlink(7) is on. mu is held.
func (s *socket) on(name int) bool { return s.flags&(1<<name) != 0 }

// GetOption implements kernel.Socket.
func (s *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	if level == syscall.SOL_SOCKET && name == solsocket.PeerName {
		return solsocket.GetPeerName(dst, s.PeerAddr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var v uint32
	switch level {
	case syscall.SOL_SOCKET:
		switch name {
		case syscall.SO_ATTACH_FILTER: // SO_GET_FILTER, with the same number
			return s.filter.Get(dst)
		case syscall.SO_BINDTODEVICE:
			return s.options.GetDevice(dst, s.family.interfaces())
		case syscall.SO_ERROR:
			v, s.err = uint32(s.err), 0
		default:
			return s.options.Get(name, dst, &solsocket.About{Domain: syscall.AF_NETLINK, Type: s.typ, Protocol: s.protocol, Cookie: s.cookie, Held: s.queued})
		}
	case solNetlink:
		var e syscall.Errno
		if v, e = s.getNetlink(name); e != 0 {
			return 0, e
		}
	default:
		return 0, syscall.ENOPROTOOPT
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
		return s.flags >> name & 1, 0
	}
	return 0, syscall.ENOPROTOOPT
}
