package kernel

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// This file has file locks. Locks of flock(2) and open file description locks (F_OFD_SETLK, fcntl(2))
// belong to a description, POSIX locks (F_SETLK) to the process: they never conflict among themselves,
// but with those of descriptions, and the process loses them when it closes any descriptor of the
// file.

// lockKey identifies a file.
type lockKey struct {
	dev, ino uint64
	flock    bool // locks of flock(2) and of fcntl(2) ignore each other
}

// rangeLock is a lock on bytes first to last.
type rangeLock struct {
	first, last int64 // last is lockEOF for "to the end of the file, however large"
	exclusive   bool
	owner       *Description
}

const lockEOF = 1<<63 - 1

func (l *rangeLock) overlaps(o *rangeLock) bool { return l.first <= o.last && o.first <= l.last }

// lockTable has all locks. Those of one owner on one file do not overlap, those that touch are of
// different kinds, and they stand together, in order.
type lockTable struct {
	queue   WaitQueue // notified when any lock is released
	process Description
	posix   atomic.Int64 // how many locks the process has
	mu      sync.Mutex
	files   map[lockKey][]rangeLock
}

// conflict returns another owner's lock that conflicts with l. mu is held.
func (t *lockTable) conflict(key lockKey, l *rangeLock) *rangeLock {
	list := t.files[key]
	for i := range list {
		o := &list[i]
		if o.owner != l.owner && o.overlaps(l) && (o.exclusive || l.exclusive) {
			return o
		}
	}
	return nil
}

// own returns a lock of l's owner on bytes of l. mu is held.
func (t *lockTable) own(key lockKey, l *rangeLock) *rangeLock {
	list := t.files[key]
	for i := range list {
		if o := &list[i]; o.owner == l.owner && o.overlaps(l) {
			return o
		}
	}
	return nil
}

// replace gives the bytes of l to l, or to nobody, among the locks of its owner. mu is held.
func (t *lockTable) replace(key lockKey, l *rangeLock, keep bool) {
	list := t.files[key]
	at := slices.IndexFunc(list, func(o rangeLock) bool { return o.owner == l.owner })
	if at < 0 {
		at = len(list)
	}
	end := at
	for end < len(list) && list[end].owner == l.owner {
		end++
	}
	own := carve(list[at:end], l)
	if keep {
		own = insert(own, *l)
	}
	if l.owner == &t.process {
		t.posix.Add(int64(len(own) - (end - at)))
	}
	t.store(key, slices.Concat(list[:at], own, list[end:]))
}

// carve returns an owner's locks without the bytes of l.
func carve(list []rangeLock, l *rangeLock) []rangeLock {
	var out []rangeLock
	for _, o := range list {
		if !o.overlaps(l) {
			out = append(out, o)
			continue
		}
		if o.first < l.first {
			left := o
			left.last = l.first - 1
			out = append(out, left)
		}
		if o.last > l.last {
			right := o
			right.first = l.last + 1
			out = append(out, right)
		}
	}
	return out
}

