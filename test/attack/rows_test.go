package attack

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// A row is one attack. It sends frame after frame until the time is over.
type row struct {
	name string
	// frames returns the frames of step i; nil ends the row's sending. per is their number in a
	// millisecond, which is beyond what an emulated guest can take unless the row counts
	// connections.
	frames func(n *network, i int) [][]byte
	per    int
	// reply answers what the guest sends to an attacker; may be nil.
	reply func(n *network, s segment) []segment
}

func one(f []byte) [][]byte { return [][]byte{f} }

// flooded returns a row of single packets over IPv4.
func flooded(name string, packet func(i int) []byte) row {
	return row{name: name, per: 10, frames: func(n *network, i int) [][]byte {
		return one(ethernet(n.guest, attackerMAC, typeIPv4, packet(i)))
	}}
}

var rows = []row{
	flooded("UDP, 0 bytes, slow reader", func(i int) []byte {
		return ipv4(attackerAddr(i), syscall.IPPROTO_UDP, 0, 0, udp(1000, 53, nil))
	}),
	flooded("UDP, 1 byte, slow reader", func(i int) []byte {
		return ipv4(attackerAddr(i), syscall.IPPROTO_UDP, 0, 0, udp(1000, 53, []byte{1}))
	}),
	flooded("UDP, 1 byte, no reader", func(i int) []byte {
		return ipv4(attackerAddr(i), syscall.IPPROTO_UDP, 0, 0, udp(1000, 5353, []byte{1}))
	}),
	flooded("fragments, IPv4", func(i int) []byte {
		return ipv4(attackerAddr(i), syscall.IPPROTO_UDP, uint16(i), 0x2000, make([]byte, 8))
	}),
	{name: "fragments, IPv6", per: 10, frames: fragments6},
	{name: "SYN flood", per: 10, frames: func(n *network, i int) [][]byte {
		s := segment{peer: netip.AddrPortFrom(attackerAddr(i*7919&0xffff), uint16(1024+i)), port: 80, seq: uint32(i), flags: syn, window: 65535}
		return one(s.frame(n.guest))
	}},
	{name: "segments out of order", per: 2, frames: outOfOrder, reply: acknowledgeOpen(nil)},
	{name: "half-fed connections", per: 1, frames: connect(81, idleConnections), reply: acknowledgeOpen([]byte{1})},
	{name: "readers of nothing", per: 1, frames: connect(82, idleConnections/2), reply: neverRead},
	{name: "connections closed", per: 2, frames: connect(83, 1<<30), reply: closeAfterAnswer},
	flooded("ICMP echo", func(i int) []byte {
		b := make([]byte, 1400)
		b[0] = 8
		binary.BigEndian.PutUint16(b[2:], ^checksum.Checksum(b, 0))
		return ipv4(attackerAddr(i), syscall.IPPROTO_ICMP, 0, 0, b)
	}),
	{name: "ARP", per: 10, frames: func(n *network, i int) [][]byte {
		return one(ethernet(everyone, attackerMAC, typeARP, arpPacket(1, attackerMAC, attackerAddr(i), mac{}, guestAddr)))
	}},
	{name: "neighbour solicitations", per: 10, frames: solicitations},
	{name: "router advertisements", per: 10, frames: advertisements},
	{name: "DHCP answers of a stranger", per: 10, frames: strangersLease},
}

func fragments6(n *network, i int) [][]byte {
	b := []byte{syscall.IPPROTO_UDP, 0, 0, 1}
	b = append(binary.BigEndian.AppendUint32(b, uint32(i)), make([]byte, 8)...)
	return one(ethernet(n.guest, attackerMAC, typeIPv6, ipv6(linkLocal(i), guestLinkLocal(n.guest), 44, b)))
}

// idleConnections is how many connections a row opens and then leaves alone, in a VM of 64 MiB.
const idleConnections = 400

// isn is the first sequence number of an attacker's connections.
const isn = 1000

// connect begins connections to a port, up to limit for each 64 MiB of the guest.
func connect(port uint16, limit int) func(n *network, i int) [][]byte {
	return func(n *network, i int) [][]byte {
		if i >= limit*n.scale {
			return nil
		}
		peer := netip.AddrPortFrom(attackerAddr(i>>12&0x7fff), uint16(1024+i&0xfff))
		s := segment{peer: peer, port: port, seq: isn, flags: syn, window: 65535}
		return one(s.frame(n.guest))
	}
}

// acknowledgeOpen completes handshakes, with data.
func acknowledgeOpen(data []byte) func(n *network, s segment) []segment {
	return func(_ *network, s segment) []segment {
		if s.flags != syn|ack {
			return nil
		}
		return []segment{{peer: s.peer, port: s.port, seq: s.ack, ack: s.seq + 1, flags: ack, window: 65535, payload: data}}
	}
}

