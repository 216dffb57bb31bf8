package kernel

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// Each case is a script of system calls that logs their results. It runs on the host's Linux
// and on a Kernel, and both logs must be the same.

func (s *system) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

// try makes a call and logs its error, and its result unless that is an address or a
// descriptor.
func (s *system) try(what string, nr uintptr, args ...any) int {
	r, e := s.call(nr, args...)
	if e != 0 {
		s.note("%s: %v", what, e)
		return -1
	}
	s.note("%s: ok", what)
	return r
}

// value is try, but always logs the result.
func (s *system) value(what string, nr uintptr, args ...any) int {
	r, e := s.call(nr, args...)
	if e != 0 {
		s.note("%s: %v", what, e)
		return -1
	}
	s.note("%s: %d", what, r)
	return r
}

func (s *system) noteStat(what, path string) {
	st, e := s.stat(path)
	if e != 0 {
		s.note("%s: %v", what, e)
		return
	}
	size := st.Size
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		size = 0
	}
	s.note("%s: mode %o nlink %d size %d uid %d rdev %d", what, st.Mode, st.Nlink, size, st.Uid, st.Rdev)
}

func (s *system) names(path string) string {
	fd := s.open(path, syscall.O_RDONLY|syscall.O_DIRECTORY)
	defer s.close(fd)
	var names []string
	buf := make([]byte, 1024)
	for {
		n := s.must(syscall.SYS_GETDENTS64, fd, buf, len(buf))
		if n == 0 {
			break
		}
		for b := buf[:n]; len(b) > 0; {
			size := int(b[16]) | int(b[17])<<8
			name, _, _ := strings.Cut(string(b[19:size]), "\x00")
			names = append(names, fmt.Sprintf("%s/%d", name, b[18]))
			b = b[size:]
		}
	}
	sort.Strings(names)
	return strings.Join(names, " ")
}

type script struct {
	name string
	run  func(s *system)
}

func TestABI(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the host side must be root, as the program in a Kernel is")
	}
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	var scripts []script
	for _, group := range [][]script{fileScripts, nameScripts, ioScripts, eventScripts, waitScripts, lockScripts, openScripts, inotifyScripts, processScripts, timerScripts, procScripts} {
		scripts = append(scripts, group...)
	}
	for _, c := range scripts {
		t.Run(c.name, func(t *testing.T) {
			host := &system{TB: t, dir: t.TempDir()}
			c.run(host)
			if os.Getenv("HOSTLOG") != "" {
				t.Log("\n" + strings.Join(host.log, "\n"))
			}
			guest := newSystem(t)
			guest.fake.area = hostArea
			guest.must(syscall.SYS_MKDIR, "/tmp/abi", 0o755)
			guest.dir = "/tmp/abi"
			c.run(guest)
			for i := range max(len(host.log), len(guest.log)) {
				h, g := at(host.log, i), at(guest.log, i)
				if h != g {
					t.Errorf("step %d:\n  Linux %s\n  yolk  %s", i, h, g)
				}
			}
		})
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "(nothing)"
}

