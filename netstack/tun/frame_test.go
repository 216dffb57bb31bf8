package tun

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
)

// tcpPacket is a TCP packet with size bytes of data, after before bytes, and its shape. It has an option
// and the flags that only some of its segments may have.
func tcpPacket(six bool, before, size, segment int) ([]byte, shape) {
	const options = 4
	network := header.IPv4MinimumSize
	if six {
		network = header.IPv6MinimumSize
	}
	s := shape{segment: segment, network: before, transport: before + network, data: before + network + header.TCPMinimumSize + options, six: six}
	b := make([]byte, s.data+size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b[s.data:])
	src, dst := tcpip.AddrFrom4([4]byte{10, 0, 0, 9}), tcpip.AddrFrom4([4]byte{10, 0, 0, 1})
	if six {
		src, dst = tcpip.AddrFromSlice(netip.MustParseAddr("fd00::9").AsSlice()), tcpip.AddrFromSlice(netip.MustParseAddr("fd00::1").AsSlice())
		header.IPv6(b[before:]).Encode(&header.IPv6Fields{PayloadLength: uint16(len(b) - s.transport), TransportProtocol: header.TCPProtocolNumber,
			HopLimit: 64, SrcAddr: src, DstAddr: dst})
	} else {
		ip := header.IPv4(b[before:])
		ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b) - before), ID: 65530, TTL: 64, Protocol: syscall.IPPROTO_TCP, SrcAddr: src, DstAddr: dst})
		ip.SetChecksum(^ip.CalculateChecksum())
	}
	tcp := header.TCP(b[s.transport:])
	tcp.Encode(&header.TCPFields{SrcPort: 9, DstPort: 80, SeqNum: 1<<32 - 2000, AckNum: 7, DataOffset: header.TCPMinimumSize + options,
		Flags: header.TCPFlagAck | header.TCPFlagPsh | header.TCPFlagFin | tcpFlagCWR, WindowSize: 100})
	copy(tcp[header.TCPMinimumSize:], []byte{1, 1, 1, 0})
	tcp.SetChecksum(header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(len(tcp))))
	return b, s
}

// Segments are what TCP would have sent: RFC 9293 §3.1, RFC 791 §3.1, RFC 8200 §3, RFC 3168 §6.1.2.
func TestSegments(t *testing.T) {
	for _, six := range []bool{false, true} {
		for _, before := range []int{0, ethernet} {
			for _, size := range []int{0, 1, 99, 100, 101, 1000, 65000} {
				b, s := tcpPacket(six, before, size, 100)
				if !s.complete(b) {
					t.Fatalf("IPv6 %v: a packet of %d bytes is not complete", six, size)
				}
				list := segments(b, s)
				if want := max(1, (size+99)/100); len(list) != want {
					t.Fatalf("%d bytes are %d segments; want %d", size, len(list), want)
				}
				var data []byte
				for i, one := range list {
					if problem := s.wrong(one, i, len(data), i == len(list)-1); problem != "" {
						t.Fatalf("IPv6 %v, segment %d of %d bytes: %s", six, i, size, problem)
					}
					data = append(data, one[s.data:]...)
				}
				if !bytes.Equal(data, b[s.data:]) {
					t.Errorf("IPv6 %v: the segments of %d bytes have others", six, size)
				}
			}
		}
	}
}

