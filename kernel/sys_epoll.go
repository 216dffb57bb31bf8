package kernel

import (
	"syscall"
)

// sysEpollCreate is epoll_create(2).
func sysEpollCreate(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(0) <= 0 {
		return 0, syscall.EINVAL
	}
	return k.epollCreate(0)
}

// sysEpollCreate1 is epoll_create1(2).
func sysEpollCreate1(k *Kernel, a Args) (uintptr, syscall.Errno) {
	if a.Int(0)&^syscall.O_CLOEXEC != 0 {
		return 0, syscall.EINVAL
	}
	return k.epollCreate(a.Int(0))
}

func (k *Kernel) epollCreate(flags int) (uintptr, syscall.Errno) {
	ep := &epoll{}
	ep.id = k.proc.nextID()
	return k.installNew(ep, syscall.O_RDWR, flags)
}

// getEpoll returns the instance of descriptor argument 0.
func (k *Kernel) getEpoll(a *Args) (*epoll, *Description, syscall.Errno) {
	d, e := k.get(a, 0)
	if e != 0 {
		return nil, nil, e
	}
	if ep, ok := d.file.(*epoll); ok {
		return ep, d, 0
	}
	d.DecRef()
	return nil, nil, syscall.EINVAL
}

// sysEpollCtl is epoll_ctl(2). EPOLLEXCLUSIVE and EPOLLWAKEUP have no effect.
func sysEpollCtl(k *Kernel, a Args) (uintptr, syscall.Errno) {
	ep, d, e := k.getEpoll(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	fd := a.Int(2)
	target, e := k.get(&a, 2)
	if e != 0 {
		return 0, e
	}
	defer target.DecRef()
	if target == d {
		return 0, syscall.EINVAL
	}
	op := a.Int(1)
	var ev epollEvent
	if op != syscall.EPOLL_CTL_DEL {
		p, e := user[epollEvent](&a, 3)
		if e != 0 {
			return 0, e
		}
		ev = *p
	}
	key := epollKey{fd: fd, desc: target}
	switch op {
	case syscall.EPOLL_CTL_ADD:
		if inner, ok := target.file.(*epoll); ok {
			return 0, k.nest(ep, inner, key, ev)
		}
		return 0, ep.add(key, ev)
	case syscall.EPOLL_CTL_MOD, syscall.EPOLL_CTL_DEL:
		return 0, ep.control(op, key, ev)
	}
	return 0, syscall.EINVAL
}

// nest is EPOLL_CTL_ADD of another instance. It is serialized: two calls that both look for a
// loop before either has added its instance could make one (Linux: epnested_mutex).
func (k *Kernel) nest(ep, inner *epoll, key epollKey, ev epollEvent) syscall.Errno {
	k.epollNested.Lock()
	defer k.epollNested.Unlock()
	if inner.reaches(ep, 0) {
		return syscall.ELOOP
	}
	return ep.add(key, ev)
}

// epollMaxNests is how deep instances may watch instances (EP_MAX_NESTS, epoll_ctl(2)).
const epollMaxNests = 4

// reaches reports whether ep watches other, directly or through nested instances; it is also true
// if those are nested too deep.
func (ep *epoll) reaches(other *epoll, depth int) bool {
	if ep == other || depth > epollMaxNests {
		return true
	}
	ep.mu.Lock()
	var inner []*epoll
	for key := range ep.items {
		if n, ok := key.desc.file.(*epoll); ok {
			inner = append(inner, n)
		}
	}
	ep.mu.Unlock()
	for _, n := range inner {
		if n.reaches(other, depth+1) {
			return true
		}
	}
	return false
}

// sysEpollWait is epoll_wait(2) and epoll_pwait(2); the signal mask of the
// latter is ignored.
func sysEpollWait(k *Kernel, a Args) (uintptr, syscall.Errno) {
	ms := int64(a.Int(3))
	if ms > 0 {
		ms *= 1e6
	}
	return k.epollWait(&a, ms)
}

// sysEpollPwait2 is epoll_pwait2(2).
func sysEpollPwait2(k *Kernel, a Args) (uintptr, syscall.Errno) {
	timeout := int64(-1)
	if ts := optional[syscall.Timespec](&a, 3); ts != nil {
		ns, ok := nanos(*ts)
		if !ok {
			return 0, syscall.EINVAL
		}
		timeout = ns
	}
	return k.epollWait(&a, timeout)
}

// epollWait waits for up to timeout nanoseconds: 0 does not wait, a negative
// one waits for ever.
func (k *Kernel) epollWait(a *Args, timeout int64) (uintptr, syscall.Errno) {
	n := a.Int(2)
	if n <= 0 || n > 1<<20 {
		return 0, syscall.EINVAL
	}
	out, e := userSlice[epollEvent](a, 1, n)
	if e != 0 {
		return 0, e
	}
	ep, d, e := k.getEpoll(a)
	if e != 0 {
		return 0, e
	}
	n = ep.wait(out)
	if n == 0 && timeout != 0 {
		s := newSleeper(k, &ep.queue, timeout)
		for {
			if n = ep.wait(out); n > 0 || !s.sleep() {
				break
			}
		}
		s.done()
	}
	d.DecRef()
	return uintptr(n), 0
}
