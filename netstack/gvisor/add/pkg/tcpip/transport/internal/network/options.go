//go:build yolk

package network

import (
	"math"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport"
)

// A filter says which packets an endpoint wants: those of some sources of multicast groups, those of
// some types of ICMP, those that a program of SO_ATTACH_FILTER lets pass.
type filter struct {
	keeps atomic.Pointer[func(*stack.PacketBuffer) int]
}

// SetFilter makes the endpoint ask f before it takes a packet: how many bytes of what its reader would
// get are wanted, -1 if the packet is not. f is called with locks of the endpoint and of the
// demultiplexer held.
func (e *Endpoint) SetFilter(f func(*stack.PacketBuffer) int) { e.filter.keeps.Store(&f) }

// Keeps returns what the filter says of a packet, or that all of it is wanted.
func (e *Endpoint) Keeps(pkt *stack.PacketBuffer) int {
	if f := e.filter.keeps.Load(); f != nil {
		return (*f)(pkt)
	}
	return math.MaxInt
}

// Cut returns a clone of a packet with at most keep bytes of data.
func Cut(pkt *stack.PacketBuffer, keep int) *stack.PacketBuffer {
	c := pkt.Clone()
	if keep < c.Data().Size() {
		c.Data().CapLength(keep)
	}
	return c
}

// protocolOf returns the network protocol of an address. A datagram of IPv4 names its source in the
// fields of IPv6's packet information, too, and its type of service in those of the hop limit; one of
// IPv6 has its traffic class in those of the TTL.
func protocolOf(a tcpip.Address) tcpip.NetworkProtocolNumber {
	if a.Len() == header.IPv4AddressSize {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}

// Unbind takes the address of an endpoint without a peer away.
func (e *Endpoint) Unbind() {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := e.Info()
	info.ID, info.BindAddr, info.BindNICID, info.RegisterNICID = stack.TransportEndpointID{}, tcpip.Address{}, 0, 0
	e.setInfo(info)
	e.wasBound = false
	e.effectiveNetProto = e.netProto
	e.setEndpointState(transport.DatagramEndpointStateInitial)
}

// sourceFor returns an address as the source of a datagram: an endpoint of IPv6 can be bound to an
// address of one protocol and send by the other, from an address that the route has.
func sourceFor(a tcpip.Address, netProto tcpip.NetworkProtocolNumber) tcpip.Address {
	if a.Len() != 0 && protocolOf(a) != netProto {
		return tcpip.Address{}
	}
	return a
}
