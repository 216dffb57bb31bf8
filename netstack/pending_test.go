package netstack

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
)

// bigRAM makes bounds that a test does not reach.
const bigRAM = 4 << 30

// perEntry returns how many bytes each of count things takes that do makes.
func perEntry(count int, do func(i int)) int {
	before := heapInUse()
	for i := range count {
		do(i)
	}
	return (heapInUse() - before) / count
}

// closed makes a connection that the program has closed and whose peer has acknowledged that:
// FIN_WAIT_2.
func (n *hostile) closed(i int, l kernel.Socket, port uint16) *client {
	c, k := n.connect(i, l, port)
	k.Release()
	c.next()
	c.send(flagACK, nil)
	return c
}

// TestPendingMemory: connections that have not begun or have ended take little memory, for the
// smallest number of map slots and the largest.
func TestPendingMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes objects larger")
	}
	for _, count := range []int{3500, 4000} { // a map of 4,096 slots doubles at 3,584
		var excess string
		for range 3 { // a busy host lets what one phase has freed go in the next: the number that repeats counts
			if excess = measurePending(t, count); excess == "" {
				break
			}
		}
		if excess != "" {
			t.Errorf("%d connections: %s", count, excess)
		}
	}
}

// measurePending returns which kind of pending connection takes too much memory, or "".
func measurePending(t *testing.T, count int) (excess string) {
	n := newHostile(t, bigRAM)
	onEdited(t, n.s)
	l := n.listen("80", 5000)
	n.closed(0, l, 80)
	n.frames()
	synReceived := perEntry(count, func(i int) {
		n.client(i+1, 80).send(flagSYN, nil)
		n.frames()
	})
	finWait := perEntry(count, func(i int) {
		n.closed(count+i+1, l, 80)
		n.frames()
	})
	l.Release()
	l = n.listen("81", 5000)
	timeWait := perEntry(count, func(i int) {
		n.closed(2*count+i+1, l, 81).send(flagFIN|flagACK, nil)
		n.frames()
	})
	t.Logf("%d connections: %d bytes in SYN_RCVD, %d in FIN_WAIT_2, %d in TIME_WAIT", count, synReceived, finWait, timeWait)
	n.remember(count)
	switch {
	case synReceived > handshakeMemory:
		return fmt.Sprintf("one in SYN_RCVD takes %d bytes; want %d at most", synReceived, handshakeMemory)
	case finWait > timeWaitBytes:
		return fmt.Sprintf("one in FIN_WAIT_2 takes %d bytes; want %d at most", finWait, timeWaitBytes)
	case timeWait > timeWaitBytes:
		return fmt.Sprintf("one in TIME_WAIT takes %d bytes; want %d at most", timeWait, timeWaitBytes)
	}
	return ""
}

// remember checks that what TestPendingMemory has measured is there: SYNs without cookies, and
// connections that do not answer a FIN by a reset.
func (n *hostile) remember(count int) {
	n.t.Helper()
	if cookies := n.s.stack.Stats().TCP.ListenOverflowSynCookieSent.Value(); cookies != 0 {
		n.t.Errorf("%d SYN cookies were sent; want none", cookies)
	}
	for _, i := range []int{count + 1, 2 * count, 2*count + 1, 3 * count} {
		c := n.client(i, 80)
		if i > 2*count {
			c.port = 81
		}
		n.receive(c.segment(flagFIN|flagACK, c.seq+1, nil, nil))
		if got := c.next().Flags(); got != flagACK {
			n.t.Errorf("connection %d answers a FIN by %v; want an acknowledgement", i, got)
		}
	}
}

// synOptions are those of Linux: MSS 1460, SACK, timestamps and a window scale of 7.
func synOptions(now uint32) []byte {
	b := []byte{2, 4, 1460 >> 8, 1460 & 0xff, 4, 2, 8, 10}
	b = binary.BigEndian.AppendUint32(b, now)
	return append(b, 0, 0, 0, 0, 1, 3, 3, 7)
}

// timestamps are the options of later segments.
func timestamps(now, echo uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{1, 1, 8, 10}, now)
	return binary.BigEndian.AppendUint32(b, echo)
}

