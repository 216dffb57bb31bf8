package netstack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"github.com/yolk-unikernel/yolk/kernel"
)

// fromMany returns the i-th of 64,000 addresses.
func fromMany(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

// flood is a kind of packets that a queue keeps.
type flood struct {
	name string
	// open makes the queue, and returns what sends the i-th packet.
	open func(n *hostile) func(i int)
	// limit is how many bytes all packets may take.
	limit int
}

const (
	floodRAM     = 64 << 20
	floodPackets = 20_000
	// slack is for what is in pools, and for maps that do not shrink.
	slack = 256 << 10
)

func udpFlood(size int) flood {
	return flood{fmt.Sprintf("udp %d bytes", size), func(n *hostile) func(int) {
		k := n.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		n.ok("bind", k.Bind(sockaddr(addrPort("0.0.0.0:53"))))
		return func(i int) {
			n.receive(packet4(fromMany(i), syscall.IPPROTO_UDP, 0, 0, udpTo(53, make([]byte, size))))
		}
	}, udpDefaultBuffer}
}

// socketFlood is one of echo answers to an ICMP or raw socket.
func socketFlood(name string, typ int) flood {
	return flood{name, func(n *hostile) func(int) {
		k := n.socket(syscall.AF_INET, typ, syscall.IPPROTO_ICMP)
		n.ok("bind", k.Bind(sockaddr(addrPort("10.0.0.2:7"))))
		echo := []byte{0, 0, 0, 0, 0, 7, 0, 1}
		binary.BigEndian.PutUint16(echo[2:], ^checksum.Checksum(echo, 0))
		return func(i int) { n.receive(packet4(fromMany(i), syscall.IPPROTO_ICMP, 0, 0, echo)) }
	}, udpDefaultBuffer}
}

// segmentFlood is one of segments with a byte each, to a program that does not read; gap is
// their distance.
func segmentFlood(name string, gap int) flood {
	return flood{name, func(n *hostile) func(int) {
		c, _ := n.connect(0, n.listen("80", 16), 80)
		seq := c.seq + uint32(gap-1)
		return func(i int) {
			n.receive(c.segment(flagACK, seq+uint32(i*gap), nil, []byte{1}))
			n.frames()
		}
	}, tcpDefaultBuffer}
}

func fragmentFlood4(n *hostile) func(int) {
	return func(i int) {
		n.receive(packet4(fromMany(i), syscall.IPPROTO_UDP, 0x2000, uint16(i), make([]byte, 8)))
	}
}

func fragmentFlood6(n *hostile) func(int) {
	src := netip.MustParseAddr("fd00::9")
	return func(i int) {
		b := []byte{syscall.IPPROTO_UDP, 0, 0, 1}
		b = binary.BigEndian.AppendUint32(b, uint32(i))
		n.receive(packet6(src, 44, append(b, make([]byte, 8)...)))
	}
}

// TestQueueMemory: what a queue's limit says is the memory that packets of any size can take
// there.
func TestQueueMemory(t *testing.T) {
	fragments := boundsOf(floodRAM).fragments
	list := []flood{
		udpFlood(0), udpFlood(1), udpFlood(16), udpFlood(500), udpFlood(1100), udpFlood(1472),
		socketFlood("ping socket", syscall.SOCK_DGRAM),
		socketFlood("raw socket", syscall.SOCK_RAW),
		segmentFlood("segments in order", 1),
		segmentFlood("segments out of order", 2),
		{"IPv4 fragments", fragmentFlood4, fragments},
		{"IPv6 fragments", fragmentFlood6, fragments},
	}
	for _, f := range list {
		t.Run(f.name, func(t *testing.T) {
			got := f.held(t)
			for tries := 0; got < f.limit/8 && tries < 5; tries++ {
				got = f.held(t) // something else was freed meanwhile
			}
			t.Logf("%d KiB held of %d KiB", got>>10, f.limit>>10)
			if got > f.limit+slack || got < f.limit/8 {
				t.Errorf("%d packets take %d KiB; the limit is %d KiB", floodPackets, got>>10, f.limit>>10)
			}
		})
	}
}

// held returns the bytes that the packets of a flood take.
func (f *flood) held(t *testing.T) int {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	send := f.open(n)
	n.frames()
	before := heapInUse()
	for i := range floodPackets {
		send(i)
	}
	n.frames()
	defer runtime.KeepAlive(n)
	return heapInUse() - before
}

// TestMemoryBound: all sockets together hold no more than the share of the RAM, and a socket
// without data gets some when it is reached.
func TestMemoryBound(t *testing.T) {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	bound := boundsOf(floodRAM).sockets
	size := make([]byte, 4)
	binary.NativeEndian.PutUint32(size, udpMaxBuffer)
	const ports = 40
	for p := range ports {
		k := n.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		n.ok("SO_RCVBUF", k.SetOption(syscall.SOL_SOCKET, syscall.SO_RCVBUF, size))
		n.ok("bind", k.Bind(sockaddr(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(5000+p)))))
	}
	l := n.listen("80", 4096)
	var clients []*client
	var open []kernel.Socket
	for i := range 100 {
		c, k := n.connect(i, l, 80)
		clients, open = append(clients, c), append(open, k)
	}
	before := heapInUse()
	for i := range 20_000 {
		n.receive(packet4(fromMany(i), syscall.IPPROTO_UDP, 0, 0, udpTo(uint16(5000+i%ports), make([]byte, 1000))))
		c := clients[i%len(clients)]
		n.receive(c.segment(flagACK, c.seq+1+uint32(i/len(clients))*1000, nil, make([]byte, 1000)))
		n.frames()
	}
	got := heapInUse() - before
	tcp, datagrams, _ := n.s.memoryUsed()
	t.Logf("%d KiB held, %d and %d KiB counted, bound %d KiB", got>>10, tcp>>10, datagrams>>10, bound>>10)
	if got > int(bound)+slack || got < int(bound)/2 {
		t.Errorf("the stack holds %d KiB; the bound is %d KiB", got>>10, bound>>10)
	}
	buf := make([]byte, 100)
	for i, c := range clients {
		c.send(flagACK, []byte("x"))
		if m, e := open[i].Read(buf, 0); e != 0 || m == 0 {
			t.Fatalf("connection %d: read = %d, %v while memory is short", i, m, e)
		}
	}
}

