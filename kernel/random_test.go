package kernel

import (
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

const grndNonblock, grndRandom, grndInsecure = 1, 2, 4

// Without a source, random numbers are refused or waited for, as Linux does before its
// generator is initialised: getrandom(2), random(4).
func TestNoRandom(t *testing.T) {
	s := newSystem(t)
	s.fake.noRandom.Store(true)
	b := make([]byte, 16)
	for _, tt := range []struct {
		flags int
		want  syscall.Errno
	}{
		{grndNonblock, syscall.EAGAIN},
		{grndNonblock | grndRandom, syscall.EAGAIN},
		{grndInsecure, 0},
		{grndInsecure | grndNonblock, 0},
		{grndInsecure | grndRandom, syscall.EINVAL},
	} {
		if _, e := s.call(nrGetrandom, b, 16, tt.flags); e != tt.want {
			t.Errorf("getrandom with flags %#x = %v; want %v", tt.flags, e, tt.want)
		}
	}
	fd := s.open("/dev/random", syscall.O_RDONLY|syscall.O_NONBLOCK)
	if _, e := s.call(syscall.SYS_READ, fd, b, 16); e != syscall.EAGAIN {
		t.Errorf("read of /dev/random = %v; want EAGAIN", e)
	}
	if got := s.pollOnce(fd); got != EventOut {
		t.Errorf("poll of /dev/random = %#x; want POLLOUT", got)
	}
	if got := s.read(s.open("/dev/urandom", syscall.O_RDONLY), 16); len(got) != 16 {
		t.Errorf("/dev/urandom gave %d bytes; want 16", len(got))
	}
	if out := s.fake.output(); strings.Count(out, "no source of random numbers") != 1 || !strings.Contains(out, "-device virtio-rng-pci") {
		t.Errorf("the console says %q; want once that there is no source, and what to do", out)
	}
}

func (s *system) pollOnce(fd int) Events {
	p := &struct {
		fd              int32
		events, revents int16
	}{int32(fd), int16(EventIn | EventOut), 0}
	s.must(syscall.SYS_POLL, unsafe.Pointer(p), 1, 0)
	return Events(p.revents)
}

// Whoever waits goes on when there is a source, but not before. While a device's bytes are
// on the way, that is nobody's fault.
func TestWaitForRandom(t *testing.T) {
	s := newSystem(t)
	s.fake.noRandom.Store(true)
	s.k.RandomExpected()
	fd := s.open("/dev/random", syscall.O_RDONLY)
	got := make(chan syscall.Errno, 2)
	go func() { _, e := s.call(nrGetrandom, make([]byte, 16), 16, 0); got <- e }()
	go func() { _, e := s.call(syscall.SYS_READ, fd, make([]byte, 16), 16); got <- e }()
	for range 100 {
		s.k.RandomSettled(true) // bytes have come, but there is no source
	}
	time.Sleep(50 * time.Millisecond) // so that both have asked
	select {
	case e := <-got:
		t.Fatalf("an answer without a source: %v", e)
	default:
	}
	s.fake.noRandom.Store(false)
	s.k.RandomSettled(true)
	for range 2 {
		if e := <-got; e != 0 {
			t.Errorf("after waiting: %v; want 0", e)
		}
	}
	if got := s.pollOnce(fd); got != EventIn {
		t.Errorf("poll of /dev/random = %#x; want POLLIN", got)
	}
	if out := s.fake.output(); out != "" {
		t.Errorf("the console says %q; want nothing", out)
	}
}
