package netstack

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Receive passes one frame to the stack, on the caller's goroutine. The frame lies in bufs: n
// bytes from offset off of the first buffer on, continued at the start of the next ones
// (mergeable receive buffers, virtio 1.2 §5.1.6.4). checked says that the card has verified the
// TCP or UDP checksum. When Receive returns, every buffer can be posted again, with the memory
// that Bytes then returns.
//
// The numbers come from the device and are not trusted: a frame that does not fit them is
// dropped. Receive must not be called concurrently.
func (l *Link) Receive(bufs []*RxBuffer, off, n int, checked bool) {
	if len(bufs) == 0 || off < 0 || n < header.EthernetMinimumSize || off > rxBufferSize ||
		n > rxBufferSize*len(bufs)-off {
		l.stats.rxErrors.Add(1)
		return
	}
	l.stats.rxPackets.Add(1)
	l.stats.rxBytes.Add(uint64(n))
	d := l.dispatcher.Load()
	if d == nil {
		l.stats.rxDropped.Add(1)
		return
	}
	first := bufs[0].Bytes()[off:min(off+n, rxBufferSize)]
	if len(first) < header.EthernetMinimumSize {
		l.stats.rxErrors.Add(1)
		return
	}
	if w := l.watch.current.Load(); w != nil {
		w.received(l, bufs, off, n, checked)
	}
	if tap := l.tap.Load(); tap != nil && (*tap)(first) {
		return
	}
	kind, ok := l.packetType(first)
	if !ok {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: takeAll(bufs, off, n)})
	l.deliver(d, pkt, kind, checked)
	pkt.DecRef()
}

// packetType classifies a frame by its destination; ok is false if it is for another station,
// whose frames a card without a filter passes, too.
func (l *Link) packetType(frame []byte) (kind tcpip.PacketType, ok bool) {
	mac := l.LinkAddress()
	dst := frame[:header.EthernetAddressSize]
	switch {
	case string(dst) == string(mac):
		return tcpip.PacketHost, true
	case dst[0]&1 == 0:
		return tcpip.PacketOtherHost, false
	case string(dst) == string(header.EthernetBroadcastAddress):
		return tcpip.PacketBroadcast, true
	}
	return tcpip.PacketMulticast, true
}

// takeAll concatenates the filled buffers.
func takeAll(bufs []*RxBuffer, off, n int) buffer.Buffer {
	var b buffer.Buffer
	for _, rx := range bufs {
		part := min(n, rxBufferSize-off)
		if part <= 0 {
			break
		}
		if b.Size() == 0 {
			b = buffer.MakeWithView(rx.take(off, part))
		} else {
			_ = b.Append(rx.take(off, part)) // fails only if this code is wrong
		}
		off, n = 0, n-part
	}
	return b
}

func (l *Link) deliver(d *dispatcherBox, pkt *stack.PacketBuffer, kind tcpip.PacketType, checked bool) {
	h, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	if !ok {
		l.stats.rxErrors.Add(1)
		return
	}
	if l.rxChecked.Load() != checked {
		l.rxChecked.Store(checked)
	}
	pkt.PktType = kind
	l.pass(d, header.Ethernet(h).Type(), pkt)
}

// pass passes a packet without its link header up.
func (l *Link) pass(d *dispatcherBox, proto tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	l.stats.rx.add(proto, pkt.Data().Size())
	d.DeliverNetworkPacket(proto, pkt)
}

// setTap makes f get received frames first, or removes it (nil).
func (l *Link) setTap(f func(frame []byte) bool) {
	if f == nil {
		l.tap.Store(nil)
		return
	}
	l.tap.Store(&f)
}
