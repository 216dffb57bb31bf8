package packetsock

import (
	"encoding/binary"
	"syscall"
)

// maxAddress is MAX_ADDR_LEN, the longest address of a card.
const maxAddress = 32

// A membership is a struct packet_mreq, packet(7). A card passes every multicast frame, so that a
// PACKET_MR_MULTICAST or PACKET_MR_ALLMULTI adds nothing; those of another station it passes only with
// PACKET_MR_PROMISC or PACKET_MR_UNICAST.
type membership struct {
	index   int
	typ     uint16
	length  uint16
	address [maxAddress]byte
}

// parseMembership reads a struct packet_mreq: index, type, length of the address and, at 8, the address.
func parseMembership(val []byte) (m membership, e syscall.Errno) {
	const least, offAddress = 16, 8
	if len(val) < least {
		return m, syscall.EINVAL
	}
	m.index = int(int32(binary.NativeEndian.Uint32(val)))
	m.typ, m.length = binary.NativeEndian.Uint16(val[4:]), binary.NativeEndian.Uint16(val[6:])
	val = val[offAddress:min(len(val), offAddress+maxAddress)]
	if int(m.length) > len(val) {
		return m, syscall.EINVAL
	}
	copy(m.address[:m.length], val)
	return m, 0
}

// addMember is PACKET_ADD_MEMBERSHIP: packet_mc_add in Linux's net/packet/af_packet.c.
func (s *socket) addMember(val []byte) syscall.Errno {
	m, e := parseMembership(val)
	if e != 0 {
		return e
	}
	f := s.family
	if _, ok := f.net.FrameInterface(m.index); !ok {
		return syscall.ENODEV
	}
	if m.length > addressSize || (m.typ == syscall.PACKET_MR_MULTICAST || m.typ == mrUnicast) && m.length != addressSize {
		return syscall.EINVAL
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.members == nil {
		s.members = make(map[membership]int)
	}
	if s.members[m]++; s.members[m] == 1 {
		f.members[m]++
		f.update()
	}
	return 0
}

// mrUnicast is PACKET_MR_UNICAST, which package syscall lacks.
const mrUnicast = 3

// dropMember is PACKET_DROP_MEMBERSHIP. One that there is not is no error, as on Linux.
func (s *socket) dropMember(val []byte) syscall.Errno {
	m, e := parseMembership(val)
	if e != 0 {
		return e
	}
	f := s.family
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.members[m] > 1 {
		s.members[m]--
		return 0
	}
	f.dropMembers(s, func(other membership) bool { return other == m })
	f.update()
	return 0
}

// dropMembers takes a socket out of all memberships that match. mu is held.
func (f *Family) dropMembers(s *socket, match func(membership) bool) {
	for m := range s.members {
		if !match(m) {
			continue
		}
		delete(s.members, m)
		if f.members[m]--; f.members[m] == 0 {
			delete(f.members, m)
		}
	}
}
