package netstack

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// A fuzzed frame has a head of four bytes: flags, the offset in the first buffer, and its length.
// A length beyond the data is passed on as it is, as a device could.
const (
	fuzzToUs    = 1 << iota // the frame has the card's address
	fuzzChecked             // the card has verified the checksum
	fuzzSums                // checksums of IPv4 and ICMP are right
	fuzzLarge               // the offset counts 16 bytes
	fuzzOneMore             // there is a buffer more than needed
	fuzzTooFew              // there is a buffer less than needed
)

func fuzzFrame(flags, off byte, f []byte) []byte {
	b := []byte{flags, off, byte(len(f) >> 8), byte(len(f))}
	return append(b, f...)
}

// FuzzReceive: no sequence of frames, offsets and lengths from a device harms the stack.
func FuzzReceive(f *testing.F) {
	n := newHostile(f, floodRAM)
	c := &client{n: n, addr: addrPort("10.9.9.9:1024"), port: 80, seq: 1000}
	add := func(list ...[]byte) {
		var b []byte
		for _, frame := range list {
			b = append(b, fuzzFrame(fuzzToUs|fuzzChecked|fuzzSums, 0, frame)...)
		}
		f.Add(b)
	}
	src, src6 := netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("fd00::9")
	add(c.segment(flagSYN, 1000, synOptions(7), nil), c.segment(flagACK, 1001, timestamps(8, 9), []byte("data")))
	add(c.segment(flagSYN, 1000, nil, nil), c.segment(flagRST, 1001, nil, nil))
	add(packet4(src, syscall.IPPROTO_UDP, 0, 1, udpTo(53, []byte("question"))))
	add(packet4(src, syscall.IPPROTO_UDP, 0x2000, 1, make([]byte, 64)), packet4(src, syscall.IPPROTO_UDP, 8, 1, make([]byte, 9)))
	add(packet4(src, syscall.IPPROTO_ICMP, 0, 1, []byte{8, 0, 0, 0, 0, 7, 0, 1}))
	add(packet4(src, syscall.IPPROTO_ICMP, 0, 1, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, packet4(src, 17, 0, 0, udpTo(53, nil))[14:]...)))
	add(packet4(src, syscall.IPPROTO_IGMP, 0, 1, []byte{0x11, 1, 0, 0, 224, 0, 0, 1}))
	add(packet6(src6, 44, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, make([]byte, 16)...)))
	add(packet6(src6, 0, append([]byte{58, 0, 5, 2, 0, 0, 1, 0}, 128, 0, 0, 0, 0, 1, 0, 1)))
	add(icmp6(linkLocal(1), advertisement(1)), icmp6(linkLocal(1), []byte{135, 0, 0, 0, 0, 0, 0, 0}))
	add(ethernetTo(0x0806, append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, make([]byte, 20)...)))
	add(ethernetTo(0x8100, []byte{0, 5, 0x88, 0xb5, 1, 2}), ethernetTo(0x88a8, []byte{0, 5, 0x81, 0, 0}), ethernetTo(3, []byte{0xff}))
	f.Add(fuzzFrame(fuzzLarge|fuzzOneMore, 127, make([]byte, 100)))
	f.Add(append([]byte{fuzzToUs | fuzzTooFew, 0, 0xff, 0xff}, make([]byte, 3000)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := newHostile(t, floodRAM)
		defer n.s.Close()
		l := n.listen("80", 4)
		n.open()
		n.s.Watch(func(w *WatchedFrame) { checkWatched(t, w) })
		for len(b) >= 4 {
			b = b[n.receiveFuzzed(b):]
			n.frames()
			if k, e := l.Accept(); e == 0 {
				k.Read(make([]byte, 10), -1)
				k.Release()
			}
		}
		n.link.Receive([]*RxBuffer{n.rx}, 0, rxBufferSize, false) // the buffers are still in order
	})
}

// checkWatched checks what a packet socket relies on: the first part has both addresses, and the type follows.
func checkWatched(t *testing.T, w *WatchedFrame) {
	if len(w.Parts) == 0 || len(w.Parts[0]) < 2*header.EthernetAddressSize || w.Len() < header.EthernetMinimumSize || w.Network != header.EthernetMinimumSize || w.Type > bpf.Outgoing {
		t.Errorf("a frame of %d parts, %d bytes, type %d is shown", len(w.Parts), w.Len(), w.Type)
	}
	w.Bytes(0, make([]byte, w.Len()))
}

