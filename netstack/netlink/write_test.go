package netlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
)

// recorder is a Writer that records what it is asked for, and says what is wrong with that.
type recorder struct {
	calls []string
	wrong []string
}

func (r *recorder) note(index int, ok bool, format string, args ...any) syscall.Errno {
	call := fmt.Sprintf(format, args...)
	r.calls = append(r.calls, call)
	if !ok || index < 0 || index > 2 {
		r.wrong = append(r.wrong, call)
	}
	return 0
}

func (r *recorder) SetLink(index int, c LinkChange) syscall.Errno {
	up := "as it is"
	if c.Up != nil {
		up = fmt.Sprint(*c.Up)
	}
	return r.note(index, index > 0 && c.MTU >= -1, "set link %d name %q MTU %d up %s", index, c.Name, c.MTU, up)
}

func (r *recorder) RemoveLink(index int) syscall.Errno {
	return r.note(index, false, "remove link %d", index) // the machine has none that can be
}

func (r *recorder) AddAddress(index int, a NewAddress) syscall.Errno {
	return r.note(index, index > 0 && a.Prefix.IsValid(), "add address %d %v %+v", index, a.Prefix, a)
}

func (r *recorder) RemoveAddress(index int, addr netip.Addr, bits int) syscall.Errno {
	return r.note(index, index > 0 && addr.IsValid() && bits >= -1 && bits < 256, "remove address %d %v/%d", index, addr, bits)
}

func (r *recorder) AddRoute(n NewRoute, how How) syscall.Errno {
	d := n.Destination
	ok := d.IsValid() && (!n.Gateway.IsValid() || n.Gateway.Is4() == d.Addr().Is4()) && (!n.Source.IsValid() || n.Source.Is4() == d.Addr().Is4())
	return r.note(0, ok, "add route %v via %v %+v", d, n.Gateway, how)
}

func (r *recorder) RemoveRoute(n Route) syscall.Errno {
	return r.note(0, n.Destination.IsValid(), "remove route %v", n.Destination)
}

func (r *recorder) SetNeighbor(n Neighbor, how How) syscall.Errno {
	return r.note(n.Interface, n.Interface > 0 && n.Addr.IsValid(), "set neighbour %d %v %x %+v", n.Interface, n.Addr, n.HardwareAddr, how)
}

func (r *recorder) RemoveNeighbor(index int, addr netip.Addr) syscall.Errno {
	return r.note(index, index > 0 && addr.IsValid(), "remove neighbour %d %v", index, addr)
}

