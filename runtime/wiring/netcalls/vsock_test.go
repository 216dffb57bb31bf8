package netcalls

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
)

const (
	afVsock  = 40
	anyVsock = -1
)

// vm is a struct sockaddr_vm.
func vm(port, cid int, rest ...byte) []byte {
	b := append(append(le16(afVsock), 0, 0), le32(port)...)
	b = append(append(b, le32(cid)...), rest...)
	return append(b, make([]byte, max(0, 16-len(b)))...)
}

// name logs an address, but for ports that are chosen.
func (w *world) vsockName(what string, nr uintptr, fd int) {
	b, size := make([]byte, 16), le32(16)
	if _, e := w.call(nr, fd, b, size); e != 0 {
		w.log("%s: %v", what, e)
		return
	}
	port := binary.NativeEndian.Uint32(b[4:])
	text := fmt.Sprint(int32(port))
	if port > 1023 && port != 1<<32-1 && port < 7000 || port > 8000 && port != 1<<32-1 {
		text = "chosen"
	}
	w.log("%s: family %d port %s cid %d size %d", what, binary.NativeEndian.Uint16(b), text, int32(binary.NativeEndian.Uint32(b[8:])), size[0])
}

// What needs no transport is as on Linux, whichever transports that has.
func TestVsockCalls(t *testing.T) {
	compare(t, func(w *world) {
		for _, typ := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET, syscall.SOCK_RAW, syscall.SOCK_RDM, 99} {
			fd := w.do(fmt.Sprint("type ", typ), syscall.SYS_SOCKET, afVsock, typ, 0)
			if fd > 0 {
				w.lines[len(w.lines)-1] = "made"
				w.must(syscall.SYS_CLOSE, fd)
			}
		}
		w.do("protocol", syscall.SYS_SOCKET, afVsock, syscall.SOCK_STREAM, 6)
		fd := w.must(syscall.SYS_SOCKET, afVsock, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
		w.vsockName("name", syscall.SYS_GETSOCKNAME, fd)
		w.vsockName("peer", syscall.SYS_GETPEERNAME, fd)
		w.do("short", syscall.SYS_BIND, fd, vm(7001, anyVsock), 12)
		w.do("family", syscall.SYS_BIND, fd, in4Address, 16)
		w.do("flags", syscall.SYS_BIND, fd, vm(7001, anyVsock, 2), 16)
		w.do("cid", syscall.SYS_BIND, fd, vm(7001, 77), 16)
		w.do("listen, unbound", syscall.SYS_LISTEN, fd, 1)
		w.do("accept", syscall.SYS_ACCEPT4, fd, 0, 0, 0)
		w.do("shutdown", syscall.SYS_SHUTDOWN, fd, 2)
		w.do("shutdown 3", syscall.SYS_SHUTDOWN, fd, 3)
		w.do("read", syscall.SYS_READ, fd, make([]byte, 8), 8)
		w.do("write", syscall.SYS_WRITE, fd, make([]byte, 8), 8)
		w.do("send to", syscall.SYS_SENDTO, fd, make([]byte, 8), 8, 0, vm(7001, 1), 16)
		w.do("send OOB", syscall.SYS_SENDTO, fd, make([]byte, 8), 8, syscall.MSG_OOB, 0, 0)
		w.do("connect, short", syscall.SYS_CONNECT, fd, vm(7001, 1), 12)
		w.do("bind", syscall.SYS_BIND, fd, vm(7001, anyVsock), 16)
		w.vsockName("name", syscall.SYS_GETSOCKNAME, fd)
		w.do("bind again", syscall.SYS_BIND, fd, vm(7002, anyVsock), 16)
		other := w.must(syscall.SYS_SOCKET, afVsock, syscall.SOCK_STREAM, 0)
		w.do("taken", syscall.SYS_BIND, other, vm(7001, anyVsock), 16)
		w.do("any port", syscall.SYS_BIND, other, vm(anyVsock, anyVsock), 16)
		w.vsockName("name", syscall.SYS_GETSOCKNAME, other)
		w.do("listen", syscall.SYS_LISTEN, fd, 1)
		w.do("accept, nobody", syscall.SYS_ACCEPT4, fd, 0, 0, 0)
		w.do("connect a listener", syscall.SYS_CONNECT, fd, vm(7002, 1), 16)
		w.do("shutdown a listener", syscall.SYS_SHUTDOWN, fd, 2)
		for name := range 10 {
			b, size := make([]byte, 16), le32(16)
			n, e := w.call(syscall.SYS_GETSOCKOPT, other, afVsock, name, b, size)
			w.log("option %d: %d, %v, %x of %d", name, n, e, b, size[0])
		}
		w.do("size", syscall.SYS_SETSOCKOPT, other, afVsock, 0, append(le32(1<<20), 0, 0, 0, 0), 8)
		w.do("most", syscall.SYS_SETSOCKOPT, other, afVsock, 2, append(le32(4096), 0, 0, 0, 0), 8)
		w.do("short", syscall.SYS_SETSOCKOPT, other, afVsock, 2, le32(4096), 4)
		w.do("unknown", syscall.SYS_SETSOCKOPT, other, afVsock, 55, le32(4096), 4)
		b, size := make([]byte, 8), le32(8)
		w.must(syscall.SYS_GETSOCKOPT, other, afVsock, 0, b, size)
		w.log("size %x", b)
	})
}

