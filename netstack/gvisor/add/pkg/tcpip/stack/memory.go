//go:build yolk

package stack

import (
	"gvisor.dev/gvisor/pkg/atomicbitops"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// MemoryClass says what a stack's memory is used for.
type MemoryClass int

const (
	// ConnectionMemory is that of connections without their data.
	ConnectionMemory MemoryClass = iota
	// TCPMemory is that of the segments in connections' queues.
	TCPMemory
	// DatagramMemory is that of the queues of UDP, ICMP and raw sockets.
	DatagramMemory
	// waitingMemory is that of packets that wait for the link address of their neighbour.
	waitingMemory
	memoryClasses
)

// maxWaiting is how many bytes may wait for one neighbour: Linux's net.ipv4.neigh.*.unres_qlen_bytes
// (arp(7)).
const maxWaiting = 212992

// Memory counts the bytes that a stack holds for its peers: the capacity of the buffers in
// queues with what describes them, and connections. It has one bound for all, as Linux's
// net.ipv4.tcp_mem and udp_mem (tcp(7), udp(7)). Each queue asks Full before it takes a packet
// and tells Add after that; the packets that several CPUs receive at the same moment may exceed
// the bound.
type Memory struct {
	limit int64 // bytes, 0: none. Immutable once packets arrive.
	used  [memoryClasses]atomicbitops.Int64
}

// Memory returns what the stack holds.
func (s *Stack) Memory() *Memory { return &s.memory }

// SetMemoryLimit bounds what the stack holds to a number of bytes; 0 is no bound. It must be called
// before packets arrive.
func (s *Stack) SetMemoryLimit(bytes int64) { s.memory.limit = bytes }

// MemoryUsed returns the bytes that are held for connections with their data, those for received datagrams and
// those that wait for a neighbour.
func (s *Stack) MemoryUsed() (tcp, datagrams, waiting int64) {
	return s.memory.used[ConnectionMemory].Load() + s.memory.used[TCPMemory].Load(), s.memory.used[DatagramMemory].Load(), s.memory.used[waitingMemory].Load()
}

// Add counts n more bytes, or fewer if n is negative.
func (m *Memory) Add(c MemoryClass, n int) { m.used[c].Add(int64(n)) }

// HoldDatagrams counts n more bytes of datagrams, or fewer; false: there is no room, and nothing was
// counted.
func (s *Stack) HoldDatagrams(n int) bool {
	if n > 0 && s.memory.Full(DatagramMemory) {
		return false
	}
	s.memory.Add(DatagramMemory, n)
	return true
}

// Full reports whether nothing more may be added to the class: all classes together have
// reached the limit, or this one its share, which leaves some to the others.
func (m *Memory) Full(c MemoryClass) bool { return m.limit != 0 && m.reached(c, m.limit) }

// Pressure reports whether three quarters of what makes the class full are in use. Buffers do not
// grow then.
func (m *Memory) Pressure(c MemoryClass) bool { return m.limit != 0 && m.reached(c, m.limit/4*3) }

// Exhausted reports whether all classes together have reached the limit: there is no room for
// another connection.
func (m *Memory) Exhausted() bool { return m.limit != 0 && m.total() >= m.limit }

func (m *Memory) reached(c MemoryClass, limit int64) bool {
	shares := [memoryClasses]int64{ConnectionMemory: limit, TCPMemory: limit / 2, DatagramMemory: limit / 2, waitingMemory: limit / 8}
	return m.used[c].Load() >= shares[c] || m.total() >= limit
}

func (m *Memory) total() int64 {
	return m.used[ConnectionMemory].Load() + m.used[TCPMemory].Load() + m.used[DatagramMemory].Load() + m.used[waitingMemory].Load()
}

// hold returns a copy of a packet whose memory is counted until it is released.
func (s *Stack) hold(c MemoryClass, pk *PacketBuffer) *PacketBuffer {
	held := pk.Clone()
	size := held.MemSize()
	s.memory.Add(c, size)
	held.onRelease = func() { s.memory.Add(c, -size) }
	return held
}

// mayWait reports whether a packet may wait for the link address of its neighbour, for which
// others wait.
func (f *packetsPendingLinkResolution) mayWait(others []pendingPacket, pk *PacketBuffer) bool {
	size := pk.MemSize()
	for i := range others {
		size += others[i].pkt.MemSize()
	}
	return size <= maxWaiting && !f.nic.stack.memory.Full(waitingMemory)
}

// resolveNeighbor is the end of resolvedFields when there is nothing to call: the link address
// of the next hop if it is known, or else the channel that tells when it is. local is the
// source of a request for it.
func (r *Route) resolveNeighbor(fields RouteInfo, local tcpip.Address) (RouteInfo, <-chan struct{}, tcpip.Error) {
	entry, ch, err := r.linkRes.neigh.entry(r.nextHop(), local, nil)
	if err == nil {
		fields.RemoteLinkAddress, _ = entry.getRemoteLinkAddress()
	}
	r.setCachedNeighborEntry(entry)
	return fields, ch, err
}

// memSize is what MemSize returns.
func (pk *PacketBuffer) memSize() int { return pk.buf.MemSize() + PacketBufferStructSize }

// AppendCopy copies the data of src to the end of pk's if it fits there; see
// buffer.Buffer.AppendCopy.
func (pk *PacketBuffer) AppendCopy(src *PacketBuffer) bool {
	b := src.Data().ToBuffer()
	defer b.Release()
	return pk.buf.AppendCopy(&b, false)
}

// AppendBuffer copies a buffer to the end of pk's data; see buffer.Buffer.AppendCopy.
func (pk *PacketBuffer) AppendBuffer(src *buffer.Buffer) bool {
	return pk.buf.AppendCopy(src, true)
}
