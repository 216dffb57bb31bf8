package netstack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// controlMessage encodes one control message.
func controlMessage(level, typ int, data ...byte) []byte {
	b := make([]byte, cmsgAlign(cmsgHeader+len(data)))
	binary.NativeEndian.PutUint64(b, uint64(cmsgHeader+len(data)))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(typ))
	copy(b[cmsgHeader:], data)
	return b
}

func int32Bytes(v int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

// receive logs one datagram: its bytes, flags and control messages.
func (a *abi) receive(what string, k kernel.Socket, size, flags int) {
	m := kernel.Message{Buffers: [][]byte{make([]byte, size)}, Addr: make([]byte, 128), Control: make([]byte, 256)}
	n, e := k.Receive(&m, flags)
	if e != 0 {
		a.errno(what, e)
		return
	}
	var control []string
	for b := m.Control[:m.ControlLen]; len(b) >= cmsgHeader; {
		size := int(binary.NativeEndian.Uint64(b))
		control = append(control, fmt.Sprintf("%d/%d=%v", binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:]), b[cmsgHeader:size]))
		b = b[min(cmsgAlign(size), len(b)):]
	}
	a.log("%s: %d %q flags %#x %v", what, n, m.Buffers[0][:min(n, size)], m.Flags, control)
}

func (a *abi) arrive(what string, k kernel.Socket, size, flags int) {
	a.t.Helper()
	a.until(k, readable)
	a.receive(what, k, size, flags)
}

func (a *abi) send(what string, k kernel.Socket, data string, to netip.AddrPort, control []byte, flags int) {
	m := kernel.Message{Buffers: [][]byte{[]byte(data)}, Control: control}
	if to.IsValid() {
		m.Addr = sockaddr(to)
	}
	n, e := k.Send(&m, flags|syscall.MSG_NOSIGNAL)
	a.result(what, n, e)
}

func (a *abi) bound(family int, addr string) (kernel.Socket, netip.AddrPort) {
	k := a.open(family, dgram, 0)
	a.errno("bind", k.Bind(sockaddr(addrPort(addr))))
	return k, a.name(k)
}

