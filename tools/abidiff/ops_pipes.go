package main

import "golang.org/x/sys/unix"

// pipeOps are calls on pipes and eventfds. splice and tee are not drawn: they are refused.
var pipeOps = []*op{
	{name: "pipe", args: []*kind{newSlot, newSlot, flags(openFlags, []int64{unix.O_NONBLOCK}, unix.O_CLOEXEC)}, weight: 4, run: runPipe},
	{name: "setpipesize", args: []*kind{slot(isPipe), number(0, 1, 4096, 5000, 65536, 70000, 1<<20, -1)}, weight: 1, run: runFcntl(unix.F_SETPIPE_SZ)},
	{name: "getpipesize", args: []*kind{slot(isPipe)}, weight: 1, run: runFcntl(unix.F_GETPIPE_SZ)},
	{name: "splice", args: []*kind{slot(isPipe | isFile | isSocket), number(-1, 0, 5), slot(isPipe | isFile | isSocket), number(-1, 0, 5), number(0, 1, 100, 4096, 70000),
		flags([]flagName{{"SPLICE_F_NONBLOCK", unix.SPLICE_F_NONBLOCK}, {"SPLICE_F_MOVE", unix.SPLICE_F_MOVE}}, []int64{unix.SPLICE_F_NONBLOCK}, unix.SPLICE_F_MOVE)}, run: runSplice},
	{name: "tee", nr: unix.SYS_TEE, args: []*kind{slot(isPipe), slot(isPipe), number(0, 1, 100, 4096, 70000), fixed(unix.SPLICE_F_NONBLOCK)}},
	{name: "eventfd", nr: unix.SYS_EVENTFD2, makes: isEvent, args: []*kind{number(0, 1, 5, 1<<32-1), flags(eventFlags, []int64{unix.EFD_NONBLOCK}, unix.EFD_SEMAPHORE, unix.EFD_CLOEXEC)}, weight: 2},
	{name: "signal", args: []*kind{slot(isEvent), number(0, 1, 5, 1<<32, -1, -2, -3)}, weight: 3, run: runSignal},
	{name: "count", args: []*kind{slot(isEvent)}, weight: 3, run: runCount},
}

var eventFlags = []flagName{{"EFD_NONBLOCK", unix.EFD_NONBLOCK}, {"EFD_SEMAPHORE", unix.EFD_SEMAPHORE}, {"EFD_CLOEXEC", unix.EFD_CLOEXEC}}

// runPipe is pipe2(2).
func runPipe(w *world, s *step) {
	b, at := w.mem.room(8)
	r, e := w.raw(unix.SYS_PIPE2, at, uintptr(s.args[2].n))
	w.result(r, e)
	if e == 0 {
		w.keep(int(s.args[0].n), int(get32(b)), isPipeIn)
		w.keep(int(s.args[1].n), int(get32(b[4:])), isPipeOut)
		w.note(" %d %d", get32(b), get32(b[4:]))
	}
}

// runSplice is splice(2).
func runSplice(w *world, s *step) {
	in, inAt := w.offset(s.args[1])
	out, outAt := w.offset(s.args[3])
	w.result(w.raw(unix.SYS_SPLICE, uintptr(w.fd(s.args[0])), inAt, uintptr(w.fd(s.args[2])), outAt, uintptr(s.args[4].n), uintptr(s.args[5].n)))
	w.showOffset(in)
	w.showOffset(out)
}

// runSignal writes a number to an eventfd.
func runSignal(w *world, s *step) {
	b, at := w.mem.room(8)
	put64(b, uint64(s.args[1].n))
	w.result(w.raw(unix.SYS_WRITE, uintptr(w.fd(s.args[0])), at, 8))
}

// runCount reads a number of an eventfd.
func runCount(w *world, s *step) {
	b, at := w.mem.room(8)
	r, e := w.raw(unix.SYS_READ, uintptr(w.fd(s.args[0])), at, 8)
	w.result(r, e)
	if e == 0 {
		w.note(" %x", get64(b))
	}
}
