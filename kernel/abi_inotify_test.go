package kernel

import (
	"strings"
	"syscall"
	"unsafe"
)

// watcher is an inotify instance of a script.
type watcher struct {
	*system
	in    int
	names map[int]string
}

func newWatcher(s *system) *watcher {
	return &watcher{s, s.must(syscall.SYS_INOTIFY_INIT1, syscall.O_NONBLOCK), map[int]string{}}
}

func (w *watcher) watch(name string, mask uint32) {
	wd := w.value("watch "+name, syscall.SYS_INOTIFY_ADD_WATCH, w.in, w.p(name), int(mask))
	w.names[wd] = name
}

var inotifyBits = []struct {
	bit  uint32
	name string
}{
	{inAccess, "access"}, {inModify, "modify"}, {inAttrib, "attrib"}, {inCloseWrite, "close-write"}, {inCloseRead, "close"},
	{inOpen, "open"}, {inMovedFrom, "from"}, {inMovedTo, "to"}, {inCreate, "create"}, {inDelete, "delete"},
	{inDeleteSelf, "delete-self"}, {inMoveSelf, "move-self"}, {inIgnored, "ignored"}, {inIsDir, "dir"}, {inOverflow, "overflow"},
}

// events logs what the instance has after a call.
func (w *watcher) events(what string) {
	w.note("%s", what)
	b := make([]byte, 8192)
	for {
		n, e := w.call(syscall.SYS_READ, w.in, b, len(b))
		if e != 0 {
			return
		}
		for p := b[:n]; len(p) > 0; {
			head, size := get64(p), get64(p[8:])>>32
			name, _, _ := strings.Cut(string(p[16:16+size]), "\x00")
			var bits []string
			for _, b := range inotifyBits {
				if uint32(head>>32)&b.bit != 0 {
					bits = append(bits, b.name)
				}
			}
			w.note("  %s %q %s cookie %v", w.names[int(int32(head))], name, strings.Join(bits, "|"), uint32(get64(p[8:])) != 0)
			p = p[16+size:]
		}
	}
}

func inotifyScript(name string, run func(w *watcher)) script {
	return script{name, func(s *system) { run(newWatcher(s)) }}
}

func (w *watcher) make(name, text string) {
	fd := w.open(w.p(name), syscall.O_CREAT|syscall.O_WRONLY)
	w.write(fd, text)
	w.close(fd)
}

