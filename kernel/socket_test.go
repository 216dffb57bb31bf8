package kernel

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// loopSocket sends to itself, or to its peer if it has one. Streams keep bytes, datagrams
// messages.
type loopSocket struct {
	queue  WaitQueue
	typ    int
	peer   *loopSocket
	mu     sync.Mutex
	data   []byte
	sizes  []int
	rights []*Description
	limit  int
	state  int // connection: 0 none, 1 in progress, 2 established
	addr   []byte
	opt    map[int][]byte
	closed bool
	accept []*loopSocket
	grow   bool
	// leaveRights is set for a socket that passes no descriptors, as any but a unix socket
	leaveRights bool
}

const testFamily = 77

func (s *system) socket(typ int) int {
	s.Helper()
	s.k.RegisterSocketFamily(testFamily, func(typ, protocol int) (Socket, syscall.Errno) {
		if typ != syscall.SOCK_STREAM && typ != syscall.SOCK_DGRAM {
			return nil, syscall.ESOCKTNOSUPPORT
		}
		return &loopSocket{typ: typ, limit: 1000, addr: []byte{testFamily, 0, 1, 2}}, 0
	})
	s.k.RegisterSocketPair(testFamily, func(typ, protocol int) (Socket, Socket, syscall.Errno) {
		a, b := &loopSocket{typ: typ, limit: 1000}, &loopSocket{typ: typ, limit: 1000}
		a.peer, b.peer = b, a
		return a, b, 0
	})
	return s.must(syscall.SYS_SOCKET, testFamily, typ, 0)
}

func (l *loopSocket) to() *loopSocket {
	if l.peer != nil {
		return l.peer
	}
	return l
}

//go:noinline
func useStack(n int) int {
	var b [1024]byte
	if n == 0 {
		return len(b)
	}
	b[n%1024] = byte(n)
	return useStack(n-1) + int(b[n%1024])&1
}

func (l *loopSocket) Read(p []byte, _ int64) (int, syscall.Errno) {
	return l.Receive(&Message{Buffers: [][]byte{p}}, 0)
}

func (l *loopSocket) Write(p []byte, _ int64) (int, syscall.Errno) {
	t := l.to()
	t.mu.Lock()
	n := min(len(p), t.limit-len(t.data))
	if n == 0 && len(p) > 0 {
		t.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	t.data = append(t.data, p[:n]...)
	t.mu.Unlock()
	t.queue.Notify(EventIn)
	return n, 0
}

func (l *loopSocket) Send(m *Message, flags int) (int, syscall.Errno) {
	if l.grow {
		useStack(100)
	}
	t := l.to()
	t.mu.Lock()
	defer t.mu.Unlock()
	total := 0
	for _, b := range m.Buffers {
		n := min(len(b), t.limit-len(t.data))
		t.data = append(t.data, b[:n]...)
		total += n
		if n < len(b) {
			break
		}
	}
	if total == 0 && len(m.Buffers) > 0 && len(m.Buffers[0]) > 0 {
		return 0, syscall.EAGAIN
	}
	if l.typ == syscall.SOCK_DGRAM {
		t.sizes = append(t.sizes, total)
	}
	if !t.leaveRights {
		t.rights = append(t.rights, m.Rights...)
		m.Rights = nil
	}
	t.queue.Notify(EventIn)
	return total, 0
}

func (l *loopSocket) Receive(m *Message, flags int) (int, syscall.Errno) {
	if l.grow {
		useStack(100)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.data) == 0 {
		if l.closed {
			return 0, 0
		}
		return 0, syscall.EAGAIN
	}
	src := l.data
	if l.typ == syscall.SOCK_DGRAM {
		src = l.data[:l.sizes[0]]
	}
	n := 0
	for _, b := range m.Buffers {
		n += copy(b, src[n:])
	}
	if l.typ == syscall.SOCK_DGRAM {
		if n < len(src) {
			m.Flags |= syscall.MSG_TRUNC
		}
		l.data, l.sizes = l.data[len(src):], l.sizes[1:]
	} else {
		l.data = append(l.data[:0], l.data[n:]...)
	}
	m.AddrLen = copy(m.Addr, l.addr)
	m.Rights, l.rights = l.rights, nil
	l.to().queue.Notify(EventOut)
	return n, 0
}

func (l *loopSocket) Readiness() (ev Events) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.data) > 0 || len(l.accept) > 0 {
		ev |= EventIn
	}
	if l.state == 2 {
		ev |= EventOut
	}
	return ev
}

