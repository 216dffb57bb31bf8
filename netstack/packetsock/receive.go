package packetsock

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// headerSize is the size of an Ethernet header: two addresses and a type.
const headerSize = 2*addressSize + 2

// A packet is a frame, or what follows its header, in a socket's queue.
type packet struct {
	data    []byte
	from    [sockaddrSize]byte
	length  int    // of the frame, before the filter cut it
	network int    // where the network header is
	status  uint32 // TP_STATUS_* of PACKET_AUXDATA
	vlan    uint16
	tag     uint16 // the type of the VLAN tag, 0: none
	time    int64  // of arrival
	drops   uint32 // of the socket, then
}

// see shows a frame to the sockets. It is called with locks of a link held, and so only queues copies.
func (f *Family) see(w *netstack.WatchedFrame) {
	r := f.current.Load()
	if !r.passes(w) {
		return
	}
	for i := range r.sockets {
		if to := &r.sockets[i]; to.wants(w) {
			to.take(w, to.protocol == typeAll)
		}
	}
}

// passes reports whether a card would pass a frame: one for another station only if it is told to
// (PACKET_MR_PROMISC, PACKET_MR_UNICAST).
func (r *receivers) passes(w *netstack.WatchedFrame) bool {
	if w.Type != bpf.ToOtherHost || w.Hardware != syscall.ARPHRD_ETHER {
		return true
	}
	if len(r.members) == 0 {
		return false
	}
	one := membership{index: w.Interface, typ: mrUnicast, length: addressSize}
	copy(one.address[:], w.Parts[0][:addressSize])
	return r.members[one] > 0 || r.promiscuous(w.Interface)
}

func (r *receivers) promiscuous(index int) bool {
	for m := range r.members {
		if m.index == index && m.typ == syscall.PACKET_MR_PROMISC {
			return true
		}
	}
	return false
}

// wants reports whether a frame is for the socket. Frames that are sent are seen only by those that want all
// types, and not by their sender (dev_queue_xmit_nit in Linux's net/core/dev.c).
func (r *receiver) wants(w *netstack.WatchedFrame) bool {
	switch {
	case r.index != 0 && r.index != w.Interface:
		return false
	case w.Type == bpf.Outgoing:
		return r.protocol == typeAll && !r.has(ignoresOutput) && w.Sender != any(r.socket)
	}
	return r.protocol == typeAll || r.protocol == w.Protocol
}

// take queues a copy of what the filter lets pass. Only sockets for all types learn of a VLAN tag: for
// the others it is taken off, and the frame is another station's, since there is no interface for it
// (__netif_receive_skb_core in Linux's net/core/dev.c).
func (s *socket) take(w *netstack.WatchedFrame, tagged bool) {
	p := w.Packet
	if p.VLANProtocol != 0 && !tagged {
		const identifier = 0xfff // VLAN_VID_MASK
		if p.VLAN&identifier != 0 {
			p.Type = bpf.ToOtherHost
		}
		p.VLAN, p.VLANProtocol = 0, 0
	}
	p.Link = 0
	if s.typ == syscall.SOCK_DGRAM {
		p.Start = p.Network
	}
	length := p.Len()
	keep := length
	if f := s.filter.Load(); f != nil && length > 0 {
		keep = int(min(uint32(length), f.Run(&p)))
	}
	if keep > 0 { // a frame of nothing but a header is nothing to a cooked socket
		s.enqueue(w, &p, length, keep)
	}
}

// enqueue copies the bytes to keep, if there is room for them.
func (s *socket) enqueue(w *netstack.WatchedFrame, p *bpf.Packet, length, keep int) {
	s.mu.Lock()
	if s.held >= s.options.Receive {
		s.lose()
		s.mu.Unlock()
		return
	}
	q := &packet{data: make([]byte, keep), length: length, network: p.Network - p.Start, time: now(), vlan: p.VLAN, tag: p.VLANProtocol}
	size := q.charge()
	if !s.family.net.HoldDatagrams(size) {
		s.lose()
		s.mu.Unlock()
		return
	}
	p.Bytes(p.Start, q.data)
	q.status = statusOf(w, p)
	var sender []byte
	if p.Network != 0 {
		sender = p.Parts[0][addressSize : 2*addressSize]
	}
	putSockaddr(&q.from, p.Protocol, p.Interface, p.Hardware, p.Type, sender)
	q.drops = s.drops
	s.received++
	s.held += size
	s.packets = append(s.packets, q)
	s.mu.Unlock()
	s.queue.Notify(kernel.EventIn)
}

