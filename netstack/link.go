package netstack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// NIC is a network card as the stack needs it: it sends and receives frames without copying
// them. The wiring implements it with a driver.
//
// Calls to Send and Kick are serialised by the Link.
type NIC interface {
	// Info returns the card's properties. They never change.
	Info() NICInfo
	// Start is called once, before every method but Info. From then on the card may call
	// l.Receive and l.TxReady.
	Start(l *Link)
	// Send queues one frame and returns true, or returns false if the ring is full; then the
	// card calls l.TxReady when there is space again. A queued frame belongs to the card
	// until it calls f.Done, and must not be used after that.
	Send(f *Frame) bool
	// Kick notifies the device of the frames queued since the last Kick.
	Kick()
}

// NICInfo describes a card.
type NICInfo struct {
	MAC [6]byte
	// MTU is the largest IP packet in bytes; 0 means 1500.
	MTU int
	// Headroom is how many bytes the card needs before each frame for a header of its own
	// (virtio-net: 12). The first part of a Frame begins with that many zero bytes.
	Headroom int
	// TSO4 and TSO6 say that the card segments TCP (and so also completes checksums). MaxTSO
	// is the largest packet it segments; 0 means 65535.
	TSO4, TSO6 bool
	MaxTSO     int
	// Virtual is what the card is if it is no hardware: IFLA_INFO_KIND of rtnetlink(7).
	Virtual string
	// Bare says that frames are IP packets, without an Ethernet header: the card has no address and
	// no neighbours.
	Bare bool
	// MaxMTU is the largest MTU that can be set; 0 means MTU.
	MaxMTU int
	// QueueLength is how many frames wait for the card at most; 0 means 1,000.
	QueueLength int
}

// GSO types of a Frame, virtio 1.2 §5.1.6.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOTCPv6 = 4
)

// Offload is what the card has to do to a frame. Offsets count from the Ethernet header, as in
// virtio 1.2 §5.1.6.
type Offload struct {
	NeedsChecksum  bool
	ChecksumStart  uint16
	ChecksumOffset uint16
	GSOType        uint8
	GSOSize        uint16 // payload bytes per segment
	HeaderLen      uint16 // size of the Ethernet, IP and TCP headers
}

// Link is the stack's side of one Ethernet card: a stack.LinkEndpoint and, to avoid a list per
// packet, also the stack.QueueingDiscipline before it.
type Link struct {
	nic  NIC
	info NICInfo
	name atomic.Pointer[string] // see Name
	id   tcpip.NICID
	// header is the size of a frame's link header in bytes.
	header int

	dispatcher atomic.Pointer[dispatcherBox]
	mtu        atomic.Uint32
	mac        atomic.Pointer[tcpip.LinkAddress]

	// rxChecked says that the card has verified the checksum of the packet being received.
	// gVisor asks by card, not by packet, from within DeliverNetworkPacket, and Receive is
	// not called concurrently.
	rxChecked atomic.Bool
	// tap gets received frames before the stack and reports whether it took them; DHCP runs
	// before there is an address to receive on.
	tap atomic.Pointer[func(frame []byte) bool]
	// watch is the stack's: packet sockets.
	watch *watchers

	tx txQueue

	// noCarrier says that nothing is at the other side: netdevice(7), IFF_RUNNING.
	noCarrier atomic.Bool

	ipv6 sync.Once // see Stack.enableIPv6
	dhcp *dhcpRun  // guarded by Stack.mu

	stats linkCounters
}

type dispatcherBox struct{ stack.NetworkDispatcher }

type linkCounters struct {
	rxPackets, rxBytes, rxDropped, rxErrors atomic.Uint64
	txPackets, txBytes, txDropped           atomic.Uint64
	rx, tx                                  octets
}

const (
	defaultMTU = 1500
	defaultTSO = 65535
	// rxBufferSize is enough for an Ethernet frame and a virtio header. As it is a power of
	// two that divides a page, no buffer crosses a page, so each is contiguous in physical
	// memory whatever the page tables.
	rxBufferSize = 2048
	// rxCopyLimit is how many bytes are copied out of a receive buffer rather than passed on
	// with it. Above, at most half of the buffer is unused.
	rxCopyLimit = rxBufferSize / 2
)

func newLink(nic NIC, name string, id tcpip.NICID, watch *watchers) *Link {
	l := &Link{nic: nic, info: nic.Info(), id: id, header: header.EthernetMinimumSize, watch: watch}
	l.name.Store(&name)
	if l.info.MTU == 0 {
		l.info.MTU = defaultMTU
	}
	if l.info.MaxTSO <= 0 || l.info.MaxTSO > defaultTSO {
		l.info.MaxTSO = defaultTSO
	}
	l.info.MaxMTU = max(l.info.MaxMTU, l.info.MTU)
	if l.info.QueueLength == 0 {
		l.info.QueueLength = maxQueuedPackets
	}
	if l.info.Bare {
		l.header = 0
	}
	l.mtu.Store(uint32(l.info.MTU))
	l.SetLinkAddress(tcpip.LinkAddress(l.info.MAC[:]))
	return l
}

