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
			if n, errno := read(t, b, got); errno != 0 || string(got[:n]) != "hello" {
				t.Fatalf("read = %q, %v", got[:n], errno)
			}
			h.ok("shutdown", a.Shutdown(syscall.SHUT_WR))
			if n, errno := read(t, b, got); n != 0 || errno != 0 {
				t.Fatalf("read after the peer's shutdown = %d, %v; want end of file", n, errno)
			}
			// Half closed: the other direction still works.
			writeAll(t, b, []byte("bye"))
			if n, errno := read(t, a, got); errno != 0 || string(got[:n]) != "bye" {
				t.Fatalf("read = %q, %v", got[:n], errno)
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
		n, errno := read(t, b, buf)
		if errno != 0 || n == 0 {
			t.Fatalf("read = %d, %v after %d bytes", n, errno, len(got))
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
	if errno := connectTo(t, k, addrPort("127.0.0.1:9")); errno != syscall.ECONNREFUSED {
		t.Fatalf("connect = %v; want ECONNREFUSED", errno)
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
	if n, errno := c.Send(&kernel.Message{Buffers: [][]byte{[]byte("pi"), []byte("ng")}, Addr: sockaddr(to)}, 0); n != 4 || errno != 0 {
		t.Fatalf("sendto = %d, %v", n, errno)
	}
	wait(t, srv, kernel.EventIn)
	m := kernel.Message{Buffers: [][]byte{make([]byte, 3)}, Addr: make([]byte, 128)}
	n, errno := srv.Receive(&m, 0)
	if n != 3 || errno != 0 || m.Flags&syscall.MSG_TRUNC == 0 || string(m.Buffers[0]) != "pin" {
		t.Fatalf("recvmsg = %d, %v, flags %#x, %q; want 3 truncated bytes", n, errno, m.Flags, m.Buffers[0])
	}
	from := parseSockaddr(m.Addr[:m.AddrLen])
	if from.Addr().String() != "::ffff:127.0.0.1" || from.Port() != h.localAddr(c).Port() {
		t.Fatalf("from %v; want ::ffff:127.0.0.1 and the client's port", from)
	}
	if n, errno := srv.Send(&kernel.Message{Buffers: [][]byte{[]byte("pong")}, Addr: m.Addr[:m.AddrLen]}, 0); n != 4 || errno != 0 {
		t.Fatalf("reply = %d, %v", n, errno)
	}
	buf := make([]byte, 8)
	if n, errno := read(t, c, buf); errno != 0 || string(buf[:n]) != "pong" {
		t.Fatalf("read = %q, %v", buf[:n], errno)
	}
}

func TestDatagramUnreachablePort(t *testing.T) {
	h := tester{t, newStack(t)}
	c := h.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	h.ok("connect", c.Connect(sockaddr(addrPort("127.0.0.1:9"))))
	writeAll(t, c, []byte("x"))
	buf := make([]byte, 8)
	if _, errno := read(t, c, buf); errno != syscall.ECONNREFUSED {
		t.Fatalf("read = %v; want ECONNREFUSED", errno)
	}
}

// TestNoAllocations holds the promise that copying in and out allocates
// nothing of ours.
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
		if _, errno := b.Read(out, -1); errno != syscall.EAGAIN {
			t.Fatal(errno)
		}
	}); n != 0 {
		t.Errorf("a read that would block allocates %v times; want 0", n)
	}
	writeAll(t, a, make([]byte, 64<<10))
	wait(t, b, kernel.EventIn)
	if n := testing.AllocsPerRun(100, func() {
		if _, errno := b.Read(out, -1); errno != 0 {
			t.Fatal(errno)
		}
	}); n != 0 {
		t.Errorf("a read allocates %v times; want 0", n)
	}
}
