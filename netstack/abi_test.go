package netstack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// The tests of this file make the same calls on Linux and on this package's sockets and compare
// the results that a program sees: results, errno, bytes, poll bits.

type abi struct {
	t      *testing.T
	socket func(family, typ, protocol int) (kernel.Socket, syscall.Errno)
	lines  []string
	kept   [][]byte // memory that options point to
}

func (a *abi) log(format string, args ...any) {
	a.lines = append(a.lines, fmt.Sprintf(format, args...))
}

func (a *abi) open(family, typ, protocol int) kernel.Socket {
	k, e := a.socket(family, typ, protocol)
	if e != 0 {
		a.t.Skipf("socket(%d, %d, %d): %v", family, typ, protocol, e)
	}
	a.t.Cleanup(k.Release)
	return k
}

// until waits for readiness by polling.
func (a *abi) until(k kernel.Socket, ev kernel.Events) {
	a.t.Helper()
	deadline := time.Now().Add(3 * time.Second)
	for k.Readiness()&ev == 0 {
		if time.Now().After(deadline) {
			a.log("no event %#x", ev)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (a *abi) errno(what string, e syscall.Errno) {
	name := "ok"
	if e != 0 {
		name = e.Error()
	}
	a.log("%s: %s", what, name)
}

func (a *abi) result(what string, n int, e syscall.Errno) {
	if e != 0 {
		n = 0
	}
	a.errno(fmt.Sprintf("%s = %d", what, n), e)
}

func (a *abi) name(k kernel.Socket) netip.AddrPort {
	var b [128]byte
	n, e := k.LocalAddr(b[:])
	if e != 0 || n == 0 {
		a.errno("getsockname", e)
		return netip.AddrPort{}
	}
	return parseSockaddr(b[:n])
}

func (a *abi) setInt(k kernel.Socket, level, name, v int) {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(v))
	a.errno(fmt.Sprintf("setsockopt(%d, %d, %d)", level, name, v), k.SetOption(level, name, b[:]))
}

func (a *abi) getInt(k kernel.Socket, level, name int) {
	var b [4]byte
	n, e := k.GetOption(level, name, b[:])
	a.errno(fmt.Sprintf("getsockopt(%d, %d) = %d in %d bytes", level, name, int32(binary.NativeEndian.Uint32(b[:])), n), e)
}

func (a *abi) listener(family int, addr string) (kernel.Socket, netip.AddrPort) {
	l := a.open(family, syscall.SOCK_STREAM, 0)
	a.errno("bind", l.Bind(sockaddr(addrPort(addr))))
	a.errno("listen", l.Listen(5))
	return l, a.name(l)
}

func (a *abi) connected(family int, addr string) (c, s kernel.Socket) {
	l, at := a.listener(family, addr)
	c = a.open(family, syscall.SOCK_STREAM, 0)
	a.errno("connect", progress(c.Connect(sockaddr(at))))
	a.until(c, kernel.EventOut)
	a.until(l, kernel.EventIn)
	s, e := l.Accept()
	if e != 0 {
		a.t.Fatalf("accept: %v", e)
	}
	a.t.Cleanup(s.Release)
	return c, s
}

// progress replaces EINPROGRESS by success: a local connect may complete at once on Linux.
func progress(e syscall.Errno) syscall.Errno {
	if e == syscall.EINPROGRESS {
		return 0
	}
	return e
}

const (
	in4, in6       = syscall.AF_INET, syscall.AF_INET6
	stream, dgram  = syscall.SOCK_STREAM, syscall.SOCK_DGRAM
	sol, tcpLevel  = syscall.SOL_SOCKET, syscall.IPPROTO_TCP
	ipLevel        = syscall.IPPROTO_IP
	ip6Level       = syscall.IPPROTO_IPV6
	readable       = kernel.EventIn
	writable       = kernel.EventOut
	loopbackNoPort = "127.0.0.1:0"
)

type abiTest struct {
	name string
	run  func(a *abi)
}

var abiTests = []abiTest{
	{"socket", func(a *abi) {
		for _, c := range [][3]int{{in4, stream, 0}, {in4, stream, 6}, {in4, stream, 17}, {in4, stream, 262}, {in4, dgram, 17},
			{in4, dgram, 6}, {in4, 9, 0}, {in4, 4, 0}, {in6, stream, 0}, {in6, dgram, 0}, {in6, dgram, 1}, {in4, 3, 0}} {
			if c[2] == 262 {
				continue // depends on the configuration of the host's kernel
			}
			k, e := a.socket(c[0], c[1], c[2])
			if e == 0 {
				k.Release()
			}
			a.errno(fmt.Sprint("socket", c), e)
		}
	}},
	{"fresh stream", func(a *abi) {
		k := a.open(in4, stream, 0)
		a.log("poll %#x", k.Readiness())
		n, e := k.Read(make([]byte, 8), -1)
		a.result("read", n, e)
		n, e = k.Send(&kernel.Message{Buffers: [][]byte{{1}}}, 0)
		a.result("write", n, e)
		_, e = k.Accept()
		a.errno("accept", e)
		a.errno("shutdown", k.Shutdown(syscall.SHUT_WR))
		a.errno("shutdown", k.Shutdown(7))
		_, e = k.PeerAddr(make([]byte, 128))
		a.errno("getpeername", e)
		a.log("name %v", a.name(k))
	}},
	{"bind", func(a *abi) {
		k := a.open(in4, stream, 0)
		a.errno("bind absent", k.Bind(sockaddr(addrPort("192.0.2.1:0"))))
		a.errno("bind v6", k.Bind(sockaddr(addrPort("[::1]:0"))))
		a.errno("bind short", k.Bind(make([]byte, 8)))
		a.errno("bind none", k.Bind(nil))
		a.errno("bind", k.Bind(sockaddr(addrPort(loopbackNoPort))))
		a.errno("bind again", k.Bind(sockaddr(addrPort(loopbackNoPort))))
		other := a.open(in4, stream, 0)
		a.errno("bind in use", other.Bind(sockaddr(a.name(k))))
		a.errno("listen", k.Listen(1))
		a.errno("listen again", k.Listen(2))
		a.errno("connect a listener", k.Connect(sockaddr(addrPort("127.0.0.1:1"))))
		a.log("poll %#x", k.Readiness())
		_, e := k.Accept()
		a.errno("accept", e)
		n, e := k.Read(make([]byte, 1), -1)
		a.result("read", n, e)
	}},
	{"reuse", func(a *abi) {
		for _, opt := range []int{syscall.SO_REUSEADDR, solsocket.ReusePort} {
			x, y := a.open(in4, stream, 0), a.open(in4, stream, 0)
			a.setInt(x, sol, opt, 1)
			a.setInt(y, sol, opt, 1)
			a.errno("bind", x.Bind(sockaddr(addrPort(loopbackNoPort))))
			a.errno("bind same", y.Bind(sockaddr(a.name(x))))
			a.errno("listen", x.Listen(1))
			a.errno("listen both", y.Listen(1))
		}
	}},
	{"refused", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		l.Shutdown(syscall.SHUT_RDWR)
		k := a.open(in4, stream, 0)
		free := a.open(in4, stream, 0)
		a.errno("bind", free.Bind(sockaddr(addrPort(loopbackNoPort))))
		_ = at
		e := k.Connect(sockaddr(a.name(free)))
		if e == syscall.EINPROGRESS {
			a.until(k, writable)
			e = soError(a.t, k)
		}
		a.errno("connect", e)
		n, e := k.Read(make([]byte, 1), -1)
		a.result("read", n, e)
		a.errno("SO_ERROR", soError(a.t, k))
	}},
	{"connect errors", func(a *abi) {
		k := a.open(in4, stream, 0)
		a.errno("family", k.Connect(sockaddr(addrPort("[::1]:1"))))
		a.errno("short", k.Connect(make([]byte, 3)))
		a.errno("multicast", k.Connect(sockaddr(addrPort("224.0.0.1:1"))))
		a.errno("broadcast", k.Connect(sockaddr(addrPort("255.255.255.255:1"))))
		u := a.open(in4, dgram, 0)
		a.errno("udp family", u.Connect(sockaddr(addrPort("[::1]:1"))))
	}},
	{"v6only", func(a *abi) {
		k := a.open(in6, stream, 0)
		a.getInt(k, ip6Level, syscall.IPV6_V6ONLY)
		a.setInt(k, ip6Level, syscall.IPV6_V6ONLY, 1)
		a.errno("connect mapped", k.Connect(sockaddr(addrPort("[::ffff:127.0.0.1]:1"))))
		a.errno("bind mapped", k.Bind(sockaddr(addrPort("[::ffff:127.0.0.1]:0"))))
		a.errno("bind", k.Bind(sockaddr(addrPort("[::1]:0"))))
		a.setInt(k, ip6Level, syscall.IPV6_V6ONLY, 0)
		d := a.open(in6, stream, 0)
		a.errno("bind both", d.Bind(sockaddr(addrPort("[::]:0"))))
		four := a.open(in4, stream, 0)
		a.errno("bind v4 too", four.Bind(sockaddr(netip.AddrPortFrom(netip.IPv4Unspecified(), a.name(d).Port()))))
		a.errno("link-local without scope", a.open(in6, stream, 0).Connect(sockaddr(addrPort("[fe80::1]:1"))))
	}},
	{"data", func(a *abi) {
		c, s := a.connected(in4, loopbackNoPort)
		a.log("poll %#x", c.Readiness())
		n, e := s.Read(make([]byte, 4), -1)
		a.result("read empty", n, e)
		n, e = c.Write([]byte("hello"), -1)
		a.result("write", n, e)
		n, e = c.Write(nil, -1)
		a.result("write nothing", n, e)
		a.until(s, readable)
		b := make([]byte, 3)
		m := kernel.Message{Buffers: [][]byte{b[:1], b[1:]}}
		n, e = s.Receive(&m, syscall.MSG_PEEK)
		a.result("peek "+string(b), n, e)
		n, e = s.Read(b, -1)
		a.result("read "+string(b), n, e)
		n, e = s.Receive(&m, 0)
		a.result("read "+string(b), n, e)
		n, e = s.Receive(&m, syscall.MSG_OOB)
		a.result("read urgent", n, e)
		a.errno("connect again", c.Connect(sockaddr(addrPort("127.0.0.1:1"))))
		a.errno("bind", c.Bind(sockaddr(addrPort(loopbackNoPort))))
		a.errno("listen", c.Listen(1))
		_, e = c.Accept()
		a.errno("accept", e)
	}},
	{"half close", func(a *abi) {
		c, s := a.connected(in4, loopbackNoPort)
		a.errno("shutdown", c.Shutdown(syscall.SHUT_WR))
		a.until(s, kernel.EventRdHup)
		a.log("poll server %#x", s.Readiness())
		n, e := s.Read(make([]byte, 1), -1)
		a.result("read", n, e)
		n, e = c.Send(&kernel.Message{Buffers: [][]byte{{1}}}, syscall.MSG_NOSIGNAL)
		a.result("write after shutdown", n, e)
		n, e = s.Write([]byte("late"), -1)
		a.result("write", n, e)
		a.until(c, readable)
		n, e = c.Read(make([]byte, 8), -1)
		a.result("read", n, e)
		a.errno("shutdown", s.Shutdown(syscall.SHUT_WR))
		a.until(c, kernel.EventHup)
		a.log("poll client %#x, server %#x", c.Readiness(), s.Readiness())
		n, e = c.Read(make([]byte, 8), -1)
		a.result("read at the end", n, e)
	}},
	{"shutdown read", func(a *abi) {
		c, _ := a.connected(in4, loopbackNoPort)
		a.errno("shutdown", c.Shutdown(syscall.SHUT_RD))
		n, e := c.Read(make([]byte, 1), -1)
		a.result("read", n, e)
		a.log("poll %#x", c.Readiness())
	}},
	{"reset", func(a *abi) {
		c, s := a.connected(in4, loopbackNoPort)
		b := make([]byte, 8)
		b[0] = 1 // linger on, 0 s
		a.errno("linger", s.SetOption(sol, syscall.SO_LINGER, b))
		n, e := s.GetOption(sol, syscall.SO_LINGER, b)
		a.result(fmt.Sprint("linger ", b), n, e)
		s.Shutdown(syscall.SHUT_RD)
		n, e = c.Write([]byte("unread"), -1)
		a.result("write", n, e)
		closeNow(s)
		a.until(c, kernel.EventErr)
		a.log("poll %#x", c.Readiness())
		n, e = c.Read(make([]byte, 8), -1)
		a.result("read", n, e)
		n, e = c.Read(make([]byte, 8), -1)
		a.result("read again", n, e)
		n, e = c.Send(&kernel.Message{Buffers: [][]byte{{1}}}, syscall.MSG_NOSIGNAL)
		a.result("write", n, e)
		a.errno("SO_ERROR", soError(a.t, c))
	}},
	{"reset then write", func(a *abi) {
		c, s := a.connected(in4, loopbackNoPort)
		s.SetOption(sol, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		closeNow(s)
		a.until(c, kernel.EventErr)
		a.errno("SO_ERROR", soError(a.t, c))
		n, e := c.Send(&kernel.Message{Buffers: [][]byte{{1}}}, syscall.MSG_NOSIGNAL)
		a.result("write", n, e)
	}},
	{"udp", func(a *abi) {
		s, c := a.open(in4, dgram, 0), a.open(in4, dgram, 0)
		a.log("poll fresh %#x", c.Readiness())
		n, e := c.Write([]byte("x"), -1)
		a.result("write unconnected", n, e)
		n, e = c.Read(make([]byte, 1), -1)
		a.result("read", n, e)
		a.errno("listen", c.Listen(1))
		_, e = c.Accept()
		a.errno("accept", e)
		mute := a.open(in4, dgram, 0)
		a.errno("shutdown unconnected", mute.Shutdown(syscall.SHUT_WR))
		a.errno("bind", s.Bind(sockaddr(addrPort(loopbackNoPort))))
		a.errno("bind again", s.Bind(sockaddr(addrPort(loopbackNoPort))))
		to := sockaddr(a.name(s))
		n, e = c.Send(&kernel.Message{Buffers: [][]byte{[]byte("ab"), []byte("cd")}, Addr: to}, 0)
		a.result("sendto", n, e)
		n, e = c.Send(&kernel.Message{Addr: to}, 0)
		a.result("sendto nothing", n, e)
		n, e = c.Send(&kernel.Message{Buffers: [][]byte{make([]byte, 65508)}, Addr: to}, 0)
		a.result("sendto too much", n, e)
		n, e = c.Send(&kernel.Message{Buffers: [][]byte{{1}}, Addr: sockaddr(addrPort("127.0.0.1:0"))}, 0)
		a.result("sendto port 0", n, e)
		a.until(s, readable)
		m := kernel.Message{Buffers: [][]byte{make([]byte, 3)}, Addr: make([]byte, 128)}
		n, e = s.Receive(&m, syscall.MSG_PEEK|syscall.MSG_TRUNC)
		a.result(fmt.Sprintf("peek %q flags %#x addr %d", m.Buffers[0], m.Flags, m.AddrLen), n, e)
		n, e = s.Receive(&m, 0)
		a.result(fmt.Sprintf("recv %q flags %#x", m.Buffers[0], m.Flags), n, e)
		n, e = s.Receive(&m, 0)
		a.result("recv empty datagram", n, e)
		n, e = s.Receive(&m, 0)
		a.result("recv", n, e)
		a.errno("connect", s.Connect(to))
		a.log("local %v", a.name(s).Addr())
		a.errno("disconnect", s.Connect([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}))
		_, e = s.PeerAddr(make([]byte, 128))
		a.errno("getpeername", e)
	}},
	{"udp refused", func(a *abi) {
		free, c := a.open(in4, dgram, 0), a.open(in4, dgram, 0)
		a.errno("bind", free.Bind(sockaddr(addrPort(loopbackNoPort))))
		at := a.name(free)
		closeNow(free)
		a.errno("connect", c.Connect(sockaddr(at)))
		n, e := c.Write([]byte("x"), -1)
		a.result("write", n, e)
		a.until(c, kernel.EventErr|readable)
		n, e = c.Read(make([]byte, 1), -1)
		a.result("read", n, e)
		n, e = c.Read(make([]byte, 1), -1)
		a.result("read again", n, e)
	}},
	{"udp dual stack", func(a *abi) {
		s, c := a.open(in6, dgram, 0), a.open(in4, dgram, 0)
		a.errno("bind", s.Bind(sockaddr(addrPort("[::]:0"))))
		a.log("name %v", a.name(s).Addr())
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.name(s).Port())
		n, e := c.Send(&kernel.Message{Buffers: [][]byte{{1}}, Addr: sockaddr(to)}, 0)
		a.result("sendto", n, e)
		a.until(s, readable)
		m := kernel.Message{Buffers: [][]byte{make([]byte, 3)}, Addr: make([]byte, 128)}
		n, e = s.Receive(&m, 0)
		a.result("recv from "+parseSockaddr(m.Addr).Addr().String(), n, e)
		n, e = s.Send(&kernel.Message{Buffers: [][]byte{{2}}, Addr: m.Addr[:m.AddrLen]}, 0)
		a.result("reply", n, e)
		n, e = s.Send(&kernel.Message{Buffers: [][]byte{{2}}, Addr: sockaddr(netip.AddrPortFrom(to.Addr(), a.name(c).Port()))}, 0)
		a.result("reply to AF_INET", n, e)
	}},
	{"control messages", func(a *abi) {
		s, c := a.open(in4, dgram, 0), a.open(in4, dgram, 0)
		for _, o := range []int{syscall.IP_PKTINFO, syscall.IP_RECVTOS, syscall.IP_RECVTTL} {
			a.setInt(s, ipLevel, o, 1)
			a.getInt(s, ipLevel, o)
		}
		a.setInt(c, ipLevel, syscall.IP_TTL, 33)
		a.errno("bind", s.Bind(sockaddr(addrPort(loopbackNoPort))))
		n, e := c.Send(&kernel.Message{Buffers: [][]byte{{1}}, Addr: sockaddr(a.name(s))}, 0)
		a.result("sendto", n, e)
		ttl := make([]byte, 24)
		binary.NativeEndian.PutUint64(ttl, 20)
		binary.NativeEndian.PutUint32(ttl[12:], syscall.IP_TTL)
		binary.NativeEndian.PutUint32(ttl[16:], 7)
		n, e = c.Send(&kernel.Message{Buffers: [][]byte{{1}}, Addr: sockaddr(a.name(s)), Control: ttl}, 0)
		a.result("sendto with a TTL", n, e)
		binary.NativeEndian.PutUint64(ttl, 99)
		_, e = c.Send(&kernel.Message{Buffers: [][]byte{{1}}, Addr: sockaddr(a.name(s)), Control: ttl}, 0)
		a.errno("sendto with a broken message", e)
		a.until(s, readable)
		for range 2 {
			m := kernel.Message{Buffers: [][]byte{make([]byte, 3)}, Control: make([]byte, 256)}
			_, e = s.Receive(&m, 0)
			a.errno(fmt.Sprintf("recv flags %#x: %s", m.Flags, cmsgs(m.Control[:m.ControlLen])), e)
		}
	}},
	{"control room", func(a *abi) {
		s := a.open(in4, dgram, 0)
		a.setInt(s, ipLevel, syscall.IP_PKTINFO, 1)
		a.errno("bind", s.Bind(sockaddr(addrPort(loopbackNoPort))))
		n, e := s.Send(&kernel.Message{Buffers: [][]byte{{1}}, Addr: sockaddr(a.name(s))}, 0)
		a.result("sendto", n, e)
		a.until(s, readable)
		m := kernel.Message{Buffers: [][]byte{make([]byte, 3)}, Control: make([]byte, 10)}
		_, e = s.Receive(&m, 0)
		a.errno(fmt.Sprintf("recv flags %#x control %d", m.Flags, m.ControlLen), e)
	}},
	{"stream options", func(a *abi) {
		k := a.open(in4, stream, 0)
		for _, o := range []int{syscall.SO_TYPE, syscall.SO_ACCEPTCONN, solsocket.Protocol, solsocket.Domain, syscall.SO_REUSEADDR, syscall.SO_KEEPALIVE,
			syscall.SO_OOBINLINE, syscall.SO_PRIORITY, syscall.SO_BROADCAST, syscall.SO_ERROR, syscall.SO_RCVLOWAT, 999} {
			a.getInt(k, sol, o)
		}
		for _, o := range []int{syscall.TCP_NODELAY, syscall.TCP_KEEPIDLE, syscall.TCP_KEEPINTVL, syscall.TCP_KEEPCNT, syscall.TCP_SYNCNT,
			tcpUserTimeout, syscall.TCP_CORK, syscall.TCP_DEFER_ACCEPT, 999} {
			a.getInt(k, tcpLevel, o)
		}
		a.setInt(k, tcpLevel, syscall.TCP_KEEPIDLE, 15)
		a.setInt(k, tcpLevel, syscall.TCP_KEEPIDLE, 0)
		a.setInt(k, tcpLevel, syscall.TCP_KEEPIDLE, 32768)
		a.setInt(k, tcpLevel, syscall.TCP_KEEPCNT, 128)
		a.setInt(k, tcpLevel, syscall.TCP_NODELAY, 1)
		a.setInt(k, tcpLevel, tcpUserTimeout, 5000)
		a.setInt(k, tcpLevel, syscall.TCP_MAXSEG, 1)
		a.getInt(k, tcpLevel, syscall.TCP_KEEPIDLE)
		a.getInt(k, tcpLevel, tcpUserTimeout)
		a.setInt(k, sol, syscall.SO_TYPE, 1)
		a.setInt(k, sol, 999, 1)
		a.setInt(k, tcpLevel, 999, 1)
		a.setInt(k, 77, 1, 1)
		a.errno("short", k.SetOption(sol, syscall.SO_KEEPALIVE, []byte{1}))
		a.errno("congestion", k.SetOption(tcpLevel, syscall.TCP_CONGESTION, []byte("nosuch")))
		a.errno("reno", k.SetOption(tcpLevel, syscall.TCP_CONGESTION, []byte("reno")))
		b := make([]byte, 16)
		n, e := k.GetOption(tcpLevel, syscall.TCP_CONGESTION, b)
		a.result(fmt.Sprintf("congestion %q", b), n, e)
		a.setInt(k, sol, syscall.SO_RCVBUF, 8192)
		a.getInt(k, sol, syscall.SO_RCVBUF)
		a.setInt(k, sol, syscall.SO_SNDBUF, 1)
		a.getInt(k, sol, syscall.SO_SNDBUF)
		tv := make([]byte, 16)
		tv[0] = 3
		a.errno("timeout", k.SetOption(sol, syscall.SO_RCVTIMEO, tv))
		n, e = k.GetOption(sol, syscall.SO_RCVTIMEO, tv)
		a.result(fmt.Sprint(tv), n, e)
	}},
	{"ip options", func(a *abi) {
		k := a.open(in4, dgram, 0)
		for _, o := range []int{syscall.IP_TOS, syscall.IP_TTL, syscall.IP_MULTICAST_TTL, syscall.IP_MULTICAST_LOOP,
			syscall.IP_MULTICAST_IF, syscall.IP_RECVERR, syscall.IP_HDRINCL, ipMTU} {
			a.getInt(k, ipLevel, o)
		}
		for _, c := range [][2]int{{syscall.IP_TTL, 0}, {syscall.IP_TTL, 256}, {syscall.IP_TTL, 5}, {syscall.IP_MULTICAST_TTL, 256},
			{syscall.IP_MULTICAST_TTL, 3}, {syscall.IP_TOS, 0x10}, {syscall.IP_MTU_DISCOVER, 2}, {syscall.IP_MTU_DISCOVER, 9},
			{syscall.IP_MULTICAST_LOOP, 0}, {999, 1}} {
			a.setInt(k, ipLevel, c[0], c[1])
		}
		for _, o := range []int{syscall.IP_TTL, syscall.IP_TOS, syscall.IP_MTU_DISCOVER, syscall.IP_MULTICAST_TTL, syscall.IP_MULTICAST_LOOP} {
			a.getInt(k, ipLevel, o)
		}
		a.errno("not a group", k.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, []byte{10, 0, 0, 1, 0, 0, 0, 0}))
		a.errno("unknown interface", k.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, []byte{224, 1, 2, 3, 9, 9, 9, 9}))
		join := []byte{224, 1, 2, 3, 127, 0, 0, 1}
		a.errno("join", k.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, join))
		a.errno("join again", k.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, join))
		a.errno("leave", k.SetOption(ipLevel, syscall.IP_DROP_MEMBERSHIP, join))
		a.errno("leave again", k.SetOption(ipLevel, syscall.IP_DROP_MEMBERSHIP, join))
		a.errno("v6 level", k.SetOption(ip6Level, syscall.IPV6_V6ONLY, []byte{1, 0, 0, 0}))
	}},
	{"ipv6 options", func(a *abi) {
		k := a.open(in6, dgram, 0)
		for _, o := range []int{syscall.IPV6_UNICAST_HOPS, syscall.IPV6_MULTICAST_HOPS, syscall.IPV6_MULTICAST_LOOP, syscall.IPV6_MULTICAST_IF,
			ipv6TClass, ipv6RecvPktInfo, ipv6RecvHopLimit} {
			a.getInt(k, ip6Level, o)
		}
		for _, c := range [][2]int{{syscall.IPV6_UNICAST_HOPS, 256}, {syscall.IPV6_UNICAST_HOPS, 5}, {syscall.IPV6_UNICAST_HOPS, -1},
			{syscall.IPV6_MULTICAST_HOPS, 7}, {syscall.IPV6_MULTICAST_LOOP, 2}, {ipv6TClass, 256}, {ipv6TClass, 4}, {ipv6RecvPktInfo, 1}, {999, 1}} {
			a.setInt(k, ip6Level, c[0], c[1])
		}
		a.getInt(k, ip6Level, syscall.IPV6_UNICAST_HOPS)
		a.getInt(k, ip6Level, syscall.IPV6_MULTICAST_HOPS)
		group := make([]byte, 20)
		copy(group, []byte{0xff, 0x02, 14: 0x12, 15: 0x34})
		group[16] = 1 // lo
		a.errno("join", k.SetOption(ip6Level, syscall.IPV6_JOIN_GROUP, group))
		a.errno("leave", k.SetOption(ip6Level, syscall.IPV6_LEAVE_GROUP, group))
		group[16] = 99
		a.errno("join nowhere", k.SetOption(ip6Level, syscall.IPV6_JOIN_GROUP, group))
	}},
	{"device", func(a *abi) {
		k := a.open(in4, dgram, 0)
		a.errno("unknown", k.SetOption(sol, syscall.SO_BINDTODEVICE, []byte("nosuch0")))
		a.errno("lo", k.SetOption(sol, syscall.SO_BINDTODEVICE, []byte("lo\x00")))
		b := make([]byte, 16)
		n, e := k.GetOption(sol, syscall.SO_BINDTODEVICE, b)
		a.result(fmt.Sprintf("%q", b), n, e)
		a.errno("none", k.SetOption(sol, syscall.SO_BINDTODEVICE, nil))
	}},
}

// closeNow closes a socket during a test. The test's cleanup releases it once more, which is
// harmless for this package's sockets, and on Linux at worst closes a number that is not used
// again.
func closeNow(k kernel.Socket) {
	k.Release()
	if l, ok := k.(*linuxSocket); ok {
		l.fd = -1
	}
}

// cmsgs lists control messages.
func cmsgs(b []byte) string {
	var out []string
	for len(b) >= cmsgHeader {
		n := int(binary.NativeEndian.Uint64(b))
		out = append(out, fmt.Sprintf("%d/%d %v", binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:]), b[cmsgHeader:n]))
		b = b[min(cmsgAlign(n), len(b)):]
	}
	return strings.Join(out, ", ")
}

func TestABI(t *testing.T) { runABI(t, abiTests) }

// runABI runs each case on Linux's sockets and on ours, and compares what it saw.
func runABI(t *testing.T, tests []abiTest) {
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			linux := &abi{t: t, socket: newLinuxSocket}
			c.run(linux)
			s := newStack(t)
			ours := &abi{t: t, socket: s.NewSocket}
			c.run(ours)
			if diff := cmp.Diff(linux.lines, ours.lines); diff != "" {
				t.Errorf("-Linux +ours:\n%s", diff)
			}
		})
	}
}