// MTU implements stack.LinkEndpoint.
func (l *Link) MTU() uint32 { return l.mtu.Load() }

// SetMTU implements stack.LinkEndpoint.
func (l *Link) SetMTU(mtu uint32) { l.mtu.Store(min(mtu, uint32(l.info.MaxMTU))) }

// Name returns the card's name, as ip link shows it.
func (l *Link) Name() string { return *l.name.Load() }

// Index returns the card's number.
func (l *Link) Index() int { return int(l.id) }

// MaxHeaderLength implements stack.LinkEndpoint.
func (l *Link) MaxHeaderLength() uint16 {
	return uint16(header.EthernetMinimumSize + l.info.Headroom)
}

// LinkAddress implements stack.LinkEndpoint.
func (l *Link) LinkAddress() tcpip.LinkAddress { return *l.mac.Load() }

// SetLinkAddress implements stack.LinkEndpoint.
func (l *Link) SetLinkAddress(a tcpip.LinkAddress) { l.mac.Store(&a) }

// Capabilities implements stack.LinkEndpoint. It leaves out CapabilityTXChecksumOffload: with
// it gVisor would leave the checksum of every packet, also of an IPv6 fragment, at zero. TCP
// data uses the partial checksum of GSO; for other packets (acknowledgements, UDP) the
// checksum is cheap.
func (l *Link) Capabilities() stack.LinkEndpointCapabilities {
	c := stack.CapabilityResolutionRequired
	if l.rxChecked.Load() {
		c |= stack.CapabilityRXChecksumOffload
	}
	return c
}

// Attach implements stack.LinkEndpoint.
func (l *Link) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		l.dispatcher.Store(nil)
		return
	}
	l.dispatcher.Store(&dispatcherBox{d})
}

// IsAttached implements stack.LinkEndpoint.
func (l *Link) IsAttached() bool { return l.dispatcher.Load() != nil }

// Wait implements stack.LinkEndpoint: a Link has no goroutines.
func (*Link) Wait() {}

// Close implements stack.LinkEndpoint and stack.QueueingDiscipline.
func (*Link) Close() {}

// SetOnCloseAction implements stack.LinkEndpoint.
func (*Link) SetOnCloseAction(func()) {}

// ARPHardwareType implements stack.LinkEndpoint.
func (*Link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// SupportedGSO implements stack.GSOEndpoint. If the card does not segment, gVisor still passes
// up to 64 KiB through TCP in one packet and segments it at the end, which costs small
// segments nothing.
func (l *Link) SupportedGSO() stack.SupportedGSO {
	if l.info.TSO4 && l.info.TSO6 {
		return stack.HostGSOSupported
	}
	return stack.GVisorGSOSupported
}

// GSOMaxSize implements stack.GSOEndpoint.
func (l *Link) GSOMaxSize() uint32 { return uint32(l.info.MaxTSO) }

// AddHeader implements stack.LinkEndpoint.
func (l *Link) AddHeader(pkt *stack.PacketBuffer) {
	eth := header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize))
	src := pkt.EgressRoute.LocalLinkAddress
	if len(src) == 0 {
		src = l.LinkAddress()
	}
	eth.Encode(&header.EthernetFields{
		SrcAddr: src,
		DstAddr: pkt.EgressRoute.RemoteLinkAddress,
		Type:    pkt.NetworkProtocolNumber,
	})
}

// ParseHeader implements stack.LinkEndpoint.
func (*Link) ParseHeader(pkt *stack.PacketBuffer) bool {
	_, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}

// An RxBuffer is memory that a card receives into. It is the storage of a gVisor view, so that
// received bytes become a packet without a copy.
type RxBuffer struct{ view *buffer.View }

// NewRxBuffer returns a buffer of 2048 bytes. A card makes one per receive descriptor and
// reuses it.
func NewRxBuffer() *RxBuffer { return &RxBuffer{buffer.NewViewSize(rxBufferSize)} }

// Bytes returns the memory, which is new memory after a Receive that took it.
func (b *RxBuffer) Bytes() []byte { return b.view.AsSlice() }

// take returns bytes [off, off+n) as a view. Few are copied into memory of their size, so that
// a queue with small packets does not hold 2 KiB for each; that costs no more than clearing
// new memory for the card. Else the memory itself is the view's, and the buffer has a new one.
func (b *RxBuffer) take(off, n int) *buffer.View {
	if n <= rxCopyLimit {
		return buffer.NewViewWithData(b.view.AsSlice()[off : off+n])
	}
	v := b.view
	b.view = buffer.NewViewSize(rxBufferSize)
	v.CapLength(off + n)
	v.TrimFront(off)
	return v
}

var framePool = sync.Pool{New: func() any { return new(Frame) }}
