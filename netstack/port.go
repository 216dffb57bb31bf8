package netstack

import (
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/yolk-unikernel/yolk/kernel"
)

// A Port is a card without hardware, whose other side is a program (package tun). What the stack sends
// waits in the Link's queue until the other side takes it with Next; what the other side sends goes up
// with Deliver. It begins down, and its other side closed.
type Port struct {
	*Link
	stack    *Stack
	notify   func(kernel.Events) // see PortInfo
	rx       sync.Mutex
	segments atomic.Bool // the other side takes segments of TCP that are to be cut (SetSegments)
}

// PortInfo describes a Port.
type PortInfo struct {
	Name string
	NICInfo
	// Notify is called when frames have come that Next will return (EventIn), and when the interface
	// has come up (EventOut); it must not block, nor call the Port.
	Notify func(kernel.Events)
}

// AddPort attaches a Port. It returns EEXIST if there is an interface with its name.
func (s *Stack) AddPort(info PortInfo) (*Port, syscall.Errno) {
	if _, taken := s.interfaceByName(info.Name); taken {
		return nil, syscall.EEXIST
	}
	p := &Port{stack: s, notify: info.Notify}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastNIC = max(s.lastNIC, loopbackNIC) + 1
	p.Link = newLink(portNIC{p, &info.NICInfo}, info.Name, s.lastNIC, &s.watch)
	p.noCarrier.Store(true)
	p.tx.shut = true
	err := s.stack.CreateNICWithOptions(p.id, p, stack.NICOptions{Name: info.Name, QDisc: p.Link, Disabled: true})
	if err != nil {
		return nil, errnoOf(err)
	}
	if info.Bare {
		s.configureNDP(p.id, ipv6.NDPConfigurations{}) // no address of the link to make others of
	}
	s.links = append(s.links[:len(s.links):len(s.links)], p.Link)
	s.noteMTU(p.MTU())
	return p, 0
}

// HasInterface reports whether there is an interface with the name.
func (s *Stack) HasInterface(name string) bool {
	_, has := s.interfaceByName(name)
	return has
}

// portNIC is the Link's view of its card: it takes no frames, so that they stay in the queue.
type portNIC struct {
	p    *Port
	info *NICInfo
}

func (n portNIC) Info() NICInfo    { return *n.info }
func (n portNIC) Start(*Link)      {}
func (n portNIC) Send(*Frame) bool { return false }
func (n portNIC) Kick()            { n.p.notify(kernel.EventIn) }

// Open says that there is another side now.
func (p *Port) Open() {
	p.tx.mu.Lock()
	p.tx.shut = false
	p.tx.mu.Unlock()
	p.noCarrier.Store(false)
	p.stack.notifyChanged()
}

// Shut says that there is none any more, and drops what waits for it.
func (p *Port) Shut() {
	p.shut()
	p.noCarrier.Store(true)
	p.stack.notifyChanged()
}

// Remove removes the card, with its addresses and routes.
func (p *Port) Remove() { p.stack.RemoveNIC(p.Link) }

// Up reports whether the interface is up (netdevice(7), IFF_UP).
func (p *Port) Up() bool { return p.stack.stack.CheckNIC(p.id) }

// Next returns the next frame that the stack has sent, which the caller gives back with Done, or nil.
func (p *Port) Next() *Frame {
	p.tx.mu.Lock()
	defer p.tx.mu.Unlock()
	f := p.tx.first
	if f != nil {
		p.tx.pop(f.next, f.size)
		f.next = nil
	}
	return f
}

// Waiting reports whether Next will return a frame.
func (p *Port) Waiting() bool {
	p.tx.mu.Lock()
	defer p.tx.mu.Unlock()
	return p.tx.first != nil
}

// SetCarrier says whether the cable is plugged, as the other side sees it.
func (p *Port) SetCarrier(on bool) {
	p.noCarrier.Store(!on)
	p.stack.notifyChanged()
}

