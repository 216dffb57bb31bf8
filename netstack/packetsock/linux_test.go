package packetsock

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// Sockets are made, bound and named as on Linux.
func TestSocketsAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		for typ := range 16 {
			if typ == syscall.SOCK_PACKET {
				continue // Linux still has it
			}
			_, e := m.socket(typ, 0)
			m.errno(fmt.Sprintf("type %d", typ), e)
		}
		show := func(k kernel.Socket) {
			b := make([]byte, 128)
			n, e := k.LocalAddr(b)
			m.errno("getsockname "+name(b[:n]), e)
		}
		for _, protocol := range []int{0, 3, 0x300, 0x10003, -1, 0xb588} {
			k, _ := m.socket(syscall.SOCK_RAW, protocol)
			show(k)
		}
		k, _ := m.socket(syscall.SOCK_DGRAM, 0)
		_, e := k.PeerAddr(make([]byte, 128))
		m.errno("getpeername", e)
		m.errno("connect", k.Connect(sockaddr(3, 1)))
		m.errno("listen", k.Listen(1))
		_, e = k.Accept()
		m.errno("accept", e)
		m.errno("shutdown", k.Shutdown(0))
		m.log("readiness %#x", k.Readiness())
		for _, a := range [][]byte{nil, {17, 0}, sockaddr(3, 1)[:19], sockaddr(3, 1), append(sockaddr(3, 1), make([]byte, 108)...), sockaddr(0, 2), sockaddr(0x800, 0),
			sockaddr(3, 99), sockaddr(3, -1), append([]byte{2, 0}, sockaddr(3, 1)[2:]...)} {
			m.errno(fmt.Sprintf("bind %x", a), k.Bind(a))
			show(k)
		}
	})
}

// Options are set and read as on Linux, but for those below.
func TestOptionsAsOnLinux(t *testing.T) {
	const busyPollBudget, devmemDontNeed, rcvMark, rcvPriority, inqNew = 70, 80, 75, 82, 84
	others := map[[2]int]bool{ // that differ: docs/network.md
		{syscall.SOL_SOCKET, solsocket.BusyPoll}: true, {syscall.SOL_SOCKET, solsocket.PreferBusyPoll}: true, {syscall.SOL_SOCKET, busyPollBudget}: true,
		{syscall.SOL_SOCKET, solsocket.AttachBPF}: true, {syscall.SOL_SOCKET, solsocket.AttachReuseEBPF}: true, {syscall.SOL_SOCKET, solsocket.AttachReuseCBPF}: true,
		{syscall.SOL_SOCKET, devmemDontNeed}: true, {syscall.SOL_SOCKET, rcvMark}: true, {syscall.SOL_SOCKET, rcvPriority}: true,
		{syscall.SOL_SOCKET, solsocket.Cookie}: true, {syscall.SOL_SOCKET, solsocket.Meminfo}: true, {syscall.SOL_SOCKET, solsocket.NetnsCookie}: true,
		{syscall.SOL_SOCKET, syscall.SO_RCVTIMEO}: true, {syscall.SOL_SOCKET, syscall.SO_SNDTIMEO}: true, // the kernel layer's
		{syscall.SOL_SOCKET, 66}: true, {syscall.SOL_SOCKET, 67}: true,
	}
	for _, ring := range []int{5, 7, 10, 11, 12, 13, 14, 15, 17, 18, 19, 21, 22, 24} { // rings, fan-out, and headers of virtio
		others[[2]int{syscall.SOL_PACKET, ring}] = true
	}
	onBoth(t, func(m *machine) {
		for _, level := range []int{syscall.SOL_SOCKET, syscall.SOL_PACKET, 0, 6} {
			k, e := m.socket(syscall.SOCK_RAW, 0)
			m.ok("socket", e)
			for option := range 90 {
				if !others[[2]int{level, option}] {
					tryOption(m, k, level, option)
				}
			}
		}
	})
}

