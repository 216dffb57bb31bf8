package kernel

import (
	"sync"
	"syscall"
)

// maxFiles is the hard limit of open descriptors (RLIMIT_NOFILE).
const maxFiles = 1 << 20

// fdTable maps descriptor numbers to open file descriptions.
type fdTable struct {
	m  Machine
	mu sync.RWMutex
	// entries[n].desc is nil if n is free.
	entries []fdEntry
	// lowest is the smallest number that may be free.
	lowest int
}

type fdEntry struct {
	desc    *Description
	cloexec bool
	// waiter passes readiness on to the Go netpoller; nil for files that are always
	// ready.
	waiter *Waiter
}

// get returns the description of fd with a reference that the caller drops.
func (t *fdTable) get(fd int) (*Description, syscall.Errno) {
	t.mu.RLock()
	if uint(fd) >= uint(len(t.entries)) || t.entries[fd].desc == nil {
		t.mu.RUnlock()
		return nil, syscall.EBADF
	}
	d := t.entries[fd].desc
	d.IncRef()
	t.mu.RUnlock()
	return d, 0
}

// install gives d the lowest free number that is at least min. It takes over
// the caller's reference; on EMFILE it drops it.
func (t *fdTable) install(d *Description, min int, cloexec bool) (int, syscall.Errno) {
	t.mu.Lock()
	fd := max(min, t.lowest)
	for fd < len(t.entries) && t.entries[fd].desc != nil {
		fd++
	}
	if uint64(fd) >= d.k.proc.limit(rlimitNoFile) {
		t.mu.Unlock()
		d.DecRef()
		return -1, syscall.EMFILE
	}
	if min <= t.lowest {
		t.lowest = fd + 1
	}
	t.put(fd, d, cloexec)
	t.mu.Unlock()
	return fd, 0
}

// put stores d under fd, which is free. The netpoller is told before the caller can know the
// number. The lock is held.
func (t *fdTable) put(fd int, d *Description, cloexec bool) {
	for fd >= len(t.entries) {
		t.entries = append(t.entries, fdEntry{})
	}
	e := fdEntry{desc: d, cloexec: cloexec}
	if q := d.file.Queue(); q != nil && d.flags.Load()&oPath == 0 {
		m := t.m
		m.SetPollable(fd, true)
		e.waiter = &Waiter{Notify: func(ev Events) { m.Ready(fd, ev) }}
		q.Add(e.waiter)
		// The file may have become ready before the waiter was added.
		m.Ready(fd, d.file.Readiness())
	}
	t.entries[fd] = e
}

// take frees fd and returns its description, nil if it was free. The lock is held.
func (t *fdTable) take(fd int) *Description {
	e := t.entries[fd]
	if e.desc == nil {
		return nil
	}
	if e.waiter != nil {
		e.desc.file.Queue().Remove(e.waiter)
		t.m.SetPollable(fd, false)
	}
	t.entries[fd] = fdEntry{}
	t.lowest = min(t.lowest, fd)
	return e.desc
}

// close frees fd.
func (t *fdTable) close(fd int) syscall.Errno {
	t.mu.Lock()
	if uint(fd) >= uint(len(t.entries)) {
		t.mu.Unlock()
		return syscall.EBADF
	}
	d := t.take(fd)
	t.mu.Unlock()
	if d == nil {
		return syscall.EBADF
	}
	d.k.locks.closed(d)
	d.DecRef()
	return 0
}

// replace makes fd refer to d (dup2(2)). It takes over the caller's reference.
func (t *fdTable) replace(fd int, d *Description, cloexec bool) syscall.Errno {
	if fd < 0 || uint64(fd) >= d.k.proc.limit(rlimitNoFile) {
		d.DecRef()
		return syscall.EBADF
	}
	t.mu.Lock()
	var old *Description
	if fd < len(t.entries) {
		old = t.take(fd)
	}
	t.put(fd, d, cloexec)
	t.mu.Unlock()
	if old != nil {
		old.k.locks.closed(old)
		old.DecRef()
	}
	return 0
}

// cloexec returns the close-on-exec flag, after changing it if set is not nil.
func (t *fdTable) cloexec(fd int, set *bool) (bool, syscall.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if uint(fd) >= uint(len(t.entries)) || t.entries[fd].desc == nil {
		return false, syscall.EBADF
	}
	old := t.entries[fd].cloexec
	if set != nil {
		t.entries[fd].cloexec = *set
	}
	return old, 0
}

// numbers returns the descriptors in use, in order.
func (t *fdTable) numbers() []int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []int
	for i := range t.entries {
		if t.entries[i].desc != nil {
			out = append(out, i)
		}
	}
	return out
}
