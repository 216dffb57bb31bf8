package bpf

import (
	"encoding/binary"
	"math/rand/v2"
)

// Types of packets, the numbers of packet(7).
const (
	ToHost      = 0 // PACKET_HOST
	Broadcast   = 1 // PACKET_BROADCAST
	Multicast   = 2 // PACKET_MULTICAST
	ToOtherHost = 3 // PACKET_OTHERHOST
	Outgoing    = 4 // PACKET_OUTGOING
)

// A Packet is what a program looks at: Linux's struct sk_buff.
type Packet struct {
	// Parts are all bytes, from the first header that is known on.
	Parts [][]byte
	// Start is where the program's offset 0 is. Link and Network are where these headers begin, -1 if
	// there are none.
	Start, Link, Network int
	// Protocol is the type of the Ethernet frame, or that which stands for one: ETH_P_* of
	// linux/if_ether.h.
	Protocol uint16
	// Type is ToHost or one of those beside it.
	Type uint8
	// Interface is the index of the interface, 0 if there is none. Hardware is its type, ARPHRD_* of
	// linux/if_arp.h.
	Interface int
	Hardware  uint16
	// VLAN is the tag that the frame had, VLANProtocol the type of the tag; 0: none.
	VLAN, VLANProtocol uint16
}

// Len returns the number of bytes from Start on: skb->len.
func (p *Packet) Len() int {
	n := -p.Start
	for _, part := range p.Parts {
		n += len(part)
	}
	return n
}

// Bytes copies the bytes at an offset from the first of Parts, and reports whether there are as many.
func (p *Packet) Bytes(at int, dst []byte) bool {
	if at < 0 {
		return false
	}
	for _, part := range p.Parts {
		if at >= len(part) {
			at -= len(part)
			continue
		}
		n := copy(dst, part[at:])
		if dst = dst[n:]; len(dst) == 0 {
			return true
		}
		at = 0
	}
	return false
}

// load reads a number of 1, 2 or 4 bytes in network order at an offset as programs give it.
func (p *Packet) load(offset uint32, size int) (uint32, bool) {
	at := p.Start + int(int32(offset))
	if int32(offset) < 0 {
		switch {
		case offset >= offsetNetwork && p.Network >= 0:
			at = p.Network + int(offset-offsetNetwork)
		case offset < offsetNetwork && offset >= offsetLink && p.Link >= 0:
			at = p.Link + int(offset-offsetLink)
		default:
			return 0, false
		}
	}
	if len(p.Parts) != 0 && at >= 0 && at+size <= len(p.Parts[0]) {
		return number(p.Parts[0][at : at+size]), true
	}
	var b [4]byte
	if !p.Bytes(at, b[:size]) {
		return 0, false
	}
	return number(b[:size]), true
}

func number(b []byte) uint32 {
	switch len(b) {
	case 1:
		return uint32(b[0])
	case 2:
		return uint32(binary.BigEndian.Uint16(b))
	}
	return binary.BigEndian.Uint32(b)
}

// metadata returns what a load after SKF_AD_OFF gives; ok is false if the program ends with the value
// of A, as without an interface (convert_bpf_extensions in Linux's net/core/filter.c). Marks, queues
// and hashes of packets do not exist here.
func (p *Packet) metadata(at, a, x uint32) (v uint32, ok bool) {
	switch at {
	case dataProtocol:
		return uint32(p.Protocol), true
	case dataType:
		return uint32(p.Type), true
	case dataInterface:
		return uint32(p.Interface), p.Interface != 0
	case dataHardware:
		return uint32(p.Hardware), p.Interface != 0
	case dataAttribute:
		return p.attribute(a, x), true
	case dataNested:
		return p.nested(a, x), true
	case dataCPU:
		return currentCPU(), true
	case dataRandom:
		return rand.Uint32(), true
	case dataXorX:
		return a ^ x, true
	case dataVLANTag:
		return uint32(p.VLAN), true
	case dataVLANPresent:
		return min(uint32(p.VLANProtocol), 1), true
	case dataVLANProtocol:
		return uint32(p.VLANProtocol), true
	case dataPayload:
		return p.payload(), true
	}
	return 0, true // dataMark, dataQueue, dataHash
}

// attributeHeader is sizeof(struct nlattr): a length and a type, of 16 bits each.
const attributeHeader = 4

