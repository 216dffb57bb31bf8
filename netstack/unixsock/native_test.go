package unixsock

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// system are the calls of an operating system that a case needs. Sockets do not block.
type system interface {
	socket(typ, protocol int) (int, syscall.Errno)
	pair(typ int) (int, int, syscall.Errno)
	bind(fd int, addr []byte) syscall.Errno
	connect(fd int, addr []byte) syscall.Errno
	listen(fd, backlog int) syscall.Errno
	accept(fd int) (int, syscall.Errno)
	shutdown(fd, how int) syscall.Errno
	names(fd int) (local, peer []byte, peerErr syscall.Errno)
	send(fd int, m *kernel.Message, flags int) (int, syscall.Errno)
	receive(fd int, m *kernel.Message, flags int) (int, syscall.Errno)
	getOption(fd, name int, dst []byte) (int, syscall.Errno)
	setOption(fd, name int, val []byte) syscall.Errno
	unread(fd int) (int, syscall.Errno)
	poll(fd int) kernel.Events
	close(fd int)
}

// ours is this package as a system.
type ours struct {
	family  *Family
	sockets []kernel.Socket
}

// nodes is a file system that has only sockets.
type nodes map[string]any

func (n nodes) MakeSocketNode(path string, _ uint32, owner any) syscall.Errno {
	if _, err := os.Lstat(path); err == nil || n[path] != nil {
		return syscall.EEXIST
	}
	if strings.Contains(path, "/") { // it has no directories
		return syscall.ENOENT
	}
	n[path] = owner
	return 0
}

func (n nodes) LookupSocketNode(path string) (any, syscall.Errno) {
	if n[path] != nil {
		return n[path], 0
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, 0
	}
	return nil, syscall.ENOENT
}

func identity() syscall.Ucred {
	return syscall.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
}

func newOurs() *ours {
	f := New(nodes{}, identity)
	f.UseFilters(bpf.NewFilter)
	return &ours{family: f}
}

func (o *ours) add(s kernel.Socket, e syscall.Errno) (int, syscall.Errno) {
	if e != 0 {
		return -1, e
	}
	o.sockets = append(o.sockets, s)
	return len(o.sockets) - 1, 0
}

func (o *ours) socket(typ, protocol int) (int, syscall.Errno) {
	return o.add(o.family.Socket(typ, protocol))
}

func (o *ours) pair(typ int) (int, int, syscall.Errno) {
	a, b, e := o.family.Pair(typ, 0)
	x, _ := o.add(a, e)
	y, _ := o.add(b, e)
	return x, y, e
}

func (o *ours) bind(fd int, addr []byte) syscall.Errno    { return o.sockets[fd].Bind(addr) }
func (o *ours) connect(fd int, addr []byte) syscall.Errno { return o.sockets[fd].Connect(addr) }
func (o *ours) listen(fd, backlog int) syscall.Errno      { return o.sockets[fd].Listen(backlog) }
func (o *ours) accept(fd int) (int, syscall.Errno)        { return o.add(o.sockets[fd].Accept()) }
func (o *ours) shutdown(fd, how int) syscall.Errno        { return o.sockets[fd].Shutdown(how) }
func (o *ours) poll(fd int) kernel.Events                 { return o.sockets[fd].Readiness() }
func (o *ours) close(fd int)                              { o.sockets[fd].Release() }

func (o *ours) names(fd int) (local, peer []byte, e syscall.Errno) {
	var l, p [128]byte
	n, _ := o.sockets[fd].LocalAddr(l[:])
	m, e := o.sockets[fd].PeerAddr(p[:])
	return l[:n], p[:m], e
}

func (o *ours) send(fd int, m *kernel.Message, flags int) (int, syscall.Errno) {
	return o.sockets[fd].Send(m, flags)
}

func (o *ours) receive(fd int, m *kernel.Message, flags int) (int, syscall.Errno) {
	return o.sockets[fd].Receive(m, flags)
}

func (o *ours) getOption(fd, name int, dst []byte) (int, syscall.Errno) {
	return o.sockets[fd].GetOption(syscall.SOL_SOCKET, name, dst)
}

func (o *ours) setOption(fd, name int, val []byte) syscall.Errno {
	return o.sockets[fd].SetOption(syscall.SOL_SOCKET, name, val)
}

func (o *ours) unread(fd int) (int, syscall.Errno) {
	var n int32
	var a kernel.Args
	a.P[2] = unsafe.Pointer(&n)
	_, e := o.sockets[fd].(kernel.Ioctler).Ioctl(siocInq, a)
	return int(n), e
}

