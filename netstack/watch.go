package netstack

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// This file shows the frames of all interfaces to packet sockets (package packetsock), and sends theirs.
// Without a watcher a frame costs one load and one branch. The DHCP client's tap (Link.setTap) is another
// thing: it takes frames away from the stack, of one card, and comes after the watcher.

// A WatchedFrame is a frame on its way in or out. It and its memory are the watcher's until it returns.
type WatchedFrame struct {
	// Packet has the bytes from the Ethernet header on, whose addresses are in the first part, and Start at
	// 0. Of a received frame, a VLAN tag is beside them, not in them, as on Linux.
	bpf.Packet
	// Unfinished: the TCP or UDP checksum is left to the card, or is not needed. Verified: the card has
	// found it right. Segments: the frame is one for several of TCP, which the card cuts.
	Unfinished, Verified, Segments bool
	// Sender is what SendFrame was given, or nil.
	Sender any

	parts [8][]byte
	link  [header.EthernetMinimumSize]byte
}

// A watcher has the functions that describe a frame and show it. They are behind function values so that
// programs without packet sockets are without them.
type watcher struct {
	received  func(l *Link, bufs []*RxBuffer, off, n int, checked bool)
	delivered func(l *Link, frame []byte, proto tcpip.NetworkProtocolNumber, checked bool) // of a Port
	sent      func(l *Link, f *Frame)
	looped    func(pkt *stack.PacketBuffer)
	// injected is for a frame that SendFrame sends over "lo".
	injected func(frame []byte, typ uint8, protocol uint16, sender any, hidden bool)
}

// watchers is where a stack and its links find the watcher.
type watchers struct{ current atomic.Pointer[watcher] }

// Watch makes f see the frames of all interfaces; nil ends that. It is called with locks of the link held, and
// must neither send nor wait.
func (s *Stack) Watch(f func(*WatchedFrame)) {
	if f == nil {
		s.watch.current.Store(nil)
		return
	}
	s.watch.current.Store(&watcher{
		received: func(l *Link, bufs []*RxBuffer, off, n int, checked bool) { l.seen(f, bufs, off, n, checked) },
		delivered: func(l *Link, frame []byte, proto tcpip.NetworkProtocolNumber, checked bool) {
			l.seenDelivered(f, frame, proto, checked)
		},
		sent:   func(l *Link, frame *Frame) { l.seenOutgoing(f, frame) },
		looped: func(pkt *stack.PacketBuffer) { seenLooped(f, pkt) },
		injected: func(frame []byte, typ uint8, protocol uint16, sender any, hidden bool) {
			seenInjected(f, frame, typ, protocol, sender, hidden)
		},
	})
}

var watchedFrames = sync.Pool{New: func() any { return new(WatchedFrame) }}

// show shows a frame, and takes it back.
func (w *WatchedFrame) show(f func(*WatchedFrame)) {
	f(w)
	*w = WatchedFrame{}
	watchedFrames.Put(w)
}

func newWatchedFrame(id tcpip.NICID) *WatchedFrame {
	w := watchedFrames.Get().(*WatchedFrame)
	w.Parts = w.parts[:0]
	w.Network = header.EthernetMinimumSize
	w.Interface, w.Hardware = int(id), hardwareType(id)
	return w
}

// newWatchedFrame is one of the card.
func (l *Link) newWatchedFrame() *WatchedFrame {
	w := newWatchedFrame(l.id)
	w.Network = l.header
	if l.info.Bare {
		w.Hardware = syscall.ARPHRD_NONE
	}
	return w
}

// protocolOfFrame is eth_type_trans in Linux's net/ethernet/eth.c: the type of an Ethernet frame, or
// what stands for a frame of IEEE 802.3, which has its length there.
func protocolOfFrame(typeOrLength uint16, payload []byte) uint16 {
	const leastType, raw8023, with8022 = 0x600, 1, 4 // ETH_P_802_3_MIN, ETH_P_802_3, ETH_P_802_2
	switch {
	case typeOrLength >= leastType:
		return typeOrLength
	case len(payload) >= 2 && payload[0] == 0xff && payload[1] == 0xff:
		return raw8023
	}
	return with8022
}

// seen shows a received frame: n bytes from offset off of bufs on.
func (l *Link) seen(f func(*WatchedFrame), bufs []*RxBuffer, off, n int, checked bool) {
	w := l.newWatchedFrame()
	for _, rx := range bufs {
		if part := min(n, rxBufferSize-off); part > 0 {
			w.Parts = append(w.Parts, rx.Bytes()[off:off+part])
			off, n = 0, n-part
		}
	}
	l.classify(w)
	w.Verified = checked
	if w.untag() {
		w.show(f)
	}
}

// classify tells for whom an Ethernet frame that was received is, and of what protocol.
func (l *Link) classify(w *WatchedFrame) {
	first := w.Parts[0]
	w.Type = packetTypeOf(first, string(l.LinkAddress()), l.id)
	w.Protocol = protocolOfFrame(binary.BigEndian.Uint16(first[12:]), first[header.EthernetMinimumSize:])
}

