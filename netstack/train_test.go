package netstack

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/yolk-unikernel/yolk/kernel"
)

// What UDP_SEGMENT has cut comes in one piece with UDP_GRO, and so does Linux's over the loopback interface.
func TestABIJoinedDatagrams(t *testing.T) {
	onEdited(t, newStack(t))
	runABI(t, []abiTest{{"UDP_GRO", func(a *abi) {
		for i, family := range []int{in4, in6} {
			s, at := a.bound(family, []string{loopbackNoPort, "[::1]:0"}[i])
			c := a.open(family, dgram, 0)
			for _, on := range []int{0, 1, 0} {
				a.setInt(s, syscall.IPPROTO_UDP, udpGRO, on)
				a.getInt(s, syscall.IPPROTO_UDP, udpGRO)
				for _, size := range []byte{4, 5, 10, 11} {
					a.send("send", c, "0123456789", at, controlMessage(syscall.IPPROTO_UDP, udpSegment, size, 0), 0)
					time.Sleep(20 * time.Millisecond)
					for range 3 {
						a.receive(fmt.Sprint("of ", size), s, 100, 0)
					}
				}
			}
		}
	}}})
}

// Only datagrams of one sender and one size are joined, of which the last may be shorter, and none is cut.
func TestJoinedDatagrams(t *testing.T) {
	s := newStack(t)
	onEdited(t, s)
	h := tester{t, s}
	k := h.socket(in4, dgram, 0)
	h.ok("bind", k.Bind(sockaddr(addrPort("0.0.0.0:0"))))
	h.ok("UDP_GRO", k.SetOption(syscall.IPPROTO_UDP, udpGRO, int32Bytes(1)))
	to := netip.AddrPortFrom(addrPort(loopbackNoPort).Addr(), h.localAddr(k).Port())
	one, other := h.socket(in4, dgram, 0), h.socket(in4, dgram, 0)
	for _, c := range []struct {
		room int
		sent []string // of the other sender with a leading "-"
		got  []string // with the size before
	}{
		{100, []string{"abcd", "efgh", "ij", "kl"}, []string{"4 abcdefghij", "0 kl"}},
		{100, []string{"ab", "cdef", "ghij"}, []string{"0 ab", "4 cdefghij"}},
		{100, []string{"abcd", "-efgh", "-ijkl", "mnop"}, []string{"0 abcd", "4 efghijkl", "0 mnop"}},
		{100, []string{"abcd", "", "efgh"}, []string{"0 abcd", "0 ", "0 efgh"}},
		{9, []string{"abcd", "efgh", "ijkl", "m"}, []string{"4 abcdefgh", "4 ijklm"}},
		{6, []string{"abcd", "efgh", "ij"}, []string{"0 abcd", "4 efghij"}},
		{3, []string{"abcd", "efgh"}, []string{"0 abc", "0 efg"}},
		{100, strings.Split(strings.Repeat("a", 70), ""), []string{"1 " + strings.Repeat("a", 64), "1 aaaaaa"}},
	} {
		for _, data := range c.sent {
			from := one
			if strings.HasPrefix(data, "-") {
				from, data = other, data[1:]
			}
			sendTo(t, from, data, to)
		}
		got := []string{}
		for range c.got {
			got = append(got, receiveJoined(t, k, c.room))
		}
		if diff := cmp.Diff(c.got, got); diff != "" {
			t.Errorf("%v in %d bytes: -want +got:\n%s", c.sent, c.room, diff)
		}
	}
	if _, e := k.Read(make([]byte, 1), -1); e != syscall.EAGAIN {
		t.Errorf("a read behind all datagrams: %v; want EAGAIN", e)
	}
	if held := k.(*datagramSocket).ep().(interface{ Held() int }).Held(); held != 0 {
		t.Errorf("%d bytes are charged for an empty queue", held)
	}
}

// receiveJoined returns the size that UDP_GRO tells and the bytes.
func receiveJoined(t *testing.T, k kernel.Socket, room int) string {
	t.Helper()
	wait(t, k, kernel.EventIn)
	m := kernel.Message{Buffers: [][]byte{make([]byte, room/2), make([]byte, room-room/2)}, Control: make([]byte, 64)}
	n, e := k.Receive(&m, 0)
	if e != 0 {
		t.Fatal(e)
	}
	size := 0
	if m.ControlLen >= cmsgHeader+4 {
		size, _ = intOf(m.Control[cmsgHeader:])
	}
	return fmt.Sprintf("%d %s", size, append(m.Buffers[0], m.Buffers[1]...)[:n])
}
