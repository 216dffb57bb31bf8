package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// nameOps are calls on names and metadata.
var nameOps = []*op{
	{name: "stat", args: []*kind{at, path, statFlags}, weight: 6, run: runStat},
	{name: "mkdir", nr: unix.SYS_MKDIRAT, args: []*kind{at, path, fileModes}, weight: 8},
	{name: "mknod", nr: unix.SYS_MKNODAT, args: []*kind{at, path, octal(unix.S_IFIFO|0o644, unix.S_IFREG|0o600, unix.S_IFSOCK|0o777, 0o644, unix.S_IFDIR|0o755, unix.S_IFLNK|0o777), fixed(0)}, weight: 2},
	{name: "unlink", nr: unix.SYS_UNLINKAT, args: []*kind{at, path, flags([]flagName{{"AT_REMOVEDIR", unix.AT_REMOVEDIR}}, []int64{0, 0, unix.AT_REMOVEDIR}, 1)}, weight: 6},
	{name: "rename", nr: unix.SYS_RENAMEAT2, args: []*kind{at, path, at, path, flags(renameFlags, []int64{0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}, 0x10)}, weight: 8},
	{name: "link", nr: unix.SYS_LINKAT, args: []*kind{at, path, at, path, flags([]flagName{{"AT_SYMLINK_FOLLOW", unix.AT_SYMLINK_FOLLOW}, {"AT_EMPTY_PATH", unix.AT_EMPTY_PATH}},
		[]int64{0, 0, unix.AT_SYMLINK_FOLLOW}, unix.AT_EMPTY_PATH)}, weight: 5},
	{name: "symlink", nr: unix.SYS_SYMLINKAT, args: []*kind{path, at, path}, weight: 5},
	{name: "readlink", nr: unix.SYS_READLINKAT, args: []*kind{at, path, output}, weight: 3, run: runReadlink},
	{name: "chmod", nr: unix.SYS_FCHMODAT, args: []*kind{at, path, fileModes}, weight: 2},
	{name: "fchmod", nr: unix.SYS_FCHMOD, args: []*kind{slot(isAny), fileModes}, weight: 1},
	{name: "chown", nr: unix.SYS_FCHOWNAT, args: []*kind{at, path, number(-1, 0, 5), number(-1, 0, 6), statFlags}, weight: 2},
	{name: "fchown", nr: unix.SYS_FCHOWN, args: []*kind{slot(isAny), number(-1, 0, 5), number(-1, 0, 6)}, weight: 1},
	{name: "access", nr: unix.SYS_FACCESSAT, args: []*kind{at, path, number(0, 1, 2, 4, 7, 8)}, weight: 2},
	{name: "chdir", nr: unix.SYS_CHDIR, args: []*kind{path}, weight: 1},
	{name: "fchdir", nr: unix.SYS_FCHDIR, args: []*kind{slot(isDir)}, weight: 1},
	{name: "getcwd", nr: unix.SYS_GETCWD, args: []*kind{output}, weight: 1},
	{name: "utimes", args: []*kind{at, path, number(0, 1, 500, -1, -2, -3), number(0, 1, 600, -1, -2, -3), statFlags}, weight: 4, run: runUtimes},
	{name: "statx", args: []*kind{at, path, flags([]flagName{{"AT_SYMLINK_NOFOLLOW", unix.AT_SYMLINK_NOFOLLOW}, {"AT_EMPTY_PATH", unix.AT_EMPTY_PATH}},
		[]int64{0, unix.AT_SYMLINK_NOFOLLOW}, unix.AT_STATX_DONT_SYNC), number(0x7ff, 0xfff, 0, 1, 0x80000000)}, weight: 2, run: runStatx},
	{name: "umask", nr: unix.SYS_UMASK, args: []*kind{octal(0o22, 0, 0o77, 0o7777)}, weight: 1},
}