// seenDelivered shows a frame from the other side of a Port: a packet of a protocol where there is no
// Ethernet header.
func (l *Link) seenDelivered(f func(*WatchedFrame), frame []byte, proto tcpip.NetworkProtocolNumber, checked bool) {
	w := l.newWatchedFrame()
	w.Parts, w.Verified = append(w.Parts, frame), checked
	if l.info.Bare {
		w.Type, w.Protocol = bpf.ToHost, uint16(proto)
		w.show(f)
		return
	}
	l.classify(w)
	if w.untag() {
		w.show(f)
	}
}

// packetTypeOf classifies a frame for a card with an address by its destination, as packet(7). Broadcasts
// of "lo" are multicasts: its broadcast address is its own, of zeros.
func packetTypeOf(frame []byte, mac string, id tcpip.NICID) uint8 {
	dst := frame[:header.EthernetAddressSize]
	switch {
	case string(dst) == mac:
		return bpf.ToHost
	case dst[0]&1 == 0:
		return bpf.ToOtherHost
	case id != loopbackNIC && string(dst) == string(header.EthernetBroadcastAddress):
		return bpf.Broadcast
	}
	return bpf.Multicast
}

// untag moves a VLAN tag (IEEE 802.1Q, 802.1ad) out of the frame: skb_vlan_untag in Linux's
// net/core/skbuff.c. A frame that is too short for its tag is dropped: false.
func (w *WatchedFrame) untag() bool {
	const customer, service, size = 0x8100, 0x88a8, 4 // ETH_P_8021Q, ETH_P_8021AD
	first := w.Parts[0]
	at := 2 * header.EthernetAddressSize
	if w.Protocol != customer && w.Protocol != service {
		return true
	}
	if len(first) < header.EthernetMinimumSize+size+2 {
		return false
	}
	w.VLANProtocol, w.VLAN = w.Protocol, binary.BigEndian.Uint16(first[at+2:])
	w.Protocol = protocolOfFrame(binary.BigEndian.Uint16(first[at+4:]), first[at+6:])
	rest := append([][]byte(nil), w.Parts[1:]...)
	w.Parts = append(append(w.parts[:0], first[:at], first[at+size:]), rest...)
	return true
}

// seenOutgoing shows a frame that is going to be sent. tx.mu is held.
func (l *Link) seenOutgoing(f func(*WatchedFrame), frame *Frame) {
	w := l.newWatchedFrame()
	skip := l.info.Headroom
	for _, p := range frame.Parts {
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		w.Parts = append(w.Parts, p[skip:])
		skip = 0
	}
	w.Type, w.Sender = bpf.Outgoing, frame.sender
	w.Unfinished, w.Segments = frame.Offload.NeedsChecksum, frame.Offload.GSOType != GSONone
	w.Protocol = frame.protocol
	switch {
	case w.Protocol != 0:
	case l.info.Bare:
		w.Protocol = uint16(frame.pkt.NetworkProtocolNumber)
	case len(w.Parts[0]) >= header.EthernetMinimumSize:
		w.Protocol = binary.BigEndian.Uint16(w.Parts[0][12:])
	}
	w.show(f)
}

// seenLooped shows a packet of "lo" twice, as on Linux: when it is sent and when it is received. It has a
// header of zeros.
func seenLooped(f func(*WatchedFrame), pkt *stack.PacketBuffer) {
	for _, typ := range []uint8{bpf.Outgoing, bpf.ToHost} {
		w := newWatchedFrame(loopbackNIC)
		header.Ethernet(w.link[:]).Encode(&header.EthernetFields{Type: pkt.NetworkProtocolNumber})
		w.Parts = append(w.Parts, w.link[:])
		views, skip := pkt.AsViewList()
		for v := views.Front(); v != nil; v = v.Next() {
			w.Parts, skip = appendPart(w.Parts, v, skip)
		}
		w.Type, w.Protocol = typ, uint16(pkt.NetworkProtocolNumber)
		w.Unfinished = pkt.TransportProtocolNumber == header.TCPProtocolNumber || pkt.TransportProtocolNumber == header.UDPProtocolNumber
		w.show(f)
	}
}

// A FrameInterface is what a sender of frames has to know of an interface.
type FrameInterface struct {
	Index, MTU   int
	Header       int    // bytes: of Ethernet, or none
	Hardware     uint16 // ARPHRD_ETHER, ARPHRD_LOOPBACK or, without a header, ARPHRD_NONE
	HardwareAddr [6]byte
	Up           bool
}

// FrameInterface returns the interface with an index; ok is false if there is none.
func (s *Stack) FrameInterface(index int) (i FrameInterface, ok bool) {
	id := tcpip.NICID(index)
	i = FrameInterface{Index: index, Header: header.EthernetMinimumSize, Hardware: hardwareType(id), Up: s.stack.CheckNIC(id)}
	if id == loopbackNIC {
		i.MTU = int(s.loopback.MTU())
		return i, true
	}
	l := s.linkByID(id)
	if l == nil {
		return i, false
	}
	i.MTU, i.Header = int(l.MTU()), l.header
	if l.info.Bare {
		i.Hardware = syscall.ARPHRD_NONE
		return i, true
	}
	copy(i.HardwareAddr[:], l.LinkAddress())
	return i, true
}

