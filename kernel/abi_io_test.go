package kernel

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func (s *system) pipe(flags int) (r, w int) {
	p := new([2]int32)
	s.must(syscall.SYS_PIPE2, unsafe.Pointer(p), flags)
	return int(p[0]), int(p[1])
}

func vec(parts ...[]byte) unsafe.Pointer {
	v := make([]iovec, len(parts))
	for i, p := range parts {
		v[i] = iovec{base: unsafe.Pointer(unsafe.SliceData(p)), len: uint64(len(p))}
	}
	return unsafe.Pointer(&v[0])
}

var ioScripts = []script{
	{"pipe", func(s *system) {
		r, w := s.pipe(syscall.O_NONBLOCK)
		b := make([]byte, 10)
		s.value("empty", syscall.SYS_READ, r, b, 10)
		s.value("write", syscall.SYS_WRITE, w, []byte("hello"), 5)
		s.value("read", syscall.SYS_READ, r, b, 3)
		s.value("rest", syscall.SYS_READ, r, b, 10)
		s.value("wrong way", syscall.SYS_READ, w, b, 1)
		s.value("wrong way", syscall.SYS_WRITE, r, b, 1)
		s.value("seek", syscall.SYS_LSEEK, r, 0, 0)
		s.value("pread", syscall.SYS_PREAD64, r, b, 1, 0)
		s.value("size", syscall.SYS_FCNTL, r, fGetPipeSize, 0)
		s.value("set size", syscall.SYS_FCNTL, r, fSetPipeSize, 5000)
		big := make([]byte, 100000)
		s.value("fill", syscall.SYS_WRITE, w, big, len(big))
		s.value("full", syscall.SYS_WRITE, w, big, 1)
		s.value("drain", syscall.SYS_READ, r, big, 100)
		s.value("atomic", syscall.SYS_WRITE, w, big, 101)
		n := new(int32)
		s.try("FIONREAD", syscall.SYS_IOCTL, r, fionread, unsafe.Pointer(n))
		s.note("%d", *n)
		s.value("flags", syscall.SYS_FCNTL, r, syscall.F_GETFL, 0)
		s.value("flags", syscall.SYS_FCNTL, w, syscall.F_GETFL, 0)
		s.close(w)
		s.value("all", syscall.SYS_READ, r, big, len(big))
		s.value("eof", syscall.SYS_READ, r, b, 10)
		st := new(syscall.Stat_t)
		s.must(syscall.SYS_FSTAT, r, unsafe.Pointer(st))
		s.note("%o", st.Mode)
		s.try("fsync", syscall.SYS_FSYNC, r)
		s.try("flags", syscall.SYS_PIPE2, unsafe.Pointer(new([2]int32)), 1)
	}},
	{"splice and its like refuse", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		read := s.open(s.p("f"), syscall.O_RDONLY)
		path := s.open(s.p("f"), oPath)
		r, w := s.pipe(syscall.O_NONBLOCK)
		off := unsafe.Pointer(new(int64))
		for _, n := range []int{0, 10} {
			s.value("no descriptors", syscall.SYS_SPLICE, -1, 0, -1, 0, n, 0)
			s.value("wrong flags", syscall.SYS_SPLICE, fd, 0, w, 0, n, 0x100)
			s.value("none to write to", syscall.SYS_SPLICE, fd, 0, -1, 0, n, 0)
			s.value("O_PATH", syscall.SYS_SPLICE, path, 0, w, 0, n, 0)
			s.value("the wrong end", syscall.SYS_SPLICE, fd, 0, r, 0, n, 0)
			s.value("read only", syscall.SYS_SPLICE, r, 0, read, 0, n, 0)
			s.value("no pipe", syscall.SYS_SPLICE, fd, 0, fd, 0, n, 0)
			s.value("position of a pipe", syscall.SYS_SPLICE, r, off, fd, 0, n, 0)
			s.value("position of a pipe", syscall.SYS_SPLICE, fd, 0, w, off, n, 0)
			s.value("tee", syscall.SYS_TEE, -1, -1, n, 0)
			s.value("tee", syscall.SYS_TEE, fd, w, n, 0)
			s.value("tee", syscall.SYS_TEE, r, w, n, 0)
			s.value("tee", syscall.SYS_TEE, r, w, n, 0x100)
		}
		s.value("vmsplice", syscall.SYS_VMSPLICE, -1, 0, 0, 0)
		s.value("vmsplice", syscall.SYS_VMSPLICE, fd, 0, 0, 0)
		s.value("vmsplice", syscall.SYS_VMSPLICE, w, 0, 0, 0)
		s.value("vmsplice", syscall.SYS_VMSPLICE, w, 0, 0, 0x100)
	}},
	{"owners of files", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		r, _ := s.pipe(0)
		for _, f := range []int{fd, r} {
			s.value("O_ASYNC", syscall.SYS_FCNTL, f, syscall.F_SETFL, syscall.O_ASYNC)
			s.note("%v", s.must(syscall.SYS_FCNTL, f, syscall.F_GETFL, 0)&syscall.O_ASYNC != 0)
			s.value("owner", syscall.SYS_FCNTL, f, fGetOwn, 0)
			self := s.must(syscall.SYS_GETPID)
			s.value("set", syscall.SYS_FCNTL, f, fSetOwn, self)
			s.note("own: %v", s.must(syscall.SYS_FCNTL, f, fGetOwn, 0) == self)
			s.value("nobody", syscall.SYS_FCNTL, f, fSetOwn, 1<<30)
			s.value("no group", syscall.SYS_FCNTL, f, fSetOwn, -(1 << 30))
			s.value("none", syscall.SYS_FCNTL, f, fSetOwn, 0)
			s.value("owner", syscall.SYS_FCNTL, f, fGetOwn, 0)
			s.value("signal", syscall.SYS_FCNTL, f, fGetSig, 0)
			s.value("lease", syscall.SYS_FCNTL, f, fGetLease, 0)
		}
	}},
	{"attributes", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		path := s.open(s.p("f"), oPath)
		s.try("symlink", syscall.SYS_SYMLINK, "f", s.p("s"))
		s.try("dangling", syscall.SYS_SYMLINK, "none", s.p("d"))
		b := make([]byte, 100)
		for _, name := range []string{"user.x", "trusted.x", "security.x", "user.", "other.x", "x", "", "user." + strings.Repeat("n", 300)} {
			for _, f := range []string{"f", "s", "d", "none", "none/x", "f/x"} {
				s.value("get "+f, syscall.SYS_GETXATTR, s.p(f), name, b, 100)
				s.value("set "+f, syscall.SYS_SETXATTR, s.p(f), name, []byte("value"), 5, 2)
				s.value("set "+f, syscall.SYS_SETXATTR, s.p(f), name, []byte("value"), 5, 0)
				s.value("set "+f, syscall.SYS_SETXATTR, s.p(f), name, []byte("other"), 5, 1)
				s.value("get "+f, syscall.SYS_GETXATTR, s.p(f), name, b, 100)
				s.value("get short "+f, syscall.SYS_GETXATTR, s.p(f), name, b, 2)
				s.value("size "+f, syscall.SYS_GETXATTR, s.p(f), name, b, 0)
			}
			s.value("get of the link", syscall.SYS_LGETXATTR, s.p("s"), name, b, 100)
			s.value("set of the link", syscall.SYS_LSETXATTR, s.p("s"), name, []byte("v"), 1, 0)
			s.value("get by descriptor", syscall.SYS_FGETXATTR, fd, name, b, 100)
			s.value("get by O_PATH", syscall.SYS_FGETXATTR, path, name, b, 100)
			s.value("get of nothing", syscall.SYS_FGETXATTR, -1, name, b, 100)
			s.value("wrong flags", syscall.SYS_FSETXATTR, fd, name, b, 1, 4)
		}
		for _, f := range []string{"f", "s", "d", "none"} {
			n := s.value("list "+f, syscall.SYS_LISTXATTR, s.p(f), b, 100)
			names := strings.Split(string(b[:max(n, 0)]), "\x00")
			slices.Sort(names)
			s.note("%q", names)
			s.value("remove "+f, syscall.SYS_REMOVEXATTR, s.p(f), "user.x")
			s.value("remove "+f, syscall.SYS_REMOVEXATTR, s.p(f), "user.x")
			s.value("list size "+f, syscall.SYS_LISTXATTR, s.p(f), 0, 0)
		}
		s.value("list of the link", syscall.SYS_LLISTXATTR, s.p("s"), b, 100)
	}},
	{"vectors", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		s.value("writev", syscall.SYS_WRITEV, fd, vec([]byte("one"), nil, []byte("two")), 3)
		a, b := make([]byte, 4), make([]byte, 4)
		s.value("preadv", syscall.SYS_PREADV, fd, vec(a, b), 2, 0)
		s.note("%q %q", a, b)
		s.value("pwritev", syscall.SYS_PWRITEV, fd, vec([]byte("T"), []byte("W")), 2, 3)
		s.value("rewind", syscall.SYS_LSEEK, fd, 0, 0)
		s.value("readv", syscall.SYS_READV, fd, vec(a, b), 2)
		s.note("%q %q", a, b)
		s.value("many", syscall.SYS_WRITEV, fd, vec(a), 1025)
		s.value("none", syscall.SYS_WRITEV, fd, 0, 0)
		s.value("preadv2", nrPreadv2, fd, vec(a, b), 2, 1, 0, 0)
		s.value("negative", syscall.SYS_PREADV, fd, vec(a, b), 2, -5)
		r, w := s.pipe(0)
		s.value("pipe", syscall.SYS_WRITEV, w, vec([]byte("ab"), []byte("cd")), 2)
		s.value("pipe", syscall.SYS_READV, r, vec(a, b), 2)
	}},
	{"dup", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC)
		s.write(fd, "hello")
		d := s.must(syscall.SYS_DUP, fd)
		s.value("position", syscall.SYS_LSEEK, d, 0, 1)
		s.value("cloexec", syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
		s.value("cloexec", syscall.SYS_FCNTL, d, syscall.F_GETFD, 0)
		s.value("set", syscall.SYS_FCNTL, d, syscall.F_SETFD, 1)
		s.value("cloexec", syscall.SYS_FCNTL, d, syscall.F_GETFD, 0)
		s.value("dupfd", syscall.SYS_FCNTL, fd, syscall.F_DUPFD, 500)
		s.value("dupfd", syscall.SYS_FCNTL, fd, fDupfdCloexec, 500)
		s.value("cloexec", syscall.SYS_FCNTL, 501, syscall.F_GETFD, 0)
		s.value("negative", syscall.SYS_FCNTL, fd, syscall.F_DUPFD, -1)
		s.value("dup2", syscall.SYS_DUP2, fd, 600)
		s.value("dup2 self", syscall.SYS_DUP2, 600, 600)
		s.value("dup2 bad", syscall.SYS_DUP2, 601, 601)
		s.value("dup3 self", syscall.SYS_DUP3, 600, 600, 0)
		s.value("dup3", syscall.SYS_DUP3, 600, 602, syscall.O_CLOEXEC)
		s.value("dup3 flags", syscall.SYS_DUP3, 600, 602, syscall.O_APPEND)
		s.value("dup2 negative", syscall.SYS_DUP2, 600, -1)
		s.value("close_range", nrCloseRange, 500, 700, 0)
		s.value("closed", syscall.SYS_FCNTL, 501, syscall.F_GETFD, 0)
		s.value("close again", syscall.SYS_CLOSE, 501)
		s.value("range", nrCloseRange, 5, 4, 0)
		s.value("open still", syscall.SYS_LSEEK, fd, 0, 1)
	}},
	{"status flags", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR|syscall.O_EXCL|syscall.O_TRUNC)
		s.value("get", syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		s.value("set", syscall.SYS_FCNTL, fd, syscall.F_SETFL, syscall.O_APPEND|syscall.O_NONBLOCK|syscall.O_WRONLY)
		s.value("get", syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		s.value("unknown", syscall.SYS_FCNTL, fd, 9999, 0)
		s.value("bad", syscall.SYS_FCNTL, 9999, syscall.F_GETFL, 0)
		one := new(int32)
		s.try("FIONBIO off", syscall.SYS_IOCTL, fd, fionbio, unsafe.Pointer(one))
		s.value("get", syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		s.try("tty", syscall.SYS_IOCTL, fd, tcgets, unsafe.Pointer(new([64]byte)))
		s.try("tty null", syscall.SYS_IOCTL, s.open("/dev/null", 0), tcgets, unsafe.Pointer(new([64]byte)))
	}},
	{"devices", func(s *system) {
		null, zero, full := s.open("/dev/null", 2), s.open("/dev/zero", 2), s.open("/dev/full", 2)
		b := []byte("abcd")
		s.value("null", syscall.SYS_READ, null, b, 4)
		s.value("null", syscall.SYS_WRITE, null, b, 4)
		s.value("zero", syscall.SYS_READ, zero, b, 4)
		s.note("%q", b)
		s.value("full", syscall.SYS_READ, full, b, 4)
		s.value("full", syscall.SYS_WRITE, full, b, 4)
		s.value("seek", syscall.SYS_LSEEK, null, 100, 0)
		s.value("random", syscall.SYS_READ, s.open("/dev/urandom", 0), b, 4)
		s.value("sync", syscall.SYS_FSYNC, null)
		s.value("truncate", syscall.SYS_FTRUNCATE, null, 0)
		s.try("create", syscall.SYS_OPEN, "/dev/null", syscall.O_CREAT|syscall.O_TRUNC|syscall.O_RDWR, 0o666)
		s.value("append", syscall.SYS_WRITE, s.open("/dev/null", syscall.O_APPEND|2), b, 4)
	}},
	{"locks", func(s *system) {
		a := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		b := s.open(s.p("f"), syscall.O_RDWR)
		s.try("exclusive", syscall.SYS_FLOCK, a, syscall.LOCK_EX)
		s.try("other", syscall.SYS_FLOCK, b, syscall.LOCK_SH|syscall.LOCK_NB)
		s.try("downgrade", syscall.SYS_FLOCK, a, syscall.LOCK_SH)
		s.try("other", syscall.SYS_FLOCK, b, syscall.LOCK_SH|syscall.LOCK_NB)
		s.try("upgrade", syscall.SYS_FLOCK, a, syscall.LOCK_EX|syscall.LOCK_NB)
		s.close(b)
		s.try("upgrade", syscall.SYS_FLOCK, a, syscall.LOCK_EX|syscall.LOCK_NB)
		s.try("bad", syscall.SYS_FLOCK, a, 0)
		b = s.open(s.p("f"), syscall.O_RDWR)
		lock := func(what string, fd, cmd int, typ int16, start, size int64) {
			l := &syscall.Flock_t{Type: typ, Start: start, Len: size}
			s.try(what, syscall.SYS_FCNTL, fd, cmd, unsafe.Pointer(l))
			if cmd == fOFDGetLk || cmd == syscall.F_GETLK {
				s.note("type %d start %d len %d pid %d", l.Type, l.Start, l.Len, l.Pid)
			}
		}
		lock("posix", a, syscall.F_SETLK, syscall.F_WRLCK, 1000, 10)
		lock("posix other", b, syscall.F_SETLK, syscall.F_WRLCK, 1000, 10)
		lock("posix get", b, syscall.F_GETLK, syscall.F_WRLCK, 1000, 10)
		lock("posix unlock", a, syscall.F_SETLK, syscall.F_UNLCK, 0, 0)
		lock("ofd", a, fOFDSetLk, syscall.F_WRLCK, 0, 100)
		lock("ofd other", b, fOFDSetLk, syscall.F_RDLCK, 50, 1)
		lock("ofd free", b, fOFDSetLk, syscall.F_RDLCK, 100, 10)
		lock("ofd get", b, fOFDGetLk, syscall.F_RDLCK, 10, 1)
		lock("ofd unlock middle", a, fOFDSetLk, syscall.F_UNLCK, 20, 60)
		lock("ofd middle", b, fOFDSetLk, syscall.F_WRLCK, 20, 60)
		lock("ofd edge", b, fOFDSetLk, syscall.F_WRLCK, 20, 61)
		lock("ofd to end", b, fOFDSetLk, syscall.F_WRLCK, 200, 0)
		lock("ofd far", a, fOFDSetLk, syscall.F_RDLCK, 1<<40, 1)
		lock("bad type", a, fOFDSetLk, 9, 0, 1)
		lock("negative", a, fOFDSetLk, syscall.F_RDLCK, -5, 1)
		s.close(b)
		lock("after close", a, fOFDSetLk, syscall.F_WRLCK, 0, 0)
		ro := s.open(s.p("f"), 0)
		lock("write lock read-only", ro, fOFDSetLk, syscall.F_WRLCK, 500, 1)
	}},
	{"mmap", func(s *system) {
		fd := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		s.write(fd, strings.Repeat("a", 5000))
		at := s.must(syscall.SYS_MMAP, 0, 8192, syscall.PROT_READ|syscall.PROT_WRITE, mapShared, fd, 0)
		m := sliceAt(uintptr(at), 8192)
		s.note("%q %q", m[4999:5001], m[:2])
		m[0] = 'X'
		b := make([]byte, 3)
		s.must(syscall.SYS_PREAD64, fd, b, 3, 0)
		s.note("store then read %q", b)
		s.must(syscall.SYS_PWRITE64, fd, []byte("YZ"), 2, 4095)
		s.note("write then load %q", m[4094:4098])
		s.must(syscall.SYS_FTRUNCATE, fd, 9000)
		s.must(syscall.SYS_PWRITE64, fd, []byte("late"), 4, 6000)
		s.note("after growth %q", m[6000:6004])
		again := s.must(syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, mapShared, fd, 4096)
		s.note("second mapping %q", sliceAt(uintptr(again), 4096)[6000-4096:6004-4096])
		private := s.must(syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, mapPrivate, fd, 0)
		sliceAt(uintptr(private), 10)[0] = 'P'
		s.must(syscall.SYS_PREAD64, fd, b, 3, 0)
		s.note("private store %q", b)
		s.try("msync", syscall.SYS_MSYNC, at, 8192, 4)
		s.try("madvise", syscall.SYS_MADVISE, at, 8192, syscall.MADV_RANDOM)
		s.try("unmap", syscall.SYS_MUNMAP, at, 8192)
		s.try("unmap", syscall.SYS_MUNMAP, again, 4096)
		s.try("unmap", syscall.SYS_MUNMAP, private, 4096)
		s.must(syscall.SYS_PREAD64, fd, b, 3, 0)
		s.note("after unmap %q", b)
		s.must(syscall.SYS_FTRUNCATE, fd, 1)
		s.must(syscall.SYS_FTRUNCATE, fd, 3)
		s.must(syscall.SYS_PREAD64, fd, b, 3, 0)
		s.note("after truncate %q", b)
		s.value("read-only file", syscall.SYS_MMAP, 0, 4096, syscall.PROT_WRITE, mapShared, s.open(s.p("f"), 0), 0)
		s.value("write-only file", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, mapPrivate, s.open(s.p("f"), 1), 0)
		s.value("zero", syscall.SYS_MMAP, 0, 0, syscall.PROT_READ, mapPrivate, fd, 0)
		s.value("offset", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, mapPrivate, fd, 5)
		s.value("directory", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, mapPrivate, s.open(s.dir, 0), 0)
		r, _ := s.pipe(0)
		s.value("pipe", syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, mapPrivate, r, 0)
	}},
}

