package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	fileModes = octal(0o644, 0o666, 0o600, 0o777, 0o755, 0, 0o4755, 0o2755, 0o1777, 0o7777)
	opening   = flags(openFlags, []int64{
		unix.O_NONBLOCK, unix.O_NONBLOCK | unix.O_RDWR, unix.O_NONBLOCK | unix.O_RDWR | unix.O_CREAT, unix.O_NONBLOCK | unix.O_RDWR | unix.O_CREAT,
		unix.O_NONBLOCK | unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC, unix.O_NONBLOCK | unix.O_DIRECTORY, unix.O_PATH,
		unix.O_NONBLOCK | unix.O_RDWR | unix.O_CREAT | unix.O_EXCL, unix.O_NONBLOCK | unix.O_WRONLY, unix.O_NONBLOCK | unix.O_TMPFILE | unix.O_RDWR,
	}, unix.O_APPEND, unix.O_NOFOLLOW, unix.O_CLOEXEC, unix.O_DIRECTORY, unix.O_EXCL, unix.O_TRUNC, unix.O_CREAT)
	statFlags = flags([]flagName{{"AT_SYMLINK_NOFOLLOW", unix.AT_SYMLINK_NOFOLLOW}, {"AT_EMPTY_PATH", unix.AT_EMPTY_PATH}},
		[]int64{0, unix.AT_SYMLINK_NOFOLLOW}, unix.AT_EMPTY_PATH)
)

// fileOps are calls on files' content.
var fileOps = []*op{
	{name: "open", nr: unix.SYS_OPENAT, makes: isFile, args: []*kind{at, path, opening, fileModes}, weight: 24, run: runOpen},
	{name: "pread", nr: unix.SYS_PREAD64, args: []*kind{slot(isFile), output, offsets}, weight: 4},
	{name: "pwrite", nr: unix.SYS_PWRITE64, args: []*kind{slot(isFile), input, offsets}, weight: 6},
	{name: "ftruncate", nr: unix.SYS_FTRUNCATE, args: []*kind{slot(isFile), offsets}, weight: 3},
	{name: "truncate", nr: unix.SYS_TRUNCATE, args: []*kind{path, offsets}, weight: 2},
	{name: "fallocate", nr: unix.SYS_FALLOCATE, args: []*kind{slot(isFile), flags(fallocateFlags, []int64{0, 0, unix.FALLOC_FL_KEEP_SIZE, 3},
		unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_PUNCH_HOLE, 0x8, 0x20), number(0, 1, 4095, 4096, 5000, 10000, -1), number(1, 10, 4096, 5000, 65536, 0, -1)}, weight: 3},
	{name: "getdents", nr: unix.SYS_GETDENTS64, args: []*kind{slot(isDir), output}, weight: 4, run: runGetdents},
	{name: "copy_file_range", args: []*kind{slot(isFile), starts, slot(isFile), starts, number(0, 1, 100, 4096, 10000), number(0, 0, 0, 1)}, weight: 3, run: runCopy},
	{name: "sendfile", args: []*kind{slot(isAny), slot(isFile | isPipeIn), number(-1, 0, 5, 4096), number(0, 1, 100, 4096, 10000, 70000)}, weight: 3, run: runSendfile},
}

// sealOps are calls on memory that is a file. Seals are for files in memory only.
var sealOps = []*op{
	{name: "memfd", nr: unix.SYS_MEMFD_CREATE, makes: isFile, args: []*kind{path, flags([]flagName{{"MFD_CLOEXEC", unix.MFD_CLOEXEC}, {"MFD_ALLOW_SEALING", unix.MFD_ALLOW_SEALING},
		{"MFD_NOEXEC_SEAL", unix.MFD_NOEXEC_SEAL}, {"MFD_EXEC", unix.MFD_EXEC}}, []int64{unix.MFD_EXEC, unix.MFD_ALLOW_SEALING | unix.MFD_EXEC, unix.MFD_ALLOW_SEALING | unix.MFD_NOEXEC_SEAL}, 0x80)}, weight: 2},
	{name: "addseals", args: []*kind{slot(isFile), flags(sealFlags, []int64{0, unix.F_SEAL_SEAL, unix.F_SEAL_SHRINK, unix.F_SEAL_GROW, unix.F_SEAL_WRITE, unix.F_SEAL_FUTURE_WRITE, 0x100})}, weight: 1, run: runFcntl(unix.F_ADD_SEALS)},
	{name: "getseals", args: []*kind{slot(isFile)}, weight: 1, run: runFcntl(unix.F_GET_SEALS)},
}

