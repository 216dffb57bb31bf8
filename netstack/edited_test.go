package netstack

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"

	"github.com/yolk-unikernel/yolk/kernel"
)

// onEdited skips a test of a feature that only the images' copy of gVisor has. TestEditedStack
// of tools/internal/toolchain runs these tests.
func onEdited(t *testing.T, s *Stack) {
	t.Helper()
	if !isEdited(s) {
		if os.Getenv("YOLK_TEST_EDITED") != "" {
			t.Fatal("the stack under test is not the edited one")
		}
		t.Skip("needs the edits of netstack/gvisor")
	}
}

func isEdited(s *Stack) bool {
	ep, err := s.stack.GetNetworkEndpoint(loopbackNIC, ipv6.ProtocolNumber)
	must(err)
	_, ok := ep.(interface{ Postpone() })
	return ok
}

// TestRFC9438HyStart: when HyStart has ended slow start, because acknowledgements take longer
// than half a round trip to arrive, the congestion window does not shrink without a loss.
func TestRFC9438HyStart(t *testing.T) {
	for range 20 {
		if endSlowStart(t) {
			return
		}
	}
	t.Error("segments were sent again each time, or HyStart has not ended slow start")
}

// endSlowStart is one attempt; false if HyStart did not end slow start.
func endSlowStart(t *testing.T) (done bool) {
	a, b, na, _ := wiredPairWith(t, 64, NICInfo{}, Config{DisableIPv6: true})
	onEdited(t, a.s)
	x, y := across(t, a, b, syscall.AF_INET, "10.0.0.2:80")
	var sent atomic.Int64
	na.watch(func(_ *Frame, data []byte) bool {
		if tcpPayload(data) > 0 && sent.Add(1) > 12 {
			time.Sleep(time.Millisecond)
		}
		return true
	})
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		bulk(t, x, y, 200<<10)
	}()
	before := a.s.stack.Stats().TCP.Retransmits.Value()
	for {
		select {
		case <-arrived:
			return done
		case <-time.After(time.Millisecond / 4):
		}
		var info tcpip.TCPInfoOption
		x.(*streamSocket).ep().GetSockOpt(&info)
		if a.s.stack.Stats().TCP.Retransmits.Value() > before {
			<-arrived
			return false
		}
		done = done || info.SndSsthresh < 1000
		if done && info.SndCwnd < info.SndSsthresh {
			t.Fatalf("the congestion window is %d; it was %d", info.SndCwnd, info.SndSsthresh)
		}
	}
}

// tcpPayload returns the data bytes of an IPv4 frame, or -1 without TCP.
func tcpPayload(frame []byte) int {
	const eth = 14
	if len(frame) < eth+40 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[eth+9] != syscall.IPPROTO_TCP {
		return -1
	}
	ip := int(frame[eth]&15) * 4
	total := int(binary.BigEndian.Uint16(frame[eth+2:]))
	return total - ip - int(frame[eth+ip+12]>>4)*4
}

// TestRFC1122DelayedAck: an answer carries the acknowledgement. Data without an answer is
// acknowledged after 40 ms, and after that at once.
func TestRFC1122DelayedAck(t *testing.T) {
	a, b, _, nb := wiredPairWith(t, 64, NICInfo{}, Config{DisableIPv6: true})
	onEdited(t, a.s)
	client, server := across(t, a, b, syscall.AF_INET, "10.0.0.2:80")
	ack := make(chan time.Time, 1000)
	nb.watch(func(_ *Frame, data []byte) bool {
		if tcpPayload(data) == 0 {
			ack <- time.Now()
		}
		return true
	})
	request, answer := make([]byte, 100), make([]byte, 200)
	exchange := func() {
		writeAll(t, client, request)
		read(t, server, answer)
		writeAll(t, server, answer)
		for n := 0; n < len(answer); {
			got, e := read(t, client, answer)
			if e != 0 || got == 0 {
				t.Fatalf("read = %d, %v", got, e)
			}
			n += got
		}
	}
	exchange()
	time.Sleep(100 * time.Millisecond) // the segments of the connection's start
	for len(ack) > 0 {
		<-ack
	}
	const rounds = 50
	for range rounds {
		exchange()
	}
	if n := len(ack); n > rounds/5 {
		t.Errorf("%d packets without data for %d answered requests; want next to none", n, rounds)
	}
	time.Sleep(100 * time.Millisecond)
	for len(ack) > 0 {
		<-ack
	}
	unanswered := func() time.Duration {
		start := time.Now()
		writeAll(t, client, request)
		select {
		case at := <-ack:
			return at.Sub(start)
		case <-time.After(5 * time.Second):
			t.Fatal("data was not acknowledged in 5 s")
		}
		return 0
	}
	if d := unanswered(); d < 30*time.Millisecond || d > 2*time.Second {
		t.Errorf("first unanswered data was acknowledged after %v; want 40ms", d)
	}
	best := time.Hour
	for range 5 {
		best = min(best, unanswered())
	}
	if best > 30*time.Millisecond {
		t.Errorf("later unanswered data was acknowledged after %v at best; want no delay", best)
	}
}

