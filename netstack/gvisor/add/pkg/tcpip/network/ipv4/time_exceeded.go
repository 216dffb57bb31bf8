//go:build yolk

package ipv4

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// icmpv4TimeExceededSockError is an ICMP Time Exceeded message, RFC 792.
type icmpv4TimeExceededSockError struct{ code header.ICMPv4Code }

// Origin implements tcpip.SockErrorCause.
func (*icmpv4TimeExceededSockError) Origin() tcpip.SockErrOrigin { return tcpip.SockExtErrorOriginICMP }

// Type implements tcpip.SockErrorCause.
func (*icmpv4TimeExceededSockError) Type() uint8 { return uint8(header.ICMPv4TimeExceeded) }

// Code implements tcpip.SockErrorCause.
func (e *icmpv4TimeExceededSockError) Code() uint8 { return uint8(e.code) }

// Info implements tcpip.SockErrorCause.
func (*icmpv4TimeExceededSockError) Info() uint32 { return 0 }

// Kind implements stack.TransportError.
func (*icmpv4TimeExceededSockError) Kind() stack.TransportErrorKind {
	return stack.TimeExceededTransportError
}
