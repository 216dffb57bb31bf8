//go:build yolk

package tcp

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// tuple is a stack.TransportEndpointID in 38 bytes instead of 56: the key of what is kept for
// connections that have not begun or have ended.
type tuple struct {
	local, remote         [16]byte
	localPort, remotePort uint16
	v6                    bool
}

func tupleOf(id stack.TransportEndpointID) tuple {
	t := tuple{localPort: id.LocalPort, remotePort: id.RemotePort, v6: id.LocalAddress.Len() == 16}
	copy(t.local[:], id.LocalAddress.AsSlice())
	copy(t.remote[:], id.RemoteAddress.AsSlice())
	return t
}

func (t *tuple) id() stack.TransportEndpointID {
	return stack.TransportEndpointID{
		LocalPort:     t.localPort,
		LocalAddress:  t.address(t.local),
		RemotePort:    t.remotePort,
		RemoteAddress: t.address(t.remote),
	}
}

func (t *tuple) address(a [16]byte) tcpip.Address {
	if t.v6 {
		return tcpip.AddrFrom16(a)
	}
	return tcpip.AddrFrom4([4]byte(a[:4]))
}
