package netlink

import (
	"net/netip"
	"os"
	"syscall"
	"testing"
)

// someSockets is a source of one socket of each kind.
type someSockets struct{}

func (someSockets) InternetSockets(family, _ int) []InternetSocket {
	any := netip.IPv4Unspecified()
	if family == syscall.AF_INET6 {
		any = netip.IPv6Unspecified()
	}
	return []InternetSocket{{Local: netip.AddrPortFrom(any, 80), Remote: netip.AddrPortFrom(any, 0), State: stateListen, Inode: 7, Option: noOption}}
}

func (someSockets) UnixSockets() []UnixSocket {
	return []UnixSocket{{State: stateListen, Inode: 8, Name: []byte("/a\x00"), Waiting: []uint64{9}, Option: noOption}}
}

func noOption(int, int, []byte) (int, syscall.Errno) { return 0, syscall.ENOPROTOOPT }

// newDiagnosis is a socket of NETLINK_SOCK_DIAG.
func newDiagnosis(t testing.TB) *socket {
	f := New(nil, os.Getpid())
	ListSockets(f, someSockets{})
	s, e := f.Socket(syscall.SOCK_RAW, protocolSockDiag)
	if e != 0 {
		t.Fatal(e)
	}
	return s.(*socket)
}

// Where nothing lists sockets there is no such protocol.
func TestDiagnosisAbsent(t *testing.T) {
	if _, e := New(nil, os.Getpid()).Socket(syscall.SOCK_RAW, protocolSockDiag); e != syscall.EPROTONOSUPPORT {
		t.Errorf("socket: %v; want %v", e, syscall.EPROTONOSUPPORT)
	}
}

// manySockets has more than fit into a receive buffer.
type manySockets struct{ someSockets }

func (m manySockets) InternetSockets(family, protocol int) (list []InternetSocket) {
	for range 5000 {
		list = append(list, m.someSockets.InternetSockets(family, protocol)...)
	}
	return list
}

// A dump that is larger than the receive buffer comes whole; another one before it is read does not.
func TestDiagnosisOfMany(t *testing.T) {
	f := New(nil, os.Getpid())
	ListSockets(f, manySockets{})
	s, e := f.Socket(syscall.SOCK_RAW, protocolSockDiag)
	if e != 0 {
		t.Fatal(e)
	}
	request := append([]byte{syscall.AF_INET, syscall.IPPROTO_TCP, 0, 0, 255, 255, 255, 255}, make([]byte, socketIDSize)...)
	got, n := 0, 0
	for _, m := range parse(t, exchange(t, s, message(getSockets, dump, request))) {
		if m.Header.Type == getSockets {
			got++
			n += int(m.Header.Len)
		}
	}
	if got != 5000 || n <= 212992 {
		t.Errorf("%d sockets in %d bytes; want 5000, in more than the buffer's %d", got, n, 212992)
	}
	s.Write(message(getSockets, dump, request), 0)
	s.Write(message(getSockets, dump, request), 0)
	if _, e := s.Read(make([]byte, 4096), 0); e != syscall.ENOBUFS {
		t.Errorf("two dumps that nobody reads: %v; want %v", e, syscall.ENOBUFS)
	}
}

// Any request is answered with whole messages, and any program of a filter ends.
func FuzzDiagnosis(f *testing.F) {
	request := append([]byte{syscall.AF_INET, syscall.IPPROTO_TCP, 0xff, 0, 255, 255, 255, 255}, make([]byte, socketIDSize)...)
	for _, program := range []string{
		"\x02\x08\x0c\x00\x00\x00\x50\x00",
		"\x07\x10\x14\x00\x02\x08\x00\x00\xff\xff\xff\xff\x7f\x00\x00\x00",
		"\x01\x04\x04\x00\x06\x04\x08\x00",
		"\x0a\x0c\x10\x00\x01\x00\x00\x00\x01\x00\x00\x00",
	} {
		f.Add(message(getSockets, dump, append(append(request, byte(4+len(program)), 0, requestFilter, 0), program...)))
	}
	f.Add(message(getSockets, ack, request))
	f.Add(message(oldGetSockets, dump, make([]byte, oldRequestSize)))
	f.Add(message(getSockets, dump, append([]byte{syscall.AF_UNIX, 0, 0, 0, 255, 255, 255, 255}, make([]byte, 16)...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		s := newDiagnosis(t)
		s.Write(b, 0)
		var p [64 << 10]byte
		for {
			n, e := s.Read(p[:], 0)
			if e != 0 {
				return
			}
			if _, err := syscall.ParseNetlinkMessage(p[:n]); err != nil {
				t.Errorf("answer %x: %v", p[:n], err)
			}
		}
	})
}