func tryOption(m *machine, k kernel.Socket, level, option int) {
	for _, size := range []int{0, 3, 4, 8, 40} {
		m.get(k, level, option, size)
	}
	if level == syscall.SOL_SOCKET && (option == syscall.SO_RCVBUF || option == syscall.SO_SNDBUF) {
		return // depends on net.core.rmem_max
	}
	for _, v := range []int{0, 1, 2, -1, 1 << 20} {
		if v == 2 && (option == syscall.SO_TIMESTAMPING || option == solsocket.TimestampingNew) {
			continue // times of sending, which are not known
		}
		for _, size := range []int{2, 4, 5, 8, 16} {
			b := make([]byte, 16)
			binary.NativeEndian.PutUint32(b, uint32(v))
			m.errno(fmt.Sprintf("setsockopt(%d, %d, %d) of %d bytes", level, option, v, size), k.SetOption(level, option, b[:size]))
			m.get(k, level, option, 16)
		}
	}
}

// The card's frames are received as on Linux.
func TestReceiveAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		raw, cooked := m.open(syscall.SOCK_RAW, typeAll, 2), m.open(syscall.SOCK_DGRAM, typeTest, 0)
		ip, lo := m.open(syscall.SOCK_RAW, 0x800, 2), m.open(syscall.SOCK_RAW, typeAll, 1)
		silent := m.open(syscall.SOCK_RAW, 0, 2)
		mreq := append(binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint32(nil, 2), syscall.PACKET_MR_PROMISC), make([]byte, 10)...)
		m.ok("promiscuous", raw.SetOption(syscall.SOL_PACKET, syscall.PACKET_ADD_MEMBERSHIP, mreq))
		for _, k := range []kernel.Socket{raw, cooked, ip} {
			m.setInt(k, syscall.SOL_PACKET, packetAuxData, 1)
		}
		for _, f := range [][]byte{
			frame(ownMAC, peerMAC, typeTest, strings.Repeat("a", 50)), frame(broadcastMAC, peerMAC, typeTest, "b"), frame(groupMAC, peerMAC, typeTest, ""),
			frame(otherMAC, peerMAC, typeTest, "other"), frame(ownMAC, peerMAC, 0x8100, "\x00\x05\x88\xb5tagged"),
			frame(ownMAC, peerMAC, 0x8100, "\xe0\x00\x88\xb5priority"),
		} {
			m.inject(f)
			m.receive(raw, 200, 0)
			if len(f) > headerSize {
				m.receive(cooked, 200, 0)
			}
		}
		for _, f := range [][]byte{frame(ownMAC, peerMAC, 0x88a8, "\x00\x07\x81\x00\x00\x08\x88\xb5twice"), frame(ownMAC, peerMAC, 3, "\xff\xff\x00"), frame(ownMAC, peerMAC, 5, "\xaa\xaa\x03\x00\x00"), frame(ownMAC, peerMAC, 0x800, "not IP"),
			frame(ownMAC, peerMAC, 0x8100, "\x00\x05\x08\x00not IP")} {
			m.inject(f)
			m.receive(raw, 200, 0)
		}
		m.inject(frame(ownMAC, peerMAC, 0x8100, "\x00\x05\x00\x01x")) // too short for its tag
		m.inject(frame(ownMAC, peerMAC, typeTest, "last"))
		m.receive(raw, 200, 0)
		m.receive(cooked, 200, 0)
		m.receive(ip, 200, 0)
		m.receive(ip, 200, 0)
		for _, k := range []kernel.Socket{cooked, ip, lo, silent} {
			m.nothing(k)
		}
	})
}

