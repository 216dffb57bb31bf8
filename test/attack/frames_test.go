package attack

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// mac is an Ethernet address.
type mac = [6]byte

var (
	everyone    = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	routerMAC   = mac{2, 0, 0, 0, 0, 1}
	clientMAC   = mac{2, 0, 0, 0, 0, 3}
	attackerMAC = mac{2, 0, 0, 0, 0, 66}

	routerAddr = netip.AddrFrom4([4]byte{10, 0, 0, 1})
	guestAddr  = netip.AddrFrom4([4]byte{10, 0, 0, 2})
	clientAddr = netip.AddrFrom4([4]byte{10, 0, 0, 3})
)

const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeIPv6 = 0x86dd
)

// attackerAddr is the i-th of 65,536 addresses of attackers.
func attackerAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 66, byte(i >> 8), byte(i)}) }

func ethernet(dst, src mac, kind uint16, payload []byte) []byte {
	f := append(dst[:], src[:]...)
	return append(binary.BigEndian.AppendUint16(f, kind), payload...)
}

// ipv4 makes a packet to the guest; fragment has the flags and the offset.
func ipv4(from netip.Addr, protocol byte, id, fragment uint16, payload []byte) []byte {
	return ipv4To(guestAddr, from, protocol, id, fragment, payload)
}

func ipv4To(to, from netip.Addr, protocol byte, id, fragment uint16, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], fragment)
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	return append(b, payload...)
}

// udp makes a datagram without a checksum.
func udp(from, to uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

const (
	fin = 1
	syn = 2
	rst = 4
	ack = 16
)

// segment is a TCP segment between an attacker and the guest.
type segment struct {
	peer       netip.AddrPort // the attacker's
	port       uint16         // the guest's
	seq, ack   uint32
	flags      byte
	window     uint16
	payload    []byte
	payloadLen int // of a received segment
}

// frame makes the frame that has the segment.
func (s *segment) frame(guest mac) []byte {
	b := make([]byte, 20, 20+len(s.payload))
	binary.BigEndian.PutUint16(b, s.peer.Port())
	binary.BigEndian.PutUint16(b[2:], s.port)
	binary.BigEndian.PutUint32(b[4:], s.seq)
	binary.BigEndian.PutUint32(b[8:], s.ack)
	b[12], b[13] = 5<<4, s.flags
	binary.BigEndian.PutUint16(b[14:], s.window)
	b = append(b, s.payload...)
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, tcpip.AddrFromSlice(s.peer.Addr().AsSlice()),
		tcpip.AddrFromSlice(guestAddr.AsSlice()), uint16(len(b)))
	binary.BigEndian.PutUint16(b[16:], ^checksum.Checksum(b, sum))
	return ethernet(guest, attackerMAC, typeIPv4, ipv4(s.peer.Addr(), syscall.IPPROTO_TCP, 0, 0, b))
}

// parseSegment reads a frame from the guest; ok is false if it has no TCP segment over IPv4.
func parseSegment(f []byte) (s segment, ok bool) {
	if len(f) < 54 || binary.BigEndian.Uint16(f[12:]) != typeIPv4 || f[14] != 0x45 || f[23] != syscall.IPPROTO_TCP {
		return s, false
	}
	tcp := header.TCP(f[34:])
	s = segment{
		peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte(f[30:34])), tcp.DestinationPort()),
		port: tcp.SourcePort(), seq: tcp.SequenceNumber(), ack: tcp.AckNumber(), flags: byte(tcp.Flags()),
		payloadLen: int(binary.BigEndian.Uint16(f[16:])) - 20 - int(tcp.DataOffset()),
	}
	return s, s.payloadLen >= 0
}

// arpPacket makes a packet of RFC 826.
func arpPacket(op byte, from mac, fromIP netip.Addr, to mac, toIP netip.Addr) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, op}, from[:]...)
	b = append(append(b, fromIP.AsSlice()...), to[:]...)
	return append(b, toIP.AsSlice()...)
}

// linkLocal is the i-th of many link-local IPv6 addresses.
func linkLocal(i int) netip.Addr {
	a := [16]byte{0: 0xfe, 1: 0x80, 10: 66}
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.AddrFrom16(a)
}

// guestLinkLocal is the address that the guest makes of its Ethernet address (RFC 4291, appendix A).
func guestLinkLocal(m mac) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// ipv6 makes a packet with the hop limit that neighbour discovery needs.
func ipv6(from, to netip.Addr, next byte, payload []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[6], b[7] = 0x60, next, 255
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
	return append(b, payload...)
}

// icmp6 makes an ICMPv6 packet of a message without checksum.
func icmp6(from, to netip.Addr, message []byte) []byte {
	sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, tcpip.AddrFromSlice(from.AsSlice()),
		tcpip.AddrFromSlice(to.AsSlice()), uint16(len(message)))
	binary.BigEndian.PutUint16(message[2:], ^checksum.Checksum(message, sum))
	return ipv6(from, to, syscall.IPPROTO_ICMPV6, message)
}

// dhcp makes a server's answer with options (RFC 2131 §2).
func dhcp(xid [4]byte, client mac, options []byte) []byte {
	b := make([]byte, 236)
	b[0], b[1], b[2] = 2, 1, 6
	copy(b[4:], xid[:])
	copy(b[16:], guestAddr.AsSlice())
	copy(b[28:], client[:])
	b = append(b, 0x63, 0x82, 0x53, 0x63)
	return append(append(b, options...), 255)
}
