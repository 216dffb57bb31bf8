package kernel

import "syscall"

// SignalInfo is the information sent with a signal: the beginning of siginfo_t
// (sigaction(2)), the only part that Linux passes on.
type SignalInfo struct {
	Signo, Errno, Code int32
	_                  int32
	// Fields is a union: the sender's process ID, user ID and value, or a timer's ID,
	// overrun and value. The first two have 32 bits each.
	Fields [4]uint64
}

// These are values of SignalInfo.Code.
const (
	siTimer  = -2
	siTkill  = -6
	siKernel = 0x80
)

const maxSignal = 64

// sysRtSigqueueinfo is rt_sigqueueinfo(2).
func sysRtSigqueueinfo(k *Kernel, a Args) (uintptr, syscall.Errno) {
	info, e := k.signalInfo(&a, 2, a.Int(0))
	switch {
	case e != 0:
		return 0, e
	case a.Int(0) != pid:
		return 0, syscall.ESRCH
	}
	return k.queueSignal(0, a.Int(1), info)
}

// sysRtTgsigqueueinfo is rt_tgsigqueueinfo(2).
func sysRtTgsigqueueinfo(k *Kernel, a Args) (uintptr, syscall.Errno) {
	tid := a.Int(1)
	info, e := k.signalInfo(&a, 3, tid)
	switch {
	case e == syscall.EFAULT:
		return 0, e
	case a.Int(0) <= 0 || tid <= 0:
		return 0, syscall.EINVAL
	case e != 0:
		return 0, e
	case a.Int(0) != pid:
		return 0, syscall.ESRCH
	}
	if _, e := k.m.SendSignal(tid, &SignalInfo{}, false); e != 0 {
		return 0, e
	}
	return k.queueSignal(tid, a.Int(2), info)
}

// signalInfo copies argument i. Information with a code of the kernel is EPERM unless target
// is the calling thread, which is what Linux compares.
func (k *Kernel) signalInfo(a *Args, i, target int) (*SignalInfo, syscall.Errno) {
	p, e := user[SignalInfo](a, i)
	if e != 0 {
		return nil, e
	}
	info := new(SignalInfo)
	*info = *p
	if info.Code >= 0 || info.Code == siTkill {
		if self, _ := k.m.Syscall(syscall.SYS_GETTID, Args{}); int(self) != target {
			return nil, syscall.EPERM
		}
	}
	return info, 0
}

func (k *Kernel) queueSignal(tid, sig int, info *SignalInfo) (uintptr, syscall.Errno) {
	if sig < 0 || sig > maxSignal {
		return 0, syscall.EINVAL
	}
	info.Signo = int32(sig)
	_, e := k.m.SendSignal(tid, info, false)
	return 0, e
}