// native is the host's kernel as a system.
type native struct{ open []int }

func (n *native) add(fd uintptr, e syscall.Errno) (int, syscall.Errno) {
	if e != 0 {
		return -1, e
	}
	n.open = append(n.open, int(fd))
	return int(fd), 0
}

func (n *native) closeAll() {
	for _, fd := range n.open {
		if fd >= 0 {
			syscall.Close(fd)
		}
	}
}

func (n *native) close(fd int) {
	for i := range n.open {
		if n.open[i] == fd {
			n.open[i] = -1
		}
	}
	syscall.Close(fd)
}

func pointer(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func call(nr int, a ...uintptr) (uintptr, syscall.Errno) {
	var v [6]uintptr
	copy(v[:], a)
	r, _, e := syscall.Syscall6(uintptr(nr), v[0], v[1], v[2], v[3], v[4], v[5])
	return r, e
}

func (n *native) socket(typ, protocol int) (int, syscall.Errno) {
	return n.add(call(syscall.SYS_SOCKET, syscall.AF_UNIX, uintptr(typ|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC), uintptr(protocol)))
}

func (n *native) pair(typ int) (int, int, syscall.Errno) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, typ|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err.(syscall.Errno)
	}
	n.open = append(n.open, fds[:]...)
	return fds[0], fds[1], 0
}

func (n *native) bind(fd int, addr []byte) syscall.Errno {
	_, e := call(syscall.SYS_BIND, uintptr(fd), pointer(addr), uintptr(len(addr)))
	return e
}

func (n *native) connect(fd int, addr []byte) syscall.Errno {
	_, e := call(syscall.SYS_CONNECT, uintptr(fd), pointer(addr), uintptr(len(addr)))
	return e
}

func (n *native) listen(fd, backlog int) syscall.Errno {
	_, e := call(syscall.SYS_LISTEN, uintptr(fd), uintptr(backlog))
	return e
}

func (n *native) accept(fd int) (int, syscall.Errno) {
	return n.add(call(syscall.SYS_ACCEPT4, uintptr(fd), 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC))
}

func (n *native) shutdown(fd, how int) syscall.Errno {
	_, e := call(syscall.SYS_SHUTDOWN, uintptr(fd), uintptr(how))
	return e
}

func (n *native) name(nr, fd int) ([]byte, syscall.Errno) {
	b := make([]byte, 128)
	size := uint32(len(b))
	_, e := call(nr, uintptr(fd), pointer(b), uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		size = 0
	}
	return b[:size], e
}

func (n *native) names(fd int) (local, peer []byte, e syscall.Errno) {
	local, _ = n.name(syscall.SYS_GETSOCKNAME, fd)
	peer, e = n.name(syscall.SYS_GETPEERNAME, fd)
	return local, peer, e
}

func header(m *kernel.Message) (*syscall.Msghdr, []syscall.Iovec) {
	var iov []syscall.Iovec
	for _, b := range m.Buffers {
		iov = append(iov, syscall.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))})
	}
	return &syscall.Msghdr{Name: unsafe.SliceData(m.Addr), Namelen: uint32(len(m.Addr)), Iov: unsafe.SliceData(iov), Iovlen: uint64(len(iov)),
		Control: unsafe.SliceData(m.Control), Controllen: uint64(len(m.Control))}, iov
}

func (n *native) send(fd int, m *kernel.Message, flags int) (int, syscall.Errno) {
	h, _ := header(m)
	r, e := call(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(h)), uintptr(flags|syscall.MSG_NOSIGNAL))
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

func (n *native) receive(fd int, m *kernel.Message, flags int) (int, syscall.Errno) {
	h, _ := header(m)
	r, e := call(syscall.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(h)), uintptr(flags))
	if e != 0 {
		return 0, e
	}
	m.AddrLen, m.ControlLen, m.Flags = int(h.Namelen), int(h.Controllen), int(h.Flags)
	return int(r), 0
}

func (n *native) getOption(fd, name int, dst []byte) (int, syscall.Errno) {
	size := uint32(len(dst))
	_, e := call(syscall.SYS_GETSOCKOPT, uintptr(fd), syscall.SOL_SOCKET, uintptr(name), pointer(dst), uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		return 0, e
	}
	return int(size), 0
}

func (n *native) setOption(fd, name int, val []byte) syscall.Errno {
	_, e := call(syscall.SYS_SETSOCKOPT, uintptr(fd), syscall.SOL_SOCKET, uintptr(name), pointer(val), uintptr(len(val)))
	return e
}

