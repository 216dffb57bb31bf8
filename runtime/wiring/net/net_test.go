package net

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	virtionet "github.com/yolk-unikernel/yolk/drivers/virtio/net"
	"github.com/yolk-unikernel/yolk/runtime/wiring/cards"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// quiet leaves out what sends frames of its own.
const quiet = "ip6=off"

var (
	own  = netip.MustParseAddr("10.0.0.2")
	peer = netip.MustParseAddr("10.0.0.1")
)

// sockaddr is a struct sockaddr_in.
func sockaddr(a netip.AddrPort) []byte {
	b := binary.NativeEndian.AppendUint16(nil, syscall.AF_INET)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	return append(append(b, a.Addr().AsSlice()...), make([]byte, 8)...)
}

// Two cards are eth0 and eth1, each with the address that the words give it; names and
// servers are where a resolver looks.
func TestCards(t *testing.T) {
	m := wiringtest.New(t)
	m.Add(newCard(t, m, 1, 64).Device)
	m.Add(newCard(t, m, 2, 64).Device)
	m.Start(quiet, "ip=10.0.0.2::10.0.0.1:255.255.255.0:vm7:eth0:off:10.0.0.53", "ip=192.168.7.2/28:::::eth1", "nameserver=9.9.9.9")
	Start()
	m.WantQuiet()
	if got := m.Hostname(); got != "vm7" {
		t.Errorf("host name %q; want vm7", got)
	}
	m.WantFile("/etc/resolv.conf", "nameserver 9.9.9.9\nnameserver 10.0.0.53\n")
	dev, _ := m.ReadFile("/proc/net/dev")
	for _, name := range []string{"lo:", "eth0:", "eth1:"} {
		if !strings.Contains(dev, name) {
			t.Errorf("/proc/net/dev: %q; want %s", dev, name)
		}
	}
	want := []string{ // IPv4 first, as Linux
		"lo 127.0.0.1/8 scope 254 broadcast none", "eth0 10.0.0.2/24 scope 0 broadcast 10.0.0.255",
		"eth1 192.168.7.2/28 scope 0 broadcast 192.168.7.15", "lo ::1/128 scope 254 broadcast none",
	}
	if got := addresses(m); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("addresses:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for index, mac := range map[int]string{2: "\x52\x54\x00\x12\x34\x01", 3: "\x52\x54\x00\x12\x34\x02"} {
		if got := links(m)[index]; got.mac != mac || got.mtu != 1400 || got.typ != syscall.ARPHRD_ETHER || got.broadcast != "\xff\xff\xff\xff\xff\xff" {
			t.Errorf("interface %d: %+v; want address %x, MTU 1400", index, got, mac)
		}
	}
	if got := links(m)[1]; got.typ != syscall.ARPHRD_LOOPBACK || got.broadcast != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("lo: %+v", got)
	}
	routes := strings.Join(routesOf(m), "\n")
	for _, want := range []string{
		"0.0.0.0/0 via 10.0.0.1 dev 2 protocol 3 scope 0", "10.0.0.0/24 via none dev 2 protocol 2 scope 253", "192.168.7.0/28 via none dev 3 protocol 2 scope 253",
	} {
		if !strings.Contains(routes, want) {
			t.Errorf("routes:\n%s\nwant %s", routes, want)
		}
	}
}

// A word hostname= counts more than what ip= says.
func TestHostnameWord(t *testing.T) {
	m := wiringtest.New(t)
	m.Add(newCard(t, m, 1, 64).Device)
	m.Start(quiet, "hostname=a", "ip=10.0.0.2/24::::b:eth0", "hostname=c")
	Start()
	if got := m.Hostname(); got != "c" {
		t.Errorf("host name %q; want c", got)
	}
	if got := hostname(); got != "c" {
		t.Errorf("what a DHCP server would be told: %q; want c", got)
	}
}

