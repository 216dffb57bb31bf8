package unixsock

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

const (
	stream = syscall.SOCK_STREAM
	dgram  = syscall.SOCK_DGRAM
	seq    = syscall.SOCK_SEQPACKET
)

var types = map[string]int{"stream": stream, "dgram": dgram, "seqpacket": seq}

// eachType runs a case on every type of socket.
func eachType(t *testing.T, f func(*trace, int)) {
	for name, typ := range types {
		t.Run(name, func(t *testing.T) { compare(t, func(tr *trace) { f(tr, typ) }) })
	}
}

// connection returns the client, the server end and the listener of a connection to name.
func (t *trace) connection(typ int, name string) (client, server, listener int) {
	listener = t.mustSocket(typ)
	t.err("bind", t.bind(listener, addr(name)))
	t.err("listen", t.listen(listener, 4))
	client = t.mustSocket(typ)
	t.err("connect", t.connect(client, addr(name)))
	server, e := t.accept(listener)
	t.err("accept", e)
	return client, server, listener
}

func TestSocketArguments(t *testing.T) {
	compare(t, func(t *trace) {
		for _, c := range [][2]int{{stream, 0}, {stream, 1}, {dgram, 0}, {syscall.SOCK_RAW, 0}, {seq, 0}, {stream, 2}, {9, 0}, {syscall.SOCK_RDM, 0}} {
			fd, e := t.socket(c[0], c[1])
			t.err(fmt.Sprint("socket ", c), e)
			if e == 0 {
				t.option(fd, syscall.SO_TYPE)
			}
		}
	})
}

func TestNames(t *testing.T) {
	abstract := fmt.Sprintf("\x00yolk-names-%d", os.Getpid())
	eachType(t, func(t *trace, typ int) {
		for i, a := range [][]byte{
			addr("a.sock"), addr("b.sock\x00"), addr("c.sock\x00junk"), addr(abstract), addr(abstract + "\x00x\x00"),
			addr(""), addr("\x00"), addr(strings.Repeat("p", 107)), addr(strings.Repeat("q", 108)), addr(strings.Repeat("r", 109)),
			addr("no/such/dir"), {}, {1}, {0, 0}, {2, 0, 'x'}, nil, addr("\x00" + strings.Repeat("s", 107)),
		} {
			fd := t.mustSocket(typ)
			t.err(fmt.Sprintf("bind %.12q", a), t.bind(fd, a))
			t.addrs("bound", fd)
			t.err("again", t.bind(fd, addr(fmt.Sprint("again", i))))
			other := t.mustSocket(typ)
			t.err("second socket", t.bind(other, a))
			t.close(fd)
			third := t.mustSocket(typ)
			t.err("after close", t.bind(third, a))
			t.close(third)
			t.close(other)
		}
	})
}

// A stream and a datagram socket may share an abstract name.
func TestAbstractPerType(t *testing.T) {
	name := addr(fmt.Sprintf("\x00yolk-types-%d", os.Getpid()))
	compare(t, func(t *trace) {
		a, b, c := t.mustSocket(stream), t.mustSocket(dgram), t.mustSocket(seq)
		t.err("stream", t.bind(a, name))
		t.err("dgram", t.bind(b, name))
		t.err("connect seqpacket", t.connect(c, name))
	})
}

func TestConnectErrors(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		os.WriteFile("plain", nil, 0600)
		other := stream
		if typ == stream {
			other = dgram
		}
		o := t.mustSocket(other)
		t.err("bind other type", t.bind(o, addr("other")))
		idle := t.mustSocket(typ)
		t.err("bind idle", t.bind(idle, addr("idle")))
		dead := t.mustSocket(typ)
		t.err("bind dead", t.bind(dead, addr("dead")))
		t.close(dead)
		for _, name := range []string{"missing", "plain", "other", "idle", "dead", "", "\x00yolk-nobody"} {
			fd := t.mustSocket(typ)
			t.err("connect "+name, t.connect(fd, addr(name)))
			t.addrs("after", fd)
			t.state("after", fd)
		}
		fd := t.mustSocket(typ)
		t.err("short", t.connect(fd, []byte{1}))
		t.err("unspec", t.connect(fd, []byte{0, 0}))
		t.err("inet", t.connect(fd, []byte{2, 0, 0, 80, 127, 0, 0, 1}))
		t.err("long", t.connect(fd, addr(strings.Repeat("x", 109))))
	})
}

