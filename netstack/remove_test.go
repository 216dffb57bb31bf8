package netstack

import (
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
)

func TestRemoveNIC(t *testing.T) {
	n := newDHCPServer(usualServer)
	s := n.start(t, Config{})
	if err := s.Configure(nil, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if e := s.RemoveNIC(n.link); e != 0 {
		t.Fatalf("RemoveNIC = %v; want success", e)
	}
	if i := s.Interfaces(); len(i) != 1 || i[0].Name != "lo" {
		t.Errorf("interfaces %+v; want lo alone", i)
	}
	for _, r := range s.Routes() {
		if r.Interface != int(loopbackNIC) {
			t.Errorf("route to %v over interface %d, which is removed", r.Destination, r.Interface)
		}
	}
	if text := s.ResolvConf(); len(text) != 0 {
		t.Errorf("resolv.conf %q; want none of the card's servers", text)
	}
	k := tester{t, s}.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if _, e := k.Send(&kernel.Message{Buffers: [][]byte{[]byte("x")}, Addr: sockaddr(addrPort("10.0.2.2:53"))}, 0); e != syscall.ENETUNREACH {
		t.Errorf("sendto = %v; want %v", e, syscall.ENETUNREACH)
	}
	before := len(n.types())
	n.deliver(serverReply(dhcpSeen{}, dhcpOffer, [4]byte{10, 0, 2, 15}, usualOptions...)) // dropped
	if e := s.RemoveNIC(n.link); e != syscall.ENODEV {
		t.Errorf("RemoveNIC of a card that is removed = %v; want %v", e, syscall.ENODEV)
	}

	again, e := s.AddNIC(n, "eth0")
	if e != 0 || int(again.id) != 3 {
		t.Fatalf("AddNIC = %v, index %d; want success, 3: no index is used twice", e, again.id)
	}
	if err := s.Configure(nil, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := addresses(s, "eth0"); len(got) != 1 || len(n.types()) != before+2 {
		t.Errorf("addresses %v, %d messages; want the lease again, with 2 messages", got, len(n.types())-before)
	}
}

// A card that was removed before it had a lease does not get one, and Configure stops waiting
// for it.
func TestRemoveNICWithoutLease(t *testing.T) {
	asked := make(chan dhcpSeen, 10)
	n := newDHCPServer(func(q dhcpSeen) []byte { asked <- q; return nil })
	s := n.start(t, Config{})
	done := make(chan error, 1)
	go func() { done <- s.Configure(nil, hang) }()
	q := <-asked
	if e := s.RemoveNIC(n.link); e != 0 {
		t.Fatal(e)
	}
	if err := <-done; err != nil {
		t.Errorf("Configure = %v; want nil: there is no card to wait for", err)
	}
	n.deliver(usualServer(q))
	if got := s.Interfaces(); len(got) != 1 || n.link.tap.Load() != nil {
		t.Errorf("interfaces %+v, tap %v; want lo alone, none", got, n.link.tap.Load() != nil)
	}
}

// strictNIC is a card that must not be called any more once it is removed.
type strictNIC struct {
	*wireNIC
	removed atomic.Bool
	misuse  atomic.Int32
}

func (n *strictNIC) Send(f *Frame) bool {
	if n.removed.Load() {
		n.misuse.Add(1)
	}
	return n.wireNIC.Send(f)
}

// A card is removed while frames are sent, received and queued for a full ring.
func TestRemoveNICInUse(t *testing.T) {
	a, b := newWire(t, 4, NICInfo{})
	card := &strictNIC{wireNIC: a}
	s, peer := newStack(t), newStack(t)
	l, e := s.AddNIC(card, "eth0")
	if e != 0 {
		t.Fatal(e)
	}
	far, e := peer.AddNIC(b, "eth0")
	if e != 0 {
		t.Fatal(e)
	}
	s.setAddress(l, netip.MustParsePrefix("10.0.0.1/24"))
	peer.setAddress(far, netip.MustParsePrefix("10.0.0.2/24"))
	stop := make(chan struct{})
	ended := make(chan struct{})
	var sent atomic.Int64
	for range 4 {
		k := tester{t, s}.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, e := k.Send(&kernel.Message{Buffers: [][]byte{make([]byte, 1000)}, Addr: sockaddr(addrPort("10.0.0.2:9"))}, 0); e == 0 {
					sent.Add(1)
				}
			}
		}()
	}
	for sent.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	if e := s.RemoveNIC(l); e != 0 {
		t.Errorf("RemoveNIC = %v; want success", e)
	}
	card.removed.Store(true)
	time.Sleep(10 * time.Millisecond)
	close(stop)
	for range 4 {
		<-ended
	}
	if n := card.misuse.Load(); n != 0 {
		t.Errorf("the card was given %d frames after it was removed", n)
	}
	if l.tx.first != nil {
		t.Error("frames wait for a card that is removed")
	}
}
