package kernel

import (
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func TestConsoleStream(t *testing.T) {
	s := newSystem(t)
	s.write(1, "one\ntwo\n")
	if got := s.fake.output(); got != "one\ntwo\n" {
		t.Errorf("output %q", got)
	}
	if _, e := s.call(syscall.SYS_IOCTL, 1, tcgets, unsafe.Pointer(new(termios))); e != syscall.ENOTTY {
		t.Errorf("TCGETS without a terminal: %v; want ENOTTY", e)
	}
	s.k.ConsoleInput([]byte("a\x03b\r"))
	if got := s.read(0, 10); got != "a\x03b\r" {
		t.Errorf("input %q; want it untouched", got)
	}
	go func() {
		time.Sleep(5 * time.Millisecond)
		s.k.ConsoleInput([]byte("late"))
	}()
	if got := s.read(0, 10); got != "late" {
		t.Errorf("blocked read got %q", got)
	}
	s.k.ConsoleHangup()
	if got := s.read(0, 10); got != "" {
		t.Errorf("after the hangup %q; want the end of the file", got)
	}
}

func terminal(t *testing.T, interrupts *[]syscall.Signal) *system {
	return newSystemWith(t, newFake(), Options{Terminal: true, Rows: 50, Columns: 132,
		Interrupt: func(sig syscall.Signal) { *interrupts = append(*interrupts, sig) }})
}

func TestTerminalLines(t *testing.T) {
	var signals []syscall.Signal
	s := terminal(t, &signals)
	s.write(1, "a\nb")
	if got := s.fake.output(); got != "a\r\nb" {
		t.Errorf("output %q; want CR LF", got)
	}
	s.k.ConsoleInput([]byte("helo\x7flo\r"))
	if got, echo := s.read(0, 20), s.fake.output(); got != "hello\n" || echo != "helo\b \blo\r\n" {
		t.Errorf("line %q, echo %q", got, echo)
	}
	s.k.ConsoleInput([]byte("word two\x17three\x15gone\xc3\xa9\x7f!\n"))
	if got := s.read(0, 20); got != "gone!\n" {
		t.Errorf("after kill and erase %q", got)
	}
	s.k.ConsoleInput([]byte("no line yet"))
	if ev := s.k.console.Readiness(); ev&EventIn != 0 {
		t.Error("half a line is readable")
	}
	s.k.ConsoleInput([]byte("\x03rest\n"))
	if len(signals) != 1 || signals[0] != syscall.SIGINT {
		t.Errorf("^C raised %v", signals)
	}
	if got := s.read(0, 20); got != "rest\n" {
		t.Errorf("after ^C %q", got)
	}
	s.k.ConsoleInput([]byte("one\ntwo\n\x04"))
	for _, want := range []string{"one\n", "two\n", ""} {
		if got := s.read(0, 20); got != want {
			t.Errorf("read %q; want %q", got, want)
		}
	}
}

func TestTerminalRaw(t *testing.T) {
	var signals []syscall.Signal
	s := terminal(t, &signals)
	tio := new(termios)
	s.must(syscall.SYS_IOCTL, 0, tcgets, unsafe.Pointer(tio))
	tio.lflag &^= icanon | echo | isig
	tio.iflag &^= icrnl
	tio.oflag &^= opost
	s.must(syscall.SYS_IOCTL, 0, tcsets, unsafe.Pointer(tio))
	s.fake.output()
	s.k.ConsoleInput([]byte("x\x03\r"))
	if got := s.read(0, 10); got != "x\x03\r" || len(signals) != 0 {
		t.Errorf("raw input %q, signals %v", got, signals)
	}
	s.write(1, "a\n")
	if got := s.fake.output(); got != "a\n" {
		t.Errorf("raw output %q", got)
	}
	w := new(winsize)
	s.must(syscall.SYS_IOCTL, 1, tiocgwinsz, unsafe.Pointer(w))
	if w.rows != 50 || w.cols != 132 {
		t.Errorf("window %d by %d", w.rows, w.cols)
	}
	st := new(syscall.Stat_t)
	s.must(syscall.SYS_FSTAT, 1, unsafe.Pointer(st))
	if st.Mode&syscall.S_IFMT != syscall.S_IFCHR {
		t.Errorf("a terminal has mode %o", st.Mode)
	}
}

// A call that the image does not carry fails and says why.
func TestCallNotLinked(t *testing.T) {
	s := newSystem(t)
	flock, lock := table[syscall.SYS_FLOCK].handler, fcntlLock
	defer func() { table[syscall.SYS_FLOCK].handler, fcntlLock = flock, lock }()
	table[syscall.SYS_FLOCK].handler, fcntlLock = nil, nil
	if _, e := s.call(syscall.SYS_FLOCK, 1, syscall.LOCK_EX); e != syscall.ENOSYS {
		t.Errorf("flock: %v; want ENOSYS", e)
	}
	if _, e := s.call(syscall.SYS_FCNTL, 1, syscall.F_SETLK, unsafe.Pointer(new(syscall.Flock_t))); e != syscall.EINVAL {
		t.Errorf("F_SETLK: %v; want EINVAL", e)
	}
	out := s.fake.output()
	if !strings.Contains(out, "yolk: system call flock (73) is not "+notLinked) || strings.Count(out, notLinked) != 2 {
		t.Errorf("the console says %q", out)
	}
}

// fullFile is a file for whose data there is no memory.
type fullFile struct{ Always }

func (fullFile) Read([]byte, int64) (int, syscall.Errno)  { return 0, syscall.ENOMEM }
func (fullFile) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.ENOMEM }
func (fullFile) Stat(*syscall.Stat_t) syscall.Errno       { return 0 }

