package kernel

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// ownNumbers are what fdinfo tells that no two systems share: IDs, inode and device numbers.
var ownNumbers = regexp.MustCompile(`(ino|sdev|mnt_id|eventfd-id):\s*[0-9a-f]+ ?`)

// handles are file handles (name_to_handle_at(2)), which not all systems have.
var handles = regexp.MustCompile(` fhandle-.*`)

// timeLeft is what a timer has until it expires.
var timeLeft = regexp.MustCompile(`it_value: \([0-9]+, [0-9]+\)`)

// noteInfo logs what /proc/self/fdinfo says of a descriptor.
func (s *system) noteInfo(what string, fd int) {
	text := s.readFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	text = handles.ReplaceAllString(text, "")
	text = strings.ReplaceAll(ownNumbers.ReplaceAllString(text, "$1: "), fmt.Sprintf("tfd: %8d", fd-1), "tfd")
	s.note("%s: %q", what, text)
}

var procScripts = []script{
	{"what fdinfo says of files without a name", func(s *system) {
		ev := s.must(syscall.SYS_EVENTFD2, 0x1234, 1) // EFD_SEMAPHORE
		s.noteInfo("eventfd", ev)
		ep := s.must(syscall.SYS_EPOLL_CREATE1, 0)
		if ep != ev+1 {
			s.Fatalf("descriptors %d and %d are not neighbours", ev, ep)
		}
		s.must(syscall.SYS_EPOLL_CTL, ep, syscall.EPOLL_CTL_ADD, ev, unsafe.Pointer(&epollEvent{events: uint32(EventIn), data: [2]uint32{7, 9}}))
		s.noteInfo("epoll", ep)
		in := s.must(syscall.SYS_INOTIFY_INIT1, 0)
		s.must(syscall.SYS_INOTIFY_ADD_WATCH, in, s.dir, syscall.IN_CREATE|syscall.IN_ONLYDIR)
		s.noteInfo("inotify", in)
		s.noteInfo("file", s.open(s.dir+"/f", syscall.O_CREAT|syscall.O_RDWR))
		timer := s.must(syscall.SYS_TIMERFD_CREATE, clockBoottime, 0)
		s.noteInfo("timer", timer)
		spec := &itimerspec{interval: syscall.Timespec{Sec: 1000, Nsec: 5}, value: syscall.Timespec{Sec: 1 << 30}}
		s.must(syscall.SYS_TIMERFD_SETTIME, timer, timerAbstime, unsafe.Pointer(spec), 0)
		info := s.readFile(fmt.Sprintf("/proc/self/fdinfo/%d", timer))
		s.note("%q", timeLeft.ReplaceAllString(ownNumbers.ReplaceAllString(info, "$1: "), "it_value: some"))
	}},
	{"files of a process", func(s *system) {
		st := new(syscall.Stat_t)
		for _, f := range []string{"environ", "io", "mountstats", "fd", "fdinfo", "task", "stat", "maps", "comm", "cwd", "ns/net"} {
			if s.value(f, syscall.SYS_LSTAT, "/proc/self/"+f, unsafe.Pointer(st)) >= 0 {
				s.note("%o, blocks of %d, some size: %v", st.Mode, st.Blksize, st.Size != 0)
			}
		}
	}},
	{"what io counts", func(s *system) {
		fd := s.open(s.dir+"/f", syscall.O_CREAT|syscall.O_RDWR)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		before, size := s.ioCounts()
		s.write(fd, "0123456789")
		s.must(syscall.SYS_PWRITE64, fd, []byte("abc"), 3, 20)
		s.must(syscall.SYS_PREAD64, fd, make([]byte, 100), 100, 0)
		s.must(syscall.SYS_READ, fd, make([]byte, 4), 4)
		out := s.open(s.dir+"/g", syscall.O_CREAT|syscall.O_RDWR)
		s.must(syscall.SYS_LSEEK, fd, 0, SeekSet)
		s.must(syscall.SYS_SENDFILE, out, fd, 0, 5)
		s.must(nrCopyFileRange, fd, 0, out, 0, 6, 0)
		s.call(syscall.SYS_READ, fd, make([]byte, 1000), 1000)
		after, _ := s.ioCounts()
		after[0] -= size
		for i, name := range []string{"rchar", "wchar", "syscr", "syscw"} {
			s.note("%s %d", name, after[i]-before[i])
		}
	}},
}

// ioCounts reads the first numbers of the thread's io in one call, which is counted next time.
func (s *system) ioCounts() (n [4]int, size int) {
	fd := s.open("/proc/thread-self/io", syscall.O_RDONLY)
	defer s.close(fd)
	b := make([]byte, 4096)
	size = s.must(syscall.SYS_READ, fd, b, len(b))
	fmt.Sscanf(string(b[:size]), "rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d", &n[0], &n[1], &n[2], &n[3])
	return n, size
}
