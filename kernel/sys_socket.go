package kernel

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// This file has the socket calls. It blocks, translates descriptors and handles timeouts; an
// address family implements everything else (Socket).

// socketRegistry has the factories of sockets by address family.
type socketRegistry struct {
	mu    sync.RWMutex
	kinds []socketKind
	// noInternet says that the want of internet sockets was logged.
	noInternet atomic.Bool
}

type socketKind struct {
	family int
	make   SocketFactory
	pair   PairFactory
}

// kind returns the entry of a family, which is made if add is set. mu is held.
func (r *socketRegistry) kind(family int, add bool) *socketKind {
	for i := range r.kinds {
		if r.kinds[i].family == family {
			return &r.kinds[i]
		}
	}
	if !add {
		return nil
	}
	r.kinds = append(r.kinds, socketKind{family: family})
	return &r.kinds[len(r.kinds)-1]
}

// RegisterSocketFamily makes f the factory of sockets of an address family.
func (k *Kernel) RegisterSocketFamily(family int, f SocketFactory) {
	k.sockets.mu.Lock()
	k.sockets.kind(family, true).make = f
	k.sockets.mu.Unlock()
}

// RegisterSocketPair makes f the factory of socket pairs of an address family.
func (k *Kernel) RegisterSocketPair(family int, f PairFactory) {
	k.sockets.mu.Lock()
	k.sockets.kind(family, true).pair = f
	k.sockets.mu.Unlock()
}

// These are flags in socket(2)'s type.
const (
	sockTypeMask  = 0xf
	sockFlagsMask = syscall.SOCK_CLOEXEC | syscall.SOCK_NONBLOCK
	maxSockaddr   = 128 // sizeof(struct sockaddr_storage)
)

func (k *Kernel) socketKind(family, typ int) (socketKind, syscall.Errno) {
	if typ&^(sockTypeMask|sockFlagsMask) != 0 {
		return socketKind{}, syscall.EINVAL
	}
	k.sockets.mu.RLock()
	defer k.sockets.mu.RUnlock()
	if s := k.sockets.kind(family, false); s != nil {
		return *s, 0
	}
	if (family == syscall.AF_INET || family == syscall.AF_INET6) && !k.sockets.noInternet.Swap(true) {
		k.Log("there are no internet sockets: the program neither links package net nor calls Socket of package syscall or golang.org/x/sys/unix, either of which brings the network stack; import net somewhere")
	}
	return socketKind{}, syscall.EAFNOSUPPORT
}

// sysSocket is socket(2).
func sysSocket(k *Kernel, a Args) (uintptr, syscall.Errno) {
	typ := a.Int(1)
	kind, e := k.socketKind(a.Int(0), typ)
	if e != 0 {
		return 0, e
	}
	if kind.make == nil {
		return 0, syscall.EAFNOSUPPORT
	}
	s, e := kind.make(typ&sockTypeMask, a.Int(2))
	if e != 0 {
		return 0, e
	}
	return k.installNew(s, syscall.O_RDWR|typ&syscall.SOCK_NONBLOCK, typ)
}

// sysSocketpair is socketpair(2).
func sysSocketpair(k *Kernel, a Args) (uintptr, syscall.Errno) {
	typ := a.Int(1)
	kind, e := k.socketKind(a.Int(0), typ)
	if e != 0 {
		return 0, e
	}
	if kind.pair == nil {
		return 0, syscall.EOPNOTSUPP
	}
	x, y, e := kind.pair(typ&sockTypeMask, a.Int(2))
	if e != 0 {
		return 0, e
	}
	mode := syscall.O_RDWR | typ&syscall.SOCK_NONBLOCK
	return 0, k.installPair(&a, 3, typ, newDescription(k, x, mode), newDescription(k, y, mode))
}

// getSocket returns the socket of descriptor argument 0; d is a reference.
func (k *Kernel) getSocket(a *Args) (*Description, Socket, syscall.Errno) {
	d, e := k.get(a, 0)
	if e != 0 {
		return nil, nil, e
	}
	s, ok := d.file.(Socket)
	if !ok {
		d.DecRef()
		return nil, nil, syscall.ENOTSOCK
	}
	return d, s, 0
}

// sockaddr is the address in arguments i and i+1.
func sockaddr(a *Args, i int) ([]byte, syscall.Errno) {
	n := a.Int(i + 1)
	if n < 0 || n > maxSockaddr {
		return nil, syscall.EINVAL
	}
	return a.Bytes(i, n)
}

