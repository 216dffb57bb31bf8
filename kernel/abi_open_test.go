package kernel

import (
	"fmt"
	"syscall"
	"unsafe"
)

// how calls openat2(2) relative to a directory and logs what it says.
func (s *system) how(what string, dir int, path string, how openHow) {
	fd, e := s.call(437, dir, path, unsafe.Pointer(&how), 24)
	if e != 0 {
		s.note("%s: %v", what, e)
		return
	}
	s.note("%s: ok", what)
	s.close(fd)
}

func (s *system) size(fd int) int64 {
	var st syscall.Stat_t
	s.must(syscall.SYS_FSTAT, fd, unsafe.Pointer(&st))
	return st.Size
}

var openScripts = []script{
	{"openat2 checks its structure", func(s *system) {
		dir := s.open(s.dir, syscall.O_DIRECTORY)
		b := make([]byte, 5000)
		for _, size := range []int{0, 23, 24, 32, 4096, 4097} {
			if fd := s.try("size", 437, dir, ".", b, size); fd >= 0 {
				s.close(fd)
			}
		}
		b[30] = 1
		s.try("unknown field", 437, dir, ".", b, 32)
		for _, h := range []openHow{
			{flags: 1 << 40}, {flags: 1 << 30}, {resolve: 1 << 10}, {resolve: 0x18}, {mode: 0o600}, {flags: syscall.O_CREAT | syscall.O_RDWR, mode: 1 << 20},
			{flags: oPath | syscall.O_RDWR}, {flags: oPath | syscall.O_DIRECTORY}, {flags: tmpfileBit | syscall.O_RDWR, mode: 0o600},
			{flags: oTmpfile | syscall.O_RDWR, mode: 0o600}, {flags: oTmpfile}, {flags: syscall.O_CREAT | syscall.O_DIRECTORY},
		} {
			s.how("how", dir, ".", h)
		}
		s.how("no such descriptor", 9999, "x", openHow{})
		s.how("empty path", dir, "", openHow{})
	}},
	{"openat2 keeps below a directory", func(s *system) {
		s.must(syscall.SYS_MKDIR, s.p("d"), 0o755)
		s.must(syscall.SYS_MKDIR, s.p("d/sub"), 0o755)
		s.close(s.open(s.p("d/sub/file"), syscall.O_CREAT|syscall.O_RDWR))
		s.close(s.open(s.p("outside"), syscall.O_CREAT|syscall.O_RDWR))
		for name, to := range map[string]string{"in": "sub/file", "up": "../outside", "back": "sub/../sub/file", "abs": "/tmp", "root": "/proc", "top": ".."} {
			s.must(syscall.SYS_SYMLINK, to, s.p("d/"+name))
		}
		dir := s.open(s.p("d"), syscall.O_DIRECTORY)
		for _, limit := range []resolveFlag{0, resolveBeneath, resolveInRoot, resolveNoSymlinks, resolveNoMagiclinks, resolveNoXdev} {
			s.note("limit %#x", uint64(limit))
			for _, path := range []string{"sub/file", "../outside", "sub/../../outside", "sub/..", "..", ".", "/", "/sub/file", "in", "up", "back", "root", "top", "sub/missing", "in/x"} {
				s.how("  "+path, dir, path, openHow{resolve: uint64(limit)})
			}
			s.how("  the link itself", dir, "up", openHow{flags: oPath | syscall.O_NOFOLLOW, resolve: uint64(limit)})
			s.how("  through proc", dir, "/proc/self/fd/0", openHow{flags: oPath, resolve: uint64(limit)})
			s.how("  no such descriptor", 9999, "/sub/file", openHow{resolve: uint64(limit)})
		}
		s.how("made through a link", dir, "up", openHow{flags: syscall.O_CREAT | syscall.O_RDWR, mode: 0o600, resolve: uint64(resolveBeneath)})
		s.how("made", dir, "sub/new", openHow{flags: syscall.O_CREAT | syscall.O_EXCL | syscall.O_RDWR, mode: 0o600, resolve: uint64(resolveBeneath)})
		s.how("cached", dir, "sub/file", openHow{resolve: uint64(resolveCached)})
		s.how("cached and made", dir, "sub/file", openHow{flags: syscall.O_CREAT, mode: 0o600, resolve: uint64(resolveCached)})
	}},
	{"files without a name", func(s *system) {
		dir := s.open(s.dir, syscall.O_DIRECTORY)
		for _, excl := range []int{0, syscall.O_EXCL} {
			fd := s.must(syscall.SYS_OPENAT, dir, ".", oTmpfile|syscall.O_RDWR|excl, 0o600)
			s.try("link", syscall.SYS_LINKAT, fd, "", dir, "name", atEmptyPath)
			s.try("another", syscall.SYS_LINKAT, fd, "", dir, "other", atEmptyPath)
			s.try("unlink", syscall.SYS_UNLINK, s.p("name"))
			s.try("unlink", syscall.SYS_UNLINK, s.p("other"))
			s.try("and again", syscall.SYS_LINKAT, fd, "", dir, "name", atEmptyPath)
		}
		memfd := s.must(319, "m", 0)
		s.try("a memfd", syscall.SYS_LINKAT, memfd, "", dir, "m", atEmptyPath)
	}},
	{"seals", func(s *system) {
		add := func(what string, fd int, seals uint32) {
			s.try(what, syscall.SYS_FCNTL, fd, fAddSeals, int(seals))
			s.value("  seals", syscall.SYS_FCNTL, fd, fGetSeals, 0)
		}
		memfd := func(flags int) int { return s.must(319, "m", flags) }
		add("not sealable", memfd(0), sealWrite)
		for _, seal := range []uint32{sealShrink, sealGrow, sealWrite, sealFutureWrite, sealExec} {
			s.note("seal %d", seal)
			fd := memfd(2)
			s.write(fd, "0123456789")
			add("unknown", fd, 0x80)
			add("add", fd, seal)
			s.value("write inside", syscall.SYS_PWRITE64, fd, []byte("x"), 1, 5)
			s.value("write at the end", syscall.SYS_PWRITE64, fd, []byte("xy"), 2, 9)
			s.value("write nothing", syscall.SYS_PWRITE64, fd, []byte("xy"), 0, 0)
			s.try("shrink", syscall.SYS_FTRUNCATE, fd, 5)
			s.try("grow", syscall.SYS_FTRUNCATE, fd, 50)
			s.try("same size", syscall.SYS_FTRUNCATE, fd, int(s.size(fd)))
			s.try("allocate", syscall.SYS_FALLOCATE, fd, 0, 0, 5000)
			s.try("allocate and keep the size", syscall.SYS_FALLOCATE, fd, fallocKeepSize, 0, 9000)
			s.try("punch", syscall.SYS_FALLOCATE, fd, fallocPunchHole|fallocKeepSize, 0, 1)
			s.try("chmod x", syscall.SYS_FCHMOD, fd, 0o600)
			s.try("chmod", syscall.SYS_FCHMOD, fd, 0o700)
			add("another", fd, sealShrink)
			add("no more", fd, sealSeal)
			add("after that", fd, sealGrow)
		}
		ro := s.must(319, "m", 2)
		add("read-only", s.must(syscall.SYS_OPEN, fmt.Sprintf("/proc/self/fd/%d", ro), syscall.O_RDONLY, 0), sealWrite)
		noexec := memfd(8)
		s.value("no exec", syscall.SYS_FCNTL, noexec, fGetSeals, 0)
		s.try("chmod", syscall.SYS_FCHMOD, noexec, 0o755)
		s.try("both", 319, "m", 8|16)
		s.try("unknown flag", 319, "m", 0x40)
		s.try("size without huge pages", 319, "m", 1<<26)
	}},
	{"a process as a file", func(s *system) {
		self := s.must(syscall.SYS_GETPID)
		fd := s.must(434, self, 0)
		for _, a := range [][2]int{{0, 0}, {-1, 0}, {9999999, 0}, {self, 1}, {self, pidfdNonblock}, {self, pidfdThread}} {
			if fd := s.try("open", 434, a[0], a[1]); fd >= 0 {
				s.note("%x", s.must(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0))
				s.note("%x", s.must(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0))
			}
		}
		for _, a := range [][3]int{{fd, 0, 0}, {fd, 99, 0}, {1, 0, 0}, {fd, 0, 8}, {fd, 0, 1}, {fd, 0, 2}, {fd, 0, 3}, {9999, 0, 0}} {
			s.try("send", 424, a[0], a[1], uintptr(0), a[2])
		}
		s.try("other signal", 424, fd, 0, unsafe.Pointer(&SignalInfo{Signo: 5, Code: -1}), 0)
		s.try("to /proc/self", 424, s.open("/proc/self", syscall.O_RDONLY), 0, uintptr(0), 0)
		s.try("to another folder", 424, s.open(s.dir, syscall.O_RDONLY), 0, uintptr(0), 0)
		got := s.try("get", 438, fd, 1, 0)
		s.note("%x", s.must(syscall.SYS_FCNTL, got, syscall.F_GETFD, 0))
		s.try("get missing", 438, fd, 9999, 0)
		s.try("get from no process", 438, 1, 1, 0)
		s.try("get flags", 438, fd, 1, 1)
		s.try("read", syscall.SYS_READ, fd, make([]byte, 8), 8)
		s.try("write", syscall.SYS_WRITE, fd, make([]byte, 8), 8)
		s.try("seek", syscall.SYS_LSEEK, fd, 0, 0)
		epollSystem{s}.poll("poll", fd)
	}},
	{"seek in files without a position", func(s *system) {
		r, _ := s.pipe(0)
		for _, fd := range []int{
			s.must(syscall.SYS_EVENTFD2, 0, 0), s.must(syscall.SYS_TIMERFD_CREATE, clockMonotonic, 0),
			s.must(syscall.SYS_INOTIFY_INIT1, syscall.O_NONBLOCK), s.must(syscall.SYS_EPOLL_CREATE1, 0), r,
		} {
			s.value("set", syscall.SYS_LSEEK, fd, 5, SeekSet)
			s.value("hole", syscall.SYS_LSEEK, fd, 5, SeekHole)
			s.value("whence", syscall.SYS_LSEEK, fd, 5, 9)
			s.value("pread", syscall.SYS_PREAD64, fd, make([]byte, 8), 8, 0)
		}
	}},
	{"statx says the mount", func(s *system) {
		mount := func(what, path string, mask uint32) uint64 {
			var x statxBuf
			s.try(what, 332, s.open(s.dir, 0), path, 0, int(mask), unsafe.Pointer(&x))
			s.note("%#x %v", x.mask&0x5000, x.mntID != 0)
			return x.mntID
		}
		dir := mount("folder", ".", 0x1000)
		s.note("%v %v", mount("proc", "/proc/self/status", 0x1000) != dir, mount("file", s.dir, 0x1000) == dir)
		mount("unique", ".", 0x4000)
		mount("both", ".", 0x5000)
		mount("neither", ".", 1)
	}},
	{"copies from /proc", func(s *system) {
		to := s.open(s.p("to"), syscall.O_CREAT|syscall.O_RDWR)
		for _, path := range []string{"/proc/self/status", "/proc/self/mountinfo", "/proc/version", "/sys/devices/system/cpu/online"} {
			from := s.open(path, syscall.O_RDONLY)
			s.try("copy_file_range", 326, from, uintptr(0), to, uintptr(0), 100, 0)
			s.try("sendfile", syscall.SYS_SENDFILE, to, from, uintptr(0), 5)
		}
		other := s.open(s.p("other"), syscall.O_CREAT|syscall.O_RDWR)
		s.value("same file system", 326, to, uintptr(0), other, uintptr(0), 10, 0)
	}},
}
