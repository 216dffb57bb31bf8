package netstack

import (
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// What peers can make the stack hold is bounded by a share of the RAM, as on Linux by
// net.ipv4.tcp_mem, udp_mem, ipfrag_high_thresh, tcp_max_tw_buckets and tcp_max_syn_backlog.
// docs/network.md has the table, and what happens at each bound. The copy of gVisor counts
// (netstack/gvisor/add, stack.Memory); on a host without it there are no bounds.
const (
	// networkShare is the part of the RAM that is for the network: with the collector's
	// headroom of the same size, a quarter.
	networkShare = 8
	// fragmentShare is the part of that for the incomplete datagrams of each family. A datagram
	// of 64 KiB with its overhead is 128 KiB; Linux has 4 MiB.
	fragmentShare                  = 32
	minFragmentMemory              = 256 << 10
	maxFragmentMemory              = 4 << 20
	handshakeShare, timeWaitShare  = 16, 8
	handshakeMemory, timeWaitBytes = 256, 256 // upper bounds of what one takes: TestPendingMemory
	maxHandshakes, maxTimeWaits    = 1 << 16, 1 << 18
)

// bounds are how much the stack may hold.
type bounds struct {
	sockets    int64 // bytes of connections and queues
	fragments  int   // bytes of incomplete datagrams of each family
	handshakes int   // number of connections in SYN_RCVD, those of all listeners together
	timeWaits  int   // number of connections in TIME_WAIT
}

func boundsOf(ram uint64) bounds {
	all := int64(min(ram, 1<<48) / networkShare)
	b := bounds{
		fragments:  int(min(max(all/fragmentShare, minFragmentMemory), maxFragmentMemory)),
		handshakes: int(min(all/handshakeShare/handshakeMemory, maxHandshakes)),
		timeWaits:  int(min(all/timeWaitShare/timeWaitBytes, maxTimeWaits)),
	}
	b.sockets = all - 2*int64(b.fragments) - all/handshakeShare - all/timeWaitShare
	return b
}

// bound sets the bounds. It is called before there is a card.
func (s *Stack) bound() {
	if s.cfg.Memory == 0 {
		return
	}
	b := boundsOf(s.cfg.Memory)
	if st, ok := any(s.stack).(interface{ SetMemoryLimit(bytes int64) }); ok {
		st.SetMemoryLimit(b.sockets)
	}
	for _, number := range []tcpip.NetworkProtocolNumber{ipv4.ProtocolNumber, ipv6.ProtocolNumber} {
		if p, ok := s.stack.NetworkProtocolInstance(number).(interface{ SetFragmentLimits(high, low int) }); ok {
			p.SetFragmentLimits(b.fragments, b.fragments/4*3)
		}
	}
	if p, ok := s.stack.TransportProtocolInstance(tcp.ProtocolNumber).(interface {
		SetPendingLimits(handshakes, timeWaits int)
	}); ok {
		p.SetPendingLimits(b.handshakes, b.timeWaits)
	}
}

// memoryUsed returns the bytes that are held for connections, those for received datagrams and
// those that wait for a neighbour; for tests.
func (s *Stack) memoryUsed() (tcp, datagrams, waiting int64) {
	if st, ok := any(s.stack).(interface {
		MemoryUsed() (tcp, datagrams, waiting int64)
	}); ok {
		return st.MemoryUsed()
	}
	return 0, 0, 0
}
