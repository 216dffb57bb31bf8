package attack

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	framed "gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	ipv4net "gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// A network is an Ethernet segment with the guest, a router that is its DHCP server, a client
// that behaves well, and attackers. Each frame is a UDP datagram to or from QEMU.
type network struct {
	*vm.Cable
	guest mac
	card  *channel.Endpoint // the client's
	http  http.Client       // over the client's stack

	scale int // the guest's RAM by 64 MiB

	// opened has the guest's first sequence numbers of connections, by the attacker's address.
	opened sync.Map
	// seen gets what the guest sends to attackers.
	seen atomic.Pointer[func(segment)]
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{Cable: vm.NewCable(t), card: channel.New(1024, 1500, tcpip.LinkAddress(clientMAC[:]))}
	n.startClient(t)
	go n.receive()
	return n
}

// startClient gives the client a TCP/IP stack, and an HTTP client that makes a connection for
// each request.
func (n *network) startClient(t *testing.T) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4net.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	t.Cleanup(s.Close)
	if err := s.CreateNIC(1, framed.New(n.card)); err != nil {
		t.Fatal(err)
	}
	addr := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(clientAddr.As4()), PrefixLen: 8}
	if err := s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: header.IPv4ProtocolNumber, AddressWithPrefix: addr}, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	s.AddRoute(tcpip.Route{Destination: addr.Subnet(), NIC: 1})
	n.http.Timeout = 10 * time.Second
	n.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			to := tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(guestAddr.As4()), Port: 80}
			return gonet.DialContextTCP(ctx, s, to, header.IPv4ProtocolNumber)
		},
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go func() {
		for pkt := n.card.ReadContext(ctx); pkt != nil; pkt = n.card.ReadContext(ctx) {
			v := pkt.ToView()
			n.Write(v.AsSlice())
			v.Release()
			pkt.DecRef()
		}
	}()
}

// get makes a request to the guest over a new connection.
func (n *network) get(path string) (string, error) {
	r, err := n.http.Get("http://guest" + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// receive passes on what the guest sends.
func (n *network) receive() {
	b := make([]byte, 65536)
	for {
		m, err := n.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // QEMU has not started yet: the port is unreachable
		}
		if f := b[:m]; m >= 14 {
			n.deliver(f)
		}
	}
}

func (n *network) deliver(f []byte) {
	switch dst := mac(f[:6]); {
	case dst == clientMAC || dst[0]&1 == 1:
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(append([]byte(nil), f...))})
		n.card.InjectInbound(0, pkt)
		pkt.DecRef()
		if dst != clientMAC {
			n.broadcast(f)
		}
	case dst == routerMAC:
		n.serveDHCP(f)
	case dst == attackerMAC:
		if s, ok := parseSegment(f); ok {
			if seen := n.seen.Load(); seen != nil {
				(*seen)(s)
			}
		}
	}
}

// broadcast serves what the guest asks everyone: an address by DHCP, and the Ethernet addresses
// of the router and of attackers.
func (n *network) broadcast(f []byte) {
	n.serveDHCP(f)
	if binary.BigEndian.Uint16(f[12:]) != typeARP || len(f) < 42 || f[21] != 1 {
		return
	}
	asked, from := netip.AddrFrom4([4]byte(f[38:42])), netip.AddrFrom4([4]byte(f[28:32]))
	guest := mac(f[6:12])
	switch {
	case asked == routerAddr:
		n.Write(ethernet(guest, routerMAC, typeARP, arpPacket(2, routerMAC, asked, guest, from)))
	case f[39] == 66 && f[40] < 128: // of the others nobody knows the address
		n.Write(ethernet(guest, attackerMAC, typeARP, arpPacket(2, attackerMAC, asked, guest, from)))
	}
}

// lease is an address for ten seconds, to be renewed after five.
var lease = []byte{
	1, 4, 255, 0, 0, 0, 3, 4, 10, 0, 0, 1, 54, 4, 10, 0, 0, 1,
	51, 4, 0, 0, 0, 10, 58, 4, 0, 0, 0, 5, 59, 4, 0, 0, 0, 8,
}

// serveDHCP answers a DISCOVER or a REQUEST.
func (n *network) serveDHCP(f []byte) {
	const fixed = 14 + 20 + 8
	if len(f) < fixed+240+3 || f[23] != syscall.IPPROTO_UDP || binary.BigEndian.Uint16(f[36:]) != 67 {
		return
	}
	answers := map[byte]byte{1: 2, 3: 5} // DISCOVER: OFFER, REQUEST: ACK
	b := f[fixed:]
	kind, ok := answers[b[242]] // the client's first option is the type of the message
	if !ok {
		return
	}
	if n.guest == (mac{}) {
		n.guest = mac(b[28:34])
	}
	message := dhcp([4]byte(b[4:8]), n.guest, append([]byte{53, 1, kind}, lease...))
	n.Write(ethernet(n.guest, routerMAC, typeIPv4,
		ipv4To(netip.AddrFrom4([4]byte{255, 255, 255, 255}), routerAddr, syscall.IPPROTO_UDP, 0, 0, udp(67, 68, message))))
}
