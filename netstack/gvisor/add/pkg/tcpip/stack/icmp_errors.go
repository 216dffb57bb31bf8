//go:build yolk

package stack

// TimeExceededTransportError is the kind of an ICMP error that gVisor does not pass on: the TTL
// reached 0 on the way.
const TimeExceededTransportError TransportErrorKind = SourceHostIsolatedTransportError + 16

// Preceding returns the n bytes before the packet's data, nil if there are fewer. With an ICMP error
// those are the IP header of the packet that failed.
func (pk *PacketBuffer) Preceding(n int) []byte {
	at := pk.dataOffset() - n
	if at < 0 {
		return nil
	}
	v, ok := pk.buf.PullUp(at, n)
	if !ok {
		return nil
	}
	return v.AsSlice()
}
