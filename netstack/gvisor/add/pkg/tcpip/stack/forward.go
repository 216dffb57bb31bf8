//go:build yolk

package stack

import "gvisor.dev/gvisor/pkg/tcpip/header"

// LacksChecksum reports whether the transport checksum of a received packet may be one that a card was
// to complete (virtio 1.2 §5.1.6.4.1, VIRTIO_NET_HDR_F_NEEDS_CSUM). Others are the sender's, and a router
// leaves them as they are: RFC 1812 §4.2.2.
func (pk *PacketBuffer) LacksChecksum() bool {
	p := pk.TransportProtocolNumber // 0 for fragments
	return pk.RXChecksumValidated && (p == header.TCPProtocolNumber || p == header.UDPProtocolNumber) && pk.Network().TransportProtocol() == p
}
