package netcalls

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

const (
	sockDiag       = 4
	socketByFamily = 20
	everyState     = -1
)

// askSockets sends a request about sockets, and logs what it is answered.
func (w *world) askSockets(what string, b []byte, text func(m *syscall.NetlinkMessage) string) {
	w.t.Helper()
	fd := w.must(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, sockDiag)
	defer w.must(syscall.SYS_CLOSE, fd)
	w.must(syscall.SYS_SENDTO, fd, b, len(b), 0, 0, 0)
	dump := binary.NativeEndian.Uint16(b[6:])&syscall.NLM_F_DUMP != 0
	var lines []string
	for _, m := range w.receiveSome(fd, dump) {
		if m.Header.Type == syscall.NLMSG_ERROR {
			lines = append(lines, syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data))).Error())
		} else if s := text(&m); s != "" {
			lines = append(lines, s)
		}
	}
	sort.Strings(lines)
	w.log("%s: %d", what, len(lines))
	w.lines = append(w.lines, lines...)
}

// receiveSome receives a dump, or one message.
func (w *world) receiveSome(fd int, dump bool) []syscall.NetlinkMessage {
	if dump {
		return w.receive(fd, 0)
	}
	b := make([]byte, 8<<10)
	n := w.must(syscall.SYS_RECVFROM, fd, b, len(b), 0, 0, 0)
	messages, err := syscall.ParseNetlinkMessage(b[:n])
	if err != nil {
		w.t.Fatal(err)
	}
	return messages
}

// diagRequest is struct inet_diag_req_v2, with an ID that leaves open what is nil.
func diagRequest(family, protocol, extensions, states int, id []byte) []byte {
	b := append([]byte{byte(family), byte(protocol), byte(extensions), 0}, le32(states)...)
	if id == nil {
		id = make([]byte, 48)
	}
	return append(b, id...)
}

// sockID is struct inet_diag_sockid.
func sockID(from, to string, fromPort, toPort int, cookie int64) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(fromPort))
	b = binary.BigEndian.AppendUint16(b, uint16(toPort))
	var pair [32]byte
	copy(pair[:], ip(from))
	copy(pair[16:], ip(to))
	b = append(append(b, pair[:]...), le32(0)...)
	return binary.NativeEndian.AppendUint64(b, uint64(cookie))
}

// inetText says what a struct inet_diag_msg has, but for numbers that differ from one run to another.
func (w *world) inetText(m *syscall.NetlinkMessage) string {
	b := m.Data
	port := func(at int) string {
		p := binary.BigEndian.Uint16(b[at:])
		if p >= 32768 {
			return "ephemeral"
		}
		return fmt.Sprint(p)
	}
	address := func(at int) string {
		if b[0] == syscall.AF_INET {
			return addrText(b[at : at+4])
		}
		return addrText(b[at : at+16])
	}
	cookie, inode := binary.NativeEndian.Uint64(b[44:]), binary.NativeEndian.Uint32(b[68:])
	s := fmt.Sprintf("type %d flags %x family %d state %d from %s:%s to %s:%s device %d cookie %v queues %d %d uid %d inode %v", m.Header.Type, m.Header.Flags, b[0], b[1],
		address(8), port(4), address(24), port(6), binary.NativeEndian.Uint32(b[40:]), cookie != 0, binary.NativeEndian.Uint32(b[56:]), binary.NativeEndian.Uint32(b[60:]),
		binary.NativeEndian.Uint32(b[64:]), inode != 0)
	return s + attributeText(b[72:], map[uint16]bool{1: true, 2: true, 7: true}, map[uint16]bool{4: true}, map[uint16]bool{16: true, 21: true})
}

