//go:build yolk

package tcp

import (
	"time"

	"gvisor.dev/gvisor/pkg/sync"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/internal/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// remains is what is left of a connection that the program has closed, in TIME_WAIT (RFC 9293
// §3.6.1) or in FIN_WAIT_2, where only the peer's FIN is missing. It takes a twentieth of an
// endpoint, like Linux's tcp_timewait_sock.
type remains struct {
	next, prev *remains // in a remainsList
	tuple      tuple
	timeWait   bool // else FIN_WAIT_2
	timestamps bool // the connection uses timestamps (RFC 7323)
	flags      ports.Flags
	nic        tcpip.NICID // to which the socket was bound, or 0
	sndNxt     seqnum.Value
	rcvNxt     seqnum.Value
	window     uint16 // as in the header
	tos        uint8
	peerTS     uint32
	ownTS      tcp.TSOffset
	heard      tcpip.MonotonicTime // when peerTS was set
	expires    tcpip.MonotonicTime
}

// remainsList has those of one state. All wait equally long, so they are in the order in which
// they expire.
type remainsList struct{ first, last *remains }

func (l *remainsList) push(r *remains) {
	r.next, r.prev = nil, l.last
	if l.last != nil {
		l.last.next = r
	} else {
		l.first = r
	}
	l.last = r
}

func (l *remainsList) remove(r *remains) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		l.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		l.last = r.prev
	}
}

// ended has the remains of the stack's connections.
type ended struct {
	mu      sync.Mutex
	byTuple map[tuple]*remains // guarded by mu, as all others
	lists   [2]remainsList     // FIN_WAIT_2, TIME_WAIT
	timer   tcpip.Timer
	armed   bool
	limit   int // 0: none
}

func (d *ended) list(r *remains) *remainsList {
	if r.timeWait {
		return &d.lists[1]
	}
	return &d.lists[0]
}

// compact replaces a connection that the program has closed by its remains if nothing is left to
// send, and reports whether it did; then the endpoint is closed. Beyond the limit nothing
// remains, as with Linux's net.ipv4.tcp_max_tw_buckets: a late segment is answered by a reset.
//
// +checklocks:e.mu
func (e *Endpoint) compact() bool {
	state := e.EndpointState()
	if !e.closed || state != StateTimeWait && (state != StateFinWait2 || e.tcpLingerTimeout != e.protocol.lingerDuration()) {
		return false
	}
	_, window := e.rcv.getSendParams()
	e.protocol.ended.add(e, &remains{
		tuple:      tupleOf(e.TransportEndpointInfo.ID),
		timeWait:   state == StateTimeWait,
		timestamps: e.SendTSOk,
		flags:      e.boundPortFlags,
		nic:        e.boundBindToDevice,
		sndNxt:     e.snd.SndNxt,
		rcvNxt:     e.rcv.RcvNxt,
		window:     uint16(window),
		tos:        e.sendTOS,
		peerTS:     e.recentTimestamp(),
		ownTS:      e.TSOffset,
		heard:      e.recentTSTime,
	})
	e.transitionToStateCloseLocked()
	return true
}

// lingerDuration returns how long a closed connection stays in FIN_WAIT_2.
func (p *protocol) lingerDuration() time.Duration {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.lingerTimeout
}

// timeWaitDuration returns how long a connection stays in TIME_WAIT.
func (p *protocol) timeWaitDuration() time.Duration {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.timeWaitTimeout
}

func (d *ended) add(e *Endpoint, r *remains) {
	wait := e.protocol.lingerDuration()
	if r.timeWait {
		wait = e.protocol.timeWaitDuration()
	}
	clock := e.stack.Clock()
	r.expires = clock.NowMonotonic().Add(wait)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byTuple == nil {
		d.byTuple = make(map[tuple]*remains)
	}
	if old := d.byTuple[r.tuple]; old != nil {
		d.forget(old)
	}
	if d.limit != 0 && len(d.byTuple) >= d.limit {
		return
	}
	d.byTuple[r.tuple] = r
	d.list(r).push(r)
	d.arm(clock, wait)
}

