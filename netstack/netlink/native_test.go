package netlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
)

// nativeSocket is a netlink socket of the host with the process id as its port.
func nativeSocket(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, syscall.NETLINK_ROUTE)
	if err != nil {
		t.Skip("no netlink on this host: ", err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Pid: uint32(os.Getpid())}); err != nil {
		t.Skip("the port is taken: ", err)
	}
	return fd
}

func nativeExchange(t *testing.T, fd int, b []byte) [][]byte {
	t.Helper()
	if err := syscall.Sendto(fd, b, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for {
		p := make([]byte, 32<<10)
		n, _, err := syscall.Recvfrom(fd, p, 0)
		if err != nil {
			return all
		}
		all = append(all, p[:n])
	}
}

// Everything but the objects is the same to the byte: errors, acknowledgements, and what is
// ignored.
func TestStatusAsOnLinux(t *testing.T) {
	fd := nativeSocket(t)
	name := append([]byte{10, 0, syscall.IFLA_IFNAME, 0}, "none9\x00\x00\x00"...)
	unknown := append(message(syscall.RTM_GETLINK, ask, linkBody(0, name...)), message(1000, ask, []byte{0})...)
	short := message(syscall.RTM_GETLINK, dump, []byte{0})
	short[0] = 15
	long := message(syscall.RTM_GETLINK, dump, []byte{0})
	long[0] = 200
	for name, b := range map[string][]byte{
		"no such index":         message(syscall.RTM_GETLINK, ask, linkBody(99999)),
		"no such index, ack":    message(syscall.RTM_GETLINK, ack, linkBody(99999)),
		"no such name, no type": unknown,
		"neither":               message(syscall.RTM_GETLINK, ask, linkBody(0)),
		"short link":            message(syscall.RTM_GETLINK, ask, []byte{0, 0, 0, 0}),
		"unknown type":          message(1000, ack, []byte{0, 0, 0, 0}),
		"noop":                  message(syscall.NLMSG_NOOP, ask, nil),
		"noop, ack":             message(syscall.NLMSG_NOOP, ack, nil),
		"no request":            message(syscall.RTM_GETLINK, 0, linkBody(99999)),
		"no request, ack":       message(syscall.RTM_GETLINK, syscall.NLM_F_ACK, linkBody(99999)),
		"no body":               message(syscall.RTM_GETLINK, ack, nil),
		"short length":          short,
		"long length":           long,
		"trailing bytes":        append(message(syscall.NLMSG_NOOP, ack, nil), 1, 2, 3),
		"one address":           message(syscall.RTM_GETADDR, ask, []byte{syscall.AF_INET, 0, 0, 0, 0, 0, 0, 0}),
	} {
		want, got := nativeExchange(t, fd, b), exchange(t, newSocket(t), b)
		if !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
			t.Errorf("%s:\n ours  %x\n linux %x", name, got, want)
		}
	}
}

// findLoopback returns the message for interface 1 in a dump.
func findLoopback(t *testing.T, datagrams [][]byte, family byte) *syscall.NetlinkMessage {
	t.Helper()
	for _, m := range parse(t, datagrams) {
		if len(m.Data) >= 8 && binary.NativeEndian.Uint32(m.Data[4:]) == 1 && m.Data[0] == family {
			return &m
		}
	}
	t.Skip("the host has no loopback with an address")
	return nil
}

// The message for lo has Linux's form: the same header, the same attributes with the same sizes,
// and the same values unless they are the host's own.
func TestLoopbackAsOnLinux(t *testing.T) {
	fd := nativeSocket(t)
	f := New(hostLoopback{mtu: 65536}, os.Getpid())
	s, _ := f.Socket(syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	differ := map[uint16]bool{iflaStats64: true, syscall.IFLA_STATS: true, iflaTxQueues: true, iflaRxQueues: true}
	for _, c := range []struct {
		what   string
		req    []byte
		family byte
	}{
		{"link", message(syscall.RTM_GETLINK, dump, []byte{0}), 0},
		{"address", message(syscall.RTM_GETADDR, dump, []byte{syscall.AF_INET}), syscall.AF_INET},
		{"IPv6 address", message(syscall.RTM_GETADDR, dump, []byte{syscall.AF_INET6}), syscall.AF_INET6},
	} {
		want := findLoopback(t, nativeExchange(t, fd, c.req), c.family)
		got := findLoopback(t, exchange(t, s, c.req), c.family)
		if got.Header.Type != want.Header.Type || got.Header.Flags&^0x20 != want.Header.Flags&^0x20 ||
			!bytes.Equal(got.Data[:8], want.Data[:8]) {
			t.Errorf("%s: %+v %x; want %+v %x", c.what, got.Header, got.Data[:8], want.Header, want.Data[:8])
		}
		a, b := attributes(t, got), attributes(t, want)
		for typ, v := range a {
			if c.what != "link" && typ == syscall.IFA_CACHEINFO {
				v, b[typ] = v[:8], b[typ][:8] // the rest are times
			}
			if w, ok := b[typ]; !ok || len(v) != len(w) || !bytes.Equal(v, w) && !(c.what == "link" && differ[typ]) {
				t.Errorf("%s: attribute %d = %x; want %x", c.what, typ, v, w)
			}
		}
	}
}

// Go's own reader of the routing tables accepts the addresses from bind and getsockname.
func TestAddressesOfSockets(t *testing.T) {
	f := New(machine{}, 42)
	name := func(s kernel.Socket) string {
		var b [128]byte
		n, _ := s.LocalAddr(b[:])
		p, g, _ := parseAddr(b[:n])
		return fmt.Sprint(n, p, g)
	}
	bind := func(s kernel.Socket, port, groups uint32) syscall.Errno {
		var b [sockaddrSize]byte
		formatAddr(b[:], port, groups)
		return s.Bind(b[:])
	}
	a, _ := f.Socket(syscall.SOCK_RAW, 0)
	b, _ := f.Socket(syscall.SOCK_RAW, 0)
	if e := bind(a, 0, 5); e != 0 || name(a) != "12 42 5" {
		t.Errorf("the first socket is %q, %v; want port 42 and groups 5", name(a), e)
	}
	if e := bind(b, 42, 0); e != syscall.EADDRINUSE {
		t.Errorf("bind to a taken port = %v; want EADDRINUSE", e)
	}
	if e := bind(b, 0, 0); e != 0 || name(b) == name(a) {
		t.Errorf("the second socket is %q, %v; want a port of its own", name(b), e)
	}
	if e := bind(a, 7, 0); e != syscall.EINVAL {
		t.Errorf("bind to another port = %v; want EINVAL", e)
	}
	if e := b.Bind([]byte{16, 0, 0}); e != syscall.EINVAL {
		t.Errorf("bind to a short address = %v; want EINVAL", e)
	}
	a.Release()
	c, _ := f.Socket(syscall.SOCK_RAW, 0)
	if e := bind(c, 42, 0); e != 0 {
		t.Errorf("bind to a port given back = %v", e)
	}
	if e := c.SetOption(solNetlink, netlinkAdd, []byte{1, 0, 0, 0}); e != 0 || name(c) != "12 42 1" {
		t.Errorf("after joining group 1 the name is %q, %v", name(c), e)
	}
}