func TestUnconnected(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		fd := t.mustSocket(typ)
		t.state("new", fd)
		t.write(fd, "x")
		t.read(fd, 10, 0)
		t.addrs("new", fd)
		_, e := t.accept(fd)
		t.err("accept", e)
		t.err("listen unbound", t.listen(fd, 1))
		t.err("shutdown 3", t.shutdown(fd, 3))
		t.err("shutdown", t.shutdown(fd, syscall.SHUT_WR))
		t.state("shut", fd)
		t.option(fd, syscall.SO_PEERCRED)
		t.sendTo(fd, "x", addr("nowhere"))
	})
}

func TestListen(t *testing.T) {
	for _, typ := range []int{stream, seq} {
		compare(t, func(t *trace) {
			l := t.mustSocket(typ)
			t.err("bind", t.bind(l, addr("l")))
			t.option(l, syscall.SO_ACCEPTCONN)
			t.err("listen", t.listen(l, 1))
			t.option(l, syscall.SO_ACCEPTCONN)
			t.state("listening", l)
			t.read(l, 1, 0)
			t.write(l, "x")
			t.err("connect a listener", t.connect(l, addr("l")))
			var clients []int
			for i := range 4 { // with a backlog of 1, two can wait
				c := t.mustSocket(typ)
				clients = append(clients, c)
				t.err(fmt.Sprint("connect ", i), t.connect(c, addr("l")))
			}
			t.state("full", l)
			t.addrs("client", clients[0])
			t.write(clients[0], "early")
			s, e := t.accept(l)
			t.err("accept", e)
			t.addrs("server", s)
			t.read(s, 10, 0)
			t.err("connect after accept", t.connect(clients[2], addr("l")))
			t.err("connect twice", t.connect(clients[2], addr("l")))
			t.write(clients[1], "never read")
			t.close(l)
			t.state("closed", clients...)
			t.read(clients[1], 10, 0)
			t.read(clients[1], 10, 0)
			t.write(clients[1], "x")
			t.option(clients[2], syscall.SO_ERROR)
			t.option(clients[2], syscall.SO_ERROR)
		})
	}
}

func TestStream(t *testing.T) {
	compare(t, func(t *trace) {
		c, s, _ := t.connection(stream, "s")
		t.addrs("client", c)
		t.addrs("server", s)
		t.state("connected", c, s)
		t.read(s, 10, 0)
		t.write(c, "hello ")
		t.write(c, "world")
		t.state("written", c, s)
		n, e := t.unread(s)
		t.note("unread %d %v", n, e)
		t.read(s, 8, syscall.MSG_PEEK)
		t.read(s, 4, 0)
		t.read(s, 4, syscall.MSG_TRUNC)
		t.read(s, 40, 0)
		t.read(s, 40, 0)
		t.sendTo(c, "x", addr("s"))
		t.write(s, "back")
		t.read(c, 10, 0)
	})
}

// The server sees the name of a bound client.
func TestNamedClient(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		l := t.mustSocket(typ)
		t.err("bind", t.bind(l, addr("l")))
		t.err("listen", t.listen(l, 1))
		c := t.mustSocket(typ)
		t.err("bind", t.bind(c, addr("c")))
		t.err("connect", t.connect(c, addr("l")))
		t.write(c, "hi")
		s, e := t.accept(l)
		t.err("accept", e)
		if e != 0 {
			s = l
		}
		t.addrs("client", c)
		t.addrs("server", s)
		t.read(s, 10, 0)
		t.close(c)
		t.addrs("server", s)
	})
}

func TestShutdown(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		for how := range 3 {
			a, b, e := t.pair(typ)
			t.err("pair", e)
			t.write(b, "before")
			t.err(fmt.Sprint("shutdown ", how), t.shutdown(a, how))
			t.state("shut", a, b)
			t.write(a, "x")
			t.write(b, "y")
			t.read(a, 10, syscall.MSG_DONTWAIT)
			t.read(a, 10, syscall.MSG_DONTWAIT)
			t.read(b, 10, syscall.MSG_DONTWAIT)
			t.read(b, 10, syscall.MSG_DONTWAIT)
		}
	})
}