// arm starts the timer unless it runs. mu is held.
func (d *ended) arm(clock tcpip.Clock, after time.Duration) {
	if d.armed {
		return
	}
	d.armed = true
	if d.timer == nil {
		d.timer = clock.AfterFunc(after, func() { d.expire(clock) })
		return
	}
	d.timer.Reset(after)
}

// expire forgets those whose time is over.
func (d *ended) expire(clock tcpip.Clock) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
	now := clock.NowMonotonic()
	for i := range d.lists {
		for r := d.lists[i].first; r != nil && !now.Before(r.expires); r = d.lists[i].first {
			d.forget(r)
		}
		if r := d.lists[i].first; r != nil {
			d.arm(clock, r.expires.Sub(now))
		}
	}
}

// forget ends a connection for good. mu is held.
func (d *ended) forget(r *remains) {
	d.list(r).remove(r)
	delete(d.byTuple, r.tuple)
	if len(d.byTuple) == 0 {
		d.byTuple = nil // a map does not shrink
	}
}

// mayConnect reports whether a connection with these addresses and ports may begin. One in
// TIME_WAIT prevents it, unless reuse is true and a second has passed since its last
// timestamp (RFC 6191).
func (d *ended) mayConnect(id stack.TransportEndpointID, now tcpip.MonotonicTime, reuse bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.byTuple[tupleOf(id)]
	if r == nil {
		return true
	}
	if !reuse || !r.timeWait || now.Sub(r.heard) < time.Second {
		return false
	}
	d.forget(r)
	return true
}

// mayBind reports whether a socket may be bound to an address, or all for the zero address, and
// a port: not while a connection of that port lasts, unless both sockets share ports.
func (d *ended) mayBind(netProtos []tcpip.NetworkProtocolNumber, addr tcpip.Address, port uint16, f ports.Flags) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.lists {
		for r := d.lists[i].first; r != nil; r = r.next {
			if r.tuple.localPort != port || f.TupleOnly && r.flags.TupleOnly || f.LoadBalanced && r.flags.LoadBalanced {
				continue
			}
			for _, p := range netProtos {
				if p == r.netProto() && (addr.Len() == 0 || addr == r.tuple.address(r.tuple.local)) {
					return false
				}
			}
		}
	}
	return true
}

func (r *remains) netProto() tcpip.NetworkProtocolNumber {
	if r.tuple.v6 {
		return header.IPv6ProtocolNumber
	}
	return header.IPv4ProtocolNumber
}

// handle serves a segment that belongs to an ended connection, and reports whether it did. A SYN
// that begins a new connection to a listening endpoint in TIME_WAIT does not.
func (d *ended) handle(st *stack.Stack, p *protocol, s *segment, listening bool) bool {
	d.mu.Lock()
	r := d.byTuple[tupleOf(s.id)]
	if r == nil || r.nic != 0 && r.nic != s.pkt.NICID {
		d.mu.Unlock()
		return false
	}
	if r.timeWait && listening && s.flags.Contains(header.TCPFlagSyn) && r.rcvNxt.LessThan(s.sequenceNumber) {
		d.forget(r)
		d.mu.Unlock()
		return false
	}
	var answer header.TCPFlags
	if r.timeWait {
		answer = d.inTimeWait(p, r, s)
	} else {
		answer = d.inFinWait2(p, r, s)
	}
	reply := *r
	d.mu.Unlock()
	if answer != 0 {
		reply.send(st, s, answer)
	}
	return true
}

