//go:build yolk

package tcp

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

const (
	// delayedAckTime is Linux's TCP_DELACK_MIN. RFC 1122 §4.2.3.2 allows 500 ms.
	delayedAckTime = 40 * time.Millisecond
	// delayedAckPatience is how many answers in time must follow a delay that was useless
	// before the next delay: the peer may wait for the acknowledgement.
	delayedAckPatience = 16
)

// delayedAck is the state of an endpoint's delayed acknowledgement (RFC 1122 §4.2.3.2, RFC 5681
// §4.2): a small request is acknowledged by its answer, which saves a packet per exchange. As on
// Linux, acknowledgements are delayed only on interactive connections: those whose program was
// seen to answer in time. Endpoint.mu guards it.
type delayedAck struct {
	answers int                 // number of answers in time; delays begin at 1
	pending bool                // an acknowledgement was delayed
	from    seqnum.Value        // MaxSentAck when the delay began: if it has changed, one was sent
	since   tcpip.MonotonicTime // when the data arrived
	timer   tcpip.Timer
	// armed says that the timer runs. It is not stopped when an answer is sent but checks
	// the state when it fires, so a request costs no timer.
	armed bool
}

// delayAck reports whether the acknowledgement of received data may wait for an answer to carry
// it. It may wait for at most one full segment and one call: the second segment is acknowledged
// at once.
//
// +checklocks:e.mu
func (e *Endpoint) delayAck() bool {
	d := &e.delayed
	if d.answers <= 0 || e.EndpointState() != StateEstablished || e.rcv.pendingRcvdSegments.Len() != 0 {
		return false
	}
	if d.pending && d.from == e.snd.MaxSentAck {
		return false
	}
	full := min(int(e.amss), e.snd.MaxPayloadSize)
	if int(e.snd.MaxSentAck.Size(e.rcv.RcvNxt)) > full {
		return false
	}
	d.pending, d.from, d.since = true, e.snd.MaxSentAck, e.rcv.lastRcvdAckTime
	if !d.armed {
		d.arm(e, delayedAckTime)
	}
	return true
}

// arm starts the timer.
func (d *delayedAck) arm(e *Endpoint, after time.Duration) {
	d.armed = true
	if d.timer != nil {
		d.timer.Reset(after)
		return
	}
	d.timer = e.stack.Clock().AfterFunc(after, timerHandler(e, e.delayedAckExpired))
}

// delayedAckExpired sends an acknowledgement that no data has carried.
//
// +checklocks:e.mu
func (e *Endpoint) delayedAckExpired() tcpip.Error {
	d := &e.delayed
	d.armed = false
	if !d.pending || !e.EndpointState().connected() || d.from != e.snd.MaxSentAck || e.rcv.RcvNxt == d.from {
		d.pending = false
		return nil
	}
	if rest := delayedAckTime - e.stack.Clock().NowMonotonic().Sub(d.since); rest > 0 {
		d.arm(e, rest)
		return nil
	}
	d.pending, d.answers = false, -delayedAckPatience
	e.snd.sendAck()
	return nil
}

// answered records that data is sent, which carries an acknowledgement.
//
// +checklocks:e.mu
func (e *Endpoint) answered() {
	e.tellSent()
	if d := &e.delayed; d.answers <= 0 && e.snd.LastSendTime.Sub(e.rcv.lastRcvdAckTime) < delayedAckTime {
		d.answers++
	}
}
