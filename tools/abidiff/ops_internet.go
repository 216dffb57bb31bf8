package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// internetOps are calls on UDP and TCP sockets over the loopback interface.
var internetOps = []*op{
	{name: "inet", args: []*kind{newSlot, enum(internetTypes, 0, 1, 2, 3)}, weight: 8, run: runInet},
	{name: "in_bind", args: []*kind{slot(isInternet), endpoint}, weight: 6, run: runEndpoint(unix.SYS_BIND)},
	{name: "in_connect", args: []*kind{slot(isInternet), endpoint}, weight: 8, run: runEndpoint(unix.SYS_CONNECT)},
	{name: "in_listen", args: []*kind{slot(isTCP), number(1, 5, 0)}, weight: 3, run: runInListen},
	{name: "in_accept", args: []*kind{newSlot, slot(isTCPListener)}, weight: 5, run: runInAccept},
	{name: "in_send", args: []*kind{slot(isInternet), input, inSendFlags, endpoint}, weight: 10, run: runInSend},
	{name: "in_receive", args: []*kind{slot(isInternet), output, inRecvFlags, number(0, 64, 64, 128)}, weight: 10, run: runInReceive},
	{name: "in_shutdown", nr: unix.SYS_SHUTDOWN, args: []*kind{slot(isInternet), number(0, 1, 2, 3)}, weight: 3},
	{name: "in_sockname", args: []*kind{slot(isInternet)}, weight: 3, run: runInName(unix.SYS_GETSOCKNAME)},
	{name: "in_peername", args: []*kind{slot(isInternet)}, weight: 3, run: runInName(unix.SYS_GETPEERNAME)},
	{name: "in_getopt", args: []*kind{slot(isInternet), enum(internetOptions, numbersOf(internetOptions)...), number(4, 4, 4, 1, 0)}, weight: 5, run: runInGetopt},
	{name: "in_setopt", args: []*kind{slot(isInternet), enum(internetOptions, numbersOf(internetOptions)...), number(0, 1, 1, 2, 64, -1, 1000), number(4, 4, 4, 1, 0)}, weight: 5, run: runInSetopt},
	{name: "in_queued", args: []*kind{slot(isInternet)}, weight: 1, run: runFionread},
	{name: "in_atmark", args: []*kind{slot(isTCP)}, weight: 1, run: runAtMark},
}

// inSendFlags and inRecvFlags have the flag of urgent data, too.
var (
	inSendFlags = flags(messageFlags, []int64{unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT}, unix.MSG_EOR, unix.MSG_MORE, unix.MSG_OOB)
	inRecvFlags = flags(messageFlags, []int64{unix.MSG_DONTWAIT, unix.MSG_DONTWAIT, unix.MSG_DONTWAIT | unix.MSG_PEEK}, unix.MSG_TRUNC, unix.MSG_WAITALL, unix.MSG_CMSG_CLOEXEC, unix.MSG_OOB)
)

// These are kinds of descriptors beside those of kinds.go.
const (
	isUDP slotKind = 1 << (20 + iota)
	isTCP
	isTCPListener

	isInternet = isUDP | isTCP | isTCPListener
)

// internetTypes are the types of socket: the first bit is TCP, the second IPv6.
var internetTypes = []flagName{{"udp4", 0}, {"tcp4", 1}, {"udp6", 2}, {"tcp6", 3}}

