package tun

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/netstack"
)

// This file reads what a program writes, and cuts frames. None of the numbers is trusted.

// Flags and types of struct virtio_net_hdr, virtio 1.2 §5.1.6.
const (
	needsChecksum = 1    // VIRTIO_NET_HDR_F_NEEDS_CSUM
	dataValid     = 2    // VIRTIO_NET_HDR_F_DATA_VALID
	typeECN       = 0x80 // VIRTIO_NET_HDR_GSO_ECN, with a type
)

// incoming is a frame that a program has written.
type incoming struct {
	frame    []byte
	protocol tcpip.NetworkProtocolNumber

	needsChecksum  bool // of the bytes from checksumStart on, at checksumStart+checksumOffset
	valid          bool // the checksum was looked at
	checksumStart  int
	checksumOffset int
	shape          shape
}

// shape is that of a TCP packet which is to be cut into segments. All offsets are from the frame's
// beginning, in bytes.
type shape struct {
	segment   int // bytes of data of each segment; 0: the frame is one
	network   int // where the IP header is
	transport int // where the TCP header is
	data      int // where the data is
	six       bool
}

// parse returns the frame in p; EINVAL if there is none.
func (l *layout) parse(p []byte, linkHeader int) (in incoming, e syscall.Errno) {
	if len(p) < l.size() || len(p) > l.size()+longestFrame {
		return in, syscall.EINVAL
	}
	if l.info {
		in.protocol = tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(p[2:]))
		p = p[infoSize:]
	}
	var h []byte
	h, in.frame = p[:l.header], p[l.header:]
	switch {
	case linkHeader != 0:
		if len(in.frame) < linkHeader {
			return in, syscall.EINVAL
		}
		in.protocol = header.Ethernet(in.frame).Type()
	case !l.info:
		var ok bool
		if in.protocol, ok = versionOf(in.frame); !ok {
			return in, syscall.EINVAL
		}
	}
	if len(h) == 0 {
		return in, 0
	}
	return in, in.parseHeader(h, linkHeader)
}

// parseHeader reads struct virtio_net_hdr, as virtio_net_hdr_to_skb of Linux.
func (in *incoming) parseHeader(h []byte, linkHeader int) syscall.Errno {
	if int(binary.NativeEndian.Uint16(h[2:])) > len(in.frame) { // hdr_len
		return syscall.EINVAL
	}
	in.valid = h[0]&dataValid != 0
	if in.needsChecksum = h[0]&needsChecksum != 0; in.needsChecksum {
		in.checksumStart, in.checksumOffset = int(binary.NativeEndian.Uint16(h[6:])), int(binary.NativeEndian.Uint16(h[8:]))
		if in.checksumStart < linkHeader || in.checksumStart+in.checksumOffset+2 > len(in.frame) {
			return syscall.EINVAL
		}
	}
	kind := h[1] &^ typeECN
	if kind == netstack.GSONone {
		if h[1] != netstack.GSONone {
			return syscall.EINVAL
		}
		return 0
	}
	in.shape = shape{segment: int(binary.NativeEndian.Uint16(h[4:])), network: linkHeader,
		transport: in.checksumStart, six: in.protocol == header.IPv6ProtocolNumber}
	if in.shape.segment == 0 || !in.needsChecksum || in.checksumOffset != header.TCPChecksumOffset {
		return syscall.EINVAL
	}
	switch {
	case kind == netstack.GSOTCPv4 && in.protocol == header.IPv4ProtocolNumber:
	case kind == netstack.GSOTCPv6 && in.protocol == header.IPv6ProtocolNumber:
	default:
		return syscall.EINVAL
	}
	if !in.shape.complete(in.frame) {
		return syscall.EINVAL
	}
	return 0
}

// complete sets where the data begins; false if the headers do not lie in b where they should.
func (s *shape) complete(b []byte) bool {
	least := header.IPv4MinimumSize
	if s.six {
		least = header.IPv6MinimumSize
	}
	if s.transport < s.network+least || s.transport+header.TCPMinimumSize > len(b) {
		return false
	}
	if !s.six && int(header.IPv4(b[s.network:]).HeaderLength()) != s.transport-s.network {
		return false
	}
	size := int(header.TCP(b[s.transport:]).DataOffset())
	s.data = s.transport + size
	return size >= header.TCPMinimumSize && s.data <= len(b) && s.segment > 0
}

// completeChecksum replaces the sum of the pseudo-header at start+offset by the checksum of the bytes
// from start on (RFC 1071). It does nothing if they do not lie in b.
func completeChecksum(b []byte, start, offset int) {
	if start < 0 || offset < 0 || start+offset+2 > len(b) {
		return
	}
	sum := ^checksum.Checksum(b[start:], 0)
	if sum == 0 { // 0 means none, for UDP; both are zero in ones' complement
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[start+offset:], sum)
}

// segments cuts a TCP packet of a shape that is complete into segments, with headers and checksums of
// their own.
func segments(b []byte, s shape) [][]byte {
	var list [][]byte
	data := b[s.data:]
	for at := 0; at == 0 || at < len(data); at += s.segment {
		part := data[at:min(at+s.segment, len(data))]
		one := append(append(make([]byte, 0, s.data+len(part)), b[:s.data]...), part...)
		s.renumber(one, len(list), at, at+len(part) == len(data))
		list = append(list, one)
	}
	return list
}

// renumber corrects the headers of segment i of a packet, which begins at that offset of its data.
func (s *shape) renumber(b []byte, i, offset int, last bool) {
	p, tcp := b[s.network:], header.TCP(b[s.transport:])
	var pseudo uint16
	if s.six {
		ip := header.IPv6(p)
		ip.SetPayloadLength(uint16(len(p) - header.IPv6MinimumSize))
		pseudo = header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
	} else {
		ip := header.IPv4(p)
		ip.SetTotalLength(uint16(len(p)))
		ip.SetID(ip.ID() + uint16(i))
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
		pseudo = header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
	}
	tcp.SetSequenceNumber(tcp.SequenceNumber() + uint32(offset))
	flags := tcp.Flags()
	if !last {
		flags &^= header.TCPFlagFin | header.TCPFlagPsh
	}
	if i > 0 {
		flags &^= tcpFlagCWR
	}
	tcp.SetFlags(uint8(flags))
	tcp.SetChecksum(0)
	tcp.SetChecksum(^checksum.Checksum(tcp, pseudo))
}

// tcpFlagCWR is of the first segment alone (RFC 3168 §6.1.2).
const tcpFlagCWR = 0x80
