package netcalls

import (
	"encoding/binary"
	"syscall"
	"testing"
)

// Packet sockets see the packets of a TUN card, which have no link header, and send some; those of a TAP
// card have an Ethernet header.
func TestPacketsOfPorts(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		for _, card := range []struct {
			name  string
			flags int
		}{{"t", iffTun | iffNoPI}, {"e", iffTap | iffNoPI}} {
			fd := w.tun(card.name, card.flags)
			w.withoutIPv6(card.name)
			index := int(binary.NativeEndian.Uint32(w.ifreqIndex(card.name)))
			w.up(index)
			w.address("address", create, index, "10.1.0.1", 24)
			w.skip(fd)
			for _, typ := range []int{syscall.SOCK_RAW, syscall.SOCK_DGRAM} {
				s := w.packets(typ, index, syscall.ETH_P_ALL)
				frame := echo4()
				if card.flags&iffTap != 0 {
					frame = append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 0}, frame...)
				}
				w.write("echo", fd, frame)
				w.seen("received", s)
				to := make([]byte, 20)
				copy(to, le16(syscall.AF_PACKET))
				binary.BigEndian.PutUint16(to[2:], syscall.ETH_P_IP)
				copy(to[4:], le32(index))
				to[11] = 6
				if typ == syscall.SOCK_RAW {
					w.do("send", syscall.SYS_SENDTO, s, frame, len(frame), 0, to, len(to))
				} else {
					w.do("send", syscall.SYS_SENDTO, s, echo4(), len(echo4()), 0, to, len(to))
				}
				w.do("send nothing", syscall.SYS_SENDTO, s, frame, 0, 0, to, len(to))
				w.do("send too much", syscall.SYS_SENDTO, s, make([]byte, 1600), 1600, 0, to, len(to))
				if card.flags&iffTun != 0 {
					w.read("sent, or the answer", fd, 100)
				}
				w.do("close", syscall.SYS_CLOSE, s)
				w.skip(fd)
			}
			w.do("close", syscall.SYS_CLOSE, fd)
		}
	})
}

// packets is a packet socket for a protocol and an interface.
func (w *world) packets(typ, index, protocol int) int {
	w.t.Helper()
	s := w.must(syscall.SYS_SOCKET, syscall.AF_PACKET, typ|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	at := make([]byte, 20)
	copy(at, le16(syscall.AF_PACKET))
	binary.BigEndian.PutUint16(at[2:], uint16(protocol))
	copy(at[4:], le32(index))
	w.must(syscall.SYS_BIND, s, at, len(at))
	name, size := make([]byte, 20), le32(20)
	w.must(syscall.SYS_GETSOCKNAME, s, name, size)
	w.log("bound: type %x, %d bytes of an address, size %d", name[8:10], name[11], size[0])
	return s
}

// seen logs the first packet of IPv4 that a packet socket has received.
func (w *world) seen(what string, s int) {
	w.t.Helper()
	for {
		b, from, size := make([]byte, 200), make([]byte, 20), le32(20)
		n, e := w.call(syscall.SYS_RECVFROM, s, b, len(b), 0, from, size)
		if e != 0 {
			w.log("%s: %v", what, e)
			return
		}
		if protocol := binary.BigEndian.Uint16(from[2:]); protocol == syscall.ETH_P_IP && from[10] != 4 {
			w.log("%s: %x from type %x kind %d address %x", what, b[:n], from[8:10], from[10], from[12:12+from[11]])
			return
		}
	}
}