// An option is a level and a name: level<<16 | name.
var internetOptions = []flagName{
	{"SO_REUSEADDR", unix.SOL_SOCKET<<16 | unix.SO_REUSEADDR}, {"SO_TYPE", unix.SOL_SOCKET<<16 | unix.SO_TYPE}, {"SO_ERROR", unix.SOL_SOCKET<<16 | unix.SO_ERROR},
	{"SO_BROADCAST", unix.SOL_SOCKET<<16 | unix.SO_BROADCAST}, {"SO_KEEPALIVE", unix.SOL_SOCKET<<16 | unix.SO_KEEPALIVE}, {"SO_OOBINLINE", unix.SOL_SOCKET<<16 | unix.SO_OOBINLINE},
	{"SO_REUSEPORT", unix.SOL_SOCKET<<16 | unix.SO_REUSEPORT}, {"SO_ACCEPTCONN", unix.SOL_SOCKET<<16 | unix.SO_ACCEPTCONN}, {"SO_PROTOCOL", unix.SOL_SOCKET<<16 | unix.SO_PROTOCOL},
	{"SO_DOMAIN", unix.SOL_SOCKET<<16 | unix.SO_DOMAIN}, {"SO_PEEK_OFF", unix.SOL_SOCKET<<16 | unix.SO_PEEK_OFF},
	{"IP_TTL", unix.SOL_IP<<16 | unix.IP_TTL}, {"IP_TOS", unix.SOL_IP<<16 | unix.IP_TOS}, {"IP_PKTINFO", unix.SOL_IP<<16 | unix.IP_PKTINFO}, {"IP_RECVTTL", unix.SOL_IP<<16 | unix.IP_RECVTTL},
	{"IP_RECVTOS", unix.SOL_IP<<16 | unix.IP_RECVTOS}, {"IP_MULTICAST_TTL", unix.SOL_IP<<16 | unix.IP_MULTICAST_TTL}, {"IP_MULTICAST_LOOP", unix.SOL_IP<<16 | unix.IP_MULTICAST_LOOP},
	{"IPV6_V6ONLY", unix.SOL_IPV6<<16 | unix.IPV6_V6ONLY}, {"IPV6_UNICAST_HOPS", unix.SOL_IPV6<<16 | unix.IPV6_UNICAST_HOPS}, {"IPV6_RECVPKTINFO", unix.SOL_IPV6<<16 | unix.IPV6_RECVPKTINFO},
	{"IPV6_RECVHOPLIMIT", unix.SOL_IPV6<<16 | unix.IPV6_RECVHOPLIMIT}, {"IPV6_TCLASS", unix.SOL_IPV6<<16 | unix.IPV6_TCLASS}, {"IPV6_RECVTCLASS", unix.SOL_IPV6<<16 | unix.IPV6_RECVTCLASS},
	{"TCP_NODELAY", unix.SOL_TCP<<16 | unix.TCP_NODELAY}, {"TCP_KEEPIDLE", unix.SOL_TCP<<16 | unix.TCP_KEEPIDLE}, {"TCP_KEEPINTVL", unix.SOL_TCP<<16 | unix.TCP_KEEPINTVL},
	{"TCP_KEEPCNT", unix.SOL_TCP<<16 | unix.TCP_KEEPCNT}, {"TCP_DEFER_ACCEPT", unix.SOL_TCP<<16 | unix.TCP_DEFER_ACCEPT}, {"TCP_SYNCNT", unix.SOL_TCP<<16 | unix.TCP_SYNCNT},
	{"TCP_LINGER2", unix.SOL_TCP<<16 | unix.TCP_LINGER2}, {"TCP_QUICKACK", unix.SOL_TCP<<16 | unix.TCP_QUICKACK}, {"TCP_CORK", unix.SOL_TCP<<16 | unix.TCP_CORK},
	{"TCP_USER_TIMEOUT", unix.SOL_TCP<<16 | unix.TCP_USER_TIMEOUT},
}

func numbersOf(list []flagName) []int64 {
	var out []int64
	for _, f := range list {
		out = append(out, f.bits)
	}
	return out
}

// endpoint is an internet address: a host and one of a sequence's own ports, lo:1 for example. The
// host is lo (127.0.0.1 or ::1), any, or lo4 or any4, which are mapped for IPv6; none is no address.
var endpoint = &kind{
	draw: func(g *generator) (value, bool) {
		hosts := []string{"lo", "lo", "lo", "any", "lo4", "any4"}
		if g.n(12) == 0 {
			return value{s: "none"}, true
		}
		return value{s: hosts[g.n(len(hosts))] + ":" + strconv.Itoa(g.n(4))}, true
	},
	text:    path.text,
	parse:   path.parse,
	simpler: func(v value) []value { return nil },
}

// basePort is the first of the ports of a sequence: connections of earlier ones may still wait.
func (w *world) basePort() int { return 1024 + w.sequence%7700*4 }

// endpoint places a struct sockaddr_in or, for IPv6 sockets, sockaddr_in6.
func (w *world) endpoint(v value, six bool) (at, size uintptr) {
	b, at := w.mem.room(28)
	host, port, _ := strings.Cut(v.s, ":")
	n, _ := strconv.Atoi(port)
	if port != "" {
		n += w.basePort()
	}
	b[2], b[3] = byte(n>>8), byte(n)
	if !six {
		put16(b, unix.AF_INET)
		if strings.HasPrefix(host, "lo") {
			copy(b[4:], []byte{127, 0, 0, 1})
		}
		if host == "none" {
			put16(b, unix.AF_UNSPEC)
		}
		return at, 16
	}
	put16(b, unix.AF_INET6)
	switch host {
	case "lo":
		b[23] = 1
	case "lo4":
		copy(b[18:], []byte{0xff, 0xff, 127, 0, 0, 1})
	case "any4":
		copy(b[18:], []byte{0xff, 0xff})
	case "none":
		put16(b, unix.AF_UNSPEC)
	}
	return at, 28
}

// showEndpoint shows an address that a call has stored. Ports that the kernel has picked differ.
func (w *world) showEndpoint(b []byte, size uint32) {
	if size < 16 {
		w.note(" from %d", size)
		return
	}
	port := int(b[2])<<8 | int(b[3])
	name := "picked"
	if n := port - w.basePort(); n >= 0 && n < 4 {
		name = strconv.Itoa(n)
	} else if port == 0 {
		name = "none"
	}
	if get16(b) == unix.AF_INET {
		w.note(" from %d %d.%d.%d.%d port %s", size, b[4], b[5], b[6], b[7], name)
		return
	}
	w.note(" from %d family %d %x port %s", size, get16(b), b[8:24], name)
}