var eventScripts = []script{
	{"eventfd", func(s *system) {
		fd := s.must(syscall.SYS_EVENTFD2, 3, syscall.O_NONBLOCK)
		b := make([]byte, 8)
		s.value("read", syscall.SYS_READ, fd, b, 8)
		s.note("%d", get64(b))
		s.value("empty", syscall.SYS_READ, fd, b, 8)
		s.value("short", syscall.SYS_READ, fd, b, 7)
		put64(b, ^uint64(0))
		s.value("max", syscall.SYS_WRITE, fd, b, 8)
		put64(b, ^uint64(0)-1)
		s.value("full", syscall.SYS_WRITE, fd, b, 8)
		put64(b, 1)
		s.value("more", syscall.SYS_WRITE, fd, b, 8)
		sem := s.must(syscall.SYS_EVENTFD2, 2, syscall.O_NONBLOCK|1)
		for range 3 {
			s.value("semaphore", syscall.SYS_READ, sem, b, 8)
		}
	}},
	{"timerfd", func(s *system) {
		fd := s.must(syscall.SYS_TIMERFD_CREATE, clockMonotonic, syscall.O_NONBLOCK)
		b := make([]byte, 8)
		s.value("idle", syscall.SYS_READ, fd, b, 8)
		spec := &itimerspec{value: syscall.Timespec{Nsec: 10e6}, interval: syscall.Timespec{Nsec: 10e6}}
		s.try("set", syscall.SYS_TIMERFD_SETTIME, fd, 0, unsafe.Pointer(spec), 0)
		time.Sleep(55 * time.Millisecond)
		s.value("read", syscall.SYS_READ, fd, b, 8)
		s.note("%v", get64(b) >= 4)
		old := new(itimerspec)
		s.try("disarm", syscall.SYS_TIMERFD_SETTIME, fd, 0, unsafe.Pointer(new(itimerspec)), unsafe.Pointer(old))
		s.note("%v %v", old.interval, old.value.Nsec > 0)
		s.value("disarmed", syscall.SYS_READ, fd, b, 8)
		s.try("bad", syscall.SYS_TIMERFD_SETTIME, fd, 0, unsafe.Pointer(&itimerspec{value: syscall.Timespec{Nsec: 2e9}}), 0)
		s.try("not a timer", syscall.SYS_TIMERFD_GETTIME, s.must(syscall.SYS_EVENTFD2, 0, 0), unsafe.Pointer(old))
		s.try("clock", syscall.SYS_TIMERFD_CREATE, 99, 0)
	}},
	{"epoll", func(s *system) {
		ep := s.must(syscall.SYS_EPOLL_CREATE1, 0)
		r, w := s.pipe(0)
		ctl := func(what string, op, fd int, events uint32) {
			ev := &epollEvent{events: events, data: [2]uint32{b2u(fd == r) + 1, 7}}
			s.try(what, syscall.SYS_EPOLL_CTL, ep, op, fd, unsafe.Pointer(ev))
		}
		wait := func(what string, ms int) {
			evs := make([]epollEvent, 4)
			n := s.value(what, syscall.SYS_EPOLL_WAIT, ep, unsafe.Pointer(&evs[0]), 4, ms)
			for i := range max(n, 0) {
				s.note("%x %d", evs[i].events, evs[i].data)
			}
		}
		ctl("add r", syscall.EPOLL_CTL_ADD, r, 1)
		ctl("add again", syscall.EPOLL_CTL_ADD, r, 1)
		ctl("mod missing", syscall.EPOLL_CTL_MOD, w, 1)
		ctl("del missing", syscall.EPOLL_CTL_DEL, w, 1)
		ctl("file", syscall.EPOLL_CTL_ADD, s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR), 1)
		ctl("dir", syscall.EPOLL_CTL_ADD, s.open(s.dir, 0), 1)
		ctl("null", syscall.EPOLL_CTL_ADD, s.open("/dev/null", 0), 1)
		ctl("self", syscall.EPOLL_CTL_ADD, ep, 1)
		ctl("bad", syscall.EPOLL_CTL_ADD, 9999, 1)
		wait("nothing", 0)
		wait("timeout", 10)
		s.write(w, "x")
		wait("level", 100)
		wait("level again", 0)
		ctl("edge", syscall.EPOLL_CTL_MOD, r, 1|epollEdge)
		wait("edge", 0)
		wait("edge again", 0)
		s.write(w, "y")
		wait("edge new", 0)
		ctl("oneshot", syscall.EPOLL_CTL_MOD, r, 1|epollOneshot)
		wait("oneshot", 0)
		s.write(w, "z")
		wait("oneshot again", 0)
		ctl("rearm", syscall.EPOLL_CTL_MOD, r, 1|epollOneshot)
		wait("rearmed", 0)
		ctl("write side", syscall.EPOLL_CTL_ADD, w, 4)
		ctl("level", syscall.EPOLL_CTL_MOD, r, 1)
		s.note("%q", s.read(r, 10))
		wait("write side", 0)
		ctl("del w", syscall.EPOLL_CTL_DEL, w, 0)
		s.close(w)
		wait("hangup", 100)
		s.close(r)
		wait("closed", 0)
		s.try("size", syscall.SYS_EPOLL_WAIT, ep, unsafe.Pointer(new(epollEvent)), 0, 0)
		s.try("not epoll", syscall.SYS_EPOLL_WAIT, s.open(s.dir, 0), unsafe.Pointer(new(epollEvent)), 1, 0)
		s.try("create 0", syscall.SYS_EPOLL_CREATE, 0)
	}},
	{"epoll wakes", func(s *system) {
		ep := s.must(syscall.SYS_EPOLL_CREATE1, 0)
		ev := s.must(syscall.SYS_EVENTFD2, 0, 0)
		s.must(syscall.SYS_EPOLL_CTL, ep, syscall.EPOLL_CTL_ADD, ev, unsafe.Pointer(&epollEvent{events: 1}))
		go func() {
			time.Sleep(10 * time.Millisecond)
			b := make([]byte, 8)
			b[0] = 1
			s.call(syscall.SYS_WRITE, ev, b, 8)
		}()
		s.value("wait", syscall.SYS_EPOLL_WAIT, ep, unsafe.Pointer(new(epollEvent)), 1, 5000)
		outer := s.must(syscall.SYS_EPOLL_CREATE1, 0)
		s.try("nest", syscall.SYS_EPOLL_CTL, outer, syscall.EPOLL_CTL_ADD, ep, unsafe.Pointer(&epollEvent{events: 1}))
		s.value("nested", syscall.SYS_EPOLL_WAIT, outer, unsafe.Pointer(new(epollEvent)), 1, 0)
		s.try("loop", syscall.SYS_EPOLL_CTL, ep, syscall.EPOLL_CTL_ADD, outer, unsafe.Pointer(&epollEvent{events: 1}))
	}},
	{"poll", func(s *system) {
		r, w := s.pipe(0)
		file := s.open(s.p("f"), syscall.O_CREAT|syscall.O_RDWR)
		poll := func(what string, ms int, fds ...pollFD) {
			s.value(what, syscall.SYS_POLL, unsafe.Pointer(&fds[0]), len(fds), ms)
			for _, f := range fds {
				s.note("%x", f.revents)
			}
		}
		poll("nothing", 0, pollFD{fd: int32(r), events: 1})
		poll("timeout", 10, pollFD{fd: int32(r), events: 1})
		poll("several", 0, pollFD{fd: int32(r), events: 1}, pollFD{fd: int32(w), events: 4}, pollFD{fd: -1, events: 1},
			pollFD{fd: 9999, events: 1}, pollFD{fd: int32(file), events: 5})
		written := make(chan struct{})
		go func() {
			defer close(written)
			time.Sleep(10 * time.Millisecond)
			s.call(syscall.SYS_WRITE, w, []byte("x"), 1)
		}()
		poll("wake", 5000, pollFD{fd: int32(r), events: 0x41})
		<-written // a call that has not returned holds its file open
		s.close(w)
		poll("hangup", 0, pollFD{fd: int32(r), events: 1})
		s.read(r, 10)
		poll("hangup", 0, pollFD{fd: int32(r), events: 1})
		r2, w2 := s.pipe(0)
		s.close(r2)
		poll("no reader", 0, pollFD{fd: int32(w2), events: 4})
		ts := &syscall.Timespec{Nsec: 1e6}
		s.value("ppoll", syscall.SYS_PPOLL, 0, 0, unsafe.Pointer(ts), 0, 8)
	}},
	{"select", func(s *system) {
		r, w := s.pipe(0)
		set := func(fds ...int) *[16]uint64 {
			var x [16]uint64
			for _, f := range fds {
				x[f/64] |= 1 << (f % 64)
			}
			return &x
		}
		in, out := set(r), set(w)
		tv := &syscall.Timeval{Usec: 1000}
		s.value("both", syscall.SYS_SELECT, w+1, unsafe.Pointer(in), unsafe.Pointer(out), 0, unsafe.Pointer(tv))
		s.note("%v %v", *in == *set(), *out == *set(w))
		in = set(r)
		s.value("timeout", syscall.SYS_SELECT, w+1, unsafe.Pointer(in), 0, 0, unsafe.Pointer(tv))
		s.note("%v", *in == *set())
		s.close(w)
		in = set(r)
		s.value("eof", syscall.SYS_PSELECT6, w+1, unsafe.Pointer(in), 0, 0, 0, 0)
		s.note("%v", *in == *set(r))
		s.value("bad", syscall.SYS_SELECT, w+1, unsafe.Pointer(set(w)), 0, 0, unsafe.Pointer(tv))
	}},
	{"inotify", func(s *system) {
		in := s.must(syscall.SYS_INOTIFY_INIT1, syscall.O_NONBLOCK)
		s.must(syscall.SYS_MKDIR, s.p("d"), 0o755)
		s.value("watch", syscall.SYS_INOTIFY_ADD_WATCH, in, s.p("d"), inAllEvents)
		s.value("watch again", syscall.SYS_INOTIFY_ADD_WATCH, in, s.p("d"), inCreate|inDelete|inModify|inMovedFrom|inMovedTo|inDeleteSelf|inCloseWrite|inAttrib)
		events := func() {
			buf := make([]byte, 4096)
			n, e := s.call(syscall.SYS_READ, in, buf, len(buf))
			if e != 0 {
				s.note("events: %v", e)
				return
			}
			for b := buf[:n]; len(b) > 0; {
				wd, mask := get64(b)&0xffffffff, get64(b)>>32
				size := get64(b[8:]) >> 32
				name, _, _ := strings.Cut(string(b[16:16+size]), "\x00")
				s.note("wd %d mask %x name %q cookie %v", wd, mask, name, get64(b[8:])&0xffffffff != 0)
				b = b[16+size:]
			}
		}
		events()
		s.writeFile(s.p("d/f"), "x")
		events()
		s.must(syscall.SYS_CHMOD, s.p("d/f"), 0o600)
		s.must(syscall.SYS_RENAME, s.p("d/f"), s.p("d/g"))
		events()
		s.must(syscall.SYS_RENAME, s.p("d/g"), s.p("h"))
		s.must(syscall.SYS_RENAME, s.p("h"), s.p("d/h"))
		s.must(syscall.SYS_MKDIR, s.p("d/sub"), 0o755)
		s.must(syscall.SYS_RMDIR, s.p("d/sub"))
		events()
		s.value("file", syscall.SYS_INOTIFY_ADD_WATCH, in, s.p("d/h"), inModify|inDeleteSelf|inAttrib)
		fd := s.open(s.p("d/h"), syscall.O_RDWR)
		s.must(syscall.SYS_FTRUNCATE, fd, 0)
		s.close(fd)
		events()
		s.must(syscall.SYS_UNLINK, s.p("d/h"))
		buf := make([]byte, 4096)
		s.note("%v", s.must(syscall.SYS_READ, in, buf, len(buf)) > 0)
		s.value("remove", syscall.SYS_INOTIFY_RM_WATCH, in, 1)
		events()
		s.value("remove again", syscall.SYS_INOTIFY_RM_WATCH, in, 1)
		s.value("missing", syscall.SYS_INOTIFY_ADD_WATCH, in, s.p("zz"), inCreate)
		s.value("no mask", syscall.SYS_INOTIFY_ADD_WATCH, in, s.p("d"), 0)
		s.value("not a dir", syscall.SYS_INOTIFY_ADD_WATCH, in, "/dev/null", inCreate|inOnlyDir)
		s.value("small", syscall.SYS_INOTIFY_ADD_WATCH, in, s.p("d"), inCreate)
		s.writeFile(s.p("d/x"), "")
		s.value("small buffer", syscall.SYS_READ, in, buf, 16)
	}},
	{"blocking", func(s *system) {
		r, w := s.pipe(0)
		go func() {
			time.Sleep(10 * time.Millisecond)
			s.call(syscall.SYS_WRITE, w, []byte("later"), 5)
		}()
		s.note("%q", s.read(r, 10))
		done := make(chan int)
		go func() {
			n, _ := s.call(syscall.SYS_WRITE, w, make([]byte, 200000), 200000)
			done <- n
		}()
		total := 0
		for total < 200000 {
			total += len(s.read(r, 50000))
		}
		s.note("%d %d", total, <-done)
		go func() {
			time.Sleep(10 * time.Millisecond)
			s.call(syscall.SYS_CLOSE, w)
		}()
		s.note("%q", s.read(r, 10))
	}},
	{"fifo blocks", func(s *system) {
		s.must(syscall.SYS_MKNOD, s.p("fifo"), syscall.S_IFIFO|0o644, 0)
		go func() {
			fd, _ := s.call(syscall.SYS_OPEN, s.p("fifo"), syscall.O_WRONLY, 0)
			s.call(syscall.SYS_WRITE, fd, []byte("through"), 7)
			s.call(syscall.SYS_CLOSE, fd)
		}()
		fd := s.open(s.p("fifo"), 0)
		s.note("%q", s.read(fd, 20))
		s.note("%q", s.read(fd, 20))
	}},
}