var abiOptionTests = []abiTest{
	{"peek and truncate", func(a *abi) {
		const peek, trunc = syscall.MSG_PEEK, syscall.MSG_TRUNC
		s, at := a.bound(in4, loopbackNoPort)
		c, d := a.connected(in4, loopbackNoPort)
		for name, send := range map[string]func(){"udp": func() { a.send("send", s, "0123456789", at, nil, 0) }, "tcp": func() { a.send("send", c, "0123456789", netip.AddrPort{}, nil, 0) }} {
			if name != "udp" {
				continue
			}
			a.receive(name, s, 0, peek)
			send()
			for _, f := range []int{peek, peek | trunc, trunc} {
				a.arrive(name, s, 3, f)
			}
			send()
			a.arrive(name, s, 0, trunc)
		}
		a.receive("tcp, nothing there", d, 0, 0)
		a.send("send", c, "0123456789", netip.AddrPort{}, nil, 0)
		a.until(d, readable)
		for _, f := range []int{peek, peek | trunc, trunc, 0} {
			a.receive("tcp, no bytes", d, 0, f)
		}
		m := kernel.Message{Buffers: [][]byte{make([]byte, 3)}}
		for _, f := range []int{peek, peek | trunc, trunc} {
			n, e := d.Receive(&m, f)
			a.result(fmt.Sprint("tcp ", f), n, e)
		}
		a.receive("the rest", d, 100, 0)
	}},
	{"peek offset", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.setInt(d, sol, solsocket.PeekOff, 2)
		a.send("send", c, "0123456789", netip.AddrPort{}, nil, 0)
		a.until(d, readable)
		a.receive("peek", d, 3, syscall.MSG_PEEK)
		a.getInt(d, sol, solsocket.PeekOff)
		a.receive("peek on", d, 3, syscall.MSG_PEEK)
		a.receive("read", d, 4, 0)
		a.getInt(d, sol, solsocket.PeekOff)
		a.receive("peek behind", d, 9, syscall.MSG_PEEK)
		a.receive("nothing behind", d, 9, syscall.MSG_PEEK)
		a.setInt(d, sol, solsocket.PeekOff, -1)
		a.receive("peek at the start", d, 9, syscall.MSG_PEEK)
	}},
	{"low-water mark", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.setInt(d, sol, syscall.SO_RCVLOWAT, 5)
		a.send("send", c, "0123", netip.AddrPort{}, nil, 0)
		time.Sleep(50 * time.Millisecond)
		a.log("poll %#x", d.Readiness())
		a.receive("read all the same", d, 2, 0)
		a.send("send", c, "456", netip.AddrPort{}, nil, 0)
		a.until(d, readable)
		a.log("poll %#x", d.Readiness())
		a.receive("read", d, 9, 0)
		a.send("send", c, "x", netip.AddrPort{}, nil, 0)
		a.errno("shutdown", c.Shutdown(syscall.SHUT_WR))
		a.until(d, kernel.EventRdHup)
		a.log("poll %#x", d.Readiness())
	}},
	{"bytes in the queue", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.setInt(d, tcpLevel, tcpInq, 1)
		a.send("send", c, "0123456789", netip.AddrPort{}, nil, 0)
		a.arrive("read", d, 4, 0)
		a.receive("read", d, 6, 0)
	}},
	{"cork", func(a *abi) {
		s, at := a.bound(in4, loopbackNoPort)
		c := a.open(in4, dgram, 0)
		a.send("no peer", c, "a", netip.AddrPort{}, nil, msgMore)
		a.send("more", c, "one ", at, nil, msgMore)
		a.send("more", c, "two ", at, nil, msgMore)
		a.receive("nothing yet", s, 20, 0)
		a.send("last", c, "three", at, nil, 0)
		a.arrive("all", s, 20, 0)
		a.setInt(c, syscall.IPPROTO_UDP, udpCork, 1)
		a.send("corked", c, "four ", at, nil, 0)
		a.send("corked", c, "five", at, nil, 0)
		a.receive("nothing yet", s, 20, 0)
		a.setInt(c, syscall.IPPROTO_UDP, udpCork, 0)
		a.arrive("all", s, 20, 0)
		x, y := a.connected(in4, loopbackNoPort)
		a.setInt(x, tcpLevel, syscall.TCP_NODELAY, 1)
		a.send("more", x, "one ", netip.AddrPort{}, nil, msgMore)
		time.Sleep(20 * time.Millisecond)
		a.receive("nothing yet", y, 20, 0)
		a.send("last", x, "two", netip.AddrPort{}, nil, 0)
		a.arrive("all", y, 20, 0)
	}},
	{"segments", func(a *abi) {
		s, at := a.bound(in4, loopbackNoPort)
		c := a.open(in4, dgram, 0)
		a.setInt(c, syscall.IPPROTO_UDP, udpSegment, 4)
		a.send("send", c, "0123456789", at, nil, 0)
		for range 3 {
			a.arrive("segment", s, 20, 0)
		}
		a.send("of one", c, "0123456789", at, controlMessage(syscall.IPPROTO_UDP, udpSegment, 7, 0), 0)
		for range 2 {
			a.arrive("segment", s, 20, 0)
		}
		a.send("size in four bytes", c, "0123456789", at, controlMessage(syscall.IPPROTO_UDP, udpSegment, 7, 0, 0, 0), 0)
		a.send("too many", c, strings.Repeat("x", 4*maxSegments+1), at, nil, 0)
		a.receive("nothing", s, 20, 0)
	}},
	{"control messages that are refused", func(a *abi) {
		s, at := a.bound(in4, loopbackNoPort)
		for _, c := range [][]byte{
			controlMessage(ipLevel, 99, 0, 0, 0, 0), controlMessage(ipLevel, syscall.IP_TTL, 0, 0, 0, 0), controlMessage(ipLevel, syscall.IP_TTL, 9),
			controlMessage(ipLevel, syscall.IP_TOS, 1, 1, 0, 0), controlMessage(ipLevel, syscall.IP_TOS, 1, 1), controlMessage(ipLevel, syscall.IP_PKTINFO, make([]byte, 8)...),
			controlMessage(ipLevel, syscall.IP_PKTINFO, 0, 0, 0, 0, 192, 0, 2, 1, 0, 0, 0, 0), controlMessage(sol, 98, 0, 0, 0, 0), controlMessage(sol, syscall.SO_MARK, 1), controlMessage(sol, solsocket.TxTime, make([]byte, 8)...),
			controlMessage(syscall.IPPROTO_UDP, 9, 0, 0), controlMessage(77, 1, 0, 0), controlMessage(ip6Level, ipv6HopLimit, 9, 0, 0, 0), {1, 2, 3}, {9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		} {
			a.send(fmt.Sprint(c), s, "x", at, c, 0)
		}
		x, _ := a.connected(in4, loopbackNoPort)
		a.send("tcp", x, "x", netip.AddrPort{}, controlMessage(sol, 98, 0, 0, 0, 0), 0)
		a.send("tcp, another level", x, "x", netip.AddrPort{}, controlMessage(ipLevel, 99, 0, 0, 0, 0), 0)
	}},
	{"connect again", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		dead, gone := a.listener(in4, loopbackNoPort)
		dead.Release()
		k := a.open(in4, stream, 0)
		if k.Connect(sockaddr(gone)) == syscall.EINPROGRESS {
			a.until(k, kernel.EventErr)
		}
		a.log("poll %#x", k.Readiness())
		a.errno("SO_ERROR", soError(a.t, k))
		a.errno("SO_ERROR again", soError(a.t, k))
		n, e := k.Read(make([]byte, 1), -1)
		a.result("read", n, e)
		a.send("write", k, "x", netip.AddrPort{}, nil, 0)
		a.errno("connect tells the end", k.Connect(sockaddr(at)))
		a.log("poll %#x", k.Readiness())
		n, e = k.Read(make([]byte, 1), -1)
		a.result("read", n, e)
		a.errno("and connects", progress(k.Connect(sockaddr(at))))
		a.until(k, writable)
		a.errno("asked", k.Connect(sockaddr(at)))
		a.errno("asked again", k.Connect(sockaddr(at)))
		a.until(l, readable)
		a.errno("disconnect", k.Connect([]byte{0, 0, 0, 0}))
		a.log("poll %#x", k.Readiness())
		_, e = k.PeerAddr(make([]byte, 128))
		a.errno("getpeername", e)
		a.errno("connect", progress(k.Connect(sockaddr(at))))
	}},
	{"a listener is shut down", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		a.setInt(l, tcpLevel, syscall.TCP_KEEPIDLE, 77)
		a.errno("shutdown for writing", l.Shutdown(syscall.SHUT_WR))
		a.getInt(l, sol, syscall.SO_ACCEPTCONN)
		a.errno("shutdown", l.Shutdown(syscall.SHUT_RD))
		a.getInt(l, sol, syscall.SO_ACCEPTCONN)
		a.log("poll %#x", l.Readiness())
		_, e := l.Accept()
		a.errno("accept", e)
		k := a.open(in4, stream, 0)
		if e = k.Connect(sockaddr(at)); e == syscall.EINPROGRESS {
			a.until(k, writable)
			e = soError(a.t, k)
		}
		a.errno("connect", e)
		a.errno("listen again", l.Listen(1))
		a.getInt(l, tcpLevel, syscall.TCP_KEEPIDLE)
		k = a.open(in4, stream, 0)
		a.errno("connect", progress(k.Connect(sockaddr(a.name(l)))))
		a.until(l, readable)
	}},
	{"shutdown without a connection", func(a *abi) {
		for _, how := range []int{syscall.SHUT_RD, syscall.SHUT_WR, syscall.SHUT_RDWR, 7} {
			for _, typ := range []int{stream, dgram} {
				k := a.open(in4, typ, 0)
				a.errno(fmt.Sprint("shutdown ", typ, how), k.Shutdown(how))
				a.log("poll %#x", k.Readiness())
			}
		}
	}},
	{"everything is inherited", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		options := [][3]int{{sol, syscall.SO_KEEPALIVE, 1}, {sol, syscall.SO_MARK, 7}, {sol, syscall.SO_PRIORITY, 3}, {sol, syscall.SO_RCVLOWAT, 9}, {sol, solsocket.PeekOff, 4},
			{sol, syscall.SO_REUSEADDR, 1}, {sol, syscall.SO_OOBINLINE, 1}, {sol, syscall.SO_DONTROUTE, 1}, {tcpLevel, syscall.TCP_NODELAY, 1},
			{tcpLevel, syscall.TCP_KEEPIDLE, 33}, {tcpLevel, syscall.TCP_KEEPINTVL, 34}, {tcpLevel, syscall.TCP_KEEPCNT, 5}, {tcpLevel, syscall.TCP_SYNCNT, 3},
			{tcpLevel, tcpUserTimeout, 4000}, {tcpLevel, tcpInq, 1}, {tcpLevel, syscall.TCP_LINGER2, 11}, {ipLevel, syscall.IP_TTL, 44}, {ipLevel, syscall.IP_RECVTTL, 1}}
		for _, o := range options {
			a.setInt(l, o[0], o[1], o[2])
		}
		a.errno("linger", l.SetOption(sol, syscall.SO_LINGER, []byte{1, 0, 0, 0, 6, 0, 0, 0}))
		c := a.open(in4, stream, 0)
		a.errno("connect", progress(c.Connect(sockaddr(at))))
		a.until(l, readable)
		s, e := l.Accept()
		a.errno("accept", e)
		a.t.Cleanup(s.Release)
		for _, o := range options {
			a.getInt(s, o[0], o[1])
		}
		b := make([]byte, 8)
		s.GetOption(sol, syscall.SO_LINGER, b)
		a.log("linger %v", b)
	}},
	{"a port later", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		for _, typ := range []int{stream, dgram} {
			k := a.open(in4, typ, 0)
			a.setInt(k, ipLevel, ipBindNoPort, 1)
			a.errno("bind", k.Bind(sockaddr(addrPort("127.0.0.3:0"))))
			a.log("name %v", a.name(k))
			a.errno("bind again", k.Bind(sockaddr(addrPort("127.0.0.3:0"))))
			a.errno("connect", progress(k.Connect(sockaddr(at))))
			a.log("%v, port %v", a.name(k).Addr(), a.name(k).Port() != 0)
		}
		a.until(l, readable)
	}},
	{"a range of ports", func(a *abi) {
		var first uint16
		for i := range 3 {
			k := a.open(in4, dgram, 0)
			a.setInt(k, ipLevel, ipLocalPortRange, 40001<<16|40000)
			a.errno("bind", k.Bind(sockaddr(addrPort("127.99.0.1:0"))))
			if port := a.name(k).Port(); i < 2 {
				a.log("%v", port >= 40000 && port <= 40001 && port != first)
				first = port
			}
		}
		k := a.open(in4, stream, 0)
		l, at := a.listener(in4, loopbackNoPort)
		a.setInt(k, ipLevel, ipLocalPortRange, 40100<<16|40100)
		a.errno("connect", progress(k.Connect(sockaddr(at))))
		a.log("port %d", a.name(k).Port())
		a.until(l, readable)
	}},
	{"groups and broadcast addresses", func(a *abi) {
		for _, addr := range []string{"224.0.2.1:0", "255.255.255.255:0", "127.255.255.255:0", "127.8.9.10:0"} {
			k := a.open(in4, dgram, 0)
			a.errno(addr, k.Bind(sockaddr(addrPort(addr))))
		}
		k := a.open(in4, dgram, 0)
		join := func(group byte, nic int) syscall.Errno {
			return k.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, append([]byte{224, 0, 2, group, 0, 0, 0, 0}, int32Bytes(nic)...))
		}
		a.errno("join", join(1, 1))
		a.errno("join again", join(1, 1))
		a.errno("no such card", join(1, 77))
		a.errno("leave another", k.SetOption(ipLevel, syscall.IP_DROP_MEMBERSHIP, []byte{224, 0, 2, 9, 127, 0, 0, 1}))
		a.errno("leave", k.SetOption(ipLevel, syscall.IP_DROP_MEMBERSHIP, []byte{224, 0, 2, 1, 127, 0, 0, 1}))
		a.errno("connect", k.Connect(sockaddr(addrPort("255.255.255.255:1"))))
		for _, addr := range []string{"[ff01::1]:0", "[ff02::1]:0", "[ff05::9]:0"} {
			a.errno(addr, a.open(in6, dgram, 0).Bind(sockaddr(addrPort(addr))))
		}
	}},
}

