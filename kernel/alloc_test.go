package kernel

import (
	"syscall"
	"testing"
	"unsafe"
)

// The most frequent calls do not allocate.
func TestHotCallsDoNotAllocate(t *testing.T) {
	s := newSystem(t)
	fd := s.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR)
	s.write(fd, "0123456789")
	r, w := s.pipe(syscall.O_NONBLOCK)
	ep := s.must(syscall.SYS_EPOLL_CREATE1, 0)
	s.must(syscall.SYS_EPOLL_CTL, ep, syscall.EPOLL_CTL_ADD, r, unsafe.Pointer(&epollEvent{events: 1}))
	null := s.open("/dev/null", syscall.O_RDWR)
	sock := s.socket(syscall.SOCK_STREAM)

	buf := unsafe.Pointer(new([64]byte))
	ts := unsafe.Pointer(new(syscall.Timespec))
	st := unsafe.Pointer(new(syscall.Stat_t))
	events := unsafe.Pointer(new([4]epollEvent))
	fds := unsafe.Pointer(&pollFD{fd: int32(r), events: 1})
	msg := unsafe.Pointer(&msghdr{iov: (*iovec)(vec(make([]byte, 5), make([]byte, 5))), iovLen: 2})
	args := func(p unsafe.Pointer, i int, n ...uintptr) (a Args) {
		copy(a.N[:], n)
		a.N[i], a.P[i] = uintptr(p), p
		return a
	}
	const none = ^uintptr(0)
	one := func(fd int, n int) Args { return args(buf, 1, uintptr(fd), 0, uintptr(n)) }
	for _, c := range []struct {
		name string
		nr   uintptr
		a    Args
		undo uintptr // a call that makes the next run possible
		b    Args
	}{
		{"clock_gettime", syscall.SYS_CLOCK_GETTIME, args(ts, 1, clockMonotonic), none, Args{}},
		{"clock_gettime realtime", syscall.SYS_CLOCK_GETTIME, args(ts, 1, clockRealtime), none, Args{}},
		{"pread", syscall.SYS_PREAD64, args(buf, 1, uintptr(fd), 0, 10, 0), none, Args{}},
		{"pwrite", syscall.SYS_PWRITE64, args(buf, 1, uintptr(fd), 0, 10, 0), none, Args{}},
		{"write and lseek", syscall.SYS_WRITE, one(fd, 10), syscall.SYS_LSEEK, Args{N: [6]uintptr{uintptr(fd)}}},
		{"null", syscall.SYS_WRITE, one(null, 10), none, Args{}},
		{"pipe", syscall.SYS_WRITE, one(w, 10), syscall.SYS_READ, one(r, 10)},
		{"empty pipe", syscall.SYS_READ, one(r, 10), none, Args{}},
		{"fstat", syscall.SYS_FSTAT, args(st, 1, uintptr(fd)), none, Args{}},
		{"epoll_wait", syscall.SYS_EPOLL_WAIT, args(events, 1, uintptr(ep), 0, 4, 0), none, Args{}},
		{"poll", syscall.SYS_POLL, args(fds, 0, 0, 1, 0), none, Args{}},
		{"send", syscall.SYS_SENDTO, one(sock, 10), syscall.SYS_RECVFROM, one(sock, 10)},
		{"sendmsg", syscall.SYS_SENDMSG, args(msg, 1, uintptr(sock)), syscall.SYS_RECVMSG, args(msg, 1, uintptr(sock))},
		{"socket write", syscall.SYS_WRITE, one(sock, 10), syscall.SYS_READ, one(sock, 10)},
		{"getpid", syscall.SYS_GETPID, Args{}, none, Args{}},
		{"getrandom", 318, args(buf, 0, 0, 16), none, Args{}},
		{"fcntl", syscall.SYS_FCNTL, Args{N: [6]uintptr{uintptr(fd), syscall.F_GETFL}}, none, Args{}},
	} {
		got := testing.AllocsPerRun(100, func() {
			s.k.Dispatch(c.nr, c.a)
			if c.undo != none {
				s.k.Dispatch(c.undo, c.b)
			}
		})
		if got != 0 {
			t.Errorf("%s allocates %v times; want 0", c.name, got)
		}
	}
}
