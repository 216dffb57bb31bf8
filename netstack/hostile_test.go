package netstack

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
)

// A hostile is the rest of a network, seen by one stack with the addresses 10.0.0.2/8 and
// fd00::2/64: a card whose frames a test makes and reads.
type hostile struct {
	tester
	link *Link
	rx   *RxBuffer
	// known are the clients' addresses whose link address the stack knows.
	known map[netip.Addr]bool

	mu   sync.Mutex
	sent [][]byte
}

var hostileMAC = [6]byte{0x52, 0x54, 0, 0, 0, 1}

func (n *hostile) Info() NICInfo { return NICInfo{MAC: hostileMAC} }
func (n *hostile) Start(l *Link) { n.link = l }
func (n *hostile) Kick()         {}

func (n *hostile) Send(f *Frame) bool {
	var b []byte
	for _, p := range f.Parts {
		b = append(b, p...)
	}
	f.Done()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent = append(n.sent, b)
	return true
}

// newHostile makes the stack of a machine with so much RAM. It has memory bounds only on the
// edited copy of gVisor.
func newHostile(t testing.TB, ram uint64) *hostile {
	t.Helper()
	s := New(Config{OnStack: func([]byte) bool { return false }, Memory: ram})
	t.Cleanup(s.Close)
	n := &hostile{tester: tester{t, s}, rx: NewRxBuffer(), known: map[netip.Addr]bool{}}
	l, e := s.AddNIC(n, "eth0")
	n.ok("AddNIC", e)
	s.setAddress(l, netip.MustParsePrefix("10.0.0.2/8"))
	s.setAddress(l, netip.MustParsePrefix("fd00::2/64"))
	return n
}

// receive has the stack receive a frame.
func (n *hostile) receive(f []byte) {
	copy(n.rx.Bytes(), f)
	n.link.Receive([]*RxBuffer{n.rx}, 0, len(f), true)
}

// frames returns the frames sent since the last call.
func (n *hostile) frames() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.sent
	n.sent = nil
	return f
}

// ethernetTo makes a frame to the stack.
func ethernetTo(kind uint16, payload []byte) []byte {
	f := append(hostileMAC[:], 2, 2, 2, 2, 2, 2)
	return append(binary.BigEndian.AppendUint16(f, kind), payload...)
}

// packet4 makes an IPv4 packet to the stack in a frame. The fragment field has the flags, too.
func packet4(src netip.Addr, protocol byte, fragment, id uint16, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], fragment)
	copy(b[12:], src.AsSlice())
	copy(b[16:], []byte{10, 0, 0, 2})
	header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	return ethernetTo(0x0800, append(b, payload...))
}

// packet6 makes an IPv6 packet to the stack in a frame.
func packet6(src netip.Addr, next byte, payload []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], src.AsSlice())
	copy(b[24:], netip.MustParseAddr("fd00::2").AsSlice())
	return ethernetTo(0x86dd, append(b, payload...))
}

// udpTo makes a UDP header without a checksum, and its payload.
func udpTo(port uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, 1000)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

// client is an address and port of the hostile network, and its side of one connection.
type client struct {
	n        *hostile
	addr     netip.AddrPort
	port     uint16 // of the stack
	seq, ack uint32
}

// segment makes a TCP segment to the stack.
func (c *client) segment(flags byte, seq uint32, options, payload []byte) []byte {
	b := make([]byte, 20, 20+len(options)+len(payload))
	binary.BigEndian.PutUint16(b, c.addr.Port())
	binary.BigEndian.PutUint16(b[2:], c.port)
	binary.BigEndian.PutUint32(b[4:], seq)
	if flags&flagACK != 0 {
		binary.BigEndian.PutUint32(b[8:], c.ack)
	}
	b[12], b[13] = byte(20+len(options))/4<<4, flags
	binary.BigEndian.PutUint16(b[14:], 0xffff)
	b = append(append(b, options...), payload...)
	sum := checksum.Checksum(c.addr.Addr().AsSlice(), 0)
	sum = checksum.Checksum([]byte{10, 0, 0, 2, 0, 6, byte(len(b) >> 8), byte(len(b))}, sum)
	binary.BigEndian.PutUint16(b[16:], ^checksum.Checksum(b, sum))
	return packet4(c.addr.Addr(), syscall.IPPROTO_TCP, 0, 0, b)
}

