//go:build yolk

package raw

import "gvisor.dev/gvisor/pkg/tcpip/stack"

// SetFilter makes the endpoint ask f before it takes a packet: network.Endpoint.SetFilter.
func (e *endpoint) SetFilter(f func(*stack.PacketBuffer) int) { e.net.SetFilter(f) }
