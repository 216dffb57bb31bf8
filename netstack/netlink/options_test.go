package netlink

import (
	"bytes"
	"encoding/binary"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// What an option accepts, Linux accepts, too, and reads back alike; what is refused for the kind of
// socket, it refuses with the same error.
func TestOptionsAsOnLinux(t *testing.T) {
	if syscall.Getuid() != 0 {
		t.Skip("some options are root's")
	}
	served := 0
	for _, level := range []int{syscall.SOL_SOCKET, solNetlink, syscall.IPPROTO_IP, 500} {
		for name := range 90 {
			if level == syscall.SOL_SOCKET && (name == syscall.SO_RCVBUF || name == syscall.SO_SNDBUF || name == syscall.SO_RCVBUFFORCE || name == syscall.SO_SNDBUFFORCE) {
				continue // the limits are the system's
			}
			one := []byte{1, 0, 0, 0}
			s := newSocket(t)
			set := s.SetOption(level, name, one)
			got := make([]byte, 4)
			_, get := s.GetOption(level, name, got)
			fd := nativeSocket(t)
			_, _, wantSet := syscall.Syscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&one[0])), 4, 0)
			want, size := make([]byte, 4), uint32(4)
			_, _, wantGet := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&want[0])), uintptr(unsafe.Pointer(&size)), 0)
			syscall.Close(fd)
			if set == syscall.ENOPROTOOPT && get == syscall.ENOPROTOOPT {
				continue // as on a kernel without it
			}
			served++
			if set != wantSet || get != wantGet || get == 0 && name != solsocket.Meminfo && !bytes.Equal(got, want) {
				t.Errorf("%d/%d: set %v, get %v %v; want %v, %v %v", level, name, set, get, got, wantSet, wantGet, want)
			}
		}
	}
	if served < 30 {
		t.Errorf("%d options were compared; want 30 at least", served)
	}
}

// The rules of each family are those that Linux has at first.
func TestRulesAsOnLinux(t *testing.T) {
	req := message(syscall.RTM_GETRULE, dump, append([]byte{syscall.AF_INET}, make([]byte, 11)...))
	want := parse(t, nativeExchange(t, nativeSocket(t), req))
	got := parse(t, exchange(t, newSocket(t), req))
	if len(got) != 3 || len(want) < 4 {
		t.Fatalf("%d rules, and on Linux %d; want two and the end", len(got), len(want))
	}
	for i := range 2 {
		if !bytes.Equal(got[i].Data, want[i].Data) {
			t.Errorf("rule %d is %x; want %x", i, got[i].Data, want[i].Data)
		}
	}
}

// Each interface has one queueing discipline.
func TestQueueingDisciplines(t *testing.T) {
	got := messages(t, message(syscall.RTM_GETQDISC, dump, make([]byte, 20)))
	kinds := map[uint32]string{}
	for _, m := range got {
		if m.Header.Type == syscall.RTM_NEWQDISC {
			kinds[binary.NativeEndian.Uint32(m.Data[4:])] = string(m.Data[24 : 24+bytes.IndexByte(m.Data[24:], 0)])
		}
	}
	if kinds[1] != "noqueue" || kinds[2] != "pfifo" {
		t.Errorf("disciplines %v; want noqueue for 1 and pfifo for 2", kinds)
	}
}

// The control messages of a datagram: its group and its sender.
func TestControlMessages(t *testing.T) {
	s := newSocket(t)
	on := []byte{1, 0, 0, 0}
	if e := s.SetOption(solNetlink, netlinkPacketInfo, on); e != 0 {
		t.Fatal(e)
	}
	if e := s.SetOption(syscall.SOL_SOCKET, syscall.SO_PASSCRED, on); e != 0 {
		t.Fatal(e)
	}
	if _, e := s.Write(message(syscall.NLMSG_NOOP, ack, nil), 0); e != 0 {
		t.Fatal(e)
	}
	m := kernel.Message{Buffers: [][]byte{make([]byte, 100)}, Control: make([]byte, 100)}
	if _, e := s.Receive(&m, 0); e != 0 || m.ControlLen != 24+32 || m.Flags != 0 {
		t.Errorf("%d bytes of control messages, flags %#x, %v; want 56", m.ControlLen, m.Flags, e)
	}
	s.Write(message(syscall.NLMSG_NOOP, ack, nil), 0)
	m.Control = m.Control[:20]
	if _, e := s.Receive(&m, 0); e != 0 || m.ControlLen != 20 || m.Flags != syscall.MSG_CTRUNC {
		t.Errorf("%d bytes of control messages, flags %#x, %v; want 20 and MSG_CTRUNC", m.ControlLen, m.Flags, e)
	}
}

// The controller of NETLINK_GENERIC answers as Linux's, but for commands and families that are not
// here.
func TestControllerAsOnLinux(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, syscall.NETLINK_GENERIC)
	if err != nil {
		t.Skip("no generic netlink on this host: ", err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Pid: uint32(os.Getpid())}); err != nil {
		t.Skip("the port is taken: ", err)
	}
	s, e := New(hostLoopback{}, os.Getpid()).Socket(syscall.SOCK_RAW, syscall.NETLINK_GENERIC)
	if e != 0 {
		t.Fatal(e)
	}
	get := func(attributes ...byte) []byte {
		return message(controllerID, ask, append([]byte{commandGetFamily, 1, 0, 0}, attributes...))
	}
	byName := get(append([]byte{11, 0, familyName, 0}, "nlctrl\x00\x00"...)...)
	for name, b := range map[string][]byte{
		"no such name":   get(append([]byte{10, 0, familyName, 0}, "none9\x00\x00\x00"...)...),
		"no such number": get(6, 0, familyID, 0, 99, 0, 0, 0),
		"neither":        get(),
		"no family":      message(99, ask, []byte{1, 1, 0, 0}),
		"noop, ack":      message(syscall.NLMSG_NOOP, ack, nil),
	} {
		want, got := nativeExchange(t, fd, b), exchange(t, s, b)
		if !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
			t.Errorf("%s:\n ours  %x\n linux %x", name, got, want)
		}
	}
	want, got := parse(t, nativeExchange(t, fd, byName)), parse(t, exchange(t, s, byName))
	const same = 4 + 12 + 8 + 8 + 8 + 8 // up to the commands
	if len(got) != 1 || len(want) != 1 || !bytes.Equal(got[0].Data[:same], want[0].Data[:same]) {
		t.Errorf("the controller:\n ours  %x\n linux %x", got, want)
	}
	if !bytes.Contains(want[0].Data, got[0].Data[len(got[0].Data)-28:]) {
		t.Errorf("the controller's group %x is not in %x", got[0].Data[len(got[0].Data)-28:], want[0].Data)
	}
}

// A socket for events of devices can be made and waited on; nothing comes.
func TestDeviceEvents(t *testing.T) {
	s, e := New(hostLoopback{}, 7).Socket(syscall.SOCK_RAW, syscall.NETLINK_KOBJECT_UEVENT)
	if e != 0 {
		t.Fatal(e)
	}
	if e := s.Bind([]byte{syscall.AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}); e != 0 {
		t.Errorf("bind: %v", e)
	}
	if _, e := s.Read(make([]byte, 10), 0); e != syscall.EAGAIN {
		t.Errorf("read = %v; want EAGAIN", e)
	}
}