// TestMemoryReturns: when everything is closed or read, nothing is counted as held.
func TestMemoryReturns(t *testing.T) {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	l := n.listen("80", 4096)
	for i := range 300 {
		c, k := n.connect(i, l, 80)
		buf := make([]byte, 4000)
		k.Write(buf, -1)
		k.Write(buf[:1], -1)
		k.Write(buf[:1], -1)
		n.receive(c.segment(flagACK, c.seq+5, nil, []byte("later")))
		c.send(flagACK, []byte("first"))
		c.seq += 5
		switch i % 3 {
		case 0: // reset by the peer
			c.ack += 4000
			c.send(flagRST|flagACK, nil)
		case 1: // closed by the program, with unread data
		case 2:
			c.ack += 4000 // the rest waits for this (Nagle)
			c.send(flagACK, []byte("secondlast"))
			c.ack += 2
			c.send(flagFIN|flagACK, nil)
			for {
				if m, e := k.Read(buf, -1); e != 0 || m == 0 {
					break
				}
			}
		}
		k.Release()
		if i%3 == 2 {
			c.ack++
			c.send(flagACK, nil)
		}
		n.frames()
	}
	for _, f := range []flood{udpFlood(5), socketFlood("", syscall.SOCK_DGRAM), socketFlood("", syscall.SOCK_RAW)} {
		send := f.open(n)
		for i := range 400 {
			send(i)
		}
		for _, typ := range []int{syscall.SOCK_DGRAM, syscall.SOCK_RAW} {
			for _, open := range n.s.socks.all(syscall.AF_INET, typ) {
				open.ep().Read(n.s.newSink(make([]byte, 10), nil, true), tcpip.ReadOptions{})
				open.ep().Close()
			}
		}
	}
	tcp, datagrams, waiting := n.s.memoryUsed()
	if tcp != 0 || datagrams != 0 || waiting != 0 {
		t.Errorf("%d bytes of connections, %d of datagrams and %d that wait are held after the end; want none", tcp, datagrams, waiting)
	}
}

