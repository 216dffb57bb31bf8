package kernel

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// These are flags of open(2) that package syscall lacks on amd64.
const (
	oPath      = 0x200000
	oTmpfile   = 0x410000 // with O_DIRECTORY
	oLargefile = 0x8000   // F_GETFL shows it on 64-bit systems; syscall.O_LARGEFILE is 0
)

// These are optional interfaces of a File.
type (
	// Seeker is a File with a position. SeekTo returns the new position for lseek(2);
	// cur is the current one.
	Seeker interface {
		SeekTo(off int64, whence int, cur int64) (int64, syscall.Errno)
	}
	// Appender is a File that can write at its end atomically (O_APPEND).
	Appender interface {
		// Append returns how much it wrote and the position after it.
		Append(p []byte) (n int, end int64, e syscall.Errno)
	}
	// Resizer is a File with a length that can be set: ftruncate(2) and
	// fallocate(2).
	Resizer interface {
		Truncate(size int64) syscall.Errno
		Allocate(mode int, off, n int64) syscall.Errno
	}
	// Syncer is a File whose data may not be durable yet: fsync(2). For other files fsync
	// is EINVAL, as for pipes and sockets.
	Syncer interface {
		Sync(dataOnly bool) syscall.Errno
	}
	// DirReader is an open directory. ReadDir calls emit for each entry from
	// position pos on until emit returns false.
	DirReader interface {
		ReadDir(pos int64, emit func(DirEntry) bool) syscall.Errno
	}
)

// Description is an open file description (open(2), NOTES), which descriptors share after
// dup(2).
type Description struct {
	k    *Kernel
	file File
	// where is the name under which it was opened; nil if it has none.
	where *dentry
	// positioned reports whether the file is a Seeker.
	positioned bool
	refs       atomic.Int64
	// flags are the O_ flags; F_SETFL changes some of them.
	flags atomic.Int32
	// owner is whom signals are for: F_SETOWN.
	owner atomic.Int32

	// posMu guards pos and makes read and write atomic with respect to each
	// other (read(2), BUGS, fixed in Linux 3.14). It is taken only if
	// positioned.
	posMu sync.Mutex
	pos   int64

	// Socket timeouts in nanoseconds, 0 for none (SO_RCVTIMEO, SO_SNDTIMEO).
	receiveTimeout, sendTimeout atomic.Int64
	// lowWater is SO_RCVLOWAT of a stream, how many bytes a read that blocks waits for; 0 is 1.
	lowWater atomic.Int32

	// watchMu guards watchers: the epoll registrations of this description.
	watchMu  sync.Mutex
	watchers []*epollItem
	locked   atomic.Bool // has or had a file lock that Release must drop
	// attr is what fchmod(2) and fchown(2) have changed of a socket whose family keeps nothing.
	attr atomic.Pointer[AttrChange]
}

// newDescription makes a description with one reference.
func newDescription(k *Kernel, f File, flags int) *Description {
	d := &Description{k: k, file: f}
	_, d.positioned = f.(Seeker)
	d.flags.Store(int32(flags &^ (syscall.O_CREAT | syscall.O_EXCL | syscall.O_NOCTTY | syscall.O_TRUNC | syscall.O_CLOEXEC)))
	d.refs.Store(1)
	return d
}

// at records the name under which the file was opened.
func (d *Description) at(where *dentry) {
	where.users.Add(1)
	d.where = where
}

// IncRef adds a reference.
func (d *Description) IncRef() { d.refs.Add(1) }

// DecRef drops a reference; the last one releases the file.
func (d *Description) DecRef() {
	if d.refs.Add(-1) == 0 {
		d.release()
	}
}

// File returns the file of the description.
func (d *Description) File() File { return d.file }

func (d *Description) release() {
	d.watchMu.Lock()
	items := d.watchers
	d.watchers = nil
	d.watchMu.Unlock()
	for _, it := range items {
		it.epoll.drop(it)
	}
	if d.locked.Load() {
		d.k.locks.releaseAll(d)
	}
	if d.flags.Load()&oPath == 0 {
		d.k.notifyClose(d)
	}
	d.file.Release()
	if d.where != nil {
		d.where.users.Add(-1)
		if d.k.inotify.active() && d.k.vfs.isDeleted(d.where) {
			d.k.notifyGone(d.where)
		}
	}
}

func (d *Description) nonblocking() bool { return d.flags.Load()&syscall.O_NONBLOCK != 0 }