// attributeText lists attributes: of some only the size, of others that they are there, or nothing.
func attributeText(b []byte, sized, there, hidden map[uint16]bool) string {
	var list []string
	for len(b) >= 4 {
		n, typ := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		switch {
		case hidden[typ]:
		case there[typ]:
			list = append(list, fmt.Sprintf("%d", typ))
		case sized[typ]:
			list = append(list, fmt.Sprintf("%d has %d", typ, n-4))
		default:
			list = append(list, fmt.Sprintf("%d is %x", typ, b[4:n]))
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	sort.Strings(list)
	return ": " + strings.Join(list, ", ")
}

func inet4(addr string, port int) []byte {
	b := append(le16(syscall.AF_INET), byte(port>>8), byte(port))
	return append(append(b, ip(addr)...), make([]byte, 8)...)
}

func inet6(addr string, port int) []byte {
	b := append(le16(syscall.AF_INET6), byte(port>>8), byte(port), 0, 0, 0, 0)
	return append(append(b, ip(addr)...), make([]byte, 4)...)
}

// pair is a listener at an address, and a connection to it with 5 bytes that nobody has read.
func (w *world) pair(family int, at, from []byte) (listener, client, server int) {
	w.t.Helper()
	listener = w.must(syscall.SYS_SOCKET, family, syscall.SOCK_STREAM, 0)
	w.must(syscall.SYS_BIND, listener, at, len(at))
	w.must(syscall.SYS_LISTEN, listener, 7)
	client = w.must(syscall.SYS_SOCKET, family, syscall.SOCK_STREAM, 0)
	w.must(syscall.SYS_BIND, client, from, len(from))
	w.must(syscall.SYS_CONNECT, client, at, len(at))
	server = w.must(syscall.SYS_ACCEPT4, listener, 0, 0, 0)
	w.must(syscall.SYS_WRITE, client, []byte("hello"), 5)
	w.must(syscall.SYS_RECVFROM, server, make([]byte, 5), 5, syscall.MSG_PEEK, 0, 0) // has arrived
	return listener, client, server
}

// Programs list TCP and UDP sockets as ss(8) does, filtered by state, port and program.
func TestDiagInternet(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		_, _, server := w.pair(syscall.AF_INET, inet4("127.0.0.1", 7001), inet4("127.0.0.1", 7002))
		w.pair(syscall.AF_INET6, inet6("::1", 7003), inet6("::1", 7004))
		w.must(syscall.SYS_SETSOCKOPT, server, syscall.IPPROTO_IP, syscall.IP_TOS, le32(0x10), 4)
		w.must(syscall.SYS_SETSOCKOPT, server, syscall.SOL_SOCKET, syscall.SO_MARK, le32(77), 4)
		w.must(syscall.SYS_SHUTDOWN, server, syscall.SHUT_RD)
		bound := w.must(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM, 0)
		w.must(syscall.SYS_BIND, bound, inet4("127.0.0.1", 7005), 16)
		udp := w.must(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		w.must(syscall.SYS_BIND, udp, inet4("0.0.0.0", 7006), 16)
		peer := w.must(syscall.SYS_SOCKET, syscall.AF_INET6, syscall.SOCK_DGRAM, 0)
		w.must(syscall.SYS_CONNECT, peer, inet6("::ffff:127.0.0.1", 7006), 28)
		w.must(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM, 0) // has no port

		const all = syscall.NLM_F_DUMP
		for _, c := range []struct {
			what       string
			flags, ext int
			family     int
			protocol   int
			states     int
			id         []byte
			attrs      []attr
		}{
			{"tcp", all, 0xff, syscall.AF_INET, syscall.IPPROTO_TCP, everyState, nil, nil},
			{"tcp6", all, 0xff, syscall.AF_INET6, syscall.IPPROTO_TCP, everyState, nil, nil},
			{"all of tcp", all, 0, syscall.AF_UNSPEC, syscall.IPPROTO_TCP, everyState, nil, nil},
			{"udp", all, 0xff, syscall.AF_INET, syscall.IPPROTO_UDP, everyState, nil, nil},
			{"udp6", all, 0xff, syscall.AF_INET6, syscall.IPPROTO_UDP, everyState, nil, nil},
			{"listeners", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, 1 << 10, nil, nil},
			{"established", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, 1 << 1, nil, nil},
			{"from a port", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, everyState, sockID("0.0.0.0", "0.0.0.0", 7001, 0, 0), nil},
			{"to a port", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, everyState, sockID("0.0.0.0", "0.0.0.0", 0, 7001, 0), nil},
			{"sctp", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP + 1, everyState, nil, nil},
			{"one", 0, 0, syscall.AF_INET, syscall.IPPROTO_TCP, 0, sockID("127.0.0.1", "127.0.0.1", 7001, 7002, -1), nil},
			{"a listener", 0, 0, syscall.AF_INET, syscall.IPPROTO_TCP, 0, sockID("127.0.0.1", "127.0.0.1", 7001, 9, -1), nil},
			{"no listener", 0, 0, syscall.AF_INET, syscall.IPPROTO_TCP, 0, sockID("127.0.0.1", "127.0.0.1", 7009, 9, -1), nil},
			{"another's cookie", 0, 0, syscall.AF_INET, syscall.IPPROTO_TCP, 0, sockID("127.0.0.1", "127.0.0.1", 7001, 7002, 123456789), nil},
			{"one of udp", 0, 0, syscall.AF_INET, syscall.IPPROTO_UDP, 0, sockID("127.0.0.1", "127.0.0.1", 9, 7006, -1), nil},
			{"another's cookie, udp", 0, 0, syscall.AF_INET, syscall.IPPROTO_UDP, 0, sockID("127.0.0.1", "127.0.0.1", 9, 7006, 123456789), nil},
			{"one of no family", 0, 0, syscall.AF_UNSPEC, syscall.IPPROTO_TCP, 0, sockID("127.0.0.1", "127.0.0.1", 7001, 7002, -1), nil},
			{"port over 7003", all, 0, syscall.AF_UNSPEC, syscall.IPPROTO_TCP, everyState, nil, filter([]byte{2, 8, 12, 0, 0, 0, 0x5b, 0x1b})},
			{"in 127/8", all, 0, syscall.AF_UNSPEC, syscall.IPPROTO_TCP, everyState, nil, filter(append([]byte{7, 16, 20, 0, 2, 8, 0, 0, 0xff, 0xff, 0xff, 0xff}, 127, 0, 0, 0))},
			{"mapped in 127/8", all, 0, syscall.AF_INET6, syscall.IPPROTO_UDP, everyState, nil, filter(append([]byte{8, 16, 20, 0, 2, 8, 0, 0, 0xff, 0xff, 0xff, 0xff}, 127, 0, 0, 0))},
			{"marked 77", all, 0, syscall.AF_UNSPEC, syscall.IPPROTO_TCP, everyState, nil, filter([]byte{10, 12, 16, 0, 77, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})},
			{"of ports that bind chose", all, 0, syscall.AF_UNSPEC, syscall.IPPROTO_UDP, everyState, nil, filter([]byte{6, 4, 8, 0})},
			{"not 7001", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, everyState, nil, filter([]byte{13, 8, 12, 0, 0, 0, 0x59, 0x1b, 1, 4, 8, 0})},
			{"a cut program", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, everyState, nil, filter([]byte{2, 8, 12, 0})},
			{"a program into itself", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, everyState, nil, filter([]byte{2, 8, 2, 0, 0, 0, 0, 0})},
			{"unknown code", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, everyState, nil, filter([]byte{99, 4, 8, 0})},
			{"a long prefix", all, 0, syscall.AF_INET, syscall.IPPROTO_TCP, everyState, nil, filter([]byte{7, 16, 20, 0, 2, 33, 0, 0, 0xff, 0xff, 0xff, 0xff, 127, 0, 0, 0})},
		} {
			w.askSockets(c.what, message(socketByFamily, c.flags, diagRequest(c.family, c.protocol, c.ext, c.states, c.id), c.attrs...), w.inetText)
		}
		old := append(append([]byte{syscall.AF_INET, 0, 0, 0}, make([]byte, 48)...), le32(1<<10)...)
		old = append(old, le32(0)...)
		w.askSockets("as of old", message(18, all, old), w.inetText)
		copy(old[4:], sockID("127.0.0.1", "127.0.0.1", 7001, 7002, -1))
		w.askSockets("one as of old", message(18, 0, old), w.inetText)
	})
}

func filter(program []byte) []attr { return []attr{{1, program}} }

// What cannot be answered is refused as by a kernel without modules for it.
func TestDiagRefused(t *testing.T) {
	compare(t, func(w *world) {
		none := func(*syscall.NetlinkMessage) string { return "" }
		tcp := diagRequest(syscall.AF_INET, syscall.IPPROTO_TCP, 0, everyState, nil)
		w.askSockets("short", message(socketByFamily, syscall.NLM_F_ACK, tcp[:40]), none)
		w.askSockets("no family", message(socketByFamily, syscall.NLM_F_ACK, nil), none)
		w.askSockets("another type", message(30, syscall.NLM_F_ACK, tcp), none)
		w.askSockets("dccp of old", message(19, syscall.NLM_F_ACK, make([]byte, 60)), none)
		w.askSockets("family 200", message(socketByFamily, syscall.NLM_F_ACK, append([]byte{200}, tcp[1:]...)), none)
		w.askSockets("family 3", message(socketByFamily, syscall.NLM_F_ACK, append([]byte{3}, tcp[1:]...)), none)
		w.askSockets("unix, short", message(socketByFamily, syscall.NLM_F_ACK, []byte{1, 0, 0, 0}), none)
		w.askSockets("unix, protocol", message(socketByFamily, syscall.NLM_F_ACK, append([]byte{1, 9}, make([]byte, 22)...)), none)
		w.askSockets("unix, which", message(socketByFamily, syscall.NLM_F_ACK, append([]byte{1, 0}, make([]byte, 22)...)), none)
	})
}

// Programs list unix sockets with their names, peers and queues.
func TestDiagUnix(t *testing.T) {
	compare(t, func(w *world) {
		un := func(name string) []byte { return append(le16(syscall.AF_UNIX), name...) }
		listener := w.must(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		at := un("\x00yolk-diag")
		w.must(syscall.SYS_BIND, listener, at, len(at))
		w.must(syscall.SYS_LISTEN, listener, 7)
		client := w.must(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		w.must(syscall.SYS_CONNECT, client, at, len(at))
		waiting := w.must(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		w.must(syscall.SYS_CONNECT, waiting, at, len(at))
		server := w.must(syscall.SYS_ACCEPT4, listener, 0, 0, 0)
		w.must(syscall.SYS_WRITE, client, []byte("hello"), 5)
		w.must(syscall.SYS_SHUTDOWN, server, syscall.SHUT_WR)
		datagrams := w.must(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
		name := un("\x00yolk-diag-datagrams")
		w.must(syscall.SYS_BIND, datagrams, name, len(name))
		sender := w.must(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
		w.must(syscall.SYS_CONNECT, sender, name, len(name))
		w.must(syscall.SYS_WRITE, sender, []byte("hey"), 3)

		inodes := map[uint32]string{}
		for what, fd := range map[string]int{"listener": listener, "client": client, "waiting": waiting, "server": server, "datagrams": datagrams, "sender": sender} {
			b := make([]byte, 144)
			w.must(syscall.SYS_FSTAT, fd, b)
			inodes[binary.NativeEndian.Uint32(b[8:])] = what
		}
		text := func(m *syscall.NetlinkMessage) string {
			b := m.Data
			who := inodes[binary.NativeEndian.Uint32(b[4:])]
			if who == "" {
				return ""
			}
			s := fmt.Sprintf("%s: type %d state %d cookie %v", who, b[1], b[2], binary.NativeEndian.Uint64(b[8:]) != 0)
			return s + unixText(b[16:], inodes)
		}
		request := func(states, inode, show int) []byte {
			b := append([]byte{syscall.AF_UNIX, 0, 0, 0}, le32(states)...)
			b = append(append(b, le32(inode)...), le32(show)...)
			return append(b, 255, 255, 255, 255, 255, 255, 255, 255)
		}
		w.askSockets("all", message(socketByFamily, syscall.NLM_F_DUMP, request(everyState, 0, 0x7f)), text)
		w.askSockets("all, with nothing", message(socketByFamily, syscall.NLM_F_DUMP, request(everyState, 0, 0)), text)
		w.askSockets("listeners", message(socketByFamily, syscall.NLM_F_DUMP, request(1<<10, 0, 1)), text)
		for inode, what := range inodes {
			if what == "client" {
				w.askSockets("one", message(socketByFamily, 0, request(0, int(inode), 5)), text)
				w.askSockets("another's cookie", message(socketByFamily, 0, append(request(0, int(inode), 5)[:16], 1, 2, 3, 4, 5, 6, 7, 8)), text)
			}
		}
		w.askSockets("no such", message(socketByFamily, 0, request(0, 1<<30, 0)), text)
	})
}

// unixText lists attributes; sockets by what they are.
func unixText(b []byte, inodes map[uint32]string) string {
	var list []string
	for len(b) >= 4 {
		n, typ := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		v := b[4:n]
		switch typ {
		case 0:
			list = append(list, fmt.Sprintf("named %q", v))
		case 2, 3:
			s := map[uint16]string{2: "peer", 3: "waiting"}[typ]
			for ; len(v) >= 4; v = v[4:] {
				s += " " + inodes[binary.NativeEndian.Uint32(v)]
			}
			list = append(list, s)
		case 4:
			list = append(list, fmt.Sprintf("queues %d %v", binary.NativeEndian.Uint32(v), binary.NativeEndian.Uint32(v[4:]) != 0))
		case 5:
			list = append(list, fmt.Sprintf("memory of %d", len(v)))
		default:
			list = append(list, fmt.Sprintf("%d is %x", typ, v))
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	sort.Strings(list)
	return ": " + strings.Join(list, ", ")
}

// A netlink socket's filter drops and cuts what it is sent.
func TestNetlinkFilter(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		fd := w.must(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, syscall.NETLINK_ROUTE)
		attach := func(keep uint32) {
			program := append([]byte{6, 0, 0, 0}, le32(int(keep))...) // ret #keep
			b := make([]byte, 16)
			copy(b, le16(1))
			binary.NativeEndian.PutUint64(b[8:], uint64(uintptr(unsafe.Pointer(&program[0]))))
			w.do("attach", syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_ATTACH_FILTER, b, 16)
			runtime.KeepAlive(program)
		}
		ask := func(what string) {
			b := message(syscall.RTM_GETLINK, 0, append(make([]byte, 4), append(le32(1), make([]byte, 8)...)...))
			w.must(syscall.SYS_SENDTO, fd, b, len(b), 0, 0, 0)
			answer := make([]byte, 8192)
			n, e := w.call(syscall.SYS_RECVFROM, fd, answer, len(answer), 0, 0, 0)
			w.log("%s: %v, cut %v", what, e, e == 0 && n == 20)
		}
		w.do("detach", syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_DETACH_FILTER, le32(0), 4)
		attach(0)
		ask("nothing passes")
		attach(20)
		ask("20 bytes pass")
		w.do("detach", syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_DETACH_FILTER, le32(0), 4)
		ask("all passes")
		attach(1 << 20)
		w.do("lock", syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, 44, le32(1), 4)
		attach(0)
		w.do("detach", syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_DETACH_FILTER, le32(0), 4)
		ask("the locked one stays")
	})
}
