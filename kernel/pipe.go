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
	queue WaitQueue // both ends wait here

	mu               sync.Mutex
	buf              []byte // a ring; grows up to limit
	start, used      int
	limit            int
	readers, writers int
	// opens count all that ever opened an end, so that an open that waits for
	// a peer sees one that came and went.
	readOpens, writeOpens uint64
}

func newPipe() *pipe { return &pipe{limit: pipeDefault} }

// pipeEnd is a descriptor's view of a pipe.
type pipeEnd struct {
	pipe        *pipe
	read, write bool
	inode       Inode // of a FIFO; nil for pipe(2)
	id          uint64
	peerOpens   uint64 // how many had opened the other end before this one
}

// open makes an end for the access mode in flags.
func (p *pipe) open(flags int, inode Inode) *pipeEnd {
	acc := flags & syscall.O_ACCMODE
	e := &pipeEnd{pipe: p, read: acc != syscall.O_WRONLY, write: acc != syscall.O_RDONLY, inode: inode}
	p.mu.Lock()
	e.peerOpens = p.peerOpens(e)
	if e.read && p.writers > 0 || e.write && p.readers > 0 {
		e.peerOpens-- // it is here, and may be gone when waitForPeer looks
	}
	if e.read {
		p.readers++
		p.readOpens++
	}
	if e.write {
		p.writers++
		p.writeOpens++
	}
	p.mu.Unlock()
	p.queue.Notify(EventIn | EventOut)
	return e
}

// waitForPeer blocks an open of a FIFO until the other end is open (fifo(7)).
func (e *pipeEnd) waitForPeer(flags int) syscall.Errno {
	if e.read && e.write || e.read && flags&syscall.O_NONBLOCK != 0 {
		return 0
	}
	p := e.pipe
	if p.peerThere(e) {
		return 0
	}
	if flags&syscall.O_NONBLOCK != 0 {
		return syscall.ENXIO
	}
	s := newSleeper(nil, &p.queue, 0)
	defer s.done()
	for !p.peerThere(e) {
		s.sleep()
	}
	return 0
}

// peerOpens counts the opens of the other end. mu is held.
func (p *pipe) peerOpens(e *pipeEnd) uint64 {
	if e.read {
		return p.writeOpens
	}
	return p.readOpens
}

// peerThere says whether the other end is open, or was when e was opened or
// since.
func (p *pipe) peerThere(e *pipeEnd) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return e.read && p.writers > 0 || e.write && p.readers > 0 || p.peerOpens(e) != e.peerOpens
}

func (p *pipe) capacity() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}

// setCapacity is F_SETPIPE_SZ: rounded up to a power of two pages.
func (p *pipe) setCapacity(n int) (int, syscall.Errno) {
	if n < 0 {
		return 0, syscall.EINVAL
	}
	size := pipeAtomic
	for size < n {
		size *= 2
	}
	if size > pipeMax {
		return 0, syscall.EPERM
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used > size {
		return 0, syscall.EBUSY
	}
	p.limit = size
	if len(p.buf) > size {
		p.resize(size)
	}
	return size, 0
}

// resize moves the bytes to a ring of n bytes. mu is held.
func (p *pipe) resize(n int) {
	buf := make([]byte, n)
	m := copy(buf, p.buf[p.start:min(p.start+p.used, len(p.buf))])
	copy(buf[m:], p.buf[:p.used-m])
	p.buf, p.start = buf, 0
}

func (e *pipeEnd) Read(b []byte, _ int64) (int, syscall.Errno) {
	p := e.pipe
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
	p.mu.Unlock()
	p.queue.Notify(EventOut)
	return n, 0
}

func (e *pipeEnd) Write(b []byte, _ int64) (int, syscall.Errno) {
	p := e.pipe
	if len(b) == 0 {
		return 0, 0
	}
	p.mu.Lock()
	if p.readers == 0 {
		p.mu.Unlock()
		return 0, syscall.EPIPE
	}
	room := p.limit - p.used
	if room == 0 || len(b) <= pipeAtomic && room < len(b) {
		p.mu.Unlock()
		return 0, syscall.EAGAIN
	}
	b = b[:min(len(b), room)]
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
	p.queue.Notify(EventIn)
	return len(b), 0
}

func (e *pipeEnd) Readiness() (ev Events) {
	p := e.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.read {
		if p.used > 0 {
			ev |= EventIn
		}
		if p.writers == 0 && (e.inode == nil || p.writeOpens > 0) {
			ev |= EventHup
		}
	}
	if e.write {
		if p.limit-p.used >= pipeAtomic {
			ev |= EventOut
		}
		if p.readers == 0 {
			ev |= EventErr
		}
	}
	return ev
}

func (e *pipeEnd) Queue() *WaitQueue { return &e.pipe.queue }

func (e *pipeEnd) Stat(st *syscall.Stat_t) syscall.Errno {
	if e.inode != nil {
		return e.inode.Stat(st)
	}
	*st = syscall.Stat_t{Dev: anonDev, Ino: e.id, Nlink: 1, Mode: syscall.S_IFIFO | 0o600, Blksize: pageSize}
	return 0
}

func (e *pipeEnd) Release() {
	p := e.pipe
	p.mu.Lock()
	if e.read {
		p.readers--
	}
	if e.write {
		p.writers--
	}
	if p.readers == 0 && p.writers == 0 {
		p.buf, p.start, p.used = nil, 0, 0
	}
	p.mu.Unlock()
	p.queue.Notify(EventIn | EventOut | EventHup | EventErr)
}

// Ioctl serves FIONREAD.
func (e *pipeEnd) Ioctl(req uintptr, a Args) (uintptr, syscall.Errno) {
	if req != fionread {
		return 0, syscall.ENOTTY
	}
	n, err := user[int32](&a, 2)
	if err != 0 {
		return 0, err
	}
	e.pipe.mu.Lock()
	*n = int32(e.pipe.used)
	e.pipe.mu.Unlock()
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
	id := k.proc.nextID()
	r := p.open(syscall.O_RDONLY, nil)
	w := p.open(syscall.O_WRONLY, nil)
	r.id, w.id = id, id
	nonblock := flags & syscall.O_NONBLOCK
	return 0, k.installPair(a, 0, flags,
		newDescription(k, r, syscall.O_RDONLY|nonblock),
		newDescription(k, w, syscall.O_WRONLY|nonblock))
}

// installPair gives two descriptions numbers and stores these in argument i.
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
