package netstack

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// echoRequest is an ICMP echo request with a checksum (RFC 792).
func echoRequest(typ byte, id uint16) []byte {
	b := []byte{typ, 0, 0, 0, byte(id >> 8), byte(id), 0, 1, 'p', 'i', 'n', 'g'}
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum+sum>>16))
	return b
}

// abiOtherRawTests need the images' copy of gVisor.
var abiOtherRawTests = []abiTest{
	{"raw sockets of other protocols", func(a *abi) {
		for _, c := range []struct {
			family, protocol int
			to               string
		}{{in4, 47, "127.0.0.1:0"}, {in4, 89, "127.0.0.1:0"}, {in4, 2, "127.0.0.1:0"}, {in6, 89, "[::1]:0"}, {in6, 47, "[::1]:0"}, {in4, 254, "127.0.0.1:0"}} {
			k, other := a.open(c.family, syscall.SOCK_RAW, c.protocol), a.open(c.family, syscall.SOCK_RAW, 253)
			n, e := k.Send(&kernel.Message{Buffers: [][]byte{[]byte("12345678")}, Addr: sockaddr(addrPort(c.to))}, 0)
			a.result(fmt.Sprint("send ", c.protocol), n, e)
			a.until(k, kernel.EventIn)
			b := make([]byte, 100)
			m := kernel.Message{Buffers: [][]byte{b}, Addr: make([]byte, 128)}
			n, e = k.Receive(&m, 0)
			a.result("receive", n, e)
			payload := b[:max(n, 0)]
			if c.family == in4 && n > 20 {
				a.log("header of protocol %d", b[9])
				payload = b[20:n]
			}
			a.log("%q from %v", payload, parseSockaddr(m.Addr[:m.AddrLen]))
			a.errno("connect", k.Connect(sockaddr(addrPort(c.to))))
			n, e = k.Write([]byte("more"), -1)
			a.result("write", n, e)
			a.until(k, kernel.EventIn)
			n, e = k.Read(b, -1)
			a.result("read", n, e)
			a.log("other %#x", other.Readiness())
			a.getInt(k, sol, syscall.SO_PROTOCOL)
		}
	}},
	{"a protocol that nobody receives", func(a *abi) {
		sender := a.open(in4, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
		errors := a.open(in4, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
		packet := make([]byte, 28)
		packet[0], packet[8], packet[9] = 0x45, 64, 253
		copy(packet[16:], []byte{127, 0, 0, 1})
		n, e := sender.Send(&kernel.Message{Buffers: [][]byte{packet}, Addr: sockaddr(addrPort("127.0.0.1:0"))}, 0)
		a.result("send", n, e)
		a.until(errors, kernel.EventIn)
		b := make([]byte, 100)
		n, e = errors.Read(b, -1)
		a.result("ICMP", n, e)
		a.log("type %d, code %d", b[20], b[21])
		taker := a.open(in4, syscall.SOCK_RAW, 253)
		n, e = sender.Send(&kernel.Message{Buffers: [][]byte{packet}, Addr: sockaddr(addrPort("127.0.0.1:0"))}, 0)
		a.result("send", n, e)
		a.until(taker, kernel.EventIn)
		pause()
		a.log("errors %#x", errors.Readiness())
	}},
}

func TestABIOtherRaw(t *testing.T) {
	onEdited(t, newStack(t))
	runABI(t, abiOtherRawTests)
}

var abiRawTests = []abiTest{
	{"raw icmp", func(a *abi) {
		k := a.open(in4, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
		a.log("poll %#x", k.Readiness())
		n, e := k.Send(&kernel.Message{Buffers: [][]byte{echoRequest(8, 77)}, Addr: sockaddr(addrPort("127.0.0.1:0"))}, 0)
		a.result("echo request", n, e)
		for range 2 { // on loopback a raw socket gets its own request, too
			a.until(k, readable)
			m := kernel.Message{Buffers: [][]byte{make([]byte, 64)}, Addr: make([]byte, 128)}
			n, e = k.Receive(&m, 0)
			b := m.Buffers[0]
			a.result(fmt.Sprintf("type %d %s from %v", b[20], b[28:32], parseSockaddr(m.Addr)), n, e)
		}
		_, e = k.Accept()
		a.errno("accept", e)
		a.getInt(k, sol, syscall.SO_TYPE)
		a.getInt(k, sol, solsocket.Protocol)
		a.getInt(k, ipLevel, syscall.IP_HDRINCL)
		a.setInt(k, ipLevel, syscall.IP_HDRINCL, 1)
		a.getInt(k, ipLevel, syscall.IP_HDRINCL)
	}},
	{"raw icmpv6", func(a *abi) {
		k := a.open(in6, syscall.SOCK_RAW, syscall.IPPROTO_ICMPV6)
		n, e := k.Send(&kernel.Message{Buffers: [][]byte{echoRequest(128, 78)}, Addr: sockaddr(addrPort("[::1]:0"))}, 0)
		a.result("echo request", n, e)
		for range 2 {
			a.until(k, readable)
			m := kernel.Message{Buffers: [][]byte{make([]byte, 64)}, Addr: make([]byte, 128)}
			n, e = k.Receive(&m, 0)
			a.result(fmt.Sprintf("type %d from %v", m.Buffers[0][0], parseSockaddr(m.Addr).Addr()), n, e)
		}
	}},
	{"raw udp", func(a *abi) {
		x, u := a.open(in4, syscall.SOCK_RAW, syscall.IPPROTO_UDP), a.open(in4, dgram, 0)
		a.errno("bind", u.Bind(sockaddr(addrPort(loopbackNoPort))))
		n, e := u.Send(&kernel.Message{Buffers: [][]byte{[]byte("hi")}, Addr: sockaddr(a.name(u))}, 0)
		a.result("send", n, e)
		a.until(x, readable)
		b := make([]byte, 64)
		n, e = x.Read(b, -1)
		a.result(fmt.Sprintf("%d %s", b[9], b[28:30]), n, e)
		k, e := a.socket(in4, syscall.SOCK_RAW, 0)
		if e == 0 {
			k.Release()
		}
		a.errno("protocol 0", e)
	}},
	{"multicast", func(a *abi) {
		s, c := a.open(in4, dgram, 0), a.open(in4, dgram, 0)
		a.setInt(s, sol, syscall.SO_REUSEADDR, 1)
		a.errno("bind", s.Bind(sockaddr(addrPort("224.1.2.3:0"))))
		a.errno("join", s.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, []byte{224, 1, 2, 3, 127, 0, 0, 1}))
		a.errno("interface", c.SetOption(ipLevel, syscall.IP_MULTICAST_IF, []byte{127, 0, 0, 1}))
		b := make([]byte, 4)
		_, e := c.GetOption(ipLevel, syscall.IP_MULTICAST_IF, b)
		a.errno(fmt.Sprint("interface ", b), e)
		n, e := c.Send(&kernel.Message{Buffers: [][]byte{[]byte("all")}, Addr: sockaddr(a.name(s))}, 0)
		a.result("send", n, e)
		a.until(s, readable)
		n, e = s.Read(b, -1)
		a.result(string(b[:3]), n, e)
	}},
	{"error queue", func(a *abi) {
		free, c := a.open(in4, dgram, 0), a.open(in4, dgram, 0)
		a.errno("bind", free.Bind(sockaddr(addrPort(loopbackNoPort))))
		at := sockaddr(a.name(free))
		closeNow(free)
		a.setInt(c, ipLevel, syscall.IP_RECVERR, 1)
		a.errno("connect", c.Connect(at))
		n, e := c.Write([]byte("lost"), -1)
		a.result("send", n, e)
		a.until(c, kernel.EventErr)
		a.log("poll %#x", c.Readiness())
		m := kernel.Message{Buffers: [][]byte{make([]byte, 16)}, Addr: make([]byte, 128), Control: make([]byte, 128)}
		n, e = c.Receive(&m, syscall.MSG_ERRQUEUE)
		ee := m.Control[cmsgHeader:] // struct sock_extended_err
		a.result(fmt.Sprintf("errno %d origin %d type %d code %d payload %q", ee[0], ee[4], ee[5], ee[6], m.Buffers[0][:4]), n, e)
		n, e = c.Receive(&m, syscall.MSG_ERRQUEUE)
		a.result("again", n, e)
	}},
	{"inherited options", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		a.setInt(l, tcpLevel, syscall.TCP_NODELAY, 1)
		a.setInt(l, sol, syscall.SO_KEEPALIVE, 1)
		c := a.open(in4, stream, 0)
		a.errno("connect", progress(c.Connect(sockaddr(at))))
		a.until(l, readable)
		s, e := l.Accept()
		a.errno("accept", e)
		a.t.Cleanup(s.Release)
		a.getInt(s, tcpLevel, syscall.TCP_NODELAY)
		a.getInt(s, sol, syscall.SO_KEEPALIVE)
		b := make([]byte, 8)
		n, e := s.GetOption(tcpLevel, syscall.TCP_INFO, b)
		a.result(fmt.Sprintf("TCP_INFO state %d", b[0]), n, e)
	}},
	{"backlog", func(a *abi) {
		l := a.open(in4, stream, 0)
		a.errno("bind", l.Bind(sockaddr(addrPort(loopbackNoPort))))
		a.errno("listen", l.Listen(0))
		c := a.open(in4, stream, 0)
		a.errno("connect", progress(c.Connect(sockaddr(a.name(l)))))
		a.until(c, writable)
		a.errno("SO_ERROR", soError(a.t, c))
		a.until(l, readable)
		n, e := c.Write([]byte("early"), -1) // before the accept
		a.result("write", n, e)
		s, e := l.Accept()
		a.errno("accept", e)
		a.t.Cleanup(s.Release)
		a.until(s, readable)
		n, e = s.Read(make([]byte, 9), -1)
		a.result("read", n, e)
	}},
	{"listener closes", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		c := a.open(in4, stream, 0)
		a.errno("connect", progress(c.Connect(sockaddr(at))))
		a.until(c, writable)
		a.until(l, readable)
		closeNow(l)
		a.until(c, kernel.EventErr)
		n, e := c.Read(make([]byte, 1), -1)
		a.result("read", n, e)
		again := a.open(in4, stream, 0)
		a.setInt(again, sol, syscall.SO_REUSEADDR, 1)
		a.errno("bind the port again", again.Bind(sockaddr(at)))
		a.errno("listen", again.Listen(1))
	}},
}

func TestABIRaw(t *testing.T) { runABI(t, abiRawTests) }
