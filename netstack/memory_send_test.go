package netstack

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
)

// fill writes pieces of a size until the socket takes no more, and returns the number of bytes.
func fill(t *testing.T, k kernel.Socket, size int) int {
	t.Helper()
	b := make([]byte, size)
	for n := 0; ; {
		m, e := k.Write(b, -1)
		if e == syscall.EAGAIN {
			return n
		}
		if e != 0 {
			t.Fatalf("write after %d bytes: %v", n, e)
		}
		n += m
	}
}

// setNoDelay turns Nagle's algorithm off, as package net does.
func setNoDelay(n *hostile, k kernel.Socket) {
	n.ok("TCP_NODELAY", k.SetOption(syscall.IPPROTO_TCP, syscall.TCP_NODELAY, []byte{1, 0, 0, 0}))
}

// acknowledge acknowledges what arrives until it is that number of bytes.
func (c *client) acknowledge(bytes int) {
	first := c.ack
	for end := time.Now().Add(hang); int(c.ack-first) < bytes; {
		if c.takeData() {
			c.send(flagACK, nil)
		} else if time.Now().After(end) {
			c.n.t.Fatalf("%d bytes of %d have arrived", c.ack-first, bytes)
		}
	}
}

// takeData moves the client's acknowledgement beyond the segments that have arrived, and reports
// whether any were new.
func (c *client) takeData() bool {
	first := c.ack
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.n.sent = slices.DeleteFunc(c.n.sent, func(f []byte) bool {
		if tcpPayload(f) < 0 || binary.BigEndian.Uint16(f[36:]) != c.addr.Port() {
			return false
		}
		if binary.BigEndian.Uint32(f[38:]) == c.ack {
			c.ack += uint32(tcpPayload(f))
		}
		return true
	})
	return c.ack != first
}

// TestSendMemory: peers that read nothing cannot make the send buffers of all connections hold
// more than the share of the RAM; each takes a little, and a writer that was refused goes on
// when its peer reads.
func TestSendMemory(t *testing.T) {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	bound := boundsOf(floodRAM).sockets
	l := n.listen("80", 4096)
	var clients []*client
	var open []kernel.Socket
	for i := range 200 {
		c, k := n.connect(i, l, 80)
		setNoDelay(n, k)
		clients, open = append(clients, c), append(open, k)
	}
	n.frames()
	before := heapInUse()
	var sent []int
	for _, k := range open {
		sent = append(sent, fill(t, k, 1000))
	}
	got := heapInUse() - before
	t.Logf("%d KiB held of %d KiB; the first connection took %d bytes, the last %d", got>>10, bound>>10, sent[0], sent[199])
	if got > int(bound)+slack {
		t.Errorf("send buffers hold %d KiB; the bound is %d KiB", got>>10, bound>>10)
	}
	if sent[0] < tcpDefaultBuffer || sent[199] < tcpMinBuffer {
		t.Errorf("connections took %d to %d bytes; want %d without pressure, and %d at least", sent[0], sent[199], tcpDefaultBuffer, tcpMinBuffer)
	}
	for i, k := range open {
		var woken atomic.Bool
		k.Queue().Add(&kernel.Waiter{Notify: func(v kernel.Events) {
			if v&kernel.EventOut != 0 {
				woken.Store(true)
			}
		}})
		clients[i].acknowledge(sent[i])
		for end := time.Now().Add(hang); !woken.Load() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if !woken.Load() || k.Readiness()&kernel.EventOut == 0 {
			t.Fatalf("connection %d: its peer has read everything; a writer was woken: %v", i, woken.Load())
		}
	}
}

// TestSmallWrites: writes of one byte that wait for the peer's window do not take a segment each.
func TestSmallWrites(t *testing.T) {
	n := newHostile(t, 1<<30)
	onEdited(t, n.s)
	_, k := n.connect(0, n.listen("80", 16), 80)
	setNoDelay(n, k)
	before := heapInUse()
	sent := fill(t, k, 1)
	n.frames()
	got := heapInUse() - before
	t.Logf("%d bytes written take %d", sent, got)
	if got > 3*sent {
		t.Errorf("%d writes of a byte take %d bytes of memory; want less than 3 for each", sent, got)
	}
	runtime.KeepAlive(k)
}

// TestOrphans: peers that vanish before they acknowledge the end of their connections cannot keep
// others out for long.
func TestOrphans(t *testing.T) {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	l := n.listen("80", 4096)
	for i := 0; ; i++ {
		c := n.client(i, 80)
		if !c.synAnswered() {
			t.Logf("%d connections fill the memory", i)
			break
		}
		c.send(flagACK, nil)
		k := acceptOne(t, l)
		fill(t, k, 1000)
		k.Release()
	}
	for end := time.Now().Add(hang); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if n.client(20_000, 80).synAnswered() {
			return
		}
	}
	t.Error("no connection is accepted while closed ones wait for peers that are silent")
}

// synAnswered sends a SYN and reports whether it is answered at once.
func (c *client) synAnswered() bool {
	c.send(flagSYN, nil)
	for range 20 {
		for _, f := range c.n.frames() {
			if tcpPayload(f) == 0 && binary.BigEndian.Uint16(f[36:]) == c.addr.Port() && f[47] == flagSYN|flagACK {
				c.ack = binary.BigEndian.Uint32(f[38:]) + 1
				return true
			}
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// TestPathMTUIsBounded: an ICMP message cannot make segments smaller than Linux's min_pmtu.
func TestPathMTUIsBounded(t *testing.T) {
	n := newHostile(t, floodRAM)
	onEdited(t, n.s)
	c := n.client(0, 80)
	l := n.listen("80", 16)
	n.receive(c.segment(flagSYN, c.seq, synOptions(1), nil))
	c.seq++
	opts := header.ParseSynOptions(c.next().Options(), true)
	n.receive(c.segment(flagACK, c.seq, timestamps(2, opts.TSVal), nil))
	k := acceptOne(t, l)
	setNoDelay(n, k)
	k.Write(make([]byte, 1400), -1)
	var sent []byte
	for sent == nil {
		for _, f := range n.frames() {
			if tcpPayload(f) > 0 {
				sent = f
			}
		}
	}
	for _, mtu := range []byte{0, 1, 68} {
		m := append([]byte{3, 4, 0, 0, 0, 0, 0, mtu}, sent[14:14+40]...)
		binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, 0))
		n.receive(packet4(c.addr.Addr(), syscall.IPPROTO_ICMP, 0, 0, m))
	}
	n.frames()
	k.Write(make([]byte, 5000), -1)
	for range 5 {
		for _, f := range n.frames() {
			if size := tcpPayload(f); size > 0 && size < 400 && f[47]&8 == 0 { // not the last, which has PSH
				t.Fatalf("a segment of %d bytes after an ICMP message; want min_pmtu", size)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}
