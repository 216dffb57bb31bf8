package kernel

import "syscall"

// This file has sched(7) and ioprio_set(2). Threads have one policy, SCHED_OTHER, and requests to disks
// are served in their order.

// Policies of sched(7).
const (
	schedOther    = 0
	schedFIFO     = 1
	schedRR       = 2
	schedBatch    = 3
	schedIdle     = 5
	schedDeadline = 6
	schedExt      = 7
)

// resetOnFork is SCHED_RESET_ON_FORK: there are no children.
const resetOnFork = 0x40000000

// realTime is the highest priority of SCHED_FIFO and SCHED_RR.
const realTime = 99

// schedThread checks the thread that a call names.
func (k *Kernel) schedThread(id int) syscall.Errno {
	switch {
	case id < 0:
		return syscall.EINVAL
	case id != 0 && !k.hasThread(id):
		return syscall.ESRCH
	}
	return 0
}

// sysSchedGetparam is sched_getparam(2): SCHED_OTHER has the priority 0.
func sysSchedGetparam(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Pointer(1) == nil {
		return 0, syscall.EINVAL
	}
	if e := k.schedThread(a.Int(0)); e != 0 {
		return 0, e
	}
	priority, e := user[int32](&a, 1)
	if e == 0 {
		*priority = 0
	}
	return 0, e
}

// sysSchedSetparam is sched_setparam(2).
func sysSchedSetparam(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.setScheduler(&a, schedOther, 1)
}

// sysSchedSetscheduler is sched_setscheduler(2).
func sysSchedSetscheduler(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(1) < 0 {
		return 0, syscall.EINVAL
	}
	return k.setScheduler(&a, a.Int(1)&^resetOnFork, 2)
}

// setScheduler sets a policy with the priority that argument i points to.
func (k *Kernel) setScheduler(a *Args, policy, i int) (uintptr, syscall.Errno) {
	if a.Pointer(i) == nil || a.Int(0) < 0 {
		return 0, syscall.EINVAL
	}
	priority, e := user[int32](a, i)
	if e != 0 {
		return 0, e
	}
	if e := k.schedThread(a.Int(0)); e != 0 {
		return 0, e
	}
	return 0, mayHavePolicy(policy, int(*priority))
}

// mayHavePolicy checks a policy and its priority as __sched_setscheduler in Linux's kernel/sched. All but
// the one that threads have are refused as without CAP_SYS_NICE.
func mayHavePolicy(policy, priority int) syscall.Errno {
	low, high, e := priorities(policy)
	if e != 0 || priority < low || priority > high || policy == schedDeadline {
		return syscall.EINVAL
	}
	if policy != schedOther {
		return syscall.EPERM
	}
	return 0
}

// priorities are the lowest and the highest of a policy.
func priorities(policy int) (low, high int, e syscall.Errno) {
	switch policy {
	case schedFIFO, schedRR:
		return 1, realTime, 0
	case schedOther, schedBatch, schedIdle, schedDeadline, schedExt:
		return 0, 0, 0
	}
	return 0, 0, syscall.EINVAL
}

// sysSchedGetscheduler is sched_getscheduler(2).
func sysSchedGetscheduler(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return schedOther, k.schedThread(a.Int(0))
}

// sysSchedPriorityMax is sched_get_priority_max(2).
func sysSchedPriorityMax(_ *Kernel, a Args) (uintptr, syscall.Errno) {
	_, high, e := priorities(a.Int(0))
	return uintptr(high), e
}

// sysSchedPriorityMin is sched_get_priority_min(2).
func sysSchedPriorityMin(_ *Kernel, a Args) (uintptr, syscall.Errno) {
	low, _, e := priorities(a.Int(0))
	return uintptr(low), e
}

// schedAttr is the first version of struct sched_attr, sched_setattr(2).
type schedAttr struct {
	size, policy                uint32
	flags                       uint64
	nice                        int32
	priority                    uint32
	runtime, deadline, interval uint64
}

// schedAttrSize is SCHED_ATTR_SIZE_VER0.
const schedAttrSize = 48

// sysSchedSetattr is sched_setattr(2).
func sysSchedSetattr(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Pointer(1) == nil || a.Int(0) < 0 || uint32(a.N[2]) != 0 {
		return 0, syscall.EINVAL
	}
	size, e := user[uint32](&a, 1)
	if e != 0 {
		return 0, e
	}
	if *size != 0 && (*size < schedAttrSize || *size > pageSize) {
		*size = schedAttrSize
		return 0, syscall.E2BIG
	}
	attr, e := user[schedAttr](&a, 1)
	if e != 0 {
		return 0, e
	}
	if int32(attr.policy) < 0 {
		return 0, syscall.EINVAL
	}
	if e := k.schedThread(a.Int(0)); e != 0 {
		return 0, e
	}
	if e := mayHavePolicy(int(attr.policy), int(attr.priority)); e != 0 {
		return 0, e
	}
	k.proc.mu.Lock()
	defer k.proc.mu.Unlock()
	if int(attr.nice) != k.proc.nice {
		return 0, syscall.EPERM
	}
	return 0, 0
}

// Classes of ioprio_set(2), and how many levels one has.
const (
	ioprioNone       = 0
	ioprioRealTime   = 1
	ioprioBestEffort = 2
	ioprioIdle       = 3
	ioprioLevels     = 8
	ioprioClassShift = 13
)

// ioprioWho checks which processes a call names.
func (k *Kernel) ioprioWho(which, who int) syscall.Errno {
	const process, group, user = 1, 2, 3
	switch {
	case which < process || which > user:
		return syscall.EINVAL
	case which == process && who != 0 && !k.hasThread(who), which == group && who != 0 && who != pid, which == user && who != 0:
		return syscall.ESRCH
	}
	return 0
}

// sysIoprioSet is ioprio_set(2).
func sysIoprioSet(k *Kernel, a Args) (uintptr, syscall.Errno) {
	v := a.Int(2)
	class, level := v>>ioprioClassShift, v&(ioprioLevels-1)
	switch class {
	case ioprioRealTime, ioprioBestEffort, ioprioIdle:
	case ioprioNone:
		if level != 0 {
			return 0, syscall.EINVAL
		}
	default:
		return 0, syscall.EINVAL
	}
	if e := k.ioprioWho(a.Int(0), a.Int(1)); e != 0 {
		return 0, e
	}
	k.proc.ioprio.Store(int32(v))
	return 0, 0
}

// sysIoprioGet is ioprio_get(2). Without a class of its own a process has one by its nice value.
func sysIoprioGet(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if e := k.ioprioWho(a.Int(0), a.Int(1)); e != 0 {
		return 0, e
	}
	return uintptr(k.proc.ioprio.Load()), 0
}
