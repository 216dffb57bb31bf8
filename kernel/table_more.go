package kernel

import "syscall"

// moreCalls are the handlers of calls that programs make but of which the standard library, as far
// as it goes without package net, makes none. An image has them if its program can make them
// (runtime/wiring/calls): together with what they refer to, sockets, epoll, inotify, timers, locks,
// they are a third of the kernel.
var moreCalls = [...]struct {
	nr      int
	handler handler
}{
	{7, sysPoll},
	{23, sysSelect},
	{25, sysMremap},
	{26, sysMsync},
	{27, sysMincore},
	{36, sysGetitimer},
	{37, sysAlarm},
	{38, sysSetitimer},
	{41, sysSocket},
	{42, sysConnect},
	{43, sysAccept},
	{44, sysSendto},
	{45, sysRecvfrom},
	{46, sysSendmsg},
	{47, sysRecvmsg},
	{48, sysShutdown},
	{49, sysBind},
	{50, sysListen},
	{51, sysGetsockname},
	{52, sysGetpeername},
	{53, sysSocketpair},
	{54, sysSetsockopt},
	{55, sysGetsockopt},
	{73, sysFlock},
	{103, sysSyslog},
	{125, sysCapget},
	{133, sysMknod},
	{137, sysStatfs},
	{138, sysFstatfs},
	{142, sysSchedSetparam},
	{143, sysSchedGetparam},
	{144, sysSchedSetscheduler},
	{145, sysSchedGetscheduler},
	{146, sysSchedPriorityMax},
	{147, sysSchedPriorityMin},
	{157, sysPrctl},
	{159, sysAdjtimex},
	{188, sysSetxattr},
	{189, sysLsetxattr},
	{190, sysFsetxattr},
	{191, sysGetxattr},
	{192, sysLgetxattr},
	{193, sysFgetxattr},
	{194, sysListxattr},
	{195, sysLlistxattr},
	{196, sysFlistxattr},
	{197, sysRemovexattr},
	{198, sysLremovexattr},
	{199, sysFremovexattr},
	{213, sysEpollCreate},
	{251, sysIoprioSet},
	{252, sysIoprioGet},
	{222, sysTimerCreate},
	{223, sysTimerSettime},
	{224, sysTimerGettime},
	{225, sysTimerGetoverrun},
	{226, sysTimerDelete},
	{232, sysEpollWait},
	{233, sysEpollCtl},
	{253, sysInotifyInit},
	{254, sysInotifyAddWatch},
	{255, sysInotifyRmWatch},
	{259, sysMknodat},
	{270, sysPselect6},
	{271, sysPpoll},
	{281, sysEpollWait},
	{282, sysSignalfd},
	{283, sysTimerfdCreate},
	{284, sysEventfd},
	{286, sysTimerfdSettime},
	{287, sysTimerfdGettime},
	{288, sysAccept4},
	{289, sysSignalfd4},
	{290, sysEventfd2},
	{291, sysEpollCreate1},
	{294, sysInotifyInit1},
	{299, sysRecvmmsg},
	{305, sysClockAdjtime},
	{307, sysSendmmsg},
	{314, sysSchedSetattr},
	{319, sysMemfdCreate},
	{332, sysStatx},
	{438, sysPidfdGetfd},
	{441, sysEpollPwait2},
}

// notLinked says why one of moreCalls fails.
const notLinked = "linked: no package outside of the standard library imports syscall or golang.org/x/sys/unix"

// AddCalls gives every call of the table its handler, and /proc its files. The wiring calls it before the program makes
// its first call.
func AddCalls() {
	AddProc()
	for _, c := range moreCalls {
		table[c.nr].handler = c.handler
	}
	fcntlLock = func(k *Kernel, d *Description, cmd int, a Args) syscall.Errno { return k.fcntlLock(d, cmd, &a) }
}

// fcntlLock serves the lock commands of fcntl(2); nil until AddCalls.
var fcntlLock func(k *Kernel, d *Description, cmd int, a Args) syscall.Errno
