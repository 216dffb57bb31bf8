package netstack

import (
	"bytes"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
)

// bulk sends n bytes over a connection and compares them.
func bulk(t *testing.T, from, to kernel.Socket, n int) {
	t.Helper()
	want := make([]byte, n)
	for i := range want {
		want[i] = byte(i*31 + i>>9)
	}
	go writeAll(t, from, want)
	var got []byte
	buf := make([]byte, 32<<10)
	for len(got) < n {
		m, e := read(t, to, buf)
		if e != 0 || m == 0 {
			t.Fatalf("read = %d, %v after %d bytes", m, e, len(got))
		}
		got = append(got, buf[:m]...)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("bytes differ")
	}
}

func TestWire(t *testing.T) {
	for _, c := range []struct {
		name string
		info NICInfo
		ring int
	}{
		{"plain", NICInfo{}, 64},
		{"headroom", NICInfo{Headroom: 12}, 64},
		{"segmentation", NICInfo{Headroom: 12, TSO4: true, TSO6: true}, 64},
		{"tiny ring", NICInfo{Headroom: 12}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b, na, _ := wiredPair(t, c.ring, c.info)
			var largest, gso atomic.Int64
			na.watch(func(f *Frame, data []byte) bool {
				largest.Store(max(largest.Load(), int64(len(data))))
				if f.Offload.GSOType != GSONone {
					gso.Add(1)
				}
				return true
			})
			for _, server := range []string{"10.0.0.2:80", "[fd00::2]:80"} {
				family := syscall.AF_INET
				if server[0] == '[' {
					family = syscall.AF_INET6
				}
				x, y := across(t, a, b, family, server)
				bulk(t, x, y, 1<<20)
				bulk(t, y, x, 1<<20)
			}
			if c.info.TSO4 {
				if gso.Load() == 0 || largest.Load() <= 1514 {
					t.Errorf("%d segments left to the card, largest frame %d; want some beyond 1514", gso.Load(), largest.Load())
				}
			} else if largest.Load() > 1514 {
				t.Errorf("frame of %d bytes; want 1514 at most", largest.Load())
			}
		})
	}
}

func TestLinkLossIsRepaired(t *testing.T) {
	a, b, na, _ := wiredPair(t, 64, NICInfo{})
	var n atomic.Int64
	na.watch(func(*Frame, []byte) bool { return n.Add(1)%23 != 0 })
	x, y := across(t, a, b, syscall.AF_INET, "10.0.0.2:80")
	bulk(t, x, y, 200<<10)
}

func TestReceiveRejectsLies(t *testing.T) {
	a, _, na, _ := wiredPair(t, 4, NICInfo{})
	_ = a
	l := na.link.Load()
	bufs := []*RxBuffer{NewRxBuffer()}
	for _, c := range []struct{ off, n int }{
		{0, 0}, {0, 13}, {-1, 60}, {0, -1}, {12, rxBufferSize}, {rxBufferSize, 60}, {1 << 62, 60}, {0, 1 << 62},
		{rxBufferSize - 4, 60},
	} {
		before := l.stats.rxErrors.Load()
		l.Receive(bufs, c.off, c.n, false)
		if l.stats.rxErrors.Load() != before+1 {
			t.Errorf("Receive(off %d, n %d) was not counted as an error", c.off, c.n)
		}
	}
	l.Receive(nil, 0, 60, false)
	// Frames of junk to this station, of every type that the stack parses.
	for _, typ := range [][2]byte{{8, 0}, {8, 6}, {0x86, 0xdd}, {0xff, 0xff}} {
		for n := 14; n < 120; n++ {
			p := bufs[0].Bytes()
			for i := range p[:n] {
				p[i] = byte(i * n)
			}
			copy(p, l.info.MAC[:])
			p[12], p[13] = typ[0], typ[1]
			p[14] = 0x45
			l.Receive(bufs, 0, n, false)
		}
	}
}

func TestCorruptChecksumIsDropped(t *testing.T) {
	a, b, na, _ := wiredPair(t, 16, NICInfo{})
	srv := b.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	b.ok("bind", srv.Bind(sockaddr(addrPort("10.0.0.2:7"))))
	c := a.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	a.ok("connect", c.Connect(sockaddr(addrPort("10.0.0.2:7"))))
	na.watch(func(_ *Frame, data []byte) bool {
		if bytes.HasSuffix(data, []byte("bad")) {
			data[len(data)-1] ^= 1
		}
		return true
	})
	writeAll(t, c, []byte("bad"))
	writeAll(t, c, []byte("good"))
	buf := make([]byte, 16)
	if n, e := read(t, srv, buf); e != 0 || string(buf[:n]) != "good" {
		t.Fatalf("read = %q, %v; want only the intact datagram", buf[:n], e)
	}
}

func TestHostUnreachable(t *testing.T) {
	a, _, _, _ := wiredPair(t, 16, NICInfo{})
	c := a.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if e := connectTo(t, c, addrPort("10.0.0.77:80")); e != syscall.EHOSTUNREACH {
		t.Errorf("connect to an absent neighbour = %v; want EHOSTUNREACH", e)
	}
	c = a.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if e := connectTo(t, c, addrPort("192.0.2.1:80")); e != syscall.ENETUNREACH {
		t.Errorf("connect without a route = %v; want ENETUNREACH", e)
	}
}