// Frames are sent, and seen by others, as on Linux.
func TestSendAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		raw, cooked := m.open(syscall.SOCK_RAW, typeAll, 2), m.open(syscall.SOCK_DGRAM, typeTest, 2)
		watch, quiet := m.open(syscall.SOCK_RAW, typeAll, 0), m.open(syscall.SOCK_RAW, typeAll, 0)
		m.setInt(quiet, syscall.SOL_PACKET, packetIgnoreOutgoing, 1)
		unbound, _ := m.socket(syscall.SOCK_DGRAM, 0)
		all, _ := m.socket(syscall.SOCK_RAW, 0x300)
		m.send(raw, frame(peerMAC, otherMAC, typeTest, "raw"), nil)
		m.left(typeTest)
		m.receive(watch, 200, 0)
		m.send(cooked, []byte("cooked"), sockaddr(typeTest, 2, peerMAC...))
		m.left(typeTest)
		m.receive(watch, 200, 0)
		m.receive(raw, 200, 0)
		m.send(unbound, []byte("length"), sockaddr(4, 2, peerMAC...))
		m.left(6)
		m.receive(watch, 200, 0)
		m.send(all, frame(peerMAC, ownMAC, typeTest, "another type"), sockaddr(0x1234, 2))
		m.receive(watch, 200, 0)
		m.send(all, frame(peerMAC, ownMAC, typeTest, "type of the frame"), sockaddr(0, 2))
		m.receive(watch, 200, 0)
		for range 2 {
			m.left(typeTest)
		}
		m.setInt(raw, syscall.SOL_PACKET, packetQdiscBypass, 1)
		m.send(raw, frame(peerMAC, ownMAC, typeTest, "not seen"), nil)
		m.left(typeTest)
		m.nothing(watch)
		m.nothing(quiet)
		for _, a := range [][]byte{{17}, sockaddr(typeTest, 2, peerMAC...)[:17], sockaddr(typeTest, 0, peerMAC...), sockaddr(typeTest, 77, peerMAC...), sockaddr(typeTest, -1),
			append([]byte{1, 0}, sockaddr(typeTest, 2, peerMAC...)[2:]...), sockaddr(typeTest, 2)} {
			m.send(unbound, []byte("x"), a)
			m.send(raw, frame(peerMAC, ownMAC, typeTest, ""), a)
		}
		long := sockaddr(typeTest, 2, peerMAC...)
		long[offLength] = 9
		m.send(unbound, []byte("x"), long)
		m.send(unbound, []byte("x"), nil)
		m.send(cooked, []byte("no address"), nil)
	})
}

// Lengths of frames are bounded as on Linux.
func TestLengthsAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		raw, cooked := m.open(syscall.SOCK_RAW, typeAll, 2), m.open(syscall.SOCK_DGRAM, typeTest, 2)
		for _, n := range []int{0, 1, 13, 14, 1499, 1500, 1501, 1504, 1505, 1514, 1515, 1518, 1519, 65536, 70000} {
			b := make([]byte, n)
			copy(b, frame(peerMAC, ownMAC, typeTest, ""))
			m.send(raw, b, nil)
			m.send(cooked, b, sockaddr(typeTest, 2, peerMAC...))
			m.send(cooked, b, sockaddr(0x8100, 2, peerMAC...))
			copy(b, frame(peerMAC, ownMAC, 0x8100, ""))
			m.send(raw, b, nil)
			m.send(raw, b, sockaddr(typeTest, 1))
			m.send(cooked, b, sockaddr(typeTest, 1))
		}
		n, e := raw.Write(frame(peerMAC, ownMAC, typeTest, "written"), -1)
		m.errno(fmt.Sprint("write ", n), e)
	})
}

// What is sent over lo is seen by those who watch it, and comes back, as on Linux.
func TestLoopbackAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		watch, sender, cooked := m.open(syscall.SOCK_RAW, typeAll, 1), m.open(syscall.SOCK_RAW, typeAll, 1), m.open(syscall.SOCK_DGRAM, typeTest, 1)
		m.setInt(watch, syscall.SOL_PACKET, packetAuxData, 1)
		for _, dst := range [][]byte{noMAC, ownMAC, broadcastMAC, groupMAC} {
			m.send(sender, frame(dst, peerMAC, typeTest, "over lo"), nil)
			m.receive(watch, 200, 0)
			m.receive(watch, 200, 0)
			m.receive(sender, 200, 0)
			m.receive(cooked, 200, 0)
		}
		m.send(cooked, []byte("no address"), nil)
		m.receive(watch, 200, 0)
		m.receive(watch, 200, 0)
		m.receive(cooked, 200, 0)
		m.udp(loopback, "a datagram")
		for range 4 { // the datagram, and the ICMP message that nobody listens
			m.receive(watch, 14, 0)
		}
		for _, k := range []kernel.Socket{watch, cooked} {
			m.nothing(k)
		}
	})
}

