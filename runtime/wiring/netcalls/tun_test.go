package netcalls

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"unsafe"
)

// Other requests of /dev/net/tun.
const (
	tunSetPersist    = 0x400454cb
	tunSetLink       = 0x400454cd
	tunSetOffload    = 0x400454d0
	tunGetSendBuffer = 0x800454d3
	tunSetSendBuffer = 0x400454d4
	tunGetHeaderSize = 0x800454d7
	tunSetHeaderSize = 0x400454d8
	tunSetLittle     = 0x400454dc
	tunGetLittle     = 0x800454dd
	tunSetBig        = 0x400454de
	tunSetCarrier    = 0x400454e2
	tunGetFeatures   = 0x800454cf
	iffNAPI          = 0x0010
	iffNAPIFrags     = 0x0020
	iffMultiQueue    = 0x0100
	iffOneQueue      = 0x2000
	iffExclusive     = 0x8000
	getIndex         = 0x8933
)

func (w *world) open(flags int) int {
	return w.must(syscall.SYS_OPENAT, -100, "/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|flags, 0)
}

func (w *world) write(what string, fd int, b []byte) {
	w.do(what, syscall.SYS_WRITE, fd, b, len(b))
}

// read logs a frame, without fields that two systems give other values.
func (w *world) read(what string, fd, size int) []byte {
	b := make([]byte, max(size, 1))
	n, e := w.call(syscall.SYS_READ, fd, b, size)
	if e != 0 {
		w.log("%s: %v", what, e)
		return nil
	}
	w.log("%s: %d bytes", what, n)
	return b[:n]
}

// poll logs what poll(2) says of a file.
func (w *world) poll(what string, fd int) {
	p := make([]byte, 8)
	binary.NativeEndian.PutUint32(p, uint32(fd))
	binary.NativeEndian.PutUint16(p[4:], 5) // POLLIN, POLLOUT
	n := w.must(syscall.SYS_POLL, p, 1, 0)
	w.log("%s: poll %d, %#x", what, n, binary.NativeEndian.Uint16(p[6:]))
}

func TestTunInterface(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		fd := w.open(syscall.O_NONBLOCK)
		w.poll("no card", fd)
		w.read("no card", fd, 100)
		w.write("no card", fd, make([]byte, 30))
		w.do("seek", syscall.SYS_LSEEK, fd, 0, 0)
		w.ifreq("no card, TUNGETIFF", fd, tunGetInterface, "")
		for _, c := range []struct {
			name  string
			flags int
		}{{"", 0}, {"a", 0}, {"a/b", iffTun}, {"a%d%d", iffTun}, {"a%s", iffTun}, {"lo", iffTun}, {"..", iffTap}} {
			w.ifreq(fmt.Sprintf("%q %#x", c.name, c.flags), fd, tunSetInterface, c.name, le16(c.flags)...)
		}
		w.ifreq("pattern", fd, tunSetInterface, "x%dy", le16(iffTun|iffNoPI)...)
		w.ifreq("again", fd, tunSetInterface, "z", le16(iffTun)...)
		w.ifreq("TUNGETIFF", fd, tunGetInterface, "")
		w.ifreq("busy", w.open(0), tunSetInterface, "x0y", le16(iffTun|iffNoPI)...)
		w.ifreq("other kind", w.open(0), tunSetInterface, "x0y", le16(iffTap|iffNoPI)...)
		w.ifreq("exclusive", w.open(0), tunSetInterface, "x0y", le16(iffTun|iffExclusive)...)
		second := w.open(0)
		w.ifreq("next", second, tunSetInterface, "x%dy", le16(iffTun|iffHeader|iffNoPI)...)
		w.ifreq("TUNGETIFF", second, tunGetInterface, "")
		w.ifreq("no name", w.open(0), tunSetInterface, "", le16(iffTun)...)
		w.ifreq("no name", w.open(0), tunSetInterface, "", le16(iffTap)...)
		w.show(syscall.RTM_GETLINK)
		w.do("close", syscall.SYS_CLOSE, second)
		w.do("persist", syscall.SYS_IOCTL, fd, tunSetPersist, 1)
		w.ifreq("TUNGETIFF", fd, tunGetInterface, "")
		w.do("close", syscall.SYS_CLOSE, fd)
		w.show(syscall.RTM_GETLINK)
		fd = w.open(syscall.O_NONBLOCK)
		w.ifreq("take it again", fd, tunSetInterface, "x0y", le16(iffTun|iffNoPI)...)
		w.show(syscall.RTM_GETLINK)
		w.up(2)
		w.do("not persist", syscall.SYS_IOCTL, fd, tunSetPersist, 0)
		w.set("remove", syscall.RTM_DELLINK, 0, linkHeader(2, 0, 0))
		w.poll("removed", fd)
		w.read("removed", fd, 100)
		w.write("removed", fd, make([]byte, 30))
		w.ifreq("removed, TUNGETIFF", fd, tunGetInterface, "")
		w.do("close", syscall.SYS_CLOSE, fd)
		w.show(syscall.RTM_GETLINK)
	})
}

