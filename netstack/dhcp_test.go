package netstack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// dhcpServerNIC is a card that is connected only to a DHCP server.
type dhcpServerNIC struct {
	info NICInfo
	link *Link

	mu    sync.Mutex
	seen  []dhcpSeen
	reply func(q dhcpSeen) []byte // nil: no answer
}

// dhcpSeen is a message from a client.
type dhcpSeen struct {
	typ       byte
	xid       [4]byte
	client    netip.Addr
	requested netip.Addr
	hostname  string
	broadcast bool
}

func newDHCPServer(reply func(q dhcpSeen) []byte) *dhcpServerNIC {
	return &dhcpServerNIC{info: NICInfo{MAC: [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}}, reply: reply}
}

func (n *dhcpServerNIC) Info() NICInfo { return n.info }
func (n *dhcpServerNIC) Start(l *Link) { n.link = l }
func (n *dhcpServerNIC) Kick()         {}

func (n *dhcpServerNIC) Send(f *Frame) bool {
	frame := slices.Concat(f.Parts...)
	f.Done()
	q, ok := readQuery(frame)
	if !ok {
		return true
	}
	n.mu.Lock()
	n.seen = append(n.seen, q)
	answer := n.reply(q)
	n.mu.Unlock()
	if answer != nil {
		go n.deliver(answer)
	}
	return true
}

func (n *dhcpServerNIC) deliver(msg []byte) {
	rx := NewRxBuffer()
	size := copy(rx.Bytes(), serverFrame(n.info.MAC, msg))
	n.link.Receive([]*RxBuffer{rx}, 0, size, false)
}

func (n *dhcpServerNIC) types() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	var t []byte
	for _, q := range n.seen {
		t = append(t, q.typ)
	}
	return t
}

func readQuery(frame []byte) (dhcpSeen, bool) {
	var q dhcpSeen
	if len(frame) < 42+dhcpFixed || binary.BigEndian.Uint16(frame[12:]) != uint16(header.IPv4ProtocolNumber) {
		return q, false
	}
	ip := header.IPv4(frame[14:])
	udp := header.UDP(ip.Payload())
	if ip.Protocol() != 17 || udp.DestinationPort() != dhcpServerPort {
		return q, false
	}
	b := udp[8:]
	if !ip.IsChecksumValid() || !udp.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), checksum.Checksum(b, 0)) {
		return q, false
	}
	q.xid = [4]byte(b[4:8])
	q.client = netip.AddrFrom4([4]byte(b[12:16]))
	q.broadcast = frame[0] == 0xff
	opts, err := dhcpOptions(b)
	if err != nil {
		return q, false
	}
	q.typ = opts[optMessageType][0]
	q.hostname = string(opts[optHostname])
	if r := opts[optRequestedIP]; len(r) == 4 {
		q.requested = netip.AddrFrom4([4]byte(r))
	}
	return q, true
}

// serverReply builds an OFFER, ACK or NAK with the given further options.
func serverReply(q dhcpSeen, typ byte, addr [4]byte, opts ...byte) []byte {
	b := make([]byte, dhcpFixed+4)
	b[0], b[1], b[2] = dhcpReplyOp, 1, 6
	copy(b[4:], q.xid[:])
	copy(b[16:], addr[:])
	copy(b[28:], []byte{0x52, 0x54, 0, 0x12, 0x34, 0x56})
	binary.BigEndian.PutUint32(b[dhcpFixed:], dhcpCookie)
	b = append(b, optMessageType, 1, typ, optServerID, 4, 10, 0, 2, 2)
	return append(append(b, opts...), optEnd)
}

// serverFrame wraps a reply as QEMU's user network does: as a broadcast.
func serverFrame(mac [6]byte, msg []byte) []byte {
	view := dhcpFrame([6]byte{0x52, 0x55, 10, 0, 2, 2}, netip.MustParseAddr("10.0.2.2"), broadcastPeer, msg)
	b := view.Flatten()
	binary.BigEndian.PutUint16(b[34:], dhcpServerPort)
	binary.BigEndian.PutUint16(b[36:], dhcpClientPort)
	return b
}

var usualOptions = []byte{
	optSubnetMask, 4, 255, 255, 255, 0,
	optRouter, 4, 10, 0, 2, 2,
	optDNS, 4, 10, 0, 2, 3,
	optDomain, 4, 'l', 'a', 'n', 0,
	optLeaseTime, 4, 0, 1, 0x51, 0x80,
}

