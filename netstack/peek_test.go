package netstack

import (
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// peekTests have SO_PEEK_OFF of UDP sockets.
var peekTests = []abiTest{
	{"peek offset of datagrams", func(a *abi) {
		const peek, trunc = syscall.MSG_PEEK, syscall.MSG_TRUNC
		for i, family := range []int{in4, in6} {
			addr := []string{loopbackNoPort, "[::1]:0"}[i]
			s, at := a.bound(family, addr)
			a.getInt(s, sol, solsocket.PeekOff)
			a.setInt(s, sol, solsocket.PeekOff, 3)
			a.receive("none", s, 4, peek)
			for _, data := range []string{"0123456789", "", "abcd", ""} {
				a.send("send", s, data, at, nil, 0)
			}
			a.until(s, readable)
			time.Sleep(20 * time.Millisecond)
			for _, c := range []struct{ size, flags int }{{4, peek}, {20, peek}, {1, peek}, {20, peek}, {4, peek}, {4, peek}} {
				a.receive("peek", s, c.size, c.flags)
				a.getInt(s, sol, solsocket.PeekOff)
			}
			a.setInt(s, sol, solsocket.PeekOff, 2)
			for _, c := range []struct{ size, flags int }{{8, peek}, {3, peek | trunc}, {3, peek}, {3, trunc}, {3, peek}, {3, 0}, {2, 0}, {2, peek}} {
				a.receive("mixed", s, c.size, c.flags)
				a.getInt(s, sol, solsocket.PeekOff)
			}
			a.setInt(s, sol, solsocket.PeekOff, -7)
			a.receive("without", s, 2, peek)
			n, e := s.Read(make([]byte, 4), -1)
			a.result("read", n, e)
		}
	}},
	{"peek offset at random", func(a *abi) {
		r := rand.New(rand.NewPCG(1, 2))
		s, at := a.bound(in4, loopbackNoPort)
		for range 600 {
			switch r.IntN(8) {
			case 0:
				a.setInt(s, sol, solsocket.PeekOff, r.IntN(30)-3)
			case 1, 2, 3:
				a.send("send", s, "abcdefghijklmnopqrst"[:r.IntN(20)], at, nil, 0)
				time.Sleep(time.Millisecond)
			case 4, 5:
				a.receive("read", s, r.IntN(20), syscall.MSG_TRUNC*r.IntN(2))
			default:
				a.receive("peek", s, r.IntN(20), syscall.MSG_PEEK|syscall.MSG_TRUNC*r.IntN(2))
			}
			a.getInt(s, sol, solsocket.PeekOff)
		}
	}},
}

func TestABIPeekOffset(t *testing.T) {
	onEdited(t, newStack(t))
	runABI(t, peekTests)
}

// A reader that waits behind the datagrams that are there hears of the next one.
func TestPeekOffsetWakes(t *testing.T) {
	s := newStack(t)
	onEdited(t, s)
	h := tester{t, s}
	k := h.socket(in4, dgram, 0)
	h.ok("bind", k.Bind(sockaddr(addrPort(loopbackNoPort))))
	to := h.localAddr(k)
	sendTo(t, k, "first", to)
	wait(t, k, kernel.EventIn)
	h.ok("SO_PEEK_OFF", k.SetOption(sol, solsocket.PeekOff, int32Bytes(5)))
	m := kernel.Message{Buffers: [][]byte{make([]byte, 9)}}
	if _, e := k.Receive(&m, syscall.MSG_PEEK); e != syscall.EAGAIN {
		t.Fatalf("a peek behind all datagrams: %v; want EAGAIN", e)
	}
	heard := make(chan struct{}, 1)
	w := &kernel.Waiter{Notify: func(kernel.Events) {
		select {
		case heard <- struct{}{}:
		default:
		}
	}}
	k.Queue().Add(w)
	defer k.Queue().Remove(w)
	sendTo(t, k, "next", to)
	select {
	case <-heard:
	case <-time.After(hang):
		t.Fatal("nobody was woken by a datagram behind the first")
	}
	if n, e := k.Receive(&m, syscall.MSG_PEEK); e != 0 || string(m.Buffers[0][:n]) != "next" {
		t.Errorf("peek = %d %q, %v; want \"next\"", n, m.Buffers[0][:max(n, 0)], e)
	}
}

func sendTo(t *testing.T, k kernel.Socket, data string, to netip.AddrPort) {
	t.Helper()
	if n, e := k.Send(&kernel.Message{Buffers: [][]byte{[]byte(data)}, Addr: sockaddr(to)}, 0); n != len(data) || e != 0 {
		t.Fatalf("send(%q) = %d, %v", data, n, e)
	}
}