// SetAddress gives an Ethernet card another address.
func (p *Port) SetAddress(mac [6]byte) {
	p.SetLinkAddress(tcpip.LinkAddress(mac[:]))
	p.stack.notifyChanged()
}

// CountDropped counts a frame that the other side could not take.
func (p *Port) CountDropped() { p.stats.txDropped.Add(1) }

// CountBad counts a frame of the other side that is none.
func (p *Port) CountBad() { p.stats.rxErrors.Add(1) }

// SetSegments says whether the other side takes frames with an Offload. Connections look at it when
// they begin.
func (p *Port) SetSegments(on bool) { p.segments.Store(on) }

// Forwards reports whether a packet may leave by another card, so that it has to fit that.
func (p *Port) Forwards(proto tcpip.NetworkProtocolNumber) bool {
	on, err := p.stack.stack.NICForwarding(p.id, proto)
	return err == nil && on
}

// Deliver passes a frame of the other side up, on the caller's goroutine. v becomes the stack's; its
// bytes are not trusted, and at least as many as an Ethernet header has, where there is one. proto is
// the packet's protocol; of an Ethernet frame it is in the frame. checked says that its TCP or UDP
// checksum needs no look.
func (p *Port) Deliver(v *buffer.View, proto tcpip.NetworkProtocolNumber, checked bool) {
	p.rx.Lock() // see Link.rxChecked
	defer p.rx.Unlock()
	p.stats.rxPackets.Add(1)
	p.stats.rxBytes.Add(uint64(v.Size()))
	if w := p.watch.current.Load(); w != nil {
		w.delivered(p.Link, v.AsSlice(), proto, checked)
	}
	d := p.dispatcher.Load()
	if d == nil {
		v.Release()
		p.stats.rxDropped.Add(1)
		return
	}
	kind := tcpip.PacketHost
	if !p.info.Bare {
		var ok bool
		if kind, ok = p.packetType(v.AsSlice()); !ok {
			v.Release()
			return
		}
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
	defer pkt.DecRef()
	if !p.info.Bare {
		p.deliver(d, pkt, kind, checked)
		return
	}
	if p.rxChecked.Load() != checked {
		p.rxChecked.Store(checked)
	}
	pkt.PktType = kind
	p.pass(d, proto, pkt)
}

// Capabilities implements stack.LinkEndpoint: IP packets have no link addresses to be asked for.
func (p *Port) Capabilities() stack.LinkEndpointCapabilities {
	c := p.Link.Capabilities()
	if p.info.Bare {
		c &^= stack.CapabilityResolutionRequired
	}
	return c
}

// LinkAddress implements stack.LinkEndpoint.
func (p *Port) LinkAddress() tcpip.LinkAddress {
	if p.info.Bare {
		return ""
	}
	return p.Link.LinkAddress()
}

// MaxHeaderLength implements stack.LinkEndpoint.
func (p *Port) MaxHeaderLength() uint16 { return uint16(p.header) }

// ARPHardwareType implements stack.LinkEndpoint.
func (p *Port) ARPHardwareType() header.ARPHardwareType {
	if p.info.Bare {
		return header.ARPHardwareNone
	}
	return header.ARPHardwareEther
}

// AddHeader implements stack.LinkEndpoint.
func (p *Port) AddHeader(pkt *stack.PacketBuffer) {
	if !p.info.Bare {
		p.Link.AddHeader(pkt)
	}
}

// ParseHeader implements stack.LinkEndpoint.
func (p *Port) ParseHeader(pkt *stack.PacketBuffer) bool {
	return p.info.Bare || p.Link.ParseHeader(pkt)
}

// SupportedGSO implements stack.GSOEndpoint.
func (p *Port) SupportedGSO() stack.SupportedGSO {
	if p.segments.Load() {
		return stack.HostGSOSupported
	}
	return stack.GVisorGSOSupported
}
