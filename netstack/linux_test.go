package netstack

import (
	"syscall"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// linuxSocket is a socket of the host with the interface of this package's sockets, so that one
// test can run on both and compare.
type linuxSocket struct {
	kernel.Socket // nil: methods that are not defined below are not used
	fd            int
}

func newLinuxSocket(family, typ, protocol int) (kernel.Socket, syscall.Errno) {
	fd, err := syscall.Socket(family, typ|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err.(syscall.Errno)
	}
	return &linuxSocket{fd: fd}, 0
}

func ptr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func (k *linuxSocket) call(nr uintptr, a, b, c, d, f uintptr) (int, syscall.Errno) {
	n, _, e := syscall.Syscall6(nr, uintptr(k.fd), a, b, c, d, f)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

func (k *linuxSocket) Read(p []byte, _ int64) (int, syscall.Errno) {
	return k.call(syscall.SYS_READ, ptr(p), uintptr(len(p)), 0, 0, 0)
}

func (k *linuxSocket) Write(p []byte, _ int64) (int, syscall.Errno) {
	return k.call(syscall.SYS_WRITE, ptr(p), uintptr(len(p)), 0, 0, 0)
}

func (k *linuxSocket) Bind(addr []byte) syscall.Errno {
	_, e := k.call(syscall.SYS_BIND, ptr(addr), uintptr(len(addr)), 0, 0, 0)
	return e
}

func (k *linuxSocket) Connect(addr []byte) syscall.Errno {
	_, e := k.call(syscall.SYS_CONNECT, ptr(addr), uintptr(len(addr)), 0, 0, 0)
	return e
}

func (k *linuxSocket) Listen(backlog int) syscall.Errno {
	_, e := k.call(syscall.SYS_LISTEN, uintptr(backlog), 0, 0, 0, 0)
	return e
}

func (k *linuxSocket) Accept() (kernel.Socket, syscall.Errno) {
	fd, e := k.call(syscall.SYS_ACCEPT4, 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return nil, e
	}
	return &linuxSocket{fd: fd}, 0
}

func (k *linuxSocket) Shutdown(how int) syscall.Errno {
	_, e := k.call(syscall.SYS_SHUTDOWN, uintptr(how), 0, 0, 0, 0)
	return e
}

func (k *linuxSocket) name(nr uintptr, dst []byte) (int, syscall.Errno) {
	n := uint32(len(dst))
	_, e := k.call(nr, ptr(dst), uintptr(unsafe.Pointer(&n)), 0, 0, 0)
	return int(n), e
}

func (k *linuxSocket) LocalAddr(dst []byte) (int, syscall.Errno) {
	return k.name(syscall.SYS_GETSOCKNAME, dst)
}

func (k *linuxSocket) PeerAddr(dst []byte) (int, syscall.Errno) {
	return k.name(syscall.SYS_GETPEERNAME, dst)
}

func (k *linuxSocket) SetOption(level, name int, val []byte) syscall.Errno {
	_, e := k.call(syscall.SYS_SETSOCKOPT, uintptr(level), uintptr(name), ptr(val), uintptr(len(val)), 0)
	return e
}

func (k *linuxSocket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	n := uint32(len(dst))
	if level == syscall.SOL_SOCKET && name == syscall.SO_ATTACH_FILTER {
		n /= bpf.InstructionSize // a number of instructions
	}
	_, e := k.call(syscall.SYS_GETSOCKOPT, uintptr(level), uintptr(name), ptr(dst), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

func (k *linuxSocket) message(m *kernel.Message, iov *[]syscall.Iovec) *syscall.Msghdr {
	h := new(syscall.Msghdr)
	for _, b := range m.Buffers {
		*iov = append(*iov, syscall.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))})
	}
	if len(*iov) != 0 {
		h.Iov, h.Iovlen = &(*iov)[0], uint64(len(*iov))
	}
	if m.Addr != nil {
		h.Name, h.Namelen = unsafe.SliceData(m.Addr), uint32(len(m.Addr))
	}
	if m.Control != nil {
		h.Control, h.Controllen = unsafe.SliceData(m.Control), uint64(len(m.Control))
	}
	return h
}

func (k *linuxSocket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	var iov []syscall.Iovec
	h := k.message(m, &iov)
	return k.call(syscall.SYS_SENDMSG, uintptr(unsafe.Pointer(h)), uintptr(flags|syscall.MSG_NOSIGNAL), 0, 0, 0)
}

func (k *linuxSocket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	var iov []syscall.Iovec
	h := k.message(m, &iov)
	n, e := k.call(syscall.SYS_RECVMSG, uintptr(unsafe.Pointer(h)), uintptr(flags), 0, 0, 0)
	m.AddrLen, m.ControlLen, m.Flags = int(h.Namelen), int(h.Controllen), int(h.Flags)
	return n, e
}

type pollFd struct {
	fd              int32
	events, revents int16
}

func (k *linuxSocket) poll(events kernel.Events, ms int) kernel.Events {
	p := pollFd{fd: int32(k.fd), events: int16(events)}
	syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(ms))
	return kernel.Events(uint16(p.revents)) & (allEvents | kernel.EventWrBand)
}

func (k *linuxSocket) Readiness() kernel.Events { return k.poll(allEvents|kernel.EventWrBand, 0) }

func (k *linuxSocket) Release() { syscall.Close(k.fd) }
