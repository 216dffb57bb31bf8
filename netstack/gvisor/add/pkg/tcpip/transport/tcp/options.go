//go:build yolk

package tcp

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/atomicbitops"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/waiter"
)

// linuxOptions are options of an endpoint that gVisor's have not.
type linuxOptions struct {
	// leastIPv4 and leastIPv6 are the smallest TTL and hop limit of segments that the endpoint takes:
	// IP_MINTTL and IPV6_MINHOPCOUNT of ip(7) and ipv6(7), the generalized TTL security mechanism of
	// RFC 5082.
	leastIPv4, leastIPv6 atomicbitops.Uint32
	// tellsSent: writers hear of each segment that is sent, for TCP_NOTSENT_LOWAT of tcp(7).
	tellsSent atomicbitops.Uint32
	// reserved is the port of an endpoint that was bound to the wildcard address and has connected.
	reserved *ports.Reservation
	// closing: the program has closed the endpoint, and not only shut it down.
	closing bool
	// unwanted: data has arrived that nobody will read, and resets the connection.
	unwanted bool
	// keeps says how many bytes of a segment's data are wanted, -1 if the segment is not:
	// SO_ATTACH_FILTER of socket(7).
	keeps atomic.Pointer[func(*stack.PacketBuffer) int]
}

// SetFilter makes the endpoint ask f before it takes a segment; nil: it takes all. Connections that a
// listening endpoint gets from then on ask f, too.
func (e *Endpoint) SetFilter(f func(*stack.PacketBuffer) int) {
	if f == nil {
		e.options.keeps.Store(nil)
		return
	}
	e.options.keeps.Store(&f)
}

// passes cuts a segment to what the filter lets pass; false: nothing of it. tcp_filter in Linux's
// net/ipv4/tcp_ipv4.c.
func (e *Endpoint) passes(s *segment) bool {
	f := e.options.keeps.Load()
	if f == nil {
		return true
	}
	keep := (*f)(s.pkt)
	if keep >= 0 && keep < s.pkt.Data().Size() {
		s.pkt.Data().CapLength(keep)
		s.resize()
	}
	return keep >= 0
}

// TellSent makes the endpoint notify writers when something was sent, not only when it was
// acknowledged.
func (e *Endpoint) TellSent() { e.options.tellsSent.Store(1) }

// tellSent notifies writers if they want to hear of what was sent.
func (e *Endpoint) tellSent() {
	if e.options.tellsSent.Load() != 0 {
		e.waiterQueue.Notify(waiter.WritableEvents)
	}
}

// SetLeastHops sets IP_MINTTL or IPV6_MINHOPCOUNT.
func (e *Endpoint) SetLeastHops(ipv6 bool, least uint8) {
	if ipv6 {
		e.options.leastIPv6.Store(uint32(least))
	} else {
		e.options.leastIPv4.Store(uint32(least))
	}
}

// LeastHops returns both, for a connection that inherits them.
func (e *Endpoint) LeastHops() (ipv4, ipv6 uint8) {
	return uint8(e.options.leastIPv4.Load()), uint8(e.options.leastIPv6.Load())
}

// tooFar reports whether a packet has come over more hops than the endpoint wants.
func (e *Endpoint) tooFar(pkt *stack.PacketBuffer) bool {
	if pkt.NetworkProtocolNumber == header.IPv4ProtocolNumber {
		least := e.options.leastIPv4.Load()
		return least != 0 && uint32(header.IPv4(pkt.NetworkHeader().Slice()).TTL()) < least
	}
	least := e.options.leastIPv6.Load()
	return least != 0 && uint32(header.IPv6(pkt.NetworkHeader().Slice()).HopLimit()) < least
}

// mayBind reports whether an endpoint may be bound to an address that the stack does not have: with
// IP_FREEBIND or IP_TRANSPARENT, or if it is one of many receivers, to which Linux binds a stream
// that can do nothing then.
func (e *Endpoint) mayBind(addr tcpip.Address) bool {
	return e.ops.Foreign() || addr == header.IPv4Broadcast || header.IsV4MulticastAddress(addr)
}

// Offsets in struct tcp_info, linux/tcp.h.
const (
	infoRetransmits  = 2
	infoProbes       = 3
	infoOptions      = 5
	infoScales       = 6
	infoSndMSS       = 16
	infoRcvMSS       = 20
	infoUnacked      = 24
	infoSacked       = 28
	infoLastDataSent = 44
	infoLastDataRecv = 52
	infoLastAckRecv  = 56
	infoRcvSsthresh  = 64
	infoAdvMSS       = 84
	infoRcvSpace     = 96
	infoSegsOut      = 136
	infoSegsIn       = 140
	infoNotSent      = 144
	infoSndWnd       = 228
	infoRcvWnd       = 232
)

