//go:build yolk

package tcp

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
)

// noteReserved keeps which port an endpoint has by bind(2) before it connects. Its address is that of
// the route then, and the port of the wildcard address would never be given back by it.
func (e *Endpoint) noteReserved() {
	if !e.isPortReserved || e.TransportEndpointInfo.ID.LocalAddress.Len() != 0 {
		return
	}
	e.isPortReserved = false
	networks := e.effectiveNetProtos
	if e.alsoBindToV4 { // connect gives that of IPv4 back
		networks = []tcpip.NetworkProtocolNumber{header.IPv6ProtocolNumber}
	}
	e.options.reserved = &ports.Reservation{
		Networks:     networks,
		Transport:    ProtocolNumber,
		Port:         e.TransportEndpointInfo.ID.LocalPort,
		Flags:        e.boundPortFlags,
		BindToDevice: e.boundBindToDevice,
		Dest:         e.boundDest,
	}
}

// releaseReserved gives the port of noteReserved back.
func (e *Endpoint) releaseReserved() {
	if e.options.reserved != nil {
		e.stack.ReleasePort(*e.options.reserved)
		e.options.reserved = nil
	}
}
