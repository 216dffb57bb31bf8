package kernel

import (
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// Many goroutines change one directory; afterwards the counts of names, links and pages are
// right.
func TestConcurrentNames(t *testing.T) {
	s := newSystem(t)
	s.must(syscall.SYS_MKDIR, "/tmp/d", 0o755)
	s.must(syscall.SYS_MKDIR, "/tmp/e", 0o755)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewSource(int64(g)))
			name := func() string { return fmt.Sprintf("/tmp/%c/%d", "de"[r.Intn(2)], r.Intn(8)) }
			buf := make([]byte, 500)
			st := new(syscall.Stat_t)
			for range 400 {
				switch r.Intn(8) {
				case 0, 1:
					if fd, e := s.call(syscall.SYS_OPEN, name(), syscall.O_CREAT|syscall.O_RDWR, 0o644); e == 0 {
						s.call(syscall.SYS_WRITE, fd, buf, len(buf))
						s.call(syscall.SYS_CLOSE, fd)
					}
				case 2:
					s.call(syscall.SYS_UNLINK, name())
				case 3:
					s.call(syscall.SYS_RENAME, name(), name())
				case 4:
					s.call(syscall.SYS_LINK, name(), name())
				case 5:
					s.call(syscall.SYS_STAT, name(), unsafe.Pointer(st))
				case 6:
					if fd, e := s.call(syscall.SYS_OPEN, "/tmp/d", 0, 0); e == 0 {
						s.call(syscall.SYS_GETDENTS64, fd, buf, len(buf))
						s.call(syscall.SYS_CLOSE, fd)
					}
				case 7:
					s.call(syscall.SYS_MKDIR, name(), 0o755)
					s.call(syscall.SYS_RMDIR, name())
				}
			}
		}()
	}
	wg.Wait()
	for _, dir := range []string{"/tmp/d", "/tmp/e"} {
		for i := range 8 {
			p := fmt.Sprintf("%s/%d", dir, i)
			s.call(syscall.SYS_UNLINK, p)
			s.call(syscall.SYS_RMDIR, p)
		}
		if st, _ := s.stat(dir); st.Nlink != 2 {
			t.Errorf("%s has %d links after it was emptied; want 2", dir, st.Nlink)
		}
		s.must(syscall.SYS_RMDIR, dir)
	}
	if used := s.k.vfs.rootFS.used.Load(); used != 0 {
		t.Errorf("%d pages are left", used)
	}
	if n := s.k.fds.numbers(); len(n) != 3 {
		t.Errorf("descriptors left open: %v", n)
	}
}

// Two epoll instances that are added to each other concurrently do not make a loop: one of the
// calls fails.
func TestConcurrentNesting(t *testing.T) {
	s := newSystem(t)
	for round := range 2000 {
		a, b := s.must(syscall.SYS_EPOLL_CREATE1, 0), s.must(syscall.SYS_EPOLL_CREATE1, 0)
		var loops atomic.Int32
		var wg sync.WaitGroup
		for _, pair := range [2][2]int{{a, b}, {b, a}} {
			wg.Add(1)
			go func() {
				defer wg.Done()
				ev := &epollEvent{events: uint32(EventIn)}
				if _, e := s.call(syscall.SYS_EPOLL_CTL, pair[0], syscall.EPOLL_CTL_ADD, pair[1], unsafe.Pointer(ev)); e == syscall.ELOOP {
					loops.Add(1)
				}
			}()
		}
		wg.Wait()
		if n := loops.Load(); n != 1 {
			t.Fatalf("round %d: %d of two additions that make a loop are refused; want 1", round, n)
		}
		s.close(a)
		s.close(b)
	}
}

// File systems that are mounted concurrently have different device numbers.
func TestConcurrentMounts(t *testing.T) {
	s := newSystem(t)
	start := make(chan bool)
	var wg sync.WaitGroup
	for range 16 {
		wg.Add(1)
		fs := s.k.newMemoryFS(0o755)
		go func() {
			defer wg.Done()
			<-start
			s.k.vfs.mountAt(nil, fs, "tmpfs")
		}()
	}
	close(start)
	wg.Wait()
	ids := map[int]bool{}
	for _, m := range s.k.vfs.mountList() {
		if ids[m.id] {
			t.Errorf("two mounts have the number %d", m.id)
		}
		ids[m.id] = true
	}
}

// An open of a FIFO that finds a waiting peer does not wait, even if that peer has closed its end
// before the open returns.
func TestFIFOPeerLeavesAtOnce(t *testing.T) {
	for _, mode := range [2]int{syscall.O_RDONLY, syscall.O_WRONLY} {
		p := newPipe()
		first := p.open(syscall.O_WRONLY-mode, nil)
		second := p.open(mode, nil)
		first.Release()
		done := make(chan bool)
		go func() {
			second.waitForPeer(mode)
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Errorf("open with mode %d waits for a peer that has come and gone", mode)
		}
	}
}

