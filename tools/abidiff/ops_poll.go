package main

import (
	"slices"

	"golang.org/x/sys/unix"
)

var pollFlags = []flagName{
	{"IN", unix.EPOLLIN}, {"PRI", unix.EPOLLPRI}, {"OUT", unix.EPOLLOUT}, {"ERR", unix.EPOLLERR}, {"HUP", unix.EPOLLHUP},
	{"RDHUP", unix.EPOLLRDHUP}, {"ET", unix.EPOLLET & 0xffffffff}, {"ONESHOT", unix.EPOLLONESHOT}, {"EXCLUSIVE", unix.EPOLLEXCLUSIVE},
}

var pollEvents = []int64{unix.EPOLLIN, unix.EPOLLOUT, unix.EPOLLIN | unix.EPOLLOUT, 0, unix.EPOLLIN | unix.EPOLLRDHUP}

// pollOps are calls that tell which descriptors are ready.
var pollOps = []*op{
	{name: "epoll_create", nr: unix.SYS_EPOLL_CREATE1, makes: isEpoll, args: []*kind{flags(openFlags, []int64{0}, unix.O_CLOEXEC)}, weight: 3},
	{name: "epoll_ctl", args: []*kind{slot(isEpoll), enum([]flagName{{"ADD", 1}, {"DEL", 2}, {"MOD", 3}}, 1, 1, 1, 2, 3, 3, 4), slot(isAny &^ isFile &^ isDir),
		flags(pollFlags, pollEvents, unix.EPOLLET&0xffffffff, unix.EPOLLONESHOT, unix.EPOLLET&0xffffffff, unix.EPOLLEXCLUSIVE)}, weight: 14, run: runEpollCtl},
	{name: "epoll_wait", args: []*kind{slot(isEpoll), number(1, 2, 10, 10, 10, 0, -1)}, weight: 14, run: runEpollWait},
	{name: "poll", args: []*kind{slot(isAny), flags(pollFlags, pollEvents), slot(isAny), flags(pollFlags, pollEvents)}, weight: 2, run: runPoll},
	{name: "select", args: []*kind{slot(isAny), slot(isAny), slot(isAny)}, weight: 2, run: runSelect},
}

// runEpollCtl is epoll_ctl(2). The user's data are the slot.
func runEpollCtl(w *world, s *step) {
	b, at := w.mem.room(12)
	put32(b, uint32(s.args[3].n))
	put64(b[4:], uint64(s.args[2].n))
	w.result(w.raw(unix.SYS_EPOLL_CTL, uintptr(w.fd(s.args[0])), uintptr(s.args[1].n), uintptr(w.fd(s.args[2])), at))
}

// runEpollWait is epoll_wait(2) without waiting. If all ready events fit, their order is of no
// interest.
func runEpollWait(w *world, s *step) {
	most := int(s.args[1].n)
	b, at := w.mem.room(12 * max(most, 1))
	r, e := w.raw(unix.SYS_EPOLL_WAIT, uintptr(w.fd(s.args[0])), at, uintptr(most), 0)
	w.result(r, e)
	if e != 0 {
		return
	}
	list := make([][2]uint64, r)
	for i := range list {
		list[i] = [2]uint64{get64(b[12*i+4:]), uint64(get32(b[12*i:]))}
	}
	slices.SortFunc(list, func(a, b [2]uint64) int { return int(a[0]) - int(b[0]) })
	for _, l := range list {
		w.note(" s%d:%x", l[0], l[1])
	}
}

// runPoll is poll(2) of two descriptors.
func runPoll(w *world, s *step) {
	b, at := w.mem.room(16)
	for i := range 2 {
		put32(b[8*i:], uint32(w.fd(s.args[2*i])))
		put16(b[8*i+4:], uint16(s.args[2*i+1].n))
	}
	r, e := w.raw(unix.SYS_POLL, at, 2, 0)
	w.result(r, e)
	w.note(" %x %x", get16(b[6:]), get16(b[14:]))
}

// noFD stands for a descriptor that is not open where badFD is too large: Linux looks only at as
// many as its table of descriptors has room for, 64 at first.
const noFD = 63

// runSelect is select(2): one descriptor in each set.
func runSelect(w *world, s *step) {
	const size = 128 // fd_set
	b, at := w.mem.room(3*size + 16)
	most := -1
	for i := range 3 {
		fd := w.fd(s.args[i])
		if fd == badFD {
			fd = noFD
		}
		b[size*i+fd/8] |= 1 << (fd % 8)
		most = max(most, fd)
	}
	r, e := w.raw(unix.SYS_SELECT, uintptr(most+1), at, at+size, at+2*size, at+3*size)
	w.result(r, e)
	if e != 0 {
		return
	}
	for i := range 3 {
		fd := min(w.fd(s.args[i]), noFD)
		w.note(" %d", b[size*i+fd/8]>>(fd%8)&1)
	}
}
