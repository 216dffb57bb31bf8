package main

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	socketTypes = []flagName{{"SOCK_DGRAM", unix.SOCK_DGRAM}, {"SOCK_SEQPACKET", unix.SOCK_SEQPACKET}, {"SOCK_STREAM", unix.SOCK_STREAM},
		{"SOCK_NONBLOCK", unix.SOCK_NONBLOCK}, {"SOCK_CLOEXEC", unix.SOCK_CLOEXEC}}
	socketType = flags(socketTypes, []int64{unix.SOCK_STREAM | unix.SOCK_NONBLOCK, unix.SOCK_DGRAM | unix.SOCK_NONBLOCK, unix.SOCK_SEQPACKET | unix.SOCK_NONBLOCK}, unix.SOCK_CLOEXEC)
	sendFlags  = flags(messageFlags, []int64{unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT}, unix.MSG_EOR, unix.MSG_MORE)
	recvFlags  = flags(messageFlags, []int64{unix.MSG_DONTWAIT, unix.MSG_DONTWAIT, unix.MSG_DONTWAIT | unix.MSG_PEEK}, unix.MSG_TRUNC, unix.MSG_WAITALL, unix.MSG_CMSG_CLOEXEC)
)

var messageFlags = []flagName{
	{"MSG_PEEK", unix.MSG_PEEK}, {"MSG_TRUNC", unix.MSG_TRUNC}, {"MSG_CTRUNC", unix.MSG_CTRUNC}, {"MSG_WAITALL", unix.MSG_WAITALL},
	{"MSG_DONTWAIT", unix.MSG_DONTWAIT}, {"MSG_NOSIGNAL", unix.MSG_NOSIGNAL}, {"MSG_EOR", unix.MSG_EOR}, {"MSG_MORE", unix.MSG_MORE},
	{"MSG_CMSG_CLOEXEC", unix.MSG_CMSG_CLOEXEC}, {"MSG_OOB", unix.MSG_OOB},
}

// address is a socket address: a path, @ and an abstract name, or - for none.
var address = &kind{
	draw: func(g *generator) (value, bool) {
		list := []string{"a", "b", "c", "d/a", "@x", "@y", "@longer", "-", strings.Repeat("n", 107), strings.Repeat("n", 108)}
		return value{s: list[min(g.n(14), 9)%len(list)]}, true
	},
	text:    func(v value) string { return quotePath(v.s) },
	parse:   path.parse,
	simpler: path.simpler,
}

// address places a struct sockaddr_un.
func (w *world) address(v value) (at, size uintptr) {
	b, at := w.mem.room(128)
	put16(b, unix.AF_UNIX)
	n := 2
	switch {
	case v.s == "-":
	case strings.HasPrefix(v.s, "@"):
		n += 1 + copy(b[3:], fmt.Sprintf("%s-%08d", v.s[1:], w.sequence))
	default:
		n += copy(b[2:], v.s)
		if n < 110 {
			n++
		}
	}
	return at, uintptr(n)
}

// showAddress shows an address that a call has stored. Names that the kernel has picked differ.
func (w *world) showAddress(b []byte, size uint32) {
	n := min(int(size), len(b))
	if n <= 2 {
		w.note(" from %d", size)
		return
	}
	if size == 8 && n > 2 && b[2] == 0 && strings.Trim(string(b[3:n]), "0123456789abcdef") == "" {
		w.note(" from a name of its own")
		return
	}
	if dash := bytes.IndexByte(b[2:n], '-'); b[2] == 0 && dash > 0 {
		n = 2 + dash
	}
	w.note(" from %d %q", size, b[2:n])
}