// wrong says what is wrong with segment i, whose data begins at an offset, or nothing.
func (s *shape) wrong(b []byte, i, offset int, last bool) string {
	tcp := header.TCP(b[s.transport:])
	var pseudo uint16
	if s.six {
		ip := header.IPv6(b[s.network:])
		pseudo = header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
		if int(ip.PayloadLength()) != len(tcp) {
			return fmt.Sprint("payload length ", ip.PayloadLength())
		}
	} else {
		ip := header.IPv4(b[s.network:])
		pseudo = header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
		if int(ip.TotalLength()) != len(b)-s.network || !ip.IsChecksumValid() || ip.ID() != 65530+uint16(i) {
			return fmt.Sprintf("length %d, checksum %v, ID %d", ip.TotalLength(), ip.IsChecksumValid(), ip.ID())
		}
	}
	if checksum.Checksum(tcp, pseudo) != 0xffff {
		return "wrong checksum"
	}
	flags := header.TCPFlagAck
	if last {
		flags |= header.TCPFlagPsh | header.TCPFlagFin
	}
	if i == 0 {
		flags |= tcpFlagCWR
	}
	if want := uint32(1<<32-2000) + uint32(offset); tcp.SequenceNumber() != want || tcp.Flags() != flags {
		return fmt.Sprintf("sequence number %d, flags %v; want %d, %v", tcp.SequenceNumber(), tcp.Flags(), want, flags)
	}
	return ""
}

// forward has the stack forward packets: ip-sysctl.rst.
func (x *end) forward() {
	x.t.Helper()
	for _, path := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if e := x.s.Settings().Write(path, []byte("1\n")); e != 0 {
			x.t.Fatal(path, e)
		}
	}
}

// edited says that the stack under test is the images': TestEditedStack.
var edited = os.Getenv("YOLK_TEST_EDITED") != ""

// beside returns a second card of the stack, with its file.
func (x *end) beside(flags uint16, addresses ...string) *end {
	x.t.Helper()
	y := &end{x.t, x.s, x.d, &File{devices: x.d}}
	if _, e := y.f.attach("", flags); e != 0 {
		x.t.Fatal(e)
	}
	index := y.f.device.Load().port.Index()
	if e := x.s.SetUp(index, true); e != 0 {
		x.t.Fatal(e)
	}
	for _, a := range addresses {
		if e := x.s.AddAddress(index, netip.MustParsePrefix(a), netstack.AddressOptions{}); e != 0 {
			x.t.Fatal(e)
		}
	}
	y.readAll(x.t)
	return y
}

// What goes on over another card is made as it would be on a wire: cut, and with all checksums.
func TestForwarded(t *testing.T) {
	const flags = flagTun | flagNoPI | flagHeader
	x := newEnd(t, flags, 0, "10.0.0.1/24", "fd00::1/64")
	x.forward()
	out := x.beside(flags, "10.9.0.1/24", "fd09::1/64")
	for _, six := range []bool{false, true} {
		p, s := tcpPacket(six, 0, 3000, 1000)
		to, kind := []byte{10, 9, 0, 2}, byte(netstack.GSOTCPv4)
		if six {
			to, kind = netip.MustParseAddr("fd09::2").AsSlice(), netstack.GSOTCPv6
		}
		redirect(p, &s, to)
		h := []byte{needsChecksum, kind, 60, 0, 0xe8, 3, byte(s.transport), 0, header.TCPChecksumOffset, 0}
		if _, e := x.f.Write(append(h, p...), -1); e != 0 {
			t.Fatal(e)
		}
		for i, b := 0, make([]byte, 4000); i < 3; i++ {
			n, e := out.f.Read(b, -1)
			if e != 0 {
				t.Fatalf("IPv6 %v: %d segments and then %v; want 3", six, i, e)
			}
			if problem := s.wrong(b[shortHeader:n], i, 1000*i, i == 2); problem != "" {
				t.Errorf("IPv6 %v, segment %d: %s", six, i, problem)
			}
		}
		small, s := tcpPacket(six, 0, 100, 1000)
		redirect(small, &s, to)
		if _, e := x.f.Write(append([]byte{needsChecksum, 0, 0, 0, 0, 0, byte(s.transport), 0, header.TCPChecksumOffset, 0}, small...), -1); e != 0 {
			t.Fatal(e)
		}
		b := make([]byte, 4000)
		n, e := out.f.Read(b, -1)
		if e != 0 {
			t.Fatal(e)
		}
		if problem := s.wrong(b[shortHeader:n], 0, 0, true); problem != "" {
			t.Errorf("IPv6 %v: %s", six, problem)
		}
	}
}

