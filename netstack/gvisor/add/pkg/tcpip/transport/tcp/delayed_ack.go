//go:build tamago

package tcp

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

const (
	// delayedAckTime is Linux's TCP_DELACK_MIN. RFC 1122 §4.2.3.2 allows 500 ms.
	delayedAckTime = 40 * time.Millisecond
	// delayedAckPatience is how many answers in time it takes to try again
	// after a delay was in vain: the peer may wait for the acknowledgement.
	delayedAckPatience = 16
)

// delayedAck holds an endpoint's delayed acknowledgement (RFC 1122 §4.2.3.2,
// RFC 5681 §4.2): a small request is acknowledged by its answer, which saves a
// packet per exchange. As on Linux only conversations are delayed: connections
// whose program was seen to answer in time. Endpoint.mu guards it.
type delayedAck struct {
	answers int                 // in time; delays happen from 1 on
	pending bool                // an acknowledgement was delayed
	from    seqnum.Value        // MaxSentAck at that time: if it moved, one was sent
	since   tcpip.MonotonicTime // when the data came
	timer   tcpip.Timer
	// armed: the timer runs. It is not stopped when an answer goes out but
	// looks for itself when it fires, so a request costs no timer.
	armed bool
}

// delayAck reports whether the acknowledgement of what was received may wait
// for data to travel with. At most one full segment waits, and one call: the
// second segment is acknowledged at once.
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

// delayedAckExpired sends an acknowledgement that no data came to carry.
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

// answered notes that data goes out; it carries an acknowledgement.
//
// +checklocks:e.mu
func (e *Endpoint) answered() {
	if d := &e.delayed; d.answers <= 0 && e.snd.LastSendTime.Sub(e.rcv.lastRcvdAckTime) < delayedAckTime {
		d.answers++
	}
}