// TestHandshakeOptions: what the SYN and its answer have agreed on holds for the connection that
// the acknowledgement makes.
func TestHandshakeOptions(t *testing.T) {
	n := newHostile(t, bigRAM)
	l := n.listen("80", 16)
	c := n.client(0, 80)
	n.receive(c.segment(flagSYN, c.seq, synOptions(77), nil))
	answer := c.next()
	opts := header.ParseSynOptions(answer.Options(), true)
	if opts.MSS != 1460 || opts.WS < 0 || !opts.SACKPermitted || !opts.TS || opts.TSEcr != 77 {
		t.Fatalf("SYN-ACK has %+v", opts)
	}
	c.seq++
	n.receive(c.segment(flagACK, c.seq, timestamps(78, opts.TSVal), []byte("hello")))
	k := acceptOne(t, l)
	buf := make([]byte, 10)
	if m, e := read(t, k, buf); e != 0 || string(buf[:m]) != "hello" {
		t.Fatalf("read %q, %v of the acknowledgement's data", buf[:m], e)
	}
	ep := k.(*streamSocket).ep()
	var info tcpip.TCPInfoOption
	ep.GetSockOpt(&info)
	setNoDelay(n, k)
	k.Write(make([]byte, 1400), -1)
	for {
		s := c.next()
		if len(s.Payload()) == 0 {
			continue
		}
		got := header.ParseTCPOptions(s.Options())
		if !got.TS || got.TSEcr != 78 || len(s.Payload()) != 1400 {
			t.Errorf("the answer has options %+v and %d bytes; want the echo of 78 and 1400", got, len(s.Payload()))
		}
		if w := int(s.WindowSize()) << opts.WS; w < 1460 || w > tcpDefaultBuffer {
			t.Errorf("the answer offers a window of %d bytes", w)
		}
		break
	}
	n.receive(c.segment(flagACK, c.seq+5+1460, timestamps(79, opts.TSVal), []byte("x")))
	if got := header.ParseTCPOptions(c.next().Options()); len(got.SACKBlocks) != 1 {
		t.Errorf("%d SACK blocks for a segment out of order; want 1", len(got.SACKBlocks))
	}
}

func acceptOne(t *testing.T, l kernel.Socket) kernel.Socket {
	t.Helper()
	for end := time.Now().Add(hang); time.Now().Before(end); runtime.Gosched() {
		if k, e := l.Accept(); e == 0 {
			return k
		}
	}
	t.Fatal("nothing to accept")
	return nil
}

// nothingToAccept checks that a segment has made no connection.
func nothingToAccept(t *testing.T, l kernel.Socket, after string) {
	t.Helper()
	time.Sleep(5 * time.Millisecond)
	if _, e := l.Accept(); e != syscall.EAGAIN {
		t.Errorf("accept = %v after %s; want EAGAIN", e, after)
	}
}

// TestRFC9293SynReceived: §3.10.7.4, what segments do in SYN_RCVD.
func TestRFC9293SynReceived(t *testing.T) {
	n := newHostile(t, bigRAM)
	onEdited(t, n.s)
	l := n.listen("80", 16)

	c := n.client(0, 80)
	c.send(flagSYN, nil)
	iss := c.next().SequenceNumber()
	n.receive(c.segment(flagSYN, c.seq-1, nil, nil))
	if again := c.next(); again.SequenceNumber() != iss || again.Flags() != flagSYN|flagACK {
		t.Errorf("a repeated SYN is answered by %v with number %d; want SYN-ACK with %d", again.Flags(), again.SequenceNumber(), iss)
	}
	c.ack += 5
	c.send(flagACK, nil)
	if rst := c.next(); rst.Flags() != flagRST || rst.SequenceNumber() != iss+6 {
		t.Errorf("a wrong acknowledgement is answered by %v; want a reset", rst.Flags())
	}
	nothingToAccept(t, l, "a wrong acknowledgement")
	c.ack = iss + 1
	n.receive(c.segment(flagACK, c.seq+1<<20, nil, []byte("x")))
	if a := c.next(); a.Flags() != flagACK || a.AckNumber() != c.seq {
		t.Errorf("data beyond the window is answered by %v of %d; want an acknowledgement of %d", a.Flags(), a.AckNumber(), c.seq)
	}
	nothingToAccept(t, l, "data beyond the window")
	c.ack = iss + 1
	c.send(flagACK, nil)
	acceptOne(t, l).Release()

	c = n.client(1, 80)
	c.send(flagSYN, nil)
	c.next()
	c.send(flagRST, nil)
	c.send(flagACK, nil)
	if rst := c.next(); rst.Flags() != flagRST {
		t.Errorf("an acknowledgement after a reset is answered by %v; want a reset", rst.Flags())
	}
	nothingToAccept(t, l, "a reset")

	c = n.client(2, 80)
	c.send(flagSYN, nil)
	c.next()
	l.Release()
	c.send(flagACK, nil)
	if rst := c.next(); rst.Flags() != flagRST {
		t.Errorf("an acknowledgement after the listener's end is answered by %v; want a reset", rst.Flags())
	}
}

