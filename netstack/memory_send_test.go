package netstack

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

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
	n.frames()
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
		for left := sent[i]; left > 0; {
			acked := min(left, 2*536) // RFC 9293 §3.7.1: segments of 536 bytes without an option
			left -= acked
			clients[i].ack += uint32(acked)
			clients[i].send(flagACK, nil)
			n.frames()
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