// sysBind is bind(2).
func sysBind(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	addr, e := sockaddr(&a, 1)
	if e != 0 {
		return 0, e
	}
	return 0, s.Bind(addr)
}

// sysConnect is connect(2).
func sysConnect(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	addr, e := sockaddr(&a, 1)
	if e != 0 {
		return 0, e
	}
	e = s.Connect(addr)
	if e == syscall.EAGAIN && !d.nonblocking() { // the backlog of a unix socket is full
		w := newSleeper(d.k, s.Queue(), d.sendTimeout.Load())
		defer w.done()
		for e = s.Connect(addr); e == syscall.EAGAIN && w.sleep(); {
			e = s.Connect(addr)
		}
	}
	if e != syscall.EINPROGRESS && e != syscall.EALREADY || d.nonblocking() {
		return 0, e
	}
	return 0, awaitConnect(d, s, addr)
}

// awaitConnect blocks until a connection is made or fails, and asks the socket what became of it.
func awaitConnect(d *Description, s Socket, addr []byte) syscall.Errno {
	w := newSleeper(d.k, s.Queue(), d.sendTimeout.Load())
	defer w.done()
	for s.Readiness()&(EventOut|EventErr|EventHup) == 0 {
		if !w.sleep() {
			return syscall.EINPROGRESS
		}
	}
	return s.Connect(addr)
}

// sysListen is listen(2).
func sysListen(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	return 0, s.Listen(a.Int(1))
}

// sysAccept is accept(2).
func sysAccept(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.accept(&a, 0) }

// sysAccept4 is accept4(2).
func sysAccept4(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.accept(&a, a.Int(3)) }

func (k *Kernel) accept(a *Args, flags int) (uintptr, syscall.Errno) {
	if flags&^sockFlagsMask != 0 {
		return 0, syscall.EINVAL
	}
	d, s, e := k.getSocket(a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	c, e := s.Accept()
	if e == syscall.EAGAIN && !d.nonblocking() {
		w := newSleeper(d.k, s.Queue(), d.receiveTimeout.Load())
		for {
			if c, e = s.Accept(); e != syscall.EAGAIN || !w.sleep() {
				break
			}
		}
		w.done()
	}
	if e != 0 {
		return 0, e
	}
	if a.Pointer(1) != nil {
		if e := storePeer(a, c); e != 0 {
			c.Release()
			return 0, e
		}
	}
	return k.installAccepted(c, d, flags)
}

// installAccepted installs a socket that d, a listener, has accepted. It has the listener's timeouts,
// but for a unix socket, which the peer has made.
func (k *Kernel) installAccepted(c Socket, d *Description, flags int) (uintptr, syscall.Errno) {
	n := newDescription(k, c, syscall.O_RDWR|flags&syscall.SOCK_NONBLOCK)
	receive, send, low := d.receiveTimeout.Load(), d.sendTimeout.Load(), d.lowWater.Load()
	if (receive != 0 || send != 0 || low != 0) && socketInt(c, soDomain) != syscall.AF_UNIX {
		n.receiveTimeout.Store(receive)
		n.sendTimeout.Store(send)
		n.lowWater.Store(low)
	}
	return count(k.fds.install(n, 0, flags&syscall.O_CLOEXEC != 0))
}

// socketInt returns an option of SOL_SOCKET that is an int, or -1.
func socketInt(s Socket, name int) int {
	var v [4]byte
	if n, e := s.GetOption(syscall.SOL_SOCKET, name, noescape(&v)[:]); e != 0 || n != len(v) {
		return -1
	}
	return int(int32(uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16 | uint32(v[3])<<24))
}

// storePeer stores the address of c's peer; a peer that has closed its socket already has
// none.
func storePeer(a *Args, c Socket) syscall.Errno {
	var buf [maxSockaddr]byte
	if c, ok := c.(Accepted); ok {
		return storeAddr(a, 1, buf[:c.AcceptedAddr(noescape(&buf)[:])])
	}
	n, e := c.PeerAddr(noescape(&buf)[:])
	if e == syscall.ENOTCONN {
		n = 0
	} else if e != 0 {
		return e
	}
	return storeAddr(a, 1, buf[:n])
}

// storeAddr copies addr to argument i and its full length to where argument i+1 points, which
// contained the buffer's size (accept(2)).
func storeAddr(a *Args, i int, addr []byte) syscall.Errno {
	size, e := user[int32](a, i+1)
	if e != 0 {
		return e
	}
	if *size < 0 {
		return syscall.EINVAL
	}
	dst, e := a.Bytes(i, min(int(*size), len(addr)))
	if e != 0 {
		return e
	}
	copy(dst, addr)
	*size = int32(len(addr))
	return 0
}

// sysGetsockname is getsockname(2).
func sysGetsockname(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.sockName(&a, Socket.LocalAddr)
}

// sysGetpeername is getpeername(2).
func sysGetpeername(k *Kernel, a Args) (uintptr, syscall.Errno) {
	return k.sockName(&a, Socket.PeerAddr)
}

func (k *Kernel) sockName(a *Args, name func(Socket, []byte) (int, syscall.Errno)) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	var buf [maxSockaddr]byte
	n, e := name(s, noescape(&buf)[:])
	if e != 0 {
		return 0, e
	}
	return 0, storeAddr(a, 1, buf[:n])
}

