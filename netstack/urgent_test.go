package netstack

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
)

const oob, peek = syscall.MSG_OOB, syscall.MSG_PEEK

// mark logs what a program can ask of urgent data: SIOCATMARK, the bytes up to it, the poll bits.
func (a *abi) mark(k kernel.Socket) {
	a.log("at the mark %v, queued %v, poll %#x", ioctlInt(k, siocAtMark), ioctlInt(k, syscall.TIOCINQ), k.Readiness()&^kernel.EventWrBand)
}

// urgentSend sends, and waits until it must have arrived.
func (a *abi) urgentSend(k kernel.Socket, data string, flags int) {
	a.send(fmt.Sprintf("send %q %#x", data, flags), k, data, netip.AddrPort{}, nil, flags)
	time.Sleep(10 * time.Millisecond)
}

// urgentTests have urgent data of TCP.
var urgentTests = []abiTest{
	{"urgent byte", func(a *abi) {
		for i, family := range []int{in4, in6} {
			c, d := a.connected(family, []string{loopbackNoPort, "[::1]:0"}[i])
			a.mark(d)
			a.receive("no urgent data", d, 1, oob)
			a.urgentSend(c, "abc", 0)
			a.urgentSend(c, "def", oob)
			a.urgentSend(c, "ghi", 0)
			a.mark(d)
			a.receive("urgent, peeked", d, 4, oob|peek)
			a.receive("urgent, no room", d, 0, oob|peek)
			a.receive("urgent", d, 4, oob)
			a.receive("urgent again", d, 4, oob)
			a.mark(d)
			a.receive("peek to the mark", d, 20, peek)
			a.receive("some", d, 2, 0)
			a.mark(d)
			a.receive("to the mark", d, 20, 0)
			a.mark(d)
			a.receive("peek behind the mark", d, 20, peek)
			a.receive("behind the mark", d, 20, 0)
			a.mark(d)
			a.receive("none", d, 20, 0)
			a.receive("urgent, late", d, 4, oob)
		}
	}},
	{"urgent byte alone", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.urgentSend(c, "x", oob)
		a.mark(d)
		a.receive("peek", d, 9, peek)
		a.receive("read", d, 9, 0)
		a.mark(d)
		a.receive("urgent", d, 9, oob)
		a.urgentSend(c, "y", oob)
		a.urgentSend(c, "z", oob)
		a.mark(d)
		a.receive("urgent", d, 9, oob)
		a.urgentSend(c, "abc", 0)
		a.receive("read", d, 9, 0)
		a.mark(d)
		a.urgentSend(c, "", oob)
		a.urgentSend(c, "de", oob)
		a.urgentSend(c, "fg", oob)
		a.mark(d)
		a.receive("read", d, 9, 0)
		a.receive("read", d, 9, 0)
		a.mark(d)
	}},
	{"urgent byte in line", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.setInt(d, sol, syscall.SO_OOBINLINE, 1)
		a.urgentSend(c, "abc", 0)
		a.urgentSend(c, "def", oob)
		a.urgentSend(c, "ghi", 0)
		a.mark(d)
		a.receive("urgent", d, 4, oob)
		a.receive("to the mark", d, 20, 0)
		a.mark(d)
		a.receive("from the mark on", d, 20, 0)
		a.mark(d)
		a.urgentSend(c, "j", oob)
		a.mark(d)
		a.setInt(d, sol, syscall.SO_OOBINLINE, 0)
		a.mark(d)
		a.receive("urgent", d, 4, oob)
		a.setInt(d, sol, syscall.SO_OOBINLINE, 1)
		a.receive("read", d, 4, 0)
		a.mark(d)
	}},
	{"urgent byte at the end", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.urgentSend(c, "ab", oob)
		a.errno("shutdown", c.Shutdown(syscall.SHUT_WR))
		time.Sleep(10 * time.Millisecond)
		a.mark(d)
		a.receive("read", d, 9, 0)
		a.receive("urgent", d, 9, oob|peek)
		a.receive("read", d, 9, peek)
		a.receive("read", d, 9, 0)
		a.mark(d)
		a.receive("urgent", d, 9, oob)
		a.urgentSend(d, "answer", oob)
		a.mark(c)
		a.errno("shutdown", c.Shutdown(syscall.SHUT_RD))
		a.mark(c)
		a.receive("urgent", c, 9, oob)
		l, _ := a.listener(in4, loopbackNoPort)
		a.receive("listener", l, 9, oob)
		k := a.open(in4, stream, 0)
		a.receive("unconnected", k, 9, oob)
		a.send("unconnected", k, "a", netip.AddrPort{}, nil, oob)
	}},
	{"urgent byte and reset", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.urgentSend(c, "abc", oob)
		a.errno("linger", c.SetOption(sol, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0}))
		closeNow(c)
		a.until(d, kernel.EventHup)
		a.receive("urgent", d, 9, oob)
	}},
	{"urgent byte and low-water mark", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.setInt(d, sol, syscall.SO_RCVLOWAT, 2)
		a.urgentSend(c, "a", oob)
		a.urgentSend(c, "b", 0)
		a.mark(d)
		a.urgentSend(c, "c", 0)
		a.mark(d)
		a.setInt(d, tcpLevel, tcpInq, 1)
		a.receive("read", d, 1, 0)
		a.urgentSend(c, "de", oob)
		a.receive("urgent", d, 1, oob)
		a.receive("read", d, 1, 0)
	}},
	{"urgent bytes at random", func(a *abi) {
		c, d := a.connected(in4, loopbackNoPort)
		a.setInt(c, tcpLevel, syscall.TCP_NODELAY, 1)
		r := rand.New(rand.NewPCG(3, 8))
		text := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 4)
		for range 300 {
			switch r.IntN(9) {
			case 0:
				a.setInt(d, sol, syscall.SO_OOBINLINE, r.IntN(2))
			case 1, 2:
				from := r.IntN(26)
				a.urgentSend(c, text[from:from+r.IntN(20)], 0)
			case 3, 4:
				from := r.IntN(26)
				a.urgentSend(c, text[from:from+r.IntN(6)], oob)
			case 5:
				a.receive("urgent", d, r.IntN(3), oob|peek*r.IntN(2))
			case 6:
				a.receive("peek", d, 1+r.IntN(30), peek)
			default:
				a.receive("read", d, 1+r.IntN(30), syscall.MSG_TRUNC*r.IntN(2))
			}
			a.mark(d)
		}
	}},
}