const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagACK = 16
)

// send passes a segment with the next bytes to the stack.
func (c *client) send(flags byte, payload []byte) {
	c.n.receive(c.segment(flags, c.seq, nil, payload))
	c.seq += uint32(len(payload)) + uint32(flags&flagFIN) + uint32(flags&flagSYN)/2
}

// next waits for the next segment to the client; it returns the IP header's payload. It has
// noted what it acknowledges.
func (c *client) next() header.TCP {
	c.n.t.Helper()
	for end := time.Now().Add(hang); time.Now().Before(end); runtime.Gosched() {
		c.n.mu.Lock()
		for i, f := range c.n.sent {
			if len(f) < 54 || f[23] != syscall.IPPROTO_TCP || binary.BigEndian.Uint16(f[12:]) != 0x0800 ||
				binary.BigEndian.Uint16(f[36:]) != c.addr.Port() || [4]byte(f[30:34]) != c.addr.Addr().As4() {
				continue
			}
			c.n.sent = append(c.n.sent[:i:i], c.n.sent[i+1:]...)
			c.n.mu.Unlock()
			tcp := header.TCP(f[34:])
			data := binary.BigEndian.Uint16(f[16:]) - 20 - uint16(tcp.DataOffset())
			c.ack = tcp.SequenceNumber() + uint32(data) + uint32(tcp.Flags()&flagFIN) + uint32(tcp.Flags()&flagSYN)/2
			return tcp
		}
		c.n.mu.Unlock()
	}
	c.n.t.Fatalf("no segment to %v", c.addr)
	return nil
}

// neighbour makes the stack know the link address of an IPv4 address.
func (n *hostile) neighbour(a netip.Addr) {
	p := append([]byte{0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2}, a.AsSlice()...)
	p = append(append(p, 0, 0, 0, 0, 0, 0), 10, 0, 0, 2)
	n.receive(ethernetTo(0x0806, p))
}

// listen makes a listening socket.
func (n *hostile) listen(port string, backlog int) kernel.Socket {
	n.t.Helper()
	k := n.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	n.ok("bind", k.Bind(sockaddr(addrPort("0.0.0.0:"+port))))
	n.ok("listen", k.Listen(backlog))
	return k
}

// client returns the i-th client, whose address the stack knows.
func (n *hostile) client(i int, port uint16) *client {
	a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 14), 1})
	if !n.known[a] {
		n.known[a] = true
		n.neighbour(a)
	}
	return &client{n: n, addr: netip.AddrPortFrom(a, uint16(1024+i&(1<<14-1))), port: port, seq: 1000}
}

// connect makes a connection and accepts it.
func (n *hostile) connect(i int, l kernel.Socket, port uint16) (*client, kernel.Socket) {
	n.t.Helper()
	c := n.client(i, port)
	c.send(flagSYN, nil)
	c.next()
	c.send(flagACK, nil)
	for end := time.Now().Add(hang); time.Now().Before(end); runtime.Gosched() {
		k, e := l.Accept()
		if e == 0 {
			return c, k
		}
	}
	n.t.Fatal("nothing to accept")
	return nil, nil
}

// heapInUse returns the bytes of live objects. Goroutines of stacks that are closed may still
// end, so it waits until the number stands still.
func heapInUse() int {
	last := 0
	for range 100 {
		runtime.GC()
		runtime.GC() // what is in pools goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := int(m.HeapAlloc)
		if diff := now - last; diff > -1024 && diff < 1024 {
			return now
		}
		last = now
		time.Sleep(5 * time.Millisecond)
	}
	return last
}