// neverRead completes handshakes and acknowledges nothing after.
func neverRead(n *network, s segment) []segment { return acknowledgeOpen(nil)(n, s) }

// closeAfterAnswer completes handshakes with a request, and a connection's end.
func closeAfterAnswer(n *network, s segment) []segment {
	if s.flags == syn|ack {
		return acknowledgeOpen([]byte{1})(n, s)
	}
	if s.flags&fin == 0 {
		return nil
	}
	a := segment{peer: s.peer, port: s.port, seq: s.ack, ack: s.seq + uint32(s.payloadLen) + 1, flags: fin | ack, window: 65535}
	return []segment{a}
}

// outOfOrder opens 50 connections and then sends each a byte at every second place.
func outOfOrder(n *network, i int) [][]byte {
	const count = 50
	if i < count {
		return connect(81, count)(n, i)
	}
	peer := netip.AddrPortFrom(attackerAddr(0), uint16(1024+i%count))
	if first, ok := n.opened.Load(peer); ok {
		s := segment{peer: peer, port: 81, seq: isn + 1 + uint32(i/count*2), ack: first.(uint32), flags: ack, window: 65535, payload: []byte{1}}
		return one(s.frame(n.guest))
	}
	return [][]byte{}
}

func solicitations(n *network, i int) [][]byte {
	to := guestLinkLocal(n.guest)
	b := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, to.AsSlice()...)
	b = append(append(b, 1, 1), attackerMAC[:]...)
	return one(ethernet(n.guest, attackerMAC, typeIPv6, icmp6(linkLocal(i), to, b)))
}

// advertisements are those of ever new routers, with a prefix, a route, DNS servers and a search
// domain; each withdraws those of the one before.
func advertisements(n *network, i int) [][]byte {
	all := netip.MustParseAddr("ff02::1")
	var f [][]byte
	for _, k := range []int{i, i - 1} {
		b := advertisement(k)
		if k < i {
			clear(b[6:8])               // router lifetime
			clear(b[16+4 : 16+8])       // valid lifetime of the prefix
			clear(b[16+32+4 : 16+32+8]) // of the route
		}
		f = append(f, ethernet(mac{0x33, 0x33, 0, 0, 0, 1}, attackerMAC, typeIPv6, icmp6(linkLocal(k), all, b)))
	}
	return f
}

// advertisement is a router advertisement without checksum, RFC 4861 §4.2, RFC 4191, RFC 8106.
func advertisement(i int) []byte {
	b := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	prefix := []byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i), 0}
	b = append(b, 3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	b = append(append(b, prefix...), make([]byte, 8)...)
	b = append(append(b, 24, 2, 64, 0, 0, 0, 0x10, 0), prefix...)
	b = append(b, 25, 1+2*30, 0, 0, 0, 0, 0x10, 0)
	for s := range 30 {
		b = append(append(b, prefix...), 0, 0, 0, 0, 0, 0, 0, byte(s))
	}
	b = append(b, 31, 2, 0, 0, 0, 0, 0x10, 0)
	return append(b, 5, 'd', 'o', 'm', byte('a'+i%26), 'x', 0, 0)
}

// strangersLease is an answer of somebody who does not see the guest's requests, with hundreds of
// search domains and routes. Some are for a client that asks.
func strangersLease(n *network, i int) [][]byte {
	kinds := []byte{2, 5, 6} // OFFER, ACK, NAK
	options := append([]byte{53, 1, kinds[i%len(kinds)]}, lease...)
	for range 4 { // RFC 3396: the parts are one option
		options = append(options, 119, 252)
		for range 84 {
			options = append(options, 1, 'a', 0)
		}
	}
	message := dhcp([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 7}, n.guest, options)
	packet := ipv4To(guestAddr, attackerAddr(1), syscall.IPPROTO_UDP, 0, 0, udp(67, 68, message))
	return one(ethernet(n.guest, attackerMAC, typeIPv4, packet))
}

// run sends a row's frames while more says so, and returns the number of frames.
func (r *row) run(n *network, more func() bool) int {
	n.opened.Clear()
	reply := func(s segment) {
		if s.flags == syn|ack {
			n.opened.Store(s.peer, s.seq+1)
		}
		if r.reply == nil {
			return
		}
		for _, a := range r.reply(n, s) {
			n.Write(a.frame(n.guest))
		}
	}
	n.seen.Store(&reply)
	defer n.seen.Store(nil)
	sent := 0
	for i := 0; more(); {
		for range r.per {
			f := r.frames(n, i)
			if f == nil {
				break
			}
			for _, b := range f {
				n.Write(b)
				sent++
			}
			i++
		}
		time.Sleep(time.Millisecond)
	}
	return sent
}