// writable returns a socket whose requests for changes go to a recorder.
func writable(t testing.TB) (kernel.Socket, *recorder) {
	t.Helper()
	r := new(recorder)
	f := New(machine{}, os.Getpid())
	AllowWrites(f, r)
	s, e := f.Socket(syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	if e != 0 {
		t.Fatal(e)
	}
	return s, r
}

// attribute32 is an attribute of 32 bits, bytes one of bytes.
func attribute32(typ uint16, v uint32) []byte {
	return attributeBytes(typ, binary.NativeEndian.AppendUint32(nil, v)...)
}

func attributeBytes(typ uint16, v ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(attributeSize+len(v)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// address is struct ifaddrmsg for interface 2, with attributes.
func addressBody(flags, scope byte, attributes ...[]byte) []byte {
	return append([]byte{syscall.AF_INET, 24, flags, scope, 2, 0, 0, 0}, slices.Concat(attributes...)...)
}

// routeBody is struct rtmsg with attributes.
func routeBody(tos, table, kind byte, attributes ...[]byte) []byte {
	return append([]byte{syscall.AF_INET, 24, 0, tos, table, syscall.RTPROT_STATIC, 0, kind, 0, 0, 0, 0}, slices.Concat(attributes...)...)
}

// What Linux has and the machine has not is refused, and nothing is changed.
func TestWritesRefused(t *testing.T) {
	local := attributeBytes(syscall.IFA_LOCAL, 10, 0, 0, 1)
	dst := attributeBytes(syscall.RTA_DST, 10, 9, 0, 0)
	oif := attribute32(syscall.RTA_OIF, 2)
	link := func(attributes ...[]byte) []byte { return linkBody(2, slices.Concat(attributes...)...) }
	neighbor := func(state uint16, flags byte) []byte {
		b := append([]byte{syscall.AF_INET, 0, 0, 0, 2, 0, 0, 0}, byte(state), byte(state>>8), flags, 0)
		return append(append(b, attributeBytes(1, 10, 0, 0, 7)...), attributeBytes(2, 2, 0, 0, 0, 0, 9)...)
	}
	for _, c := range []struct {
		name string
		typ  uint16
		body []byte
	}{
		{"an address at a point-to-point link", syscall.RTM_NEWADDR, addressBody(0, 0, local, attributeBytes(syscall.IFA_ADDRESS, 10, 0, 0, 2))},
		{"an address that ends", syscall.RTM_NEWADDR, addressBody(0, 0, local, attributeBytes(syscall.IFA_CACHEINFO, 5, 0, 0, 0, 9, 0, 0, 0))},
		{"an address with other flags", syscall.RTM_NEWADDR, addressBody(0x20, 0, local)},
		{"an address of a link alone", syscall.RTM_NEWADDR, addressBody(0, syscall.RT_SCOPE_LINK, local)},
		{"an address with a label", syscall.RTM_NEWADDR, addressBody(0, 0, local, attributeBytes(syscall.IFA_LABEL, []byte("eth0:1\x00")...))},
		{"an address with another broadcast address", syscall.RTM_NEWADDR, addressBody(0, 0, local, attributeBytes(syscall.IFA_BROADCAST, 10, 0, 0, 77))},
		{"a route of another table", syscall.RTM_NEWROUTE, routeBody(0, 77, syscall.RTN_UNICAST, dst, oif)},
		{"a route of another table, in an attribute", syscall.RTM_NEWROUTE, routeBody(0, syscall.RT_TABLE_MAIN, syscall.RTN_UNICAST, dst, oif, attribute32(syscall.RTA_TABLE, 1000))},
		{"a route for a type of service", syscall.RTM_NEWROUTE, routeBody(8, syscall.RT_TABLE_MAIN, syscall.RTN_UNICAST, dst, oif)},
		{"a route to nowhere", syscall.RTM_NEWROUTE, routeBody(0, syscall.RT_TABLE_MAIN, syscall.RTN_BLACKHOLE, dst)},
		{"a route with metrics", syscall.RTM_NEWROUTE, routeBody(0, syscall.RT_TABLE_MAIN, syscall.RTN_UNICAST, dst, oif, attribute32(syscall.RTA_METRICS, 0))},
		{"a route by several ways", syscall.RTM_NEWROUTE, routeBody(0, syscall.RT_TABLE_MAIN, syscall.RTN_UNICAST, dst, attribute32(syscall.RTA_MULTIPATH, 0))},
		{"a route by a nexthop", syscall.RTM_NEWROUTE, routeBody(0, syscall.RT_TABLE_MAIN, syscall.RTN_UNICAST, dst, attribute32(rtaNexthopID, 1))},
		{"a hardware address", syscall.RTM_NEWLINK, link(attributeBytes(syscall.IFLA_ADDRESS, 2, 0, 0, 0, 0, 77))},
		{"a queue's length", syscall.RTM_NEWLINK, link(attribute32(syscall.IFLA_TXQLEN, 7))},
		{"a master", syscall.RTM_NEWLINK, link(attribute32(syscall.IFLA_MASTER, 1))},
		{"another kind", syscall.RTM_NEWLINK, link(attributeBytes(iflaLinkInfo, attributeBytes(infoKind, []byte("bridge\x00")...)...))},
		{"a MTU and something else", syscall.RTM_NEWLINK, link(attribute32(syscall.IFLA_MTU, 1400), attribute32(syscall.IFLA_MASTER, 1))},
		{"hardware that goes", syscall.RTM_DELLINK, link()},
		{"a neighbour that is to be found", syscall.RTM_NEWNEIGH, neighbor(2, 0)},
		{"a neighbour to answer for", syscall.RTM_NEWNEIGH, neighbor(permanent, 8)},
	} {
		s, r := writable(t)
		got := parse(t, exchange(t, s, message(c.typ, ack|syscall.NLM_F_CREATE, c.body)))
		if len(got) != 1 || syscall.Errno(-int32(binary.NativeEndian.Uint32(got[0].Data))) != syscall.EOPNOTSUPP || len(r.calls) != 0 {
			t.Errorf("%s: %v, and %q is done; want EOPNOTSUPP and nothing", c.name, got, r.calls)
		}
	}
}

// What is served arrives as it was asked for.
func TestWritesArrive(t *testing.T) {
	up := linkBody(2)
	up[linkFlags], up[linkChange] = syscall.IFF_UP, syscall.IFF_UP
	for _, c := range []struct {
		want  string
		typ   uint16
		flags uint16
		body  []byte
	}{
		{`set link 2 name "" MTU -1 up true`, syscall.RTM_NEWLINK, 0, up},
		{`set link 2 name "" MTU 1400 up as it is`, syscall.RTM_SETLINK, 0, linkBody(0, slices.Concat(attributeBytes(syscall.IFLA_IFNAME, []byte("eth0\x00")...), attribute32(syscall.IFLA_MTU, 1400))...)},
		{`set link 2 name "wan" MTU -1 up as it is`, syscall.RTM_NEWLINK, 0, linkBody(2, attributeBytes(syscall.IFLA_IFNAME, []byte("wan\x00")...)...)},
		{"remove address 2 10.0.0.1/-1", syscall.RTM_DELADDR, 0, addressBody(0, 0, attributeBytes(syscall.IFA_LOCAL, 10, 0, 0, 1))},
		{"remove address 2 10.0.2.15/24", syscall.RTM_DELADDR, 0, addressBody(0, 0)},
		{"add route 10.9.0.0/24 via invalid IP {Create:true Exclusive:true Replace:false Append:false}", syscall.RTM_NEWROUTE, syscall.NLM_F_CREATE | syscall.NLM_F_EXCL,
			routeBody(0, syscall.RT_TABLE_MAIN, syscall.RTN_UNICAST, attributeBytes(syscall.RTA_DST, 10, 9, 0, 0), attribute32(syscall.RTA_OIF, 2))},
		{"remove route 10.9.0.0/24", syscall.RTM_DELROUTE, 0, routeBody(0, syscall.RT_TABLE_MAIN, 0, attributeBytes(syscall.RTA_DST, 10, 9, 0, 0))},
	} {
		s, r := writable(t)
		got := parse(t, exchange(t, s, message(c.typ, ack|c.flags, c.body)))
		if len(got) != 1 || binary.NativeEndian.Uint32(got[0].Data) != 0 || !slices.Equal(r.calls, []string{c.want}) {
			t.Errorf("%v, and %q is done; want %q", got, r.calls, c.want)
		}
	}
}

// FuzzWrite: whatever a program asks for, the Writer is asked only for what makes sense.
func FuzzWrite(f *testing.F) {
	f.Add(message(syscall.RTM_NEWADDR, ack|syscall.NLM_F_CREATE, addressBody(0, 0, attributeBytes(syscall.IFA_LOCAL, 10, 0, 0, 1), attribute32(ifaMetric, 7))))
	f.Add(message(syscall.RTM_DELADDR, ack, addressBody(0, 0)))
	f.Add(message(syscall.RTM_NEWROUTE, ack|syscall.NLM_F_CREATE, routeBody(0, 254, 1, attributeBytes(syscall.RTA_DST, 10, 9, 0, 0), attributeBytes(syscall.RTA_GATEWAY, 10, 0, 2, 2))))
	f.Add(message(syscall.RTM_DELROUTE, ack, routeBody(0, 254, 0)))
	f.Add(message(syscall.RTM_NEWLINK, ack, linkBody(2, attribute32(syscall.IFLA_MTU, 1400)...)))
	f.Add(message(syscall.RTM_SETLINK, ack, linkBody(0, attributeBytes(syscall.IFLA_IFNAME, []byte("eth0\x00")...)...)))
	f.Add(message(syscall.RTM_DELLINK, ack, linkBody(2)))
	f.Add(message(syscall.RTM_NEWNEIGH, ack|syscall.NLM_F_CREATE, slices.Concat([]byte{2, 0, 0, 0, 2, 0, 0, 0, permanent, 0, 0, 0}, attributeBytes(1, 10, 0, 0, 7), attributeBytes(2, 2, 0, 0, 0, 0, 9))))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, r := writable(t)
		s.Write(b, 0)
		if len(r.wrong) != 0 {
			t.Errorf("asked for %q", r.wrong)
		}
		for p := make([]byte, 64<<10); ; {
			n, e := s.Read(p, 0)
			if e != 0 {
				return
			}
			if _, err := syscall.ParseNetlinkMessage(p[:n]); err != nil {
				t.Errorf("answer %x: %v", p[:n], err)
			}
		}
	})
}
