package netstack

import (
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/yolk-unikernel/yolk/kernel"
)

// peer logs whether a socket has one, end what a program sees of a connection's end.
func (a *abi) peer(k kernel.Socket) {
	_, e := k.PeerAddr(make([]byte, 128))
	a.errno("getpeername", e)
}

func (a *abi) end(what string, k kernel.Socket) {
	a.log("%s: poll %#x", what, k.Readiness())
	a.peer(k)
	n, e := k.Read(make([]byte, 100), -1)
	a.result("read", n, e)
	a.getInt(k, sol, syscall.SO_ERROR)
	a.log("then poll %#x", k.Readiness())
	a.getInt(k, sol, syscall.SO_ERROR)
}

// pause waits for segments on their way over the loopback.
func pause() { time.Sleep(20 * time.Millisecond) }

var abiStateTests = []abiTest{
	{"shutdown of both sides with unread data", func(a *abi) {
		for _, order := range [][]int{{syscall.SHUT_WR, syscall.SHUT_RD}, {syscall.SHUT_RD, syscall.SHUT_WR}, {syscall.SHUT_RDWR}} {
			c, s := a.connected(in4, loopbackNoPort)
			n, e := s.Write([]byte("unread"), -1)
			a.result("write", n, e)
			a.until(c, kernel.EventIn)
			for _, how := range order {
				a.errno("shutdown", c.Shutdown(how))
			}
			pause()
			a.log("peer polls %#x", s.Readiness())
			a.end("with data", c)
			a.end("without", c)
			n, e = s.Write([]byte("more"), -1) // what nobody will read resets the connection
			a.result("write", n, e)
			pause()
			a.end("reset", c)
			a.end("resetter", s)
		}
	}},
	{"getpeername of connections that have ended", func(a *abi) {
		c, s := a.connected(in4, loopbackNoPort)
		a.errno("shutdown", c.Shutdown(syscall.SHUT_WR))
		a.until(s, kernel.EventRdHup)
		a.peer(c)
		a.peer(s)
		a.errno("shutdown", s.Shutdown(syscall.SHUT_WR))
		pause()
		for _, k := range []kernel.Socket{c, s} { // TIME_WAIT, and CLOSED
			a.peer(k)
			var state [1]byte
			n, e := k.GetOption(tcpLevel, syscall.TCP_INFO, state[:])
			a.result("getsockopt", n, e)
			a.log("state %d", state[0])
		}
		c, s = a.connected(in4, loopbackNoPort)
		a.errno("linger", c.SetOption(sol, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0}))
		c.Release()
		pause()
		a.peer(s)
	}},
	{"a connection that ends before accept has a peer there", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		c := a.open(in4, stream, 0)
		a.errno("connect", progress(c.Connect(sockaddr(at))))
		a.until(l, kernel.EventIn)
		from := a.name(c)
		a.errno("linger", c.SetOption(sol, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0}))
		a.errno("abort", c.Connect(make([]byte, 16)))
		pause()
		s, e := l.Accept()
		a.errno("accept", e)
		if e != 0 {
			return
		}
		if s, ok := s.(kernel.Accepted); ok { // accept(2) of Linux has told it
			b := make([]byte, 128)
			if got := parseSockaddr(b[:s.AcceptedAddr(b)]); got != from {
				a.t.Errorf("accepted from %v; want %v", got, from)
			}
		}
		a.peer(s)
		s.Release()
	}},
	{"two listeners on one port", func(a *abi) {
		for _, option := range []int{syscall.SO_REUSEADDR, 15} {
			for _, pair := range [][2]string{{"0.0.0.0:0", "127.0.0.1"}, {"127.0.0.1:0", "127.0.0.1"}, {"127.0.0.1:0", "127.0.0.2"}, {"[::]:0", "127.0.0.1"}, {"[::1]:0", "127.0.0.1"}} {
				family := in4
				if pair[0][0] == '[' {
					family = in6
				}
				x, y := a.open(family, stream, 0), a.open(in4, stream, 0)
				a.setInt(x, sol, option, 1)
				a.setInt(y, sol, option, 1)
				a.errno(pair[0], x.Bind(sockaddr(addrPort(pair[0]))))
				to := sockaddr(addrPort(pair[1] + ":1"))
				port := sockaddr(a.name(x))
				to[2], to[3] = port[2], port[3]
				a.errno(pair[1], y.Bind(to))
				a.errno("listen", x.Listen(1))
				a.errno("listen", y.Listen(1))
				a.errno("listen once more", x.Listen(2))
			}
		}
	}},
	{"the port that is left of a listener and of a connection", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		c := a.open(in4, stream, 0)
		a.errno("connect", progress(c.Connect(sockaddr(at))))
		a.until(c, kernel.EventOut)
		own := a.name(c)
		a.errno("disconnect", c.Connect(make([]byte, 16)))
		a.log("address %v, the same port %v", a.name(c).Addr(), a.name(c).Port() == own.Port())
		a.errno("connect again", progress(c.Connect(sockaddr(at))))
		a.log("has a port: %v", a.name(c).Port() != 0)
		a.errno("shutdown", l.Shutdown(syscall.SHUT_RD))
		a.log("address %v, the same port %v", a.name(l).Addr(), a.name(l).Port() == at.Port())
		a.errno("bind", l.Bind(sockaddr(addrPort("127.0.0.2:0"))))
		a.log("address %v", a.name(l).Addr())
		r := a.open(in4, stream, 0)
		r.Connect(sockaddr(addrPort("127.0.0.1:1")))
		a.until(r, kernel.EventHup)
		a.getInt(r, sol, syscall.SO_ERROR)
		a.log("refused: %v, a port %v", a.name(r).Addr(), a.name(r).Port() != 0)
		a.errno("disconnect", r.Connect(make([]byte, 16)))
		a.log("address %v, a port %v", a.name(r).Addr(), a.name(r).Port() != 0)
	}},
}

func TestABIStates(t *testing.T) {
	onEdited(t, newStack(t))
	runABI(t, abiStateTests)
}

// What is not acknowledged counts a FIN as a byte, and nothing when it is acknowledged.
func TestUnacknowledgedFin(t *testing.T) {
	s := newStack(t)
	onEdited(t, s)
	a := &abi{t: t, socket: s.NewSocket}
	c, p := a.connected(in4, loopbackNoPort)
	h := tester{t, s}
	h.ok("shutdown", c.Shutdown(syscall.SHUT_WR))
	wait(t, p, kernel.EventRdHup)
	ep := c.(*streamSocket).ep()
	for end := time.Now().Add(3 * time.Second); tcp.EndpointState(ep.State()) != tcp.StateFinWait2; time.Sleep(time.Millisecond) {
		if all, _ := ep.(interface{ Unacknowledged() (all, unsent int) }).Unacknowledged(); all < 0 || all > 1 {
			t.Fatalf("%d bytes wait for an acknowledgement", all)
		}
		if time.Now().After(end) {
			t.Fatal("the FIN is not acknowledged")
		}
	}
	if all, unsent := ep.(interface{ Unacknowledged() (all, unsent int) }).Unacknowledged(); all != 0 || unsent != 0 {
		t.Errorf("%d and %d bytes wait in FIN-WAIT-2; want none", all, unsent)
	}
}
