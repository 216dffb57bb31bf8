package unixsock

import (
	"bytes"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
)

func message1(b []byte) *kernel.Message { return &kernel.Message{Buffers: [][]byte{b}} }

// watch counts the notifications of a socket that contain ev.
func watch(s kernel.Socket, ev kernel.Events) *atomic.Int32 {
	var n atomic.Int32
	s.Queue().Add(&kernel.Waiter{Notify: func(e kernel.Events) {
		if e&ev != 0 {
			n.Add(1)
		}
	}})
	return &n
}

func mustPair(t *testing.T, typ int) (kernel.Socket, kernel.Socket) {
	t.Helper()
	a, b, e := New(nodes{}, identity).Pair(typ, 0)
	if e != 0 {
		t.Fatal(e)
	}
	return a, b
}

func TestNotifications(t *testing.T) {
	a, b := mustPair(t, stream)
	in, out := watch(b, kernel.EventIn), watch(a, kernel.EventOut)
	a.Write([]byte("x"), 0)
	if in.Load() != 1 {
		t.Errorf("a write notified the reader %d times; want 1", in.Load())
	}
	for {
		if _, e := a.Write(make([]byte, 10000), 0); e != 0 {
			break
		}
	}
	if a.Readiness()&kernel.EventOut != 0 || out.Load() != 0 {
		t.Fatal("a full stream is writable")
	}
	buf := make([]byte, 4096)
	for a.Readiness()&kernel.EventOut == 0 {
		if _, e := b.Read(buf, 0); e != 0 {
			t.Fatal(e)
		}
	}
	if out.Load() == 0 {
		t.Error("the writer was not told that there is room")
	}
	hup := watch(a, kernel.EventHup)
	b.Release()
	if hup.Load() != 1 {
		t.Errorf("a close notified the peer %d times; want 1", hup.Load())
	}
}

// A connect that found the backlog full is notified to try again, by accept and when the
// listener is closed.
func TestConnectWaits(t *testing.T) {
	f := New(nodes{}, identity)
	l, _ := f.Socket(stream, 0)
	l.Bind(addr("l"))
	l.Listen(0)
	c1, _ := f.Socket(stream, 0)
	c2, _ := f.Socket(stream, 0)
	if e := c1.Connect(addr("l")); e != 0 {
		t.Fatal(e)
	}
	out := watch(c2, kernel.EventOut)
	if e := c2.Connect(addr("l")); e != syscall.EAGAIN {
		t.Fatalf("connect to a full listener = %v; want EAGAIN", e)
	}
	if c2.Readiness()&kernel.EventOut != 0 {
		t.Error("a waiting socket claims EventOut: its waiter would spin")
	}
	l.Accept()
	if out.Load() != 1 || c2.Readiness()&kernel.EventOut == 0 {
		t.Error("accept did not wake the waiting connect")
	}
	if e := c2.Connect(addr("l")); e != 0 {
		t.Fatal(e)
	}
	c3, _ := f.Socket(stream, 0)
	out = watch(c3, kernel.EventOut)
	c3.Connect(addr("l"))
	l.Release()
	if out.Load() != 1 {
		t.Error("the listener's end did not wake the waiting connect")
	}
	if e := c3.Connect(addr("l")); e != syscall.ECONNREFUSED {
		t.Errorf("connect = %v; want ECONNREFUSED", e)
	}
}

func TestSlowReceiver(t *testing.T) {
	f := New(nodes{}, identity)
	r, _ := f.Socket(dgram, 0)
	r.Bind(addr("r"))
	s, _ := f.Socket(dgram, 0)
	send := func() syscall.Errno {
		m := message1([]byte("x"))
		m.Addr = addr("r")
		_, e := s.Send(m, 0)
		return e
	}
	sent := 0
	for ; send() == 0; sent++ {
		if sent > 10000 {
			t.Fatal("a receiver takes datagrams without bound")
		}
	}
	if s.Readiness()&kernel.EventOut != 0 {
		t.Error("the sender claims EventOut: its waiter would spin")
	}
	out := watch(s, kernel.EventOut)
	r.Read(make([]byte, 1), 0)
	if out.Load() == 0 || send() != 0 {
		t.Error("a read did not make room for the sender")
	}
}