// readable reports whether the access mode allows reads.
func (d *Description) readable() bool {
	f := d.flags.Load()
	return f&syscall.O_ACCMODE != syscall.O_WRONLY && f&oPath == 0
}

func (d *Description) writable() bool {
	f := d.flags.Load()
	return f&syscall.O_ACCMODE != syscall.O_RDONLY && f&oPath == 0
}

// read is read(2) on d.
func (d *Description) read(p []byte) (int, syscall.Errno) {
	if d.positioned {
		d.posMu.Lock()
		n, e := d.readAt(p, d.pos)
		d.pos += int64(n)
		d.posMu.Unlock()
		if e != syscall.EAGAIN || d.nonblocking() {
			return n, e
		}
		return d.readWaiting(p) // /dev/random, or /dev/kmsg
	}
	if len(p) == 0 {
		if _, ok := d.file.(Socket); ok { // whatever the socket's state (sock_read_iter in net/socket.c)
			return 0, 0
		}
	}
	n, e := d.file.Read(p, 0)
	if e != syscall.EAGAIN && (d.lowWater.Load() == 0 || e != 0) || d.nonblocking() {
		return n, e
	}
	if e != syscall.EAGAIN {
		s := newSleeper(d.k, d.file.Queue(), d.receiveTimeout.Load())
		n = d.readEnough(s, p, n)
		s.done()
		return n, 0
	}
	return d.readWaiting(p)
}

// readWaiting is read that waits until there is something.
func (d *Description) readWaiting(p []byte) (n int, e syscall.Errno) {
	e = syscall.EAGAIN
	s := newSleeper(d.k, d.file.Queue(), d.receiveTimeout.Load())
	defer s.done()
	for e == syscall.EAGAIN {
		ended := d.ended()
		if d.mayReceive() {
			n, e = d.file.Read(p, 0)
		}
		if e == syscall.EAGAIN && ended {
			return 0, 0
		}
		if e == syscall.EAGAIN && !s.sleep() {
			if d.lowWater.Load() != 0 {
				n, e = d.file.Read(p, 0) // less is better than nothing now
			}
			break
		}
	}
	if e == 0 && n > 0 {
		n = d.readEnough(s, p, n)
	}
	return n, e
}

// ended reports whether a reader that would wait gets an end of file instead: a socket of datagrams
// that is shut down still says EAGAIN to one that does not wait (__skb_wait_for_more_packets in
// Linux's net/core/datagram.c).
func (d *Description) ended() bool { return d.file.Readiness()&EventRdHup != 0 }

// mayReceive reports whether a reader that waits should look for data: with SO_RCVLOWAT Linux wakes
// it for nothing less, even if it wants less (tcp_data_ready in net/ipv4/tcp_input.c).
func (d *Description) mayReceive() bool {
	return d.lowWater.Load() == 0 || d.file.Readiness()&(EventIn|EventErr|EventHup) != 0
}

// readEnough continues after n bytes of p were read until there are as many as SO_RCVLOWAT asks
// for, or an end.
func (d *Description) readEnough(s *sleeper, p []byte, n int) int {
	for n < min(len(p), int(d.lowWater.Load())) {
		more, e := d.file.Read(p[n:], 0)
		if e == syscall.EAGAIN && s.sleep() {
			continue
		}
		if e != 0 || more == 0 {
			break
		}
		n += more
	}
	return n
}

// write is write(2) on d. A blocking write to a pipe or a stream socket takes
// all of p unless an error comes first.
func (d *Description) write(p []byte) (int, syscall.Errno) {
	if d.positioned {
		return d.writePositioned(p, d.flags.Load())
	}
	n, e := d.file.Write(p, 0)
	if (e != syscall.EAGAIN && (e != 0 || n == len(p))) || d.nonblocking() {
		return n, e
	}
	s := newSleeper(d.k, d.file.Queue(), d.sendTimeout.Load())
	defer s.done()
	for n < len(p) {
		m, e := d.file.Write(p[n:], 0)
		n += m
		if e == syscall.EAGAIN {
			if s.sleep() {
				continue
			}
		}
		if e != 0 {
			if n > 0 {
				return n, 0
			}
			return 0, e
		}
	}
	return n, 0
}

