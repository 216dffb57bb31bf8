package netlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// machine is a source with a loopback and one Ethernet interface.
type machine struct{}

func (machine) Interfaces() []Interface {
	return []Interface{{
		Index: 1, Name: "lo", Type: syscall.ARPHRD_LOOPBACK, MTU: 65536, QueueLength: 1000,
		Flags:        syscall.IFF_UP | syscall.IFF_LOOPBACK | syscall.IFF_RUNNING | 1<<16, // IFF_LOWER_UP
		HardwareAddr: make([]byte, 6), Broadcast: make([]byte, 6),
		Addresses: []Address{
			{Prefix: netip.MustParsePrefix("127.0.0.1/8"), Scope: syscall.RT_SCOPE_HOST},
			{Prefix: netip.MustParsePrefix("::1/128"), Scope: syscall.RT_SCOPE_HOST},
		},
	}, {
		Index: 2, Name: "eth0", Type: syscall.ARPHRD_ETHER, MTU: 1500, QueueLength: 1000,
		Flags:        syscall.IFF_UP | syscall.IFF_BROADCAST | syscall.IFF_RUNNING | syscall.IFF_MULTICAST,
		HardwareAddr: []byte{2, 0, 0, 0, 0, 1}, Broadcast: bytes.Repeat([]byte{255}, 6),
		Addresses: []Address{{
			Prefix: netip.MustParsePrefix("10.0.2.15/24"), Broadcast: netip.MustParseAddr("10.0.2.255"), Temporary: true,
		}},
		Stats: Stats{ReceivedPackets: 7, SentPackets: 8, ReceivedBytes: 1 << 40, SentBytes: 9},
	}}
}