var inotifyScripts = []script{
	inotifyScript("events of data", func(w *watcher) {
		w.make("f", "0123456789")
		w.watch(".", inAllEvents)
		w.watch("f", inAllEvents)
		fd := w.open(w.p("f"), syscall.O_RDWR)
		w.events("open")
		w.read(fd, 4)
		w.events("read")
		w.read(fd, 100)
		w.read(fd, 100)
		w.events("read to the end, and there")
		w.must(syscall.SYS_PREAD64, fd, make([]byte, 4), 4, 0)
		w.events("pread")
		w.write(fd, "x")
		w.events("write")
		w.must(syscall.SYS_PWRITE64, fd, make([]byte, 4), 4, 0)
		w.events("pwrite")
		w.must(syscall.SYS_FTRUNCATE, fd, 3)
		w.events("ftruncate")
		w.must(syscall.SYS_FTRUNCATE, fd, 3)
		w.events("ftruncate to the same")
		w.must(syscall.SYS_TRUNCATE, w.p("f"), 7)
		w.events("truncate")
		w.must(syscall.SYS_FALLOCATE, fd, 0, 0, 100)
		w.events("fallocate")
		w.must(syscall.SYS_FSYNC, fd)
		w.events("fsync")
		other := w.open(w.p("f"), syscall.O_RDONLY)
		w.events("open again")
		at := int64(50)
		w.must(326, other, uintptr(0), fd, unsafe.Pointer(&at), 3, 0)
		w.events("copy_file_range")
		w.close(other)
		w.events("close read-only")
		w.close(fd)
		w.events("close")
		w.close(w.open(w.p("f"), syscall.O_WRONLY|syscall.O_TRUNC))
		w.events("open with O_TRUNC")
		w.close(w.open(w.p("f"), oPath))
		w.events("O_PATH")
		w.close(w.open(w.p("g"), syscall.O_CREAT|syscall.O_RDWR))
		w.events("create")
	}),
	inotifyScript("events of attributes", func(w *watcher) {
		w.make("f", "x")
		w.watch(".", inAllEvents)
		w.watch("f", inAllEvents)
		w.must(syscall.SYS_CHMOD, w.p("f"), 0o600)
		w.events("chmod")
		w.must(syscall.SYS_CHOWN, w.p("f"), 0, 0)
		w.events("chown")
		w.must(syscall.SYS_CHOWN, w.p("f"), -1, -1)
		w.events("chown nothing")
		both := [2]syscall.Timespec{{Sec: 1}, {Sec: 2}}
		w.must(syscall.SYS_UTIMENSAT, -100, w.p("f"), unsafe.Pointer(&both[0]), 0)
		w.events("both times")
		atime := [2]syscall.Timespec{{Sec: 1}, {Nsec: utimeOmit}}
		w.must(syscall.SYS_UTIMENSAT, -100, w.p("f"), unsafe.Pointer(&atime[0]), 0)
		w.events("atime")
		mtime := [2]syscall.Timespec{{Nsec: utimeOmit}, {Sec: 1}}
		w.must(syscall.SYS_UTIMENSAT, -100, w.p("f"), unsafe.Pointer(&mtime[0]), 0)
		w.events("mtime")
		none := [2]syscall.Timespec{{Nsec: utimeOmit}, {Nsec: utimeOmit}}
		w.must(syscall.SYS_UTIMENSAT, -100, w.p("f"), unsafe.Pointer(&none[0]), 0)
		w.events("no time")
		w.must(syscall.SYS_CHMOD, w.dir, 0o755)
		w.events("chmod of the folder")
	}),
	inotifyScript("events of names", func(w *watcher) {
		w.make("f", "x")
		w.make("over", "y")
		w.must(syscall.SYS_MKDIR, w.p("d"), 0o755)
		for _, name := range []string{".", "f", "d", "over"} {
			w.watch(name, inAllEvents)
		}
		w.must(syscall.SYS_LINK, w.p("f"), w.p("g"))
		w.events("link")
		w.must(syscall.SYS_UNLINK, w.p("g"))
		w.events("unlink of a link")
		w.must(syscall.SYS_SYMLINK, "f", w.p("l"))
		w.events("symlink")
		w.must(syscall.SYS_UNLINK, w.p("l"))
		w.events("unlink of it")
		w.must(syscall.SYS_MKNOD, w.p("p"), syscall.S_IFIFO|0o600, 0)
		w.events("mknod")
		w.must(syscall.SYS_MKDIR, w.p("e"), 0o755)
		w.events("mkdir")
		w.must(syscall.SYS_RENAME, w.p("f"), w.p("d/f"))
		w.events("rename to another folder")
		w.must(syscall.SYS_RENAME, w.p("d/f"), w.p("over"))
		w.events("rename over a file")
		w.must(syscall.SYS_RENAME, w.p("e"), w.p("d/e"))
		w.events("rename of a folder")
		w.must(316, -100, w.p("over"), -100, w.p("d"), 2)
		w.events("exchange")
		w.must(syscall.SYS_RMDIR, w.p("over/e"))
		w.events("rmdir in it")
		w.must(syscall.SYS_RMDIR, w.p("over"))
		w.events("rmdir")
		w.must(syscall.SYS_UNLINK, w.p("d"))
		w.events("unlink")
	}),
	inotifyScript("a folder is read", func(w *watcher) {
		w.must(syscall.SYS_MKDIR, w.p("d"), 0o755)
		w.watch(".", inAllEvents)
		w.watch("d", inAllEvents)
		fd := w.open(w.p("d"), syscall.O_DIRECTORY)
		w.events("open")
		w.must(syscall.SYS_GETDENTS64, fd, make([]byte, 1024), 1024)
		w.must(syscall.SYS_GETDENTS64, fd, make([]byte, 1024), 1024)
		w.events("getdents")
		w.close(fd)
		w.events("close")
		fd = w.open(w.p("d"), syscall.O_DIRECTORY)
		w.must(syscall.SYS_RMDIR, w.p("d"))
		w.events("rmdir of an open one")
		w.close(fd)
		w.events("its close")
	}),
	inotifyScript("files without a name that are open", func(w *watcher) {
		w.make("f", "x")
		w.watch(".", inAllEvents)
		w.watch("f", inAllEvents)
		fd := w.open(w.p("f"), syscall.O_RDWR)
		other := w.must(syscall.SYS_DUP, fd)
		w.must(syscall.SYS_UNLINK, w.p("f"))
		w.events("unlink")
		w.write(fd, "more")
		w.events("write")
		w.close(other)
		w.events("close of a duplicate")
		w.close(fd)
		w.events("close")
		w.make("f", "x")
		w.events("new file")
		fd = w.open(w.p("f"), syscall.O_RDWR)
		w.make("g", "y")
		w.watch("f", inAllEvents)
		w.must(syscall.SYS_RENAME, w.p("g"), w.p("f"))
		w.events("rename over an open file")
		w.close(fd)
		w.events("its close")
	}),
	inotifyScript("watches", func(w *watcher) {
		w.make("f", "x")
		w.must(syscall.SYS_SYMLINK, "f", w.p("l"))
		w.watch("f", inOpen|inOneshot)
		w.close(w.open(w.p("f"), syscall.O_RDONLY))
		w.close(w.open(w.p("f"), syscall.O_RDONLY))
		w.events("oneshot")
		w.watch("l", inAllEvents)
		w.watch("l", inAllEvents|inDontFollow)
		w.watch("l", inOnlyDir|inOpen)
		w.watch("f", inOnlyDir)
		w.watch(".", inOnlyDir)
		w.watch("f", inMaskAdd|inMaskCreate|inOpen)
		w.watch("f", inMaskCreate|inOpen)
		w.watch("f", 0)
		w.watch("f", inIsDir)
		w.watch("f", 1<<20)
		w.watch("missing", inOpen)
		w.try("no instance", syscall.SYS_INOTIFY_ADD_WATCH, 0, w.p("f"), inOpen)
		w.try("no descriptor", syscall.SYS_INOTIFY_ADD_WATCH, 9999, w.p("f"), inOpen)
		w.watch("f", inModify)
		w.close(w.open(w.p("f"), syscall.O_RDONLY))
		w.events("mask replaced")
		w.watch("f", inOpen|inMaskAdd)
		w.close(w.open(w.p("f"), syscall.O_WRONLY|syscall.O_TRUNC))
		w.events("mask added to")
		w.try("no such watch", syscall.SYS_INOTIFY_RM_WATCH, w.in, 999)
		for wd, name := range w.names {
			if name == "f" && wd > 1 {
				w.try("remove", syscall.SYS_INOTIFY_RM_WATCH, w.in, wd)
			}
		}
		w.events("removed")
	}),
	inotifyScript("events are joined", func(w *watcher) {
		w.make("f", "x")
		w.make("g", "x")
		w.watch(".", inModify|inMovedFrom|inMovedTo|inExclUnlink)
		f, g := w.open(w.p("f"), syscall.O_RDWR), w.open(w.p("g"), syscall.O_RDWR)
		w.write(f, "1")
		w.write(f, "2")
		w.write(g, "1")
		w.write(f, "3")
		w.events("writes")
		w.must(syscall.SYS_UNLINK, w.p("f"))
		w.write(f, "4")
		w.events("a write without a name is left out")
		n := new(int32)
		w.write(g, "1")
		w.must(syscall.SYS_IOCTL, w.in, fionread, unsafe.Pointer(n))
		w.note("%d bytes", *n)
		w.try("small buffer", syscall.SYS_READ, w.in, make([]byte, 20), 20)
		w.events("all")
	}),
}