// TestWaitingMemory: echo requests of large packets from addresses whose link address nobody
// tells cannot make the answers pile up.
func TestWaitingMemory(t *testing.T) {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	echo := make([]byte, 1400)
	echo[0] = 8
	binary.BigEndian.PutUint16(echo[2:], ^checksum.Checksum(echo, 0))
	before := heapInUse()
	for i := range 20_000 {
		n.receive(packet4(fromMany(i%300), syscall.IPPROTO_ICMP, 0, 0, echo))
	}
	n.frames()
	_, _, waiting := n.s.memoryUsed()
	got, limit := heapInUse()-before, int(boundsOf(floodRAM).sockets)/8
	t.Logf("%d KiB held, %d KiB counted of %d KiB", got>>10, waiting>>10, limit>>10)
	if waiting == 0 || int(waiting) > limit+4096 || got > limit+2*slack { // neighbours are part of it
		t.Errorf("answers that wait take %d KiB; the limit is %d KiB", got>>10, limit>>10)
	}
	for end := time.Now().Add(hang); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, _, waiting = n.s.memoryUsed(); waiting == 0 {
			return
		}
	}
	t.Errorf("%d bytes wait after the neighbours were given up", waiting)
}

// TestConnectionMemory: what the stack counts for a connection is what it takes.
func TestConnectionMemory(t *testing.T) {
	n := newHostile(t, 1<<30)
	onEdited(t, n.s)
	if raceEnabled {
		t.Skip("the race detector makes objects larger")
	}
	l := n.listen("80", 4096)
	n.connect(0, l, 80)
	const count = 1000
	before := heapInUse()
	usedBefore, _, _ := n.s.memoryUsed()
	var open []kernel.Socket
	for i := range count {
		_, k := n.connect(i+1, l, 80)
		open = append(open, k)
	}
	n.frames()
	used, _, _ := n.s.memoryUsed()
	got, counted := (heapInUse()-before)/count, int(used-usedBefore)/count
	t.Logf("%d bytes for a connection, %d counted", got, counted)
	if got > counted || counted > 2*got {
		t.Errorf("a connection takes %d bytes; %d are counted", got, counted)
	}
	runtime.KeepAlive(open)
}

// What packet sockets hold is counted with the datagrams, and bounded with them.
func TestHoldDatagrams(t *testing.T) {
	s := New(Config{OnStack: func([]byte) bool { return false }, Memory: floodRAM})
	t.Cleanup(s.Close)
	if !isEdited(s) {
		t.Skip("gVisor as it is does not count")
	}
	const size = 1000
	held := 0
	for s.HoldDatagrams(size) {
		if held += size; held > floodRAM {
			t.Fatalf("%d bytes are held on a machine of %d", held, floodRAM)
		}
	}
	if _, got, _ := s.memoryUsed(); got != int64(held) || held < floodRAM/32 {
		t.Errorf("%d bytes are counted; want the %d that are held, and a 32nd of the memory at least", got, held)
	}
	if !s.HoldDatagrams(-held) {
		t.Error("nothing can be given back")
	}
	if _, got, _ := s.memoryUsed(); got != 0 || !s.HoldDatagrams(size) {
		t.Errorf("%d bytes are counted after all were given back; want none, and room", got)
	}
}