func (machine) Routes() []Route {
	return []Route{
		{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.2.2"), Interface: 2, Protocol: syscall.RTPROT_BOOT},
		{Destination: netip.MustParsePrefix("10.0.2.0/24"), Source: netip.MustParseAddr("10.0.2.15"), Interface: 2,
			Protocol: syscall.RTPROT_KERNEL, Scope: syscall.RT_SCOPE_LINK},
	}
}

func (machine) Neighbors() []Neighbor {
	return []Neighbor{{Interface: 2, Addr: netip.MustParseAddr("10.0.2.2"), HardwareAddr: []byte{2, 0, 0, 0, 0, 2}, State: 2}}
}

// message is a request as a program sends it.
func message(typ, flags uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(headerSize+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, 1) // sequence
	b = binary.NativeEndian.AppendUint32(b, 0) // port
	b = append(b, body...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

const (
	ask  = syscall.NLM_F_REQUEST
	dump = syscall.NLM_F_REQUEST | syscall.NLM_F_DUMP
	ack  = syscall.NLM_F_REQUEST | syscall.NLM_F_ACK
)

// linkBody is a struct ifinfomsg for an index with attributes.
func linkBody(index int, attributes ...byte) []byte {
	b := make([]byte, linkSize)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	return append(b, attributes...)
}

func newSocket(t testing.TB) kernel.Socket {
	t.Helper()
	f := New(machine{}, os.Getpid())
	f.UseFilters(bpf.NewFilter)
	s, e := f.Socket(syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	if e != 0 {
		t.Fatal(e)
	}
	return s
}

// exchange sends requests and returns the datagrams that answer them.
func exchange(t testing.TB, s kernel.Socket, b []byte) [][]byte {
	t.Helper()
	var to [12]byte
	n := formatAddr(to[:], 0, 0)
	if n, e := s.Send(&kernel.Message{Buffers: [][]byte{b[:2], b[2:]}, Addr: to[:n]}, 0); n != len(b) || e != 0 {
		t.Fatalf("Send = %d, %v", n, e)
	}
	var all [][]byte
	for {
		p := make([]byte, os.Getpagesize())
		m := &kernel.Message{Buffers: [][]byte{p}, Addr: make([]byte, 128)}
		n, e := s.Receive(m, 0)
		if e == syscall.EAGAIN {
			return all
		}
		if e != 0 || m.Flags != 0 || m.AddrLen != sockaddrSize {
			t.Fatalf("Receive = %d, %v, flags %#x, address of %d bytes", n, e, m.Flags, m.AddrLen)
		}
		all = append(all, p[:n])
	}
}

// messages sends one request and parses the answer.
func messages(t testing.TB, b []byte) []syscall.NetlinkMessage {
	t.Helper()
	return parse(t, exchange(t, newSocket(t), b))
}

func parse(t testing.TB, datagrams [][]byte) []syscall.NetlinkMessage {
	t.Helper()
	var all []syscall.NetlinkMessage
	for _, d := range datagrams {
		m, err := syscall.ParseNetlinkMessage(d)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m...)
	}
	return all
}

// attributes returns a message's attributes by type.
func attributes(t testing.TB, m *syscall.NetlinkMessage) map[uint16][]byte {
	t.Helper()
	list, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[uint16][]byte)
	for _, a := range list {
		out[a.Attr.Type] = a.Value
	}
	return out
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

func TestLinks(t *testing.T) {
	got := messages(t, message(syscall.RTM_GETLINK, dump, []byte{0}))
	want := machine{}.Interfaces()
	if len(got) != len(want)+1 || got[len(want)].Header.Type != syscall.NLMSG_DONE {
		t.Fatalf("%d messages; want %d links and the end", len(got), len(want))
	}
	for n, i := range want {
		m := got[n]
		if m.Header.Type != syscall.RTM_NEWLINK || m.Header.Flags != syscall.NLM_F_MULTI ||
			m.Header.Seq != 1 || m.Header.Pid != uint32(os.Getpid()) {
			t.Errorf("header = %+v", m.Header)
		}
		a := attributes(t, &m)
		index := int(binary.NativeEndian.Uint32(m.Data[4:]))
		mtu := int(binary.NativeEndian.Uint32(a[syscall.IFLA_MTU]))
		received := binary.NativeEndian.Uint64(a[iflaStats64][16:])
		if text(a[syscall.IFLA_IFNAME]) != i.Name || index != i.Index || mtu != i.MTU ||
			!bytes.Equal(a[syscall.IFLA_ADDRESS], i.HardwareAddr) || received != i.Stats.ReceivedBytes {
			t.Errorf("link %d = %q, index %d, MTU %d, address %x, received %d; want %+v",
				n, a[syscall.IFLA_IFNAME], index, mtu, a[syscall.IFLA_ADDRESS], received, i)
		}
	}
}

func TestAddresses(t *testing.T) {
	for family, want := range map[byte][]string{
		syscall.AF_UNSPEC: {"127.0.0.1/8", "10.0.2.15/24", "::1/128"},
		syscall.AF_INET:   {"127.0.0.1/8", "10.0.2.15/24"},
		syscall.AF_INET6:  {"::1/128"},
	} {
		var got []string
		for _, m := range messages(t, message(syscall.RTM_GETADDR, dump, []byte{family})) {
			if m.Header.Type == syscall.RTM_NEWADDR {
				ip, _ := netip.AddrFromSlice(attributes(t, &m)[syscall.IFA_ADDRESS])
				got = append(got, netip.PrefixFrom(ip, int(m.Data[1])).String())
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("addresses of family %d = %v; want %v", family, got, want)
		}
	}
}

func TestOneLink(t *testing.T) {
	name := append([]byte{9, 0, syscall.IFLA_IFNAME, 0}, "eth0\x00"...)
	for _, body := range [][]byte{linkBody(2), linkBody(0, name...)} {
		got := messages(t, message(syscall.RTM_GETLINK, ack, body))
		if len(got) != 2 || text(attributes(t, &got[0])[syscall.IFLA_IFNAME]) != "eth0" || got[1].Header.Type != syscall.NLMSG_ERROR {
			t.Errorf("answer = %v; want eth0 and an acknowledgement", got)
		}
	}
}

func TestRoutes(t *testing.T) {
	got := messages(t, message(syscall.RTM_GETROUTE, dump, make([]byte, routeSize)))
	if len(got) != 3 {
		t.Fatalf("%d messages; want 2 routes and the end", len(got))
	}
	a := attributes(t, &got[0])
	if _, ok := a[syscall.RTA_DST]; ok || !bytes.Equal(a[syscall.RTA_GATEWAY], []byte{10, 0, 2, 2}) {
		t.Errorf("default route = %v", a)
	}
	a = attributes(t, &got[1])
	if got[1].Data[1] != 24 || !bytes.Equal(a[syscall.RTA_DST], []byte{10, 0, 2, 0}) || !bytes.Equal(a[syscall.RTA_PREFSRC], []byte{10, 0, 2, 15}) {
		t.Errorf("link route = %v", a)
	}
}

func TestRouteTo(t *testing.T) {
	for dst, want := range map[[4]byte]struct {
		oif     uint32
		gateway []byte
	}{
		{10, 0, 2, 9}:  {2, nil},
		{1, 1, 1, 1}:   {2, []byte{10, 0, 2, 2}},
		{10, 0, 2, 15}: {1, nil},
		{127, 9, 9, 9}: {1, nil},
	} {
		body := append(make([]byte, routeSize), 8, 0, syscall.RTA_DST, 0, dst[0], dst[1], dst[2], dst[3])
		body[0], body[1] = syscall.AF_INET, 32
		got := messages(t, message(syscall.RTM_GETROUTE, ask, body))
		if len(got) != 1 || got[0].Header.Type != syscall.RTM_NEWROUTE {
			t.Errorf("route to %v = %v", dst, got)
			continue
		}
		a := attributes(t, &got[0])
		if oif := binary.NativeEndian.Uint32(a[syscall.RTA_OIF]); oif != want.oif || !bytes.Equal(a[syscall.RTA_GATEWAY], want.gateway) {
			t.Errorf("route to %v = interface %d by %v; want %+v", dst, oif, a[syscall.RTA_GATEWAY], want)
		}
	}
}

func TestNeighbors(t *testing.T) {
	got := messages(t, message(syscall.RTM_GETNEIGH, dump, make([]byte, neighborSize)))
	want := []byte{8, 0, ndaDst, 0, 10, 0, 2, 2, 10, 0, ndaLladdr, 0, 2, 0, 0, 0, 0, 2, 0, 0}
	if len(got) != 2 || !bytes.Equal(got[0].Data[neighborSize:], want) { // package syscall cannot parse these
		t.Errorf("neighbours = %x; want one with the attributes %x", got, want)
	}
}

func TestConfigurationIsRefused(t *testing.T) {
	for _, typ := range []uint16{syscall.RTM_NEWLINK, syscall.RTM_NEWADDR, syscall.RTM_DELROUTE} {
		got := messages(t, message(typ, ack, make([]byte, linkSize)))
		if len(got) != 1 || int32(binary.NativeEndian.Uint32(got[0].Data)) != -int32(syscall.EPERM) {
			t.Errorf("answer to type %d = %v; want EPERM", typ, got)
		}
	}
}

// many is a machine with more interfaces than fit into one datagram.
type many struct{ machine }

func (many) Interfaces() []Interface {
	all := make([]Interface, 100)
	for n := range all {
		all[n] = Interface{Index: n + 1, Name: fmt.Sprint("eth", n), HardwareAddr: make([]byte, 6), Broadcast: make([]byte, 6)}
	}
	return all
}

func TestDumpIsSplit(t *testing.T) {
	s, _ := New(many{}, 1).Socket(syscall.SOCK_RAW, 0)
	got := exchange(t, s, message(syscall.RTM_GETLINK, dump, []byte{0})) // fails if one is cut
	if n := len(parse(t, got)); n != 101 || len(got) < 2 {
		t.Errorf("%d messages in %d datagrams; want 101 in more than one", n, len(got))
	}
}

func TestUnreadAnswersAreBounded(t *testing.T) {
	s := newSocket(t)
	req := message(syscall.RTM_GETLINK, dump, []byte{0})
	for range 1000 {
		if _, e := s.Write(req, 0); e != 0 {
			t.Fatal(e)
		}
	}
	if _, e := s.Read(make([]byte, 4096), 0); e != syscall.ENOBUFS {
		t.Errorf("Read after an overrun = %v; want ENOBUFS", e)
	}
	if n, e := s.Read(make([]byte, 4096), 0); n == 0 || e != 0 {
		t.Errorf("the next Read = %d, %v; want the first answer", n, e)
	}
}

func TestReadiness(t *testing.T) {
	s := newSocket(t)
	told := kernel.Events(0)
	s.Queue().Add(&kernel.Waiter{Notify: func(ev kernel.Events) { told |= ev }})
	if ev := s.Readiness(); ev != kernel.EventOut|kernel.EventWrBand {
		t.Errorf("new socket: %#x; want EventOut and EventWrBand", ev)
	}
	s.Write(message(syscall.NLMSG_NOOP, ack, nil), 0)
	if ev := s.Readiness(); ev != kernel.EventOut|kernel.EventWrBand|kernel.EventIn || told&kernel.EventIn == 0 {
		t.Errorf("with an answer: %#x, told %#x", ev, told)
	}
}

func TestFactory(t *testing.T) {
	f := New(machine{}, 1)
	for _, c := range []struct {
		typ, protocol int
		want          syscall.Errno
	}{
		{syscall.SOCK_RAW, syscall.NETLINK_ROUTE, 0},
		{syscall.SOCK_DGRAM, syscall.NETLINK_ROUTE, 0},
		{syscall.SOCK_STREAM, syscall.NETLINK_ROUTE, syscall.ESOCKTNOSUPPORT},
		{syscall.SOCK_RAW, syscall.NETLINK_AUDIT, syscall.EPROTONOSUPPORT},
		{syscall.SOCK_RAW, syscall.NETLINK_INET_DIAG, syscall.EPROTONOSUPPORT},
	} {
		if _, e := f.Socket(c.typ, c.protocol); e != c.want {
			t.Errorf("Socket(%d, %d) = %v; want %v", c.typ, c.protocol, e, c.want)
		}
	}
}

// hostLoopback is the host's loopback interface as a source, for the comparison with the
// host's kernel.
type hostLoopback struct {
	machine
	mtu int
}

func (h hostLoopback) Interfaces() []Interface {
	lo := h.machine.Interfaces()[:1]
	lo[0].MTU = h.mtu
	return lo
}

func FuzzRequest(f *testing.F) {
	f.Add(message(syscall.RTM_GETLINK, dump, []byte{0}))
	f.Add(message(syscall.RTM_GETLINK, ack, linkBody(0, 9, 0, 3, 0, 'e', 't', 'h', '0', 0)))
	f.Add(message(syscall.RTM_GETROUTE, ask, append(make([]byte, routeSize), 8, 0, 1, 0, 1, 1, 1, 1)))
	f.Add(append(message(syscall.NLMSG_NOOP, ack, nil), message(999, ack, []byte{1, 2, 3})...))
	f.Add([]byte{255, 255, 255, 255, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		s := newSocket(t)
		s.SetOption(solNetlink, netlinkStrict, []byte{1, 0, 0, 0})
		s.Write(b, 0)
		var p [64 << 10]byte
		for {
			n, e := s.Read(p[:], 0)
			if e != 0 {
				return
			}
			if _, err := syscall.ParseNetlinkMessage(p[:n]); err != nil {
				t.Errorf("answer %x: %v", p[:n], err)
			}
		}
	})
}

// The answers to NetlinkRIB go to net.Interfaces; this checks its parser's result.
func TestNetInterfaceFlags(t *testing.T) {
	got := messages(t, message(syscall.RTM_GETLINK, dump, []byte{0}))
	flags := binary.NativeEndian.Uint32(got[0].Data[8:])
	if flags&syscall.IFF_LOOPBACK == 0 || net.Flags(flags)&net.FlagUp == 0 {
		t.Errorf("flags of lo = %#x", flags)
	}
}