// Packets of all kinds go on as they came, but for the hop count: RFC 1812 §4.2.2, RFC 8200 §4.
func TestForwardedAsTheyAre(t *testing.T) {
	if !edited {
		t.Skip("needs the edits of netstack/gvisor")
	}
	const flags = flagTun | flagNoPI | flagHeader
	x := newEnd(t, flags, 0, "10.0.0.1/24", "fd00::1/64")
	x.forward()
	out := x.beside(flags, "10.9.0.1/24", "fd09::1/64")
	packet4 := func(protocol, fragment byte, data ...byte) []byte {
		p := append([]byte{0x45, 0, 0, byte(20 + len(data)), 0, 1, fragment, 0, 64, protocol, 0, 0, 10, 0, 0, 9, 10, 9, 0, 2}, data...)
		header.IPv4(p).SetChecksum(^header.IPv4(p).CalculateChecksum())
		return p
	}
	packet6 := func(next byte, data ...byte) []byte {
		p := append([]byte{0x60, 0, 0, 0, 0, byte(len(data)), next, 64}, netip.MustParseAddr("fd00::9").AsSlice()...)
		return append(append(p, netip.MustParseAddr("fd09::2").AsSlice()...), data...)
	}
	udp := []byte{0, 9, 0, 9, 0, 10, 7, 7, 'h', 'i'} // with a wrong checksum
	options := append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp...)
	for name, p := range map[string][]byte{
		"UDP":                       packet4(17, 0, udp...),
		"a first fragment":          packet4(17, 0x20, append(udp, make([]byte, 6)...)...),
		"an unknown protocol":       packet4(99, 0, 1, 2, 3),
		"ICMP of an unknown type":   packet4(1, 0, 77, 0, 0, 0, 0, 0, 0, 0),
		"IPv6, UDP":                 packet6(17, udp...),
		"IPv6, options":             packet6(60, options...),
		"IPv6, an unknown protocol": packet6(99, 1, 2, 3),
		"IPv6, unknown ICMP":        packet6(58, 200, 0, 0, 0, 0, 0, 0, 0),
		"IPv6, a first fragment":    packet6(44, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, append(udp, make([]byte, 6)...)...)...),
	} {
		for _, before := range [][]byte{make([]byte, shortHeader), append([]byte{dataValid}, make([]byte, shortHeader-1)...)} {
			if before[0] == dataValid && (name == "UDP" || name == "IPv6, UDP") {
				continue // whoever says so may leave the checksum to the stack
			}
			if _, e := x.f.Write(append(before, p...), -1); e != 0 {
				t.Fatal(e)
			}
			b := make([]byte, 2000)
			n, e := out.f.Read(b, -1)
			if e != 0 {
				t.Errorf("%s, %x: %v", name, before[0], e)
				continue
			}
			want := append([]byte(nil), p...)
			if p[0] == 0x45 {
				want[8]--
				header.IPv4(want).SetChecksum(0)
				header.IPv4(want).SetChecksum(^header.IPv4(want).CalculateChecksum())
			} else {
				want[7]--
			}
			if got := b[shortHeader:n]; !bytes.Equal(got, want) {
				t.Errorf("%s, %x:\n%x; want\n%x", name, before[0], got, want)
			}
		}
	}
}

// redirect gives a packet another destination, with the sum of the pseudo-header that follows from it.
func redirect(b []byte, s *shape, to []byte) {
	tcp := header.TCP(b[s.transport:])
	src, dst := tcpip.AddrFromSlice(b[s.network+12:][:4]), tcpip.AddrFromSlice(to)
	if s.six {
		src = tcpip.AddrFromSlice(b[s.network+8:][:16])
		copy(b[s.network+24:], to)
	} else {
		ip := header.IPv4(b[s.network:])
		copy(ip[16:], to)
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
	}
	tcp.SetChecksum(header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(len(tcp))))
}

