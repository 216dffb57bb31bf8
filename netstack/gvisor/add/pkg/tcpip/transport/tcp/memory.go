//go:build yolk

package tcp

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// connectionMemory is what an established connection takes without data, in bytes: the
	// endpoint, its sender, receiver, timers and registrations. TestConnectionMemory measures it.
	connectionMemory = 6 << 10
	// leastQueue is how many bytes each connection may receive, and send, when the stack holds as
	// much as it may, so that none stands still: Linux's minima in net.ipv4.tcp_rmem and
	// tcp_wmem (tcp(7)).
	leastQueue = 4 << 10
	// ackHeadroom is the room in a queue of segments for those without data when the receive
	// buffer is full, as in Linux's tcp_add_backlog.
	ackHeadroom = 64 << 10
	// maxAppend is the largest write that is appended to an unsent segment, and maxSegment how
	// large that may become.
	maxAppend  = 1 << 10
	maxSegment = 64 << 10
)

// heldMemory is what an endpoint knows of its part in stack.Memory.
type heldMemory struct {
	counted   bool        // as a connection; guarded by Endpoint.mu
	throttled atomic.Bool // a writer was refused because the stack is full
}

// countConnection adds an established connection to the stack's memory.
//
// +checklocks:e.mu
func (e *Endpoint) countConnection() {
	if !e.held.counted {
		e.held.counted = true
		e.stack.Memory().Add(stack.ConnectionMemory, connectionMemory)
	}
}

// releaseMemory gives up what the end of the connection makes useless: its place among the
// connections, and segments that wait for ones before them.
//
// +checklocks:e.mu
func (e *Endpoint) releaseMemory() {
	if e.held.counted {
		e.held.counted = false
		e.stack.Memory().Add(stack.ConnectionMemory, -connectionMemory)
	}
	e.purgePendingRcvQueue()
}

// mayQueue reports whether a received segment may be queued, of a connection that holds used
// bytes of at most limit. One with data needs room in the stack, too, or the connection holds
// next to nothing beside segments that came out of order; the peer sends it again.
func (e *Endpoint) mayQueue(s *segment, used, limit int) bool {
	if s.payloadSize() == 0 {
		return used <= 2*limit+ackHeadroom
	}
	if used > limit || !e.stack.Memory().Full(stack.TCPMemory) {
		return used <= limit
	}
	e.rcvQueueMu.Lock()
	defer e.rcvQueueMu.Unlock()
	return used-e.pendingMemory() <= leastQueue
}

// pendingMemory returns how many bytes wait for data before them.
//
// +checklocks:e.rcvQueueMu
func (e *Endpoint) pendingMemory() int {
	if e.rcv == nil {
		return 0
	}
	return e.rcv.PendingBufUsed
}

// mayKeep reports whether a segment out of order may be kept. If the stack is full, none are: the
// connection gives up those that it has, as in Linux's tcp_prune_ofo_queue, and the peer sends
// them again (RFC 2018 §8). The rest of the receive buffer is for data in order.
//
// +checklocks:r.ep.mu
func (r *receiver) mayKeep(size int) bool {
	if r.ep.stack.Memory().Full(stack.TCPMemory) {
		r.prune()
		return false
	}
	limit := int(r.ep.ops.GetReceiveBufferSize())
	return r.PendingBufUsed+size < limit-limit/4
}

// prune gives up the segments that wait for data before them.
//
// +checklocks:r.ep.mu
func (r *receiver) prune() {
	r.ep.purgePendingRcvQueue()
	r.ep.rcvQueueMu.Lock()
	r.PendingBufUsed = 0
	r.ep.rcvQueueMu.Unlock()
	r.ep.sack.NumBlocks = 0
}

// appendReceived copies a small segment's data to the last segment that the program has not read
// yet, if that has room, as Linux's tcp_try_coalesce: many small segments take less memory
// then.
//
// +checklocks:e.mu
func (e *Endpoint) appendReceived(s *segment) bool {
	last := e.rcvQueue.Back()
	return last != nil && s.payloadSize() <= maxAppend && last.payloadSize() != 0 && last.pkt.AppendCopy(s.pkt)
}

// appendUnsent copies a small write to the last segment if that was not sent yet, and returns
// that segment, or nil. It releases data if it is copied.
//
// +checklocks:e.mu
// +checklocks:e.sndQueueInfo.sndQueueMu
func (e *Endpoint) appendUnsent(data *buffer.Buffer) *segment {
	last := e.snd.writeList.Back()
	if last == nil || last.ep == nil || last.xmitCount != 0 || e.snd.isAssignedSequenceNumber(last) ||
		data.Size() > maxAppend || last.payloadSize()+int(data.Size()) > maxSegment || !last.pkt.AppendBuffer(data) {
		return nil
	}
	data.Release()
	last.resize()
	return last
}

// boundSendBuffer returns the size of the send buffer: little if the stack is full. A writer
// that is refused then is woken by the next acknowledgement, even if there is room again
// (unthrottled).
func (e *Endpoint) boundSendBuffer(size int) int {
	if size > leastQueue && e.stack.Memory().Full(stack.TCPMemory) {
		e.held.throttled.Store(true)
		return leastQueue
	}
	return size
}

// unthrottled reports whether a writer has to be woken because the stack was full.
func (e *Endpoint) unthrottled() bool {
	return e.held.throttled.Load() && e.held.throttled.Swap(false)
}

// nextSendBuffer returns the size that the send buffer is to have. It does not grow while the
// stack is short of memory.
//
// +checklocks:e.mu
func (e *Endpoint) nextSendBuffer() int64 {
	if e.stack.Memory().Pressure(stack.TCPMemory) {
		return e.ops.GetSendBufferSize()
	}
	return e.computeTCPSendBufferSize()
}

// mustGo reports whether a connection whose peer is silent is given up at its next timeout: the
// program has closed it, and the stack is short of memory. Linux does so with orphans, tcp(7),
// tcp_max_orphans.
func (e *Endpoint) mustGo() bool {
	return e.closed && e.stack.Memory().Pressure(stack.ConnectionMemory)
}

// leastMTU returns the smallest size of a packet without its IP header that an ICMP message can
// ask for: Linux's net.ipv4.route.min_pmtu, ip(7), and that of RFC 8201 §4.
func leastMTU(p tcpip.NetworkProtocolNumber) uint32 {
	if p == header.IPv6ProtocolNumber {
		return header.IPv6MinimumMTU - header.IPv6MinimumSize
	}
	const minPMTU = 552
	return minPMTU - header.IPv4MinimumSize
}

// resize counts the memory of a segment again whose data has changed.
func (s *segment) resize() {
	size := s.pkt.MemSize()
	if s.ep != nil && s.qFlags == sendQ {
		s.ep.stack.Memory().Add(stack.TCPMemory, size-s.dataMemSize)
	}
	s.dataMemSize = size
}

// chargeClone counts the memory of a segment that was copied from one that is counted.
func (s *segment) chargeClone() {
	if s.ep != nil && s.qFlags == sendQ {
		s.ep.stack.Memory().Add(stack.TCPMemory, s.segMemSize())
	}
}