// open makes sockets of each kind that receive.
func (n *hostile) open() {
	for _, k := range []struct{ family, typ, protocol int }{
		{syscall.AF_INET6, syscall.SOCK_DGRAM, 0},
		{syscall.AF_INET, syscall.SOCK_DGRAM, syscall.IPPROTO_ICMP},
		{syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP},
		{syscall.AF_INET6, syscall.SOCK_RAW, syscall.IPPROTO_ICMPV6},
	} {
		s := n.socket(k.family, k.typ, k.protocol)
		addr := "0.0.0.0:53"
		if k.family == syscall.AF_INET6 {
			addr = "[::]:53"
		}
		s.Bind(sockaddr(addrPort(addr)))
		s.SetOption(syscall.IPPROTO_IP, syscall.IP_RECVERR, []byte{1, 0, 0, 0})
	}
}

// receiveFuzzed receives one frame of b and returns how many bytes of b it used.
func (n *hostile) receiveFuzzed(b []byte) int {
	flags, off, size := b[0], int(b[1]), int(binary.BigEndian.Uint16(b[2:]))
	data := b[4:min(4+size, len(b))]
	frame := append([]byte(nil), data...)
	if flags&fuzzToUs != 0 {
		copy(frame, hostileMAC[:])
	}
	if flags&fuzzSums != 0 {
		putChecksums(frame)
	}
	if flags&fuzzLarge != 0 {
		off *= 16
	}
	count := (off + size + rxBufferSize - 1) / rxBufferSize
	if flags&fuzzOneMore != 0 {
		count++
	}
	if flags&fuzzTooFew != 0 {
		count--
	}
	var bufs []*RxBuffer
	for rest, at := frame, off; len(bufs) < count; at = 0 {
		rx := NewRxBuffer()
		if at < rxBufferSize {
			rest = rest[copy(rx.Bytes()[at:], rest):]
		}
		bufs = append(bufs, rx)
	}
	n.link.Receive(bufs, off, size, flags&fuzzChecked != 0)
	for _, rx := range bufs {
		if len(rx.Bytes()) != rxBufferSize {
			n.t.Fatalf("a receive buffer has %d bytes after a frame", len(rx.Bytes()))
		}
	}
	return 4 + len(data)
}

// putChecksums makes the checksums of IPv4, ICMP and ICMPv6 right, so that changed packets get
// beyond them.
func putChecksums(f []byte) {
	switch {
	case len(f) >= 34 && binary.BigEndian.Uint16(f[12:]) == 0x0800:
		ip := header.IPv4(f[14:])
		size := int(ip.HeaderLength())
		if size < 20 || size > len(ip) {
			return
		}
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
		if m := ip[size:]; ip.Protocol() == syscall.IPPROTO_ICMP && len(m) >= 4 {
			binary.BigEndian.PutUint16(m[2:], 0)
			binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, 0))
		}
	case len(f) >= 58 && binary.BigEndian.Uint16(f[12:]) == 0x86dd && f[20] == syscall.IPPROTO_ICMPV6:
		ip := header.IPv6(f[14:])
		m := ip[40:]
		binary.BigEndian.PutUint16(m[2:], 0)
		sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(m)))
		binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, sum))
	}
}

// cmsg makes a control message.
func cmsg(level, typ int, data []byte) []byte {
	b := make([]byte, cmsgHeader, cmsgAlign(cmsgHeader+len(data)))
	binary.NativeEndian.PutUint64(b, uint64(cmsgHeader+len(data)))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(typ))
	return append(b, data...)[:cap(b)]
}

