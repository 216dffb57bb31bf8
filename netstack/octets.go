package netstack

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// octets counts the bytes of IP packets, headers included, by family: gVisor counts packets only.
type octets struct{ v4, v6 atomic.Uint64 }

func (o *octets) add(proto tcpip.NetworkProtocolNumber, n int) {
	switch proto {
	case header.IPv4ProtocolNumber:
		o.v4.Add(uint64(n))
	case header.IPv6ProtocolNumber:
		o.v6.Add(uint64(n))
	}
}

// countedLoopback is the loopback link with octets: what it sends, it receives.
type countedLoopback struct {
	stack.LinkEndpoint
	octets octets
	watch  *watchers
}

// WritePackets implements stack.LinkEndpoint.
func (l *countedLoopback) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		l.octets.add(pkt.NetworkProtocolNumber, pkt.Size())
	}
	w := l.watch.current.Load()
	if w == nil {
		return l.LinkEndpoint.WritePackets(pkts)
	}
	for _, pkt := range pkts.AsSlice() {
		w.looped(pkt)
		var one stack.PacketBufferList
		one.PushBack(pkt)
		_, _ = l.LinkEndpoint.WritePackets(one) // it cannot fail
	}
	return pkts.Len(), nil
}

// octets returns the bytes received and sent by all interfaces, for each family.
func (s *Stack) octets() (in, out struct{ v4, v6 uint64 }) {
	in.v4, in.v6 = s.loopback.octets.v4.Load(), s.loopback.octets.v6.Load()
	out = in
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		in.v4 += l.stats.rx.v4.Load()
		in.v6 += l.stats.rx.v6.Load()
		out.v4 += l.stats.tx.v4.Load()
		out.v6 += l.stats.tx.v6.Load()
	}
	return in, out
}
