package netstack

import (
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// NeighborInfo is an entry of the ARP or neighbour discovery cache.
type NeighborInfo struct {
	Interface    int // index
	Addr         netip.Addr
	HardwareAddr []byte // 6 bytes; nil if it is not known
	State        uint16 // NUD_, linux/neighbour.h
}

// nudStates are the states of entries, linux/neighbour.h.
var nudStates = map[stack.NeighborState]uint16{
	stack.Incomplete: 0x01, stack.Reachable: 0x02, stack.Stale: 0x04, stack.Delay: 0x08, stack.Probe: 0x10,
	stack.Unreachable: 0x20, stack.Static: 0x80,
}

// Neighbors returns the neighbours of all cards: those of IPv4, then those of IPv6.
func (s *Stack) Neighbors() []NeighborInfo {
	s.mu.Lock()
	links := slices.Clone(s.links)
	s.mu.Unlock()
	var out []NeighborInfo
	for _, proto := range []tcpip.NetworkProtocolNumber{header.IPv4ProtocolNumber, header.IPv6ProtocolNumber} {
		for _, l := range links {
			entries, err := s.stack.Neighbors(l.id, proto)
			if err != nil {
				continue
			}
			for _, e := range entries {
				n := NeighborInfo{Interface: int(l.id), State: nudStates[e.State]}
				n.Addr, _ = addrOf(e.Addr)
				if len(e.LinkAddr) == header.EthernetAddressSize {
					n.HardwareAddr = []byte(e.LinkAddr)
				}
				out = append(out, n)
			}
		}
	}
	return out
}
