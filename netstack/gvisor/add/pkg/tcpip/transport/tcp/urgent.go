//go:build yolk

package tcp

import (
	"io"

	"gvisor.dev/gvisor/pkg/atomicbitops"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/waiter"
)

// This file has urgent data as Linux has it (RFC 9293 §3.8.5, RFC 6093): one byte, which the urgent pointer follows, and
// which is read beside the stream unless SO_OOBINLINE is set. Names of Linux's functions are of net/ipv4/tcp.c,
// tcp_input.c and tcp_output.c.

// urgent is what an endpoint knows of urgent data.
type urgent struct {
	// state is one of those below; written with Endpoint.mu held.
	state  atomicbitops.Uint32
	inline atomicbitops.Uint32 // SO_OOBINLINE
	// value is the urgent byte, and seq its sequence number; guarded by Endpoint.mu.
	value byte
	seq   seqnum.Value
	// ahead is how many bytes the program has to read before the urgent one; guarded by Endpoint.rcvQueueMu.
	ahead int
	// end is the sequence number behind the last urgent byte that was sent, as long as sends says that it is not
	// acknowledged: Linux's snd_up. Guarded by Endpoint.mu.
	end   seqnum.Value
	sends bool
}

// States of received urgent data. Each but the first means that there is a mark in the stream.
const (
	urgentNone     = iota
	urgentExpected // its byte has not come yet
	urgentThere
	urgentRead
)

// SetUrgentInline is SO_OOBINLINE of socket(7).
func (e *Endpoint) SetUrgentInline(on bool) {
	v := uint32(0)
	if on {
		v = 1
	}
	e.urgent.inline.Store(v)
}

// UrgentInline reports whether SO_OOBINLINE is set.
func (e *Endpoint) UrgentInline() bool { return e.urgent.inline.Load() != 0 }

// UrgentMark returns how many bytes of the stream come before the urgent one, -1 if there is none.
func (e *Endpoint) UrgentMark() int {
	if e.urgent.state.Load() == urgentNone {
		return -1
	}
	e.rcvQueueMu.Lock()
	defer e.rcvQueueMu.Unlock()
	return e.urgent.ahead
}

// HasUrgent reports whether the urgent byte is there and was not read: POLLPRI of poll(2).
func (e *Endpoint) HasUrgent() bool { return e.urgent.state.Load() == urgentThere }

// ReadUrgent returns the urgent byte: tcp_recv_urg. There is none to read with ErrBadBuffer.
func (e *Endpoint) ReadUrgent(peek bool) (byte, tcpip.Error) {
	e.LockUser()
	defer e.UnlockUser()
	u := &e.urgent
	state := u.state.Load()
	connected := e.EndpointState().connected()
	switch {
	case state == urgentNone || state == urgentRead || u.inline.Load() != 0:
		return 0, &tcpip.ErrBadBuffer{}
	case !connected && (e.rcv == nil || !e.rcv.closed):
		return 0, &tcpip.ErrNotConnected{}
	case state == urgentThere:
		if !peek {
			u.state.Store(urgentRead)
		}
		return u.value, nil
	}
	e.rcvQueueMu.Lock()
	defer e.rcvQueueMu.Unlock()
	if !connected || e.RcvClosed {
		return 0, &tcpip.ErrClosedForReceive{}
	}
	return 0, &tcpip.ErrWouldBlock{}
}

// arrived looks at the urgent pointer of a segment that is acceptable, before its data are consumed: tcp_urg.
//
// +checklocks:e.mu
func (e *Endpoint) arrived(s *segment) {
	u := &e.urgent
	if s.flags.Contains(header.TCPFlagUrg) {
		e.noteUrgentPointer(s)
	}
	if u.state.Load() != urgentExpected {
		return
	}
	at := int(int32(u.seq - s.sequenceNumber))
	if at < 0 || at >= s.payloadSize() {
		return
	}
	u.value = s.pkt.Data().AsRange().SubRange(at).Capped(1).ToSlice()[0]
	u.state.Store(urgentThere)
	e.waiterQueue.Notify(waiter.ReadableEvents | waiter.EventPri)
}

// noteUrgentPointer makes the pointer of a segment the mark, if it is a new one: tcp_check_urg with net.ipv4.tcp_stdurg=0.
//
// +checklocks:e.mu
func (e *Endpoint) noteUrgentPointer(s *segment) {
	u := &e.urgent
	seq := s.sequenceNumber
	if pointer := header.TCP(s.pkt.TransportHeader().Slice()).UrgentPointer(); pointer != 0 {
		seq.UpdateForward(seqnum.Size(pointer) - 1)
	}
	state := u.state.Load()
	if seq.LessThan(e.rcv.RcvNxt) || state != urgentNone && !u.seq.LessThan(seq) {
		return
	}
	if e.holdsUrgent() {
		e.skipUrgent() // the program has not read up to the mark before this one, and will not see that byte
	}
	e.rcvQueueMu.Lock()
	u.ahead = e.RcvBufUsed + int(e.rcv.RcvNxt.Size(seq))
	e.rcvQueueMu.Unlock()
	u.seq = seq
	u.state.Store(urgentExpected)
}