func TestABIOptions(t *testing.T) { runABI(t, abiOptionTests) }

// abiEditedTests need the images' copy of gVisor.
var abiEditedTests = []abiTest{
	{"packet information of mapped addresses", func(a *abi) {
		k, at := a.bound(in6, "[::]:0")
		four := a.open(in4, dgram, 0)
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
		a.setInt(k, ip6Level, ipv6RecvPktInfo, 1)
		a.setInt(k, ip6Level, ipv6RecvHopLimit, 1)
		a.send("IPv4", four, "four", to, nil, 0)
		a.arrive("IPv4", k, 10, 0)
		a.setInt(k, ipLevel, syscall.IP_PKTINFO, 1)
		a.send("IPv4", four, "four", to, nil, 0)
		a.arrive("IPv4 with both options", k, 10, 0)
		a.send("IPv6", k, "six", netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()), nil, 0)
		a.arrive("IPv6", k, 10, 0)
	}},
	{"paths that are too narrow", func(a *abi) {
		_, at := a.bound(in6, "[::1]:0")
		c := a.open(in6, dgram, 0)
		long := strings.Repeat("x", 65527)
		a.getInt(c, ip6Level, ipv6RecvPathMTU)
		a.setInt(c, ip6Level, ipv6RecvPathMTU, 1)
		a.getInt(c, ip6Level, ipv6RecvPathMTU)
		a.send("in fragments", c, long, at, nil, 0)
		a.receive("nothing", c, 10, syscall.MSG_DONTWAIT)
		whole := cmsg(ip6Level, ipv6DontFrag, int32Bytes(1))
		a.send("whole", c, long, at, whole, 0)
		a.log("poll %#x", c.Readiness())
		a.receive("MTU", c, 10, syscall.MSG_DONTWAIT)
		a.receive("once", c, 10, syscall.MSG_DONTWAIT)
		a.setInt(c, ip6Level, ipv6DontFrag, 1)
		a.send("whole", c, long, at, nil, 0)
		n, e := c.Read(make([]byte, 5), -1)
		a.result("read", n, e)
		n, e = c.Read(make([]byte, 5), -1)
		a.result("read", n, e)
		a.setInt(c, ip6Level, ipv6RecvPathMTU, 0)
		a.send("not told", c, long, at, nil, 0)
		a.receive("nothing", c, 10, syscall.MSG_DONTWAIT)
	}},
	{"more control messages of IPv6", func(a *abi) {
		k, at := a.bound(in6, "[::1]:0")
		for _, o := range []int{ipv6RecvPktInfo, ipv6RecvHopLimit, 66} {
			a.setInt(k, ip6Level, o, 1)
		}
		c := a.open(in6, dgram, 0)
		for _, m := range []struct {
			typ  int
			data []byte
		}{
			{ipv62292HopLimit, int32Bytes(9)}, {ipv62292HopLimit, int32Bytes(256)}, {ipv62292PktInfo, append(make([]byte, 15), 1, 1, 0, 0, 0)},
			{ipv6TClass, int32Bytes(-1)}, {ipv6TClass, int32Bytes(-2)}, {ipv6DontFrag, int32Bytes(1)}, {ipv6DontFrag, int32Bytes(2)},
			{ipv6DontFrag, []byte{1}},
		} {
			what := fmt.Sprint(m.typ, m.data)
			before := len(a.lines)
			a.send(what, c, "x", at, cmsg(ip6Level, m.typ, m.data), 0)
			if strings.HasSuffix(a.lines[before], ": ok") {
				a.arrive(what, k, 10, 0)
			}
		}
		a.send("long and whole", c, strings.Repeat("x", 65527), at, cmsg(ip6Level, ipv6DontFrag, int32Bytes(1)), 0)
		a.send("long", c, strings.Repeat("x", 65527), at, nil, 0)
	}},
	{"control messages of one datagram", func(a *abi) {
		s, at := a.bound(in4, "0.0.0.0:0")
		for _, o := range []int{syscall.IP_PKTINFO, syscall.IP_RECVTTL, syscall.IP_RECVTOS} {
			a.setInt(s, ipLevel, o, 1)
		}
		c := a.open(in4, dgram, 0)
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), at.Port())
		control := append(controlMessage(ipLevel, syscall.IP_TTL, 9, 0, 0, 0), controlMessage(ipLevel, syscall.IP_TOS, 0x28)...)
		control = append(control, controlMessage(ipLevel, syscall.IP_PKTINFO, 0, 0, 0, 0, 127, 0, 0, 7, 0, 0, 0, 0)...)
		a.send("send", c, "x", to, control, 0)
		a.until(s, readable)
		m := kernel.Message{Buffers: [][]byte{make([]byte, 9)}, Addr: make([]byte, 128), Control: make([]byte, 256)}
		n, e := s.Receive(&m, 0)
		a.result(fmt.Sprintf("from %v, %v", parseSockaddr(m.Addr).Addr(), m.Control[:m.ControlLen]), n, e)
		a.send("the next", c, "y", to, nil, 0)
		a.arrive("without", s, 9, 0)
		v, vt := a.bound(in6, "[::1]:0")
		a.setInt(v, ip6Level, ipv6RecvTClass, 1)
		a.setInt(v, ip6Level, ipv6RecvHopLimit, 1)
		a.send("six", v, "x", vt, append(controlMessage(ip6Level, ipv6HopLimit, 9, 0, 0, 0), controlMessage(ip6Level, ipv6TClass, 0x12, 0, 0, 0)...), 0)
		a.arrive("six", v, 9, 0)
	}},
	{"an address that is not there", func(a *abi) {
		for _, typ := range []int{stream, dgram} {
			k := a.open(in4, typ, 0)
			a.errno("bind", k.Bind(sockaddr(addrPort("192.0.2.1:0"))))
			a.setInt(k, ipLevel, ipFreebind, 1)
			a.errno("bind", k.Bind(sockaddr(addrPort("192.0.2.1:0"))))
			a.log("%v", a.name(k).Addr())
		}
		for _, addr := range []string{"224.0.2.1:0", "255.255.255.255:0"} {
			a.errno(addr, a.open(in4, stream, 0).Bind(sockaddr(addrPort(addr))))
		}
	}},
	{"few hops", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.setInt(d, ipLevel, ipMinTTL, 65)
		a.send("send", c, "far", netip.AddrPort{}, nil, 0)
		time.Sleep(50 * time.Millisecond)
		a.receive("nothing", d, 9, 0)
		a.setInt(c, ipLevel, syscall.IP_TTL, 65)
		a.arrive("sent again", d, 9, 0)
	}},
	{"sources of a group", func(a *abi) {
		s, at := a.bound(in4, "0.0.0.0:0")
		lo := []byte{127, 0, 0, 1}
		group := netip.AddrPortFrom(netip.MustParseAddr("224.0.2.7"), at.Port())
		g := group.Addr().AsSlice()
		source := func(name int, last byte) syscall.Errno {
			return s.SetOption(ipLevel, name, append(append(append([]byte{}, g...), lo...), 127, 0, 0, last))
		}
		say := func(last byte) {
			k := a.open(in4, dgram, 0)
			a.errno("bind", k.Bind(sockaddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, last}), 0))))
			k.SetOption(ipLevel, syscall.IP_MULTICAST_IF, lo)
			a.send("send", k, fmt.Sprint("from ", last), group, nil, 0)
			time.Sleep(10 * time.Millisecond)
			a.receive("heard", s, 20, 0)
		}
		a.errno("block without joining", source(syscall.IP_BLOCK_SOURCE, 3))
		a.errno("join a source", source(syscall.IP_ADD_SOURCE_MEMBERSHIP, 2))
		say(2)
		say(3)
		a.errno("again", source(syscall.IP_ADD_SOURCE_MEMBERSHIP, 2))
		a.errno("another", source(syscall.IP_ADD_SOURCE_MEMBERSHIP, 3))
		say(3)
		a.errno("block", source(syscall.IP_BLOCK_SOURCE, 3))
		b := make([]byte, 24)
		copy(b, g)
		copy(b[4:], lo)
		b[12] = 2
		n, e := s.GetOption(ipLevel, ipMSFilter, b)
		a.result(fmt.Sprint("list ", b), n, e)
		a.errno("drop", source(syscall.IP_DROP_SOURCE_MEMBERSHIP, 3))
		say(3)
		a.errno("drop", source(syscall.IP_DROP_SOURCE_MEMBERSHIP, 2))
		a.errno("not joined any more", source(syscall.IP_DROP_SOURCE_MEMBERSHIP, 2))
		a.errno("join", s.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, append(append([]byte{}, g...), lo...)))
		a.errno("block", source(syscall.IP_BLOCK_SOURCE, 3))
		say(2)
		say(3)
		a.errno("unblock", source(syscall.IP_UNBLOCK_SOURCE, 3))
		say(3)
	}},
	{"groups of others", func(a *abi) {
		x, at := a.bound(in4, "0.0.0.0:0")
		y := a.open(in4, dgram, 0)
		a.errno("join", y.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, []byte{224, 0, 2, 8, 127, 0, 0, 1}))
		y.SetOption(ipLevel, syscall.IP_MULTICAST_IF, []byte{127, 0, 0, 1})
		for all := range 2 {
			a.setInt(x, ipLevel, ipMulticastAll, all)
			a.send("send", y, "group", netip.AddrPortFrom(netip.MustParseAddr("224.0.2.8"), at.Port()), nil, 0)
			time.Sleep(20 * time.Millisecond)
			a.receive("heard", x, 9, 0)
		}
	}},
	{"filter of ICMP", func(a *abi) {
		k := a.open(in4, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
		a.errno("filter", k.SetOption(syscall.SOL_RAW, icmpFilterOpt, int32Bytes(1<<8)))
		n, e := k.Send(&kernel.Message{Buffers: [][]byte{echoRequest(8, 79)}, Addr: sockaddr(addrPort("127.0.0.1:0"))}, 0)
		a.result("echo request", n, e)
		a.until(k, readable)
		m := kernel.Message{Buffers: [][]byte{make([]byte, 64)}}
		n, e = k.Receive(&m, 0)
		a.result(fmt.Sprintf("type %d", m.Buffers[0][20]), n, e)
		n, e = k.Receive(&m, 0)
		a.result("nothing else", n, e)
	}},
	{"errors without a connection", func(a *abi) {
		free, at := a.bound(in4, loopbackNoPort)
		closeNow(free)
		c := a.open(in4, dgram, 0)
		a.setInt(c, ipLevel, syscall.IP_RECVERR, 1)
		a.setInt(c, sol, solsocket.SelectErrQueue, 1)
		a.send("send", c, "lost", at, nil, 0)
		a.until(c, kernel.EventErr)
		a.log("poll %#x", c.Readiness())
		m := kernel.Message{Buffers: [][]byte{make([]byte, 16)}, Addr: make([]byte, 128), Control: make([]byte, 128)}
		n, e := c.Receive(&m, syscall.MSG_ERRQUEUE)
		a.log("the destination %v", parseSockaddr(m.Addr) == at)
		a.result(fmt.Sprintf("flags %#x %q %v", m.Flags, m.Buffers[0][:4], m.Control[:m.ControlLen]), n, e)
		a.log("poll %#x", c.Readiness())
		n, e = c.Read(make([]byte, 4), -1)
		a.result("no error is left", n, e)
	}},
	{"unacknowledged bytes", func(a *abi) {
		c, _ := a.connected(in4, loopbackNoPort)
		b := make([]byte, 280)
		n, e := c.GetOption(tcpLevel, syscall.TCP_INFO, b)
		a.result(fmt.Sprintf("TCP_INFO state %d options %d unacknowledged %d not sent %d", b[0], b[5]&7, b[24], b[144]), n, e)
	}},
}

func TestABIEdited(t *testing.T) {
	onEdited(t, newStack(t))
	runABI(t, abiEditedTests)
}