// ioctlInt is an ioctl(2) that stores an int.
func ioctlInt(k kernel.Socket, req uintptr) string {
	b := make([]byte, 4)
	e := ioctlBytes(k, req, b)
	return fmt.Sprint(int32(binary.NativeEndian.Uint32(b)), " ", errnoName(e))
}

func TestABIUrgent(t *testing.T) {
	onEdited(t, newStack(t))
	runABI(t, urgentTests)
}

// Each segment before the end of urgent data points there, also to a card that cuts segments and after losses, and data
// behind it are sent as ever.
func TestRFC9293UrgentPointer(t *testing.T) {
	a, b, na, _ := wiredPairWith(t, 64, NICInfo{Headroom: 12, TSO4: true}, Config{DisableIPv6: true})
	onEdited(t, a.s)
	client, server := across(t, a, b, in4, "10.0.0.2:80")
	a.ok("TCP_NODELAY", client.SetOption(tcpLevel, syscall.TCP_NODELAY, int32Bytes(1)))
	var mu sync.Mutex
	ends, lost, longest := map[uint32]int{}, 0, 0
	na.watch(func(_ *Frame, data []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		h := header.TCP(data[14+20:])
		if h.Flags()&header.TCPFlagUrg == 0 {
			return true
		}
		ends[h.SequenceNumber()+uint32(h.UrgentPointer())]++
		longest = max(longest, tcpPayload(data))
		lost++
		return lost != 2
	})
	text := []byte(strings.Repeat("0123456789", 1000))
	m := kernel.Message{Buffers: [][]byte{text}}
	if n, e := client.Send(&m, oob); n != len(text) || e != 0 {
		t.Fatalf("send = %d, %v", n, e)
	}
	writeAll(t, client, []byte("behind"))
	got := make([]byte, 0, len(text))
	for len(got) < len(text)+len("behind")-1 {
		buf := make([]byte, 4096)
		n, e := read(t, server, buf)
		if e != 0 || n == 0 {
			t.Fatalf("read = %d, %v", n, e)
		}
		got = append(got, buf[:n]...)
	}
	if want := string(text[:len(text)-1]) + "behind"; string(got) != want {
		t.Errorf("the stream has %d bytes; want %d without the urgent one", len(got), len(want))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ends) != 1 || lost < 7 || longest > 1460 {
		t.Errorf("%d segments with the flag point to %v, the longest has %d bytes; want all to one place, at most 1460", lost, ends, longest)
	}
}

// A receive ends before the urgent byte even if it waits for all, one with MSG_OOB never waits, and poll(2) is woken.
func TestUrgentCallsAsOnLinux(t *testing.T) {
	onEdited(t, newStack(t))
	runCalls(t, callTest{"urgent", func(c *caller) {
		l, at := c.listen()
		k := c.fd(syscall.SYS_SOCKET, in4, stream, 0)
		c.do("connect", syscall.SYS_CONNECT, k, at, sockaddrInLen)
		d := c.fd(syscall.SYS_ACCEPT, l, 0, 0)
		buf := make([]byte, 20)
		c.took(func() { c.do("no urgent data", syscall.SYS_RECVFROM, d, buf, 1, oob, 0, 0) })
		c.do("send", syscall.SYS_SENDTO, k, []byte("abcd"), 4, oob, 0, 0)
		c.do("send", syscall.SYS_SENDTO, k, []byte("efgh"), 4, 0, 0, 0)
		time.Sleep(20 * time.Millisecond)
		c.took(func() { c.do("MSG_WAITALL", syscall.SYS_RECVFROM, d, buf, 20, syscall.MSG_WAITALL, 0, 0) })
		p := []byte{0, 0, 0, 0, 2, 0, 0, 0}
		binary.NativeEndian.PutUint32(p, uint32(d))
		c.took(func() { c.do("POLLPRI", syscall.SYS_POLL, p, 1, 1000) })
		c.log("%v", p[4:])
		c.do("urgent", syscall.SYS_RECVFROM, d, buf, 20, oob, 0, 0)
		c.do("rest", syscall.SYS_RECVFROM, d, buf, 20, 0, 0, 0)
		c.log("%q", buf)
		go func() {
			time.Sleep(50 * time.Millisecond)
			c.call(syscall.SYS_SENDTO, k, []byte("!"), 1, oob, 0, 0)
		}()
		c.do("POLLPRI", syscall.SYS_POLL, p, 1, 5000)
		c.log("%v", p[4:])
		for _, fd := range []int{l, k, d} {
			c.do("close", syscall.SYS_CLOSE, fd)
		}
	}})
}
