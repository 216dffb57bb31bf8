package main

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// families are the calls by what they are about; -ops picks some.
var families = map[string][]*op{
	"descriptors": descriptorOps,
	"files":       fileOps,
	"names":       nameOps,
	"pipes":       pipeOps,
	"poll":        pollOps,
	"sockets":     socketOps,
	"seals":       sealOps,
	"xattrs":      xattrOps,
	"internet":    internetOps,
	"waiting":     waitingOps,
	"locks":       lockOps,
	"timers":      timerOps,
	"inotify":     inotifyOps,
	"vectors":     vectorOps,
}

// ops has all calls by name. init fills it, because shrinking and parsing refer to it.
var ops = map[string]*op{}

func init() {
	for _, list := range families {
		for _, o := range list {
			if ops[o.name] != nil {
				panic("two calls have the name " + o.name)
			}
			ops[o.name] = o
		}
	}
}

// weighted returns the calls of some families, each as often as its weight says, in an order that
// is always the same. If the list is empty, it is all families that files in memory or on disk
// have; internet and waiting are drawn only if they are asked for, because they take time.
func weighted(pick []string, onDisk bool) []*op {
	var list []*op
	for name, family := range families {
		if len(pick) > 0 && !slices.Contains(pick, name) || len(pick) == 0 && !drawn(name, onDisk) {
			continue
		}
		for _, o := range family {
			for range o.weight {
				list = append(list, o)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *op) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return list
}

// drawn reports whether a family is drawn if none is asked for.
func drawn(name string, onDisk bool) bool {
	switch name {
	case "seals":
		return !onDisk
	case "xattrs":
		return onDisk
	}
	return name != "internet" && name != "waiting"
}

// openFlags are those of open(2). All opens of sequences are nonblocking: a named pipe would
// block.
var openFlags = []flagName{
	{"O_TMPFILE", unix.O_TMPFILE}, {"O_WRONLY", unix.O_WRONLY}, {"O_RDWR", unix.O_RDWR}, {"O_CREAT", unix.O_CREAT}, {"O_EXCL", unix.O_EXCL},
	{"O_TRUNC", unix.O_TRUNC}, {"O_APPEND", unix.O_APPEND}, {"O_NONBLOCK", unix.O_NONBLOCK}, {"O_DIRECTORY", unix.O_DIRECTORY},
	{"O_NOFOLLOW", unix.O_NOFOLLOW}, {"O_CLOEXEC", unix.O_CLOEXEC}, {"O_PATH", unix.O_PATH}, {"O_DSYNC", unix.O_DSYNC},
	{"O_NOATIME", unix.O_NOATIME},
}

// descriptorOps are calls that take descriptors of all kinds.
var descriptorOps = []*op{
	{name: "close", args: []*kind{slot(isAny)}, weight: 12, run: runClose},
	{name: "dup", nr: unix.SYS_DUP, makes: isAny, args: []*kind{slot(isAny)}, weight: 2, run: runDup},
	{name: "dup3", args: []*kind{slot(isAny), slot(isAny), flags(openFlags, []int64{0, unix.O_CLOEXEC}, unix.O_NONBLOCK)}, weight: 2, run: runDup3},
	{name: "dupfd", args: []*kind{slot(isAny), number(0, 3, 10, 50, -1, 1<<30)}, makes: isAny, weight: 1, run: runDupfd},
	{name: "getfd", args: []*kind{slot(isAny)}, weight: 1, run: runFcntl(unix.F_GETFD)},
	{name: "setfd", args: []*kind{slot(isAny), number(0, 1, 2, 3)}, weight: 1, run: runFcntl(unix.F_SETFD)},
	{name: "getfl", args: []*kind{slot(isAny)}, weight: 2, run: runFcntl(unix.F_GETFL)},
	{name: "setfl", args: []*kind{slot(isAny), flags(openFlags, []int64{unix.O_NONBLOCK, unix.O_NONBLOCK | unix.O_APPEND}, unix.O_WRONLY, unix.O_TRUNC)}, weight: 2, run: runFcntl(unix.F_SETFL)},
	{name: "read", nr: unix.SYS_READ, args: []*kind{slot(isAny &^ isDir), output}, weight: 14},
	{name: "write", nr: unix.SYS_WRITE, args: []*kind{slot(isAny &^ isDir), input}, weight: 14},
	{name: "fstat", args: []*kind{slot(isAny)}, weight: 4, run: runFstat},
	{name: "fionread", args: []*kind{slot(isAny)}, weight: 2, run: runFionread},
	{name: "lseek", args: []*kind{slot(isFile), offsets, number(0, 1, 2, 0, 1, 2, 3, 4, 5)}, weight: 8, run: runLseek},
	{name: "fsync", nr: unix.SYS_FSYNC, args: []*kind{slot(isAny)}, weight: 1},
}

// runClose is close(2).
func runClose(w *world, s *step) {
	slot := s.args[0]
	if w.isWatched(slot) {
		w.note("is watched")
		return
	}
	w.result(w.raw(unix.SYS_CLOSE, uintptr(w.fd(slot))))
	if slot.n >= 0 {
		w.kinds[slot.n] = 0
	}
}

// runLseek is lseek(2). Positions in directories mean something to one kernel only.
func runLseek(w *world, s *step) {
	st, e := w.fstat(w.fd(s.args[0]))
	if e == 0 && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		w.note("a directory")
		return
	}
	w.result(w.raw(unix.SYS_LSEEK, uintptr(w.fd(s.args[0])), uintptr(s.args[1].n), uintptr(s.args[2].n)))
}

// runDup is dup(2): the copy is of the same kind.
func runDup(w *world, s *step) {
	r, e := w.raw(unix.SYS_DUP, uintptr(w.fd(s.args[0])))
	if e == 0 {
		w.keep(s.out, int(r), w.kinds[s.args[0].n])
	}
	w.result(r, e)
}

// runDup3 is dup3(2) onto the descriptor of another slot.
func runDup3(w *world, s *step) {
	from, to := s.args[0], s.args[1]
	if w.fd(to) == badFD || w.isWatched(to) {
		w.note("not that descriptor")
		return
	}
	r, e := w.raw(unix.SYS_DUP3, uintptr(w.fd(from)), uintptr(w.fd(to)), uintptr(s.args[2].n))
	if e == 0 {
		w.kinds[to.n] = w.kinds[from.n]
	}
	w.result(r, e)
}

// runDupfd is fcntl(2) with F_DUPFD_CLOEXEC.
func runDupfd(w *world, s *step) {
	r, e := w.raw(unix.SYS_FCNTL, uintptr(w.fd(s.args[0])), unix.F_DUPFD_CLOEXEC, uintptr(s.args[1].n))
	if e == 0 {
		w.keep(s.out, int(r), w.kinds[s.args[0].n])
	}
	w.result(r, e)
}

// runFcntl is fcntl(2) with a command and a number, if there is one.
func runFcntl(command uintptr) func(w *world, s *step) {
	return func(w *world, s *step) {
		arg := uintptr(0)
		if len(s.args) > 1 {
			arg = uintptr(s.args[1].n)
		}
		w.result(w.raw(unix.SYS_FCNTL, uintptr(w.fd(s.args[0])), command, arg))
	}
}

// runFionread is ioctl(2) with FIONREAD.
func runFionread(w *world, s *step) { runIoctlInt(w, s, unix.TIOCINQ) }

// runIoctlInt is an ioctl(2) that stores an int.
func runIoctlInt(w *world, s *step, request uintptr) {
	b, at := w.mem.room(4)
	r, e := w.raw(unix.SYS_IOCTL, uintptr(w.fd(s.args[0])), request, at)
	w.result(r, e)
	if e == 0 {
		w.out = strconv.AppendInt(append(w.out, ' '), int64(get32(b)), 10)
	}
}