// Frames of the stack itself are seen by those who watch.
func TestStackIsSeenAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		watch, arp, ip := m.open(syscall.SOCK_DGRAM, typeAll, 2), m.open(syscall.SOCK_RAW, 0x806, 2), m.open(syscall.SOCK_DGRAM, 0x800, 2)
		for _, k := range []kernel.Socket{watch, arp, ip} {
			m.setInt(k, syscall.SOL_PACKET, packetAuxData, 1)
		}
		m.udp([4]byte{10, 0, 0, 2}, "hello")
		m.receive(watch, 200, 0)
		m.left(0x806)
		answer := "\x00\x01\x08\x00\x06\x04\x00\x02" + string(peerMAC) + "\x0a\x00\x00\x02" + string(ownMAC) + "\x0a\x00\x00\x01"
		m.inject(frame(ownMAC, peerMAC, 0x806, answer))
		m.receive(watch, 200, 0)
		m.receive(arp, 200, 0)
		m.receive(watch, 1, 0) // the datagram, whose identification and port differ
		m.nothing(ip)
		m.nothing(arp)
	})
}

// Filters, lengths of buffers, statistics and times are as on Linux.
func TestQueueAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		raw, cooked := m.open(syscall.SOCK_RAW, typeTest, 2), m.open(syscall.SOCK_DGRAM, typeTest, 2)
		for _, k := range []kernel.Socket{raw, cooked} {
			// Load the first byte and return it: 'R' of ownMAC is 82, of the data 7 or 0.
			m.errno("filter", k.SetOption(syscall.SOL_SOCKET, syscall.SO_ATTACH_FILTER, filterOption(program(0x30, 0, 0, 0, 0x16, 0, 0, 0))))
			m.setInt(k, syscall.SOL_SOCKET, solsocket.RxqOvfl, 1)
		}
		for _, data := range []string{"\x07" + strings.Repeat("a", 100), "\x00none", "\x07b"} {
			m.inject(frame(ownMAC, peerMAC, typeTest, data))
		}
		m.receive(raw, 10, syscall.MSG_PEEK)
		m.receive(raw, 10, syscall.MSG_TRUNC|syscall.MSG_PEEK)
		m.receive(raw, 10, 0)
		for _, k := range []kernel.Socket{raw, cooked} { // the length in them is wrong on Linux after MSG_PEEK
			m.setInt(k, syscall.SOL_PACKET, packetAuxData, 1)
		}
		m.receive(raw, 100, 0)
		m.receive(raw, 100, 0)
		m.receive(cooked, 100, 0)
		m.receive(cooked, 100, 0)
		m.nothing(raw)
		m.nothing(cooked)
		m.errno("MSG_OOB", second(raw.Receive(&kernel.Message{}, syscall.MSG_OOB)))
		m.errno("MSG_CMSG_CLOEXEC", second(raw.Receive(&kernel.Message{}, 0x40000000)))
		m.errno("MSG_WAITALL", second(raw.Receive(&kernel.Message{}, syscall.MSG_WAITALL)))
		m.errno("MSG_ERRQUEUE", second(raw.Receive(&kernel.Message{}, syscall.MSG_ERRQUEUE)))
		for range 2 {
			m.get(raw, syscall.SOL_PACKET, syscall.PACKET_STATISTICS, 8)
			m.get(cooked, syscall.SOL_PACKET, syscall.PACKET_STATISTICS, 8)
		}
		for _, option := range []int{syscall.SO_TIMESTAMP, syscall.SO_TIMESTAMPNS, solsocket.TimestampNew, solsocket.TimestampNSNew} {
			m.setInt(raw, syscall.SOL_SOCKET, option, 1)
			m.inject(frame(ownMAC, peerMAC, typeTest, "time"))
			m.receive(raw, 100, 0)
		}
		const software, received = 1 << 4, 1 << 3
		m.setInt(raw, syscall.SOL_SOCKET, syscall.SO_TIMESTAMPING, software|received)
		m.inject(frame(ownMAC, peerMAC, typeTest, "time"))
		m.receive(raw, 100, 0)
	})
}

