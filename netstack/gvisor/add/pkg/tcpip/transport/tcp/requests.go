//go:build yolk

package tcp

import (
	"math"
	"time"

	"gvisor.dev/gvisor/pkg/atomicbitops"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/internal/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/waiter"
)

// synAckTries is how often a SYN-ACK is sent: once, and 5 times more (Linux's
// net.ipv4.tcp_synack_retries), the first time after InitialRTO and then after twice as long
// each.
const synAckTries = 6

// A request is a connection in SYN_RCVD, as Linux's request_sock. The endpoint is made by the
// acknowledgement of the SYN-ACK.
type request struct {
	next, prev *request // in a requestList
	tuple      tuple
	timestamps bool
	sack       bool
	acked      bool        // but TCP_DEFER_ACCEPT waits for data
	tries      uint8       // number of SYN-ACKs sent
	sndScale   int8        // the peer's window scale, -1: none
	mss        uint16      // the peer's
	window     uint16      // that the SYN-ACK offers
	nic        tcpip.NICID // over which the SYN came
	irs, iss   seqnum.Value
	peerTS     uint32
	ownTS      tcp.TSOffset
	began      tcpip.MonotonicTime
	expires    tcpip.MonotonicTime // when the SYN-ACK is sent again
}

// requestList has the requests with as many SYN-ACKs sent. All wait equally long for the next, so
// they are in the order in which they expire.
type requestList struct{ first, last *request }

func (l *requestList) push(r *request) {
	r.next, r.prev = nil, l.last
	if l.last != nil {
		l.last.next = r
	} else {
		l.first = r
	}
	l.last = r
}

func (l *requestList) remove(r *request) {
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

// requests are those of one listening endpoint, whose mu guards them.
type requests struct {
	byTuple map[tuple]*request
	lists   [synAckTries]requestList // by tries-1
	timer   tcpip.Timer
	armed   bool
}

// pending counts the requests of all listeners.
type pending struct {
	count atomicbitops.Int64
	limit int64 // 0: none
}

// SetPendingLimits bounds the number of connections in SYN_RCVD, beyond which SYN cookies are
// used, and in TIME_WAIT or FIN_WAIT_2 without a socket, beyond which they end at once.
func (p *protocol) SetPendingLimits(handshakes, timeWaits int) {
	p.pending.limit = int64(handshakes)
	p.ended.mu.Lock()
	defer p.ended.mu.Unlock()
	p.ended.limit = timeWaits
}

// Pending returns the number of connections in SYN_RCVD, and in TIME_WAIT or FIN_WAIT_2 without a
// socket.
func (p *protocol) Pending() (handshakes, timeWaits int) {
	p.ended.mu.Lock()
	defer p.ended.mu.Unlock()
	return int(p.pending.count.Load()), len(p.ended.byTuple)
}

// requestsFull reports whether a further connection has to be asked for by a SYN cookie. As on
// Linux, the backlog bounds connections in SYN_RCVD, too.
func (l *listenContext) requestsFull(backlog int) bool {
	n := &l.protocol.pending
	return len(l.requests.byTuple) >= backlog || n.limit != 0 && n.count.Load() >= n.limit
}

// addRequest notes the SYN s and answers it.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) addRequest(s *segment, opts header.TCPSynOptions) tcpip.Error {
	now := l.stack.Clock().NowMonotonic()
	r := &request{
		tuple: tupleOf(s.id), nic: s.pkt.NICID,
		timestamps: opts.TS, peerTS: opts.TSVal, sack: opts.SACKPermitted && l.sackEnabled(),
		sndScale: int8(opts.WS), mss: opts.MSS,
		irs: s.sequenceNumber, iss: generateSecureISN(s.id, l.stack.Clock(), l.protocol.secrets().seqnum),
		ownTS: l.protocol.tsOffset(s.id.LocalAddress, s.id.RemoteAddress),
		began: now, expires: now.Add(InitialRTO), tries: 1,
	}
	route, err := l.route(r)
	if err != nil {
		return err
	}
	defer route.Release()
	r.window = l.offeredWindow(route)
	q := &l.requests
	if q.byTuple == nil {
		q.byTuple = make(map[tuple]*request)
	}
	q.byTuple[r.tuple] = r
	q.lists[0].push(r)
	l.protocol.pending.count.Add(1)
	l.arm(InitialRTO)
	l.sendSynAck(r, route)
	return nil
}

