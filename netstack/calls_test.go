package netstack

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/kerneltest"
)

// The tests of this file make system calls, which block, on Linux and on a kernel with this package's
// sockets, and compare what a program sees.

type caller struct {
	t     *testing.T
	call  func(nr uintptr, args ...any) (int, syscall.Errno)
	lines []string
}

func (c *caller) log(format string, args ...any) {
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

// do makes a call and logs its result; files are not numbered alike, so that theirs is left out.
func (c *caller) do(what string, nr uintptr, args ...any) int {
	n, e := c.call(nr, args...)
	if e != 0 {
		c.log("%s: %v", what, e)
	} else {
		c.log("%s: %d", what, n)
	}
	return n
}

func (c *caller) fd(nr uintptr, args ...any) int {
	n, e := c.call(nr, args...)
	if e != 0 {
		c.t.Fatalf("call %d: %v", nr, e)
	}
	return n
}

// took logs about how long f took.
func (c *caller) took(f func()) {
	start := time.Now()
	f()
	switch d := time.Since(start); {
	case d < 100*time.Millisecond:
		c.log("at once")
	default:
		c.log("after the timeout")
	}
}

// words are the arguments of a call: numbers, and pointers to memory that stays.
func words(t *testing.T, args []any) (n [6]uintptr, p [6]unsafe.Pointer) {
	for i, v := range args {
		switch v := v.(type) {
		case int:
			n[i] = uintptr(v)
		case []byte:
			p[i] = unsafe.Pointer(unsafe.SliceData(v))
		case unsafe.Pointer:
			p[i] = v
		default:
			t.Fatalf("argument of type %T", v)
		}
		if p[i] != nil {
			n[i] = uintptr(p[i])
		}
	}
	return n, p
}

func linuxCaller(t *testing.T) *caller {
	return &caller{t: t, call: func(nr uintptr, args ...any) (int, syscall.Errno) {
		n, _ := words(t, args)
		r, _, e := syscall.Syscall6(nr, n[0], n[1], n[2], n[3], n[4], n[5])
		return int(r), e
	}}
}

func kernelCaller(t *testing.T) *caller {
	s := newStack(t)
	k := kernel.New(kerneltest.New(1<<16), kernel.Options{})
	for _, family := range []int{in4, in6} {
		k.RegisterSocketFamily(family, func(typ, protocol int) (kernel.Socket, syscall.Errno) {
			return s.NewSocket(family, typ, protocol)
		})
	}
	return &caller{t: t, call: func(nr uintptr, args ...any) (int, syscall.Errno) {
		var a kernel.Args
		a.N, a.P = words(t, args)
		r, _, e := k.Dispatch(nr, a)
		return int(r), syscall.Errno(e)
	}}
}

func (c *caller) name(fd int) []byte {
	b, size := make([]byte, sockaddrInLen), int32(sockaddrInLen)
	if _, e := c.call(syscall.SYS_GETSOCKNAME, fd, b, unsafe.Pointer(&size)); e != 0 {
		c.t.Fatal(e)
	}
	return b
}

func (c *caller) listen() (fd int, at []byte) {
	fd = c.fd(syscall.SYS_SOCKET, in4, stream, 0)
	c.do("bind", syscall.SYS_BIND, fd, sockaddr(addrPort(loopbackNoPort)), sockaddrInLen)
	c.do("listen", syscall.SYS_LISTEN, fd, 5)
	return fd, c.name(fd)
}

func (c *caller) timeout(what string, fd, name int, sec, usec int64) {
	tv := &syscall.Timeval{Sec: sec, Usec: usec}
	c.do(what, syscall.SYS_SETSOCKOPT, fd, sol, name, unsafe.Pointer(tv), 16)
	got, size := new(syscall.Timeval), int32(16)
	c.do("get", syscall.SYS_GETSOCKOPT, fd, sol, name, unsafe.Pointer(got), unsafe.Pointer(&size))
	c.log("%v %d", *got, size)
}

const nrRecvmmsg = 299

// messageHeader is struct mmsghdr.
type messageHeader struct {
	h   syscall.Msghdr
	len uint32
	_   uint32
}

type callTest struct {
	name string
	run  func(c *caller)
}

var callTests = []callTest{
	{"timeouts", func(c *caller) {
		l, at := c.listen()
		for _, o := range []int{syscall.SO_RCVTIMEO, syscall.SO_SNDTIMEO} {
			c.timeout("too many microseconds", l, o, 0, 2000000)
			c.timeout("negative", l, o, -1, 0)
			if o == syscall.SO_RCVTIMEO {
				c.took(func() { c.do("accept", syscall.SYS_ACCEPT, l, 0, 0) })
			}
			c.timeout("200 ms", l, o, 0, 200000)
		}
		c.took(func() { c.do("accept", syscall.SYS_ACCEPT, l, 0, 0) })
		k := c.fd(syscall.SYS_SOCKET, in4, stream, 0)
		c.do("connect", syscall.SYS_CONNECT, k, at, sockaddrInLen)
		a := c.fd(syscall.SYS_ACCEPT, l, 0, 0)
		got, size := new(syscall.Timeval), int32(16)
		c.do("inherited", syscall.SYS_GETSOCKOPT, a, sol, syscall.SO_RCVTIMEO, unsafe.Pointer(got), unsafe.Pointer(&size))
		c.log("%v", *got)
		c.took(func() { c.do("read", syscall.SYS_READ, a, make([]byte, 1), 1) })
	}},
	{"refused", func(c *caller) {
		gone, dead := c.listen()
		c.do("close", syscall.SYS_CLOSE, gone)
		l, at := c.listen()
		k := c.fd(syscall.SYS_SOCKET, in4, stream, 0)
		for range 2 {
			c.do("connect", syscall.SYS_CONNECT, k, dead, sockaddrInLen)
		}
		v, size := make([]byte, 4), int32(4)
		c.do("SO_ERROR", syscall.SYS_GETSOCKOPT, k, sol, syscall.SO_ERROR, v, unsafe.Pointer(&size))
		c.log("%v", v)
		c.do("read", syscall.SYS_READ, k, v, 1)
		c.do("connect", syscall.SYS_CONNECT, k, at, sockaddrInLen)
		c.do("connect", syscall.SYS_CONNECT, k, at, sockaddrInLen)
		c.fd(syscall.SYS_ACCEPT, l, 0, 0)
	}},
	{"a listener that is waited for is shut down", func(c *caller) {
		l, _ := c.listen()
		done := make(chan syscall.Errno)
		go func() {
			_, e := c.call(syscall.SYS_ACCEPT, l, 0, 0)
			done <- e
		}()
		time.Sleep(50 * time.Millisecond)
		c.do("shutdown", syscall.SYS_SHUTDOWN, l, syscall.SHUT_RD)
		c.log("accept: %v", <-done)
	}},
	{"the error queue is not waited for", func(c *caller) {
		l, at := c.listen()
		k := c.fd(syscall.SYS_SOCKET, in4, stream, 0)
		c.do("connect", syscall.SYS_CONNECT, k, at, sockaddrInLen)
		c.fd(syscall.SYS_ACCEPT, l, 0, 0)
		u := c.fd(syscall.SYS_SOCKET, in4, dgram, 0)
		six := c.fd(syscall.SYS_SOCKET, in6, dgram, 0)
		b := make([]byte, 8)
		for _, fd := range []int{k, u, six} {
			c.do("receive", syscall.SYS_RECVFROM, fd, b, len(b), syscall.MSG_ERRQUEUE, 0, 0)
		}
	}},
	{"sockets say with POLLOUT what Linux's say", func(c *caller) {
		poll := func(what string, fd int) {
			p := make([]byte, 8)
			binary.NativeEndian.PutUint32(p, uint32(fd))
			binary.NativeEndian.PutUint16(p[4:], 0x3fff)
			c.do(what, syscall.SYS_POLL, p, 1, 0)
			c.log("%#x", binary.NativeEndian.Uint16(p[6:]))
		}
		for _, s := range [][3]int{{in4, dgram, 0}, {in6, dgram, 0}, {in4, syscall.SOCK_RAW, 1}, {in4, stream, 0}} {
			poll(fmt.Sprint(s), c.fd(syscall.SYS_SOCKET, s[0], s[1], s[2]))
		}
		l, at := c.listen()
		k := c.fd(syscall.SYS_SOCKET, in4, stream, 0)
		c.do("connect", syscall.SYS_CONNECT, k, at, sockaddrInLen)
		poll("connected", k)
		poll("accepted", c.fd(syscall.SYS_ACCEPT, l, 0, 0))
		poll("listener", l)
	}},
	{"datagrams to addresses of no family", func(c *caller) {
		for _, family := range []int{in4, in6} {
			for _, typ := range []int{dgram, syscall.SOCK_RAW} {
				s := c.fd(syscall.SYS_SOCKET, family, typ, 0+17*(typ-dgram))
				for _, port := range []byte{0, 9} {
					for _, size := range []int{2, 8, 16, 24, 28} {
						a := make([]byte, 28)
						a[3] = port
						c.do(fmt.Sprint(family, typ, port, size), syscall.SYS_SENDTO, s, []byte("x"), 1, 0, a, size)
					}
				}
			}
		}
	}},
	{"low-water mark", func(c *caller) {
		l, at := c.listen()
		c.do("SO_RCVLOWAT", syscall.SYS_SETSOCKOPT, l, sol, syscall.SO_RCVLOWAT, int32Bytes(6), 4)
		k := c.fd(syscall.SYS_SOCKET, in4, stream, 0)
		c.do("connect", syscall.SYS_CONNECT, k, at, sockaddrInLen)
		a := c.fd(syscall.SYS_ACCEPT, l, 0, 0)
		// The reader waits already when the first word comes: what is there at once, a signal of
		// Go's scheduler may make Linux return.
		say := func(words ...string) {
			for _, s := range words {
				time.Sleep(150 * time.Millisecond)
				c.call(syscall.SYS_WRITE, k, []byte(s), len(s))
			}
		}
		go say("one ", "two")
		b := make([]byte, 20)
		c.took(func() { c.log("read %q", b[:c.do("read", syscall.SYS_READ, a, b, len(b))]) })
		go say("three", "four")
		c.took(func() { c.log("receive %q", b[:c.do("receive", syscall.SYS_RECVFROM, a, b, len(b), 0, 0, 0)]) })
		go say("one ", "two")
		c.took(func() { c.log("few bytes %q", b[:c.do("read", syscall.SYS_READ, a, b, 3)]) })
		c.took(func() { c.do("the end", syscall.SYS_SHUTDOWN, k, syscall.SHUT_WR) })
		for n := 1; n > 0; {
			n = c.do("read", syscall.SYS_READ, a, b, len(b))
		}
	}},
	{"ioctls that ask", func(c *caller) {
		l, at := c.listen()
		k := c.fd(syscall.SYS_SOCKET, in4, stream, 0)
		u := c.fd(syscall.SYS_SOCKET, in4, dgram, 0)
		c.do("connect", syscall.SYS_CONNECT, k, at, sockaddrInLen)
		for _, fd := range []int{l, k, u} {
			for _, req := range []int{syscall.TIOCINQ, syscall.TIOCOUTQ, siocAtMark} {
				v := make([]byte, 4)
				c.do(fmt.Sprintf("%#x", req), syscall.SYS_IOCTL, fd, req, v)
				c.log("%v", v)
			}
		}
		for _, name := range []string{"lo", "none9"} {
			for _, req := range []int{siocGIfIndex, siocGIfMap, siocGHwTstamp, siocGMIIPhy} {
				r := make([]byte, 64)
				copy(r, name)
				c.do(fmt.Sprintf("%s %#x", name, req), syscall.SYS_IOCTL, k, req, r)
			}
		}
	}},
	{"several messages", func(c *caller) {
		s := c.fd(syscall.SYS_SOCKET, in4, dgram, 0)
		c.do("bind", syscall.SYS_BIND, s, sockaddr(addrPort(loopbackNoPort)), sockaddrInLen)
		at := c.name(s)
		b := make([]byte, 8)
		iov := &syscall.Iovec{Base: &b[0], Len: 8}
		list := make([]messageHeader, 3)
		for i := range list {
			list[i].h.Iov, list[i].h.Iovlen = iov, 1
		}
		say := func() { c.call(syscall.SYS_SENDTO, s, []byte("x"), 1, 0, at, sockaddrInLen) }
		receive := func(what string, flags int, limit unsafe.Pointer) {
			c.took(func() { c.do(what, nrRecvmmsg, s, unsafe.Pointer(&list[0]), len(list), flags, limit) })
		}
		say()
		receive("what is there", syscall.MSG_DONTWAIT, nil)
		say()
		receive("one", 0x10000, nil)
		go func() {
			for range 3 {
				time.Sleep(60 * time.Millisecond)
				say()
			}
		}()
		receive("all", 0, nil)
		limit := &syscall.Timespec{Nsec: 50e6}
		go func() { time.Sleep(150 * time.Millisecond); say() }()
		receive("until the time is up", 0, unsafe.Pointer(limit))
		c.log("left %v", *limit)
		receive("a wrong time", 0, unsafe.Pointer(&syscall.Timespec{Nsec: 2e9}))
	}},
}

func TestCallsAsOnLinux(t *testing.T) { runCalls(t, callTests...) }

func runCalls(t *testing.T, tests ...callTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			diff := ""
			for range 3 { // a signal of Go's scheduler may end a call of Linux early
				linux, ours := linuxCaller(t), kernelCaller(t)
				test.run(linux)
				test.run(ours)
				if diff = cmp.Diff(linux.lines, ours.lines); diff == "" {
					return
				}
			}
			t.Errorf("-Linux +ours:\n%s", diff)
		})
	}
}

// The length of SO_GET_FILTER is a number of instructions: the kernel makes room for them.
func TestFilterCallsAsOnLinux(t *testing.T) {
	onEdited(t, newStack(t))
	runCalls(t, callTest{"filter", func(c *caller) {
		k := c.fd(syscall.SYS_SOCKET, in4, dgram, 0)
		val, keep := fprog([]insn{{code: ldLen}, {code: 0x04, k: 7}, {code: retAcc}})
		c.do("attach", syscall.SYS_SETSOCKOPT, k, sol, syscall.SO_ATTACH_FILTER, unsafe.Pointer(&val[0]), len(val))
		for _, n := range []int32{0, 2, 3, 5, 1 << 20, -1} {
			got := make([]byte, 64)
			size := n
			c.do("get", syscall.SYS_GETSOCKOPT, k, sol, syscall.SO_ATTACH_FILTER, unsafe.Pointer(&got[0]), unsafe.Pointer(&size))
			c.log("room %d: %d instructions %x", n, size, got)
		}
		runtime.KeepAlive(keep)
	}})
}
