package kernel

import (
	"sync"
	"syscall"
)

const (
	pipeDefault = 64 << 10 // pipe(7): the default capacity
	pipeMax     = 1 << 20  // /proc/sys/fs/pipe-max-size
	pipeAtomic  = 4096     // PIPE_BUF: writes up to this are not split
)

// pipe is a pipe or the object behind a FIFO (pipe(7), fifo(7)).
type pipe struct {
	// Each end waits on the queue of its direction, one that is open for both on the third: a write
	// is no event for those that write.
	readQueue, writeQueue, bothQueue WaitQueue

	mu               sync.Mutex
	buf              []byte // a ring buffer; grows up to limit
	start, used      int
	limit            int
	pages            pipePages
	readers, writers int
	mode, uid, gid   uint32 // of a pipe without a name
	born             int64  // its times
	// readOpens and writeOpens count all opens of each end, so that an open that waits for
	// a peer does not miss one that has closed it already.
	readOpens, writeOpens uint64
}

func newPipe() *pipe { return &pipe{limit: pipeDefault, mode: syscall.S_IFIFO | 0o600} }

// pipeEnd is one open end of a pipe, or both.
type pipeEnd struct {
	pipe        *pipe
	read, write bool
	inode       Inode // of a FIFO; nil for pipe(2)
	id          uint64
	peerOpens   uint64 // opens of the other end before this end was opened
}

// open makes an end for the access mode in flags.
func (p *pipe) open(flags int, inode Inode) *pipeEnd {
	acc := flags & syscall.O_ACCMODE
	end := &pipeEnd{pipe: p, read: acc != syscall.O_WRONLY, write: acc != syscall.O_RDONLY, inode: inode}
	p.mu.Lock()
	end.peerOpens = p.peerOpens(end)
	if end.read && p.writers > 0 || end.write && p.readers > 0 {
		end.peerOpens-- // the peer is here, and may have closed its end when waitForPeer looks
	}
	if end.read {
		p.readers++
		p.readOpens++
	}
	if end.write {
		p.writers++
		p.writeOpens++
	}
	p.mu.Unlock()
	p.notifyAll(EventIn | EventOut)
	return end
}

// waitForPeer blocks an open of a FIFO until the other end is open (fifo(7)).
func (end *pipeEnd) waitForPeer(flags int) syscall.Errno {
	if end.read && end.write || end.read && flags&syscall.O_NONBLOCK != 0 {
		return 0
	}
	p := end.pipe
	if p.peerThere(end) {
		return 0
	}
	if flags&syscall.O_NONBLOCK != 0 {
		p.mu.Lock()
		p.writeOpens-- // it never was open
		p.mu.Unlock()
		return syscall.ENXIO
	}
	s := newSleeper(nil, end.Queue(), 0)
	defer s.done()
	for !p.peerThere(end) {
		s.sleep()
	}
	return 0
}

// peerOpens counts the opens of the other end. mu is held.
func (p *pipe) peerOpens(end *pipeEnd) uint64 {
	if end.read {
		return p.writeOpens
	}
	return p.readOpens
}

// peerThere reports whether the other end is open, or was when end was opened or since.
func (p *pipe) peerThere(end *pipeEnd) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return end.read && p.writers > 0 || end.write && p.readers > 0 || p.peerOpens(end) != end.peerOpens
}

func (p *pipe) capacity() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}

// setCapacity is F_SETPIPE_SZ: rounded up to a power of two pages.
func (p *pipe) setCapacity(n uint32) (int, syscall.Errno) {
	if n > 1<<31 {
		return 0, syscall.EINVAL
	}
	size := pipeAtomic
	for size < int(n) {
		size *= 2
	}
	if size > pipeMax {
		return 0, syscall.EPERM
	}
	p.mu.Lock()
	if p.pages.used > size/pageSize {
		p.mu.Unlock()
		return 0, syscall.EBUSY
	}
	p.limit = size
	if len(p.buf) > size {
		p.resize(size)
	}
	p.mu.Unlock()
	p.notifyWriters(EventOut | EventErr | EventHup) // there may be more room
	return size, 0
}

// resize moves the bytes to a ring buffer of n bytes. mu is held.
func (p *pipe) resize(n int) {
	buf := make([]byte, n)
	m := copy(buf, p.buf[p.start:min(p.start+p.used, len(p.buf))])
	copy(buf[m:], p.buf[:p.used-m])
	p.buf, p.start = buf, 0
}

func (end *pipeEnd) Read(b []byte, _ int64) (int, syscall.Errno) {
	p := end.pipe
	if len(b) == 0 {
		return 0, 0
	}
	p.mu.Lock()
	if p.used == 0 {
		writers := p.writers
		p.mu.Unlock()
		if writers > 0 {
			return 0, syscall.EAGAIN
		}
		return 0, 0
	}
	n := 0
	for n < len(b) && p.used > 0 {
		m := copy(b[n:], p.buf[p.start:min(p.start+p.used, len(p.buf))])
		n += m
		p.used -= m
		p.start = (p.start + m) % len(p.buf)
	}
	if p.used == 0 {
		p.start = 0
	}
	full := p.pages.used >= p.limit/pageSize
	freed := p.pages.take(n)
	p.mu.Unlock()
	if full && freed { // writers wait for nothing else
		p.notifyWriters(EventOut)
	}
	return n, 0
}