func (l *listenContext) sackEnabled() bool {
	var on tcpip.TCPSACKEnabled
	err := l.stack.TransportProtocolOption(ProtocolNumber, &on)
	return err == nil && bool(on)
}

func (l *listenContext) route(r *request) (*stack.Route, tcpip.Error) {
	id, proto := r.tuple.id(), header.IPv4ProtocolNumber
	if r.tuple.v6 {
		proto = header.IPv6ProtocolNumber
	}
	return l.stack.FindRoute(r.nic, id.LocalAddress, id.RemoteAddress, proto, false /* multicastLoop */)
}

// scale returns the window scale that a SYN-ACK offers.
func (l *listenContext) scale() int {
	return FindWndScale(seqnum.Size(l.listenEP.maxReceiveBufferSize()))
}

// offeredWindow returns what Endpoint.initialReceiveWindow will for the endpoint.
func (l *listenContext) offeredWindow(route *stack.Route) uint16 {
	mss := int(calculateAdvertisedMSS(l.listenEP.userMSS, route))
	window := min(wndFromSpace(int(l.rcvWnd)), math.MaxUint16, InitialCwnd*mss*2)
	scale := uint8(l.scale())
	return uint16(max(window>>scale<<scale, 1))
}

// sendSynAck sends the SYN-ACK of a request.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) sendSynAck(r *request, route *stack.Route) {
	e := l.listenEP
	opts := header.TCPSynOptions{
		WS: -1, MSS: calculateAdvertisedMSS(e.userMSS, route), SACKPermitted: r.sack, TS: r.timestamps,
	}
	if r.sndScale >= 0 {
		opts.WS = l.scale()
	}
	if r.timestamps {
		opts.TSVal, opts.TSEcr = r.ownTS.TSVal(l.stack.Clock().NowMonotonic()), r.peerTS
	}
	f := l.fields(r, route, header.TCPFlagSyn|header.TCPFlagAck)
	f.seq = r.iss
	e.sendSynTCP(route, f, opts)
}

// fields are those of a segment to the peer of a request.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) fields(r *request, route *stack.Route, flags header.TCPFlags) tcpFields {
	e := l.listenEP
	return tcpFields{
		id: r.tuple.id(), ttl: calculateTTL(route, e.ipv4TTL, e.ipv6HopLimit), tos: e.sendTOS, flags: flags,
		seq: r.iss + 1, ack: r.irs + 1, rcvWnd: seqnum.Size(r.window), expOptVal: e.getExperimentOptionValue(route),
		df: e.pmtud == tcpip.PMTUDiscoveryWant || e.pmtud == tcpip.PMTUDiscoveryDo || e.pmtud == tcpip.PMTUDiscoveryProbe,
	}
}

// arm starts the timer unless it runs.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) arm(after time.Duration) {
	q := &l.requests
	if q.armed {
		return
	}
	q.armed = true
	if q.timer == nil {
		q.timer = l.stack.Clock().AfterFunc(after, timerHandler(l.listenEP, l.retransmit))
		return
	}
	q.timer.Reset(after)
}

