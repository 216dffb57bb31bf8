package netstack

import (
	"bytes"
	"syscall"
	"testing"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/yolk-unikernel/yolk/kernel"
)

// stuckNIC has a ring of a given size that stays full until release.
type stuckNIC struct {
	link  *Link
	room  int
	held  []*Frame
	kicks int
	// eager makes Send call TxReady, as a driver does that polls for completions there.
	eager bool
}

func (*stuckNIC) Info() NICInfo   { return NICInfo{MAC: [6]byte{2, 0, 0, 0, 0, 1}} }
func (n *stuckNIC) Start(l *Link) { n.link = l }
func (n *stuckNIC) Kick()         { n.kicks++ }

func (n *stuckNIC) Send(f *Frame) bool {
	if len(n.held) == n.room {
		if n.eager {
			n.eager = false
			n.release()
			n.link.TxReady()
		}
		return false
	}
	n.held = append(n.held, f)
	return true
}

func (n *stuckNIC) release() {
	for _, f := range n.held {
		f.Done()
	}
	n.held = nil
}

// writeFrame sends an Ethernet header.
func writeFrame(l *Link) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: int(l.MaxHeaderLength())})
	pkt.NetworkProtocolNumber = header.ARPProtocolNumber
	l.AddHeader(pkt)
	l.WritePacket(pkt)
	pkt.DecRef()
}

func newStuckLink(t *testing.T, n *stuckNIC) *Link {
	s := New(Config{DisableIPv6: true})
	t.Cleanup(s.Close)
	l, e := s.AddNIC(n, "eth0")
	if e != 0 {
		t.Fatal(e)
	}
	n.release()
	return l
}

func TestFullRingQueuesThenDrops(t *testing.T) {
	n := &stuckNIC{room: 4}
	l := newStuckLink(t, n)
	for range 4 + maxQueuedPackets + 7 {
		writeFrame(l)
	}
	if got := l.stats.txDropped.Load(); got != 7 {
		t.Errorf("dropped %d frames; want the 7 beyond ring and queue", got)
	}
	total := 0
	for len(n.held) != 0 {
		total += len(n.held)
		n.release()
		l.TxReady()
	}
	if total != 4+maxQueuedPackets {
		t.Errorf("%d frames left; want %d", total, 4+maxQueuedPackets)
	}
	if l.tx.packets != 0 || l.tx.bytes != 0 || l.tx.last != nil {
		t.Errorf("queue not empty: %d packets, %d bytes", l.tx.packets, l.tx.bytes)
	}
}

func TestSpaceNoticedInsideSend(t *testing.T) {
	n := &stuckNIC{room: 2}
	l := newStuckLink(t, n)
	writeFrame(l)
	writeFrame(l)
	n.eager = true
	writeFrame(l) // full; Send frees the ring and reports it while the queue's lock is held
	if len(n.held) != 1 || l.tx.packets != 0 {
		t.Errorf("%d frames in the ring, %d queued; want the third in the ring", len(n.held), l.tx.packets)
	}
}

func TestLargeDatagrams(t *testing.T) {
	a, b, _, _ := wiredPair(t, 256, NICInfo{Headroom: 12, TSO4: true, TSO6: true})
	for _, c := range []struct {
		family int
		to     string
	}{{syscall.AF_INET, "10.0.0.2:7"}, {syscall.AF_INET6, "[fd00::2]:7"}} {
		srv, cl := b.socket(c.family, syscall.SOCK_DGRAM, 0), a.socket(c.family, syscall.SOCK_DGRAM, 0)
		b.ok("bind", srv.Bind(sockaddr(addrPort(c.to))))
		for _, n := range []int{0, 1, 1472, 1473, 9000, 65000} {
			want := bytes.Repeat([]byte{byte(n)}, n)
			if got, e := cl.Send(&kernel.Message{Buffers: [][]byte{want}, Addr: sockaddr(addrPort(c.to))}, 0); got != n || e != 0 {
				t.Fatalf("sendto %d bytes = %d, %v", n, got, e)
			}
			wait(t, srv, kernel.EventIn)
			m := kernel.Message{Buffers: [][]byte{make([]byte, 65536)}}
			got, e := srv.Receive(&m, 0)
			if e != 0 || !bytes.Equal(m.Buffers[0][:got], want) {
				t.Errorf("%s: %d bytes arrived as %d, %v", c.to, n, got, e)
			}
		}
	}
}

func TestRxBufferStaysInPage(t *testing.T) {
	for range 50 {
		b := NewRxBuffer().Bytes()
		first := uintptr(unsafe.Pointer(&b[0]))
		if len(b) != rxBufferSize || first/4096 != (first+rxBufferSize-1)/4096 {
			t.Fatalf("buffer of %d bytes at %#x crosses a page", len(b), first)
		}
	}
}
