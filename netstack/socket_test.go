package netstack

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
)

func TestStreamEcho(t *testing.T) {
	for _, c := range []struct {
		name   string
		family int
		addr   string
	}{
		{"v4", syscall.AF_INET, "127.0.0.1:0"},
		{"v6", syscall.AF_INET6, "[::1]:0"},
		{"mapped", syscall.AF_INET6, "[::ffff:127.0.0.1]:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := tester{t, newStack(t)}
			a, b := h.pair(c.family, c.addr)
			writeAll(t, a, []byte("hello"))
			got := make([]byte, 16)
			if n, e := read(t, b, got); e != 0 || string(got[:n]) != "hello" {
				t.Fatalf("read = %q, %v", got[:n], e)
			}
			h.ok("shutdown", a.Shutdown(syscall.SHUT_WR))
			if n, e := read(t, b, got); n != 0 || e != 0 {
				t.Fatalf("read after the peer's shutdown = %d, %v; want end of file", n, e)
			}
			// Half closed: the other direction still works.
			writeAll(t, b, []byte("bye"))
			if n, e := read(t, a, got); e != 0 || string(got[:n]) != "bye" {
				t.Fatalf("read = %q, %v", got[:n], e)
			}
			wait(t, b, kernel.EventRdHup)
		})
	}
}

func TestStreamBulk(t *testing.T) {
	h := tester{t, newStack(t)}
	a, b := h.pair(syscall.AF_INET, "127.0.0.1:0")
	want := make([]byte, 4<<20)
	for i := range want {
		want[i] = byte(i * 7)
	}
	go writeAll(t, a, want)
	got := make([]byte, 0, len(want))
	buf := make([]byte, 64<<10)
	for len(got) < len(want) {
		n, e := read(t, b, buf)
		if e != 0 || n == 0 {
			t.Fatalf("read = %d, %v after %d bytes", n, e, len(got))
		}
		got = append(got, buf[:n]...)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("bytes differ")
	}
}

func TestConnectRefused(t *testing.T) {
	h := tester{t, newStack(t)}
	k := h.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if e := connectTo(t, k, addrPort("127.0.0.1:9")); e != syscall.ECONNREFUSED {
		t.Fatalf("connect = %v; want ECONNREFUSED", e)
	}
}

func TestDatagramEcho(t *testing.T) {
	h := tester{t, newStack(t)}
	srv := h.socket(syscall.AF_INET6, syscall.SOCK_DGRAM, 0)
	h.ok("bind", srv.Bind(sockaddr(addrPort("[::]:0"))))
	port := h.localAddr(srv).Port()
	c := h.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	to := addrPort("127.0.0.1:1")
	to = withPort(to, port)
	if n, e := c.Send(&kernel.Message{Buffers: [][]byte{[]byte("pi"), []byte("ng")}, Addr: sockaddr(to)}, 0); n != 4 || e != 0 {
		t.Fatalf("sendto = %d, %v", n, e)
	}
	wait(t, srv, kernel.EventIn)
	m := kernel.Message{Buffers: [][]byte{make([]byte, 3)}, Addr: make([]byte, 128)}
	n, e := srv.Receive(&m, 0)
	if n != 3 || e != 0 || m.Flags&syscall.MSG_TRUNC == 0 || string(m.Buffers[0]) != "pin" {
		t.Fatalf("recvmsg = %d, %v, flags %#x, %q; want 3 truncated bytes", n, e, m.Flags, m.Buffers[0])
	}
	from := parseSockaddr(m.Addr[:m.AddrLen])
	if from.Addr().String() != "::ffff:127.0.0.1" || from.Port() != h.localAddr(c).Port() {
		t.Fatalf("from %v; want ::ffff:127.0.0.1 and the client's port", from)
	}
	if n, e := srv.Send(&kernel.Message{Buffers: [][]byte{[]byte("pong")}, Addr: m.Addr[:m.AddrLen]}, 0); n != 4 || e != 0 {
		t.Fatalf("reply = %d, %v", n, e)
	}
	buf := make([]byte, 8)
	if n, e := read(t, c, buf); e != 0 || string(buf[:n]) != "pong" {
		t.Fatalf("read = %q, %v", buf[:n], e)
	}
}

func TestDatagramUnreachablePort(t *testing.T) {
	h := tester{t, newStack(t)}
	c := h.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	h.ok("connect", c.Connect(sockaddr(addrPort("127.0.0.1:9"))))
	writeAll(t, c, []byte("x"))
	buf := make([]byte, 8)
	if _, e := read(t, c, buf); e != syscall.ECONNREFUSED {
		t.Fatalf("read = %v; want ECONNREFUSED", e)
	}
}

// TestNoAllocations checks that copying in and out does not allocate.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops objects at random under the race detector")
	}
	h := tester{t, newStack(t)}
	p, out := make([]byte, 512), make([]byte, 512)
	if n := testing.AllocsPerRun(100, func() {
		src := h.s.newSource(p, nil, maxStreamWrite)
		src.Read(out)
		src.release()
		dst := h.s.newSink(p, nil, false)
		dst.Write(out)
		dst.finish(p, nil)
	}); n != 0 {
		t.Errorf("copying allocates %v times; want 0", n)
	}
	a, b := h.pair(syscall.AF_INET, "127.0.0.1:0")
	if n := testing.AllocsPerRun(100, func() {
		if _, e := b.Read(out, -1); e != syscall.EAGAIN {
			t.Fatal(e)
		}
	}); n != 0 {
		t.Errorf("a read that would block allocates %v times; want 0", n)
	}
	writeAll(t, a, make([]byte, 64<<10))
	wait(t, b, kernel.EventIn)
	if n := testing.AllocsPerRun(100, func() {
		if _, e := b.Read(out, -1); e != 0 {
			t.Fatal(e)
		}
	}); n != 0 {
		t.Errorf("a read allocates %v times; want 0", n)
	}
}
