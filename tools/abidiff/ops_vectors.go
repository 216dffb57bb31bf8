package main

import "golang.org/x/sys/unix"

// rwfFlags are those of preadv2(2) and pwritev2(2).
var rwfFlags = []flagName{
	{"RWF_HIPRI", unix.RWF_HIPRI}, {"RWF_DSYNC", unix.RWF_DSYNC}, {"RWF_SYNC", unix.RWF_SYNC}, {"RWF_NOWAIT", unix.RWF_NOWAIT},
	{"RWF_APPEND", unix.RWF_APPEND}, {"RWF_NOAPPEND", unix.RWF_NOAPPEND},
}

// vectorOps are calls with several buffers.
var vectorOps = []*op{
	{name: "readv", args: []*kind{slot(isAny &^ isDir), number(0, 1, 2, 3, 1025), output}, weight: 2, run: runVector(unix.SYS_READV)},
	{name: "writev", args: []*kind{slot(isAny &^ isDir), number(0, 1, 2, 3, 1025), input}, weight: 2, run: runVector(unix.SYS_WRITEV)},
	{name: "preadv", args: []*kind{slot(isFile), number(0, 1, 2, 3, -1), output, offsets}, weight: 1, run: runVector(unix.SYS_PREADV)},
	{name: "pwritev", args: []*kind{slot(isFile), number(0, 1, 2, 3, -1), input, offsets}, weight: 1, run: runVector(unix.SYS_PWRITEV)},
	{name: "preadv2", args: []*kind{slot(isFile | isPipeIn), number(0, 1, 2, 3), output, starts, flags(rwfFlags, []int64{0, unix.RWF_HIPRI, unix.RWF_NOWAIT, unix.RWF_APPEND, 0x1000})}, weight: 1, run: runVector(unix.SYS_PREADV2)},
	{name: "pwritev2", args: []*kind{slot(isFile | isPipeOut), number(0, 1, 2, 3), input, starts, flags(rwfFlags, []int64{0, unix.RWF_DSYNC, unix.RWF_SYNC, unix.RWF_APPEND, unix.RWF_NOAPPEND, 0x1000})}, weight: 1, run: runVector(unix.SYS_PWRITEV2)},
}

// runVector is readv(2) and its relatives: the buffer is cut into parts of the same size.
func runVector(nr uintptr) func(w *world, s *step) {
	return func(w *world, s *step) {
		parts := int(s.args[1].n)
		writes := s.op.args[2] == input
		size := int(s.args[2].n)
		if writes {
			size >>= 8
		}
		b, at := w.mem.room(size)
		if writes {
			fill(b, int(s.args[2].n&0xff))
		}
		v, vAt := w.mem.room(16 * max(parts, 1))
		for i := range max(parts, 0) {
			each := size / parts
			put64(v[16*i:], uint64(at)+uint64(i*each))
			put64(v[16*i+8:], uint64(each))
		}
		args := []uintptr{uintptr(w.fd(s.args[0])), vAt, uintptr(parts), 0, 0, 0}
		if len(s.args) > 3 {
			args[3] = uintptr(s.args[3].n)
		}
		if len(s.args) > 4 {
			args[5] = uintptr(s.args[4].n)
		}
		r, e := w.raw(nr, args...)
		w.result(r, e)
		if e == 0 && !writes {
			w.quote(b[:min(int(r), len(b))])
		}
	}
}