// FuzzControl: control messages of any form are sent or refused, and those that come with the
// datagram are well-formed in a buffer of any size.
func FuzzControl(f *testing.F) {
	f.Add(cmsg(syscall.IPPROTO_IP, syscall.IP_TTL, []byte{9, 0, 0, 0}), false, 100)
	f.Add(cmsg(syscall.IPPROTO_IP, syscall.IP_PKTINFO, make([]byte, 12)), false, 30)
	f.Add(cmsg(syscall.IPPROTO_IPV6, ipv6PktInfo, make([]byte, 20)), true, 0)
	f.Add(cmsg(syscall.IPPROTO_IPV6, ipv6HopLimit, []byte{255, 255, 255, 255}), true, 17)
	f.Add(append(cmsg(syscall.SOL_SOCKET, 1, nil), 1, 2, 3), true, 48)
	s := newStack(f)
	f.Fuzz(func(t *testing.T, control []byte, v6 bool, room int) {
		if room < 0 || room > 1<<12 {
			return
		}
		h := tester{t, s}
		family, addr, one := syscall.AF_INET, "127.0.0.1:0", []byte{1, 0, 0, 0}
		if v6 {
			family, addr = syscall.AF_INET6, "[::1]:0"
		}
		k := h.socket(family, syscall.SOCK_DGRAM, 0)
		h.ok("bind", k.Bind(sockaddr(addrPort(addr))))
		for _, o := range []optionKey{{syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS}, {syscall.IPPROTO_IP, syscall.IP_PKTINFO},
			{syscall.IPPROTO_IP, syscall.IP_RECVTTL}, {syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO},
			{syscall.IPPROTO_IPV6, syscall.IPV6_RECVHOPLIMIT}, {syscall.IPPROTO_IPV6, syscall.IPV6_RECVTCLASS}} {
			k.SetOption(o.level, o.name, one)
		}
		m := &kernel.Message{Buffers: [][]byte{[]byte("x")}, Addr: sockaddr(h.localAddr(k)), Control: control}
		if _, e := k.Send(m, 0); e != 0 {
			return
		}
		got := &kernel.Message{Buffers: [][]byte{make([]byte, 10)}, Addr: make([]byte, 128), Control: make([]byte, room)}
		if n, e := k.Receive(got, 0); e != 0 || n != 1 {
			t.Fatalf("receive = %d, %v", n, e)
		}
		if got.ControlLen < 0 || got.ControlLen > room {
			t.Fatalf("%d bytes of control messages in a buffer of %d", got.ControlLen, room)
		}
		for b := got.Control[:got.ControlLen]; len(b) != 0; {
			size := int(binary.NativeEndian.Uint64(b))
			if size < cmsgHeader || size > len(b) {
				t.Fatalf("a control message of %d bytes in %d", size, len(b))
			}
			b = b[min(cmsgAlign(size), len(b)):]
		}
	})
}

// FuzzIoctl: no request and argument makes an ioctl write beyond its argument.
func FuzzIoctl(f *testing.F) {
	name := append([]byte("lo"), make([]byte, ifreqSize-2)...)
	for _, req := range []int{syscall.TIOCINQ, syscall.TIOCOUTQ, syscall.SIOCGIFCONF, syscall.SIOCGIFNAME, syscall.SIOCGIFADDR,
		syscall.SIOCGIFMTU, syscall.SIOCGIFHWADDR, syscall.SIOCGIFNETMASK, syscall.SIOCADDRT, siocGIfIndex} {
		f.Add(uint64(req), name, 80)
	}
	f.Add(uint64(syscall.SIOCGIFCONF), []byte{255, 255, 255, 255}, 40)
	s := newStack(f)
	h := tester{f, s}
	sockets := []kernel.Socket{h.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0), h.socket(syscall.AF_INET6, syscall.SOCK_DGRAM, 0)}
	f.Fuzz(func(t *testing.T, req uint64, arg []byte, room int) {
		if room < 0 || room > 1<<12 {
			return
		}
		const guard = 0xa5
		// The largest argument is a struct ifreq; a list goes to memory of its own.
		memory, list := make([]byte, ifreqSize+8), make([]byte, room+8)
		for _, b := range [][]byte{memory, list} {
			for i := range b[len(b)-8:] {
				b[len(b)-8+i] = guard
			}
		}
		copy(memory[:ifreqSize], arg)
		if req == syscall.SIOCGIFCONF {
			binary.NativeEndian.PutUint32(memory, uint32(min(int32(binary.NativeEndian.Uint32(memory)), int32(room))))
			*(*unsafe.Pointer)(unsafe.Pointer(&memory[8])) = unsafe.Pointer(&list[0])
		}
		for _, k := range sockets {
			var a kernel.Args
			a.P[2] = unsafe.Pointer(&memory[0])
			k.(kernel.Ioctler).Ioctl(uintptr(req), a)
		}
		for _, b := range [][]byte{memory, list} {
			for _, v := range b[len(b)-8:] {
				if v != guard {
					t.Fatalf("ioctl(%#x) wrote beyond its argument", req)
				}
			}
		}
	})
}

// The calls of FuzzCalls, each with an argument of a byte.
const (
	callSocket = iota
	callBind
	callConnect
	callListen
	callAccept
	callShutdown
	callRelease
	callRead
	callWrite
	callSend
	callReceive
	callSetOption
	callGetOption
	callNames
	callKinds
)

