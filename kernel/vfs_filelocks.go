package kernel

import (
	"sync"
	"syscall"
)

// This file has file locks. POSIX locks (F_SETLK) belong to a process, so the one process
// never conflicts with itself: they always succeed and are not recorded. Locks of flock(2)
// and open file description locks (F_OFD_SETLK, fcntl(2)) belong to a description and do
// conflict.

// lockKey identifies a file.
type lockKey struct {
	dev, ino uint64
	flock    bool // locks of flock(2) and of fcntl(2) ignore each other
}

// rangeLock is a lock on bytes [start, end); end is lockEOF for "to the end of
// the file, however large".
type rangeLock struct {
	start, end int64
	exclusive  bool
	owner      *Description
}

const lockEOF = 1<<63 - 1

type lockTable struct {
	queue WaitQueue // notified when any lock is released
	mu    sync.Mutex
	files map[lockKey][]rangeLock
}

// conflict returns another owner's lock that conflicts with l. mu is held.
func (t *lockTable) conflict(key lockKey, l *rangeLock) *rangeLock {
	list := t.files[key]
	for i := range list {
		o := &list[i]
		if o.owner != l.owner && o.start < l.end && l.start < o.end && (o.exclusive || l.exclusive) {
			return o
		}
	}
	return nil
}

// carve removes the owner's locks from the range of l. mu is held.
func (t *lockTable) carve(key lockKey, l *rangeLock) {
	var out []rangeLock
	for _, o := range t.files[key] {
		if o.owner != l.owner || o.end <= l.start || l.end <= o.start {
			out = append(out, o)
			continue
		}
		if o.start < l.start {
			left := o
			left.end = l.start
			out = append(out, left)
		}
		if o.end > l.end {
			right := o
			right.start = l.end
			out = append(out, right)
		}
	}
	t.store(key, out)
}

func (t *lockTable) store(key lockKey, list []rangeLock) {
	if len(list) == 0 {
		delete(t.files, key)
		return
	}
	if t.files == nil {
		t.files = make(map[lockKey][]rangeLock)
	}
	t.files[key] = list
}

// set takes a lock; EAGAIN if it conflicts.
func (t *lockTable) set(key lockKey, l *rangeLock) syscall.Errno {
	t.mu.Lock()
	if t.conflict(key, l) != nil {
		t.mu.Unlock()
		return syscall.EAGAIN
	}
	t.carve(key, l)
	t.store(key, append(t.files[key], *l))
	l.owner.locked.Store(true)
	t.mu.Unlock()
	t.queue.Notify(EventOut) // an exclusive lock may have become shared
	return 0
}

// wait is set, but blocks while there is a conflict.
func (t *lockTable) wait(key lockKey, l *rangeLock) syscall.Errno {
	e := t.set(key, l)
	if e != syscall.EAGAIN {
		return e
	}
	s := newSleeper(l.owner.k, &t.queue, 0)
	defer s.done()
	for {
		if e = t.set(key, l); e != syscall.EAGAIN {
			return e
		}
		s.sleep()
	}
}

func (t *lockTable) unlock(key lockKey, l *rangeLock) {
	t.mu.Lock()
	t.carve(key, l)
	t.mu.Unlock()
	t.queue.Notify(EventOut)
}

// releaseAll drops every lock of d.
func (t *lockTable) releaseAll(d *Description) {
	t.mu.Lock()
	for key, list := range t.files {
		var out []rangeLock
		for _, l := range list {
			if l.owner != d {
				out = append(out, l)
			}
		}
		t.store(key, out)
	}
	t.mu.Unlock()
	t.queue.Notify(EventOut)
}

func lockKeyOf(d *Description, flock bool) (lockKey, int64, syscall.Errno) {
	var st syscall.Stat_t
	e := d.file.Stat(&st)
	return lockKey{dev: st.Dev, ino: st.Ino, flock: flock}, st.Size, e
}

// sysFlock is flock(2).
func sysFlock(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	key, _, e := lockKeyOf(d, true)
	if e != 0 {
		return 0, e
	}
	l := rangeLock{end: lockEOF, owner: d}
	switch op := a.Int(1); op &^ syscall.LOCK_NB {
	case syscall.LOCK_UN:
		k.locks.unlock(key, &l)
		return 0, 0
	case syscall.LOCK_EX:
		l.exclusive = true
	case syscall.LOCK_SH:
	default:
		return 0, syscall.EINVAL
	}
	if a.Int(1)&syscall.LOCK_NB != 0 {
		return 0, k.locks.set(key, &l)
	}
	return 0, k.locks.wait(key, &l)
}

// fcntlLock is F_GETLK and the other lock commands.
func (k *Kernel) fcntlLock(d *Description, cmd int, a *Args) syscall.Errno {
	fl, e := user[syscall.Flock_t](a, 2)
	if e != 0 {
		return e
	}
	key, size, e := lockKeyOf(d, false)
	if e != 0 {
		return e
	}
	l := rangeLock{owner: d, exclusive: fl.Type == syscall.F_WRLCK}
	if l.start, l.end, e = lockRange(d, fl, size); e != 0 {
		return e
	}
	ofd := cmd >= fOFDGetLk && cmd <= fOFDSetLkw
	if ofd && fl.Pid != 0 {
		return syscall.EINVAL
	}
	switch fl.Type {
	case syscall.F_RDLCK, syscall.F_WRLCK, syscall.F_UNLCK:
	default:
		return syscall.EINVAL
	}
	if cmd == syscall.F_GETLK || cmd == fOFDGetLk {
		k.getLock(key, &l, fl, ofd)
		return 0
	}
	if fl.Type == syscall.F_RDLCK && !d.readable() || fl.Type == syscall.F_WRLCK && !d.writable() {
		return syscall.EBADF
	}
	switch {
	case !ofd:
		return 0
	case fl.Type == syscall.F_UNLCK:
		k.locks.unlock(key, &l)
		return 0
	case cmd == fOFDSetLkw:
		return k.locks.wait(key, &l)
	}
	return k.locks.set(key, &l)
}

// getLock reports whether l could be taken, and if not, a lock that conflicts.
func (k *Kernel) getLock(key lockKey, l *rangeLock, fl *syscall.Flock_t, ofd bool) {
	k.locks.mu.Lock()
	defer k.locks.mu.Unlock()
	o := k.locks.conflict(key, l)
	if !ofd || o == nil {
		fl.Type = syscall.F_UNLCK
		return
	}
	fl.Type = syscall.F_RDLCK
	if o.exclusive {
		fl.Type = syscall.F_WRLCK
	}
	fl.Whence, fl.Start, fl.Len, fl.Pid = SeekSet, o.start, 0, -1
	if o.end != lockEOF {
		fl.Len = o.end - o.start
	}
}

// lockRange turns l_whence, l_start and l_len into a range (fcntl(2)).
func lockRange(d *Description, fl *syscall.Flock_t, size int64) (start, end int64, e syscall.Errno) {
	start = fl.Start
	switch fl.Whence {
	case SeekSet:
	case SeekCur:
		d.posMu.Lock()
		start += d.pos
		d.posMu.Unlock()
	case SeekEnd:
		start += size
	default:
		return 0, 0, syscall.EINVAL
	}
	switch {
	case fl.Len == 0:
		end = lockEOF
	case fl.Len > 0:
		if start > lockEOF-fl.Len {
			return 0, 0, syscall.EOVERFLOW
		}
		end = start + fl.Len
	default:
		start, end = start+fl.Len, start
	}
	if start < 0 {
		return 0, 0, syscall.EINVAL
	}
	return start, end, 0
}
