package unixsock

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// readAt reads or peeks, and notes where the next peek starts.
func (t *trace) readAt(fd, size, flags int) {
	t.read(fd, size, flags)
	b := make([]byte, 4)
	n, e := t.getOption(fd, solsocket.PeekOff, b)
	t.note("offset %x %s", b[:n], errnoName(e))
}

// SO_PEEK_OFF as on Linux.
func TestPeekOffset(t *testing.T) {
	const peek = syscall.MSG_PEEK
	eachType(t, func(t *trace, typ int) {
		a, b, _ := t.pair(typ)
		t.readAt(b, 1, peek)
		t.set(b, solsocket.PeekOff, 2)
		t.write(a, "0123456789")
		for range 4 {
			t.readAt(b, 3, peek)
		}
		t.write(a, "abc")
		for _, flags := range []int{peek, peek, 0, peek, 0, peek} {
			t.readAt(b, 4, flags)
		}
		t.set(b, solsocket.PeekOff, 1<<32-7)
		t.write(a, "negative")
		t.readAt(b, 3, peek)
		t.readAt(b, 3, 0)
		t.set(b, solsocket.PeekOff, 0)
		t.write(a, "is cut off")
		for _, flags := range []int{peek | syscall.MSG_TRUNC, peek | syscall.MSG_TRUNC, peek, peek, 0} {
			t.readAt(b, 4, flags)
		}
		t.readAt(b, 0, peek)
		t.close(a)
		for _, flags := range []int{peek, peek, peek, 0, 0, 0} {
			t.readAt(b, 100, flags)
		}
	})
}

// An empty message counts once.
func TestPeekOffsetOfNothing(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		if typ == stream {
			return
		}
		a, b, _ := t.pair(typ)
		t.set(b, solsocket.PeekOff, 0)
		for _, s := range []string{"ab", "", "cd", "", "", "ef"} {
			t.write(a, s)
		}
		for range 10 {
			t.readAt(b, 1, syscall.MSG_PEEK)
		}
		for range 3 {
			t.readAt(b, 1, 0)
		}
		t.set(b, solsocket.PeekOff, 0)
		for range 5 {
			t.readAt(b, 1, syscall.MSG_PEEK)
		}
	})
}

// Random sends, peeks and reads.
func TestPeekOffsetRandom(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		r := rand.New(rand.NewPCG(1, 2))
		a, b, _ := t.pair(typ)
		for range 1000 {
			switch r.IntN(8) {
			case 0:
				t.set(b, solsocket.PeekOff, uint32(r.IntN(30)-3))
			case 1, 2, 3:
				t.write(a, strings.Repeat("abcdefg", 3)[:r.IntN(20)])
			case 4, 5:
				t.readAt(b, r.IntN(20), 0)
			default:
				t.readAt(b, r.IntN(20), syscall.MSG_PEEK)
			}
		}
	})
}

// A peek behind all bytes of a stream waits for more.
func TestPeekOffsetWaits(t *testing.T) {
	g := newGuest(t)
	a, b := g.pair(stream)
	off := []byte{5, 0, 0, 0}
	g.call(syscall.SYS_SETSOCKOPT, b, syscall.SOL_SOCKET, solsocket.PeekOff, off, len(off))
	g.call(syscall.SYS_WRITE, a, []byte("hello"), 5)
	got := make(chan string)
	go func() {
		buf := make([]byte, 10)
		n, _ := g.try(syscall.SYS_RECVFROM, b, buf, len(buf), syscall.MSG_PEEK, 0, 0)
		got <- string(buf[:n])
	}()
	select {
	case s := <-got:
		t.Fatalf("a peek at the end returned %q", s)
	case <-time.After(20 * time.Millisecond):
	}
	g.call(syscall.SYS_WRITE, a, []byte(" world"), 6)
	if s := <-got; s != " world" {
		t.Errorf("peeked %q; want what was written later", s)
	}
}

// control notes control messages, times only if they are not of now.
func (t *trace) control(fd, room, flags int) {
	m := &kernel.Message{Buffers: [][]byte{make([]byte, 100)}}
	if room > 0 {
		m.Control = make([]byte, room)
	}
	n, e := t.receive(fd, m, flags)
	if e != 0 {
		n = 0
	}
	t.note("%q flags %#x %s", m.Buffers[0][:n], m.Flags&syscall.MSG_CTRUNC, errnoName(e))
	for b := m.Control[:m.ControlLen]; len(b) >= cmsgHeader; {
		size := min(int(binary.NativeEndian.Uint64(b)), len(b))
		typ, data := int(binary.NativeEndian.Uint32(b[12:])), b[cmsgHeader:size]
		switch {
		case typ == solsocket.Inq || typ == syscall.SCM_CREDENTIALS || len(data) < 16:
			t.note("control %d: %x", typ, data)
		default:
			at := time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
			t.note("control %d: %d bytes, now %v, rest %x", typ, len(data), time.Since(at).Abs() < time.Minute, data[16:])
		}
		b = b[min(solsocket.ControlAlign(size), len(b)):]
	}
}

