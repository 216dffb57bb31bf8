package netstack

import (
	"encoding/binary"
	"math/bits"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// setOption sets an option of one int.
func setOption(t *testing.T, k kernel.Socket, level, name, v int) syscall.Errno {
	t.Helper()
	return k.SetOption(level, name, int32Bytes(v))
}

func sendSize(k kernel.Socket, size int, to string, control []byte) syscall.Errno {
	m := kernel.Message{Buffers: [][]byte{make([]byte, size)}, Addr: sockaddr(addrPort(to)), Control: control}
	_, e := k.Send(&m, 0)
	return e
}

// A datagram that may not be fragmented has to fit into the MTU, and so has each segment.
func TestDontFragment(t *testing.T) {
	a, _, _, _ := wiredPair(t, 64, NICInfo{})
	k := a.socket(in4, dgram, 0)
	const fits = defaultMTU - 28
	for _, c := range []struct {
		discover, size int
		want           syscall.Errno
	}{
		{syscall.IP_PMTUDISC_WANT, fits + 1, 0}, {syscall.IP_PMTUDISC_DO, fits, 0}, {syscall.IP_PMTUDISC_DO, fits + 1, syscall.EMSGSIZE},
		{syscall.IP_PMTUDISC_PROBE, fits + 1, syscall.EMSGSIZE}, {syscall.IP_PMTUDISC_DONT, fits + 1, 0},
	} {
		if e := setOption(t, k, ipLevel, syscall.IP_MTU_DISCOVER, c.discover); e != 0 {
			t.Fatal(e)
		}
		if e := sendSize(k, c.size, "10.0.0.2:9", nil); e != c.want {
			t.Errorf("with IP_MTU_DISCOVER %d, %d bytes are %v; want %v", c.discover, c.size, e, c.want)
		}
	}
	segment := func(n uint16) []byte {
		return controlMessage(syscall.IPPROTO_UDP, udpSegment, byte(n), byte(n>>8))
	}
	if e := sendSize(k, 4000, "10.0.0.2:9", segment(fits)); e != 0 {
		t.Errorf("segments of %d bytes are %v", fits, e)
	}
	if e := sendSize(k, 4000, "10.0.0.2:9", segment(fits+1)); e != syscall.EINVAL {
		t.Errorf("segments of %d bytes are %v; want EINVAL", fits+1, e)
	}
}

// With SO_DONTROUTE only hosts on the link can be reached.
func TestDontRoute(t *testing.T) {
	s := newStack(t)
	_, e := s.AddNIC(idleNIC{}, "eth0")
	if e != 0 {
		t.Fatal(e)
	}
	if err := s.Configure([]string{"ip=10.0.0.1/24::10.0.0.9", "ip6=off"}, 0); err != nil {
		t.Fatal(err)
	}
	k := tester{t, s}.socket(in4, dgram, 0)
	for on, want := range []syscall.Errno{0, syscall.ENETUNREACH} {
		if e := setOption(t, k, sol, syscall.SO_DONTROUTE, on); e != 0 {
			t.Fatal(e)
		}
		if e := sendSize(k, 1, "192.0.2.1:9", nil); e != want {
			t.Errorf("a datagram by the router with SO_DONTROUTE %d is %v; want %v", on, e, want)
		}
		if e := sendSize(k, 1, "10.0.0.7:9", nil); e != 0 {
			t.Errorf("a datagram on the link with SO_DONTROUTE %d is %v", on, e)
		}
	}
}

// SO_RXQ_OVFL tells how many datagrams were lost, once some were.
func TestDropsAreReported(t *testing.T) {
	h := tester{t, newStack(t)}
	k, c := h.socket(in4, dgram, 0), h.socket(in4, dgram, 0)
	h.ok("bind", k.Bind(sockaddr(addrPort(loopbackNoPort))))
	h.ok("SO_RCVBUF", setOption(t, k, sol, syscall.SO_RCVBUF, 4000))
	h.ok("SO_RXQ_OVFL", setOption(t, k, sol, solsocket.RxqOvfl, 1))
	receive := func() (int, []byte) {
		m := kernel.Message{Buffers: [][]byte{make([]byte, 10)}, Control: make([]byte, 64)}
		n, e := k.Receive(&m, 0)
		h.ok("receive", e)
		return n, m.Control[:m.ControlLen]
	}
	to := h.localAddr(k).String()
	h.ok("send", sendSize(c, 1, to, nil))
	wait(t, k, readable)
	if _, control := receive(); len(control) != 0 {
		t.Errorf("control messages %v before a loss", control)
	}
	const sent = 50
	for range sent {
		h.ok("send", sendSize(c, 1000, to, nil))
	}
	got := 1
	_, control := receive()
	for ; k.Readiness()&readable != 0; got++ {
		receive()
	}
	if len(control) < cmsgHeader+4 {
		t.Fatalf("no count after %d of %d datagrams came", got, sent)
	}
	if n := int(binary.NativeEndian.Uint32(control[cmsgHeader:])); n != sent-got {
		t.Errorf("%d datagrams were lost, says SO_RXQ_OVFL; %d of %d came", n, got, sent)
	}
}

// SO_RCVBUFFORCE goes beyond the limit of SO_RCVBUF, and both lock the buffer.
func TestBufferSizes(t *testing.T) {
	h := tester{t, newStack(t)}
	k := h.socket(in4, stream, 0)
	get := func(name int) int {
		b := make([]byte, 4)
		_, e := k.GetOption(sol, name, b)
		h.ok("getsockopt", e)
		return int(binary.NativeEndian.Uint32(b))
	}
	if n := get(solsocket.BufLock); n != 0 {
		t.Errorf("SO_BUF_LOCK = %d at first", n)
	}
	h.ok("SO_RCVBUF", setOption(t, k, sol, syscall.SO_RCVBUF, 1<<28))
	limited := get(syscall.SO_RCVBUF)
	h.ok("SO_RCVBUFFORCE", setOption(t, k, sol, syscall.SO_RCVBUFFORCE, 1<<28))
	if n := get(syscall.SO_RCVBUF); n != 1<<29 || limited >= n {
		t.Errorf("SO_RCVBUF = %d, and %d by force; want %d by force", limited, n, 1<<29)
	}
	if n := get(solsocket.BufLock); n != lockReceive {
		t.Errorf("SO_BUF_LOCK = %d; want %d", n, lockReceive)
	}
	if e := setOption(t, k, sol, solsocket.BufLock, 0); e != syscall.EINVAL {
		t.Errorf("unlocking is %v; want EINVAL", e)
	}
}

// IP_UNICAST_IF sends by an interface that has no route to the destination.
func TestUnicastInterface(t *testing.T) {
	a, _, _, _ := wiredPair(t, 64, NICInfo{})
	k := a.socket(in4, dgram, 0)
	for nic, want := range map[int]syscall.Errno{0: 0, 2: 0, 1: syscall.ENETUNREACH} {
		if e := setOption(t, k, ipLevel, ipUnicastIf, int(bits.ReverseBytes32(uint32(nic)))); e != 0 {
			t.Fatalf("IP_UNICAST_IF %d: %v", nic, e)
		}
		e := sendSize(k, 1, "10.0.0.2:9", nil)
		if (e == 0) != (want == 0) {
			t.Errorf("a datagram by interface %d is %v; want %v", nic, e, want)
		}
	}
}

// TCP_QUICKACK sends the acknowledgement that waits, and lets none wait.
func TestQuickAck(t *testing.T) {
	a, b, _, nb := wiredPairWith(t, 64, NICInfo{}, Config{DisableIPv6: true})
	onEdited(t, a.s)
	client, server := across(t, a, b, syscall.AF_INET, "10.0.0.2:80")
	acks := make(chan time.Time, 1000)
	nb.watch(func(_ *Frame, data []byte) bool {
		if tcpPayload(data) == 0 {
			acks <- time.Now()
		}
		return true
	})
	p := make([]byte, 100)
	for range 5 { // a conversation
		writeAll(t, client, p)
		read(t, server, p)
		writeAll(t, server, p)
		read(t, client, p)
	}
	time.Sleep(100 * time.Millisecond)
	for len(acks) > 0 {
		<-acks
	}
	writeAll(t, client, p)
	read(t, server, p)
	if n := len(acks); n != 0 {
		t.Skipf("%d acknowledgements came at once: the host was slow", n)
	}
	if e := setOption(t, server, tcpLevel, syscall.TCP_QUICKACK, 1); e != 0 {
		t.Fatal(e)
	}
	select {
	case <-acks:
	case <-time.After(hang):
		t.Error("TCP_QUICKACK has sent no acknowledgement")
	}
}

// With TCP_NOTSENT_LOWAT few bytes wait to be sent, and all of them arrive.
func TestNotSentLowWater(t *testing.T) {
	a, b, _, _ := wiredPairWith(t, 64, NICInfo{}, Config{DisableIPv6: true})
	onEdited(t, a.s)
	c, s := across(t, a, b, syscall.AF_INET, "10.0.0.2:80")
	const low = 8 << 10
	if e := setOption(t, c, tcpLevel, tcpNotSentLowat, low); e != 0 {
		t.Fatal(e)
	}
	p := make([]byte, 1<<20)
	for { // until the peer's buffer is full
		if _, e := c.Write(p, -1); e == syscall.EAGAIN && c.Readiness()&writable == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n := c.(*streamSocket).unsent(); n < low/2 || n > low+overshoot {
		t.Errorf("%d bytes wait to be sent; want %d to %d", n, low/2, low+overshoot)
	}
	all, _ := c.(*streamSocket).ep().(interface{ Unacknowledged() (all, unsent int) }).Unacknowledged()
	go func() {
		writeAll(t, c, p)
		c.Shutdown(syscall.SHUT_WR)
	}()
	got := 0
	for {
		n, e := read(t, s, p)
		if e != 0 {
			t.Fatal(e)
		}
		got += n
		if n == 0 {
			break
		}
	}
	if got < len(p)+all {
		t.Errorf("%d bytes arrived; want %d at least", got, len(p)+all)
	}
}

// A program that forbids fragments, as QUIC does, sends without further allocations what fits.
func TestDontFragmentCostsNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector sync.Pool forgets at random")
	}
	h := tester{t, newStack(t)}
	h.s.smallestMTU.Store(defaultMTU) // as with a card
	peer, k := h.socket(in4, dgram, 0), h.socket(in4, dgram, 0)
	h.ok("bind", peer.Bind(sockaddr(addrPort(loopbackNoPort))))
	h.ok("connect", k.Connect(sockaddr(h.localAddr(peer))))
	p := make([]byte, 1452)
	write := func() { k.Write(p, -1) }
	for range 1000 { // the peer's buffer is full then
		write()
	}
	allocations := func() float64 { // the fewest of some: others of the process are counted, too
		least := testing.AllocsPerRun(200, write)
		for range 4 {
			least = min(least, testing.AllocsPerRun(200, write))
		}
		return least
	}
	before := allocations()
	h.ok("IP_MTU_DISCOVER", setOption(t, k, ipLevel, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DO))
	if after := allocations(); after > before {
		t.Errorf("%v allocations for a datagram with IP_PMTUDISC_DO; %v without", after, before)
	}
}