func (l *loopSocket) Queue() *WaitQueue                     { return &l.queue }
func (l *loopSocket) Stat(st *syscall.Stat_t) syscall.Errno { st.Mode = syscall.S_IFSOCK; return 0 }
func (l *loopSocket) Release()                              { l.mu.Lock(); l.closed = true; l.mu.Unlock() }
func (l *loopSocket) Bind(addr []byte) syscall.Errno        { l.addr = bytes.Clone(addr); return 0 }

// Connect takes 20 ms; address 9 is refused. Called again, it tells what became of it.
func (l *loopSocket) Connect(addr []byte) syscall.Errno {
	refused := addr[2] == 9
	l.mu.Lock()
	if l.state == 2 {
		defer l.mu.Unlock()
		return syscall.Errno(l.opt[syscall.SO_ERROR][0])
	}
	l.state = 1
	l.mu.Unlock()
	time.AfterFunc(20*time.Millisecond, func() {
		l.mu.Lock()
		l.state = 2
		e := byte(0)
		if refused {
			e = byte(syscall.ECONNREFUSED)
		}
		l.opt = map[int][]byte{syscall.SO_ERROR: {e, 0, 0, 0}}
		l.mu.Unlock()
		l.queue.Notify(EventOut)
	})
	return syscall.EINPROGRESS
}

func (l *loopSocket) Listen(int) syscall.Errno {
	time.AfterFunc(20*time.Millisecond, func() {
		l.mu.Lock()
		l.accept = append(l.accept, &loopSocket{typ: l.typ, addr: []byte{testFamily, 0, 5}})
		l.mu.Unlock()
		l.queue.Notify(EventIn)
	})
	return 0
}

func (l *loopSocket) Accept() (Socket, syscall.Errno) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.accept) == 0 {
		return nil, syscall.EAGAIN
	}
	c := l.accept[0]
	l.accept = l.accept[1:]
	return c, 0
}

func (l *loopSocket) Shutdown(int) syscall.Errno                    { return 0 }
func (l *loopSocket) LocalAddr(dst []byte) (int, syscall.Errno)     { return copy(dst, l.addr), 0 }
func (l *loopSocket) PeerAddr(dst []byte) (int, syscall.Errno)      { return copy(dst, l.addr), 0 }
func (l *loopSocket) SetOption(_, name int, v []byte) syscall.Errno { return syscall.ENOPROTOOPT }