// A read that waits on a descriptor still ends after the descriptor is closed.
func TestCloseWhileWaiting(t *testing.T) {
	s := newSystem(t)
	for range 50 {
		r, w := s.pipe(0)
		got := make(chan int)
		go func() {
			n, _ := s.call(syscall.SYS_READ, r, make([]byte, 5), 5)
			got <- n
		}()
		go s.call(syscall.SYS_CLOSE, r)
		time.Sleep(100 * time.Microsecond)
		s.call(syscall.SYS_WRITE, w, []byte("hello"), 5)
		s.close(w)
		select {
		case <-got:
		case <-time.After(5 * time.Second):
			t.Fatal("the reader was never woken")
		}
	}
}

// A new descriptor is the lowest free number, and RLIMIT_NOFILE is enforced.
func TestDescriptorNumbers(t *testing.T) {
	s := newSystem(t)
	for want := 3; want < 8; want++ {
		if fd := s.open("/tmp", 0); fd != want {
			t.Errorf("descriptor %d; want %d", fd, want)
		}
	}
	s.close(4)
	s.close(6)
	for _, want := range []int{4, 6, 8} {
		if fd := s.open("/tmp", 0); fd != want {
			t.Errorf("descriptor %d; want %d", fd, want)
		}
	}
	s.must(syscall.SYS_SETRLIMIT, rlimitNoFile, unsafe.Pointer(&rlimit{10, 100}))
	s.open("/tmp", 0)
	if _, e := s.call(syscall.SYS_OPEN, "/tmp", 0, 0); e != syscall.EMFILE {
		t.Errorf("open beyond RLIMIT_NOFILE: %v; want EMFILE", e)
	}
	if _, e := s.call(syscall.SYS_PIPE2, unsafe.Pointer(new([2]int32)), 0); e != syscall.EMFILE {
		t.Errorf("pipe beyond RLIMIT_NOFILE: %v; want EMFILE", e)
	}
	if on, _ := s.fake.state(3); on {
		t.Error("a directory was offered to the poller")
	}
}

// Regular files are not pollable; pipes are, and their readiness is passed on.
func TestPollable(t *testing.T) {
	s := newSystem(t)
	r, w := s.pipe(syscall.O_NONBLOCK)
	d := s.must(syscall.SYS_DUP, r)
	s.write(w, "x")
	for _, fd := range []int{r, d} {
		if on, ev := s.fake.state(fd); !on || ev&EventIn == 0 {
			t.Errorf("descriptor %d: pollable %v, events %#x; want EventIn", fd, on, ev)
		}
	}
	s.close(r)
	if on, _ := s.fake.state(r); on {
		t.Error("a closed descriptor is pollable")
	}
	file := s.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR)
	if on, _ := s.fake.state(file); on {
		t.Error("a regular file is pollable")
	}
}

// A lock that is waited for is granted when its owner releases it.
func TestLockWaits(t *testing.T) {
	s := newSystem(t)
	a := s.open("/tmp/f", syscall.O_CREAT|syscall.O_RDWR)
	b := s.open("/tmp/f", syscall.O_RDWR)
	s.must(syscall.SYS_FLOCK, a, syscall.LOCK_EX)
	done := make(chan bool)
	go func() {
		s.call(syscall.SYS_FLOCK, b, syscall.LOCK_EX)
		close(done)
	}()
	select {
	case <-done:
		t.Fatal("two exclusive locks")
	case <-time.After(10 * time.Millisecond):
	}
	s.close(a)
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the lock was not passed on")
	}
}

// A file that is replaced with rename(2) exists with its whole content at every moment.
// moment.
func TestReplaceIsAtomic(t *testing.T) {
	s := newSystem(t)
	s.writeFile("/tmp/f", "content")
	stop := make(chan bool)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			fd, _ := s.call(syscall.SYS_OPEN, "/tmp/new", syscall.O_CREAT|syscall.O_WRONLY, 0o644)
			s.call(syscall.SYS_WRITE, fd, []byte("content"), 7)
			s.call(syscall.SYS_CLOSE, fd)
			s.call(syscall.SYS_RENAME, "/tmp/new", "/tmp/f")
		}
	}()
	for range 3000 {
		if got := s.readFile("/tmp/f"); got != "content" {
			t.Errorf("read %q beside a rename", got)
			break
		}
	}
	close(stop)
	wg.Wait()
}