func TestClose(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		a, b, _ := t.pair(typ)
		t.addrs("pair", a)
		t.write(b, "last words")
		t.close(b)
		t.state("clean", a)
		t.write(a, "x")
		t.read(a, 20, 0)
		t.read(a, 20, 0)
		t.write(a, "x")
		t.state("clean", a)

		a, b, _ = t.pair(typ)
		t.write(a, "unread")
		t.write(b, "data")
		t.close(b)
		t.state("reset", a)
		t.read(a, 20, 0)
		t.read(a, 20, 0)
		t.read(a, 20, 0)
		t.state("after", a)
		t.write(a, "x")
		t.write(a, "x")
		t.state("end", a)
	})
}

func TestDatagrams(t *testing.T) {
	for _, typ := range []int{dgram, seq} {
		compare(t, func(t *trace) {
			a, b, _ := t.pair(typ)
			t.write(a, "one")
			t.write(a, "")
			t.write(a, "three and more")
			n, e := t.unread(b)
			t.note("unread %d %v", n, e)
			t.read(b, 10, syscall.MSG_PEEK)
			t.read(b, 10, 0)
			t.read(b, 10, 0)
			t.read(b, 4, syscall.MSG_PEEK)
			t.read(b, 4, syscall.MSG_PEEK|syscall.MSG_TRUNC)
			t.read(b, 4, syscall.MSG_TRUNC)
			t.read(b, 4, 0)
			t.write(a, strings.Repeat("x", 300000))
			t.set(a, syscall.SO_SNDBUF, 1)
			t.write(a, strings.Repeat("x", 4608-32))
			t.write(a, strings.Repeat("x", 4608-31))
		})
	}
}

func TestDatagramAddresses(t *testing.T) {
	compare(t, func(t *trace) {
		a, b, c := t.mustSocket(dgram), t.mustSocket(dgram), t.mustSocket(dgram)
		t.err("bind", t.bind(a, addr("a")))
		t.err("bind", t.bind(b, addr("b")))
		t.sendTo(a, "to b", addr("b"))
		t.sendTo(c, "unnamed", addr("b"))
		t.sendTo(c, "bad", []byte{1})
		t.sendTo(c, "bad", []byte{2, 0, 0, 0})
		t.read(b, 10, 0)
		t.read(b, 10, 0)
		t.err("connect b to a", t.connect(b, addr("a")))
		t.addrs("b", b)
		t.sendTo(c, "not the peer", addr("b"))
		t.err("connect c to b", t.connect(c, addr("b")))
		t.sendTo(a, "the peer", addr("b"))
		t.err("leave", t.connect(b, []byte{0, 0}))
		t.addrs("b", b)
		t.read(b, 10, 0)
		t.err("connect a to b", t.connect(a, addr("b")))
		t.state("joined", a, b)
		t.close(b)
		t.state("closed", a)
		t.write(a, "x")
		t.write(a, "x")
		t.sendTo(a, "x", addr("b"))
	})
}

// A datagram socket that leaves its peer loses the datagrams from the peer, and the peer gets an
// error.
func TestDatagramDisconnect(t *testing.T) {
	compare(t, func(t *trace) {
		a, b, _ := t.pair(dgram)
		t.write(a, "lost")
		t.err("leave", t.connect(b, []byte{0, 0}))
		t.state("left", a, b)
		t.write(a, "x")
		t.write(a, "y")
		t.read(b, 10, 0)
	})
}

func TestFullBuffer(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		a, b, _ := t.pair(typ)
		t.set(a, syscall.SO_SNDBUF, 50000)
		t.option(a, syscall.SO_SNDBUF)
		full := false
		for range 1000 {
			if n, e := t.send(a, message1(make([]byte, 20000)), 0); e != 0 {
				full = true
				t.note("%d %s", n, errnoName(e))
				break
			}
		}
		t.note("full %v", full)
		t.state("full", a, b)
		for range 10000 {
			if _, e := t.receive(b, message1(make([]byte, 20000)), 0); e != 0 {
				break
			}
		}
		t.state("drained", a, b)
		t.write(a, "x")
	})
}