// TestSynAckIsRepeated: a SYN-ACK that nobody acknowledges is sent again, after a second and
// after two more.
func TestSynAckIsRepeated(t *testing.T) {
	n := newHostile(t, bigRAM)
	l := n.listen("80", 16)
	a, b := n.client(0, 80), n.client(1, 80)
	start := time.Now()
	a.send(flagSYN, nil)
	a.next()
	b.send(flagSYN, nil)
	b.next()
	a.next()
	first := time.Since(start)
	b.next()
	a.next()
	if second := time.Since(start); first < 900*time.Millisecond || second < 2900*time.Millisecond {
		t.Errorf("the SYN-ACK was sent again after %v and %v; want 1s and 3s", first, second)
	}
	a.send(flagACK, nil)
	acceptOne(t, l)
}

// TestDeferAccept: with TCP_DEFER_ACCEPT a connection waits for data.
func TestDeferAccept(t *testing.T) {
	n := newHostile(t, bigRAM)
	l := n.listen("80", 16)
	n.ok("TCP_DEFER_ACCEPT", l.SetOption(syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, []byte{30, 0, 0, 0}))
	c := n.client(0, 80)
	c.send(flagSYN, nil)
	c.next()
	c.send(flagACK, nil)
	nothingToAccept(t, l, "an acknowledgement without data")
	c.send(flagACK, []byte("data"))
	k := acceptOne(t, l)
	buf := make([]byte, 10)
	if m, e := read(t, k, buf); e != 0 || string(buf[:m]) != "data" {
		t.Errorf("read %q, %v", buf[:m], e)
	}
}

// TestSynFlood: SYNs that nobody follows up take little memory, and while they come, a client
// that behaves well gets its connection and an answer.
func TestSynFlood(t *testing.T) {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	l := n.listen("80", 4096)
	before := heapInUse()
	for i := range 30_000 {
		n.client(i, 80).send(flagSYN, nil)
		n.frames()
		if i%3000 != 2999 {
			continue
		}
		c, k := n.connect(1<<16+i, l, 80)
		c.send(flagACK, []byte("request"))
		buf := make([]byte, 10)
		if m, e := read(t, k, buf); e != 0 || string(buf[:m]) != "request" {
			t.Fatalf("after %d SYNs a client's data is %q, %v", i, buf[:m], e)
		}
		k.Release()
	}
	limit := int(boundsOf(floodRAM).handshakes) * handshakeMemory
	if got := heapInUse() - before; got > limit+slack {
		t.Errorf("SYNs take %d KiB; want %d at most", got>>10, limit>>10)
	}
	if n.s.stack.Stats().TCP.ListenOverflowSynCookieSent.Value() == 0 {
		t.Error("no SYN cookie was sent")
	}
}

// TestRFC9293TimeWait: §3.6.1 and RFC 1337, what segments do in FIN_WAIT_2 and TIME_WAIT, after
// the program has closed the connection.
func TestRFC9293TimeWait(t *testing.T) {
	n := newHostile(t, bigRAM)
	l := n.listen("80", 16)

	c := n.closed(0, l, 80)
	n.frames()
	c.send(flagACK, []byte("nobody reads this"))
	if s := c.next(); s.Flags()&flagRST == 0 {
		t.Errorf("data in FIN_WAIT_2 is answered by %v; want a reset", s.Flags())
	}

	c = n.closed(1, l, 80)
	n.frames()
	c.send(flagFIN|flagACK, nil)
	want := c.seq
	for range 2 { // the second is a repeated FIN
		if s := c.next(); s.Flags() != flagACK || s.AckNumber() != want {
			t.Errorf("FIN is answered by %v of %d; want an acknowledgement of %d", s.Flags(), s.AckNumber(), want)
		}
		n.receive(c.segment(flagFIN|flagACK, want-1, nil, nil))
	}
	c.next()
	n.receive(c.segment(flagRST|flagACK, want, nil, nil)) // RFC 1337: no effect
	n.receive(c.segment(flagACK, want, nil, []byte("late")))
	if s := c.next(); s.Flags() != flagACK || s.AckNumber() != want {
		t.Errorf("data in TIME_WAIT is answered by %v; want an acknowledgement", s.Flags())
	}
	k := n.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	n.ok("bind", k.Bind(sockaddr(addrPort("10.0.0.2:0"))))

	c.seq = want + 100_000 // RFC 9293 §3.10.7.4: a later number begins a new connection
	c.send(flagSYN, nil)
	if s := c.next(); s.Flags() != flagSYN|flagACK {
		t.Fatalf("a new SYN in TIME_WAIT is answered by %v; want SYN-ACK", s.Flags())
	}
	c.send(flagACK, nil)
	acceptOne(t, l)
}