func TestTunOptions(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		for _, flags := range []int{iffTun | iffNoPI | iffHeader, iffTap} {
			fd := w.tun("t", flags)
			for _, v := range []int{0, 1, 2, 3, 6, 7, 8, 9, 15, 1 << 10} {
				w.do(fmt.Sprint("offload ", v), syscall.SYS_IOCTL, fd, tunSetOffload, v)
			}
			number := func(what string, req, v int) {
				b := le32(v)
				_, e := w.call(syscall.SYS_IOCTL, fd, req, b)
				w.log("%s %d: %d %v", what, v, binary.NativeEndian.Uint32(b), e)
			}
			for _, v := range []int{0, 9, 10, 12, 20} {
				number("header size", tunSetHeaderSize, v)
				number("header size is", tunGetHeaderSize, 0)
			}
			number("send buffer is", tunGetSendBuffer, 0)
			number("send buffer", tunSetSendBuffer, -1)
			number("send buffer", tunSetSendBuffer, 5000)
			number("send buffer is", tunGetSendBuffer, 0)
			for _, v := range []int{1, 5, 0} {
				number("little endian", tunSetLittle, v)
				number("little endian is", tunGetLittle, 0)
			}
			number("big endian", tunSetBig, 1)
			w.do("unknown", syscall.SYS_IOCTL, fd, 0x5499, 0)
			w.do("FIONREAD", syscall.SYS_IOCTL, fd, 0x541b, le32(0))
			w.up(int(binary.NativeEndian.Uint32(w.ifreqIndex("t"))))
			w.do("link type", syscall.SYS_IOCTL, fd, tunSetLink, 1)
			w.do("close", syscall.SYS_CLOSE, fd)
		}
	})
}

// ifreqIndex returns the index of a name.
func (w *world) ifreqIndex(name string) []byte {
	fd := w.must(syscall.SYS_SOCKET, in4, syscall.SOCK_DGRAM, 0)
	defer w.must(syscall.SYS_CLOSE, fd)
	r := make([]byte, 40)
	copy(r, name)
	w.must(syscall.SYS_IOCTL, fd, getIndex, r)
	return r[16:20]
}

// echo4 is an ICMP echo request (RFC 792) from 10.1.0.2 to 10.1.0.1.
func echo4() []byte {
	p := []byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 10, 1, 0, 2, 10, 1, 0, 1, 8, 0, 0, 0, 0, 7, 0, 9}
	binary.BigEndian.PutUint16(p[10:], sum(p[:20]))
	binary.BigEndian.PutUint16(p[22:], sum(p[20:]))
	return p
}

// sum is the checksum of RFC 1071.
func sum(b []byte) uint16 {
	s := uint32(0)
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// What is written comes to the stack, which answers; frames that are none, and a card that is down, are
// refused.
func TestTunFrames(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		for _, kind := range []struct {
			name   string
			flags  int
			before []byte
		}{
			{"plain", iffTun | iffNoPI, nil},
			{"info", iffTun, []byte{0, 0, 8, 0}},
			{"header", iffTun | iffNoPI | iffHeader, make([]byte, 10)},
			{"both", iffTun | iffHeader, append([]byte{0, 0, 8, 0}, make([]byte, 10)...)},
		} {
			fd := w.tun(kind.name, kind.flags)
			w.withoutIPv6(kind.name)
			index := int(binary.NativeEndian.Uint32(w.ifreqIndex(kind.name)))
			with := func(p []byte) []byte { return append(append([]byte(nil), kind.before...), p...) }
			w.write("nothing, down", fd, nil)
			w.write("not IP, down", fd, with([]byte{0xf0, 1, 2, 3}))
			w.write("a frame, down", fd, with(echo4()))
			w.poll("down", fd)
			w.up(index)
			w.address("address", create, index, "10.1.0.1", 24)
			w.skip(fd)
			w.write("nothing", fd, nil)
			w.write("one byte", fd, []byte{0x45})
			w.write("not IP", fd, with([]byte{0xf0, 1, 2, 3}))
			w.read("nothing there", fd, 100)
			w.write("echo", fd, with(echo4()))
			if got := w.answer("answer", fd, len(kind.before)); got != nil {
				ip := got[len(kind.before):]
				w.log("%x type %x from %x to %x", got[:len(kind.before)], ip[20:22], ip[12:16], ip[16:20])
			}
			w.write("echo", fd, with(echo4()))
			w.answer("short read", fd, len(kind.before)+10)
			w.skip(fd)
			w.poll("up", fd)
			w.do("close", syscall.SYS_CLOSE, fd)
			w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		}
	})
}