// lose counts a frame that there is no room for. mu is held.
func (s *socket) lose() {
	s.lost++
	s.drops++
}

// Bits of tp_status, linux/if_packet.h.
const (
	statusUser          = 1 << 0
	statusUnfinished    = 1 << 3 // TP_STATUS_CSUMNOTREADY
	statusVLAN          = 1 << 4 // TP_STATUS_VLAN_VALID
	statusVLANType      = 1 << 6 // TP_STATUS_VLAN_TPID_VALID
	statusChecksumValid = 1 << 7
	statusSegments      = 1 << 8 // TP_STATUS_GSO_TCP
)

func statusOf(w *netstack.WatchedFrame, p *bpf.Packet) uint32 {
	status := uint32(statusUser)
	switch {
	case w.Unfinished:
		status |= statusUnfinished
	case w.Verified && p.Type != bpf.Outgoing:
		status |= statusChecksumValid
	}
	if w.Segments {
		status |= statusSegments
	}
	if p.VLANProtocol != 0 {
		status |= statusVLAN | statusVLANType
	}
	return status
}

// next returns the first packet and, unless it stays, takes it off the queue.
func (s *socket) next(stays bool) (*packet, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.takeError(); e != 0 {
		return nil, e
	}
	if len(s.packets) == 0 {
		return nil, syscall.EAGAIN
	}
	p := s.packets[0]
	if !stays {
		s.packets[0] = nil
		s.packets = s.packets[1:]
		s.held -= p.charge()
		s.family.net.HoldDatagrams(-p.charge())
	}
	stamping, arrival := s.options.HasStamping()
	switch { // sock_recv_cmsgs and sock_recv_timestamp in Linux's include/net/sock.h
	case s.options.StampForm() != 0 || arrival: // told in a control message
	case s.keepsStamp || stamping:
		s.stamp = p.time
	case s.stamp == noStamp:
		s.stamp = unknownStamp
	}
	return p, 0
}

// Read implements kernel.File.
func (s *socket) Read(dst []byte, _ int64) (int, syscall.Errno) {
	p, e := s.next(false)
	if e != 0 {
		return 0, e
	}
	return copy(dst, p.data), 0
}

// Receive implements kernel.Socket: packet_recvmsg in Linux's net/packet/af_packet.c.
func (s *socket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	const known = syscall.MSG_PEEK | syscall.MSG_DONTWAIT | syscall.MSG_TRUNC | syscall.MSG_ERRQUEUE
	m.Flags, m.AddrLen, m.ControlLen = 0, 0, 0
	if flags&^known != 0 {
		return 0, syscall.EINVAL
	}
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return 0, syscall.EAGAIN // nothing is reported of what was sent
	}
	p, e := s.next(flags&syscall.MSG_PEEK != 0)
	if e != 0 {
		return 0, e
	}
	n := 0
	for _, part := range m.Buffers {
		n += copy(part, p.data[n:])
	}
	if n < len(p.data) {
		m.Flags |= syscall.MSG_TRUNC
		if flags&syscall.MSG_TRUNC != 0 {
			n = len(p.data)
		}
	}
	s.putControl(m, p)
	if m.Addr != nil {
		m.AddrLen = copy(m.Addr, p.from[:])
	}
	return n, 0
}

// putControl writes the control messages that options ask for.
func (s *socket) putControl(m *kernel.Message, p *packet) {
	s.mu.Lock()
	stamps, reports := s.options.Stamps(), s.options.Int(solsocket.RxqOvfl) != 0
	s.mu.Unlock()
	stamps.Put(m, p.time)
	var b [20]byte
	put := binary.NativeEndian.PutUint32
	if reports && p.drops != 0 {
		put(b[:], p.drops)
		solsocket.PutControl(m, syscall.SOL_SOCKET, solsocket.RxqOvfl, b[:4])
	}
	if !s.has(wantsAuxData) {
		return
	}
	put(b[:], p.status) // struct tpacket_auxdata, packet(7)
	put(b[4:], uint32(p.length))
	put(b[8:], uint32(len(p.data)))
	binary.NativeEndian.PutUint16(b[12:], 0)
	binary.NativeEndian.PutUint16(b[14:], uint16(p.network))
	binary.NativeEndian.PutUint16(b[16:], p.vlan)
	binary.NativeEndian.PutUint16(b[18:], p.tag)
	solsocket.PutControl(m, syscall.SOL_PACKET, packetAuxData, b[:])
}