// sysShutdown is shutdown(2).
func sysShutdown(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if a.Int(1) < syscall.SHUT_RD || a.Int(1) > syscall.SHUT_RDWR {
		return 0, syscall.EINVAL
	}
	return 0, s.Shutdown(a.Int(1))
}

const soDomain = 39 // SO_DOMAIN

// These are the timeout options, with old time values and with 64-bit ones.
const (
	soRcvtimeoNew = 66
	soSndtimeoNew = 67
)

// timeoutOption returns the field of a timeout, nil for other options.
func (d *Description) timeoutOption(level, name int) interface {
	Load() int64
	Store(int64)
} {
	if level != syscall.SOL_SOCKET {
		return nil
	}
	switch name {
	case syscall.SO_RCVTIMEO, soRcvtimeoNew:
		return &d.receiveTimeout
	case syscall.SO_SNDTIMEO, soSndtimeoNew:
		return &d.sendTimeout
	}
	return nil
}

// sysSetsockopt is setsockopt(2).
func sysSetsockopt(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if t := d.timeoutOption(a.Int(1), a.Int(2)); t != nil {
		if a.Int(4) < 16 {
			return 0, syscall.EINVAL
		}
		tv, e := user[syscall.Timeval](&a, 3)
		if e != 0 {
			return 0, e
		}
		if tv.Usec < 0 || tv.Usec >= 1e6 {
			return 0, syscall.EDOM
		}
		if tv.Sec < 0 {
			t.Store(1) // does not wait (sock_set_timeout in Linux's net/core/sock.c), and reads back as 0
			return 0, 0
		}
		t.Store(min(tv.Sec, 1<<33)*1e9 + tv.Usec*1000)
		return 0, 0
	}
	n := a.Int(4)
	if n < 0 || n > 1<<20 {
		return 0, syscall.EINVAL
	}
	val, e := a.Bytes(3, n)
	if e != 0 {
		return 0, e
	}
	e = s.SetOption(a.Int(1), a.Int(2), val)
	if e == 0 && a.Int(1) == syscall.SOL_SOCKET && a.Int(2) == syscall.SO_RCVLOWAT && isStream(s) {
		d.lowWater.Store(int32(socketInt(s, syscall.SO_RCVLOWAT)))
	}
	return 0, e
}

// SO_GET_FILTER has the number of SO_ATTACH_FILTER. Its length is a number of instructions, struct
// sock_filter, of which a filter has BPF_MAXINSNS at most (linux/filter.h); a socket returns a number of
// them, too.
const (
	soGetFilter    = syscall.SO_ATTACH_FILTER
	sockFilterSize = 8
	maxFilter      = 4096
)

// sysGetsockopt is getsockopt(2).
func sysGetsockopt(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, s, e := k.getSocket(&a)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	size, e := user[int32](&a, 4)
	if e != 0 {
		return 0, e
	}
	if *size < 0 {
		return 0, syscall.EINVAL
	}
	n := int(*size)
	if a.Int(1) == syscall.SOL_SOCKET && a.Int(2) == soGetFilter {
		n = min(n, maxFilter) * sockFilterSize
	}
	dst, e := a.Bytes(3, n)
	if e != 0 {
		return 0, e
	}
	if t := d.timeoutOption(a.Int(1), a.Int(2)); t != nil {
		v := t.Load()
		tv := syscall.Timeval{Sec: v / 1e9, Usec: v % 1e9 / 1000}
		*size = int32(copy(dst, structBytes(&tv)))
		return 0, 0
	}
	if n, e = s.GetOption(a.Int(1), a.Int(2), dst); e != 0 {
		return 0, e
	}
	*size = int32(n)
	return 0, 0
}