// retransmit sends the SYN-ACKs that are due again, and gives up requests whose last was.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) retransmit() tcpip.Error {
	q, now := &l.requests, l.stack.Clock().NowMonotonic()
	q.armed = false
	var next tcpip.MonotonicTime
	for i := synAckTries - 1; i >= 0; i-- { // a request goes to the list before
		for r := q.lists[i].first; r != nil && !now.Before(r.expires); r = q.lists[i].first {
			l.again(r, now)
		}
	}
	for i := range q.lists {
		if r := q.lists[i].first; r != nil && (next == tcpip.MonotonicTime{} || r.expires.Before(next)) {
			next = r.expires
		}
	}
	if next != (tcpip.MonotonicTime{}) {
		l.arm(next.Sub(now))
	}
	return nil
}

// again sends the SYN-ACK of one request again, or gives the request up. It is not sent while
// TCP_DEFER_ACCEPT waits for the peer's data.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) again(r *request, now tcpip.MonotonicTime) {
	l.requests.lists[r.tries-1].remove(r)
	if r.tries == synAckTries {
		l.drop(r)
		l.stack.Stats().TCP.FailedConnectionAttempts.Increment()
		l.listenEP.stats.FailedConnectionAttempts.Increment()
		return
	}
	r.expires = now.Add(InitialRTO << r.tries)
	r.tries++
	l.requests.lists[r.tries-1].push(r)
	if r.acked && now.Sub(r.began) <= l.listenEP.deferAccept {
		return
	}
	if route, err := l.route(r); err == nil {
		l.sendSynAck(r, route)
		route.Release()
	}
}

// drop forgets a request that is in no list any more.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) drop(r *request) {
	q := &l.requests
	delete(q.byTuple, r.tuple)
	if len(q.byTuple) == 0 {
		q.byTuple = nil // a map does not shrink
	}
	l.protocol.pending.count.Add(-1)
}

// forget ends a request.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) forget(r *request) {
	l.requests.lists[r.tries-1].remove(r)
	l.drop(r)
}

// forgetRequests ends all requests of an endpoint that no longer listens.
//
// +checklocks:e.mu
func (e *Endpoint) forgetRequests() {
	if e.listenCtx == nil {
		return
	}
	q := &e.listenCtx.requests
	e.protocol.pending.count.Add(-int64(len(q.byTuple)))
	if q.timer != nil {
		q.timer.Stop()
	}
	*q = requests{}
}

// handleRequest serves a segment of a connection in SYN_RCVD (RFC 9293 §3.10.7.4), and reports
// whether it did.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) handleRequest(s *segment) bool {
	r := l.requests.byTuple[tupleOf(s.id)]
	if r == nil {
		return false
	}
	inWindow := s.sequenceNumber.InWindow(r.irs+1, max(seqnum.Size(r.window), 1))
	switch {
	case s.flags.Contains(header.TCPFlagRst):
		if inWindow {
			l.forget(r)
		}
	case s.flags.Contains(header.TCPFlagSyn) && s.sequenceNumber == r.irs:
		if route, err := l.route(r); err == nil {
			l.sendSynAck(r, route)
			route.Release()
		}
	case s.flags.Contains(header.TCPFlagAck) && s.ackNumber != r.iss+1:
		if _, ok := l.isCookieValid(s.id, s.ackNumber-1, s.sequenceNumber-1); ok {
			l.forget(r) // the answer to a cookie that was sent before the request
			return false
		}
		_ = replyWithReset(l.stack, s, l.listenEP.sendTOS, l.listenEP.ipv4TTL, l.listenEP.ipv6HopLimit)
	case s.flags.Contains(header.TCPFlagSyn) || !inWindow:
		l.challenge(r)
	case s.flags.Contains(header.TCPFlagAck):
		l.complete(r, s)
	}
	return true
}

// challenge tells a peer that sent an unexpected segment what is expected.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) challenge(r *request) {
	if !l.listenEP.allowOutOfWindowAck() {
		return
	}
	route, err := l.route(r)
	if err != nil {
		return
	}
	defer route.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.TCPMinimumSize + int(route.MaxHeaderLength()),
	})
	defer pkt.DecRef()
	_ = l.listenEP.sendTCP(route, l.fields(r, route, header.TCPFlagAck), pkt, stack.GSO{})
}