func TestCredentials(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		a, b, _ := t.pair(typ)
		t.option(a, syscall.SO_PEERCRED)
		t.write(a, "one")
		t.readControl(b, 10, 64, 0)
		t.write(a, "two")
		t.set(b, syscall.SO_PASSCRED, 7)
		t.option(b, syscall.SO_PASSCRED)
		t.write(a, "three")
		t.readControl(b, 10, 64, 0) // not merged with the bytes before
		t.readControl(b, 10, 64, 0)
		for _, room := range []int{0, 8, 16, 20, 28, 30, 32} {
			t.write(a, "cut")
			t.readControl(b, 10, room, 0)
		}
		t.readControl(b, 10, 64, 0)
		t.addrs("autobound at most", b)
		t.write(b, "now")
		t.addrs("b", b)
	})
}

func TestClaimedCredentials(t *testing.T) {
	own := identity()
	compare(t, func(t *trace) {
		a, b, _ := t.pair(dgram)
		t.set(b, syscall.SO_PASSCRED, 1)
		for _, control := range [][]byte{
			syscall.UnixCredentials(&own),
			syscall.UnixCredentials(&syscall.Ucred{Pid: own.Pid, Uid: own.Uid, Gid: own.Gid}),
			syscall.UnixCredentials(&syscall.Ucred{Pid: 0x3fffffff, Uid: own.Uid, Gid: own.Gid}),
			syscall.UnixCredentials(&own)[:20],
			append(make([]byte, 8), syscall.UnixCredentials(&own)...),
			{20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 2, 3, 4},
			{16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 99, 0, 0, 0},
			{16, 0, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0, 99, 0, 0, 0},
			{15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0},
			{255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 2, 0, 0, 0},
			{1, 2, 3},
		} {
			m := message1([]byte("hello"))
			m.Control = control
			n, e := t.send(a, m, 0)
			t.note("send with %x: %d %s", control, n, errnoName(e))
			t.readControl(b, 10, 64, 0)
		}
	})
}

func TestPeerCredentials(t *testing.T) {
	compare(t, func(t *trace) {
		c, s, l := t.connection(stream, "l")
		for _, fd := range []int{c, s, l, t.mustSocket(dgram)} {
			t.option(fd, syscall.SO_PEERCRED)
		}
	})
}

func TestOptions(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		fd := t.mustSocket(typ)
		names := []int{syscall.SO_TYPE, solsocket.Domain, solsocket.Protocol, syscall.SO_ERROR, syscall.SO_ACCEPTCONN,
			syscall.SO_PASSCRED, syscall.SO_REUSEADDR, syscall.SO_KEEPALIVE,
			syscall.SO_BROADCAST, syscall.SO_LINGER, syscall.SO_PRIORITY, syscall.SO_RCVLOWAT, syscall.SO_OOBINLINE, 999}
		for _, name := range names {
			t.option(fd, name)
			t.set(fd, name, 5)
			t.option(fd, name)
		}
		t.set(fd, syscall.SO_SNDBUF, 0)
		t.option(fd, syscall.SO_SNDBUF)
		t.set(fd, syscall.SO_RCVBUF, 0)
		t.option(fd, syscall.SO_RCVBUF)
		t.err("short", t.setOption(fd, syscall.SO_SNDBUF, []byte{1, 2}))
		n, e := t.getOption(fd, syscall.SO_TYPE, make([]byte, 2))
		t.note("short get %d %s", n, errnoName(e))
		t.err("linger", t.setOption(fd, syscall.SO_LINGER, []byte{1, 0, 0, 0, 5, 0, 0, 0}))
		t.option(fd, syscall.SO_LINGER)
	})
}

func TestTruncatedControl(t *testing.T) {
	compare(t, func(t *trace) { // the descriptor layer handles everything but descriptors
		a, b, _ := t.pair(dgram)
		t.set(b, syscall.SO_PASSCRED, 1)
		t.write(a, "x")
		t.readControl(b, 1, 0, 0)
	})
}
