//go:build yolk

package udp

import (
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// The bounds of a train: UDP_GRO_CNT_MAX of Linux's net/ipv4/udp_offload.c, and the data of the longest datagram of IPv4.
const (
	mostCars  = 64
	mostBytes = 65507
)

// train is a writer that also gets the datagrams behind the one that is read which are like it.
type train struct {
	io.Writer
	room int          // bytes that the program has for all
	size int          // of each but the last
	cars []*udpPacket // behind the first
}

// ReadTrain is Read for UDP_GRO of udp(7): it joins datagrams of one sender and size that wait behind each other, of which
// the last may be shorter, as udp_gro_receive_segment in Linux's net/ipv4/udp_offload.c does when they arrive. None is
// joined that would have to be cut to fit in room bytes. It returns the size of the datagrams, 0 if there is only one.
func (e *endpoint) ReadTrain(dst io.Writer, opts tcpip.ReadOptions, room int) (tcpip.ReadResult, int, tcpip.Error) {
	t := &train{Writer: dst, room: room}
	res, err := e.read(t, opts)
	if err != nil || len(t.cars) == 0 {
		return res, 0, err
	}
	for _, p := range t.cars {
		n, _ := p.pkt.Data().ReadTo(dst, false)
		res.Count += n
		res.Total += n
		p.pkt.DecRef()
	}
	return res, t.size, nil
}

// couple takes the datagrams that are joined to the one that is read off the queue. rcvMu is held.
func (e *endpoint) couple(dst io.Writer, first *udpPacket) {
	t, ok := dst.(*train)
	if !ok {
		return
	}
	t.size = first.pkt.Data().Size()
	room := min(t.room, mostBytes) - t.size
	for last := t.size; last == t.size && len(t.cars) < mostCars-1; {
		p := e.rcvList.Front()
		if p == nil || !p.follows(first) {
			return
		}
		last = p.pkt.Data().Size()
		if last == 0 || last > t.size || last > room {
			return
		}
		room -= last
		e.rcvList.Remove(p)
		e.hold(-p.memSize())
		t.cars = append(t.cars, p)
	}
}

// follows reports whether nothing but its data tells a datagram from another.
func (p *udpPacket) follows(first *udpPacket) bool {
	return p.netProto == first.netProto && p.senderAddress == first.senderAddress && p.destinationAddress == first.destinationAddress &&
		p.packetInfo == first.packetInfo && p.tosOrTClass == first.tosOrTClass && p.ttlOrHopLimit == first.ttlOrHopLimit
}