func (n *native) unread(fd int) (int, syscall.Errno) {
	var v int32
	_, e := call(syscall.SYS_IOCTL, uintptr(fd), siocInq, uintptr(unsafe.Pointer(&v)))
	return int(v), e
}

func (n *native) poll(fd int) kernel.Events {
	const mask = kernel.EventIn | kernel.EventOut | kernel.EventWrBand | kernel.EventRdHup | kernel.EventPri
	p := struct {
		fd              int32
		events, revents int16
	}{int32(fd), int16(mask), 0}
	call(syscall.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, 0)
	return kernel.Events(uint16(p.revents))
}

// trace runs a case on one system and records the results that a program sees.
type trace struct {
	system
	lines []string
}

func (t *trace) note(format string, a ...any) { t.lines = append(t.lines, fmt.Sprintf(format, a...)) }

func (t *trace) err(what string, e syscall.Errno) {
	t.note("%s: %s", what, errnoName(e))
}

func errnoName(e syscall.Errno) string {
	if e == 0 {
		return "ok"
	}
	return fmt.Sprintf("%d (%v)", int(e), e)
}

// mustSocket returns a new socket.
func (t *trace) mustSocket(typ int) int {
	fd, e := t.socket(typ, 0)
	if e != 0 {
		t.err("socket", e)
	}
	return fd
}

func (t *trace) state(what string, fds ...int) {
	for i, fd := range fds {
		t.note("%s: poll %d = %#x", what, i, t.poll(fd))
	}
}

func (t *trace) write(fd int, s string) {
	n, e := t.send(fd, &kernel.Message{Buffers: [][]byte{[]byte(s)}}, 0)
	t.note("write %.20q: %d %s", s, n, errnoName(e))
}

func (t *trace) sendTo(fd int, s string, addr []byte) {
	n, e := t.send(fd, &kernel.Message{Buffers: [][]byte{[]byte(s)}, Addr: addr}, 0)
	t.note("send %.20q to %q: %d %s", s, printable(addr), n, errnoName(e))
}

func (t *trace) read(fd, size, flags int) {
	t.readControl(fd, size, 0, flags)
}

func (t *trace) readControl(fd, size, room, flags int) {
	b := make([]byte, size)
	m := &kernel.Message{Buffers: [][]byte{b[:size/2], b[size/2:]}, Addr: make([]byte, 128)}
	if room > 0 {
		m.Control = make([]byte, room)
	}
	n, e := t.receive(fd, m, flags)
	if e != 0 {
		t.err("read", e)
		return
	}
	const seen = syscall.MSG_TRUNC | syscall.MSG_CTRUNC | syscall.MSG_EOR
	t.note("read: %d %q from %q control %x flags %#x", n, b[:min(n, size)], printable(m.Addr[:m.AddrLen]), m.Control[:m.ControlLen], m.Flags&seen)
}

func (t *trace) addrs(what string, fd int) {
	l, p, e := t.names(fd)
	t.note("%s: local %q peer %q %s", what, printable(l), printable(p), errnoName(e))
}

func (t *trace) option(fd, name int) {
	b := make([]byte, 16)
	n, e := t.getOption(fd, name, b)
	t.note("option %d: %v %s", name, b[:n], errnoName(e))
}

func (t *trace) set(fd, name int, v uint32) {
	e := t.setOption(fd, name, binary.NativeEndian.AppendUint32(nil, v))
	t.note("set %d = %d: %s", name, v, errnoName(e))
}

// printable hides the digits of autobound names, which differ.
func printable(addr []byte) string {
	if len(addr) == 8 && addr[2] == 0 {
		return "autobound"
	}
	return string(addr)
}

func addr(path string) []byte {
	return append(binary.NativeEndian.AppendUint16(nil, syscall.AF_UNIX), path...)
}

// compare runs f on the host's kernel and on this package.
func compare(t *testing.T, f func(*trace)) {
	t.Helper()
	t.Chdir(t.TempDir())
	n := &native{}
	defer n.closeAll()
	want := &trace{system: n}
	f(want)
	// The files of the host's run must not be there for the second run.
	t.Chdir(t.TempDir())
	got := &trace{system: newOurs()}
	f(got)
	g, w := strings.Join(got.lines, "\n"), strings.Join(want.lines, "\n")
	if g == w {
		return
	}
	for i := range max(len(got.lines), len(want.lines)) {
		a, b := line(got.lines, i), line(want.lines, i)
		if a != b {
			t.Errorf("line %d:\n ours  %s\n linux %s", i, a, b)
		}
	}
}

func line(l []string, i int) string {
	if i < len(l) {
		return l[i]
	}
	return "(none)"
}