// The number of empty packets is bounded, too.
func TestEmptyPackets(t *testing.T) {
	a, _ := mustPair(t, seq)
	for range 100000 {
		if _, e := a.Write(nil, 0); e == syscall.EAGAIN {
			return
		}
	}
	t.Error("100,000 empty packets were queued")
}

// Bytes arrive in order, whatever the sizes of writes, reads and buffers.
func TestStreamBytes(t *testing.T) {
	a, b := mustPair(t, stream)
	rnd := rand.New(rand.NewPCG(1, 2))
	var sent, got bytes.Buffer
	for sent.Len() < 4<<20 {
		var bufs [][]byte
		for range rnd.IntN(4) {
			p := make([]byte, rnd.IntN(50000))
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			bufs = append(bufs, p)
		}
		all := bytes.Join(bufs, nil)
		n, e := a.Send(&kernel.Message{Buffers: bufs}, 0)
		if e != 0 && e != syscall.EAGAIN {
			t.Fatal(e)
		}
		sent.Write(all[:n])
		p := make([]byte, rnd.IntN(60000)+1)
		k := rnd.IntN(len(p))
		n, e = b.Receive(&kernel.Message{Buffers: [][]byte{p[:k], p[k:]}}, 0)
		if e == 0 {
			got.Write(p[:n])
		}
	}
	a.Release()
	for p := make([]byte, 1000); ; {
		n, e := b.Read(p, 0)
		if e != 0 {
			t.Fatal(e)
		}
		if n == 0 {
			break
		}
		got.Write(p[:n])
	}
	if !bytes.Equal(got.Bytes(), sent.Bytes()) {
		t.Errorf("received %d bytes that differ from the %d sent", got.Len(), sent.Len())
	}
}

// Many goroutines use, close and shut down sockets of one family concurrently.
func TestConcurrentUse(t *testing.T) {
	f := New(nodes{}, identity)
	l, _ := f.Socket(stream, 0)
	l.Bind(addr("\x00l"))
	l.Listen(100)
	done := make(chan int)
	const clients = 50
	for range clients {
		go func() {
			n := 0
			c, _ := f.Socket(stream, 0)
			for c.Connect(addr("\x00l")) == syscall.EAGAIN {
			}
			for range 100 {
				c.Write(make([]byte, 100), 0)
				k, _ := c.Read(make([]byte, 1000), 0)
				n += k
			}
			c.Shutdown(syscall.SHUT_WR)
			c.Release()
			done <- n
		}()
	}
	for accepted := 0; accepted < clients; {
		s, e := l.Accept()
		if e != 0 {
			continue
		}
		accepted++
		go func() {
			buf := make([]byte, 1000)
			for {
				n, e := s.Read(buf, 0)
				if n == 0 && e != syscall.EAGAIN {
					s.Release()
					return
				}
				s.Write(buf[:n], 0)
			}
		}()
	}
	for range clients {
		<-done
	}
}

// getsockname can be called with a buffer of any length.
func TestShortName(t *testing.T) {
	f := New(nodes{}, identity)
	s, _ := f.Socket(stream, 0)
	s.Bind(addr("a-long-name"))
	if n, e := s.LocalAddr(make([]byte, 1)); n != 14 || e != 0 {
		t.Errorf("LocalAddr = %d, %v; want the real length, 14", n, e)
	}
}

func FuzzAddress(f *testing.F) {
	f.Add([]byte{})
	f.Add(addr("x"))
	f.Add(addr("\x00x"))
	f.Add(addr("\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, e := parseAddr(b)
		if e == 0 && len(name) > pathSize+1 {
			t.Errorf("parseAddr(%x) = %d bytes", b, len(name))
		}
		path(name)
		f := New(nodes{}, identity)
		s, _ := f.Socket(dgram, 0)
		s.Bind(b)
		s.Connect(b)
		m := message1([]byte("x"))
		m.Addr, m.Control = b, b
		s.Send(m, 0)
	})
}