// TestTimeWaitKeepsPort: a port cannot be bound while its connection is in TIME_WAIT, unless both
// sockets have SO_REUSEADDR; and the same two ports cannot be connected again.
func TestTimeWaitKeepsPort(t *testing.T) {
	n := newHostile(t, bigRAM)
	l := n.listen("80", 16)
	c := n.closed(0, l, 80)
	c.send(flagFIN|flagACK, nil)
	l.Release()
	bind := func(addr string, reuse byte) syscall.Errno {
		k := n.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		n.ok("SO_REUSEADDR", k.SetOption(syscall.SOL_SOCKET, syscall.SO_REUSEADDR, []byte{reuse, 0, 0, 0}))
		defer k.Release()
		return k.Bind(sockaddr(addrPort(addr)))
	}
	for _, addr := range []string{"0.0.0.0:80", "10.0.0.2:80"} {
		for reuse := range byte(2) {
			if e := bind(addr, reuse); e != syscall.EADDRINUSE {
				t.Errorf("bind(%s) with SO_REUSEADDR %d = %v; want EADDRINUSE", addr, reuse, e)
			}
		}
	}
	if e := bind("127.0.0.1:80", 0); e != 0 {
		t.Errorf("bind to another address = %v", e)
	}

	l = n.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	n.ok("SO_REUSEADDR", l.SetOption(syscall.SOL_SOCKET, syscall.SO_REUSEADDR, []byte{1, 0, 0, 0}))
	n.ok("bind", l.Bind(sockaddr(addrPort("0.0.0.0:81"))))
	n.ok("listen", l.Listen(16))
	c, k := n.connect(1, l, 81)
	k.Release()
	c.next()
	c.send(flagACK, nil)
	c.send(flagFIN|flagACK, nil)
	l.Release()
	if e := bind("0.0.0.0:81", 0); e != syscall.EADDRINUSE {
		t.Errorf("bind without SO_REUSEADDR = %v; want EADDRINUSE", e)
	}
	if e := bind("0.0.0.0:81", 1); e != 0 {
		t.Errorf("bind with SO_REUSEADDR on both = %v", e)
	}
	again := n.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	n.ok("SO_REUSEADDR", again.SetOption(syscall.SOL_SOCKET, syscall.SO_REUSEADDR, []byte{1, 0, 0, 0}))
	n.ok("bind", again.Bind(sockaddr(addrPort("10.0.0.2:81"))))
	if e := again.Connect(sockaddr(c.addr)); e != syscall.EADDRNOTAVAIL {
		t.Errorf("connect between the same ports = %v; want EADDRNOTAVAIL", e)
	}
}

// TestTimeWaitIsBounded: connections that are closed beyond the bound end at once.
func TestTimeWaitIsBounded(t *testing.T) {
	const ram = floodRAM * 5 / 4 // with 64 MiB, TIME_WAIT is shorter than this test may take
	n := newHostile(t, ram)
	onEdited(t, n.s)
	l := n.listen("80", 4096)
	b := boundsOf(ram)
	before := heapInUse()
	for i := range 3 * b.timeWaits {
		n.closed(i, l, 80).send(flagFIN|flagACK, nil)
		n.frames()
	}
	if got, limit := heapInUse()-before, b.timeWaits*timeWaitBytes; got > limit+slack {
		t.Errorf("closed connections take %d KiB; the bound is %d KiB", got>>10, limit>>10)
	}
	if tcp, _, _ := n.s.memoryUsed(); tcp != 0 {
		t.Errorf("%d bytes are counted for closed connections; want none", tcp)
	}
	remain := 0
	for i := range 3 * b.timeWaits {
		c := n.client(i, 80)
		n.receive(c.segment(flagFIN|flagACK, c.seq+1, nil, nil))
		if c.next().Flags() == flagACK {
			remain++
		}
	}
	if remain != b.timeWaits {
		t.Errorf("%d connections are in TIME_WAIT; want %d", remain, b.timeWaits)
	}
}
