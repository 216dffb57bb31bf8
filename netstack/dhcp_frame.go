package netstack

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// The client sends and receives frames on the link: without an address no socket can send, and
// a server may answer to the address that it is about to assign. The tap is removed between
// renewals, so that a lease costs nothing.

const (
	dhcpServerPort = 67
	dhcpClientPort = 68
)

// peerAddr is the link and IP address of a DHCP server.
type peerAddr struct {
	mac [6]byte
	ip  netip.Addr
}

var broadcastPeer = peerAddr{
	mac: [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	ip:  netip.AddrFrom4([4]byte{255, 255, 255, 255}),
}

// dhcpFrame wraps a message in UDP, IPv4 and Ethernet.
func dhcpFrame(mac [6]byte, src netip.Addr, to peerAddr, msg []byte) buffer.Buffer {
	const ethLen, ipLen, udpLen = header.EthernetMinimumSize, header.IPv4MinimumSize, header.UDPMinimumSize
	b := make([]byte, ethLen+ipLen+udpLen, ethLen+ipLen+udpLen+len(msg))
	copy(b, to.mac[:])
	copy(b[6:], mac[:])
	binary.BigEndian.PutUint16(b[12:], uint16(header.IPv4ProtocolNumber))

	if !src.IsValid() {
		src = netip.IPv4Unspecified()
	}
	ip := header.IPv4(b[ethLen:])
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(ipLen + udpLen + len(msg)),
		TTL:         defaultTTL,
		Protocol:    uint8(header.UDPProtocolNumber),
		SrcAddr:     tcpipAddr(src),
		DstAddr:     tcpipAddr(to.ip),
	})
	ip.SetChecksum(^ip.CalculateChecksum())

	udp := header.UDP(b[ethLen+ipLen:])
	length := uint16(udpLen + len(msg))
	udp.Encode(&header.UDPFields{SrcPort: dhcpClientPort, DstPort: dhcpServerPort, Length: length})
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, tcpipAddr(src), tcpipAddr(to.ip), length)
	sum = checksum.Checksum(msg, sum)
	udp.SetChecksum(^udp.CalculateChecksum(sum))
	return buffer.MakeWithData(append(b, msg...))
}

// dhcpPayload finds a DHCP message to a client in an Ethernet frame.
func dhcpPayload(frame []byte) (from peerAddr, msg []byte, ok bool) {
	const ethLen = header.EthernetMinimumSize
	if len(frame) < ethLen+header.IPv4MinimumSize+header.UDPMinimumSize ||
		binary.BigEndian.Uint16(frame[12:]) != uint16(header.IPv4ProtocolNumber) {
		return from, nil, false
	}
	ip := header.IPv4(frame[ethLen:])
	if !ip.IsValid(len(ip)) || ip.Protocol() != uint8(header.UDPProtocolNumber) ||
		ip.More() || ip.FragmentOffset() != 0 || ip.CalculateChecksum() != 0xffff {
		return from, nil, false
	}
	udp := header.UDP(ip.Payload())
	if len(udp) < header.UDPMinimumSize || udp.DestinationPort() != dhcpClientPort ||
		udp.SourcePort() != dhcpServerPort || int(udp.Length()) < header.UDPMinimumSize ||
		int(udp.Length()) > len(udp) {
		return from, nil, false
	}
	from.mac = [6]byte(frame[6:12])
	src := ip.SourceAddress()
	from.ip, _ = addrOf(src)
	return from, udp[header.UDPMinimumSize:udp.Length()], true
}