// A write that fails because the kernel lacks memory says who lacks it, once.
func TestNoMemoryIsLogged(t *testing.T) {
	s := newSystem(t)
	fd, _ := s.k.installNew(fullFile{}, syscall.O_RDWR, 0)
	for range 2 {
		if _, e := s.call(syscall.SYS_WRITE, int(fd), []byte("x"), 1); e != syscall.ENOMEM {
			t.Errorf("write: %v; want ENOMEM", e)
		}
	}
	const sync = 4 // MS_SYNC
	for nr, arg := range map[uintptr]any{syscall.SYS_MUNLOCK: 0, syscall.SYS_MSYNC: sync, syscall.SYS_MINCORE: make([]byte, 8)} {
		if _, e := s.call(nr, 1<<30, pageSize, arg); e != syscall.ENOMEM { // there is no memory at that address
			t.Errorf("call %d: %v; want ENOMEM", nr, e)
		}
	}
	if out := s.fake.output(); strings.Count(out, "yolk: write fails with ENOMEM: the kernel has no memory for it (") != 1 || strings.Count(out, "\n") != 1 {
		t.Errorf("the console says %q", out)
	}
}

func TestMissingCallIsLoggedOnce(t *testing.T) {
	s := newSystem(t)
	for range 2 {
		if _, e := s.call(syscall.SYS_MSGGET); e != syscall.ENOSYS {
			t.Errorf("msgget: %v; want ENOSYS", e)
		}
		s.call(5000)
	}
	out := s.fake.output()
	if strings.Count(out, "yolk: system call msgget (68) is not implemented; it fails\n") != 1 ||
		strings.Count(out, "\n") != 2 {
		t.Errorf("the console says %q", out)
	}
}

// Once the streams are connected, descriptor 2 and the kernel's own lines are a stream of their own, and a reader
// that has gone is EPIPE.
func TestConnectedStreams(t *testing.T) {
	s := newSystem(t)
	s.write(2, "early\n")
	var out, errs strings.Builder
	gone := false
	s.k.ConnectConsole(func(p []byte) syscall.Errno {
		if gone {
			return syscall.EPIPE
		}
		out.Write(p)
		return 0
	}, func(p []byte) syscall.Errno { errs.Write(p); return 0 }, nil)
	s.write(1, "result\n")
	s.write(2, "remark\n")
	s.k.Log("line")
	if s.fake.output() != "early\n" || out.String() != "result\n" || errs.String() != "remark\nyolk: line\n" {
		t.Errorf("console %q, out %q, err %q", s.fake.output(), out.String(), errs.String())
	}
	gone = true
	if n, e := s.call(syscall.SYS_WRITE, 1, []byte("x"), 1); e != syscall.EPIPE {
		t.Errorf("write without a reader: %d, %v; want EPIPE", n, e)
	}
	var a, b syscall.Stat_t
	s.must(syscall.SYS_FSTAT, 1, unsafe.Pointer(&a))
	s.must(syscall.SYS_FSTAT, 2, unsafe.Pointer(&b))
	if a.Ino == b.Ino || b.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		t.Errorf("inodes %d and %d, mode %o; want two pipes", a.Ino, b.Ino, b.Mode)
	}
}

// A terminal takes all, echo too, and has a size that changes.
func TestConnectedTerminal(t *testing.T) {
	var signals []syscall.Signal
	s := terminal(t, &signals)
	var out strings.Builder
	s.k.ConnectConsole(func(p []byte) syscall.Errno { out.Write(p); return 0 }, nil, nil)
	s.write(1, "a\n")
	s.write(2, "b\n")
	s.k.ConsoleInput([]byte("c\r"))
	if out.String() != "a\r\nb\r\nc\r\n" || s.fake.output() != "" {
		t.Errorf("out %q, console %q", out.String(), s.fake.output())
	}
	if !s.k.ResizeConsole(60, 200) || s.k.ResizeConsole(60, 200) || s.k.ResizeConsole(0, 10) {
		t.Error("a resize is told once, and one to nothing never")
	}
	w := new(winsize)
	s.must(syscall.SYS_IOCTL, 0, tiocgwinsz, unsafe.Pointer(w))
	if w.rows != 60 || w.cols != 200 {
		t.Errorf("window %d by %d", w.rows, w.cols)
	}
}
