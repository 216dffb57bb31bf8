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
	ep.desc = newDescription(k, ep, syscall.O_RDWR)
	return count(k.fds.install(ep.desc, 0, flags&syscall.O_CLOEXEC != 0))
}

// sysEpollCtl is epoll_ctl(2). EPOLLWAKEUP has no effect, as on a Linux that never suspends. Errors
// come in Linux's order: the event, the descriptors, what can be watched, the instance, the flags.
func sysEpollCtl(k *Kernel, a Args) (uintptr, syscall.Errno) {
	op := a.Int(1)
	var ev epollEvent
	if op != syscall.EPOLL_CTL_DEL {
		p, e := user[epollEvent](&a, 3)
		if e != 0 {
			return 0, e
		}
		ev = *p
	}
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	target, e := k.get(&a, 2)
	if e != 0 {
		return 0, e
	}
	defer target.DecRef()
	if target.file.Queue() == nil {
		return 0, syscall.EPERM
	}
	ep, ok := d.file.(*epoll)
	if !ok || target == d {
		return 0, syscall.EINVAL
	}
	return 0, k.epollControl(ep, op, epollKey{fd: a.Int(2), desc: target}, ev)
}

func (k *Kernel) epollControl(ep *epoll, op int, key epollKey, ev epollEvent) syscall.Errno {
	inner, nested := key.desc.file.(*epoll)
	exclusive := ev.events&epollExclusive != 0
	switch {
	case op == syscall.EPOLL_CTL_DEL:
		return ep.remove(key)
	case op == syscall.EPOLL_CTL_MOD && !exclusive:
		return ep.modify(key, ev)
	case op != syscall.EPOLL_CTL_ADD, exclusive && (nested || ev.events&^epollWithExclusive != 0):
		return syscall.EINVAL
	case nested:
		return k.nest(ep, inner, key, ev)
	case ep.desc.watched():
		return k.addNested(ep, key, ev)
	}
	return ep.add(key, ev)
}

// nest is EPOLL_CTL_ADD of another instance. It is serialized: two calls that both look for a
// loop before either has added its instance could make one (Linux: epnested_mutex).
func (k *Kernel) nest(ep, inner *epoll, key epollKey, ev epollEvent) syscall.Errno {
	k.epollNested.Lock()
	defer k.epollNested.Unlock()
	below, ok := inner.depth(ep, 0, make(map[*epoll]int))
	if !ok || below+1+ep.height(0) > epollMaxNests {
		return syscall.ELOOP
	}
	return ep.addLimited(key, ev)
}

// addNested is EPOLL_CTL_ADD to an instance that another one watches.
func (k *Kernel) addNested(ep *epoll, key epollKey, ev epollEvent) syscall.Errno {
	k.epollNested.Lock()
	defer k.epollNested.Unlock()
	return ep.addLimited(key, ev)
}

// addLimited is add, unless the files would then have too many paths of instances to wake. The lock
// of nested instances is held.
func (ep *epoll) addLimited(key epollKey, ev epollEvent) syscall.Errno {
	if e := ep.add(key, ev); e != 0 {
		return e
	}
	if !key.desc.wakesFew(make(map[*Description]bool)) {
		ep.remove(key)
		return syscall.EINVAL
	}
	return 0
}

// epollMaxNests is how deep instances may watch instances (EP_MAX_NESTS, epoll_ctl(2)).
const epollMaxNests = 4

// depth returns how many levels of instances ep watches, directly or through nested ones; false if
// other is among them or they are too deep. known has the depth of those that were visited.
func (ep *epoll) depth(other *epoll, level int, known map[*epoll]int) (int, bool) {
	if ep == other || level > epollMaxNests {
		return 0, false
	}
	if n, ok := known[ep]; ok {
		return n, level+n <= epollMaxNests
	}
	deepest := 0
	for _, d := range ep.watches() {
		inner, nested := d.file.(*epoll)
		if !nested {
			continue
		}
		n, ok := inner.depth(other, level+1, known)
		if !ok {
			return 0, false
		}
		deepest = max(deepest, n+1)
	}
	known[ep] = deepest
	return deepest, true
}

// height returns how many levels of instances watch ep.
func (ep *epoll) height(level int) int {
	highest := 0
	if level > epollMaxNests {
		return highest
	}
	for _, outer := range ep.desc.watchedBy() {
		highest = max(highest, outer.height(level+1)+1)
	}
	return highest
}

// watches returns the files that ep watches.
func (ep *epoll) watches() []*Description {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	list := make([]*Description, 0, len(ep.items))
	for key := range ep.items {
		list = append(list, key.desc)
	}
	return list
}

// watched reports whether an instance watches d.
func (d *Description) watched() bool {
	d.watchMu.Lock()
	defer d.watchMu.Unlock()
	return len(d.watchers) > 0
}

// watchedBy returns the instances that watch d.
func (d *Description) watchedBy() []*epoll {
	d.watchMu.Lock()
	defer d.watchMu.Unlock()
	list := make([]*epoll, 0, len(d.watchers))
	for _, it := range d.watchers {
		list = append(list, it.epoll)
	}
	return list
}

// epollPaths are how many paths of two, three, four and five instances may wake for one file
// (path_limits of Linux's fs/eventpoll.c).
var epollPaths = [...]int{500, 100, 50, 10}

// wakesFew reports whether the paths to d, or to what d watches if it is an instance, are within
// the limits. known has those that were visited.
func (d *Description) wakesFew(known map[*Description]bool) bool {
	if known[d] {
		return true
	}
	known[d] = true
	if ep, ok := d.file.(*epoll); ok {
		for _, inner := range ep.watches() {
			if !inner.wakesFew(known) {
				return false
			}
		}
		return true
	}
	var paths [len(epollPaths) + 1]int
	return d.countPaths(&paths, 0)
}

func (d *Description) countPaths(paths *[len(epollPaths) + 1]int, level int) bool {
	if level > epollMaxNests {
		return false
	}
	for _, outer := range d.watchedBy() {
		if outer.desc.watched() {
			if !outer.desc.countPaths(paths, level+1) {
				return false
			}
		} else if paths[level]++; level > 0 && paths[level] > epollPaths[level-1] {
			return false
		}
	}
	return true
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
	d, e := k.get(a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	n := a.Int(2)
	if n <= 0 || n > 1<<20 {
		return 0, syscall.EINVAL
	}
	out, e := userSlice[epollEvent](a, 1, n)
	if e != 0 {
		return 0, e
	}
	ep, ok := d.file.(*epoll)
	if !ok {
		return 0, syscall.EINVAL
	}
	n = ep.wait(out)
	if n == 0 && timeout != 0 {
		ep.sleepers.Add(1)
		s := newSleeper(k, &ep.queue, timeout)
		for {
			if n = ep.wait(out); n > 0 || !s.sleep() {
				break
			}
		}
		s.done()
		ep.sleepers.Add(-1)
	}
	return uintptr(n), 0
}
