package netstack

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// newStack makes a stack for a test; no buffer is on a stack that moves.
func newStack(t testing.TB) *Stack {
	t.Helper()
	s := New(Config{OnStack: func([]byte) bool { return false }})
	s.UseFilters(bpf.NewFilter)
	t.Cleanup(s.Close)
	if !isEdited(s) {
		// In gVisor as it is, a connection that leaves HyStart stands still for ever once in a
		// while: netstack/gvisor/edits.txt, cubic.go.
		reno := tcpip.CongestionControlOption("reno")
		must(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &reno))
	}
	return s
}

// sockaddr builds the raw address that package syscall would pass.
func sockaddr(a netip.AddrPort) []byte {
	if a.Addr().Is4() {
		b := make([]byte, sockaddrInLen)
		binary.NativeEndian.PutUint16(b, syscall.AF_INET)
		binary.BigEndian.PutUint16(b[2:], a.Port())
		copy(b[4:], a.Addr().AsSlice())
		return b
	}
	b := make([]byte, sockaddrIn6Len)
	binary.NativeEndian.PutUint16(b, syscall.AF_INET6)
	binary.BigEndian.PutUint16(b[2:], a.Port())
	copy(b[8:], a.Addr().AsSlice())
	return b
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// parseSockaddr is the inverse of sockaddr.
func parseSockaddr(b []byte) netip.AddrPort {
	port := binary.BigEndian.Uint16(b[2:])
	if binary.NativeEndian.Uint16(b) == syscall.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port)
}

type tester struct {
	t testing.TB
	s *Stack
}

func (h tester) socket(family, typ, proto int) kernel.Socket {
	h.t.Helper()
	k, e := h.s.NewSocket(family, typ, proto)
	if e != 0 {
		h.t.Fatalf("socket(%d, %d, %d) = %v", family, typ, proto, e)
	}
	h.t.Cleanup(k.Release)
	return k
}

func (h tester) ok(what string, e syscall.Errno) {
	h.t.Helper()
	if e != 0 {
		h.t.Fatalf("%s: %v", what, e)
	}
}

func (h tester) localAddr(k kernel.Socket) netip.AddrPort {
	h.t.Helper()
	var b [128]byte
	n, e := k.LocalAddr(b[:])
	h.ok("getsockname", e)
	return parseSockaddr(b[:n])
}

// hang is how long a test waits for an event: on a busy host, TCP's retransmissions, which
// double their delay, may come first.
const hang = time.Minute

// wait blocks until k has one of the events. It fails the test if the waiter is not notified in
// time.
func wait(t testing.TB, k kernel.File, want kernel.Events) {
	t.Helper()
	if !waited(k, want) {
		t.Fatalf("no event %#x in %v; readiness %#x", want, hang, k.Readiness())
	}
}

func waited(k kernel.File, want kernel.Events) bool {
	ch := make(chan struct{}, 1)
	w := &kernel.Waiter{Notify: func(kernel.Events) {
		select {
		case ch <- struct{}{}:
		default:
		}
	}}
	k.Queue().Add(w)
	defer k.Queue().Remove(w)
	deadline := time.After(hang)
	for k.Readiness()&want == 0 {
		select {
		case <-ch:
		case <-deadline:
			return false
		}
	}
	return true
}

// read blocks until there is data.
func read(t testing.TB, k kernel.File, p []byte) (int, syscall.Errno) {
	t.Helper()
	for {
		n, e := k.Read(p, -1)
		if e != syscall.EAGAIN {
			return n, e
		}
		wait(t, k, kernel.EventIn)
	}
}

// writeAll blocks until all of p is taken. It may run on any goroutine.
func writeAll(t testing.TB, k kernel.File, p []byte) {
	t.Helper()
	for len(p) > 0 {
		n, e := k.Write(p, -1)
		switch e {
		case 0:
			p = p[n:]
		case syscall.EAGAIN:
			if !waited(k, kernel.EventOut) {
				t.Errorf("write: not writable in %v", hang)
				return
			}
		default:
			t.Errorf("write: %v", e)
			return
		}
	}
}

// accept blocks until there is a connection.
func accept(t testing.TB, l kernel.Socket) kernel.Socket {
	t.Helper()
	for {
		c, e := l.Accept()
		switch e {
		case 0:
			t.Cleanup(c.Release)
			return c
		case syscall.EAGAIN:
			wait(t, l, kernel.EventIn)
		default:
			t.Fatalf("accept: %v", e)
		}
	}
}

func soError(t testing.TB, k kernel.Socket) syscall.Errno {
	t.Helper()
	var b [4]byte
	if _, e := k.GetOption(syscall.SOL_SOCKET, syscall.SO_ERROR, b[:]); e != 0 {
		t.Fatalf("SO_ERROR: %v", e)
	}
	return syscall.Errno(binary.NativeEndian.Uint32(b[:]))
}

// connectTo connects as package net does: start, wait, SO_ERROR.
func connectTo(t testing.TB, k kernel.Socket, to netip.AddrPort) syscall.Errno {
	t.Helper()
	e := k.Connect(sockaddr(to))
	if e != syscall.EINPROGRESS {
		return e
	}
	wait(t, k, kernel.EventOut)
	return soError(t, k)
}

// pair returns both ends of a TCP connection over addr.
func (h tester) pair(family int, addr string) (client, server kernel.Socket) {
	h.t.Helper()
	l := h.socket(family, syscall.SOCK_STREAM, 0)
	h.ok("bind", l.Bind(sockaddr(addrPort(addr))))
	h.ok("listen", l.Listen(16))
	client = h.socket(family, syscall.SOCK_STREAM, 0)
	if e := connectTo(h.t, client, h.localAddr(l)); e != 0 {
		h.t.Fatalf("connect: %v", e)
	}
	return client, accept(h.t, l)
}

func withPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}
