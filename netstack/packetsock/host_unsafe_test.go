package packetsock

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// This file has the Linux under the tests: a network namespace with lo and a card, whose other side is
// the test (tun(4)).

// hostSocket is a socket of the host with the methods of this package's.
type hostSocket struct {
	kernel.Socket // nil: methods that are not defined below are not used
	fd            int
}

func ptr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func (k *hostSocket) call(nr uintptr, a, b, c, d uintptr) (int, syscall.Errno) {
	n, _, e := syscall.Syscall6(nr, uintptr(k.fd), a, b, c, d, 0)
	return max(int(n), 0), e
}

func (k *hostSocket) Read(p []byte, _ int64) (int, syscall.Errno) {
	return k.call(syscall.SYS_READ, ptr(p), uintptr(len(p)), 0, 0)
}

func (k *hostSocket) Write(p []byte, _ int64) (int, syscall.Errno) {
	return k.call(syscall.SYS_WRITE, ptr(p), uintptr(len(p)), 0, 0)
}

func (k *hostSocket) Bind(addr []byte) syscall.Errno {
	_, e := k.call(syscall.SYS_BIND, ptr(addr), uintptr(len(addr)), 0, 0)
	return e
}

func (k *hostSocket) Connect(addr []byte) syscall.Errno {
	_, e := k.call(syscall.SYS_CONNECT, ptr(addr), uintptr(len(addr)), 0, 0)
	return e
}

func (k *hostSocket) Listen(n int) syscall.Errno {
	_, e := k.call(syscall.SYS_LISTEN, uintptr(n), 0, 0, 0)
	return e
}

func (k *hostSocket) Accept() (kernel.Socket, syscall.Errno) {
	_, e := k.call(syscall.SYS_ACCEPT4, 0, 0, 0, 0)
	return nil, e
}

func (k *hostSocket) Shutdown(how int) syscall.Errno {
	_, e := k.call(syscall.SYS_SHUTDOWN, uintptr(how), 0, 0, 0)
	return e
}

func (k *hostSocket) name(nr uintptr, dst []byte) (int, syscall.Errno) {
	n := uint32(len(dst))
	_, e := k.call(nr, ptr(dst), uintptr(unsafe.Pointer(&n)), 0, 0)
	return int(n), e
}

func (k *hostSocket) LocalAddr(dst []byte) (int, syscall.Errno) {
	return k.name(syscall.SYS_GETSOCKNAME, dst)
}

func (k *hostSocket) PeerAddr(dst []byte) (int, syscall.Errno) {
	return k.name(syscall.SYS_GETPEERNAME, dst)
}

func (k *hostSocket) SetOption(level, name int, val []byte) syscall.Errno {
	_, e := k.call(syscall.SYS_SETSOCKOPT, uintptr(level), uintptr(name), ptr(val), uintptr(len(val)))
	return e
}

func (k *hostSocket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	n := uint32(len(dst))
	if level == syscall.SOL_SOCKET && name == syscall.SO_ATTACH_FILTER {
		n /= bpf.InstructionSize // a number of instructions
	}
	_, e := k.call(syscall.SYS_GETSOCKOPT, uintptr(level), uintptr(name), ptr(dst), uintptr(unsafe.Pointer(&n)))
	return int(n), e
}

func message(m *kernel.Message) *syscall.Msghdr {
	h := new(syscall.Msghdr)
	iov := make([]syscall.Iovec, 0, len(m.Buffers))
	for _, b := range m.Buffers {
		iov = append(iov, syscall.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))})
	}
	h.Iov, h.Iovlen = unsafe.SliceData(iov), uint64(len(iov))
	h.Name, h.Namelen = unsafe.SliceData(m.Addr), uint32(len(m.Addr))
	h.Control, h.Controllen = unsafe.SliceData(m.Control), uint64(len(m.Control))
	return h
}

func (k *hostSocket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	return k.call(syscall.SYS_SENDMSG, uintptr(unsafe.Pointer(message(m))), uintptr(flags), 0, 0)
}

func (k *hostSocket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	h := message(m)
	n, e := k.call(syscall.SYS_RECVMSG, uintptr(unsafe.Pointer(h)), uintptr(flags), 0, 0)
	m.AddrLen, m.ControlLen, m.Flags = int(h.Namelen), int(h.Controllen), int(h.Flags)
	return n, e
}

func (k *hostSocket) Readiness() kernel.Events {
	const all = 0x23df
	p := struct {
		fd              int32
		events, revents int16
	}{fd: int32(k.fd), events: all}
	syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, 0)
	return kernel.Events(uint16(p.revents)) &^ (kernel.EventRdNorm | kernel.EventWrNorm)
}

func (k *hostSocket) Release() { syscall.Close(k.fd) }

func (k *hostSocket) Ioctl(req uintptr, a kernel.Args) (uintptr, syscall.Errno) {
	n, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(k.fd), req, a.N[2])
	return n, e
}

