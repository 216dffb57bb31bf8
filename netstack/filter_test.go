package netstack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// insn is a struct sock_filter.
type insn struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// Codes of instructions and offsets, linux/bpf_common.h and linux/filter.h.
const (
	ldW, ldH, ldB, ldLen = 0x20, 0x28, 0x30, 0x80
	ldIndB               = 0x50
	jeq, jge             = 0x15, 0x35
	retConst, retAcc     = 0x06, 0x16
	netOff, linkOff      = 0xfff00000, 0xffe00000
	metaOff              = 0xfffff000
)

// fprog returns a struct sock_fprog, and the program that it points to, which must live as long.
func fprog(program []insn) (val []byte, keep []byte) {
	for _, i := range program {
		keep = binary.NativeEndian.AppendUint16(keep, i.code)
		keep = binary.NativeEndian.AppendUint32(append(keep, i.jt, i.jf), i.k)
	}
	p := &struct {
		n      uint16
		filter unsafe.Pointer
	}{uint16(len(program)), unsafe.Pointer(unsafe.SliceData(keep))}
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)), keep
}

func (a *abi) filter(k kernel.Socket, program ...insn) {
	val, keep := fprog(program)
	a.errno("attach", k.SetOption(sol, syscall.SO_ATTACH_FILTER, val))
	a.kept = append(a.kept, keep)
}

// getFilter reads the filter of a socket with room for n instructions.
func (a *abi) getFilter(k kernel.Socket, n int) {
	b := make([]byte, n*bpf.InstructionSize)
	n, e := k.GetOption(sol, syscall.SO_ATTACH_FILTER, b)
	a.result(fmt.Sprintf("filter %x", b), n, e)
}

// datagram logs the next datagram of k, or that there is none before the mark that mark sends.
func (a *abi) datagram(k kernel.Socket) {
	a.until(k, readable)
	b := make([]byte, 200)
	n, e := k.Read(b, -1)
	a.result(fmt.Sprintf("%q", b[:n]), n, e)
}

// udpPair returns a connected sender to a socket that has an address.
func (a *abi) udpPair(family int, addr string) (to, from kernel.Socket) {
	to, from = a.open(family, dgram, 0), a.open(family, dgram, 0)
	a.errno("bind", to.Bind(sockaddr(addrPort(addr))))
	a.errno("connect", from.Connect(sockaddr(a.name(to))))
	return to, from
}

func (a *abi) write(k kernel.Socket, texts ...string) {
	for _, s := range texts {
		n, e := k.Write([]byte(s), -1)
		a.result("send", n, e)
	}
}