var renameFlags = []flagName{
	{"RENAME_NOREPLACE", unix.RENAME_NOREPLACE}, {"RENAME_EXCHANGE", unix.RENAME_EXCHANGE}, {"RENAME_WHITEOUT", unix.RENAME_WHITEOUT},
}

// time places a struct timespec: seconds, or one of the special values UTIME_NOW (-1) and
// UTIME_OMIT (-2); -3 is no time.
func (w *world) time(b []byte, n int64) {
	switch n {
	case -1:
		put64(b[8:], unix.UTIME_NOW)
	case -2:
		put64(b[8:], unix.UTIME_OMIT)
	case -3:
		put64(b[8:], 2e9)
	default:
		put64(b, uint64(n))
		put64(b[8:], 7)
	}
}

// runUtimes is utimensat(2).
func runUtimes(w *world, s *step) {
	b, at := w.mem.room(32)
	w.time(b, s.args[2].n)
	w.time(b[16:], s.args[3].n)
	w.result(w.raw(unix.SYS_UTIMENSAT, uintptr(w.dir(s.args[0])), w.mem.put(s.args[1].s), at, uintptr(s.args[4].n)))
}

// runStatx is statx(2).
func runStatx(w *world, s *step) {
	b, at := w.mem.room(256)
	_, e := w.raw(unix.SYS_STATX, uintptr(w.dir(s.args[0])), w.mem.put(s.args[1].s), uintptr(s.args[2].n), uintptr(s.args[3].n), at)
	if e != 0 {
		w.result(0, e)
		return
	}
	mask := get32(b) & uint32(s.args[3].n) // more than was asked for may be there, or not
	w.note("mask %x blksize %d attributes %x nlink %d mode %o", mask, get32(b[4:]), get64(b[8:]), get32(b[16:]), get16(b[28:]))
	if !w.onDisk || get16(b[28:])&unix.S_IFMT != unix.S_IFDIR {
		w.note(" size %d", get64(b[40:]))
	}
}

// runReadlink is readlinkat(2).
func runReadlink(w *world, s *step) {
	b, at := w.mem.room(int(s.args[2].n))
	r, e := w.raw(unix.SYS_READLINKAT, uintptr(w.dir(s.args[0])), w.mem.put(s.args[1].s), at, uintptr(len(b)))
	w.result(r, e)
	if e == 0 {
		w.quote(b[:r])
	}
}

// showTree shows all names below a directory, with their metadata and contents.
func (w *world) showTree(path string, depth int) {
	for _, e := range w.list(path) {
		full := path + "/" + e.name
		w.mem.reset()
		b, at := w.mem.room(statSize)
		_, errno := w.raw(unix.SYS_NEWFSTATAT, uintptr(dirCwd), w.mem.put(full), at, unix.AT_SYMLINK_NOFOLLOW)
		w.note("\n  %s: ", full)
		st := *statOf(b)
		w.showStat(&st, errno)
		w.showContent(full, &st)
		if e.typ == unix.DT_DIR && depth > 0 {
			w.showTree(full, depth-1)
		}
	}
}

// showContent shows the target of a link and the beginning of a file.
func (w *world) showContent(path string, st *syscall.Stat_t) {
	const most = 1 << 17
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		b, at := w.mem.room(unix.PathMax)
		if n, e := w.raw(unix.SYS_READLINK, w.mem.put(path), at, uintptr(len(b))); e == 0 {
			w.quote(b[:n])
		}
	case unix.S_IFREG:
		fd, e := w.raw(unix.SYS_OPENAT, uintptr(dirCwd), w.mem.put(path), 0, 0)
		if e != 0 {
			w.note(" open: %s", errnoName(e))
			return
		}
		b, at := w.mem.room(most)
		if n, e := w.raw(unix.SYS_PREAD64, fd, at, most, 0); e == 0 {
			w.quote(b[:n])
		}
		_, _ = w.raw(unix.SYS_CLOSE, fd)
	}
}