// InterfaceNames returns the names of the interfaces by their indexes.
func (s *Stack) InterfaceNames() map[int]string {
	names := make(map[int]string)
	for id, info := range s.stack.NICInfo() {
		names[int(id)] = info.Name
	}
	return names
}

// GroupAddresses returns the Ethernet addresses of the IP groups of a card, one for each group: RFC 1112 §6.4,
// RFC 2464 §7. Groups of the machine itself have none, as on Linux (igmp6_group_added in its
// net/ipv6/mcast.c).
func (s *Stack) GroupAddresses(index int) []string {
	const linkLocal = 2 // of the scopes of RFC 4291 §2.7
	var list []string
	for _, i := range s.Interfaces() {
		if i.Index != index || i.Flags&syscall.IFF_LOOPBACK != 0 {
			continue
		}
		for _, g := range s.joinedGroups(i, false) {
			list = append(list, string(header.EthernetAddressFromMulticastIPv4Address(tcpipAddr(g))))
		}
		for _, g := range s.joinedGroups(i, true) {
			if g.As16()[1]&15 >= linkLocal {
				list = append(list, string(header.EthernetAddressFromMulticastIPv6Address(tcpipAddr(g))))
			}
		}
	}
	return list
}

// SendFrame sends a frame of at least a link header over an interface that is there and up. The watcher
// sees it, with its sender and as of a protocol, 0 for that in an Ethernet frame, unless it is hidden. ENOBUFS: the
// queue of the card is full.
func (s *Stack) SendFrame(index int, frame []byte, protocol uint16, sender any, hidden bool) syscall.Errno {
	l := s.linkByID(tcpip.NICID(index))
	if protocol == 0 && (l == nil || !l.info.Bare) {
		protocol = binary.BigEndian.Uint16(frame[12:])
	}
	if tcpip.NICID(index) == loopbackNIC {
		s.loopback.send(frame, protocol, sender, hidden)
		return 0
	}
	if l == nil {
		return syscall.ENXIO
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: l.info.Headroom, Payload: buffer.MakeWithData(frame),
	})
	defer pkt.DecRef()
	pkt.NetworkProtocolNumber = tcpip.NetworkProtocolNumber(protocol)
	f := l.frame(pkt)
	f.sender, f.protocol, f.hidden = sender, protocol, hidden
	l.tx.mu.Lock()
	sent := l.send(f)
	l.nic.Kick()
	l.tx.mu.Unlock()
	l.drain()
	if !sent {
		return syscall.ENOBUFS
	}
	return 0
}

// send sends a frame over "lo". The stack gets it if it is for the address of zeros, or for several
// receivers.
func (l *countedLoopback) send(frame []byte, protocol uint16, sender any, hidden bool) {
	typ := packetTypeOf(frame, string(make([]byte, header.EthernetAddressSize)), loopbackNIC)
	received := binary.BigEndian.Uint16(frame[12:])
	if watch := l.watch.current.Load(); watch != nil {
		watch.injected(frame, typ, protocol, sender, hidden)
	}
	if typ == bpf.ToOtherHost {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame[header.EthernetMinimumSize:])})
	pkt.NetworkProtocolNumber = tcpip.NetworkProtocolNumber(received)
	var one stack.PacketBufferList
	one.PushBack(pkt)
	_, _ = l.LinkEndpoint.WritePackets(one) // it cannot fail
	pkt.DecRef()
}

// seenInjected shows a frame that is sent over "lo", and then its arrival as of a type.
func seenInjected(f func(*WatchedFrame), frame []byte, typ uint8, protocol uint16, sender any, hidden bool) {
	if !hidden {
		w := newWatchedFrame(loopbackNIC)
		w.Parts, w.Type, w.Protocol, w.Sender = append(w.Parts, frame), bpf.Outgoing, protocol, sender
		w.show(f)
	}
	w := newWatchedFrame(loopbackNIC)
	w.Parts, w.Type = append(w.Parts, frame), typ
	w.Protocol = protocolOfFrame(binary.BigEndian.Uint16(frame[12:]), frame[header.EthernetMinimumSize:])
	if w.untag() {
		w.show(f)
	}
}

// HoldDatagrams counts n more bytes that are held for what peers have sent, or fewer; false: the stack
// holds as much as it may (memory.go), and nothing was counted.
func (s *Stack) HoldDatagrams(n int) bool {
	st, ok := any(s.stack).(interface{ HoldDatagrams(n int) bool })
	return !ok || st.HoldDatagrams(n)
}

// NextInode returns a number for a new socket.
func (s *Stack) NextInode() uint64 { return s.inode.Add(1) }