// Bits of tcpi_options.
const (
	infoTimestamps  = 1
	infoSACK        = 2
	infoWindowScale = 4
)

// PutLinuxInfo completes struct tcp_info with what the endpoint knows of its connection.
func (e *Endpoint) PutLinuxInfo(b []byte) {
	e.LockUser()
	defer e.UnlockUser()
	put := func(at int, v int) { binary.NativeEndian.PutUint32(b[at:], uint32(min(max(v, 0), math.MaxUint32))) }
	put(infoSegsOut, int(e.stats.SegmentsSent.Value()))
	put(infoSegsIn, int(e.stats.SegmentsReceived.Value()))
	if e.snd == nil || e.rcv == nil {
		return
	}
	if e.SendTSOk {
		b[infoOptions] |= infoTimestamps
	}
	if e.SACKPermitted {
		b[infoOptions] |= infoSACK
	}
	if e.snd.SndWndScale != 0 || e.rcv.RcvWndScale != 0 {
		b[infoOptions] |= infoWindowScale
	}
	b[infoScales] = e.snd.SndWndScale&15 | e.rcv.RcvWndScale<<4
	b[infoProbes] = uint8(min(e.snd.unackZeroWindowProbes, math.MaxUint8))
	put(infoSndMSS, e.snd.MaxPayloadSize)
	put(infoRcvMSS, int(e.amss))
	put(infoAdvMSS, int(e.amss))
	put(infoUnacked, e.snd.Outstanding)
	put(infoSacked, e.snd.SackedOut)
	now := e.stack.Clock().NowMonotonic()
	since := func(t tcpip.MonotonicTime) int { return int(now.Sub(t) / time.Millisecond) }
	put(infoLastDataSent, since(e.snd.LastSendTime))
	put(infoLastDataRecv, since(e.rcv.lastRcvdAckTime))
	put(infoLastAckRecv, since(e.rcv.lastRcvdAckTime))
	put(infoRcvSsthresh, int(e.rcv.rcvWnd))
	put(infoRcvSpace, int(e.ops.GetReceiveBufferSize()))
	put(infoSndWnd, int(e.snd.SndWnd))
	put(infoRcvWnd, int(e.rcv.currentWindow()))
	e.sndQueueInfo.sndQueueMu.Lock()
	unsent := e.sndQueueInfo.SndBufUsed
	e.sndQueueInfo.sndQueueMu.Unlock()
	put(infoNotSent, unsent-int(e.snd.SndUna.Size(e.snd.SndNxt)))
}

// Unacknowledged returns the bytes that the program has sent and the peer has not acknowledged
// (SIOCOUTQ of tcp(7)), and how many of them are not sent yet (SIOCOUTQNSD).
func (e *Endpoint) Unacknowledged() (all, unsent int) {
	e.LockUser()
	defer e.UnlockUser()
	if e.snd == nil {
		return 0, 0
	}
	if !e.EndpointState().connected() {
		return 0, 0
	}
	e.sndQueueInfo.sndQueueMu.Lock()
	all = e.sndQueueInfo.SndBufUsed
	if e.sndQueueInfo.SndClosed { // a FIN, which only its acknowledgement counts
		all++
	}
	e.sndQueueInfo.sndQueueMu.Unlock()
	return all, max(0, all-int(e.snd.SndUna.Size(e.snd.SndNxt)))
}

// Failed reports whether an error has ended the connection.
func (e *Endpoint) Failed() bool {
	e.LockUser()
	defer e.UnlockUser()
	return e.hardError != nil
}

// Waiting returns the number of connections that wait for accept(2).
func (e *Endpoint) Waiting() int {
	e.acceptMu.Lock()
	defer e.acceptMu.Unlock()
	return e.acceptQueue.endpoints.Len()
}

// QuickAck is TCP_QUICKACK: acknowledgements are sent at once, now and until the program answers
// again in time; or they wait for answers.
func (e *Endpoint) QuickAck(on bool) {
	e.LockUser()
	defer e.UnlockUser()
	d := &e.delayed
	if !on {
		d.answers = max(d.answers, 1)
		return
	}
	d.answers = 0
	if d.pending && e.EndpointState().connected() && d.from == e.snd.MaxSentAck && e.rcv.RcvNxt != d.from {
		e.snd.sendAck()
	}
	d.pending = false
}

// Delays reports whether acknowledgements may wait for answers.
func (e *Endpoint) Delays() bool {
	e.LockUser()
	defer e.UnlockUser()
	return e.delayed.answers > 0
}