// TestRFC1122SecondSegment: two full segments are acknowledged at once, also on a connection
// with delayed acknowledgements.
func TestRFC1122SecondSegment(t *testing.T) {
	a, b, _, nb := wiredPairWith(t, 64, NICInfo{}, Config{DisableIPv6: true})
	onEdited(t, a.s)
	client, server := across(t, a, b, syscall.AF_INET, "10.0.0.2:80")
	buf := make([]byte, 4000)
	for range 5 {
		writeAll(t, client, buf[:10])
		read(t, server, buf)
		writeAll(t, server, buf[:10])
		read(t, client, buf)
	}
	best := time.Hour
	for range 5 {
		ack := make(chan time.Time, 100)
		nb.watch(func(_ *Frame, data []byte) bool {
			if tcpPayload(data) == 0 {
				ack <- time.Now()
			}
			return true
		})
		start := time.Now()
		writeAll(t, client, buf)
		best = min(best, (<-ack).Sub(start))
		for n := 0; n < len(buf); {
			got, _ := read(t, server, buf)
			n += got
		}
		writeAll(t, server, buf[:10])
		read(t, client, buf)
	}
	if best > 30*time.Millisecond {
		t.Errorf("two full segments were acknowledged after %v at best; want no delay", best)
	}
}

// TestIPv6Delay: a card starts IPv6 after the delay, or at once if asked to.
func TestIPv6Delay(t *testing.T) {
	for _, tt := range []struct {
		words     []string
		immediate bool
	}{
		{[]string{"ip=10.0.0.1/24"}, false},
		{[]string{"ip=10.0.0.1/24", "ip6=fd00::1/64"}, true},
		{[]string{"ip=10.0.0.1/24", "ip6=auto"}, true},
		{[]string{"ip=off"}, true},
	} {
		s := New(Config{OnStack: func([]byte) bool { return false }, IPv6Delay: 300 * time.Millisecond})
		t.Cleanup(s.Close)
		onEdited(t, s)
		card, _ := newWire(t, 64, NICInfo{})
		var frames atomic.Int64
		card.watch(func(_ *Frame, data []byte) bool {
			if binary.BigEndian.Uint16(data[12:]) == 0x86dd {
				frames.Add(1)
			}
			return false
		})
		if _, e := s.AddNIC(card, "eth0"); e != 0 {
			t.Fatal(e)
		}
		start := time.Now()
		if err := s.Configure(tt.words, 0); err != nil {
			t.Fatal(err)
		}
		if got := hasLinkLocal(s); got != tt.immediate && time.Since(start) < 300*time.Millisecond {
			t.Errorf("%q: link-local address after Configure: %v; want %v", tt.words, got, tt.immediate)
		}
		for !hasLinkLocal(s) || frames.Load() == 0 {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("%q: no IPv6 in 5 s", tt.words)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(start); !tt.immediate && d < 300*time.Millisecond {
			t.Errorf("%q: IPv6 began after %v; want 300ms", tt.words, d)
		}
	}
}

func hasLinkLocal(s *Stack) bool {
	for _, i := range s.Interfaces() {
		for _, a := range i.Addrs {
			if a.Addr.IsLinkLocalUnicast() {
				return true
			}
		}
	}
	return false
}

// What a raw socket sends is fragmented, as on Linux, unless the program has made the IP header.
func TestRawFragments(t *testing.T) {
	a, _, _, _ := wiredPair(t, 64, NICInfo{})
	onEdited(t, a.s)
	for _, c := range []struct {
		family, protocol int
		peer             string
		request, answer  byte
		headers          int // before the message
	}{
		{in4, syscall.IPPROTO_ICMP, "10.0.0.2:0", 8, 0, 20},
		{in6, syscall.IPPROTO_ICMPV6, "[fd00::2]:0", 128, 129, 0},
	} {
		k := a.socket(c.family, syscall.SOCK_RAW, c.protocol)
		echo := append(echoRequest(c.request, 5), make([]byte, 5000)...)
		m := kernel.Message{Buffers: [][]byte{echo}, Addr: sockaddr(addrPort(c.peer))}
		if n, e := k.Send(&m, 0); n != len(echo) || e != 0 {
			t.Errorf("%d bytes to %s: %d, %v", len(echo), c.peer, n, e)
			continue
		}
		for b := make([]byte, 8192); ; {
			n, e := read(t, k, b)
			if e != 0 {
				t.Fatal(e)
			}
			if got := b[c.headers:n]; got[0] == c.answer {
				if len(got) != len(echo) {
					t.Errorf("an answer of %d bytes from %s; want %d", len(got), c.peer, len(echo))
				}
				break
			}
		}
	}
	k := a.socket(in4, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
	if e := sendSize(k, 5000, "10.0.0.2:0", nil); e != syscall.EMSGSIZE {
		t.Errorf("5000 bytes with an own header: %v; want EMSGSIZE", e)
	}
}