func usualServer(q dhcpSeen) []byte {
	switch q.typ {
	case dhcpDiscover:
		return serverReply(q, dhcpOffer, [4]byte{10, 0, 2, 15}, usualOptions...)
	case dhcpRequest:
		return serverReply(q, dhcpAck, [4]byte{10, 0, 2, 15}, usualOptions...)
	}
	return nil
}

func (n *dhcpServerNIC) start(t *testing.T, cfg Config) *Stack {
	t.Helper()
	s := New(cfg)
	t.Cleanup(s.Close)
	if _, e := s.AddNIC(n, "eth0"); e != 0 {
		t.Fatal(e)
	}
	return s
}

func addresses(s *Stack, name string) []string {
	var out []string
	for _, i := range s.Interfaces() {
		if i.Name != name {
			continue
		}
		for _, a := range i.Addrs {
			if a.Addr.Is4() {
				out = append(out, netip.PrefixFrom(a.Addr, a.Bits).String())
			}
		}
	}
	return out
}

func TestDHCP(t *testing.T) {
	n := newDHCPServer(usualServer)
	s := n.start(t, Config{Hostname: "box"})
	begin := time.Now()
	if err := s.Configure(nil, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 200*time.Millisecond {
		t.Errorf("a lease took %v; the machine's boot waits for it", d)
	}
	if got, want := addresses(s, "eth0"), []string{"10.0.2.15/24"}; !slices.Equal(got, want) {
		t.Errorf("addresses %v; want %v", got, want)
	}
	if got, want := string(s.ResolvConf()), "search lan\nnameserver 10.0.2.3\n"; got != want {
		t.Errorf("resolv.conf %q; want %q", got, want)
	}
	var routes []string
	for _, r := range s.Routes() {
		if r.Interface == 2 && r.Destination.Addr().Is4() {
			routes = append(routes, r.Destination.String()+" via "+r.Gateway.String())
		}
	}
	if want := []string{"10.0.2.0/24 via invalid IP", "0.0.0.0/0 via 10.0.2.2"}; !slices.Equal(routes, want) {
		t.Errorf("routes %v; want %v", routes, want)
	}
	if got, want := n.types(), []byte{dhcpDiscover, dhcpRequest}; !slices.Equal(got, want) {
		t.Errorf("messages %v; want %v", got, want)
	}
	if q := n.seen[1]; q.hostname != "box" || q.requested.String() != "10.0.2.15" || !q.broadcast {
		t.Errorf("request %+v; want host name box and 10.0.2.15, broadcast", q)
	}
	if n.link.tap.Load() != nil {
		t.Error("the tap is still there after the lease")
	}
}

func TestDHCPRetransmitsAndSurvivesNAK(t *testing.T) {
	discovers, requests := 0, 0
	n := newDHCPServer(func(q dhcpSeen) []byte {
		switch q.typ {
		case dhcpDiscover:
			if discovers++; discovers == 1 {
				return nil // lost
			}
		case dhcpRequest:
			if requests++; requests == 1 {
				return serverReply(q, dhcpNak, [4]byte{})
			}
		}
		return usualServer(q)
	})
	s := n.start(t, Config{})
	if err := s.Configure([]string{"ip=dhcp"}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	want := []byte{dhcpDiscover, dhcpDiscover, dhcpRequest, dhcpDiscover, dhcpRequest}
	if got := n.types(); !slices.Equal(got, want) {
		t.Errorf("messages %v; want %v", got, want)
	}
}

func TestDHCPSilence(t *testing.T) {
	s := newDHCPServer(func(dhcpSeen) []byte { return nil }).start(t, Config{})
	if err := s.Configure(nil, 50*time.Millisecond); !errors.Is(err, ErrNoAddress) {
		t.Errorf("Configure = %v; want ErrNoAddress", err)
	}
}

func TestDHCPIgnoresForeignAnswers(t *testing.T) {
	n := newDHCPServer(func(q dhcpSeen) []byte {
		switch q.typ {
		case dhcpDiscover:
			q.xid[0]++ // another client's transaction
			return serverReply(q, dhcpOffer, [4]byte{10, 0, 2, 99}, usualOptions...)
		}
		return nil
	})
	s := n.start(t, Config{})
	if err := s.Configure(nil, 100*time.Millisecond); !errors.Is(err, ErrNoAddress) {
		t.Errorf("Configure = %v; want ErrNoAddress", err)
	}
	if got := n.types(); !slices.Equal(got, []byte{dhcpDiscover}) {
		t.Errorf("messages %v; want one discover", got)
	}
}

func TestParseDHCPOptions(t *testing.T) {
	q := dhcpSeen{xid: [4]byte{1, 2, 3, 4}}
	m, err := parseDHCP(serverReply(q, dhcpAck, [4]byte{192, 168, 7, 9},
		optSubnetMask, 4, 255, 255, 254, 0,
		optMTU, 2, 5, 0xb4,
		optHostname, 6, 'n', '1', '.', 'l', 'a', 'n',
		// The routes are 10.1.0.0/16 via 192.168.6.2, and the default route.
		optClasslessRoutes, 7, 16, 10, 1, 192, 168, 6, 2,
		optClasslessRoutes, 5, 0, 192, 168, 6, 1, // RFC 3396: in two parts
		optSearch, 13, 3, 'l', 'a', 'n', 0, 4, 'h', 'o', 'm', 'e', 0xc0, 0, 0,
		optRenewal, 4, 0, 0, 0, 30, optLeaseTime, 4, 0, 0, 0, 60,
	))
	if err != nil {
		t.Fatal(err)
	}
	want := lease{
		addr: netip.MustParsePrefix("192.168.7.9/23"), mtu: 1460, hostname: "n1",
		routes: []dhcpRoute{
			{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParseAddr("192.168.6.2")},
			{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.168.6.1")},
		},
		search: []string{"lan", "home.lan"},
		server: netip.MustParseAddr("10.0.2.2"), duration: time.Minute, renew: 30 * time.Second, rebind: 52500 * time.Millisecond,
	}
	diff := cmp.Diff(want, m.lease, cmp.AllowUnexported(lease{}, dhcpRoute{}),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }))
	if diff != "" {
		t.Error(diff)
	}
}

func FuzzDHCP(f *testing.F) {
	q := dhcpSeen{}
	f.Add(serverReply(q, dhcpAck, [4]byte{10, 0, 2, 15}, usualOptions...))
	f.Add(serverReply(q, dhcpAck, [4]byte{10, 0, 2, 15}, optOverload, 1, 3, optSearch, 2, 0xc0, 0))
	f.Add(serverFrame([6]byte{}, serverReply(q, dhcpOffer, [4]byte{10, 0, 2, 15}, usualOptions...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseDHCP(b); err == nil {
			if !m.lease.addr.IsValid() || m.lease.duration < 0 {
				t.Errorf("lease %+v", m.lease)
			}
			for _, s := range append(m.lease.search, m.lease.hostname) {
				if domainText([]byte(s)) != s {
					t.Errorf("text %q would go into a file", s)
				}
			}
		}
		dhcpPayload(b)
	})
}

func TestDHCPRenewal(t *testing.T) {
	mode := "answer"
	n := newDHCPServer(func(q dhcpSeen) []byte {
		switch {
		case mode == "answer", mode == "only broadcast" && q.broadcast:
			return usualServer(q)
		case mode == "refuse":
			return serverReply(q, dhcpNak, [4]byte{})
		}
		return nil
	})
	s := n.start(t, Config{})
	if err := s.Configure(nil, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	held := &lease{addr: netip.MustParsePrefix("10.0.2.15/24")}
	server := peerAddr{mac: [6]byte{2, 2, 2, 2, 2, 2}, ip: netip.MustParseAddr("10.0.2.2")}
	for _, c := range []struct {
		mode      string
		ok        bool
		broadcast []bool
	}{
		{"answer", true, []bool{false}},
		{"only broadcast", true, []bool{false, true}},
		{"refuse", false, []bool{false}},
		{"silence", false, []bool{false, true}},
	} {
		n.mu.Lock()
		mode, n.seen = c.mode, nil
		n.mu.Unlock()
		now := time.Now()
		_, _, err := newDHCPClient(s, n.link).extend(t.Context(), held, server, now.Add(200*time.Millisecond), now.Add(400*time.Millisecond))
		if (err == nil) != c.ok {
			t.Errorf("%s: extend = %v", c.mode, err)
		}
		n.mu.Lock()
		var got []bool
		for _, q := range n.seen {
			got = append(got, q.broadcast)
			if q.typ != dhcpRequest || q.client != held.addr.Addr() || q.requested.IsValid() {
				t.Errorf("%s: %+v; want a request with the client's address and no requested one (RFC 2131 §4.3.2)", c.mode, q)
			}
		}
		n.mu.Unlock()
		if !slices.Equal(got, c.broadcast) {
			t.Errorf("%s: broadcast %v; want %v", c.mode, got, c.broadcast)
		}
	}
}