func second(_ int, e syscall.Errno) syscall.Errno { return e }

// program makes instructions of a code, two jumps and a constant each.
func program(v ...uint32) (b []byte) {
	for ; len(v) >= 4; v = v[4:] {
		b = binary.NativeEndian.AppendUint16(b, uint16(v[0]))
		b = binary.NativeEndian.AppendUint32(append(b, byte(v[1]), byte(v[2])), v[3])
	}
	return b
}

// Requests of ioctl(2) are answered as on Linux.
func TestIoctlAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		k := m.open(syscall.SOCK_RAW, typeTest, 2)
		for _, req := range []uintptr{0x8933, syscall.SIOCGIFHWADDR, syscall.SIOCGIFADDR, syscall.SIOCGIFNETMASK, syscall.SIOCGIFMTU} {
			for _, name := range []string{"eth0", "lo", "none"} {
				b := ifreq(name)
				e := ioctl(k, req, b)
				m.errno(fmt.Sprintf("%#x of %s: %x", req, name, b[16:24]), e)
			}
		}
		b := make([]byte, 16)
		next := func(what string, req uintptr) {
			e := ioctl(k, req, b)
			m.errno(fmt.Sprintf("%s %x", what, b[:4]), e)
		}
		next("SIOCINQ", syscall.TIOCINQ)
		stamp := func() {
			clear(b)
			e := ioctl(k, syscall.SIOCGSTAMP, b)
			m.errno(fmt.Sprintf("SIOCGSTAMP, some time: %t", binary.NativeEndian.Uint64(b) > 1e9), e)
		}
		stamp()
		for range 2 {
			m.inject(frame(ownMAC, peerMAC, typeTest, "a frame"))
		}
		until(k, kernel.EventIn)
		clear(b)
		next("SIOCINQ", syscall.TIOCINQ)
		next("SIOCOUTQ", syscall.TIOCOUTQ)
		m.receive(k, 100, 0)
		stamp()
		m.receive(k, 100, 0)
		stamp()
		other := m.open(syscall.SOCK_RAW, typeTest, 2)
		m.setInt(other, syscall.SOL_SOCKET, syscall.SO_TIMESTAMP, 1)
		m.inject(frame(ownMAC, peerMAC, typeTest, "a frame"))
		m.receive(other, 100, 0)
		k = other
		stamp()
		m.errno("TCGETS", ioctl(k, syscall.TCGETS, make([]byte, 64)))
	})
}

// A card that goes takes the sockets' binding with it.
func TestRemovalAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		bound, none, all := m.open(syscall.SOCK_RAW, typeAll, 2), m.open(syscall.SOCK_RAW, 0, 2), m.open(syscall.SOCK_RAW, typeAll, 0)
		m.remove()
		for _, k := range []kernel.Socket{bound, none, all} {
			m.log("readiness %#x", k.Readiness()&^kernel.EventIn)
			b := make([]byte, 128)
			n, _ := k.LocalAddr(b)
			m.log("name %s", name(b[:n]))
			m.errno("receive", second(k.Receive(&kernel.Message{Buffers: [][]byte{make([]byte, 2000)}}, 0)))
			m.send(k, frame(peerMAC, ownMAC, typeTest, ""), nil)
			m.errno("bind", k.Bind(sockaddr(0, 1)))
			n, _ = k.LocalAddr(b)
			m.log("name %s", name(b[:n]))
		}
	})
}