// isSix reports whether a slot's socket is of IPv6.
func (w *world) isSix(v value) bool {
	b, at := w.mem.room(4)
	size, sizeAt := w.mem.room(4)
	put32(size, 4)
	_, e := w.raw(unix.SYS_GETSOCKOPT, uintptr(w.fd(v)), unix.SOL_SOCKET, unix.SO_DOMAIN, at, sizeAt)
	return e == 0 && get32(b) == unix.AF_INET6
}

// runInet is socket(2).
func runInet(w *world, s *step) {
	typ := s.args[1].n
	family, kind, k := uintptr(unix.AF_INET), uintptr(unix.SOCK_DGRAM), isUDP
	if typ&2 != 0 {
		family = unix.AF_INET6
	}
	if typ&1 != 0 {
		kind, k = unix.SOCK_STREAM, isTCP
	}
	r, e := w.raw(unix.SYS_SOCKET, family, kind|unix.SOCK_NONBLOCK, 0)
	w.result(r, e)
	if e == 0 {
		w.keep(int(s.args[0].n), int(r), k)
	}
}

// runEndpoint is bind(2) or connect(2).
func runEndpoint(nr uintptr) func(w *world, s *step) {
	return func(w *world, s *step) {
		at, n := w.endpoint(s.args[1], w.isSix(s.args[0]))
		w.result(w.raw(nr, uintptr(w.fd(s.args[0])), at, n))
	}
}

// runInListen is listen(2).
func runInListen(w *world, s *step) {
	r, e := w.raw(unix.SYS_LISTEN, uintptr(w.fd(s.args[0])), uintptr(s.args[1].n))
	w.result(r, e)
	if e == 0 {
		w.kinds[s.args[0].n] = isTCPListener
	}
}

// runInAccept is accept4(2).
func runInAccept(w *world, s *step) {
	b, at := w.mem.room(128)
	size, sizeAt := w.mem.room(4)
	put32(size, uint32(len(b)))
	r, e := w.raw(unix.SYS_ACCEPT4, uintptr(w.fd(s.args[1])), at, sizeAt, unix.SOCK_NONBLOCK)
	w.result(r, e)
	if e == 0 {
		w.keep(int(s.args[0].n), int(r), isTCP)
		w.showEndpoint(b, get32(size))
	}
}

// runInSend is sendto(2); none is no address.
func runInSend(w *world, s *step) {
	n := min(int(s.args[1].n>>8), 5000)
	b, at := w.mem.room(n)
	fill(b, int(s.args[1].n&0xff))
	var addr, size uintptr
	if s.args[3].s != "none" {
		addr, size = w.endpoint(s.args[3], w.isSix(s.args[0]))
	}
	w.result(w.raw(unix.SYS_SENDTO, uintptr(w.fd(s.args[0])), at, uintptr(n), uintptr(s.args[2].n), addr, size))
}

// runInReceive is recvmsg(2), with room for control messages.
func runInReceive(w *world, s *step) {
	b, at := w.mem.room(int(s.args[1].n))
	name, nameAt := w.mem.room(128)
	control, controlAt := w.mem.room(int(s.args[3].n))
	h, hAt := w.message(b, at, name, nameAt, control, controlAt)
	r, e := w.raw(unix.SYS_RECVMSG, uintptr(w.fd(s.args[0])), hAt, uintptr(s.args[2].n))
	w.result(r, e)
	if e != 0 {
		return
	}
	w.quote(b[:min(int(r), len(b))])
	w.showEndpoint(name, get32(h[8:]))
	w.note(" flags %x control %d", get32(h[48:]), get64(h[40:]))
	w.showControl(-1, control[:min(int(get64(h[40:])), len(control))])
}

// runAtMark is sockatmark(3).
func runAtMark(w *world, s *step) { runIoctlInt(w, s, unix.SIOCATMARK) }

// runInName is getsockname(2) or getpeername(2).
func runInName(nr uintptr) func(w *world, s *step) {
	return func(w *world, s *step) {
		b, at := w.mem.room(128)
		size, sizeAt := w.mem.room(4)
		put32(size, uint32(len(b)))
		r, e := w.raw(nr, uintptr(w.fd(s.args[0])), at, sizeAt)
		w.result(r, e)
		if e == 0 {
			w.showEndpoint(b, get32(size))
		}
	}
}

// runInGetopt is getsockopt(2).
func runInGetopt(w *world, s *step) {
	b, at := w.mem.room(int(s.args[2].n))
	size, sizeAt := w.mem.room(4)
	put32(size, uint32(len(b)))
	o := s.args[1].n
	r, e := w.raw(unix.SYS_GETSOCKOPT, uintptr(w.fd(s.args[0])), uintptr(o>>16), uintptr(o&0xffff), at, sizeAt)
	w.result(r, e)
	if e == 0 {
		w.out = fmt.Appendf(w.out, " %d %x", get32(size), b)
	}
}

// runInSetopt is setsockopt(2).
func runInSetopt(w *world, s *step) {
	b, at := w.mem.room(4)
	put32(b, uint32(s.args[2].n))
	o := s.args[1].n
	w.result(w.raw(unix.SYS_SETSOCKOPT, uintptr(w.fd(s.args[0])), uintptr(o>>16), uintptr(o&0xffff), at, uintptr(s.args[3].n)))
}
