//go:build yolk

package udp

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
	"gvisor.dev/gvisor/pkg/tcpip/transport"
)

// Unbind gives the port of an endpoint without a peer back. What was received stays: connect(2) with
// AF_UNSPEC takes a port away that the program has not chosen.
func (e *endpoint) Unbind() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.net.State() != transport.DatagramEndpointStateBound {
		return
	}
	id := e.net.Info().ID
	id.LocalPort = e.localPort
	e.stack.UnregisterTransportEndpoint(e.effectiveNetProtos, ProtocolNumber, id, e, e.boundPortFlags, e.boundBindToDevice)
	e.stack.ReleasePort(ports.Reservation{
		Networks:     e.effectiveNetProtos,
		Transport:    ProtocolNumber,
		Addr:         id.LocalAddress,
		Port:         id.LocalPort,
		Flags:        e.boundPortFlags,
		BindToDevice: e.boundBindToDevice,
		Dest:         tcpip.FullAddress{},
	})
	e.boundBindToDevice, e.boundPortFlags = 0, ports.Flags{}
	e.localPort = 0
	e.net.Unbind()
}