// inTimeWait handles a segment as receiver.handleTimeWaitSegment does, and returns the flags of
// the answer, or 0. mu is held.
func (d *ended) inTimeWait(p *protocol, r *remains, s *segment) header.TCPFlags {
	if s.flags.Contains(header.TCPFlagRst) || !s.flags.Contains(header.TCPFlagAck) {
		return 0 // RFC 1337: a reset does not end TIME_WAIT
	}
	r.hear(p, s)
	if s.flags.Contains(header.TCPFlagFin) && s.sequenceNumber.Add(s.logicalLen()) == r.rcvNxt {
		d.restart(p, r) // the last acknowledgement may be lost
		return header.TCPFlagAck
	}
	if s.sequenceNumber != r.rcvNxt || s.logicalLen() != 0 {
		return header.TCPFlagAck
	}
	return 0
}

// inFinWait2 handles a segment to a connection that nobody reads from any more: data is answered
// by a reset, the FIN begins TIME_WAIT. It returns the flags of the answer, or 0. mu is held.
func (d *ended) inFinWait2(p *protocol, r *remains, s *segment) header.TCPFlags {
	end := s.sequenceNumber.Add(seqnum.Size(s.payloadSize()))
	switch {
	case s.flags.Contains(header.TCPFlagRst):
		if s.sequenceNumber == r.rcvNxt {
			d.forget(r)
		}
		return 0
	case s.flags.Contains(header.TCPFlagSyn):
		return header.TCPFlagAck // RFC 5961 §4.2
	case !s.flags.Contains(header.TCPFlagAck):
		return 0
	case r.rcvNxt.LessThan(end):
		d.forget(r)
		return header.TCPFlagRst | header.TCPFlagAck
	}
	r.hear(p, s)
	if s.flags.Contains(header.TCPFlagFin) && end == r.rcvNxt {
		d.list(r).remove(r)
		r.timeWait = true
		r.rcvNxt++
		d.list(r).push(r)
		d.restart(p, r)
		return header.TCPFlagAck
	}
	if s.sequenceNumber != r.rcvNxt {
		return header.TCPFlagAck
	}
	return 0
}

// restart begins the time in TIME_WAIT again. mu is held.
func (d *ended) restart(p *protocol, r *remains) {
	clock, wait := p.stack.Clock(), p.timeWaitDuration()
	r.expires = clock.NowMonotonic().Add(wait)
	d.list(r).remove(r)
	d.list(r).push(r)
	d.arm(clock, wait)
}

// hear notes the peer's timestamp (RFC 7323 §4.3).
func (r *remains) hear(p *protocol, s *segment) {
	if r.timestamps && s.parsedOptions.TS && s.sequenceNumber.LessThanEq(r.rcvNxt) &&
		seqnum.Value(r.peerTS).LessThan(seqnum.Value(s.parsedOptions.TSVal)) {
		r.peerTS, r.heard = s.parsedOptions.TSVal, p.stack.Clock().NowMonotonic()
	}
}

// send answers s by a segment without data.
func (r *remains) send(st *stack.Stack, s *segment, flags header.TCPFlags) {
	net := s.pkt.Network()
	route, err := st.FindRoute(s.pkt.NICID, net.DestinationAddress(), net.SourceAddress(), s.pkt.NetworkProtocolNumber, false /* multicastLoop */)
	if err != nil {
		return
	}
	defer route.Release()
	options := getOptions()
	defer putOptions(options)
	n := 0
	if r.timestamps {
		n = header.EncodeNOP(options)
		n += header.EncodeNOP(options[n:])
		n += header.EncodeTSOption(r.ownTS.TSVal(st.Clock().NowMonotonic()), r.peerTS, options[n:])
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.TCPMinimumSize + int(route.MaxHeaderLength()) + n,
	})
	defer pkt.DecRef()
	_ = sendTCP(route, tcpFields{
		id:     s.id,
		ttl:    calculateTTL(route, tcpip.UseDefaultIPv4TTL, tcpip.UseDefaultIPv6HopLimit),
		tos:    r.tos,
		flags:  flags,
		seq:    r.sndNxt,
		ack:    r.rcvNxt,
		rcvWnd: seqnum.Size(r.window),
		opts:   options[:n],
	}, pkt, stack.GSO{}, nil /* PacketOwner */)
}