// urgentHole is how many bytes at the front of the receive queue reads pass over.
//
// +checklocks:e.rcvQueueMu
func (e *Endpoint) urgentHole() int {
	u := &e.urgent
	if u.state.Load() == urgentNone || u.ahead != 0 || u.inline.Load() != 0 {
		return 0
	}
	return 1
}

// holdsUrgent reports whether the urgent byte is the first of the receive queue, and not part of the stream.
//
// +checklocks:e.mu
func (e *Endpoint) holdsUrgent() bool {
	e.rcvQueueMu.Lock()
	defer e.rcvQueueMu.Unlock()
	return e.RcvBufUsed > 0 && e.urgentHole() != 0
}

// skipUrgent takes the urgent byte off the front of the receive queue.
//
// +checklocks:e.mu
func (e *Endpoint) skipUrgent() {
	e.urgent.state.Store(urgentNone)
	_, _ = e.readLocked(&part{dst: io.Discard, left: 1}, tcpip.ReadOptions{})
}

// readUrgent is Read of a stream with a mark: what is before it is read by itself, and then what is behind
// (tcp_recvmsg_locked).
//
// +checklocks:e.mu
func (e *Endpoint) readUrgent(dst io.Writer, opts tcpip.ReadOptions) (int, tcpip.Error) {
	u := &e.urgent
	e.rcvQueueMu.Lock()
	ahead, used, closed := u.ahead, e.RcvBufUsed, e.RcvClosed
	e.rcvQueueMu.Unlock()
	switch {
	case !e.holdsUrgent():
		if 0 < ahead && ahead < used {
			dst = &part{dst: dst, left: ahead}
		}
	case !opts.Peek:
		e.skipUrgent()
	case used > 1:
		dst = &part{dst: dst, skip: 1, left: used}
	case closed || !e.EndpointState().connected():
		return 0, &tcpip.ErrClosedForReceive{}
	default:
		return 0, &tcpip.ErrWouldBlock{}
	}
	n, err := e.readLocked(dst, opts)
	if !opts.Peek && u.state.Load() != urgentNone {
		e.rcvQueueMu.Lock()
		u.ahead -= n
		passed := u.ahead < 0
		e.rcvQueueMu.Unlock()
		if passed {
			u.state.Store(urgentNone)
		}
	}
	return n, err
}

// part is a writer of some of the bytes: it leaves the first out, and takes no more than are left.
type part struct {
	dst        io.Writer
	skip, left int
}

// Write implements io.Writer.
func (w *part) Write(p []byte) (int, error) {
	skipped := min(w.skip, len(p))
	w.skip -= skipped
	rest := p[skipped:]
	some := rest[:min(w.left, len(rest))]
	n := 0
	var err error
	if len(some) > 0 {
		n, err = w.dst.Write(some)
	}
	w.left -= n
	if err == nil && n < len(rest) {
		err = io.ErrShortWrite
	}
	return skipped + n, err
}

// WriteUrgent is Write with WriteOptions.Atomic, whose last byte is urgent: MSG_OOB of send(2).
func (e *Endpoint) WriteUrgent(p tcpip.Payloader) (int64, tcpip.Error) {
	e.LockUser()
	defer e.UnlockUser()
	next, n, err := e.queueSegment(p, tcpip.WriteOptions{Atomic: true})
	if n == 0 || err != nil {
		return 0, err
	}
	e.sndQueueInfo.sndQueueMu.Lock()
	e.urgent.end = e.snd.SndUna.Add(seqnum.Size(e.sndQueueInfo.SndBufUsed))
	e.sndQueueInfo.sndQueueMu.Unlock()
	e.urgent.sends = true
	e.sendData(next)
	return int64(n), nil
}

// sendsUrgent reports whether urgent data is not acknowledged: tcp_urg_mode. Until then no segment waits for others, and
// none is left to a card to cut, since each has a pointer of its own.
//
// +checklocks:e.mu
func (e *Endpoint) sendsUrgent() bool {
	if e.urgent.sends && !e.snd.SndUna.LessThan(e.urgent.end) {
		e.urgent.sends = false
	}
	return e.urgent.sends
}

// urgentPointer returns the pointer of a segment, and the flag that says that it has one: __tcp_transmit_skb.
//
// +checklocks:e.mu
func (e *Endpoint) urgentPointer(seq seqnum.Value) (header.TCPFlags, uint16) {
	const most = 0xffff
	if e.snd == nil || !e.sendsUrgent() || !seq.LessThan(e.urgent.end) {
		return 0, 0
	}
	if n := seq.Size(e.urgent.end); n <= most {
		return header.TCPFlagUrg, uint16(n)
	}
	if e.snd.SndNxt.LessThan(seq.Add(most)) {
		return header.TCPFlagUrg, most
	}
	return 0, 0
}

// probeUrgent tells a peer without room of urgent data that waits for room: tcp_write_wakeup.
//
// +checklocks:s.ep.mu
func (s *sender) probeUrgent() {
	if s.ep.sendsUrgent() {
		s.sendEmptySegment(header.TCPFlagAck, s.SndUna)
	}
}
