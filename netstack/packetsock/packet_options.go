package packetsock

import (
	"encoding/binary"
	"syscall"
)

// Options of SOL_PACKET that package syscall lacks, linux/if_packet.h. Those of rings, PACKET_FANOUT and
// PACKET_VNET_HDR are not among them: ENOPROTOOPT, as on a kernel without.
const (
	packetAuxData        = 8
	packetOrigDev        = 9
	packetQdiscBypass    = 20
	packetIgnoreOutgoing = 23
)

// flagOf returns the flag of an option that switches something.
func flagOf(name int) (flag uint32, ok bool) {
	switch name {
	case packetAuxData:
		return wantsAuxData, true
	case packetOrigDev:
		return originalDevice, true // there are no interfaces below others, which it would name
	case packetQdiscBypass:
		return bypasses, true
	case packetIgnoreOutgoing:
		return ignoresOutput, true
	}
	return 0, false
}

// setPacketOption sets an option of SOL_PACKET: packet_setsockopt in Linux's net/packet/af_packet.c.
func (s *socket) setPacketOption(name int, val []byte) syscall.Errno {
	switch name {
	case syscall.PACKET_ADD_MEMBERSHIP:
		return s.addMember(val)
	case syscall.PACKET_DROP_MEMBERSHIP:
		return s.dropMember(val)
	}
	flag, ok := flagOf(name)
	if !ok {
		return syscall.ENOPROTOOPT
	}
	exact := name == packetQdiscBypass || name == packetIgnoreOutgoing
	if len(val) < 4 || exact && len(val) != 4 {
		return syscall.EINVAL
	}
	v := int32(binary.NativeEndian.Uint32(val))
	if name == packetIgnoreOutgoing && v != 0 && v != 1 {
		return syscall.EINVAL
	}
	s.set(flag, v != 0)
	return 0
}

// getPacketOption returns an option of SOL_PACKET. mu is held.
func (s *socket) getPacketOption(name int, dst []byte) (int, syscall.Errno) {
	if name == syscall.PACKET_STATISTICS { // struct tpacket_stats: frames with those that were lost, and those
		var b [8]byte
		binary.NativeEndian.PutUint32(b[:], s.received+s.lost)
		binary.NativeEndian.PutUint32(b[4:], s.lost)
		s.received, s.lost = 0, 0
		return copy(dst, b[:]), 0
	}
	flag, ok := flagOf(name)
	if !ok {
		return 0, syscall.ENOPROTOOPT
	}
	if s.has(flag) {
		return putInt(dst, 1), 0
	}
	return putInt(dst, 0), 0
}