var abiFilterTests = []abiTest{
	{"errors", func(a *abi) {
		for _, c := range [][3]int{{in4, stream, 0}, {in4, dgram, 0}, {in6, dgram, 0}, {in4, syscall.SOCK_RAW, syscall.IPPROTO_ICMP}} {
			k := a.open(c[0], c[1], c[2])
			a.setInt(k, sol, syscall.SO_DETACH_FILTER, 0)
			a.getFilter(k, 4)
			a.filter(k)
			a.filter(k, insn{code: retConst, k: 1}, insn{code: ldW})
			a.filter(k, make([]insn, 5000)...)
			val, _ := fprog([]insn{{code: retConst}})
			a.errno("short", k.SetOption(sol, syscall.SO_ATTACH_FILTER, val[:15]))
			binary.NativeEndian.PutUint64(val[8:], 1)
			a.errno("bad pointer", k.SetOption(sol, syscall.SO_ATTACH_FILTER, val))
			binary.NativeEndian.PutUint64(val[8:], 0)
			a.errno("nil", k.SetOption(sol, syscall.SO_ATTACH_FILTER, val))
			a.filter(k, insn{code: ldLen}, insn{code: retAcc})
			for _, n := range []int{0, 1, 2, 3} {
				a.getFilter(k, n)
			}
			a.getInt(k, sol, solsocket.LockFilter)
			a.setInt(k, sol, solsocket.LockFilter, 1)
			a.setInt(k, sol, solsocket.LockFilter, 0)
			a.setInt(k, sol, syscall.SO_DETACH_FILTER, 0)
			a.filter(k, insn{code: ldLen}, insn{code: retAcc})
			a.filter(k)
			a.getFilter(k, 2)
		}
	}},
	{"detach", func(a *abi) {
		to, from := a.udpPair(in4, loopbackNoPort)
		a.filter(to, insn{code: retConst})
		a.write(from, "lost")
		a.getInt(to, sol, syscall.SO_ERROR)
		a.setInt(to, sol, syscall.SO_DETACH_FILTER, 0)
		a.setInt(to, sol, syscall.SO_DETACH_FILTER, 0)
		a.write(from, "not lost")
		a.datagram(to)
		a.log("poll %#x", to.Readiness())
	}},
	{"memory", func(a *abi) {
		k := a.open(in4, dgram, 0)
		long := make([]insn, bpf.MaxInstructions)
		for i := range long {
			long[i].code = retConst
		}
		a.filter(k, long...)
		a.filter(k, long...)
	}},
	{"udp", func(a *abi) {
		for _, c := range []struct {
			family int
			addr   string
		}{{in4, loopbackNoPort}, {in6, "[::1]:0"}} {
			to, from := a.udpPair(c.family, c.addr)
			a.filter(to, insn{ldB, 0, 0, 8}, insn{jeq, 0, 1, 'y'}, insn{code: retConst, k: 0xffffffff}, insn{code: retConst})
			a.setInt(to, sol, solsocket.RxqOvfl, 1)
			a.write(from, "no", "yes", "", "no", "yy")
			a.datagram(to)
			a.until(to, readable)
			m := kernel.Message{Buffers: [][]byte{make([]byte, 9)}, Control: make([]byte, 64)}
			n, e := to.Receive(&m, 0)
			a.result(fmt.Sprintf("%q control %x", m.Buffers[0], m.Control[:m.ControlLen]), n, e)
			for _, k := range []uint32{1, 8, 9, 11, 100} { // how much is kept
				a.filter(to, insn{code: retConst, k: k})
				a.write(from, "five5")
				a.datagram(to)
			}
		}
	}},
	{"what a program sees", func(a *abi) {
		loads := []insn{{ldB, 0, 0, 9}, {ldH, 0, 0, 4}, {ldH, 0, 0, 100}, {code: ldLen}, {ldB, 0, 0, netOff}, {ldB, 0, 0, netOff + 9},
			{ldH, 0, 0, netOff + 20 + 4}, {ldW, 0, 0, netOff + 16}, {ldW, 0, 0, netOff + 100}, {ldH, 0, 0, linkOff + 12}, {ldW, 0, 0, linkOff}, {ldB, 0, 0, linkOff + 14}}
		for at := uint32(0); at < 64; at += 4 {
			if at != 36 && at != 56 && at != 32 { // CPU, random number, hash
				loads = append(loads, insn{ldW, 0, 0, metaOff + at})
			}
		}
		text := string(bytes.Repeat([]byte("x"), 90))
		for _, c := range []struct {
			family int
			addr   string
		}{{in4, loopbackNoPort}, {in6, "[::1]:0"}} {
			to, from := a.udpPair(c.family, c.addr)
			for _, load := range loads {
				for _, shift := range []uint32{0, 8} { // the size of what arrives tells a byte of the value
					a.log("load %#x %#x >> %d", load.code, load.k, shift)
					a.filter(to, load, insn{0x74, 0, 0, shift}, insn{0x54, 0, 0, 0xff}, insn{0x94, 0, 0, 90}, insn{0x04, 0, 0, 8}, insn{code: retAcc})
					a.write(from, text)
					if load.k >= 100 && load.k < 200 { // beyond the end
						a.log("poll %#x", to.Readiness())
						continue
					}
					if load.k == netOff+100 {
						continue // differs between families
					}
					a.datagram(to)
				}
			}
		}
	}},
	{"raw", func(a *abi) {
		k := a.open(in4, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
		// Only echo requests, byte 20 after the IP header, and 25 bytes of them.
		a.filter(k, insn{ldB, 0, 0, 20}, insn{jeq, 0, 1, 8}, insn{code: retConst, k: 25}, insn{code: retConst})
		for range 2 {
			n, e := k.Send(&kernel.Message{Buffers: [][]byte{echoRequest(8, 77)}, Addr: sockaddr(addrPort("127.0.0.1:0"))}, 0)
			a.result("echo request", n, e)
		}
		for range 2 {
			a.until(k, readable)
			b := make([]byte, 64)
			n, e := k.Read(b, -1)
			a.result(fmt.Sprintf("type %d", b[20]), n, e)
		}
		a.log("poll %#x", k.Readiness())
	}},
	{"raw IPv6", func(a *abi) {
		k := a.open(in6, syscall.SOCK_RAW, syscall.IPPROTO_ICMPV6)
		a.filter(k, insn{ldB, 0, 0, 0}, insn{jeq, 0, 1, 129}, insn{code: retConst, k: 7}, insn{code: retConst})
		n, e := k.Send(&kernel.Message{Buffers: [][]byte{echoRequest(128, 78)}, Addr: sockaddr(addrPort("[::1]:0"))}, 0)
		a.result("echo request", n, e)
		a.until(k, readable)
		b := make([]byte, 64)
		n, e = k.Read(b, -1)
		a.result(fmt.Sprintf("type %d", b[0]), n, e)
		a.log("poll %#x", k.Readiness())
	}},
	{"ping", func(a *abi) {
		k := a.open(in4, dgram, syscall.IPPROTO_ICMP)
		for _, program := range [][]insn{
			{{code: retConst}},
			{{ldB, 0, 0, 0}, {jeq, 1, 0, 0}, {code: retConst}, {code: retConst, k: 9}}, // 9 bytes of echo replies
		} {
			a.filter(k, program...)
			n, e := k.Send(&kernel.Message{Buffers: [][]byte{echoRequest(8, 77)}, Addr: sockaddr(addrPort("127.0.0.1:0"))}, 0)
			a.result("echo request", n, e)
		}
		a.until(k, readable)
		n, e := k.Read(make([]byte, 64), -1)
		a.result("echo reply", n, e)
		a.log("poll %#x", k.Readiness())
	}},
	{"tcp", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		// What has data that begin with n is lost.
		header := insn{ldB, 0, 0, 12}
		drop := []insn{header, {0x54, 0, 0, 0xf0}, {0x74, 0, 0, 2}, {code: 0x07}, {code: ldLen}, {0x1d, 2, 0, 0}, {ldIndB, 0, 0, 0}, {jeq, 1, 0, 'n'},
			{code: retConst, k: 0xffffffff}, {code: retConst}}
		a.filter(l, drop...)
		c := a.open(in4, stream, 0)
		a.errno("connect", progress(c.Connect(sockaddr(at))))
		a.until(c, writable)
		a.until(l, readable)
		s, e := l.Accept()
		a.errno("accept", e)
		a.t.Cleanup(s.Release)
		a.getFilter(s, len(drop))
		a.getFilter(c, len(drop))
		a.write(c, "yes")
		a.datagram(s)
		a.write(c, "no")
		a.log("poll %#x", s.Readiness()&readable)
		a.setInt(s, sol, syscall.SO_DETACH_FILTER, 0)
		a.datagram(s) // sent again
	}},
	{"tcp, cut", func(a *abi) {
		c, s := a.connected(in4, loopbackNoPort)
		a.filter(s, insn{code: retConst, k: 1}) // no data at all, but the header
		a.write(c, "abcdef")
		a.log("poll %#x", s.Readiness()&readable)
		a.setInt(s, sol, syscall.SO_DETACH_FILTER, 0)
		a.datagram(s)
	}},
	{"connections that wait have the filter of the listener", func(a *abi) {
		l, at := a.listener(in4, loopbackNoPort)
		a.filter(l, insn{ldLen, 0, 0, 0}, insn{jge, 0, 1, 100}, insn{code: retConst}, insn{code: retConst, k: 0xffffffff})
		c := a.open(in4, stream, 0)
		a.errno("connect", progress(c.Connect(sockaddr(at))))
		a.until(c, writable)
		a.until(l, readable)
		n, e := c.Write(bytes.Repeat([]byte("x"), 200), -1)
		a.result("send", n, e)
		s, e := l.Accept()
		a.errno("accept", e)
		a.t.Cleanup(s.Release)
		a.log("poll %#x", s.Readiness()&readable)
	}},
}

func TestABIFilters(t *testing.T) {
	onEdited(t, newStack(t))
	runABI(t, abiFilterTests)
}

// Without the interpreter, and on a copy of gVisor that has no filters, there are none.
func TestNoFilters(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	h := tester{t, s}
	val, _ := fprog([]insn{{code: retConst}})
	k := h.socket(in4, dgram, 0)
	if e := k.SetOption(sol, syscall.SO_ATTACH_FILTER, val); e != syscall.ENOPROTOOPT {
		t.Errorf("attach: %v; want ENOPROTOOPT", e)
	}
	if e := k.SetOption(sol, syscall.SO_DETACH_FILTER, val[:4]); e != syscall.ENOENT {
		t.Errorf("detach: %v; want ENOENT", e)
	}
}