// socketOps are calls on unix sockets.
var socketOps = []*op{
	{name: "socketpair", args: []*kind{newSlot, newSlot, socketType}, weight: 4, run: runSocketpair},
	{name: "socket", args: []*kind{newSlot, socketType}, weight: 5, run: runSocket},
	{name: "bind", args: []*kind{slot(isSocket), address}, weight: 4, run: runAddressed(unix.SYS_BIND)},
	{name: "listen", args: []*kind{slot(isStream | isSequenced), number(0, 1, 2, 5, -1)}, weight: 3, run: runListen},
	{name: "connect", args: []*kind{slot(isSocket), address}, weight: 6, run: runAddressed(unix.SYS_CONNECT)},
	{name: "accept", args: []*kind{newSlot, slot(isListener), flags(socketTypes, []int64{unix.SOCK_NONBLOCK}, unix.SOCK_CLOEXEC)}, weight: 5, run: runAccept},
	{name: "shutdown", nr: unix.SYS_SHUTDOWN, args: []*kind{slot(isSocket), number(0, 1, 2, 3, -1)}, weight: 2},
	{name: "sendto", args: []*kind{slot(isSocket), input, sendFlags, address}, weight: 6, run: runSendto},
	{name: "recvfrom", args: []*kind{slot(isSocket), output, recvFlags}, weight: 7, run: runRecvfrom},
	{name: "sendrights", args: []*kind{slot(isSocket), input, sendFlags, slot(isAny &^ isSocket), number(0, 1, 2, 3)}, weight: 4, run: runSendRights},
	{name: "recvmsg", args: []*kind{newSlot, slot(isSocket), output, recvFlags, number(0, 16, 20, 24, 32, 64, 64, 64, 128)}, weight: 6, run: runRecvmsg},
	{name: "getsockname", args: []*kind{slot(isSocket), number(110, 110, 2, 5, 0)}, weight: 2, run: runName(unix.SYS_GETSOCKNAME)},
	{name: "getpeername", args: []*kind{slot(isSocket), number(110, 110, 2, 5, 0)}, weight: 2, run: runName(unix.SYS_GETPEERNAME)},
	{name: "getsockopt", args: []*kind{slot(isSocket), enum(socketOptions, optionNumbers()...), number(4, 4, 12, 0, 1)}, weight: 4, run: runGetsockopt},
	{name: "setsockopt", args: []*kind{slot(isSocket), enum(socketOptions, optionNumbers()...), number(0, 1, 1, 5, 4096, 65536), number(4, 4, 4, 1, 0)}, weight: 3, run: runSetsockopt},
	{name: "outq", args: []*kind{slot(isSocket)}, weight: 1, run: runOutq},
}

var socketOptions = []flagName{
	{"SO_DEBUG", unix.SO_DEBUG}, {"SO_REUSEADDR", unix.SO_REUSEADDR}, {"SO_TYPE", unix.SO_TYPE}, {"SO_ERROR", unix.SO_ERROR}, {"SO_DONTROUTE", unix.SO_DONTROUTE},
	{"SO_BROADCAST", unix.SO_BROADCAST}, {"SO_SNDBUF", unix.SO_SNDBUF}, {"SO_RCVBUF", unix.SO_RCVBUF}, {"SO_KEEPALIVE", unix.SO_KEEPALIVE}, {"SO_OOBINLINE", unix.SO_OOBINLINE},
	{"SO_PRIORITY", unix.SO_PRIORITY}, {"SO_REUSEPORT", unix.SO_REUSEPORT}, {"SO_PASSCRED", unix.SO_PASSCRED}, {"SO_PEERCRED", unix.SO_PEERCRED}, {"SO_RCVLOWAT", unix.SO_RCVLOWAT},
	{"SO_SNDLOWAT", unix.SO_SNDLOWAT}, {"SO_ACCEPTCONN", unix.SO_ACCEPTCONN}, {"SO_PEERNAME", unix.SO_PEERNAME}, {"SO_PASSSEC", unix.SO_PASSSEC},
	{"SO_MARK", unix.SO_MARK}, {"SO_PROTOCOL", unix.SO_PROTOCOL}, {"SO_DOMAIN", unix.SO_DOMAIN}, {"SO_PEEK_OFF", unix.SO_PEEK_OFF}, {"SO_BUSY_POLL", unix.SO_BUSY_POLL},
	{"SO_INCOMING_CPU", unix.SO_INCOMING_CPU}, {"SO_PEERGROUPS", unix.SO_PEERGROUPS}, {"SO_ZEROCOPY", unix.SO_ZEROCOPY},
}

// optionNumbers returns the numbers of socketOptions, and one that is none.
func optionNumbers() []int64 {
	list := []int64{9999}
	for _, o := range socketOptions {
		list = append(list, o.bits)
	}
	return list
}

// socketKind returns the kind of a socket of that type.
func socketKind(typ int64) slotKind {
	switch typ & 0xf {
	case unix.SOCK_DGRAM:
		return isDatagram
	case unix.SOCK_SEQPACKET:
		return isSequenced
	}
	return isStream
}