// writePositioned is write(2) of a file with a position; of flags, O_APPEND, O_DSYNC and O_SYNC
// count.
func (d *Description) writePositioned(p []byte, flags int32) (int, syscall.Errno) {
	if len(p) == 0 { // O_APPEND does not move the position
		return 0, 0
	}
	d.posMu.Lock()
	var n int
	var e syscall.Errno
	if d.pos+int64(len(p)) < 0 { // beyond the largest offset
		e = syscall.EINVAL
	} else if ap, ok := d.file.(Appender); ok && flags&syscall.O_APPEND != 0 {
		var end int64
		if n, end, e = ap.Append(p); e == 0 {
			d.pos = end
		}
	} else {
		n, e = d.file.Write(p, d.pos)
		d.pos += int64(n)
	}
	d.posMu.Unlock()
	d.wrote(n, flags)
	return n, e
}

// wrote completes a write of n bytes to a regular file.
func (d *Description) wrote(n int, flags int32) {
	if n == 0 {
		return
	}
	if flags&syscall.O_DSYNC != 0 {
		if s, ok := d.file.(Syncer); ok {
			s.Sync(flags&syscall.O_SYNC != syscall.O_SYNC)
		}
	}
	if d.k.inotify.active() {
		d.k.notifyModify(d.where)
	}
}

// A sleeper lets a goroutine wait on queues. Sleepers are pooled, so that blocking allocates
// nothing.
type sleeper struct {
	k      *Kernel       // nil: no event from outside the program can end the wait
	woken  chan struct{} // capacity 1, so that a wake-up is never lost
	waiter Waiter
	queue  *WaitQueue
	// extra are further waiters, for poll(2).
	extra  []Waiter
	queues []*WaitQueue
	// A wait with a timeout compares rung with setting, because an alarm of an earlier
	// wait may still fire.
	timed   bool
	setting uint64
	rung    atomic.Uint64
	timer   alarm
}

// sleepers are the unused ones. (A sync.Pool would keep them as interface values; since they
// contain a timer, that would link all of package time.)
var sleepers struct {
	sync.Mutex
	free []*sleeper
}

func getSleeper() *sleeper {
	p := &sleepers
	p.Lock()
	defer p.Unlock()
	if n := len(p.free); n > 0 {
		s := p.free[n-1]
		p.free = p.free[:n-1]
		return s
	}
	s := &sleeper{woken: make(chan struct{}, 1)}
	s.waiter.Notify = s.wake
	return s
}

func (s *sleeper) wake(Events) {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// newSleeper returns a sleeper on q (which may be nil) whose sleep ends after timeout
// nanoseconds if that is positive. The caller must check the file once more before it
// sleeps.
func newSleeper(k *Kernel, q *WaitQueue, timeout int64) *sleeper {
	s := getSleeper()
	s.k, s.queue = k, q
	if q != nil {
		q.Add(&s.waiter)
	}
	if timeout > 0 {
		s.setTimeout(timeout)
	}
	return s
}

// setTimeout makes sleep return false once ns nanoseconds have passed.
func (s *sleeper) setTimeout(ns int64) {
	s.timed = true
	s.setting++
	setting := s.setting
	s.timer = afterFunc(ns, func() {
		s.rung.Store(setting)
		s.wake(0)
	})
}

// watch adds queues.
func (s *sleeper) watch(queues []*WaitQueue) {
	s.queues = append(s.queues[:0], queues...)
	for len(s.extra) < len(queues) {
		s.extra = append(s.extra, Waiter{Notify: s.wake})
	}
	for i, q := range s.queues {
		q.Add(&s.extra[i])
	}
}

// sleep waits for a wake-up; it returns false if the timeout has passed.
func (s *sleeper) sleep() bool {
	if !s.timed {
		if s.k == nil {
			<-s.woken
			return true
		}
		s.k.m.Waiting(1)
		<-s.woken
		s.k.m.Waiting(-1)
		return true
	}
	<-s.woken
	return s.rung.Load() != s.setting
}

// done leaves the queues and returns s to the pool.
func (s *sleeper) done() {
	if s.queue != nil {
		s.queue.Remove(&s.waiter)
		s.queue = nil
	}
	for i, q := range s.queues {
		q.Remove(&s.extra[i])
		s.queues[i] = nil
	}
	s.queues = s.queues[:0]
	if s.timed {
		s.timer.stop()
		s.timed = false
	}
	select {
	case <-s.woken:
	default:
	}
	s.k = nil
	sleepers.Lock()
	sleepers.free = append(sleepers.free, s)
	sleepers.Unlock()
}