func (l *loopSocket) GetOption(_, name int, dst []byte) (int, syscall.Errno) {
	if name == syscall.SO_TYPE {
		return copy(dst, []byte{byte(l.typ), 0, 0, 0}), 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return copy(dst, l.opt[name]), 0
}

func TestSocketFamilies(t *testing.T) {
	s := newSystem(t)
	if _, e := s.call(syscall.SYS_SOCKET, testFamily, 1, 0); e != syscall.EAFNOSUPPORT {
		t.Errorf("socket of an unknown family: %v; want EAFNOSUPPORT", e)
	}
	fd := s.socket(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK | syscall.SOCK_CLOEXEC)
	if fl := s.must(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0); fl&syscall.O_NONBLOCK == 0 {
		t.Errorf("SOCK_NONBLOCK socket has flags %#x", fl)
	}
	if fl := s.must(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0); fl != 1 {
		t.Errorf("SOCK_CLOEXEC socket has descriptor flags %d", fl)
	}
	if _, e := s.call(syscall.SYS_SOCKET, testFamily, 7, 0); e != syscall.ESOCKTNOSUPPORT {
		t.Errorf("socket of an unknown type: %v", e)
	}
	if _, e := s.call(syscall.SYS_BIND, 1, []byte{1, 0}, 2); e != syscall.ENOTSOCK {
		t.Errorf("bind of the console: %v; want ENOTSOCK", e)
	}
	if on, _ := s.fake.state(fd); !on {
		t.Error("the poller was not told of the socket")
	}
	s.close(fd)
	if on, _ := s.fake.state(fd); on {
		t.Error("the poller was not told of the close")
	}
}

func TestBlockingConnectAndAccept(t *testing.T) {
	s := newSystem(t)
	fd := s.socket(syscall.SOCK_STREAM)
	s.must(syscall.SYS_CONNECT, fd, []byte{testFamily, 0, 1, 1}, 4)
	if _, e := s.call(syscall.SYS_CONNECT, s.socket(1), []byte{testFamily, 0, 9, 1}, 4); e != syscall.ECONNREFUSED {
		t.Errorf("connect = %v; want ECONNREFUSED", e)
	}
	nb := s.socket(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
	if _, e := s.call(syscall.SYS_CONNECT, nb, []byte{testFamily, 0, 1, 1}, 4); e != syscall.EINPROGRESS {
		t.Errorf("nonblocking connect = %v; want EINPROGRESS", e)
	}
	ln := s.socket(syscall.SOCK_STREAM)
	s.must(syscall.SYS_LISTEN, ln, 5)
	addr, size := make([]byte, 2), new(int32)
	*size = 2
	c := s.must(syscall.SYS_ACCEPT4, ln, addr, unsafe.Pointer(size), syscall.SOCK_NONBLOCK)
	if *size != 3 || addr[0] != testFamily {
		t.Errorf("accept gave address %v of length %d; want the first 2 bytes of 3", addr, *size)
	}
	if _, e := s.call(syscall.SYS_READ, c, make([]byte, 1), 1); e != syscall.EAGAIN {
		t.Errorf("read of an idle nonblocking connection: %v", e)
	}
}

func TestSocketTimeout(t *testing.T) {
	s := newSystem(t)
	fd := s.socket(syscall.SOCK_STREAM)
	tv := &syscall.Timeval{Usec: 20000}
	s.must(syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, unsafe.Pointer(tv), 16)
	start := time.Now()
	_, e := s.call(syscall.SYS_READ, fd, make([]byte, 1), 1)
	if d := time.Since(start); e != syscall.EAGAIN || d < 20*time.Millisecond {
		t.Errorf("read with SO_RCVTIMEO: %v after %v; want EAGAIN after 20ms", e, d)
	}
	got, size := new(syscall.Timeval), new(int32)
	*size = 16
	s.must(syscall.SYS_GETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, unsafe.Pointer(got), unsafe.Pointer(size))
	if *got != *tv {
		t.Errorf("SO_RCVTIMEO = %v; want %v", *got, *tv)
	}
}

func TestMessages(t *testing.T) {
	s := newSystem(t)
	fd := s.socket(syscall.SOCK_DGRAM)
	h := &msghdr{iov: (*iovec)(vec([]byte("one "), []byte("two"))), iovLen: 2}
	if n := s.must(syscall.SYS_SENDMSG, fd, unsafe.Pointer(h), 0); n != 7 {
		t.Errorf("sendmsg = %d; want 7", n)
	}
	var parts [][]byte
	for range 12 { // more buffers than fit into a Message
		parts = append(parts, make([]byte, 1))
	}
	r := &msghdr{iov: (*iovec)(vec(parts...)), iovLen: 12}
	r.name, r.nameLen = unsafe.Pointer(new([64]byte)), 64
	if n := s.must(syscall.SYS_RECVMSG, fd, unsafe.Pointer(r), 0); n != 7 || string(bytes.Join(parts, nil)) != "one two\x00\x00\x00\x00\x00" {
		t.Errorf("recvmsg = %d %q", n, bytes.Join(parts, nil))
	}
	if r.nameLen != 4 {
		t.Errorf("recvmsg gave an address of %d bytes; want 4", r.nameLen)
	}
	for i := range parts {
		parts[i] = []byte{byte('a' + i)}
	}
	h = &msghdr{iov: (*iovec)(vec(parts...)), iovLen: 12}
	s.must(syscall.SYS_SENDMSG, fd, unsafe.Pointer(h), 0)
	b, from, size := make([]byte, 4), make([]byte, 8), new(int32)
	*size = 8
	if n := s.must(syscall.SYS_RECVFROM, fd, b, 4, 0, from, unsafe.Pointer(size)); n != 4 || string(b) != "abcd" || *size != 4 {
		t.Errorf("recvfrom = %d %q, address length %d", n, b, *size)
	}
	list := []mmsghdr{{hdr: *h}, {hdr: *h}}
	if n := s.must(nrSendmmsg, fd, unsafe.Pointer(&list[0]), 2, 0); n != 2 || list[1].len != 12 {
		t.Errorf("sendmmsg = %d, %d bytes", n, list[1].len)
	}
	got := []mmsghdr{{hdr: *r}, {hdr: *r}, {hdr: *r}}
	if n := s.must(syscall.SYS_RECVMMSG, fd, unsafe.Pointer(&got[0]), 3, msgWaitForOne, 0); n != 2 || got[0].len != 12 {
		t.Errorf("recvmmsg = %d, %d bytes", n, got[0].len)
	}
}

// A blocking send to a full stream continues when there is room.
func TestSendBlocks(t *testing.T) {
	s := newSystem(t)
	fd := s.socket(syscall.SOCK_STREAM)
	read := make(chan bool)
	go func() {
		defer close(read)
		for total := 0; total < 5000; {
			b := make([]byte, 700)
			n, _ := s.call(syscall.SYS_READ, fd, b, len(b))
			total += n
		}
	}()
	if n := s.must(syscall.SYS_SENDTO, fd, make([]byte, 5000), 5000, 0, 0, 0); n != 5000 {
		t.Errorf("send = %d; want 5000", n)
	}
	<-read
	s.must(syscall.SYS_SENDTO, fd, make([]byte, 900), 900, 0, 0, 0)
	if n, e := s.call(syscall.SYS_SENDTO, fd, make([]byte, 200), 200, syscall.MSG_DONTWAIT, 0, 0); n != 100 || e != 0 {
		t.Errorf("MSG_DONTWAIT send = %d, %v; want 100", n, e)
	}
	if _, e := s.call(syscall.SYS_SENDTO, fd, make([]byte, 200), 200, syscall.MSG_DONTWAIT, 0, 0); e != syscall.EAGAIN {
		t.Errorf("MSG_DONTWAIT send to a full socket: %v", e)
	}
}

func TestWaitAll(t *testing.T) {
	s := newSystem(t)
	fd := s.socket(syscall.SOCK_STREAM)
	go func() {
		for _, part := range []string{"one", "two", "three"} {
			s.call(syscall.SYS_SENDTO, fd, []byte(part), len(part), 0, 0, 0)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	b := make([]byte, 11)
	if n := s.must(syscall.SYS_RECVFROM, fd, b, 11, syscall.MSG_WAITALL, 0, 0); n != 11 || string(b) != "onetwothree" {
		t.Errorf("MSG_WAITALL = %d %q", n, b)
	}
}

func rightsMessage(fds ...int32) []byte {
	size := cmsgHeader + 4*len(fds)
	c := make([]byte, cmsgAlign(size))
	put64(c, uint64(size))
	put64(c[8:], uint64(syscall.SOL_SOCKET)|uint64(syscall.SCM_RIGHTS)<<32)
	for i, fd := range fds {
		copy(c[cmsgHeader+4*i:], structBytes(&fd))
	}
	return c
}

// Descriptors are passed in messages; those without room are closed.
func TestRights(t *testing.T) {
	s := newSystem(t)
	s.socket(1)
	p := new([2]int32)
	s.must(syscall.SYS_SOCKETPAIR, testFamily, syscall.SOCK_STREAM, 0, unsafe.Pointer(p))
	send, receive := int(p[0]), int(p[1])
	r, w := s.pipe(0)
	c := rightsMessage(int32(r), int32(w))
	h := &msghdr{iov: (*iovec)(vec([]byte("x"))), iovLen: 1, control: unsafe.Pointer(&c[0]), controlLen: uint64(len(c))}
	s.must(syscall.SYS_SENDMSG, send, unsafe.Pointer(h), 0)
	s.close(w)
	room := make([]byte, 64)
	g := &msghdr{iov: (*iovec)(vec(make([]byte, 4))), iovLen: 1, control: unsafe.Pointer(&room[0]), controlLen: 64}
	s.must(syscall.SYS_RECVMSG, receive, unsafe.Pointer(g), msgCmsgCloexec)
	if g.controlLen != 24 || get64(room) != 24 {
		t.Fatalf("received %d bytes of control messages: %v", g.controlLen, room)
	}
	got := unsafe.Slice((*int32)(unsafe.Pointer(&room[cmsgHeader])), 2)
	s.write(int(got[1]), "through")
	if out := s.read(r, 10); out != "through" {
		t.Errorf("read %q through a passed descriptor", out)
	}
	if g.flags&msgCmsgCloexec == 0 {
		t.Errorf("flags %#x after recvmsg; want MSG_CMSG_CLOEXEC", g.flags)
	}
	if s.must(syscall.SYS_FCNTL, int(got[0]), syscall.F_GETFD, 0) != 1 {
		t.Error("MSG_CMSG_CLOEXEC had no effect")
	}
	s.close(int(got[1]))
	// Room for one descriptor only.
	c = rightsMessage(int32(r), int32(r))
	h.control = unsafe.Pointer(&c[0])
	s.must(syscall.SYS_SENDMSG, send, unsafe.Pointer(h), 0)
	g.controlLen = 20
	s.must(syscall.SYS_RECVMSG, receive, unsafe.Pointer(g), 0)
	if g.flags&syscall.MSG_CTRUNC == 0 || get64(room) != 20 {
		t.Errorf("flags %#x, control length %d; want MSG_CTRUNC and 20", g.flags, get64(room))
	}
	bad := rightsMessage(9999)
	h.control, h.controlLen = unsafe.Pointer(&bad[0]), uint64(len(bad))
	if _, e := s.call(syscall.SYS_SENDMSG, send, unsafe.Pointer(h), 0); e != syscall.EBADF {
		t.Errorf("sending a bad descriptor: %v; want EBADF", e)
	}
}

// A socket that does not pass descriptors closes them.
func TestRightsOfOtherSockets(t *testing.T) {
	s := newSystem(t)
	fd := s.socket(syscall.SOCK_STREAM)
	d, _ := s.k.fds.get(fd)
	d.File().(*loopSocket).leaveRights = true
	d.DecRef()
	r, w := s.pipe(0)
	c := rightsMessage(int32(w))
	h := &msghdr{iov: (*iovec)(vec([]byte("x"))), iovLen: 1, control: unsafe.Pointer(&c[0]), controlLen: uint64(len(c))}
	s.must(syscall.SYS_SENDMSG, fd, unsafe.Pointer(h), 0)
	s.close(w)
	if out := s.read(r, 10); out != "" { // the end of the file
		t.Errorf("read %q", out)
	}
}

// A writev of one buffer many times does not allocate the sum of the lengths.
func TestWritevOfMuch(t *testing.T) {
	s := newSystem(t)
	fd := s.socket(syscall.SOCK_STREAM)
	const size, times = 300 << 10, 40
	buf := bytes.Repeat([]byte("0123456789"), size/10)
	parts := slices.Repeat([][]byte{buf}, times)
	read := make(chan int)
	go func() {
		total := 0
		for b := make([]byte, 1<<20); total < size*times; {
			n, _ := s.call(syscall.SYS_READ, fd, b, len(b))
			for i, c := range b[:n] {
				if c != byte('0'+(total+i)%10) {
					t.Errorf("byte %d is %q", total+i, c)
					break
				}
			}
			total += n
		}
		read <- total
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if n := s.must(syscall.SYS_WRITEV, fd, vec(parts...), times); n != size*times {
		t.Errorf("writev = %d; want %d", n, size*times)
	}
	<-read
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > size*times/2 {
		t.Errorf("writev allocated %d bytes", n)
	}
	s.must(syscall.SYS_SENDTO, fd, buf, 1000, 0, 0, 0)
	if n := s.must(syscall.SYS_READV, fd, vec(parts...), times); n != 1000 {
		t.Errorf("readv = %d; want 1000", n)
	}
	dgram := s.socket(syscall.SOCK_DGRAM)
	if _, e := s.call(syscall.SYS_WRITEV, dgram, vec(slices.Repeat([][]byte{buf}, 100)...), 100); e != syscall.EMSGSIZE {
		t.Errorf("a message of %d bytes: %v; want EMSGSIZE", 100*size, e)
	}
}

// A message in local variables survives a move of the stack.
func TestMessageOnMovingStack(t *testing.T) {
	s := newSystem(t)
	fd := s.socket(syscall.SOCK_STREAM)
	d, _ := s.k.fds.get(fd)
	d.file.(*loopSocket).grow = true
	for range 20 {
		done := make(chan string)
		go func() { done <- echoOnStack(s.k, fd) }()
		if got := <-done; got != "0123456789abcdef" {
			t.Fatalf("received %q", got)
		}
	}
}

// echoOnStack sends and receives through buffers in its own frame, passed as package runtime
// passes them.
//
//go:noinline
func echoOnStack(k *Kernel, fd int) string {
	out := [16]byte([]byte("0123456789abcdef"))
	var in [16]byte
	var a Args
	a.N[0], a.N[2] = uintptr(fd), 16
	a.P[1] = unsafe.Pointer(noescape(&out))
	a.N[1] = uintptr(a.P[1])
	k.Dispatch(syscall.SYS_SENDTO, a)
	a.P[1] = unsafe.Pointer(noescape(&in))
	a.N[1] = uintptr(a.P[1])
	k.Dispatch(syscall.SYS_RECVFROM, a)
	return string(in[:])
}

func FuzzControlMessages(f *testing.F) {
	f.Add(rightsMessage(0, 1))
	f.Add(append(rightsMessage(), rightsMessage(2)...))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 1, 0, 0, 0})
	k := New(newFake(), Options{})
	f.Fuzz(func(t *testing.T, c []byte) {
		_, rights, _ := k.takeRights(c)
		for _, r := range rights {
			r.DecRef()
		}
		d, _ := k.fds.get(0)
		if n := d.refs.Load(); n != 3 {
			t.Fatalf("the console has %d references; want 3", n)
		}
		d.DecRef()
	})
}
