package tun

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
)

// end is a stack with one card that is up, and the file of the card's other side.
type end struct {
	t testing.TB
	s *netstack.Stack
	d *Devices
	f *File
}

// newEnd makes a card with an IPv4 and an IPv6 address, and offloads that its program takes.
func newEnd(t testing.TB, flags uint16, offload uint32, addresses ...string) *end {
	t.Helper()
	s := netstack.New(netstack.Config{OnStack: func([]byte) bool { return false }, Memory: 256 << 20})
	t.Cleanup(s.Close)
	// In gVisor as it is, CUBIC stands still for ever once in a while: netstack/gvisor/edits.txt.
	if e := s.Settings().Write("ipv4/tcp_congestion_control", []byte("reno")); e != 0 {
		t.Fatal(e)
	}
	random := rand.NewChaCha8([32]byte{byte(flags), byte(len(addresses[0]))})
	d := New(s, func(p []byte) { io.ReadFull(random, p) })
	f, e := d.Open(nil, 0)
	if e != 0 {
		t.Fatal(e)
	}
	x := &end{t, s, d, f.(*File)}
	if _, e := x.f.attach("", flags); e != 0 {
		t.Fatal(e)
	}
	dev := x.f.device.Load()
	if e := dev.setOffload(offload); e != 0 {
		t.Fatal(e)
	}
	index := dev.port.Index()
	for _, a := range addresses {
		if e := s.AddAddress(index, netip.MustParsePrefix(a), netstack.AddressOptions{}); e != 0 {
			t.Fatal(e)
		}
	}
	if e := s.SetUp(index, true); e != 0 {
		t.Fatal(e)
	}
	return x
}

// wait blocks until a file has one of the events; false if it does not come or stop is closed.
func wait(f kernel.File, want kernel.Events, stop <-chan struct{}) bool {
	ch := make(chan struct{}, 1)
	w := &kernel.Waiter{Notify: func(kernel.Events) {
		select {
		case ch <- struct{}{}:
		default:
		}
	}}
	f.Queue().Add(w)
	defer f.Queue().Remove(w)
	limit := time.After(time.Minute)
	for f.Readiness()&want == 0 {
		select {
		case <-ch:
		case <-stop:
			return false
		case <-limit:
			return false
		}
	}
	return true
}

// carry reads frames of a card and writes them to another until stop is closed, and calls see with each.
func carry(t testing.TB, from, to *File, stop <-chan struct{}, see func(b []byte)) {
	for b := make([]byte, 1<<17); ; {
		n, e := from.Read(b, -1)
		switch {
		case e == syscall.EAGAIN:
			if !wait(from, kernel.EventIn, stop) {
				return
			}
			continue
		case e != 0:
			t.Errorf("read: %v", e)
			return
		}
		see(b[:n])
		if _, e := to.Write(b[:n], -1); e != 0 {
			t.Errorf("write of %d bytes: %v", n, e)
			return
		}
	}
}

func sockaddr(s string) []byte {
	a := netip.MustParseAddrPort(s)
	b := make([]byte, 28)
	binary.BigEndian.PutUint16(b[2:], a.Port())
	if a.Addr().Is4() {
		binary.NativeEndian.PutUint16(b, syscall.AF_INET)
		copy(b[4:], a.Addr().AsSlice())
		return b[:16]
	}
	binary.NativeEndian.PutUint16(b, syscall.AF_INET6)
	copy(b[8:], a.Addr().AsSlice())
	return b
}

func (x *end) socket(family int) kernel.Socket {
	x.t.Helper()
	k, e := x.s.NewSocket(family, syscall.SOCK_STREAM, 0)
	if e != 0 {
		x.t.Fatal(e)
	}
	x.t.Cleanup(k.Release)
	return k
}

// connect returns both ends of a connection to an address of y.
func (x *end) connect(y *end, family int, addr string) (client, server kernel.Socket) {
	x.t.Helper()
	l := y.socket(family)
	if e := l.Bind(sockaddr(addr)); e != 0 {
		x.t.Fatal(e)
	}
	if e := l.Listen(1); e != 0 {
		x.t.Fatal(e)
	}
	client = x.socket(family)
	if e := client.Connect(sockaddr(addr)); e != syscall.EINPROGRESS {
		x.t.Fatal(e)
	}
	if !wait(l, kernel.EventIn, nil) || !wait(client, kernel.EventOut, nil) {
		x.t.Fatal("no connection")
	}
	server, e := l.Accept()
	if e != 0 {
		x.t.Fatal(e)
	}
	x.t.Cleanup(server.Release)
	return client, server
}

// send writes all of p.
func send(t testing.TB, k kernel.Socket, p []byte) {
	for len(p) > 0 {
		n, e := k.Write(p, -1)
		p = p[n:]
		if e == syscall.EAGAIN && wait(k, kernel.EventOut, nil) {
			continue
		}
		if e != 0 {
			t.Errorf("send: %v", e)
			return
		}
	}
}

// receive reads n bytes.
func receive(t testing.TB, k kernel.Socket, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	for at := 0; at < n; {
		got, e := k.Read(p[at:], -1)
		at += got
		if e == syscall.EAGAIN && wait(k, kernel.EventIn, nil) {
			continue
		}
		if e != 0 || got == 0 {
			t.Fatalf("receive: %v after %d bytes", e, at)
		}
	}
	return p
}