func runSocketpair(w *world, s *step) {
	b, at := w.mem.room(8)
	typ := s.args[2].n
	r, e := w.raw(unix.SYS_SOCKETPAIR, unix.AF_UNIX, uintptr(typ), 0, at)
	w.result(r, e)
	if e == 0 {
		w.keep(int(s.args[0].n), int(get32(b)), socketKind(typ))
		w.keep(int(s.args[1].n), int(get32(b[4:])), socketKind(typ))
	}
}

func runSocket(w *world, s *step) {
	r, e := w.raw(unix.SYS_SOCKET, unix.AF_UNIX, uintptr(s.args[1].n), 0)
	w.result(r, e)
	if e == 0 {
		w.keep(int(s.args[0].n), int(r), socketKind(s.args[1].n))
	}
}

// runAddressed is bind(2) or connect(2).
func runAddressed(nr uintptr) func(w *world, s *step) {
	return func(w *world, s *step) {
		at, n := w.address(s.args[1])
		w.result(w.raw(nr, uintptr(w.fd(s.args[0])), at, n))
	}
}

// runListen is listen(2).
func runListen(w *world, s *step) {
	r, e := w.raw(unix.SYS_LISTEN, uintptr(w.fd(s.args[0])), uintptr(s.args[1].n))
	w.result(r, e)
	if e == 0 {
		w.kinds[s.args[0].n] = isListener
	}
}

// runAccept is accept4(2).
func runAccept(w *world, s *step) {
	b, at := w.mem.room(128)
	size, sizeAt := w.mem.room(4)
	put32(size, uint32(len(b)))
	r, e := w.raw(unix.SYS_ACCEPT4, uintptr(w.fd(s.args[1])), at, sizeAt, uintptr(s.args[2].n))
	w.result(r, e)
	if e == 0 {
		w.keep(int(s.args[0].n), int(r), isStream)
		w.showAddress(b, get32(size))
	}
}

// runSendto is sendto(2).
func runSendto(w *world, s *step) {
	n := int(s.args[1].n >> 8)
	b, at := w.mem.room(n)
	fill(b, int(s.args[1].n&0xff))
	var addr, size uintptr
	if s.args[3].s != "-" {
		addr, size = w.address(s.args[3])
	}
	w.result(w.raw(unix.SYS_SENDTO, uintptr(w.fd(s.args[0])), at, uintptr(n), uintptr(s.args[2].n), addr, size))
}

// runRecvfrom is recvfrom(2).
func runRecvfrom(w *world, s *step) {
	b, at := w.mem.room(int(s.args[1].n))
	addr, addrAt := w.mem.room(128)
	size, sizeAt := w.mem.room(4)
	put32(size, uint32(len(addr)))
	r, e := w.raw(unix.SYS_RECVFROM, uintptr(w.fd(s.args[0])), at, uintptr(len(b)), uintptr(s.args[2].n), addrAt, sizeAt)
	w.result(r, e)
	if e == 0 {
		w.quote(b[:min(int(r), len(b))])
		w.showAddress(addr, get32(size))
	}
}

// message places a struct msghdr.
func (w *world) message(b []byte, at uintptr, name []byte, nameAt uintptr, control []byte, controlAt uintptr) ([]byte, uintptr) {
	v, vAt := w.mem.room(16)
	put64(v, uint64(at))
	put64(v[8:], uint64(len(b)))
	h, hAt := w.mem.room(56)
	put64(h, uint64(nameAt))
	put32(h[8:], uint32(len(name)))
	put64(h[16:], uint64(vAt))
	put64(h[24:], 1)
	put64(h[32:], uint64(controlAt))
	put64(h[40:], uint64(len(control)))
	return h, hAt
}

// runSendRights is sendmsg(2) with a descriptor, some times, as a control message.
func runSendRights(w *world, s *step) {
	n := int(s.args[1].n >> 8)
	b, at := w.mem.room(n)
	fill(b, int(s.args[1].n&0xff))
	count := int(s.args[4].n)
	var control []byte
	var controlAt uintptr
	if count > 0 {
		control, controlAt = w.mem.room(unix.CmsgSpace(4 * count))
		put64(control, uint64(16+4*count))
		put32(control[8:], unix.SOL_SOCKET)
		put32(control[12:], unix.SCM_RIGHTS)
		for i := range count {
			put32(control[16+4*i:], uint32(w.fd(s.args[3])))
		}
	}
	_, hAt := w.message(b, at, nil, 0, control, controlAt)
	w.result(w.raw(unix.SYS_SENDMSG, uintptr(w.fd(s.args[0])), hAt, uintptr(s.args[2].n)))
}