// A card that is down is an error once, and receives again when it is up.
func TestDownAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		bound, none, all := m.open(syscall.SOCK_RAW, typeTest, 2), m.open(syscall.SOCK_RAW, 0, 2), m.open(syscall.SOCK_RAW, typeTest, 0)
		sockets := []kernel.Socket{bound, none, all}
		m.up(false)
		late, _ := m.socket(syscall.SOCK_RAW, 0)
		m.errno("bind", late.Bind(sockaddr(typeTest, 2)))
		sockets = append(sockets, late)
		for range 2 {
			for _, k := range sockets {
				m.log("readiness %#x", k.Readiness())
				b := make([]byte, 128)
				n, _ := k.LocalAddr(b)
				m.log("name %s", name(b[:n]))
				m.get(k, syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
				m.send(k, frame(peerMAC, ownMAC, typeTest, ""), sockaddr(typeTest, 2))
			}
		}
		m.up(true)
		m.inject(frame(ownMAC, peerMAC, typeTest, "up again"))
		for _, k := range []kernel.Socket{bound, all, late} {
			m.receive(k, 100, 0)
		}
		m.nothing(none)
	})
}

// Memberships are checked as on Linux.
func TestMembershipsAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		k, _ := m.socket(syscall.SOCK_RAW, 0)
		for index := range 4 {
			for typ := range 6 {
				for _, length := range []int{0, 5, 6, 7, 9} {
					for _, size := range []int{8, 15, 16, 17, 40, 48} {
						b := make([]byte, 48)
						b[0], b[4], b[6] = byte(index), byte(typ), byte(length)
						copy(b[8:], groupMAC)
						m.errno(fmt.Sprintf("add index %d type %d length %d, %d bytes", index, typ, length, size), k.SetOption(syscall.SOL_PACKET, syscall.PACKET_ADD_MEMBERSHIP, b[:size]))
						m.errno("drop", k.SetOption(syscall.SOL_PACKET, syscall.PACKET_DROP_MEMBERSHIP, b[:size]))
					}
				}
			}
		}
	})
}

// /proc/net/packet has a line for each socket, as on Linux.
func TestProcAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		m.open(syscall.SOCK_RAW, typeAll, 2)
		m.open(syscall.SOCK_DGRAM, 0, 1)
		for i, line := range strings.Split(string(m.proc("packet")), "\n") {
			f := strings.Fields(line)
			if i > 0 && len(f) == 9 {
				m.log("%d %v", strings.Index(line, " "+f[2]+" "), f[1:6]) // without address, memory, user and inode
				continue
			}
			m.log("%s", line)
		}
	})
}

// /proc/net/dev_mcast has the groups of the stack and of packet sockets, as on Linux.
func TestGroupsAsOnLinux(t *testing.T) {
	onBoth(t, func(m *machine) {
		show := func() { // in no order: Linux has that of joining
			lines := strings.Split(string(m.proc("dev_mcast")), "\n")
			slices.Sort(lines)
			m.log("%s", strings.Join(lines, "\n"))
		}
		a, _ := m.socket(syscall.SOCK_RAW, 0)
		b, _ := m.socket(syscall.SOCK_RAW, 0)
		show()
		all := []byte{1, 0, 0x5e, 0, 0, 1} // of 224.0.0.1
		for _, option := range []int{syscall.PACKET_ADD_MEMBERSHIP, syscall.PACKET_DROP_MEMBERSHIP} {
			for _, mac := range [][]byte{groupMAC, groupMAC, all} {
				m.ok("membership", member(a, option, 2, syscall.PACKET_MR_MULTICAST, mac))
				m.ok("membership", member(b, option, 2, syscall.PACKET_MR_MULTICAST, mac))
				show()
			}
		}
		m.ok("membership", member(a, syscall.PACKET_ADD_MEMBERSHIP, 1, syscall.PACKET_MR_MULTICAST, groupMAC))
		show()
		a.Release()
		show()
	})
}