var fileScripts = []script{
	{"open flags", func(s *system) {
		s.try("missing", syscall.SYS_OPEN, s.p("x"), syscall.O_RDONLY, 0)
		fd := s.try("create", syscall.SYS_OPEN, s.p("x"), syscall.O_CREAT|syscall.O_EXCL|syscall.O_RDWR, 0o666)
		s.noteStat("created", s.p("x"))
		s.try("exclusive", syscall.SYS_OPEN, s.p("x"), syscall.O_CREAT|syscall.O_EXCL|syscall.O_RDWR, 0o666)
		s.write(fd, "hello")
		s.try("trunc", syscall.SYS_OPEN, s.p("x"), syscall.O_RDWR|syscall.O_TRUNC, 0)
		s.noteStat("truncated", s.p("x"))
		s.try("as directory", syscall.SYS_OPEN, s.p("x"), syscall.O_DIRECTORY, 0)
		s.try("through file", syscall.SYS_OPEN, s.p("x/y"), 0, 0)
		s.try("slash", syscall.SYS_OPEN, s.p("x/"), 0, 0)
		s.try("create slash", syscall.SYS_OPEN, s.p("y/"), syscall.O_CREAT|syscall.O_RDWR, 0)
		s.try("write directory", syscall.SYS_OPEN, s.dir, syscall.O_RDWR, 0)
		s.try("create directory", syscall.SYS_OPEN, s.dir, syscall.O_CREAT, 0)
		s.try("empty", syscall.SYS_OPEN, "", 0, 0)
		s.try("long", syscall.SYS_OPEN, s.p(strings.Repeat("a", 256)), 0, 0)
		s.try("longest", syscall.SYS_OPEN, s.p(strings.Repeat("a", 255)), 0, 0)
		s.try("too long", syscall.SYS_OPEN, strings.Repeat("a/", 2048), 0, 0)
		s.try("null", syscall.SYS_OPEN, 0, 0, 0)
		s.try("openat file", syscall.SYS_OPENAT, fd, "y", 0, 0)
		s.try("openat bad", syscall.SYS_OPENAT, 9999, "y", 0, 0)
		s.try("openat absolute", syscall.SYS_OPENAT, 9999, s.p("x"), 0, 0)
		s.try("read only", syscall.SYS_WRITE, s.open(s.p("x"), 0), []byte("x"), 1)
		s.try("write only", syscall.SYS_READ, s.open(s.p("x"), syscall.O_WRONLY), []byte("x"), 1)
	}},
	{"read and write", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		s.value("write", syscall.SYS_WRITE, fd, []byte("hello world"), 11)
		s.value("tell", syscall.SYS_LSEEK, fd, 0, 1)
		s.value("end", syscall.SYS_LSEEK, fd, -5, 2)
		s.note("%q", s.read(fd, 10))
		s.value("eof", syscall.SYS_READ, fd, make([]byte, 4), 4)
		s.value("negative", syscall.SYS_LSEEK, fd, -1, 0)
		s.value("whence", syscall.SYS_LSEEK, fd, 0, 9)
		s.value("beyond", syscall.SYS_LSEEK, fd, 5000, 0)
		s.value("sparse", syscall.SYS_WRITE, fd, []byte("!"), 1)
		s.noteStat("sparse", s.p("f"))
		b := make([]byte, 20)
		s.value("hole", syscall.SYS_PREAD64, fd, b, 20, 5)
		s.note("%q", b)
		s.value("pwrite", syscall.SYS_PWRITE64, fd, []byte("HELLO"), 5, 0)
		s.value("pread", syscall.SYS_PREAD64, fd, b, 5, 0)
		s.note("%q", b[:5])
		s.value("pread negative", syscall.SYS_PREAD64, fd, b, 5, -1)
		s.value("zero", syscall.SYS_READ, fd, b, 0)
		s.value("bad", syscall.SYS_READ, 9999, b, 1)
		s.try("fault", syscall.SYS_WRITE, fd, 1, 1)
		s.value("directory", syscall.SYS_READ, s.open(s.dir, 0), b, 1)
	}},
	{"append", func(s *system) {
		s.writeFile(s.p("f"), "one")
		fd := s.open(s.p("f"), syscall.O_RDWR|syscall.O_APPEND)
		s.value("write", syscall.SYS_WRITE, fd, []byte("two"), 3)
		s.value("tell", syscall.SYS_LSEEK, fd, 0, 1)
		s.value("pwrite", syscall.SYS_PWRITE64, fd, []byte("three"), 5, 0)
		s.value("tell", syscall.SYS_LSEEK, fd, 0, 1)
		s.note("%q", s.readFile(s.p("f")))
	}},
	{"truncate", func(s *system) {
		s.writeFile(s.p("f"), "hello world")
		s.try("shrink", syscall.SYS_TRUNCATE, s.p("f"), 5)
		s.try("grow", syscall.SYS_TRUNCATE, s.p("f"), 8)
		s.note("%q", s.readFile(s.p("f")))
		s.try("negative", syscall.SYS_TRUNCATE, s.p("f"), -1)
		s.try("directory", syscall.SYS_TRUNCATE, s.dir, 0)
		s.try("missing", syscall.SYS_TRUNCATE, s.p("g"), 0)
		s.try("ftruncate read-only", syscall.SYS_FTRUNCATE, s.open(s.p("f"), 0), 0)
		fd := s.open(s.p("f"), syscall.O_RDWR)
		s.try("ftruncate", syscall.SYS_FTRUNCATE, fd, 1)
		s.try("ftruncate negative", syscall.SYS_FTRUNCATE, fd, -1)
		s.noteStat("end", s.p("f"))
	}},
	{"fallocate", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		s.write(fd, strings.Repeat("x", 10000))
		s.try("grow", syscall.SYS_FALLOCATE, fd, 0, 0, 20000)
		s.noteStat("grown", s.p("f"))
		s.try("keep", syscall.SYS_FALLOCATE, fd, 1, 0, 40000)
		s.noteStat("kept", s.p("f"))
		s.try("punch", syscall.SYS_FALLOCATE, fd, 3, 4096, 4096)
		b := make([]byte, 4)
		s.must(syscall.SYS_PREAD64, fd, b, 4, 4094)
		s.note("%q", b)
		s.must(syscall.SYS_PREAD64, fd, b, 4, 8190)
		s.note("%q", b)
		s.try("zero length", syscall.SYS_FALLOCATE, fd, 0, 0, 0)
		s.try("read-only", syscall.SYS_FALLOCATE, s.open(s.p("f"), 0), 0, 0, 10)
	}},
	{"stat", func(s *system) {
		s.writeFile(s.p("f"), "abc")
		s.must(syscall.SYS_SYMLINK, "f", s.p("l"))
		s.noteStat("file", s.p("f"))
		s.noteStat("link", s.p("l"))
		s.noteStat("dir", s.dir)
		s.noteStat("missing", s.p("m"))
		s.noteStat("null", "/dev/null")
		st := new(syscall.Stat_t)
		s.try("follow", syscall.SYS_STAT, s.p("l"), unsafe.Pointer(st))
		s.note("%o %d", st.Mode, st.Size)
		s.try("flags", syscall.SYS_NEWFSTATAT, atFdCwd, s.p("l"), unsafe.Pointer(st), 0x4)
		s.try("empty", syscall.SYS_NEWFSTATAT, s.open(s.p("f"), 0), "", unsafe.Pointer(st), atEmptyPath)
		s.note("%o %d", st.Mode, st.Size)
		s.try("empty without flag", syscall.SYS_NEWFSTATAT, atFdCwd, "", unsafe.Pointer(st), 0)
		s.try("fault", syscall.SYS_STAT, s.p("f"), 8)
		x := new(statxBuf)
		s.try("statx", nrStatx, atFdCwd, s.p("l"), atSymlinkNofollow, 0x7ff, unsafe.Pointer(x))
		s.note("%o %d %d", x.mode, x.size, x.nlink)
	}},
	{"access", func(s *system) {
		s.writeFile(s.p("f"), "")
		s.must(syscall.SYS_CHMOD, s.p("f"), 0)
		s.try("read", syscall.SYS_ACCESS, s.p("f"), 4)
		s.try("execute", syscall.SYS_ACCESS, s.p("f"), 1)
		s.must(syscall.SYS_CHMOD, s.p("f"), 0o100)
		s.try("execute", syscall.SYS_ACCESS, s.p("f"), 1)
		s.try("bad", syscall.SYS_ACCESS, s.p("f"), 8)
		s.try("missing", syscall.SYS_ACCESS, s.p("g"), 0)
		s.try("faccessat", syscall.SYS_FACCESSAT, atFdCwd, s.p("f"), 0)
		s.try("faccessat2", nrFaccessat2, atFdCwd, s.p("f"), 0, atEaccess)
	}},
	{"modes and owners", func(s *system) {
		s.writeFile(s.p("f"), "")
		s.must(syscall.SYS_SYMLINK, "f", s.p("l"))
		s.try("chmod", syscall.SYS_CHMOD, s.p("l"), 0o7751)
		s.noteStat("f", s.p("f"))
		s.try("chown", syscall.SYS_CHOWN, s.p("f"), 5, -1)
		s.try("lchown", syscall.SYS_LCHOWN, s.p("l"), 7, 8)
		s.noteStat("l", s.p("l"))
		fd := s.open(s.p("f"), 0)
		s.try("fchmod", syscall.SYS_FCHMOD, fd, 0o600)
		s.try("fchown", syscall.SYS_FCHOWN, fd, 0, 0)
		s.noteStat("f", s.p("f"))
		s.try("fchmodat", syscall.SYS_FCHMODAT, atFdCwd, s.p("f"), 0o640)
		s.try("fchownat", syscall.SYS_FCHOWNAT, atFdCwd, s.p("l"), 3, 4, atSymlinkNofollow)
		s.noteStat("l", s.p("l"))
	}},
	{"times", func(s *system) {
		s.writeFile(s.p("f"), "")
		ts := &[2]syscall.Timespec{{Sec: 100, Nsec: 5}, {Sec: 200, Nsec: 6}}
		show := func(what string) {
			st, _ := s.stat(s.p("f"))
			now := time.Now().Unix()
			show := func(t syscall.Timespec) string {
				if now-t.Sec < 100 {
					return "now"
				}
				return fmt.Sprint(t)
			}
			s.note("%s %s %s", what, show(st.Atim), show(st.Mtim))
		}
		s.try("set", syscall.SYS_UTIMENSAT, atFdCwd, s.p("f"), unsafe.Pointer(ts), 0)
		show("set")
		ts[0].Nsec, ts[1] = utimeOmit, syscall.Timespec{Sec: 300}
		s.try("omit", syscall.SYS_UTIMENSAT, atFdCwd, s.p("f"), unsafe.Pointer(ts), 0)
		show("omit")
		ts[1].Nsec = utimeNow
		s.try("now", syscall.SYS_UTIMENSAT, atFdCwd, s.p("f"), unsafe.Pointer(ts), 0)
		show("now")
		ts[1].Nsec = 2e9
		s.try("bad", syscall.SYS_UTIMENSAT, atFdCwd, s.p("f"), unsafe.Pointer(ts), 0)
		tv := &[2]syscall.Timeval{{Sec: 7, Usec: 1}, {Sec: 8, Usec: 2}}
		s.try("utimes", syscall.SYS_UTIMES, s.p("f"), unsafe.Pointer(tv))
		show("utimes")
		fd := s.open(s.p("f"), syscall.O_RDWR)
		s.try("futimens", syscall.SYS_UTIMENSAT, fd, 0, 0, 0)
		show("futimens")
		s.must(syscall.SYS_UTIMES, s.p("f"), unsafe.Pointer(tv))
		s.write(fd, "x")
		show("write")
	}},
	{"unlinked file", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		s.write(fd, "data")
		s.try("unlink", syscall.SYS_UNLINK, s.p("f"))
		s.noteStat("gone", s.p("f"))
		st := new(syscall.Stat_t)
		s.try("fstat", syscall.SYS_FSTAT, fd, unsafe.Pointer(st))
		s.note("%d %d", st.Nlink, st.Size)
		b := make([]byte, 9)
		s.value("read", syscall.SYS_PREAD64, fd, b, 9, 0)
		n := s.must(syscall.SYS_READLINK, fmt.Sprintf("/proc/self/fd/%d", fd), make([]byte, 300), 300)
		s.note("%v", n == len(s.p("f"))+len(" (deleted)"))
		again := s.try("reopen", syscall.SYS_OPEN, fmt.Sprintf("/proc/self/fd/%d", fd), 0, 0)
		s.note("%q", s.read(again, 9))
	}},
	{"tmpfile", func(s *system) {
		fd := s.try("open", syscall.SYS_OPEN, s.dir, oTmpfile|syscall.O_RDWR, 0o600)
		s.write(fd, "secret")
		s.note("%s", s.names(s.dir))
		s.try("link", syscall.SYS_LINKAT, atFdCwd, fmt.Sprintf("/proc/self/fd/%d", fd), atFdCwd, s.p("named"), atSymlinkFollow)
		s.note("%s %q", s.names(s.dir), s.readFile(s.p("named")))
		s.try("read-only", syscall.SYS_OPEN, s.dir, oTmpfile, 0o600)
	}},
	{"path descriptor", func(s *system) {
		s.writeFile(s.p("f"), "abc")
		s.must(syscall.SYS_SYMLINK, "f", s.p("l"))
		fd := s.try("open", syscall.SYS_OPEN, s.p("f"), oPath, 0)
		s.try("read", syscall.SYS_READ, fd, make([]byte, 3), 3)
		st := new(syscall.Stat_t)
		s.try("fstat", syscall.SYS_FSTAT, fd, unsafe.Pointer(st))
		s.try("fchmod", syscall.SYS_FCHMOD, fd, 0)
		s.try("ioctl", syscall.SYS_IOCTL, fd, 0, 0)
		s.note("%q", s.readFile(fmt.Sprintf("/proc/self/fd/%d", fd)))
		l := s.try("link", syscall.SYS_OPEN, s.p("l"), oPath|syscall.O_NOFOLLOW, 0)
		b := make([]byte, 10)
		s.value("readlink", syscall.SYS_READLINKAT, l, "", b, 10)
		d := s.try("dir", syscall.SYS_OPEN, s.dir, oPath|syscall.O_DIRECTORY, 0)
		s.try("openat", syscall.SYS_OPENAT, d, "f", 0, 0)
	}},
	{"sparse seek", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		s.must(syscall.SYS_FTRUNCATE, fd, 1<<20)
		s.must(syscall.SYS_PWRITE64, fd, []byte("x"), 1, 512<<10)
		s.value("data", syscall.SYS_LSEEK, fd, 0, SeekData)
		s.value("hole", syscall.SYS_LSEEK, fd, 512<<10, SeekHole)
		s.value("after", syscall.SYS_LSEEK, fd, 800<<10, SeekData)
		s.value("beyond", syscall.SYS_LSEEK, fd, 2<<20, SeekHole)
		s.value("end hole", syscall.SYS_LSEEK, fd, 1<<20-1, SeekHole)
	}},
	{"copy", func(s *system) {
		s.writeFile(s.p("a"), strings.Repeat("0123456789", 10000))
		a, b := s.open(s.p("a"), 0), s.open(s.p("b"), syscall.O_CREAT|syscall.O_RDWR)
		off := new(int64)
		*off = 5
		s.value("sendfile", syscall.SYS_SENDFILE, b, a, unsafe.Pointer(off), 70000)
		s.note("%d", *off)
		s.value("position", syscall.SYS_LSEEK, a, 0, 1)
		s.value("sendfile rest", syscall.SYS_SENDFILE, b, a, 0, 1<<20)
		s.value("copy_file_range", nrCopyFileRange, a, unsafe.Pointer(off), b, 0, 100, 0)
		s.note("%d", *off)
		s.value("flags", nrCopyFileRange, a, unsafe.Pointer(off), b, 0, 100, 1)
		s.value("overlap", nrCopyFileRange, b, unsafe.Pointer(new(int64)), b, unsafe.Pointer(new(int64)), 100, 0)
		s.noteStat("b", s.p("b"))
		s.value("to directory", nrCopyFileRange, a, 0, s.open(s.dir, 0), 0, 100, 0)
	}},
	{"memfd", func(s *system) {
		fd := s.try("create", nrMemfdCreate, "name", 1)
		s.write(fd, "abc")
		s.value("seek", syscall.SYS_LSEEK, fd, 0, 0)
		s.note("%q", s.read(fd, 5))
		s.try("flags", nrMemfdCreate, "name", 1<<20)
		b := make([]byte, 100)
		n := s.must(syscall.SYS_READLINK, fmt.Sprintf("/proc/self/fd/%d", fd), b, 100)
		s.note("%s", b[:n])
	}},
}
