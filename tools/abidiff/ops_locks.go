package main

import "golang.org/x/sys/unix"

var lockTypes = []flagName{{"F_RDLCK", unix.F_RDLCK}, {"F_WRLCK", unix.F_WRLCK}, {"F_UNLCK", unix.F_UNLCK}}

// lockArgs are a descriptor, a type, whence, a start and a length.
var lockArgs = []*kind{slot(isFile), enum(lockTypes, unix.F_RDLCK, unix.F_WRLCK, unix.F_UNLCK, 9), number(0, 0, 0, 1, 2, 3),
	number(0, 0, 1, 5, 10, 100, -1, 1<<62), number(0, 1, 5, 10, -1, -5, 1<<62, 1<<63-1)}

// lockOps are calls on locks of files. None waits.
var lockOps = []*op{
	{name: "flock", nr: unix.SYS_FLOCK, args: []*kind{slot(isFile | isDir), flags([]flagName{{"LOCK_SH", 1}, {"LOCK_EX", 2}, {"LOCK_NONBLOCK", 4}, {"LOCK_UN", 8}},
		[]int64{5, 6, 12, 4})}, weight: 2},
	{name: "setlk", args: lockArgs, weight: 1, run: runLock(unix.F_SETLK)},
	{name: "getlk", args: lockArgs, weight: 1, run: runLock(unix.F_GETLK)},
	{name: "ofd_setlk", args: lockArgs, weight: 3, run: runLock(unix.F_OFD_SETLK)},
	{name: "ofd_getlk", args: lockArgs, weight: 2, run: runLock(unix.F_OFD_GETLK)},
}

// runLock is fcntl(2) with a struct flock.
func runLock(command uintptr) func(w *world, s *step) {
	return func(w *world, s *step) {
		b, at := w.mem.room(32)
		put16(b, uint16(s.args[1].n))
		put16(b[2:], uint16(s.args[2].n))
		put64(b[8:], uint64(s.args[3].n))
		put64(b[16:], uint64(s.args[4].n))
		r, e := w.raw(unix.SYS_FCNTL, uintptr(w.fd(s.args[0])), command, at)
		w.result(r, e)
		if e == 0 && (command == unix.F_GETLK || command == unix.F_OFD_GETLK) {
			owner := "other"
			if pid := int32(get32(b[24:])); pid == -1 || pid == 0 {
				owner = [2]string{"none", "description"}[-pid]
			}
			w.note(" %s %d %d %d %s", flagText(lockTypes, int64(get16(b))), get16(b[2:]), int64(get64(b[8:])), int64(get64(b[16:])), owner)
		}
	}
}
