package unixsock

import (
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/kerneltest"
)

// guest makes system calls of a kernel with unix sockets.
type guest struct {
	t *testing.T
	k *kernel.Kernel
}

func newGuest(t *testing.T) guest {
	k := kernel.New(kerneltest.New(1<<18), kernel.Options{})
	f := New(k, func() syscall.Ucred { return syscall.Ucred{Pid: 1} })
	k.RegisterSocketFamily(syscall.AF_UNIX, f.Socket)
	k.RegisterSocketPair(syscall.AF_UNIX, f.Pair)
	return guest{t, k}
}

// try makes a call. Arguments are numbers, and pointers to memory that the caller keeps alive.
func (g guest) try(nr uintptr, args ...any) (int, syscall.Errno) {
	var a kernel.Args
	for i, v := range args {
		switch v := v.(type) {
		case int:
			a.N[i] = uintptr(v)
		case []byte:
			a.P[i] = unsafe.Pointer(unsafe.SliceData(v))
		case unsafe.Pointer:
			a.P[i] = v
		default:
			g.t.Fatalf("argument of type %T", v)
		}
		if a.P[i] != nil {
			a.N[i] = uintptr(a.P[i])
		}
	}
	r, _, e := g.k.Dispatch(nr, a)
	return int(r), syscall.Errno(e)
}

func (g guest) call(nr uintptr, args ...any) int {
	g.t.Helper()
	r, e := g.try(nr, args...)
	if e != 0 {
		g.t.Fatalf("system call %d%v: %v", nr, args, e)
	}
	return r
}

func (g guest) socket(typ int) int { return g.call(syscall.SYS_SOCKET, syscall.AF_UNIX, typ, 0) }

// A blocking server and a blocking client connect at a path.
func TestBlockingCalls(t *testing.T) {
	g := newGuest(t)
	a := addr("/tmp/server.sock")
	l := g.socket(stream)
	g.call(syscall.SYS_BIND, l, a, len(a))
	g.call(syscall.SYS_LISTEN, l, 0)
	var st syscall.Stat_t
	g.call(syscall.SYS_STAT, []byte("/tmp/server.sock\x00"), unsafe.Pointer(&st))
	if st.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
		t.Errorf("mode of the name = %#o; want a socket", st.Mode)
	}
	const clients = 5 // the backlog of 0 holds one
	errs := make(chan syscall.Errno, clients)
	for range clients {
		go func() {
			c, _ := g.try(syscall.SYS_SOCKET, syscall.AF_UNIX, stream, 0)
			_, e := g.try(syscall.SYS_CONNECT, c, a, len(a))
			if e == 0 {
				_, e = g.try(syscall.SYS_WRITE, c, []byte("hello"), 5)
			}
			errs <- e
		}()
	}
	for range clients {
		s := g.call(syscall.SYS_ACCEPT, l, 0, 0)
		b := make([]byte, 10)
		if n := g.call(syscall.SYS_READ, s, b, len(b)); string(b[:n]) != "hello" {
			t.Errorf("the server read %q", b[:n])
		}
		if e := <-errs; e != 0 {
			t.Errorf("a client failed: %v", e)
		}
	}
	if _, e := g.try(syscall.SYS_BIND, g.socket(dgram), a, len(a)); e != syscall.EADDRINUSE {
		t.Errorf("bind to a taken path = %v; want EADDRINUSE", e)
	}
	g.call(syscall.SYS_CLOSE, l)
	if _, e := g.try(syscall.SYS_CONNECT, g.socket(stream), a, len(a)); e != syscall.ECONNREFUSED {
		t.Errorf("connect after close = %v; want ECONNREFUSED", e)
	}
	g.call(syscall.SYS_UNLINK, []byte("/tmp/server.sock\x00"))
	if _, e := g.try(syscall.SYS_CONNECT, g.socket(stream), a, len(a)); e != syscall.ENOENT {
		t.Errorf("connect after unlink = %v; want ENOENT", e)
	}
}

// A writer blocks while the buffer is full, and then continues.
func TestBlockingWrite(t *testing.T) {
	g := newGuest(t)
	a, b := g.pair(stream)
	const size = 1 << 20
	done := make(chan int)
	go func() {
		n, _ := g.try(syscall.SYS_WRITE, a, make([]byte, size), size)
		done <- n
	}()
	buf := make([]byte, 10000)
	for got := 0; got < size; {
		got += g.call(syscall.SYS_READ, b, buf, len(buf))
	}
	if n := <-done; n != size {
		t.Errorf("write = %d; want %d", n, size)
	}
}

func (g guest) pair(typ int) (int, int) {
	var fds [2]int32
	g.call(syscall.SYS_SOCKETPAIR, syscall.AF_UNIX, typ, 0, unsafe.Pointer(&fds))
	return int(fds[0]), int(fds[1])
}

// sendFile passes a descriptor as net.UnixConn does.
func (g guest) sendFile(to, fd int) {
	g.t.Helper()
	control := syscall.UnixRights(fd)
	b := []byte("x")
	iov := syscall.Iovec{Base: &b[0], Len: 1}
	h := syscall.Msghdr{Iov: &iov, Iovlen: 1, Control: &control[0], Controllen: uint64(len(control))}
	g.call(syscall.SYS_SENDMSG, to, unsafe.Pointer(&h), 0)
}

func (g guest) receiveFile(from int) int {
	g.t.Helper()
	control := make([]byte, 64)
	b := make([]byte, 10)
	iov := syscall.Iovec{Base: &b[0], Len: 10}
	h := syscall.Msghdr{Iov: &iov, Iovlen: 1, Control: &control[0], Controllen: uint64(len(control))}
	g.call(syscall.SYS_RECVMSG, from, unsafe.Pointer(&h), 0)
	messages, err := syscall.ParseSocketControlMessage(control[:h.Controllen])
	if err != nil || len(messages) != 1 {
		g.t.Fatalf("control messages %v, %v", messages, err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		g.t.Fatalf("rights %v, %v", fds, err)
	}
	return fds[0]
}

// A passed pipe works after the sender has closed its own descriptor, and is at its end when
// the last reference, in a queue or a table, is dropped.
func TestPassedFile(t *testing.T) {
	for name, typ := range types {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t)
			a, b := g.pair(typ)
			var p [2]int32
			g.call(syscall.SYS_PIPE2, unsafe.Pointer(&p), syscall.O_NONBLOCK)
			g.sendFile(a, int(p[1]))
			g.sendFile(a, int(p[1]))
			g.call(syscall.SYS_CLOSE, int(p[1]))
			fd := g.receiveFile(b)
			g.call(syscall.SYS_WRITE, fd, []byte("through"), 7)
			buf := make([]byte, 10)
			if n := g.call(syscall.SYS_READ, int(p[0]), buf, 10); string(buf[:n]) != "through" {
				t.Errorf("read %q", buf[:n])
			}
			g.call(syscall.SYS_CLOSE, fd)
			if _, e := g.try(syscall.SYS_READ, int(p[0]), buf, 10); e != syscall.EAGAIN {
				t.Errorf("read with a reference on the way = %v; want EAGAIN", e)
			}
			g.call(syscall.SYS_CLOSE, b) // the second one is still in its queue
			if n, e := g.try(syscall.SYS_READ, int(p[0]), buf, 10); n != 0 || e != 0 {
				t.Errorf("read after all is closed = %d, %v; want the end", n, e)
			}
		})
	}
}