// ioctl makes a request with a buffer.
func ioctl(k kernel.Socket, req uintptr, b []byte) syscall.Errno {
	a := kernel.Args{N: [6]uintptr{0, req, ptr(b)}}
	_, e := k.(kernel.Ioctler).Ioctl(req, a)
	runtime.KeepAlive(b)
	return e
}

// filterOption is the value of SO_ATTACH_FILTER, which points to the program.
func filterOption(program []byte) []byte {
	b := make([]byte, 16)
	binary.NativeEndian.PutUint16(b, uint16(len(program)/bpf.InstructionSize))
	*(*unsafe.Pointer)(unsafe.Pointer(&b[8])) = unsafe.Pointer(unsafe.SliceData(program))
	return b
}

// newHost makes the namespace. Its thread ends with the test.
func newHost(t *testing.T) *machine {
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		t.Skip("no network namespace on this host: ", err)
	}
	for _, name := range []string{"default", "lo"} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0o644) // a kernel without IPv6
	}
	tun, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no card of a program's own on this host: ", err)
	}
	m := &machine{t: t, sent: make(chan []byte, 4096), socket: func(typ, protocol int) (kernel.Socket, syscall.Errno) {
		fd, err := syscall.Socket(syscall.AF_PACKET, typ|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, protocol)
		if err != nil {
			return nil, err.(syscall.Errno)
		}
		k := &hostSocket{fd: fd}
		t.Cleanup(k.Release)
		return k, 0
	}}
	const tunSetIff, tap, noInfo = 0x400454ca, 2, 0x1000
	control := &hostSocket{fd: tun}
	m.ok("TUNSETIFF", ioctl(control, tunSetIff, ifreq("eth0", tap|noInfo&0xff, noInfo>>8)))
	fd, _ := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	inet := &hostSocket{fd: fd}
	t.Cleanup(inet.Release)
	m.configure(inet)
	m.udp = func(to [4]byte, data string) {
		m.ok("sendto", errno(syscall.Sendto(fd, []byte(data), 0, &syscall.SockaddrInet4{Port: 9, Addr: to})))
	}
	f := os.NewFile(uintptr(tun), "tap")
	t.Cleanup(func() { f.Close() })
	m.inject = func(frame []byte) {
		if _, err := f.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		b := make([]byte, 65536)
		for {
			n, err := syscall.Read(tun, b)
			if err != nil || n <= 0 {
				return
			}
			m.sent <- bytes.Clone(b[:n])
		}
	}()
	m.up = func(on bool) {
		flags := byte(0)
		if on {
			flags = syscall.IFF_UP
		}
		m.ok("ip link set", ioctl(inet, syscall.SIOCSIFFLAGS, ifreq("eth0", flags)))
	}
	m.remove = func() {
		m.ok("ip link delete", deleteLink(2))
	}
	m.proc = func(name string) []byte {
		b, err := os.ReadFile("/proc/thread-self/net/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return m
}

// configure gives the card its addresses, by requests of netdevice(7), and switches it and lo on.
func (m *machine) configure(inet kernel.Socket) {
	m.ok("address of hardware", ioctl(inet, syscall.SIOCSIFHWADDR, ifreq("eth0", append([]byte{1, 0}, ownMAC...)...)))
	m.ok("address", ioctl(inet, syscall.SIOCSIFADDR, ifreq("eth0", syscall.AF_INET, 0, 0, 0, 10, 0, 0, 1)))
	m.ok("mask", ioctl(inet, syscall.SIOCSIFNETMASK, ifreq("eth0", syscall.AF_INET, 0, 0, 0, 255, 255, 255, 0)))
	m.ok("eth0 up", ioctl(inet, syscall.SIOCSIFFLAGS, ifreq("eth0", syscall.IFF_UP)))
	m.ok("lo up", ioctl(inet, syscall.SIOCSIFFLAGS, ifreq("lo", syscall.IFF_UP)))
}

// deleteLink is RTM_DELLINK of rtnetlink(7).
func deleteLink(index int32) syscall.Errno {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return errno(err)
	}
	defer syscall.Close(fd)
	b := make([]byte, 32)
	binary.NativeEndian.PutUint32(b, 32)
	binary.NativeEndian.PutUint16(b[4:], syscall.RTM_DELLINK)
	binary.NativeEndian.PutUint16(b[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK)
	binary.NativeEndian.PutUint32(b[20:], uint32(index))
	if err := syscall.Sendto(fd, b, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return errno(err)
	}
	answer := make([]byte, 4096)
	if _, _, err := syscall.Recvfrom(fd, answer, 0); err != nil {
		return errno(err)
	}
	return syscall.Errno(-int32(binary.NativeEndian.Uint32(answer[16:])))
}

func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	return err.(syscall.Errno)
}

// ifreq is a struct ifreq: a name, and what follows in its union.
func ifreq(name string, union ...byte) []byte {
	b := make([]byte, 40)
	copy(b, name)
	copy(b[16:], union)
	return b
}
