//go:build yolk

package stack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// otherProtocols has the raw endpoints of protocols that the stack does not implement, as of routing
// daemons and tunnels: raw(7). The map of the others does not change once the stack is made.
type otherProtocols struct {
	mu        sync.RWMutex
	endpoints map[protocolIDs]*transportEndpoints
}

// raw returns where the raw endpoints of a protocol are.
func (d *transportDemuxer) raw(network tcpip.NetworkProtocolNumber, transport tcpip.TransportProtocolNumber) (*transportEndpoints, bool) {
	id := protocolIDs{network, transport}
	if eps, ok := d.protocol[id]; ok {
		return eps, true
	}
	d.others.mu.RLock()
	defer d.others.mu.RUnlock()
	eps, ok := d.others.endpoints[id]
	return eps, ok
}

// makeRaw is raw for the first endpoint of a protocol, too.
func (d *transportDemuxer) makeRaw(network tcpip.NetworkProtocolNumber, transport tcpip.TransportProtocolNumber) (*transportEndpoints, bool) {
	if eps, ok := d.raw(network, transport); ok {
		return eps, true
	}
	id := protocolIDs{network, transport}
	d.others.mu.Lock()
	defer d.others.mu.Unlock()
	eps := d.others.endpoints[id]
	if eps == nil {
		if d.others.endpoints == nil {
			d.others.endpoints = map[protocolIDs]*transportEndpoints{}
		}
		eps = &transportEndpoints{}
		d.others.endpoints[id] = eps
	}
	return eps, true
}

// hasRaw reports whether somebody has received a packet of a protocol that the stack does not implement:
// then the sender is not told that it is unknown (ip_protocol_deliver_rcu in Linux's net/ipv4/ip_input.c).
func (d *transportDemuxer) hasRaw(network tcpip.NetworkProtocolNumber, transport tcpip.TransportProtocolNumber) bool {
	eps, ok := d.raw(network, transport)
	if !ok {
		return false
	}
	eps.mu.RLock()
	defer eps.mu.RUnlock()
	return len(eps.rawEndpoints) > 0
}