var processScripts = []script{
	{"ids", func(s *system) {
		for _, nr := range []uintptr{syscall.SYS_GETUID, syscall.SYS_GETEUID, syscall.SYS_GETGID, syscall.SYS_GETEGID} {
			s.value("id", nr)
		}
		ids := new([3]uint32)
		s.try("resuid", syscall.SYS_GETRESUID, unsafe.Pointer(&ids[0]), unsafe.Pointer(&ids[1]), unsafe.Pointer(&ids[2]))
		s.note("%v", *ids)
		s.try("getpgid", syscall.SYS_GETPGID, 999999)
		s.try("getpriority", syscall.SYS_GETPRIORITY, 9, 0)
	}},
	{"policies and priorities", func(s *system) {
		prio := func(v int32) unsafe.Pointer { return unsafe.Pointer(&v) }
		const nobody = 1 << 30
		for policy := -1; policy < 9; policy++ {
			s.value("max", syscall.SYS_SCHED_GET_PRIORITY_MAX, policy)
			s.value("min", syscall.SYS_SCHED_GET_PRIORITY_MIN, policy)
			s.value("set of nobody", syscall.SYS_SCHED_SETSCHEDULER, -1, policy, prio(0))
			s.value("set nothing", syscall.SYS_SCHED_SETSCHEDULER, 0, policy, 0)
			if policy != 7 { // SCHED_EXT, which not all systems have
				s.value("set too high", syscall.SYS_SCHED_SETSCHEDULER, 0, policy, prio(100))
				s.value("set too low", syscall.SYS_SCHED_SETSCHEDULER, 0, policy, prio(-1))
			}
		}
		s.value("set", syscall.SYS_SCHED_SETSCHEDULER, 0, 0, prio(0))
		s.value("set", syscall.SYS_SCHED_SETSCHEDULER, nobody, 0, prio(0))
		for _, id := range []int{0, -1, nobody} {
			s.value("get", syscall.SYS_SCHED_GETSCHEDULER, id)
			s.value("get param", syscall.SYS_SCHED_GETPARAM, id, prio(1))
			s.value("get nothing", syscall.SYS_SCHED_GETPARAM, id, 0)
			s.value("set param", syscall.SYS_SCHED_SETPARAM, id, prio(0))
			s.value("set param", syscall.SYS_SCHED_SETPARAM, id, prio(1))
			s.value("set nothing", syscall.SYS_SCHED_SETPARAM, id, 0)
			attr := &schedAttr{size: 48}
			s.value("set attributes", 314, id, unsafe.Pointer(attr), 0)
			s.value("flags", 314, id, unsafe.Pointer(attr), 1)
			s.value("nothing", 314, id, 0, 0)
			s.value("wrong policy", 314, id, unsafe.Pointer(&schedAttr{size: 48, policy: 100}), 0)
			small := &schedAttr{size: 10}
			s.value("small", 314, id, unsafe.Pointer(small), 0)
			s.note("%v", small.size >= 48)
		}
	}},
	{"priorities of requests", func(s *system) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		const idle, none = 3 << ioprioClassShift, 0
		for _, v := range []int{2<<ioprioClassShift | 5, idle, 4 << ioprioClassShift, 1, none} {
			s.value("set", syscall.SYS_IOPRIO_SET, 1, 0, v)
			if v != none { // then it is what the nice value makes of it
				s.value("get", syscall.SYS_IOPRIO_GET, 1, 0)
			}
		}
		for _, c := range [][2]int{{0, 0}, {4, 0}, {1, 1 << 30}, {2, 1 << 30}, {-1, 0}} {
			s.value("set", syscall.SYS_IOPRIO_SET, c[0], c[1], none)
			s.value("get", syscall.SYS_IOPRIO_GET, c[0], c[1])
		}
	}},
	{"scheduling", func(s *system) {
		param := []byte{1, 2, 3, 4}
		s.try("getparam", syscall.SYS_SCHED_GETPARAM, 0, param)
		s.note("%v", param)
		s.try("no pointer", syscall.SYS_SCHED_GETPARAM, 0, 0)
		s.try("negative", syscall.SYS_SCHED_GETPARAM, -1, param)
		s.try("no thread", syscall.SYS_SCHED_GETPARAM, 1<<30, param)
		s.try("fault", syscall.SYS_SCHED_GETPARAM, 0, 1)
	}},
	{"limits", func(s *system) {
		r := new(rlimit)
		s.try("get", syscall.SYS_GETRLIMIT, rlimitNoFile, unsafe.Pointer(r))
		s.note("%v", r.cur > 0)
		s.try("bad", syscall.SYS_GETRLIMIT, 16, unsafe.Pointer(r))
		s.try("inverted", syscall.SYS_PRLIMIT64, 0, rlimitNoFile, unsafe.Pointer(&rlimit{2, 1}), 0)
		s.try("other", syscall.SYS_PRLIMIT64, 999999, rlimitNoFile, 0, unsafe.Pointer(r))
		s.try("none", syscall.SYS_PRLIMIT64, 0, rlimitNoFile, 0, 0)
	}},
	{"uname", func(s *system) {
		u := new(syscall.Utsname)
		s.try("uname", syscall.SYS_UNAME, unsafe.Pointer(u))
		s.note("%c%c%c %c", u.Sysname[0], u.Sysname[1], u.Sysname[2], u.Machine[0])
		s.try("fault", syscall.SYS_UNAME, 0)
	}},
	{"prctl", func(s *system) {
		b := make([]byte, 16)
		s.try("set name", syscall.SYS_PRCTL, prSetName, "a name that is far too long", 0, 0, 0)
		s.try("get name", syscall.SYS_PRCTL, prGetName, b, 0, 0, 0)
		s.note("%q", b)
		s.value("bound", syscall.SYS_PRCTL, prCapbsetRead, 99, 0, 0, 0)
		s.try("unknown", syscall.SYS_PRCTL, 12345, 0, 0, 0, 0)
	}},
	{"clocks", func(s *system) {
		ts := new(syscall.Timespec)
		for id := range 8 {
			s.try(fmt.Sprint("clock ", id), syscall.SYS_CLOCK_GETTIME, id, unsafe.Pointer(ts))
			s.note("%v", ts.Nsec >= 0 && ts.Nsec < 1e9 && ts.Sec >= 0)
		}
		s.must(syscall.SYS_CLOCK_GETTIME, 0, unsafe.Pointer(ts))
		s.note("%v", time.Now().Unix()-ts.Sec <= 1)
		s.try("unknown", syscall.SYS_CLOCK_GETTIME, 77, unsafe.Pointer(ts))
		s.try("res", syscall.SYS_CLOCK_GETRES, 1, unsafe.Pointer(ts))
		s.note("%v", *ts)
		start := time.Now()
		s.try("sleep", syscall.SYS_NANOSLEEP, unsafe.Pointer(&syscall.Timespec{Nsec: 20e6}), 0)
		s.note("%v", time.Since(start) >= 20*time.Millisecond)
		s.try("sleep bad", syscall.SYS_NANOSLEEP, unsafe.Pointer(&syscall.Timespec{Nsec: 2e9}), 0)
		s.try("absolute", syscall.SYS_CLOCK_NANOSLEEP, 0, 1, unsafe.Pointer(&syscall.Timespec{Sec: 1}), 0)
		s.try("gettimeofday", syscall.SYS_GETTIMEOFDAY, unsafe.Pointer(new(syscall.Timeval)), 0)
		s.note("%v", s.must(syscall.SYS_TIME, 0) > 1e9)
	}},
	{"random", func(s *system) {
		b := make([]byte, 32)
		s.value("getrandom", nrGetrandom, b, 32, 0)
		s.note("%v", string(b) != string(make([]byte, 32)))
		s.value("flags", nrGetrandom, b, 32, 64)
		for flags := range 8 { // of GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE
			s.value("more flags", nrGetrandom, b, 32, flags)
		}
		for _, name := range []string{"/dev/random", "/dev/urandom"} {
			fd := s.open(name, syscall.O_RDONLY|syscall.O_NONBLOCK)
			s.value("read", syscall.SYS_READ, fd, b, 32)
			s.note("%x", s.pollOnce(fd))
		}
	}},
	{"capabilities", func(s *system) {
		h := &capHeader{version: capVersion3}
		d := new([2]capData)
		s.try("get", syscall.SYS_CAPGET, unsafe.Pointer(h), unsafe.Pointer(d))
		h.version = 1
		s.try("version", syscall.SYS_CAPGET, unsafe.Pointer(h), 0)
		s.note("%x", h.version)
	}},
	{"proc", func(s *system) {
		b := make([]byte, 10)
		s.value("self", syscall.SYS_READLINK, "/proc/self/root", b, 10)
		s.try("missing", syscall.SYS_OPEN, "/proc/nonexistent", 0, 0)
		s.try("create", syscall.SYS_OPEN, "/proc/nonexistent", syscall.O_CREAT|syscall.O_RDWR, 0o666)
		s.noteStat("version", "/proc/version")
		s.try("fd", syscall.SYS_OPEN, "/proc/self/fd/9999", 0, 0)
		r, w := s.pipe(0)
		s.write(w, "via proc")
		again := s.open(fmt.Sprintf("/proc/self/fd/%d", r), 0)
		s.note("%q", s.read(again, 20))
		s.noteStat("stdin link", "/dev/stdin")
		s.note("%v", strings.HasPrefix(s.readFile("/proc/self/limits"), "Limit"))
		s.note("%v", s.readFile("/proc/sys/kernel/ostype"))
		s.note("%v", strings.HasPrefix(s.readFile("/proc/self/stat"), "1 (") || s.k == nil)
	}},
}

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