// The buffers of writev(2) are one frame, and a frame is read into those of readv(2).
func TestTunVectors(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		fd := w.tun("t", iffTun|iffNoPI)
		w.withoutIPv6("t")
		w.up(2)
		w.address("address", create, 2, "10.1.0.1", 24)
		w.skip(fd)
		p := echo4()
		w.do("writev", syscall.SYS_WRITEV, fd, vector(p[:10], nil, p[10:25], p[25:]), 4)
		poll := append(le32(fd), 1, 0, 0, 0)
		w.must(syscall.SYS_POLL, poll, 1, 10_000)
		a, b := make([]byte, 20), make([]byte, 100)
		w.do("readv", syscall.SYS_READV, fd, vector(a, b), 2)
		w.log("from %x to %x, type %d", a[12:16], a[16:20], b[0])
		w.do("readv again", syscall.SYS_READV, fd, vector(a, b), 2)
	})
}

// vectors keeps buffers in the heap, whose addresses are numbers in an array of struct iovec.
var vectors [][]byte

// vector is such an array.
func vector(list ...[]byte) []byte {
	vectors = list
	var v []byte
	for _, b := range list {
		v = binary.NativeEndian.AppendUint64(v, uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))))
		v = binary.NativeEndian.AppendUint64(v, uint64(len(b)))
	}
	return v
}

// answer waits for a frame and reads it; at most size bytes if that is more than the headers'.
func (w *world) answer(what string, fd, size int) []byte {
	p := make([]byte, 8)
	binary.NativeEndian.PutUint32(p, uint32(fd))
	binary.NativeEndian.PutUint16(p[4:], 1)
	if n := w.must(syscall.SYS_POLL, p, 1, 10_000); n != 1 {
		w.log("%s: none", what)
		return nil
	}
	if what == "short read" {
		return w.read(what, fd, size)
	}
	return w.read(what, fd, 2000)
}

// withoutIPv6 turns IPv6 off for a card, over which the system then sends nothing by itself, now or later.
func (w *world) withoutIPv6(name string) {
	fd, e := w.call(syscall.SYS_OPENAT, -100, "/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", syscall.O_WRONLY, 0)
	if e != 0 {
		return // there is no IPv6
	}
	w.must(syscall.SYS_WRITE, fd, []byte("1"), 1)
	w.must(syscall.SYS_CLOSE, fd)
}

// skip reads what there is.
func (w *world) skip(fd int) {
	for b := make([]byte, 2000); ; {
		if _, e := w.call(syscall.SYS_READ, fd, b, len(b)); e != 0 {
			return
		}
	}
}

// Headers of segments that do not fit the frame are refused.
func TestTunHeaders(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		fd := w.tun("t", iffTun|iffNoPI|iffHeader)
		w.withoutIPv6("t")
		w.up(2)
		w.address("address", create, 2, "10.1.0.1", 24)
		tcp := append(append([]byte(nil), echo4()[:20]...), make([]byte, 40)...)
		tcp[3], tcp[9], tcp[32] = 60, 6, 5<<4
		head := func(flags, kind byte, size, segment, start, offset int) []byte {
			h := append([]byte{flags, kind}, le16(size)...)
			return append(append(append(h, le16(segment)...), le16(start)...), le16(offset)...)
		}
		for _, c := range []struct {
			name   string
			header []byte
		}{
			{"checksum", head(1, 0, 0, 0, 20, 16)},
			{"checksum beyond", head(1, 0, 0, 0, 20, 39)},
			{"checksum far", head(1, 0, 0, 0, 65535, 65535)},
			{"header beyond", head(0, 0, 61, 0, 0, 0)},
			{"segments", head(1, 1, 40, 10, 20, 16)},
			{"segments of 0", head(1, 1, 40, 0, 20, 16)},
			{"segments of another IP", head(1, 4, 40, 10, 20, 16)},
			{"unknown", head(1, 9, 40, 10, 20, 16)},
		} {
			w.write(c.name, fd, append(c.header, tcp...))
		}
	})
}