// attribute returns the offset of the first netlink attribute of a type from an offset on, 0 if there
// is none: bpf_skb_get_nlattr in Linux's net/core/filter.c.
func (p *Packet) attribute(from, typ uint32) uint32 { return p.find(from, uint32(p.Len()), typ) }

// nested is attribute for those within the attribute at an offset.
func (p *Packet) nested(from, typ uint32) uint32 {
	n := uint32(p.Len())
	var h [attributeHeader]byte
	if n < attributeHeader || from > n-attributeHeader || !p.Bytes(p.Start+int(from), h[:]) {
		return 0
	}
	size := uint32(binary.NativeEndian.Uint16(h[:]))
	if size > n-from || size < attributeHeader {
		return 0
	}
	return p.find(from+attributeHeader, from+size, typ)
}

// find looks for an attribute between two offsets: nla_find in Linux's lib/nlattr.c.
func (p *Packet) find(from, end, typ uint32) uint32 {
	const typeMask = 0x3fff // NLA_TYPE_MASK
	if n := uint32(p.Len()); n < attributeHeader || from > n-attributeHeader {
		return 0
	}
	for from+attributeHeader <= end {
		var h [attributeHeader]byte
		if !p.Bytes(p.Start+int(from), h[:]) {
			return 0
		}
		size := uint32(binary.NativeEndian.Uint16(h[:]))
		if size < attributeHeader || size > end-from {
			return 0
		}
		if uint32(binary.NativeEndian.Uint16(h[2:])&typeMask) == typ {
			return from
		}
		from += (size + 3) &^ 3
	}
	return 0
}

// Protocols that payload knows the headers of, linux/in.h.
const (
	protocolICMP, protocolIGMP, protocolTCP, protocolUDP, protocolDCCP = 1, 2, 6, 17, 33
	protocolICMPv6, protocolSCTP, protocolUDPLite                      = 58, 132, 136
	typeIPv4, typeIPv6                                                 = 0x0800, 0x86dd
)

// payload returns the offset of what the transport protocol carries: skb_get_poff in Linux's
// net/core/flow_dissector.c.
func (p *Packet) payload() uint32 {
	at, protocol, first := p.transport()
	if at < 0 {
		return 0
	}
	if !first {
		return uint32(at)
	}
	switch protocol {
	case protocolTCP:
		var offset [1]byte
		if !p.Bytes(p.Start+at+12, offset[:]) {
			return uint32(at)
		}
		return uint32(at + max(20, int(offset[0]>>4)*4))
	case protocolUDP, protocolUDPLite, protocolICMP, protocolICMPv6, protocolIGMP:
		at += 8
	case protocolDCCP, protocolSCTP:
		at += 12
	}
	return uint32(at)
}

// transport returns where the transport header is, counted from Start, -1 if that is unknown, and its
// protocol; first is false for the later fragments of a datagram, which have none.
func (p *Packet) transport() (at int, protocol uint8, first bool) {
	if p.Network < 0 {
		return -1, 0, false
	}
	var h [40]byte
	switch {
	case p.Protocol == typeIPv4 && p.Bytes(p.Network, h[:20]) && h[0]&15 >= 5:
		return p.Network - p.Start + int(h[0]&15)*4, h[9], binary.BigEndian.Uint16(h[6:])&0x1fff == 0
	case p.Protocol == typeIPv6 && p.Bytes(p.Network, h[:40]):
		return p.skipExtensions(p.Network+40, h[6])
	}
	return -1, 0, false
}

// skipExtensions goes over the extension headers of IPv6 (RFC 8200 §4) that a flow is found behind.
func (p *Packet) skipExtensions(at int, next uint8) (int, uint8, bool) {
	const hopByHop, routing, fragment, destination = 0, 43, 44, 60
	for {
		var h [8]byte
		switch next {
		case hopByHop, routing, destination:
			if !p.Bytes(at, h[:2]) {
				return -1, 0, false
			}
			next, at = h[0], at+int(h[1])*8+8
		case fragment:
			if !p.Bytes(at, h[:]) {
				return -1, 0, false
			}
			next, at = h[0], at+8
			if binary.BigEndian.Uint16(h[2:])&^7 != 0 {
				return at - p.Start, next, false
			}
		default:
			return at - p.Start, next, true
		}
	}
}