// FuzzCalls: no sequence of socket calls makes the stack panic, and when all sockets are
// closed and time has passed, none of them is left.
func FuzzCalls(f *testing.F) {
	f.Add([]byte{callSocket, 0, callBind, 1, callListen, 5, callSocket, 0, callConnect, 1, callAccept, 0, callWrite, 9, callRead, 0x12, callRelease, 2})
	f.Add([]byte{callSocket, 1, callBind, 2, callSend, 2, callReceive, 0, callConnect, 2, callWrite, 1, callRead, 0})
	f.Add([]byte{callSocket, 3, callBind, 0, callSend, 0, callReceive, 0x80, callShutdown, 1})
	f.Add([]byte{callSocket, 4, callSetOption, 3, callGetOption, 3, callNames, 0, callConnect, 6, callShutdown, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New(Config{OnStack: func([]byte) bool { return false }, Memory: floodRAM})
		defer s.Close()
		r := callRun{s: s}
		for ; len(b) >= 2; b = b[2:] {
			r.call(b[0]%callKinds, b[1])
		}
		for _, k := range r.open {
			k.Release()
		}
		if s.socks.first != nil {
			t.Error("a socket is left")
		}
	})
}

// callRun has the sockets of one sequence of calls.
type callRun struct {
	s    *Stack
	open []kernel.Socket
}

// of returns one of the sockets, or nil.
func (r *callRun) of(arg byte) kernel.Socket {
	if len(r.open) == 0 {
		return nil
	}
	return r.open[int(arg>>4)%len(r.open)]
}

func (r *callRun) call(what, arg byte) {
	if what == callSocket {
		kinds := []struct{ family, typ, protocol int }{
			{syscall.AF_INET, syscall.SOCK_STREAM, 0}, {syscall.AF_INET, syscall.SOCK_DGRAM, 0},
			{syscall.AF_INET6, syscall.SOCK_STREAM, 0}, {syscall.AF_INET, syscall.SOCK_DGRAM, syscall.IPPROTO_ICMP},
			{syscall.AF_INET6, syscall.SOCK_DGRAM, 0}, {syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_UDP},
			{syscall.AF_INET6, syscall.SOCK_RAW, syscall.IPPROTO_ICMPV6},
		}
		k := kinds[int(arg)%len(kinds)]
		if len(r.open) == 16 {
			return
		}
		if s, e := r.s.NewSocket(k.family, k.typ, k.protocol); e == 0 {
			r.open = append(r.open, s)
		}
		return
	}
	if k := r.of(arg); k != nil {
		r.callOn(k, what, arg)
	}
}

// fuzzAddrs are addresses to bind and connect to; the last are none.
var fuzzAddrs = [][]byte{
	sockaddr(addrPort("127.0.0.1:0")), sockaddr(addrPort("127.0.0.1:80")), sockaddr(addrPort("[::1]:80")),
	sockaddr(addrPort("0.0.0.0:80")), sockaddr(addrPort("[::]:81")), sockaddr(addrPort("[::ffff:127.0.0.1]:80")),
	sockaddr(addrPort("224.0.0.1:9")), sockaddr(addrPort("10.0.0.1:80")), make([]byte, 16), {2}, nil,
}

func (r *callRun) callOn(k kernel.Socket, what, arg byte) {
	addr := fuzzAddrs[int(arg&15)%len(fuzzAddrs)]
	buf := make([]byte, 1+int(arg)*40)
	switch what {
	case callBind:
		k.Bind(addr)
	case callConnect:
		k.Connect(addr)
	case callListen:
		k.Listen(int(int8(arg)))
	case callAccept:
		if n, e := k.Accept(); e == 0 {
			r.open = append(r.open, n)
		}
	case callShutdown:
		k.Shutdown(int(arg & 3))
	case callRelease:
		for i := range r.open {
			if r.open[i] == k {
				r.open = append(r.open[:i:i], r.open[i+1:]...)
				break
			}
		}
		k.Release()
	case callRead:
		k.Read(buf, -1)
	case callWrite:
		k.Write(buf, -1)
	case callSend:
		k.Send(&kernel.Message{Buffers: [][]byte{buf, buf[:1]}, Addr: addr}, int(arg)<<4)
	case callReceive:
		k.Receive(&kernel.Message{Buffers: [][]byte{buf}, Addr: make([]byte, 128), Control: make([]byte, arg)}, int(arg))
	default:
		callOption(k, what, arg, buf)
	}
	k.Readiness()
}

func callOption(k kernel.Socket, what, arg byte, buf []byte) {
	levels := []int{syscall.SOL_SOCKET, syscall.IPPROTO_TCP, syscall.IPPROTO_IP, syscall.IPPROTO_IPV6}
	level, name := levels[arg&3], int(arg>>2)
	for i := range buf {
		buf[i] = arg >> (i % 8)
	}
	switch what {
	case callSetOption:
		k.SetOption(level, name, buf[:min(len(buf), 4+int(arg&15))])
	case callGetOption:
		k.GetOption(level, name, buf[:min(len(buf), int(arg&31))])
	case callNames:
		k.LocalAddr(make([]byte, 128))
		k.PeerAddr(make([]byte, 128))
	}
}