// insert adds l to an owner's locks, none of which overlaps it, and joins it with those that it
// touches.
func insert(list []rangeLock, l rangeLock) []rangeLock {
	var out []rangeLock
	placed := false
	for _, o := range list {
		switch {
		case o.exclusive == l.exclusive && o.last != lockEOF && o.last+1 == l.first:
			l.first = o.first
		case o.exclusive == l.exclusive && l.last != lockEOF && l.last+1 == o.first:
			l.last = o.last
		case o.first > l.last && !placed:
			out, placed = append(out, l, o), true
		default:
			out = append(out, o)
		}
	}
	if !placed {
		out = append(out, l)
	}
	return out
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

// set takes a lock; EAGAIN if it conflicts. A lock of flock(2) of the other kind is lost even then:
// "the existing lock is first removed".
func (t *lockTable) set(key lockKey, l *rangeLock) syscall.Errno {
	t.mu.Lock()
	if key.flock && t.own(key, l) != nil {
		if t.own(key, l).exclusive == l.exclusive {
			t.mu.Unlock()
			return 0
		}
		t.replace(key, l, false)
		t.mu.Unlock()
		t.queue.Notify(EventOut)
		t.mu.Lock()
	}
	if t.conflict(key, l) != nil {
		t.mu.Unlock()
		return syscall.EAGAIN
	}
	t.replace(key, l, true)
	l.owner.locked.Store(true)
	t.mu.Unlock()
	t.queue.Notify(EventOut) // an exclusive lock may have become shared
	return 0
}

// wait is set, but blocks while there is a conflict.
func (t *lockTable) wait(k *Kernel, key lockKey, l *rangeLock) syscall.Errno {
	e := t.set(key, l)
	if e != syscall.EAGAIN {
		return e
	}
	s := newSleeper(k, &t.queue, 0)
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
	t.replace(key, l, false)
	t.mu.Unlock()
	t.queue.Notify(EventOut)
}

// releaseAll drops every lock of d.
func (t *lockTable) releaseAll(d *Description) {
	t.mu.Lock()
	for key, list := range t.files {
		t.store(key, slices.DeleteFunc(slices.Clone(list), func(l rangeLock) bool { return l.owner == d }))
	}
	t.mu.Unlock()
	t.queue.Notify(EventOut)
}

// closed drops the process's locks on a file of which it has closed a descriptor (fcntl(2)).
func (t *lockTable) closed(d *Description) {
	if t.posix.Load() == 0 || d.flags.Load()&oPath != 0 {
		return
	}
	if key, _, e := lockKeyOf(d, false); e == 0 {
		t.unlock(key, &rangeLock{last: lockEOF, owner: &t.process})
	}
}

func lockKeyOf(d *Description, flock bool) (lockKey, int64, syscall.Errno) {
	var st syscall.Stat_t
	e := d.file.Stat(&st)
	return lockKey{dev: st.Dev, ino: st.Ino, flock: flock}, st.Size, e
}

// sysFlock is flock(2).
func sysFlock(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const mandatory = 32 // LOCK_MAND: nothing happens, as since Linux 5.15
	op := a.Int(1)
	if op&mandatory != 0 {
		return 0, 0
	}
	l := rangeLock{last: lockEOF}
	unlock := false
	switch op &^ syscall.LOCK_NB {
	case syscall.LOCK_UN:
		unlock = true
	case syscall.LOCK_EX:
		l.exclusive = true
	case syscall.LOCK_SH:
	default:
		return 0, syscall.EINVAL
	}
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	l.owner = d
	key, _, e := lockKeyOf(d, true)
	switch {
	case e != 0:
		return 0, e
	case unlock:
		k.locks.unlock(key, &l)
		return 0, 0
	case op&syscall.LOCK_NB != 0:
		return 0, k.locks.set(key, &l)
	}
	return 0, k.locks.wait(k, key, &l)
}

// fcntlLock is F_GETLK and the other lock commands. Errors come in the order of Linux's
// fcntl_getlk and fcntl_setlk.
func (k *Kernel) fcntlLock(d *Description, cmd int, a *Args) syscall.Errno {
	fl, e := user[syscall.Flock_t](a, 2)
	if e != 0 {
		return e
	}
	if cmd == syscall.F_GETLK && fl.Type != syscall.F_RDLCK && fl.Type != syscall.F_WRLCK {
		return syscall.EINVAL
	}
	key, size, e := lockKeyOf(d, false)
	if e != 0 {
		return e
	}
	ofd := cmd >= fOFDGetLk && cmd <= fOFDSetLkw
	l := rangeLock{owner: &k.locks.process, exclusive: fl.Type == syscall.F_WRLCK}
	if ofd {
		l.owner = d
	}
	if l.first, l.last, e = lockRange(d, fl, size); e != 0 {
		return e
	}
	get := cmd == syscall.F_GETLK || cmd == fOFDGetLk
	switch fl.Type {
	case syscall.F_RDLCK, syscall.F_WRLCK, syscall.F_UNLCK:
	default:
		return syscall.EINVAL
	}
	if !get && (fl.Type == syscall.F_RDLCK && !d.readable() || fl.Type == syscall.F_WRLCK && !d.writable()) {
		return syscall.EBADF
	}
	if ofd && fl.Pid != 0 {
		return syscall.EINVAL
	}
	switch {
	case get:
		k.getLock(key, &l, fl)
		return 0
	case fl.Type == syscall.F_UNLCK:
		k.locks.unlock(key, &l)
		return 0
	case cmd == fOFDSetLkw || cmd == syscall.F_SETLKW:
		return k.locks.wait(k, key, &l)
	}
	return k.locks.set(key, &l)
}

// getLock reports whether l could be taken, and if not, a lock that conflicts; for F_UNLCK
// (Linux 6.7), a lock of the owner.
func (k *Kernel) getLock(key lockKey, l *rangeLock, fl *syscall.Flock_t) {
	k.locks.mu.Lock()
	defer k.locks.mu.Unlock()
	find := k.locks.conflict
	if fl.Type == syscall.F_UNLCK {
		find = k.locks.own
	}
	o := find(key, l)
	if o == nil {
		fl.Type = syscall.F_UNLCK
		return
	}
	fl.Type = syscall.F_RDLCK
	if o.exclusive {
		fl.Type = syscall.F_WRLCK
	}
	fl.Whence, fl.Start, fl.Len, fl.Pid = SeekSet, o.first, 0, k.locks.pid(o)
	if o.last != lockEOF {
		fl.Len = o.last - o.first + 1
	}
}

// pid is the owner of a fcntl lock as F_GETLK and /proc/locks show it.
func (t *lockTable) pid(l *rangeLock) int32 {
	if l.owner == &t.process {
		return pid
	}
	return -1
}

// lockRange turns l_whence, l_start and l_len into a range (fcntl(2)).
func lockRange(d *Description, fl *syscall.Flock_t, size int64) (first, last int64, e syscall.Errno) {
	switch fl.Whence {
	case SeekSet:
	case SeekCur:
		d.posMu.Lock()
		first = d.pos
		d.posMu.Unlock()
	case SeekEnd:
		first = size
	default:
		return 0, 0, syscall.EINVAL
	}
	if fl.Start > lockEOF-first {
		return 0, 0, syscall.EOVERFLOW
	}
	if first += fl.Start; first < 0 {
		return 0, 0, syscall.EINVAL
	}
	switch {
	case fl.Len > 0:
		if fl.Len-1 > lockEOF-first {
			return 0, 0, syscall.EOVERFLOW
		}
		return first, first + fl.Len - 1, 0
	case fl.Len < 0:
		if first+fl.Len < 0 {
			return 0, 0, syscall.EINVAL
		}
		return first + fl.Len, first - 1, 0
	}
	return first, lockEOF, 0
}

// procLocks is /proc/locks, proc_locks(5).
func procLocks(k *Kernel, b []byte) []byte {
	t := &k.locks
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for key, list := range t.files {
		for i := range list {
			n++
			b = appendLock(append(strconv.AppendInt(b, int64(n), 10), ": "...), key, &list[i], t.pid(&list[i]))
		}
	}
	return b
}

func appendLock(b []byte, key lockKey, l *rangeLock, owner int32) []byte {
	kind := "POSIX  "
	switch {
	case key.flock:
		kind, owner = "FLOCK  ", pid
	case owner < 0:
		kind = "OFDLCK "
	}
	access := " READ  "
	if l.exclusive {
		access = " WRITE "
	}
	b = append(append(append(b, kind...), "ADVISORY "...), access...)
	b = append(strconv.AppendInt(b, int64(owner), 10), ' ')
	for _, v := range [...]uint32{major(key.dev), minor(key.dev)} {
		if v < 16 {
			b = append(b, '0')
		}
		b = append(strconv.AppendUint(b, uint64(v), 16), ':')
	}
	b = append(strconv.AppendUint(b, key.ino, 10), ' ')
	b = append(strconv.AppendInt(b, l.first, 10), ' ')
	if l.last == lockEOF {
		return append(b, "EOF\n"...)
	}
	return append(strconv.AppendInt(b, l.last, 10), '\n')
}