var sealFlags = []flagName{
	{"F_SEAL_SEAL", unix.F_SEAL_SEAL}, {"F_SEAL_SHRINK", unix.F_SEAL_SHRINK}, {"F_SEAL_GROW", unix.F_SEAL_GROW}, {"F_SEAL_WRITE", unix.F_SEAL_WRITE},
	{"F_SEAL_FUTURE_WRITE", unix.F_SEAL_FUTURE_WRITE},
}

var fallocateFlags = []flagName{
	{"FALLOC_FL_KEEP_SIZE", unix.FALLOC_FL_KEEP_SIZE}, {"FALLOC_FL_PUNCH_HOLE", unix.FALLOC_FL_PUNCH_HOLE},
	{"FALLOC_FL_COLLAPSE_RANGE", unix.FALLOC_FL_COLLAPSE_RANGE}, {"FALLOC_FL_ZERO_RANGE", unix.FALLOC_FL_ZERO_RANGE},
	{"FALLOC_FL_INSERT_RANGE", unix.FALLOC_FL_INSERT_RANGE},
}

// runOpen is openat(2). What the slot is said to have follows from what was opened.
func runOpen(w *world, s *step) {
	r, e := w.raw(unix.SYS_OPENAT, uintptr(w.dir(s.args[0])), w.mem.put(s.args[1].s), uintptr(s.args[2].n), uintptr(s.args[3].n))
	w.result(r, e)
	if e != 0 {
		return
	}
	k := isFile
	if st, e := w.fstat(int(r)); e == 0 {
		k = kindOf(st)
	}
	if s.args[2].n&unix.O_PATH != 0 {
		k = k&isDir | isName
	}
	w.keep(s.out, int(r), k)
}

// kindOf returns the kind of descriptor that a file's type makes.
func kindOf(st *syscall.Stat_t) slotKind {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return isDir
	case unix.S_IFIFO:
		return isPipe
	}
	return isFile
}

// fstat is fstat(2).
func (w *world) fstat(fd int) (*syscall.Stat_t, syscall.Errno) {
	b, at := w.mem.room(statSize)
	_, e := w.raw(unix.SYS_FSTAT, uintptr(fd), at)
	return statOf(b), e
}

// runFstat shows the metadata of a descriptor.
func runFstat(w *world, s *step) {
	st, e := w.fstat(w.fd(s.args[0]))
	w.showStat(st, e)
}

// runStat is newfstatat(2).
func runStat(w *world, s *step) {
	b, at := w.mem.room(statSize)
	_, e := w.raw(unix.SYS_NEWFSTATAT, uintptr(w.dir(s.args[0])), w.mem.put(s.args[1].s), at, uintptr(s.args[2].n))
	w.showStat(statOf(b), e)
}

// showStat shows what both kernels must agree on.
func (w *world) showStat(st *syscall.Stat_t, e syscall.Errno) {
	if e != 0 {
		w.out = append(w.out, errnoName(e)...)
		return
	}
	w.note("mode %o nlink %d uid %d gid %d rdev %d blksize %d", st.Mode, st.Nlink, st.Uid, st.Gid, st.Rdev, st.Blksize)
	if !w.onDisk {
		w.note(" size %d blocks %d", st.Size, st.Blocks)
	} else if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		w.note(" size %d", st.Size)
	}
	if t := st.Mode & unix.S_IFMT; t == 0 || t == unix.S_IFSOCK {
		return // times of objects without a name
	}
	for _, t := range [...]syscall.Timespec{st.Atim, st.Mtim} {
		if t.Sec < 1e9 {
			w.note(" %d.%d", t.Sec, t.Nsec)
		} else {
			w.out = append(w.out, " now"...)
		}
	}
}

