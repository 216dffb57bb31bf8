package packetsock

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file has what packet sockets answer by themselves to options of SOL_SOCKET, socket(7); solsocket.Options has
// the others. Those of SOL_PACKET are in packet_options.go.

// SetOption implements kernel.Socket.
func (s *socket) SetOption(level, name int, val []byte) syscall.Errno {
	switch {
	case level == syscall.SOL_PACKET:
		return s.setPacketOption(name, val)
	case level != syscall.SOL_SOCKET:
		return syscall.ENOPROTOOPT
	case name == syscall.SO_BINDTODEVICE:
		return s.bindToDevice(val)
	case len(val) < 4:
		return syscall.EINVAL
	}
	switch name {
	case syscall.SO_ATTACH_FILTER:
		return s.attachFilter(val)
	case syscall.SO_DETACH_FILTER:
		return s.detachFilter()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.options.Set(name, val)
	if s.options.StampForm() != 0 {
		s.keepsStamp = true
	}
	return e
}

// bindToDevice is SO_BINDTODEVICE, which Linux keeps and does not look at: bind(2) is what chooses the
// interface (socket(7)).
func (s *socket) bindToDevice(val []byte) syscall.Errno {
	index, e := solsocket.DeviceIndex(val, s.family.net.InterfaceNames())
	if e != 0 {
		return e
	}
	s.mu.Lock()
	s.options.Device = index
	s.mu.Unlock()
	return 0
}

// locked reports whether the filter stays as it is.
func (s *socket) locked() bool { return s.option(solsocket.LockFilter) != 0 }

// option returns the value of an option that solsocket.Options keeps.
func (s *socket) option(name int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options.Int(name)
}

// attachFilter is SO_ATTACH_FILTER.
func (s *socket) attachFilter(val []byte) syscall.Errno {
	f, e := s.family.newFilter(val, s.locked(), s.filter.Load())
	if e == 0 {
		s.filter.Store(f)
	}
	return e
}

// detachFilter is SO_DETACH_FILTER.
func (s *socket) detachFilter() syscall.Errno {
	switch {
	case s.locked():
		return syscall.EPERM
	case s.filter.Swap(nil) == nil:
		return syscall.ENOENT
	}
	return 0
}

// GetOption implements kernel.Socket.
func (s *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case level == syscall.SOL_PACKET:
		return s.getPacketOption(name, dst)
	case level != syscall.SOL_SOCKET:
		return 0, syscall.ENOPROTOOPT
	}
	switch name {
	case syscall.SO_ERROR:
		return putInt(dst, int32(s.takeError())), 0
	case syscall.SO_ATTACH_FILTER: // also SO_GET_FILTER
		return s.filter.Load().Get(dst)
	case syscall.SO_BINDTODEVICE:
		return s.options.GetDevice(dst, s.family.net.InterfaceNames())
	}
	return s.options.Get(name, dst, &solsocket.About{Domain: syscall.AF_PACKET, Type: s.typ, Cookie: s.inode, Held: s.held, Drops: s.drops})
}

func putInt(dst []byte, v int32) int {
	b := [4]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}
	return copy(dst, b[:])
}