// Subscribers of rtnetlink's groups are told what happens to a card.
func TestNotices(t *testing.T) {
	for name, step := range map[string]func(w *world, fd int){
		"up": func(w *world, fd int) { w.up(2) },
		"mtu": func(w *world, fd int) {
			w.set("mtu", syscall.RTM_NEWLINK, 0, linkHeader(2, 0, 0), attr{syscall.IFLA_MTU, le32(1400)})
		},
		"address": func(w *world, fd int) { w.address("address", create, 2, "10.1.0.1", 24) },
		"removed": func(w *world, fd int) { w.do("close", syscall.SYS_CLOSE, fd) },
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, func(w *world) {
				w.up(1)
				fd := w.tun("t", iffTun|iffNoPI)
				s := w.must(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
				addr := make([]byte, 12)
				copy(addr, le16(syscall.AF_NETLINK))
				copy(addr[8:], le32(1|0x10)) // RTMGRP_LINK, RTMGRP_IPV4_IFADDR
				w.must(syscall.SYS_BIND, s, addr, len(addr))
				timeout := &syscall.Timeval{Usec: 400_000}
				w.must(syscall.SYS_SETSOCKOPT, s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, unsafe.Pointer(timeout), 16)
				step(w, fd)
				last := ""
				for _, m := range w.receive(s, 0) {
					if text := w.text(&m); text != "" && text != last { // Linux says some things twice
						w.log("type %d: %s", m.Header.Type, text)
						last = text
					}
				}
				w.must(syscall.SYS_CLOSE, s)
			})
		})
	}
}

// The requests of netdevice(7) that Go programs make.
func TestIoctls(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		w.tun("t", iffTun|iffNoPI)
		fd := w.must(syscall.SYS_SOCKET, in4, syscall.SOCK_DGRAM, 0)
		inet := func(b ...byte) []byte { return append(append(le16(in4), 0, 0), b...) }
		w.ifreq("MTU", fd, syscall.SIOCSIFMTU, "t", le32(1420)...)
		w.ifreq("MTU is", fd, syscall.SIOCGIFMTU, "t")
		w.ifreq("small MTU", fd, syscall.SIOCSIFMTU, "t", le32(10)...)
		w.ifreq("MTU of none", fd, syscall.SIOCSIFMTU, "none", le32(1420)...)
		w.ifreq("mask without address", fd, syscall.SIOCSIFNETMASK, "t", inet(255, 255, 255, 0)...)
		w.ifreq("name", fd, syscall.SIOCSIFNAME, "t", []byte("u\x00")...)
		w.ifreq("name while it is taken", fd, syscall.SIOCSIFNAME, "u", []byte("lo\x00")...)
		w.ifreq("address", fd, syscall.SIOCSIFADDR, "u", inet(10, 7, 0, 1)...)
		w.ifreq("address is", fd, syscall.SIOCGIFADDR, "u")
		w.ifreq("mask", fd, syscall.SIOCSIFNETMASK, "u", inet(255, 255, 0, 0)...)
		w.ifreq("mask is", fd, syscall.SIOCGIFNETMASK, "u")
		w.ifreq("bad mask", fd, syscall.SIOCSIFNETMASK, "u", inet(255, 0, 255, 0)...)
		w.ifreq("up", fd, syscall.SIOCSIFFLAGS, "u", le16(syscall.IFF_UP|syscall.IFF_POINTOPOINT|syscall.IFF_NOARP|syscall.IFF_MULTICAST)...)
		w.ifreq("flags are", fd, syscall.SIOCGIFFLAGS, "u")
		w.show(syscall.RTM_GETLINK, syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		w.ifreq("down", fd, syscall.SIOCSIFFLAGS, "u", le16(syscall.IFF_POINTOPOINT|syscall.IFF_NOARP|syscall.IFF_MULTICAST)...)
		w.ifreq("no address", fd, syscall.SIOCSIFADDR, "u", inet(0, 0, 0, 0)...)
		w.ifreq("address is", fd, syscall.SIOCGIFADDR, "u")
		w.ifreq("group", fd, syscall.SIOCSIFADDR, "u", inet(224, 0, 0, 1)...)
		w.ifreq("IPv6 address", fd, syscall.SIOCSIFADDR, "u", le16(in6)...)
		w.show(syscall.RTM_GETLINK, syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
	})
}