// Packets have the times that SO_TIMESTAMP and the others ask for, streams have none.
func TestTimestamps(t *testing.T) {
	const software, received, selected = 1 << 4, 1 << 3, 1 << 17
	type set struct {
		option int
		v      uint32
	}
	cases := [][]set{
		{{syscall.SO_TIMESTAMP, 1}}, {{syscall.SO_TIMESTAMPNS, 1}}, {{solsocket.TimestampNew, 1}}, {{solsocket.TimestampNSNew, 1}},
		{{syscall.SO_TIMESTAMPING, software | received}},
		{{syscall.SO_TIMESTAMPING, software | received}, {syscall.SO_TIMESTAMP, 1}},
		{{solsocket.TimestampingNew, software | received}, {syscall.SO_TIMESTAMP, 1}},
		{{syscall.SO_TIMESTAMPNS, 1}, {solsocket.TimestampingNew, software}},
		{{syscall.SO_TIMESTAMPNS, 1}, {syscall.SO_TIMESTAMPING, received}},
		{{syscall.SO_TIMESTAMPNS, 1}, {syscall.SO_TIMESTAMPING, software | selected}},
		{{syscall.SO_TIMESTAMPNS, 1}, {syscall.SO_TIMESTAMP, 0}},
		{{solsocket.RcvMark, 1}, {solsocket.RcvPriority, 1}, {solsocket.RxqOvfl, 1}},
	}
	eachType(t, func(t *trace, typ int) {
		for _, c := range cases {
			a, b, _ := t.pair(typ)
			t.write(a, "before")
			for _, s := range c {
				t.set(b, s.option, s.v)
			}
			t.control(b, 200, syscall.MSG_PEEK)
			t.control(b, 200, 0)
			t.write(a, "after")
			t.control(b, 200, 0)
		}
		a, b, _ := t.pair(typ)
		t.set(b, syscall.SO_TIMESTAMP, 1)
		t.set(b, syscall.SO_PASSCRED, 1)
		for _, room := range []int{0, 10, 24, 32, 50, 100} {
			t.write(a, "x")
			t.control(b, room, 0)
		}
	})
}

// The time is that of sending.
func TestTimestampOfSending(t *testing.T) {
	a, b := mustPair(t, dgram)
	if e := b.SetOption(syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, []byte{1, 0, 0, 0}); e != 0 {
		t.Fatal(e)
	}
	before := time.Now()
	if _, e := a.Write([]byte("x"), 0); e != 0 {
		t.Fatal(e)
	}
	sent := time.Now()
	time.Sleep(20 * time.Millisecond)
	m := &kernel.Message{Buffers: [][]byte{make([]byte, 10)}, Control: make([]byte, 100)}
	if _, e := b.Receive(m, 0); e != 0 || m.ControlLen != cmsgHeader+16 {
		t.Fatalf("%d bytes of control messages, %v", m.ControlLen, e)
	}
	at := time.Unix(int64(binary.NativeEndian.Uint64(m.Control[16:])), int64(binary.NativeEndian.Uint64(m.Control[24:])))
	if at.Before(before) || at.After(sent) {
		t.Errorf("sent between %v and %v, and the stamp is %v", before, sent, at)
	}
}

// SO_INQ tells how many bytes of a stream are left.
func TestBytesInQueue(t *testing.T) {
	eachType(t, func(t *trace, typ int) {
		a, b, _ := t.pair(typ)
		t.set(b, solsocket.Inq, 2)
		t.set(b, solsocket.Inq, 1)
		t.option(b, solsocket.Inq)
		t.write(a, strings.Repeat("x", 150))
		t.control(b, 100, 0)
		t.control(b, 100, syscall.MSG_PEEK)
		t.control(b, 10, 0)
		t.close(a)
		t.control(b, 100, 0)
	})
}

// Without SO_PASSRIGHTS a socket is sent no descriptors.
func TestPassRights(t *testing.T) {
	for name, typ := range types {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t)
			a, b := g.pair(typ)
			p := make([]byte, 8)
			g.call(syscall.SYS_PIPE2, p, 0)
			off := make([]byte, 4)
			send := func() syscall.Errno {
				control := syscall.UnixRights(int(binary.NativeEndian.Uint32(p)))
				text := []byte("x")
				iov := syscall.Iovec{Base: &text[0], Len: 1}
				h := syscall.Msghdr{Iov: &iov, Iovlen: 1, Control: &control[0], Controllen: uint64(len(control))}
				_, e := g.try(syscall.SYS_SENDMSG, a, unsafe.Pointer(&h), 0)
				return e
			}
			g.call(syscall.SYS_SETSOCKOPT, a, syscall.SOL_SOCKET, solsocket.PassRights, off, 4) // what it is sent itself
			if e := send(); e != 0 {
				t.Errorf("sendmsg = %v", e)
			}
			g.call(syscall.SYS_SETSOCKOPT, b, syscall.SOL_SOCKET, solsocket.PassRights, off, 4)
			if e := send(); e != syscall.EPERM {
				t.Errorf("sendmsg to a socket without SO_PASSRIGHTS = %v; want %v", e, syscall.EPERM)
			}
		})
	}
}
