package kernel

import (
	"fmt"
	"strings"
	"syscall"
	"unsafe"
)

var nameScripts = []script{
	{"mkdir and rmdir", func(s *system) {
		s.try("mkdir", syscall.SYS_MKDIR, s.p("d"), 0o777)
		s.noteStat("d", s.p("d"))
		s.noteStat("parent", s.dir)
		s.try("again", syscall.SYS_MKDIR, s.p("d"), 0o777)
		s.try("slash", syscall.SYS_MKDIR, s.p("e/"), 0o777)
		s.try("deep", syscall.SYS_MKDIR, s.p("x/y"), 0o777)
		s.try("dot", syscall.SYS_MKDIR, s.p("d/."), 0o777)
		s.try("rmdir dot", syscall.SYS_RMDIR, s.p("d/."))
		s.try("rmdir dotdot", syscall.SYS_RMDIR, s.p("d/.."))
		s.writeFile(s.p("d/f"), "")
		s.try("not empty", syscall.SYS_RMDIR, s.p("d"))
		s.try("file", syscall.SYS_RMDIR, s.p("d/f"))
		s.try("unlink dir", syscall.SYS_UNLINK, s.p("d"))
		s.try("unlink slash", syscall.SYS_UNLINK, s.p("d/f/"))
		s.try("unlink", syscall.SYS_UNLINK, s.p("d/f"))
		s.try("unlink missing", syscall.SYS_UNLINK, s.p("d/f"))
		s.try("rmdir", syscall.SYS_UNLINKAT, atFdCwd, s.p("d"), atRemovedir)
		s.try("flags", syscall.SYS_UNLINKAT, atFdCwd, s.p("e"), 1)
		s.try("root", syscall.SYS_RMDIR, "/")
		s.noteStat("parent", s.dir)
	}},
	{"removed directory", func(s *system) {
		s.must(syscall.SYS_MKDIR, s.p("d"), 0o777)
		fd := s.open(s.p("d"), 0)
		s.must(syscall.SYS_RMDIR, s.p("d"))
		s.try("create in it", syscall.SYS_OPENAT, fd, "x", syscall.O_CREAT|syscall.O_RDWR, 0o666)
		s.try("mkdir in it", syscall.SYS_MKDIRAT, fd, "x", 0o666)
		s.value("list", syscall.SYS_GETDENTS64, fd, make([]byte, 100), 100)
	}},
	{"rename", func(s *system) {
		s.writeFile(s.p("a"), "a")
		s.writeFile(s.p("b"), "b")
		s.must(syscall.SYS_MKDIR, s.p("d"), 0o755)
		s.must(syscall.SYS_MKDIR, s.p("e"), 0o755)
		s.writeFile(s.p("e/x"), "")
		s.try("over", syscall.SYS_RENAME, s.p("a"), s.p("b"))
		s.note("%q %s", s.readFile(s.p("b")), s.names(s.dir))
		s.try("same", syscall.SYS_RENAME, s.p("b"), s.p("b"))
		s.try("missing", syscall.SYS_RENAME, s.p("a"), s.p("c"))
		s.try("file over dir", syscall.SYS_RENAME, s.p("b"), s.p("d"))
		s.try("dir over file", syscall.SYS_RENAME, s.p("d"), s.p("b"))
		s.try("dir over full", syscall.SYS_RENAME, s.p("d"), s.p("e"))
		s.try("dir over empty", syscall.SYS_RENAME, s.p("e"), s.p("d"))
		s.try("into itself", syscall.SYS_RENAME, s.p("d"), s.p("d/sub"))
		s.try("over ancestor", syscall.SYS_RENAME, s.p("d/x"), s.p("d"))
		s.try("into dir", syscall.SYS_RENAME, s.p("b"), s.p("d/b"))
		s.try("slash", syscall.SYS_RENAME, s.p("d/b/"), s.p("z"))
		s.try("to slash", syscall.SYS_RENAME, s.p("d/b"), s.p("z/"))
		s.try("dir to slash", syscall.SYS_RENAME, s.p("d"), s.p("z/"))
		s.try("dot", syscall.SYS_RENAME, s.p("z/."), s.p("y"))
		s.note("%s | %s", s.names(s.dir), s.names(s.p("z")))
		s.noteStat("z", s.p("z"))
		s.noteStat("parent", s.dir)
	}},
	{"renameat2", func(s *system) {
		s.writeFile(s.p("a"), "a")
		s.must(syscall.SYS_MKDIR, s.p("d"), 0o755)
		s.writeFile(s.p("d/b"), "b")
		s.try("noreplace", nrRenameat2, atFdCwd, s.p("a"), atFdCwd, s.p("d/b"), renameNoReplace)
		s.try("exchange", nrRenameat2, atFdCwd, s.p("a"), atFdCwd, s.p("d/b"), renameExchange)
		s.note("%q %q", s.readFile(s.p("a")), s.readFile(s.p("d/b")))
		s.try("exchange types", nrRenameat2, atFdCwd, s.p("a"), atFdCwd, s.p("d"), renameExchange)
		s.note("%s", s.names(s.dir))
		s.try("exchange missing", nrRenameat2, atFdCwd, s.p("a"), atFdCwd, s.p("zz"), renameExchange)
		s.try("both", nrRenameat2, atFdCwd, s.p("a"), atFdCwd, s.p("d"), 3)
		s.try("free", nrRenameat2, atFdCwd, s.p("a"), atFdCwd, s.p("new"), renameNoReplace)
		s.noteStat("parent", s.dir)
	}},
	{"links", func(s *system) {
		s.writeFile(s.p("f"), "x")
		s.try("link", syscall.SYS_LINK, s.p("f"), s.p("g"))
		s.noteStat("f", s.p("f"))
		s.try("again", syscall.SYS_LINK, s.p("f"), s.p("g"))
		s.try("dir", syscall.SYS_LINK, s.dir, s.p("h"))
		s.try("rename to itself", syscall.SYS_RENAME, s.p("f"), s.p("g"))
		s.note("%s", s.names(s.dir))
		s.try("unlink", syscall.SYS_UNLINK, s.p("f"))
		s.noteStat("g", s.p("g"))
		s.try("to symlink", syscall.SYS_SYMLINK, "g", s.p("l"))
		s.try("link symlink", syscall.SYS_LINK, s.p("l"), s.p("l2"))
		s.noteStat("l2", s.p("l2"))
		s.try("follow", syscall.SYS_LINKAT, atFdCwd, s.p("l"), atFdCwd, s.p("l3"), atSymlinkFollow)
		s.noteStat("l3", s.p("l3"))
		s.try("other file system", syscall.SYS_LINK, "/proc/version", s.p("v"))
	}},
	{"symlinks", func(s *system) {
		s.try("make", syscall.SYS_SYMLINK, "target", s.p("l"))
		s.try("empty", syscall.SYS_SYMLINK, "", s.p("m"))
		s.try("exists", syscall.SYS_SYMLINK, "x", s.p("l"))
		b := make([]byte, 10)
		s.value("read", syscall.SYS_READLINK, s.p("l"), b, 10)
		s.note("%q", b)
		s.value("short", syscall.SYS_READLINK, s.p("l"), b, 3)
		s.value("zero", syscall.SYS_READLINK, s.p("l"), b, 0)
		s.value("dir", syscall.SYS_READLINK, s.dir, b, 10)
		s.try("dangling", syscall.SYS_OPEN, s.p("l"), 0, 0)
		s.try("exclusive", syscall.SYS_OPEN, s.p("l"), syscall.O_CREAT|syscall.O_EXCL|syscall.O_RDWR, 0o666)
		s.try("create through", syscall.SYS_OPEN, s.p("l"), syscall.O_CREAT|syscall.O_RDWR, 0o666)
		s.note("%s", s.names(s.dir))
		s.try("nofollow", syscall.SYS_OPEN, s.p("l"), syscall.O_NOFOLLOW, 0)
		s.try("mkdir on link", syscall.SYS_MKDIR, s.p("l"), 0o777)
		s.must(syscall.SYS_SYMLINK, "b", s.p("a"))
		s.must(syscall.SYS_SYMLINK, "a", s.p("b"))
		s.try("loop", syscall.SYS_OPEN, s.p("a"), 0, 0)
		s.try("loop inside", syscall.SYS_OPEN, s.p("a/x"), 0, 0)
		s.must(syscall.SYS_MKDIR, s.p("d"), 0o755)
		s.must(syscall.SYS_SYMLINK, "d", s.p("dl"))
		s.try("through", syscall.SYS_OPEN, s.p("dl/x"), syscall.O_CREAT|syscall.O_RDWR, 0o666)
		s.try("up", syscall.SYS_OPEN, s.p("dl/../d/x"), 0, 0)
		s.try("rmdir link", syscall.SYS_RMDIR, s.p("dl"))
		s.try("unlink link slash", syscall.SYS_UNLINK, s.p("dl/"))
		s.noteStat("slash", s.p("dl/"))
		for i := range 42 {
			s.must(syscall.SYS_SYMLINK, fmt.Sprintf("c%d", i+1), s.p(fmt.Sprintf("c%d", i)))
		}
		s.must(syscall.SYS_SYMLINK, "target", s.p("c42"))
		s.try("41 links", syscall.SYS_OPEN, s.p("c2"), 0, 0)
		s.try("40 links", syscall.SYS_OPEN, s.p("c4"), 0, 0)
		s.try("39 links", syscall.SYS_OPEN, s.p("c5"), 0, 0)
	}},
	{"mknod", func(s *system) {
		s.try("fifo", syscall.SYS_MKNOD, s.p("fifo"), syscall.S_IFIFO|0o644, 0)
		s.try("sock", syscall.SYS_MKNOD, s.p("sock"), syscall.S_IFSOCK|0o644, 0)
		s.try("file", syscall.SYS_MKNOD, s.p("file"), 0o644, 0)
		s.try("dir", syscall.SYS_MKNOD, s.p("dir"), syscall.S_IFDIR|0o644, 0)
		for _, n := range []string{"fifo", "sock", "file"} {
			s.noteStat(n, s.p(n))
		}
		s.try("open sock", syscall.SYS_OPEN, s.p("sock"), 0, 0)
		s.try("write fifo alone", syscall.SYS_OPEN, s.p("fifo"), syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
		r := s.try("read fifo", syscall.SYS_OPEN, s.p("fifo"), syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
		s.value("empty", syscall.SYS_READ, r, make([]byte, 5), 5)
		w := s.try("write fifo", syscall.SYS_OPEN, s.p("fifo"), syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
		s.value("again", syscall.SYS_READ, r, make([]byte, 5), 5)
		s.write(w, "hi")
		s.note("%q", s.read(r, 5))
	}},
	{"directories", func(s *system) {
		for i := range 50 {
			s.writeFile(s.p(fmt.Sprintf("file%02d", i)), "")
		}
		s.must(syscall.SYS_MKDIR, s.p("dir"), 0o755)
		s.note("%s", s.names(s.dir))
		fd := s.open(s.dir, 0)
		s.value("small buffer", syscall.SYS_GETDENTS64, fd, make([]byte, 10), 10)
		s.value("seek", syscall.SYS_LSEEK, fd, 0, 0)
		s.value("file", syscall.SYS_GETDENTS64, s.open(s.p("file00"), 0), make([]byte, 1000), 1000)
		s.value("write", syscall.SYS_WRITE, fd, []byte("x"), 1)
		// Removing names while reading: no name is missed.
		removed := 0
		buf := make([]byte, 200)
		for {
			n := s.must(syscall.SYS_GETDENTS64, fd, buf, len(buf))
			if n == 0 {
				break
			}
			for b := buf[:n]; len(b) > 0; {
				size := int(b[16]) | int(b[17])<<8
				name, _, _ := strings.Cut(string(b[19:size]), "\x00")
				if strings.HasPrefix(name, "file") {
					s.must(syscall.SYS_UNLINKAT, fd, name, 0)
					removed++
				}
				b = b[size:]
			}
		}
		s.note("%d removed, left: %s", removed, s.names(s.dir))
	}},
	{"working directory", func(s *system) {
		b := make([]byte, 4096)
		old := make([]byte, 4096)
		s.must(syscall.SYS_GETCWD, old, len(old))
		defer s.must(syscall.SYS_CHDIR, old)
		s.must(syscall.SYS_MKDIR, s.p("d"), 0o755)
		s.try("chdir", syscall.SYS_CHDIR, s.p("d"))
		n := s.must(syscall.SYS_GETCWD, b, len(b))
		s.note("%v", string(b[:n-1]) == s.p("d"))
		s.value("small", syscall.SYS_GETCWD, b, 3)
		s.writeFile("f", "x")
		s.noteStat("f", s.p("d/f"))
		s.noteStat("..", "../d/f")
		s.must(syscall.SYS_RENAME, s.p("d"), s.p("e"))
		n = s.must(syscall.SYS_GETCWD, b, len(b))
		s.note("%v", string(b[:n-1]) == s.p("e"))
		s.try("chdir file", syscall.SYS_CHDIR, "f")
		s.try("chdir missing", syscall.SYS_CHDIR, "g")
		s.try("fchdir file", syscall.SYS_FCHDIR, s.open("f", 0))
		s.must(syscall.SYS_UNLINK, "f")
		s.must(syscall.SYS_RMDIR, s.p("e"))
		s.value("gone", syscall.SYS_GETCWD, b, len(b))
		s.try("create", syscall.SYS_OPEN, "x", syscall.O_CREAT|syscall.O_RDWR, 0o666)
		s.try("fchdir", syscall.SYS_FCHDIR, s.open("/", 0))
		n = s.must(syscall.SYS_GETCWD, b, len(b))
		s.note("%q", b[:n])
		s.noteStat("above root", "/../../dev/null")
	}},
	{"umask", func(s *system) {
		s.value("set", syscall.SYS_UMASK, 0o077)
		s.writeFile(s.p("f"), "")
		s.noteStat("f", s.p("f"))
		s.value("reset", syscall.SYS_UMASK, 0o022)
	}},
	{"sticky and setgid", func(s *system) {
		s.must(syscall.SYS_MKDIR, s.p("d"), 0o755)
		s.must(syscall.SYS_CHOWN, s.p("d"), 0, 77)
		s.must(syscall.SYS_CHMOD, s.p("d"), 0o2775)
		s.must(syscall.SYS_MKDIR, s.p("d/e"), 0o755)
		s.noteStat("e", s.p("d/e"))
		st, _ := s.stat(s.p("d/e"))
		s.note("gid %d", st.Gid)
	}},
	{"statfs", func(s *system) {
		st := new(syscall.Statfs_t)
		s.try("dir", syscall.SYS_STATFS, s.dir, unsafe.Pointer(st))
		s.note("%d %v", st.Namelen, st.Bavail > 0)
		s.try("missing", syscall.SYS_STATFS, s.p("zz"), unsafe.Pointer(st))
		s.try("proc", syscall.SYS_STATFS, "/proc", unsafe.Pointer(st))
		s.note("%x", st.Type)
	}},
}
