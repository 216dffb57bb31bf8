//go:build yolk

package udp

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport"
	"gvisor.dev/gvisor/pkg/waiter"
)

// errorOf returns what an ICMP error means to a socket, and whether it is one that cannot go away:
// icmp_err_convert in Linux's net/ipv4/icmp.c.
func errorOf(kind stack.TransportErrorKind) (err tcpip.Error, hard bool) {
	switch kind {
	case stack.DestinationPortUnreachableTransportError:
		return &tcpip.ErrConnectionRefused{}, true
	case stack.DestinationProtoUnreachableTransportError:
		return &tcpip.ErrUnknownProtocolOption{}, true
	case stack.DestinationHostUnreachableTransportError, stack.TimeExceededTransportError:
		return &tcpip.ErrHostUnreachable{}, false
	case stack.DestinationNetworkUnreachableTransportError:
		return &tcpip.ErrNetworkUnreachable{}, false
	case stack.SourceRouteFailedTransportError:
		return &tcpip.ErrNotSupported{}, false
	case stack.SourceHostIsolatedTransportError:
		return &tcpip.ErrNoNet{}, true
	case stack.DestinationHostDownTransportError:
		return &tcpip.ErrHostDown{}, true
	case stack.PacketTooBigTransportError:
		return &tcpip.ErrMessageTooLong{}, true
	}
	return nil, false
}

// onTransportError hears of an ICMP error, as __udp4_lib_err in Linux's net/ipv4/udp.c: hard errors
// are for connected sockets, and with IP_RECVERR each error is for each socket, and is queued.
func (e *endpoint) onTransportError(transErr stack.TransportError, pkt *stack.PacketBuffer) {
	err, hard := errorOf(transErr.Kind())
	recvErr := e.ops.GetIPv4RecvError()
	if pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber {
		recvErr = e.ops.GetIPv6RecvError()
	}
	connected := e.net.State() == transport.DatagramEndpointStateConnected
	if err == nil || !recvErr && !(hard && connected) {
		return
	}
	e.UpdateLastError(err)
	if recvErr {
		e.queueTransportError(err, transErr, pkt)
	}
	e.waiterQueue.Notify(waiter.EventErr)
}

// queueTransportError queues an error with the datagram that failed, without its header.
func (e *endpoint) queueTransportError(err tcpip.Error, transErr stack.TransportError, pkt *stack.PacketBuffer) {
	dst := tcpip.FullAddress{NIC: pkt.NICID}
	if pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber {
		if h := pkt.Preceding(header.IPv6MinimumSize); h != nil {
			dst.Addr = header.IPv6(h).DestinationAddress()
		}
	} else if h := pkt.Preceding(header.IPv4MinimumSize); h != nil {
		dst.Addr = header.IPv4(h).DestinationAddress()
	}
	payload := pkt.Data().AsRange().ToView()
	if h := header.UDP(payload.AsSlice()); len(h) >= header.UDPMinimumSize {
		dst.Port = h.DestinationPort()
		payload.TrimFront(header.UDPMinimumSize)
	}
	e.ops.QueueErr(&tcpip.SockError{
		Err:      err,
		Cause:    transErr,
		Payload:  payload,
		Dst:      dst,
		Offender: tcpip.FullAddress{NIC: pkt.NICID, Addr: pkt.Network().SourceAddress()},
		NetProto: pkt.NetworkProtocolNumber,
	})
}