// runRecvmsg is recvmsg(2). The first descriptor of a control message goes into a slot.
func runRecvmsg(w *world, s *step) {
	b, at := w.mem.room(int(s.args[2].n))
	name, nameAt := w.mem.room(128)
	control, controlAt := w.mem.room(int(s.args[4].n))
	h, hAt := w.message(b, at, name, nameAt, control, controlAt)
	r, e := w.raw(unix.SYS_RECVMSG, uintptr(w.fd(s.args[1])), hAt, uintptr(s.args[3].n))
	w.result(r, e)
	if e != 0 {
		return
	}
	w.quote(b[:min(int(r), len(b))])
	w.showAddress(name, get32(h[8:]))
	w.note(" flags %x control %d", get32(h[48:]), get64(h[40:]))
	w.showControl(int(s.args[0].n), control[:min(int(get64(h[40:])), len(control))])
}

// showControl shows control messages and keeps a descriptor.
func (w *world) showControl(slot int, b []byte) {
	for len(b) >= 16 {
		n := int(get64(b))
		if n < 16 || n > len(b) {
			break
		}
		level, typ, data := get32(b[8:]), get32(b[12:]), b[16:n]
		w.note(" [%d %d:", level, typ)
		switch {
		case typ == unix.SCM_RIGHTS && level == unix.SOL_SOCKET:
			for ; len(data) >= 4; data = data[4:] {
				w.note(" %d", get32(data))
				if slot >= 0 {
					w.keepAny(slot, int(get32(data)))
					slot = -1
				}
			}
		case typ == unix.SCM_CREDENTIALS && len(data) >= 12: // the process's numbers differ
			w.note(" %t %d %d", get32(data) != 0, get32(data[4:]), get32(data[8:]))
		case typ == unix.SCM_CREDENTIALS:
			w.note(" %d bytes", len(data))
		default:
			w.note(" %x", data)
		}
		w.out = append(w.out, ']')
		b = b[min((n+7)&^7, len(b)):]
	}
}

// keepAny puts a descriptor of any kind into a slot.
func (w *world) keepAny(slot, fd int) {
	st, e := w.fstat(fd)
	if e != 0 {
		return
	}
	k := kindOf(st)
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFSOCK:
		k = isStream
	case 0:
		k = isEvent
	}
	w.keep(slot, fd, k)
}

// runName is getsockname(2) or getpeername(2).
func runName(nr uintptr) func(w *world, s *step) {
	return func(w *world, s *step) {
		b, at := w.mem.room(int(s.args[1].n))
		size, sizeAt := w.mem.room(4)
		put32(size, uint32(len(b)))
		r, e := w.raw(nr, uintptr(w.fd(s.args[0])), at, sizeAt)
		w.result(r, e)
		if e == 0 {
			w.showAddress(b, get32(size))
		}
	}
}

// runGetsockopt is getsockopt(2) of the level SOL_SOCKET.
func runGetsockopt(w *world, s *step) {
	b, at := w.mem.room(int(s.args[2].n))
	size, sizeAt := w.mem.room(4)
	put32(size, uint32(len(b)))
	r, e := w.raw(unix.SYS_GETSOCKOPT, uintptr(w.fd(s.args[0])), unix.SOL_SOCKET, uintptr(s.args[1].n), at, sizeAt)
	w.result(r, e)
	if e != 0 {
		return
	}
	if s.args[1].n == unix.SO_PEERCRED {
		clear(b[:min(len(b), 4)]) // the process's number
	}
	if s.args[1].n == unix.SO_PEERNAME && len(b) > 3 && b[2] == 0 {
		clear(b[3:]) // of a name that the kernel has chosen
	}
	w.note(" %d %x", get32(size), b)
}

// runSetsockopt is setsockopt(2) of the level SOL_SOCKET.
func runSetsockopt(w *world, s *step) {
	b, at := w.mem.room(4)
	put32(b, uint32(s.args[2].n))
	w.result(w.raw(unix.SYS_SETSOCKOPT, uintptr(w.fd(s.args[0])), unix.SOL_SOCKET, uintptr(s.args[1].n), at, uintptr(s.args[3].n)))
}

// runOutq is ioctl(2) with SIOCOUTQ.
func runOutq(w *world, s *step) {
	b, at := w.mem.room(4)
	r, e := w.raw(unix.SYS_IOCTL, uintptr(w.fd(s.args[0])), unix.TIOCOUTQ, at)
	w.result(r, e)
	if e == 0 {
		w.note(" %t", get32(b) > 0)
	}
}
