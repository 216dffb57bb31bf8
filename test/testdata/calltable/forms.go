package main

import (
	"syscall"
	"unsafe"
)

const (
	atFdCwd = -100

	anonymous = syscall.MAP_PRIVATE | syscall.MAP_ANON
	readWrite = syscall.PROT_READ | syscall.PROT_WRITE
	page      = 4096

	attribute = "user.test"
)

// ids are arguments that change no IDs.
var ids = with(0, 0, 0)

// forms has, for each call that is served in part, one form that the table's note does not exclude.
var forms = map[string]func(nr uintptr) syscall.Errno{
	"open":       with("/etc", syscall.O_RDONLY),
	"openat":     with(atFdCwd, "/etc", syscall.O_RDONLY),
	"access":     with("/etc", 4),
	"faccessat":  with(atFdCwd, "/etc", 4),
	"faccessat2": with(atFdCwd, "/etc", 4, 0),

	"sched_getparam":     with(0, keep(int32(0))),
	"sched_setparam":     with(0, keep(int32(0))),
	"sched_setscheduler": with(0, 0, keep(int32(0))),
	"sched_setattr":      with(0, keep([6]uint64{48}), 0),
	"ioprio_set":         with(1, 0, 2<<13),

	"mmap":     with(0, page, readWrite, anonymous, -1, 0),
	"mprotect": func(nr uintptr) syscall.Errno { return call(nr, memory(), page, syscall.PROT_READ) },
	"munmap":   func(nr uintptr) syscall.Errno { return call(nr, memory(), page) },
	"madvise":  func(nr uintptr) syscall.Errno { return call(nr, memory(), page, syscall.MADV_DONTNEED) },
	"mincore":  func(nr uintptr) syscall.Errno { return call(nr, memory(), page, make([]byte, 1)) },
	"mremap": func(nr uintptr) syscall.Errno {
		fd := file("/tmp/mapped", 4*page)
		at, e := result(syscall.SYS_MMAP, 0, page, readWrite, syscall.MAP_SHARED, fd, 0)
		if e != 0 {
			return e
		}
		return call(nr, at, page, 2*page, 1) // MREMAP_MAYMOVE
	},

	"ioctl":           func(nr uintptr) syscall.Errno { return call(nr, pipe()[0], syscall.TIOCINQ, keep(int32(0))) },
	"fcntl":           with(1, syscall.F_GETFL),
	"pipe2":           with(keep([2]int32{}), syscall.O_CLOEXEC),
	"memfd_create":    with("name", 1),
	"sync_file_range": func(nr uintptr) syscall.Errno { return call(nr, file("/tmp/f", 10), 0, 0, 0) },
	"fallocate":       func(nr uintptr) syscall.Errno { return call(nr, file("/tmp/f", 10), 0, 0, page) },
	"preadv2":         func(nr uintptr) syscall.Errno { return call(nr, file("/tmp/f", 10), vector(), 1, 0, 0, 0) },
	"pwritev2":        func(nr uintptr) syscall.Errno { return call(nr, file("/tmp/f", 10), vector(), 1, 0, 0, 0) },
	"renameat2": func(nr uintptr) syscall.Errno {
		file("/tmp/old", 1)
		syscall.Unlink("/tmp/new")
		return call(nr, atFdCwd, "/tmp/old", atFdCwd, "/tmp/new", 1) // RENAME_NOREPLACE
	},
	"statx":             with(atFdCwd, "/etc", 0, 0x7ff, keep([32]uint64{})),
	"inotify_add_watch": func(nr uintptr) syscall.Errno { return call(nr, inotify(), "/tmp", syscall.IN_CREATE) },

	"setxattr":     func(nr uintptr) syscall.Errno { return call(nr, attributed(), attribute, "v", 1, 0) },
	"lsetxattr":    func(nr uintptr) syscall.Errno { return call(nr, attributed(), attribute, "v", 1, 0) },
	"fsetxattr":    func(nr uintptr) syscall.Errno { return call(nr, file(attributed(), 1), attribute, "v", 1, 0) },
	"getxattr":     func(nr uintptr) syscall.Errno { return call(nr, attributed(), attribute, make([]byte, 9), 9) },
	"lgetxattr":    func(nr uintptr) syscall.Errno { return call(nr, attributed(), attribute, make([]byte, 9), 9) },
	"fgetxattr":    func(nr uintptr) syscall.Errno { return call(nr, file(attributed(), 1), attribute, make([]byte, 9), 9) },
	"listxattr":    func(nr uintptr) syscall.Errno { return call(nr, attributed(), make([]byte, 99), 99) },
	"llistxattr":   func(nr uintptr) syscall.Errno { return call(nr, attributed(), make([]byte, 99), 99) },
	"flistxattr":   func(nr uintptr) syscall.Errno { return call(nr, file(attributed(), 1), make([]byte, 99), 99) },
	"removexattr":  func(nr uintptr) syscall.Errno { return call(nr, attributed(), attribute) },
	"lremovexattr": func(nr uintptr) syscall.Errno { return call(nr, attributed(), attribute) },
	"fremovexattr": func(nr uintptr) syscall.Errno { return call(nr, file(attributed(), 1), attribute) },

	"nanosleep":       with(keep(syscall.Timespec{Nsec: 1}), 0),
	"clock_nanosleep": with(1, 0, keep(syscall.Timespec{Nsec: 1}), 0),
	"adjtimex":        with(keep(syscall.Timex{})),
	"clock_adjtime":   with(0, keep(syscall.Timex{})),
	"settimeofday": func(nr uintptr) syscall.Errno {
		var tv syscall.Timeval
		syscall.Gettimeofday(&tv)
		return call(nr, keep(tv), 0)
	},
	"getrusage": with(0, keep(syscall.Rusage{})),
	"setrlimit": with(syscall.RLIMIT_NOFILE, keep(syscall.Rlimit{Cur: 10000, Max: 20000})),
	"prlimit64": with(0, syscall.RLIMIT_NOFILE, 0, keep(syscall.Rlimit{})),
	"prctl":     with(syscall.PR_GET_NAME, keep([16]byte{})),

	"setuid": ids, "setgid": ids, "setreuid": ids, "setregid": ids, "setresuid": ids, "setresgid": ids, "setgroups": ids,

	"pselect6": with(0, 0, 0, 0, keep(syscall.Timespec{}), 0),
	"ppoll":    with(0, 0, keep(syscall.Timespec{}), 0, 8),
	"epoll_ctl": func(nr uintptr) syscall.Errno {
		return call(nr, epoll(), syscall.EPOLL_CTL_ADD, pipe()[0], keep(syscall.EpollEvent{Events: 1}))
	},
	"epoll_pwait": func(nr uintptr) syscall.Errno { return call(nr, epoll(), keep(syscall.EpollEvent{}), 1, 0, 0, 8) },
	"epoll_pwait2": func(nr uintptr) syscall.Errno {
		return call(nr, epoll(), keep(syscall.EpollEvent{}), 1, keep(syscall.Timespec{}), 0, 8)
	},
}

func memory() uintptr {
	at, _ := result(syscall.SYS_MMAP, 0, page, readWrite, anonymous, -1, 0)
	return at
}

// file makes a file of n bytes.
func file(path string, n int) int {
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CREAT, 0o644)
	if err == nil {
		err = syscall.Ftruncate(fd, int64(n))
	}
	if err != nil {
		println(path, err.Error())
	}
	return fd
}

// attributed makes a file that has the attribute.
func attributed() string {
	const path = "/data/f"
	syscall.Close(file(path, 1))
	syscall.Setxattr(path, attribute, []byte("v"), 0)
	return path
}

func pipe() [2]int {
	var p [2]int
	syscall.Pipe2(p[:], 0)
	return p
}

func epoll() int {
	fd, _ := syscall.EpollCreate1(0)
	return fd
}

func inotify() int {
	fd, _ := syscall.InotifyInit1(0)
	return fd
}

// vector is one struct iovec.
func vector() unsafe.Pointer {
	b := make([]byte, 4)
	kept = append(kept, b)
	return keep(syscall.Iovec{Base: &b[0], Len: 4})
}