// Frames go both ways: a question for the address and a ping are answered, and what the
// program sends comes out whole.
func TestFrames(t *testing.T) {
	m := wiringtest.New(t)
	c := newCard(t, m, 1, 64)
	m.Add(c.Device)
	m.Start(quiet, "ip=10.0.0.2/24::10.0.0.1")
	Start()

	c.deliver(arp(1, peerMAC, peer, make([]byte, 6), own))
	reply := c.next(func(f []byte) bool { return isARP(f) && f[21] == 2 })
	if want := arp(2, c.mac, own, peerMAC, peer); !bytes.Equal(reply[:len(want)], want) {
		t.Errorf("ARP reply %x; want %x", reply, want)
	}

	const icmp, udp = 1, 17
	ping := append([]byte{8, 0, 0, 0, 0, 7, 0, 1}, "are you there?"...)
	binary.BigEndian.PutUint16(ping[2:], checksum(ping))
	for range 100 { // more than the ring has room for
		c.deliver(ethernet(c.mac, peerMAC, typeIPv4, ipv4(icmp, peer, own, ping)))
		pong := c.next(isIPv4(icmp))
		if pong[34] != 0 || !bytes.Equal(pong[38:], ping[4:]) {
			t.Fatalf("answer to a ping: %x", pong)
		}
	}

	fd := m.Must(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	to := netip.AddrPortFrom(peer, 1234)
	addr := sockaddr(to)
	for _, n := range []int{0, 1, 100, 1372} { // which fills the MTU
		data := bytes.Repeat([]byte{byte(n)}, n)
		m.Must(syscall.SYS_SENDTO, fd, data, n, 0, addr, len(addr))
		f := c.next(isIPv4(udp))
		if got := f[14+20+8:]; !bytes.Equal(got, data) || !bytes.Equal(f[:6], peerMAC) {
			t.Errorf("a datagram of %d bytes came out as %d, to %x", n, len(got), f[:6])
		}
	}
	m.WantQuiet()
}

// A card that cuts TCP segments itself gets large ones, and is told how (virtio 1.2
// §5.1.6.2).
func TestSegmentation(t *testing.T) {
	m := wiringtest.New(t)
	c := newCardWith(t, m, 1, 64, features|virtionet.FeatureCsum|virtionet.FeatureHostTSO4|virtionet.FeatureHostTSO6)
	m.Add(c.Device)
	m.Start(quiet, "ip=10.0.0.2/24")
	Start()
	const proto, syn, ackFlag = 6, 2, 16
	fd := m.Must(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	to := netip.AddrPortFrom(peer, 80)
	addr := sockaddr(to)
	if _, e := m.Call(syscall.SYS_CONNECT, fd, addr, len(addr)); e != syscall.EINPROGRESS {
		t.Fatalf("connect: %v", e)
	}
	f := c.next(isIPv4(proto))
	from := netip.AddrPortFrom(own, binary.BigEndian.Uint16(f[34:]))
	seq := binary.BigEndian.Uint32(f[38:])
	c.deliver(ethernet(c.mac, peerMAC, typeIPv4, ipv4(proto, peer, own, tcp(to, from, 1000, seq+1, syn|ackFlag))))
	c.next(isIPv4(proto)) // the handshake's last
	m.Must(syscall.SYS_FCNTL, fd, syscall.F_SETFL, 0)
	m.Must(syscall.SYS_WRITE, fd, make([]byte, 5000), 5000)
	f = c.next(isIPv4(proto))
	le := binary.LittleEndian.Uint16
	if h := c.header; h[0] != virtionet.NeedsChecksum || h[1] != virtionet.GSOTCPv4 || le(h[6:]) != 34 || le(h[8:]) != 16 ||
		int(le(h[4:])) > 1400-40 || int(le(h[2:])) != len(f)-5000 {
		t.Errorf("a frame of %d bytes with the header %x; want 5000 bytes to be cut, and their checksums made", len(f), h)
	}
}

// While the card takes no frames, they wait; no one is lost or overtaken.
func TestFullRing(t *testing.T) {
	m := wiringtest.New(t)
	c := newCard(t, m, 1, 16)
	m.Add(c.Device)
	m.Start(quiet, "ip=10.0.0.2/24")
	Start()
	fd := m.Must(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	to := sockaddr(netip.AddrPortFrom(peer, 1234))
	m.Must(syscall.SYS_SENDTO, fd, []byte("first"), 5, 0, to, len(to))
	const udp = 17
	c.next(isIPv4(udp)) // the peer's address is known
	if text, e := m.ReadFile("/proc/net/arp"); e != 0 || !strings.Contains(text, peer.String()+"         0x1         0x2 ") {
		t.Errorf("/proc/net/arp is %q, %v", text, e)
	}
	c.setSlow(true)
	const n = 60
	for i := range n {
		m.Must(syscall.SYS_SENDTO, fd, []byte{byte(i)}, 1, 0, to, len(to))
	}
	c.setSlow(false)
	for i := range n {
		if f := c.next(isIPv4(udp)); f[42] != byte(i) {
			t.Fatalf("datagram %d came as number %d", f[42], i)
		}
	}
}

// The program can take a card: its interface, addresses and routes are gone then, and the
// other card is the stack's as before.
func TestProgramTakesCard(t *testing.T) {
	m := wiringtest.New(t)
	c := newCard(t, m, 1, 64)
	m.Add(c.Device)
	m.Add(newCard(t, m, 2, 64).Device)
	m.Start(quiet, "ip=10.0.0.2/24::10.0.0.1:::eth0", "ip=10.1.0.2/24:::::eth1")
	Start()
	list := cards.List()
	for i, l := range list {
		if got := l.(*cards.Listed).User(); got != devices.Stack {
			t.Errorf("card %d is in use by %q; want the stack", i, got)
		}
	}
	n, err := list[0].(*cards.Listed).Open(0, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := links(m); got[2].name != "" || got[3].name != "eth1" {
		t.Errorf("interfaces %v; want lo and eth1", got)
	}
	if got := strings.Join(routesOf(m), "\n"); strings.Contains(got, "10.0.0.") {
		t.Errorf("routes over the card that is gone:\n%s", got)
	}
	frame := arp(1, peerMAC, peer, make([]byte, 6), own)
	c.deliver(frame)
	frames := make([]cards.Frame, 1)
	if _, err := n.(*cards.Card).Receive(frames); err != nil || !bytes.Equal(frames[0].Data, frame) {
		t.Errorf("the program receives %x, %v; want %x", frames[0].Data, err, frame)
	}
	m.WantQuiet()
}

// A card that cannot be used is told of by its name and place, and keeps its name.
func TestBrokenCard(t *testing.T) {
	m := wiringtest.New(t)
	broken := newCard(t, m, 1, 64)
	broken.RefuseDriver = true
	m.Add(broken.Device)
	m.Add(newCard(t, m, 2, 64).Device)
	m.Start(quiet, "ip=10.0.0.2/24:::::eth1")
	Start()
	if got, want := m.Output(), "yolk: eth0 (mmio 0xfeb00000): "+virtio.ErrFeaturesOK.Error()+"\n"; got != want {
		t.Errorf("the console says %q; want %q", got, want)
	}
	if got := addresses(m); len(got) != 3 || got[1] != "eth1 10.0.0.2/24 scope 0 broadcast 10.0.0.255" {
		t.Errorf("addresses %q; want eth1's", got)
	}
}

// output waits until the console has said something.
func output(m *wiringtest.Machine) (s string) {
	for !strings.HasSuffix(s, "\n") {
		s += m.Output()
	}
	return s
}

// A pulled cable and a broken device are told of by the card's name.
func TestCardFails(t *testing.T) {
	m := wiringtest.New(t)
	m.Add(newCard(t, m, 1, 64).Device)
	c := newCard(t, m, 2, 64)
	m.Add(c.Device)
	m.Start(quiet, "ip=off")
	Start()
	c.SetConfig(6, 0)
	if got, want := output(m), "yolk: eth1: link is down\n"; got != want {
		t.Errorf("the console says %q; want %q", got, want)
	}
	c.SetConfig(6, 1)
	c.NeedReset()
	if got, want := output(m), "yolk: eth1: device failed: "+virtio.ErrNeedsReset.Error()+"\n"; got != want {
		t.Errorf("the console says %q; want %q", got, want)
	}
}

// A word without sense is told of, and the cards are there without an address.
func TestBadWord(t *testing.T) {
	m := wiringtest.New(t)
	m.Add(newCard(t, m, 1, 64).Device)
	m.Start(quiet, "ip=10.0.0.300/24")
	Start()
	m.WantOutput("yolk: ip=10.0.0.300/24: ", "; expected ip=ADDRESS/LENGTH")
	if got := addresses(m); len(got) != 2 {
		t.Errorf("addresses %q; want lo's", got)
	}
}

// Without a card there is the loopback interface, and nothing is waited for.
func TestLoopbackOnly(t *testing.T) {
	m := wiringtest.New(t)
	m.Start("ip=dhcp")
	Start()
	m.WantQuiet()
	m.WantFile("/etc/resolv.conf", "")
	local := sockaddr(netip.MustParseAddrPort("127.0.0.1:5000"))
	fd := m.Must(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	m.Must(syscall.SYS_BIND, fd, local, len(local))
	m.Must(syscall.SYS_SENDTO, fd, []byte("echo"), 4, 0, local, len(local))
	b := make([]byte, 10)
	if n := m.Must(syscall.SYS_READ, fd, b, len(b)); string(b[:n]) != "echo" {
		t.Errorf("read %q", b[:n])
	}
}

func TestUnixSockets(t *testing.T) {
	m := wiringtest.New(t)
	m.Start()
	Start()
	fds := new([2]int32)
	m.Must(syscall.SYS_SOCKETPAIR, syscall.AF_UNIX, syscall.SOCK_STREAM, 0, unsafe.Pointer(fds))
	m.Must(syscall.SYS_WRITE, int(fds[0]), []byte("hello"), 5)
	b := make([]byte, 10)
	if n := m.Must(syscall.SYS_READ, int(fds[1]), b, len(b)); string(b[:n]) != "hello" {
		t.Errorf("read %q", b[:n])
	}
	const peerCred = 17 // SO_PEERCRED
	cred, size := new(syscall.Ucred), new(uint32)
	*size = uint32(unsafe.Sizeof(*cred))
	m.Must(syscall.SYS_GETSOCKOPT, int(fds[0]), syscall.SOL_SOCKET, peerCred, unsafe.Pointer(cred), unsafe.Pointer(size))
	if cred.Pid != 1 {
		t.Errorf("the peer is process %d; want 1", cred.Pid)
	}
	path := append(binary.NativeEndian.AppendUint16(nil, syscall.AF_UNIX), "/tmp/socket\x00"...)
	fd := m.Must(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	m.Must(syscall.SYS_BIND, fd, path, len(path))
	if _, e := m.Open("/tmp/socket", syscall.O_RDONLY); e != syscall.ENXIO {
		t.Errorf("open of a socket's name: %v; want ENXIO", e)
	}
}

// dump asks netlink for all objects of a kind.
func dump(m *wiringtest.Machine, kind int) (list []syscall.NetlinkMessage) {
	fd := m.Must(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	defer m.Must(syscall.SYS_CLOSE, fd)
	request := make([]byte, syscall.NLMSG_HDRLEN+16)
	h := (*syscall.NlMsghdr)(unsafe.Pointer(&request[0]))
	*h = syscall.NlMsghdr{Len: uint32(len(request)), Type: uint16(kind), Flags: syscall.NLM_F_DUMP | syscall.NLM_F_REQUEST, Seq: 1}
	m.Must(syscall.SYS_SENDTO, fd, request, len(request), 0, 0, 0)
	for {
		b := make([]byte, 64<<10)
		n := m.Must(syscall.SYS_RECVFROM, fd, b, len(b), 0, 0, 0)
		messages, err := syscall.ParseNetlinkMessage(b[:n])
		if err != nil {
			panic(err)
		}
		for _, x := range messages {
			if x.Header.Type == syscall.NLMSG_DONE {
				return list
			}
			list = append(list, x)
		}
	}
}

// attributes returns the attributes of a message.
func attributes(x *syscall.NetlinkMessage) map[uint16]string {
	attrs, err := syscall.ParseNetlinkRouteAttr(x)
	if err != nil {
		panic(err)
	}
	all := map[uint16]string{}
	for _, a := range attrs {
		all[a.Attr.Type] = string(a.Value)
	}
	return all
}

// address tells an address, or none.
func address(s string) string {
	if a, ok := netip.AddrFromSlice([]byte(s)); ok {
		return a.String()
	}
	return "none"
}

func addresses(m *wiringtest.Machine) (list []string) {
	names := links(m)
	for _, x := range dump(m, syscall.RTM_GETADDR) {
		a, h := attributes(&x), (*syscall.IfAddrmsg)(unsafe.Pointer(&x.Data[0]))
		list = append(list, fmt.Sprintf("%s %s/%d scope %d broadcast %s", names[int(h.Index)].name,
			address(a[syscall.IFA_ADDRESS]), h.Prefixlen, h.Scope, address(a[syscall.IFA_BROADCAST])))
	}
	return list
}

// link is what ip link shows.
type link struct {
	name, mac, broadcast string
	mtu                  uint32
	typ                  int
}

func links(m *wiringtest.Machine) map[int]link {
	all := map[int]link{}
	for _, x := range dump(m, syscall.RTM_GETLINK) {
		a, h := attributes(&x), (*syscall.IfInfomsg)(unsafe.Pointer(&x.Data[0]))
		all[int(h.Index)] = link{
			name: strings.TrimRight(a[syscall.IFLA_IFNAME], "\x00"), mac: a[syscall.IFLA_ADDRESS], broadcast: a[syscall.IFLA_BROADCAST],
			mtu: binary.NativeEndian.Uint32([]byte(a[syscall.IFLA_MTU])), typ: int(h.Type),
		}
	}
	return all
}

func routesOf(m *wiringtest.Machine) (list []string) {
	for _, x := range dump(m, syscall.RTM_GETROUTE) {
		a, h := attributes(&x), (*syscall.RtMsg)(unsafe.Pointer(&x.Data[0]))
		dst := address(a[syscall.RTA_DST])
		if dst == "none" {
			dst = map[uint8]string{syscall.AF_INET: "0.0.0.0", syscall.AF_INET6: "::"}[h.Family]
		}
		list = append(list, fmt.Sprintf("%s/%d via %s dev %d protocol %d scope %d", dst, h.Dst_len, address(a[syscall.RTA_GATEWAY]),
			binary.NativeEndian.Uint32([]byte(a[syscall.RTA_OIF])), h.Protocol, h.Scope))
	}
	return list
}

// The files of /proc/net, /proc/sys/net and /sys/class/net show the stack, and settings take effect.
func TestNetFiles(t *testing.T) {
	m := wiringtest.New(t)
	m.Start(quiet)
	Start()
	for path, want := range map[string]string{
		"/proc/net/sockstat":                    "sockets: used ",
		"/proc/self/net/snmp":                   "Ip: Forwarding ",
		"/proc/net/unix":                        "Num       RefCount",
		"/proc/sys/net/ipv4/ip_forward":         "0\n",
		"/proc/sys/net/ipv4/conf/lo/forwarding": "0\n",
		"/proc/sys/net/core/somaxconn":          "4096\n",
		"/sys/class/net/lo/mtu":                 "65536\n",
		"/sys/class/net/lo/statistics/rx_bytes": "0\n",
		"/sys/class/net/lo/type":                "772\n",
	} {
		if got, e := m.ReadFile(path); e != 0 || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, %v; want %q", path, got, e, want)
		}
	}
	for _, s := range [][3]string{
		{"ipv4/ip_forward", "1", "1"}, {"ipv4/conf/lo/forwarding", "0", "0"}, {"ipv4/ip_default_ttl", "33", "33"},
		{"ipv4/ip_local_port_range", "40000 50000", "40000\t50000"}, {"ipv4/tcp_fin_timeout", "7", "7"}, {"ipv4/tcp_syn_retries", "3", "3"},
		{"ipv4/tcp_congestion_control", "reno", "reno"}, {"ipv4/tcp_sack", "0", "0"}, {"ipv4/tcp_rmem", "4096 8192 16384", "4096\t8192\t16384"},
		{"core/rmem_max", "1000000", "1000000"}, {"core/wmem_default", "50000", "50000"},
	} {
		path := "/proc/sys/net/" + s[0]
		if e := m.WriteFile(path, s[1]+"\n"); e != 0 {
			t.Errorf("writing %s: %v", path, e)
		}
		if got, _ := m.ReadFile(path); got != s[2]+"\n" {
			t.Errorf("%s is %q after %q was written", path, got, s[1])
		}
	}
	for path, text := range map[string]string{
		"ipv4/ip_forward": "7", "ipv4/ip_default_ttl": "0", "ipv4/ip_local_port_range": "5", "ipv4/tcp_rmem": "3 2 1",
		"ipv4/tcp_congestion_control": "magic", "core/somaxconn": "1", "ipv4/tcp_timestamps": "0",
	} {
		if e := m.WriteFile("/proc/sys/net/"+path, text); e == 0 {
			t.Errorf("%q was accepted for %s", text, path)
		}
	}
}
