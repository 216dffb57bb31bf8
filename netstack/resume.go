package netstack

import (
	"encoding/binary"
	"io"
	"slices"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Resume is to be called when the machine has gone on from a saved state, as others may have
// from the same one: secrets are renewed, leases too, and addresses are announced, because the
// machine may be at another port of its switch. Connections stay as they are.
//
// Ephemeral ports and the ids of fragments need no renewal: they come from Config.Random.
func (s *Stack) Resume() {
	s.renewSecrets()
	s.mu.Lock()
	links := slices.Clone(s.links)
	s.mu.Unlock()
	addresses := s.stack.AllAddresses()
	for _, l := range links {
		for _, a := range addresses[l.id] {
			if l.info.Bare {
				break // no neighbours
			}
			s.announce(l, a.AddressWithPrefix.Address)
		}
		l.dhcp.renewNow()
	}
}

// renewSecrets renews what initial sequence numbers and timestamps of TCP are made of. Only the
// images' copy of gVisor can do that (netstack/gvisor).
func (s *Stack) renewSecrets() {
	p, ok := s.stack.TransportProtocolInstance(tcp.ProtocolNumber).(interface{ RenewSecrets(io.Reader) error })
	if !ok {
		return
	}
	rng := s.stack.SecureRNG()
	if err := p.RenewSecrets(rng.Reader); err != nil {
		s.log("new secrets: ", err.Error())
	}
}

// announce tells the neighbours where an address is: by an ARP announcement (RFC 5227 §3) or an
// unsolicited neighbor advertisement (RFC 4861 §7.2.6).
func (s *Stack) announce(l *Link, a tcpip.Address) {
	frame := arpAnnouncement(l.info.MAC, a)
	if a.Len() == header.IPv6AddressSize {
		frame = neighborAdvertisement(l.info.MAC, a)
	}
	if err := s.stack.WriteRawPacket(l.id, 0, buffer.MakeWithData(frame)); err != nil {
		s.log(l.Name(), ": announcing ", a.String(), ": ", err.String())
	}
}

// etherHeader begins a frame.
func etherHeader(to, from [6]byte, kind tcpip.NetworkProtocolNumber) []byte {
	b := append(to[:], from[:]...)
	return binary.BigEndian.AppendUint16(b, uint16(kind))
}

// arpAnnouncement is a request for the sender's own address.
func arpAnnouncement(mac [6]byte, a tcpip.Address) []byte {
	b := make([]byte, header.ARPSize)
	arp := header.ARP(b)
	arp.SetIPv4OverEthernet()
	arp.SetOp(header.ARPRequest)
	copy(arp.HardwareAddressSender(), mac[:])
	copy(arp.ProtocolAddressSender(), a.AsSlice())
	copy(arp.ProtocolAddressTarget(), a.AsSlice())
	return append(etherHeader(broadcastPeer.mac, mac, header.ARPProtocolNumber), b...)
}

// neighborAdvertisement is one to all nodes of the link, which overrides what they know.
func neighborAdvertisement(mac [6]byte, a tcpip.Address) []byte {
	options := header.NDPOptionsSerializer{header.NDPTargetLinkLayerAddressOption(mac[:])}
	icmp := header.ICMPv6(make([]byte, header.ICMPv6NeighborAdvertMinimumSize+options.Length()))
	icmp.SetType(header.ICMPv6NeighborAdvert)
	na := header.NDPNeighborAdvert(icmp.MessageBody())
	na.SetTargetAddress(a)
	na.SetOverrideFlag(true)
	na.Options().Serialize(options)
	to := header.IPv6AllNodesMulticastAddress
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: a, Dst: to}))
	ip := header.IPv6(make([]byte, header.IPv6MinimumSize))
	ip.Encode(&header.IPv6Fields{
		PayloadLength:     uint16(len(icmp)),
		TransportProtocol: header.ICMPv6ProtocolNumber,
		HopLimit:          header.NDPHopLimit,
		SrcAddr:           a,
		DstAddr:           to,
	})
	group := header.EthernetAddressFromMulticastIPv6Address(to)
	return append(append(etherHeader([6]byte([]byte(group)), mac, header.IPv6ProtocolNumber), ip...), icmp...)
}
