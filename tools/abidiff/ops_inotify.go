package main

import (
	"strings"

	"golang.org/x/sys/unix"
)

var inotifyFlags = []flagName{
	{"IN_ACCESS", 1}, {"IN_MODIFY", 2}, {"IN_ATTRIB", 4}, {"IN_CLOSE_WRITE", 8}, {"IN_CLOSE_NOWRITE", 16}, {"IN_OPEN", 32},
	{"IN_MOVED_FROM", 64}, {"IN_MOVED_TO", 128}, {"IN_CREATE", 256}, {"IN_DELETE", 512}, {"IN_DELETE_SELF", 1024}, {"IN_MOVE_SELF", 2048},
	{"IN_ONLYDIR", unix.IN_ONLYDIR}, {"IN_DONT_FOLLOW", unix.IN_DONT_FOLLOW}, {"IN_EXCL_UNLINK", unix.IN_EXCL_UNLINK},
	{"IN_MASK_CREATE", unix.IN_MASK_CREATE}, {"IN_MASK_ADD", unix.IN_MASK_ADD}, {"IN_ONESHOT", unix.IN_ONESHOT},
}

// inotifyOps are those of inotify(7).
var inotifyOps = []*op{
	{name: "inotify_init", nr: unix.SYS_INOTIFY_INIT1, makes: isInotify, args: []*kind{flags(openFlags, []int64{unix.O_NONBLOCK}, unix.O_CLOEXEC)}, weight: 1},
	{name: "inotify_add", nr: unix.SYS_INOTIFY_ADD_WATCH, args: []*kind{slot(isInotify), path, flags(inotifyFlags, []int64{0xfff, 0xfff &^ 1, 0x3c0, 0xc, 0},
		unix.IN_ONLYDIR, unix.IN_DONT_FOLLOW, unix.IN_MASK_ADD, unix.IN_ONESHOT, unix.IN_MASK_CREATE)}, weight: 2},
	{name: "inotify_rm", nr: unix.SYS_INOTIFY_RM_WATCH, args: []*kind{slot(isInotify), number(1, 2, 3, 0, -1)}, weight: 1},
	{name: "events", args: []*kind{slot(isInotify), number(4096, 4096, 16, 32, 15, 65536)}, weight: 3, run: runEvents},
}

// runEvents reads events. Cookies are only compared with each other.
func runEvents(w *world, s *step) {
	b, at := w.mem.room(int(s.args[1].n))
	r, e := w.raw(unix.SYS_READ, uintptr(w.fd(s.args[0])), at, uintptr(len(b)))
	w.result(r, e)
	if e != 0 {
		return
	}
	var cookies []uint32
	for b = b[:r]; len(b) >= 16; {
		size := min(16+int(get32(b[12:])), len(b)) // the descriptor may be another file's
		name, _, _ := strings.Cut(string(b[16:size]), "\x00")
		cookie := get32(b[8:])
		n := 0
		if cookie != 0 {
			for n < len(cookies) && cookies[n] != cookie {
				n++
			}
			if n == len(cookies) {
				cookies = append(cookies, cookie)
			}
			n++
		}
		w.note(" [%d %x %d %s]", int32(get32(b)), get32(b[4:]), n, name)
		b = b[size:]
	}
}