// FuzzWrite: nothing that a program writes harms the stack, and what the stack sends is read. The first
// bytes say which card; then come frames, each with its length before it.
func FuzzWrite(f *testing.F) {
	flags := []uint16{flagTun | flagNoPI, flagTun, flagTun | flagNoPI | flagHeader, flagTun | flagHeader, flagTap | flagNoPI, flagTap | flagHeader}
	const everything = offloadChecksum | 2 // segments too, and the stack forwards
	framed := func(kind byte, list ...[]byte) []byte {
		b := []byte{kind, everything}
		for _, p := range list {
			b = append(append(b, byte(len(p)>>8), byte(len(p))), p...)
		}
		return b
	}
	for _, six := range []bool{false, true} {
		p, s := tcpPacket(six, 0, 3000, 1000)
		h := []byte{needsChecksum, netstack.GSOTCPv4, 60, 0, 0xe8, 3, byte(s.transport), 0, header.TCPChecksumOffset, 0}
		if six {
			h[1] = netstack.GSOTCPv6
		}
		f.Add(framed(0, p))
		f.Add(framed(1, append([]byte{0, 0, 8, 0}, p...)))
		f.Add(framed(2, append(h, p...), append(h, p[:s.data]...)))
		f.Add(framed(3, append(append([]byte{0, 0, 8, 0}, h...), p...)))
		tap := append(make([]byte, 12), 8, 0)
		f.Add(framed(4, append(tap, p...), tap, []byte{1}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		kind := flags[int(b[0])%len(flags)]
		x := newEnd(t, kind, uint32(b[1])&offloadChecksum*(offloadChecksum|offloadTSO4|offloadTSO6), "10.0.0.1/24", "fd00::1/64")
		defer x.s.Close()
		l := x.socket(syscall.AF_INET6)
		if e := l.Bind(sockaddr("[::]:80")); e != 0 || l.Listen(4) != 0 {
			t.Fatal(e)
		}
		if b[1]&2 != 0 && edited {
			x.forward()
		}
		for b = b[2:]; len(b) >= 2; {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			frame := append([]byte(nil), b[2:2+n]...)
			b = b[2+n:]
			if got, e := x.f.Write(frame, -1); e != 0 && e != syscall.EINVAL || e == 0 && got != n {
				t.Fatalf("write of %x: %d, %v", frame, got, e)
			}
			x.readAll(t)
		}
		x.echo(t, kind)
	})
}

// readAll reads what the stack sends.
func (x *end) readAll(t testing.TB) {
	for b := make([]byte, 1<<17); ; {
		if _, e := x.f.Read(b, -1); e != 0 {
			if e != syscall.EAGAIN {
				t.Fatal(e)
			}
			return
		}
	}
}

// echo pings the stack, which has to answer.
func (x *end) echo(t *testing.T, kind uint16) {
	p := []byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 0, 77, 10, 0, 0, 1, 8, 0, 0, 0, 0, 7, 0, 9}
	ip := header.IPv4(p)
	ip.SetChecksum(^ip.CalculateChecksum())
	header.ICMPv4(p[20:]).SetChecksum(^checksum.Checksum(p[20:], 0))
	if kind&flagTap != 0 {
		return // its address could have changed owner: answers wait for ARP
	}
	dev := x.f.device.Load()
	l := dev.layout()
	before := make([]byte, l.size())
	if l.info {
		before[2] = 8
	}
	if _, e := x.f.Write(append(before, p...), -1); e != 0 {
		t.Fatal(e)
	}
	for b := make([]byte, 1<<17); ; {
		if !wait(x.f, kernel.EventIn, nil) {
			t.Fatal("the stack does not answer")
		}
		n, e := x.f.Read(b, -1)
		if e != 0 {
			t.Fatal(e)
		}
		if got := b[l.size():n]; len(got) == 28 && got[9] == 1 && got[20] == 0 {
			return
		}
	}
}