// An entry is one of a directory.
type entry struct {
	name string
	typ  byte
}

// list returns the entries of a directory by name; nil if it cannot be read.
func (w *world) list(path string) []entry {
	w.mem.reset()
	fd, e := w.raw(unix.SYS_OPENAT, uintptr(dirCwd), w.mem.put(path), unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if e != 0 {
		return nil
	}
	var list []entry
	for {
		w.mem.reset()
		b, at := w.mem.room(1 << 16)
		n, e := w.raw(unix.SYS_GETDENTS64, fd, at, uintptr(len(b)))
		if e != 0 || n == 0 {
			break
		}
		list = appendEntries(list, b[:n])
	}
	_, _ = w.raw(unix.SYS_CLOSE, fd)
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return list
}

// dirCwd is AT_FDCWD as a variable: it is negative.
var dirCwd = unix.AT_FDCWD

// appendEntries adds those of struct linux_dirent64 in b but for . and .. to a list.
func appendEntries(list []entry, b []byte) []entry {
	for len(b) > 19 {
		size := int(get16(b[16:]))
		name, _, _ := strings.Cut(string(b[19:size]), "\x00")
		if name != "." && name != ".." {
			list = append(list, entry{name, b[18]})
		}
		b = b[size:]
	}
	return list
}

// runGetdents is getdents64(2). Entries come in no order that would be promised, so they are
// sorted; how many fit a small buffer depends on the order, so only a large one shows them.
func runGetdents(w *world, s *step) {
	b, at := w.mem.room(int(s.args[1].n))
	r, e := w.raw(unix.SYS_GETDENTS64, uintptr(w.fd(s.args[0])), at, uintptr(len(b)))
	if e != 0 {
		w.result(r, e)
		return
	}
	if len(b) < 8192 {
		w.note("some: %t", r > 0)
		_, _ = w.raw(unix.SYS_LSEEK, uintptr(w.fd(s.args[0])), 0, unix.SEEK_SET)
		return
	}
	w.result(r, e)
	list := appendEntries(nil, b[:r])
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	for _, e := range list {
		w.note(" %s/%d", quotePath(e.name), e.typ)
	}
}

// offset places a position for a call that takes a pointer to one; -1 is a null pointer.
func (w *world) offset(v value) ([]byte, uintptr) {
	if v.n == -1 {
		return nil, 0
	}
	b, at := w.mem.room(8)
	put64(b, uint64(v.n))
	return b, at
}

// showOffset shows the position that a call has left there.
func (w *world) showOffset(b []byte) {
	if b != nil {
		w.out = strconv.AppendInt(append(w.out, " at "...), int64(get64(b)), 10)
	}
}

// runCopy is copy_file_range(2).
func runCopy(w *world, s *step) {
	in, inAt := w.offset(s.args[1])
	out, outAt := w.offset(s.args[3])
	w.result(w.raw(unix.SYS_COPY_FILE_RANGE, uintptr(w.fd(s.args[0])), inAt, uintptr(w.fd(s.args[2])), outAt, uintptr(s.args[4].n), uintptr(s.args[5].n)))
	w.showOffset(in)
	w.showOffset(out)
}

// runSendfile is sendfile(2). Linux may read again what it has just written to the same file, so
// that is left out.
func runSendfile(w *world, s *step) {
	from, _ := w.fstat(w.fd(s.args[1]))
	to, _ := w.fstat(w.fd(s.args[0]))
	if from.Ino == to.Ino && from.Mode&unix.S_IFMT == unix.S_IFREG {
		w.note("the same file")
		return
	}
	in, inAt := w.offset(s.args[2])
	w.result(w.raw(unix.SYS_SENDFILE, uintptr(w.fd(s.args[0])), uintptr(w.fd(s.args[1])), inAt, uintptr(s.args[3].n)))
	w.showOffset(in)
}
