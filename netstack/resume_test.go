package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// bytesOf is a source that gives one byte again and again, as it is after two machines have
// gone on from one state.
type bytesOf struct{ b atomic.Uint32 }

func (s *bytesOf) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s.b.Load())
	}
	return len(p), nil
}

// RFC 6528: with the same secret, at the same time, a connection begins with the same sequence
// number; after a resume with another.
func TestRFC6528Resume(t *testing.T) {
	rng := &bytesOf{}
	rng.b.Store(7)
	a, _, na, _ := wiredPairWith(t, 64, NICInfo{}, Config{DisableIPv6: true, Random: rng, Nanotime: func() int64 { return 1e9 }})
	onEdited(t, a.s)
	isns := make(chan uint32, 64)
	na.watch(func(_ *Frame, data []byte) bool {
		const flags, syn = 14 + 20 + 13, 2
		if len(data) > flags && binary.BigEndian.Uint16(data[12:]) == 0x0800 && data[23] == syscall.IPPROTO_TCP && data[flags] == syn {
			isns <- binary.BigEndian.Uint32(data[14+20+4:])
			return false
		}
		return true
	})
	isn := func() uint32 {
		c := a.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		defer c.Release()
		a.ok("bind", c.Bind(sockaddr(addrPort("10.0.0.1:4000"))))
		c.Connect(sockaddr(addrPort("10.0.0.2:80")))
		select {
		case n := <-isns:
			return n
		case <-time.After(hang):
			t.Fatal("no SYN")
		}
		return 0
	}
	first := isn()
	if again := isn(); again != first {
		t.Fatalf("sequence numbers %#x and %#x of one secret; want the same, or this test shows nothing", first, again)
	}
	rng.b.Store(9)
	a.s.Resume()
	if resumed := isn(); resumed == first {
		t.Errorf("after a resume the sequence number is %#x again", resumed)
	}
}

// RFC 5227 §3, RFC 4861 §7.2.6: neighbours are told where the addresses are.
func TestAnnounce(t *testing.T) {
	a, _, na, _ := wiredPair(t, 64, NICInfo{})
	mac := string(na.info.MAC[:])
	seen := make(chan string, 64)
	na.watch(func(_ *Frame, data []byte) bool {
		if arp := header.ARP(data[14:]); arp.IsValid() && arp.Op() == header.ARPRequest && string(arp.ProtocolAddressSender()) == string(arp.ProtocolAddressTarget()) &&
			string(arp.HardwareAddressSender()) == mac && string(data[:6]) == "\xff\xff\xff\xff\xff\xff" && string(data[6:12]) == mac {
			seen <- "ARP " + addrText(arp.ProtocolAddressSender())
		}
		if ip := header.IPv6(data[14:]); binary.BigEndian.Uint16(data[12:]) == 0x86dd && ip.IsValid(len(ip)) {
			seen <- advertised(ip, string(data[:6]), mac)
		}
		return true
	})
	a.s.Resume()
	want := []string{"ARP 10.0.0.1", "NA fd00::1"}
	deadline := time.After(hang)
	for len(want) > 0 {
		select {
		case s := <-seen:
			want = slices.DeleteFunc(want, func(w string) bool { return w == s })
		case <-deadline:
			t.Fatalf("not announced: %v", want)
		}
	}
}

func addrText(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

// advertised tells what an unsolicited advertisement to all nodes says, "" if ip is none.
func advertised(ip header.IPv6, to, mac string) string {
	icmp := header.ICMPv6(ip.Payload())
	if ip.NextHeader() != uint8(header.ICMPv6ProtocolNumber) || len(icmp) < header.ICMPv6NeighborAdvertMinimumSize || icmp.Type() != header.ICMPv6NeighborAdvert {
		return ""
	}
	na := header.NDPNeighborAdvert(icmp.MessageBody())
	sum := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()})
	link := string(na.Options())
	if icmp.Checksum() != sum || ip.HopLimit() != 255 || ip.DestinationAddress() != header.IPv6AllNodesMulticastAddress || to != "\x33\x33\x00\x00\x00\x01" ||
		na.SolicitedFlag() || !na.OverrideFlag() || link != "\x02\x01"+mac || na.TargetAddress() != ip.SourceAddress() {
		return ""
	}
	a, _ := addrOf(na.TargetAddress())
	return "NA " + a.String()
}

// A lease, also one that does not expire, is renewed at once, by any server; with another
// answer it is given up.
func TestDHCPResume(t *testing.T) {
	for _, tt := range []struct {
		name string
		time []byte // option 51
	}{
		{"an hour", []byte{51, 4, 0, 0, 14, 16}},
		{"for ever", []byte{51, 4, 255, 255, 255, 255}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nak := false // protected by the server's lock
			n := newDHCPServer(func(q dhcpSeen) []byte {
				switch {
				case q.typ == dhcpDiscover:
					return serverReply(q, dhcpOffer, [4]byte{10, 0, 2, 15}, tt.time...)
				case nak && q.client.String() == "10.0.2.15":
					return serverReply(q, dhcpNak, [4]byte{})
				}
				return serverReply(q, dhcpAck, [4]byte{10, 0, 2, 15}, tt.time...)
			})
			s := n.start(t, Config{})
			if err := s.Configure([]string{"ip=dhcp"}, hang); err != nil {
				t.Fatal(err)
			}
			s.Resume()
			n.await(t, dhcpDiscover, dhcpRequest, dhcpRequest)
			n.mu.Lock()
			if q := n.seen[2]; q.client.String() != "10.0.2.15" || !q.broadcast {
				t.Errorf("request %+v; want one for 10.0.2.15, broadcast", q)
			}
			nak = true
			n.mu.Unlock()
			s.Resume()
			n.await(t, dhcpDiscover, dhcpRequest, dhcpRequest, dhcpRequest, dhcpDiscover, dhcpRequest)
		})
	}
}

// await waits until the server has seen these messages.
func (n *dhcpServerNIC) await(t *testing.T, want ...byte) {
	t.Helper()
	for begin := time.Now(); len(n.types()) < len(want); time.Sleep(time.Millisecond) {
		if time.Since(begin) > hang {
			break
		}
	}
	if got := n.types(); !slices.Equal(got, want) {
		t.Fatalf("messages %v; want %v", got, want)
	}
}
