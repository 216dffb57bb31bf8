package netstack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/yolk-unikernel/yolk/kernel"
)

// wireNIC is a card whose cable ends in another wireNIC. It behaves like a virtio ring: a
// bounded number of frames, completions and receptions on another goroutine.
type wireNIC struct {
	info NICInfo
	link atomic.Pointer[Link]
	peer *wireNIC
	ring chan *Frame

	mu   sync.Mutex
	full bool
	// seen is called with every frame sent, before it is delivered; false drops the frame.
	seen atomic.Pointer[func(f *Frame, data []byte) bool]
	rx   []*RxBuffer
	stop chan struct{}
}

func newWire(t testing.TB, ringSize int, info NICInfo) (a, b *wireNIC) {
	mk := func(last byte) *wireNIC {
		n := &wireNIC{info: info, ring: make(chan *Frame, ringSize), stop: make(chan struct{})}
		n.info.MAC = [6]byte{0x52, 0x54, 0, 0, 0, last}
		return n
	}
	a, b = mk(1), mk(2)
	a.peer, b.peer = b, a
	t.Cleanup(func() { close(a.stop); close(b.stop) })
	return a, b
}

// watch makes f see every frame.
func (n *wireNIC) watch(f func(f *Frame, data []byte) bool) { n.seen.Store(&f) }

func (n *wireNIC) Info() NICInfo { return n.info }

func (n *wireNIC) Start(l *Link) {
	n.link.Store(l)
	go n.run()
}

func (n *wireNIC) Send(f *Frame) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case n.ring <- f:
		return true
	default:
		n.full = true
		return false
	}
}

func (n *wireNIC) Kick() {}

func (n *wireNIC) run() {
	for {
		select {
		case f := <-n.ring:
			n.transmit(f)
		case <-n.stop:
			return
		}
		n.mu.Lock()
		wasFull := n.full
		n.full = false
		n.mu.Unlock()
		if wasFull {
			n.link.Load().TxReady()
		}
	}
}

func (n *wireNIC) transmit(f *Frame) {
	var data []byte
	for _, p := range f.Parts {
		data = append(data, p...)
	}
	data = data[n.info.Headroom:]
	off := f.Offload
	if seen := n.seen.Load(); seen != nil && !(*seen)(f, data) {
		f.Done()
		return
	}
	f.Done()
	n.peer.receive(data, off.NeedsChecksum)
}

// receive fills buffers as a device with mergeable buffers does.
func (n *wireNIC) receive(data []byte, checked bool) {
	l := n.link.Load()
	if l == nil {
		return
	}
	off := n.info.Headroom
	bufs := 0
	for rest, at := data, off; len(rest) > 0; at = 0 {
		if bufs == len(n.rx) {
			n.rx = append(n.rx, NewRxBuffer())
		}
		rest = rest[copy(n.rx[bufs].Bytes()[at:], rest):]
		bufs++
	}
	l.Receive(n.rx[:bufs], off, len(data), checked)
}

// wiredPair makes two stacks, 10.0.0.1 and 10.0.0.2, and fd00::1 and fd00::2.
func wiredPair(t testing.TB, ringSize int, info NICInfo) (a, b tester, na, nb *wireNIC) {
	t.Helper()
	return wiredPairWith(t, ringSize, info, Config{})
}

func wiredPairWith(t testing.TB, ringSize int, info NICInfo, cfg Config) (a, b tester, na, nb *wireNIC) {
	t.Helper()
	cfg.OnStack = func([]byte) bool { return false }
	na, nb = newWire(t, ringSize, info)
	mk := func(n *wireNIC, last byte) tester {
		s := New(cfg)
		t.Cleanup(s.Close)
		if !isEdited(s) { // its CUBIC can stall: TestRFC9438HyStart
			reno := tcpip.CongestionControlOption("reno")
			must(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &reno))
		}
		l, e := s.AddNIC(n, "eth0")
		if e != 0 {
			t.Fatalf("AddNIC: %v", e)
		}
		for _, p := range []string{"10.0.0.0/24", "fd00::/64"} {
			prefix := netip.MustParsePrefix(p)
			ip := prefix.Addr().AsSlice()
			ip[len(ip)-1] = last
			a := tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(ip), PrefixLen: prefix.Bits()}
			proto := header.IPv4ProtocolNumber
			if len(ip) == 16 {
				proto = header.IPv6ProtocolNumber
			}
			must(s.stack.AddProtocolAddress(l.id, tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: a},
				stack.AddressProperties{ConfigType: stack.AddressConfigStatic}))
			s.stack.AddRoute(tcpip.Route{Destination: a.Subnet(), NIC: l.id})
		}
		return tester{t, s}
	}
	return mk(na, 1), mk(nb, 2), na, nb
}

// across connects a socket of a to one of b.
func across(t testing.TB, a, b tester, family int, server string) (client, srv kernel.Socket) {
	t.Helper()
	l := b.socket(family, syscall.SOCK_STREAM, 0)
	b.ok("bind", l.Bind(sockaddr(addrPort(server))))
	b.ok("listen", l.Listen(16))
	client = a.socket(family, syscall.SOCK_STREAM, 0)
	if e := connectTo(t, client, b.localAddr(l)); e != 0 {
		t.Fatalf("connect: %v", e)
	}
	return client, accept(t, l)
}