func (end *pipeEnd) Write(b []byte, _ int64) (int, syscall.Errno) {
	p := end.pipe
	if len(b) == 0 {
		return 0, 0
	}
	p.mu.Lock()
	if p.readers == 0 {
		p.mu.Unlock()
		return 0, syscall.EPIPE
	}
	room := p.pages.add(len(b), p.limit/pageSize)
	if room == 0 {
		p.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	b = b[:room]
	if need := p.used + len(b); need > len(p.buf) {
		size := max(len(p.buf), pipeAtomic)
		for size < need {
			size *= 2
		}
		p.resize(min(size, p.limit))
	}
	for n := 0; n < len(b); {
		end := (p.start + p.used) % len(p.buf)
		stop := len(p.buf)
		if end < p.start {
			stop = p.start
		}
		m := copy(p.buf[end:stop], b[n:])
		n += m
		p.used += m
	}
	p.mu.Unlock()
	p.notifyReaders(EventIn)
	return len(b), 0
}

func (end *pipeEnd) Readiness() (ev Events) {
	p := end.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if end.read {
		if p.used > 0 {
			ev |= EventIn
		}
		if p.writers == 0 && (end.inode == nil || p.writeOpens != end.peerOpens) { // no writer since this end was opened: not yet
			ev |= EventHup
		}
	}
	if end.write {
		if p.pages.used < p.limit/pageSize {
			ev |= EventOut
		}
		if p.readers == 0 {
			ev |= EventErr
		}
	}
	return ev
}

// Queue is that of the end's direction.
func (end *pipeEnd) Queue() *WaitQueue {
	switch {
	case !end.write:
		return &end.pipe.readQueue
	case !end.read:
		return &end.pipe.writeQueue
	}
	return &end.pipe.bothQueue
}

func (p *pipe) notifyReaders(ev Events) {
	p.readQueue.Notify(ev)
	p.bothQueue.Notify(ev)
}

func (p *pipe) notifyWriters(ev Events) {
	p.writeQueue.Notify(ev)
	p.bothQueue.Notify(ev)
}

func (p *pipe) notifyAll(ev Events) {
	p.readQueue.Notify(ev)
	p.notifyWriters(ev)
}

func (end *pipeEnd) Stat(st *syscall.Stat_t) syscall.Errno {
	if end.inode != nil {
		return end.inode.Stat(st)
	}
	p := end.pipe
	p.mu.Lock()
	*st = syscall.Stat_t{Dev: anonDev, Ino: end.id, Nlink: 1, Mode: p.mode, Uid: p.uid, Gid: p.gid, Blksize: pageSize}
	p.mu.Unlock()
	st.Atim = timespec(p.born)
	st.Mtim, st.Ctim = st.Atim, st.Atim
	return 0
}

// SetAttr is fchmod(2) and fchown(2).
func (end *pipeEnd) SetAttr(c AttrChange) syscall.Errno {
	if end.inode != nil {
		return end.inode.SetAttr(c)
	}
	p := end.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Mask&AttrMode != 0 {
		p.mode = syscall.S_IFIFO | c.Mode
	}
	if c.Mask&AttrUID != 0 {
		p.uid = c.UID
	}
	if c.Mask&AttrGID != 0 {
		p.gid = c.GID
	}
	return 0
}

// canWrite returns the error of a write that does not wait: EPIPE, EAGAIN.
func (end *pipeEnd) canWrite() syscall.Errno {
	switch ev := end.Readiness(); {
	case ev&EventErr != 0:
		return syscall.EPIPE
	case ev&EventOut == 0:
		return syscall.EAGAIN
	}
	return 0
}

func (end *pipeEnd) Release() {
	p := end.pipe
	p.mu.Lock()
	if end.read {
		p.readers--
	}
	if end.write {
		p.writers--
	}
	if p.readers == 0 && p.writers == 0 {
		p.buf, p.start, p.used, p.pages = nil, 0, 0, pipePages{}
	}
	p.mu.Unlock()
	p.notifyAll(EventIn | EventOut | EventHup | EventErr)
}

// Ioctl serves FIONREAD.
func (end *pipeEnd) Ioctl(req uintptr, a Args) (uintptr, syscall.Errno) {
	if req != fionread {
		return 0, syscall.ENOTTY
	}
	n, e := user[int32](&a, 2)
	if e != 0 {
		return 0, e
	}
	end.pipe.mu.Lock()
	*n = int32(end.pipe.used)
	end.pipe.mu.Unlock()
	return 0, 0
}

// sysPipe is pipe(2).
func sysPipe(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.pipe(&a, 0) }

// sysPipe2 is pipe2(2). Packet mode (O_DIRECT) is EINVAL.
func sysPipe2(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.pipe(&a, a.Int(1)) }

func (k *Kernel) pipe(a *Args, flags int) (uintptr, syscall.Errno) {
	if flags&^(syscall.O_CLOEXEC|syscall.O_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	p := newPipe()
	p.born = wallTime()
	id := k.proc.nextID()
	r := p.open(syscall.O_RDONLY, nil)
	w := p.open(syscall.O_WRONLY, nil)
	r.id, w.id = id, id
	nonblock := flags & syscall.O_NONBLOCK
	return 0, k.installPair(a, 0, flags,
		newDescription(k, r, syscall.O_RDONLY|nonblock),
		newDescription(k, w, syscall.O_WRONLY|nonblock))
}

// installPair installs two descriptions and stores their numbers in argument i.
func (k *Kernel) installPair(a *Args, i, flags int, x, y *Description) syscall.Errno {
	fds, e := userSlice[int32](a, i, 2)
	if e != 0 {
		x.DecRef()
		y.DecRef()
		return e
	}
	cloexec := flags&syscall.O_CLOEXEC != 0
	m, e := k.fds.install(x, 0, cloexec)
	if e != 0 {
		y.DecRef()
		return e
	}
	n, e := k.fds.install(y, 0, cloexec)
	if e != 0 {
		k.fds.close(m)
		return e
	}
	fds[0], fds[1] = int32(m), int32(n)
	return 0
}
