package kernel

import (
	"math"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// The load follows the use of the CPUs, and falls when there is none.
func TestLoad(t *testing.T) {
	var l load
	const second = int64(1e9)
	value := func(now, busy int64) float64 { return float64(l.update(now, busy)[0]) / (1 << loadShift) }
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.02 {
			t.Errorf("%s: a load of %.3f; want %.3f", what, got, want)
		}
	}
	near("idle", value(60*second, 0), 0)
	near("one CPU for a minute", value(120*second, 60*second), 1-1/math.E)
	near("two CPUs for an hour", value(3720*second, 7260*second), 2)
	near("asked again at once", value(3720*second+1000, 7260*second), 2)
	near("idle for a minute", value(3780*second, 7260*second), 2/math.E)
	near("for a year", value(3780*second+365*86400*second, 7260*second), 0)
}

// Settings that the kernel only keeps are checked and shown again; all others cannot be written.
func TestProcSettings(t *testing.T) {
	s := newSystem(t)
	for _, c := range []struct{ path, text, want string }{
		{"/proc/self/oom_score_adj", "-500\n", "-500\n"},
		{"/proc/self/oom_score_adj", "1001", ""},
		{"/proc/self/oom_score_adj", "x", ""},
		{"/proc/self/coredump_filter", "0x7f", "0000007f\n"},
		{"/proc/self/loginuid", "1000", "1000\n"},
		{"/proc/sys/kernel/domainname", "example.org\n", "example.org\n"},
		{"/proc/sys/kernel/domainname", strings.Repeat("x", 65), ""},
	} {
		fd := s.open(c.path, syscall.O_WRONLY)
		_, e := s.call(syscall.SYS_WRITE, fd, []byte(c.text), len(c.text))
		s.close(fd)
		if (e == 0) != (c.want != "") {
			t.Errorf("writing %q to %s: %v", c.text, c.path, e)
		}
		if got := s.readFile(c.path); c.want != "" && got != c.want {
			t.Errorf("%s is %q; want %q", c.path, got, c.want)
		}
	}
	for _, path := range []string{"/proc/sys/vm/swappiness", "/proc/sys/kernel/pid_max", "/proc/sys/fs/file-max"} {
		if _, e := s.call(syscall.SYS_OPEN, path, syscall.O_WRONLY, 0); e != syscall.EACCES {
			t.Errorf("opening %s for writing: %v; want EACCES", path, e)
		}
	}
}

func TestProcSystemFiles(t *testing.T) {
	s := newSystem(t)
	if got := s.readFile("/proc/filesystems"); !strings.Contains(got, "nodev\ttmpfs\n") || strings.Count(got, "tmpfs") != 2 {
		t.Errorf("/proc/filesystems is %q", got)
	}
	s.k.AddDevice(DeviceNode{Name: "vda", Mode: syscall.S_IFBLK | 0o660, Major: 254, Driver: "virtblk"})
	if got := s.readFile("/proc/devices"); !strings.HasPrefix(got, "Character devices:\n  1 mem\n") || !strings.HasSuffix(got, "\nBlock devices:\n254 virtblk\n") {
		t.Errorf("/proc/devices is %q", got)
	}
	if got := strings.Fields(s.readFile("/proc/loadavg")); len(got) != 5 {
		t.Errorf("/proc/loadavg is %q", got)
	}
}

// /dev/kmsg has what the kernel has logged, line by line, and takes lines.
func TestKmsg(t *testing.T) {
	s := newSystem(t)
	s.k.Log("first")
	fd := s.open("/dev/kmsg", syscall.O_RDWR|syscall.O_NONBLOCK)
	s.write(fd, "<5>second\n")
	for _, want := range []string{";first\n", ";second\n"} {
		if got := s.read(fd, 200); !strings.HasPrefix(got, "6,") || !strings.HasSuffix(got, want) {
			t.Errorf("read %q; want %q", got, want)
		}
	}
	if _, e := s.call(syscall.SYS_READ, fd, make([]byte, 200), 200); e != syscall.EAGAIN {
		t.Errorf("read at the end: %v; want EAGAIN", e)
	}
	if out := s.fake.output(); !strings.Contains(out, "yolk: second\n") {
		t.Errorf("the console says %q", out)
	}
	s.must(syscall.SYS_LSEEK, fd, 0, SeekSet)
	if _, e := s.call(syscall.SYS_READ, fd, make([]byte, 5), 5); e != syscall.EINVAL {
		t.Errorf("read with a small buffer: %v; want EINVAL", e)
	}
	for range 2 * kmsgLines {
		s.k.Log("more")
	}
	if _, e := s.call(syscall.SYS_READ, fd, make([]byte, 200), 200); e != syscall.EPIPE {
		t.Errorf("read of a line that was dropped: %v; want EPIPE", e)
	}
	p := &pollFD{fd: int32(fd), events: int16(EventIn)}
	if n := s.must(syscall.SYS_POLL, unsafe.Pointer(p), 1, 0); n != 1 {
		t.Error("poll does not see the lines")
	}
}