var in4Address = append(le16(syscall.AF_INET), make([]byte, 14)...)

// Sockets of the machine connect to each other: streams, and packets with their ends.
func TestVsockLoopback(t *testing.T) {
	for _, typ := range []int{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET} {
		got := onMachine(t, func(w *world) {
			l := w.must(syscall.SYS_SOCKET, afVsock, typ, 0)
			w.must(syscall.SYS_BIND, l, vm(7001, 1), 16)
			w.must(syscall.SYS_LISTEN, l, 1)
			c := w.must(syscall.SYS_SOCKET, afVsock, typ, 0)
			w.do("nobody", syscall.SYS_CONNECT, c, vm(7009, 1), 16)
			w.do("a host", syscall.SYS_CONNECT, c, vm(7001, 2), 16)
			w.do("connect", syscall.SYS_CONNECT, c, vm(7001, 1), 16)
			w.do("again", syscall.SYS_CONNECT, c, vm(7001, 1), 16)
			from, size := make([]byte, 16), le32(16)
			s := w.must(syscall.SYS_ACCEPT4, l, from, size, 0)
			w.log("from cid %d, size %d", binary.NativeEndian.Uint32(from[8:]), size[0])
			w.vsockName("name", syscall.SYS_GETSOCKNAME, s)
			w.vsockName("peer", syscall.SYS_GETPEERNAME, c)
			w.must(syscall.SYS_WRITE, c, []byte("one"), 3)
			w.must(syscall.SYS_WRITE, c, []byte("two"), 3)
			b := make([]byte, 16)
			n := w.must(syscall.SYS_READ, s, b, 16)
			w.log("%q", b[:n])
			w.must(syscall.SYS_CLOSE, c)
			if typ == syscall.SOCK_SEQPACKET {
				n = w.must(syscall.SYS_READ, s, b, 16)
				w.log("%q", b[:n])
			}
			w.do("end", syscall.SYS_READ, s, b, 16)
		})
		want := []string{"nobody: connection reset by peer", "a host: no such device", "connect: 0", "again: transport endpoint is already connected",
			"from cid 1, size 16", "name: family 40 port 7001 cid 1 size 16", "peer: family 40 port 7001 cid 1 size 16"}
		if typ == syscall.SOCK_STREAM {
			want = append(want, `"onetwo"`, "end: 0")
		} else {
			want = append(want, `"one"`, `"two"`, "end: 0")
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("type %d: %q; want %q", typ, got, want)
		}
	}
}