// complete makes the connection that s acknowledges, unless it has to wait: for data
// (TCP_DEFER_ACCEPT), for room in the accept queue or for memory. Then the SYN-ACK is sent
// again, and acknowledged again.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) complete(r *request, s *segment) {
	e := l.listenEP
	early := l.stack.Clock().NowMonotonic().Sub(r.began) < e.deferAccept
	switch {
	case e.deferAccept != 0 && s.payloadSize() == 0 && early:
		r.acked = true
		e.stack.Stats().DroppedPackets.Increment()
	case r.timestamps && !s.parsedOptions.TS, // RFC 7323 §3.2
		e.acceptQueueIsFull(), e.stack.Memory().Exhausted():
		e.stack.Stats().DroppedPackets.Increment()
	default:
		if err := l.establish(r, s); err != nil {
			e.stack.Stats().TCP.FailedConnectionAttempts.Increment()
			e.stats.FailedConnectionAttempts.Increment()
		}
		l.forget(r)
	}
}

// establish makes the endpoint of a request and passes it to the accept queue.
//
// +checklocks:l.listenEP.mu
func (l *listenContext) establish(r *request, s *segment) tcpip.Error {
	e := l.listenEP
	n, err := l.createConnectingEndpoint(s, header.TCPSynOptions{
		MSS: r.mss, WS: int(r.sndScale), TS: r.timestamps, TSVal: r.peerTS, SACKPermitted: r.sack,
	}, &waiter.Queue{})
	if err != nil {
		return err
	}
	n.owner = e.owner
	e.propagateInheritableOptionsLocked(n)
	n.amss = calculateAdvertisedMSS(n.userMSS, n.route)
	if err := n.register(); err != nil {
		n.mu.Unlock()
		n.Close()
		n.drainClosingSegmentQueue()
		return err
	}
	n.TSOffset = r.ownTS
	if r.timestamps {
		n.updateRecentTimestamp(s.parsedOptions.TSVal, r.irs+1, s.sequenceNumber)
	}
	n.isConnectNotified = true
	r.handshake(n, s, l.scale()).transitionToStateEstablishedLocked(s)
	n.mu.Unlock()
	if (s.flags.Contains(header.TCPFlagFin) || s.payloadSize() > 0) && n.enqueueSegment(s) {
		n.notifyProcessor()
	}
	e.stack.Stats().TCP.PassiveConnectionOpenings.Increment()
	e.acceptMu.Lock()
	e.acceptQueue.endpoints.PushBack(n)
	e.acceptMu.Unlock()
	e.waiterQueue.Notify(waiter.ReadableEvents)
	return nil
}

// register reserves the addresses and ports of an accepted connection and has its segments
// delivered.
//
// +checklocks:e.mu
func (e *Endpoint) register() tcpip.Error {
	if !e.reserveTupleLocked() {
		return &tcpip.ErrPortInUse{}
	}
	err := e.stack.RegisterTransportEndpoint(e.effectiveNetProtos, ProtocolNumber, e.TransportEndpointInfo.ID, e, e.boundPortFlags, e.boundBindToDevice)
	e.isRegistered = err == nil
	return err
}

// handshake returns the state of a handshake that s completes.
func (r *request) handshake(n *Endpoint, s *segment, scale int) *handshake {
	h := &handshake{
		ep: n, iss: r.iss, ackNum: r.irs + 1, rcvWnd: seqnum.Size(r.window), sndWnd: s.window,
		rcvWndScale: scale, sndWndScale: int(r.sndScale), mss: r.mss,
		startTime: r.began, sampleRTTWithTSOnly: r.tries > 1,
	}
	if r.sndScale > 0 {
		h.sndWnd <<= uint8(r.sndScale)
	}
	return h
}
