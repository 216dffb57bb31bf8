package solsocket_test

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
	"github.com/yolk-unikernel/yolk/netstack/netlink"
	"github.com/yolk-unikernel/yolk/netstack/packetsock"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
	"github.com/yolk-unikernel/yolk/netstack/unixsock"
)

// kind is a kind of sockets, on Linux and here.
type kind struct {
	name        string
	family, typ int
	open        func() (kernel.Socket, syscall.Errno)
}

// frames is a network without interfaces.
type frames struct{ packetsock.Network }

func (frames) NextInode() uint64              { return 7 }
func (frames) OnChange(func())                {}
func (frames) InterfaceNames() map[int]string { return nil }
func (frames) HoldDatagrams(int) bool         { return true }

// links are interfaces of netlink, of which there are none.
type links struct{ netlink.Source }

func (links) Interfaces() []netlink.Interface { return nil }

func kinds() []kind {
	unix := unixsock.New(nil, func() syscall.Ucred { return syscall.Ucred{Pid: 1} })
	unix.UseFilters(bpf.NewFilter)
	nl := netlink.New(links{}, 1)
	nl.UseFilters(bpf.NewFilter)
	packet := packetsock.New(frames{}, bpf.NewFilter)
	of := func(f func(typ, protocol int) (kernel.Socket, syscall.Errno), typ int) func() (kernel.Socket, syscall.Errno) {
		return func() (kernel.Socket, syscall.Errno) { return f(typ, 0) }
	}
	return []kind{
		{"unix stream", syscall.AF_UNIX, syscall.SOCK_STREAM, of(unix.Socket, syscall.SOCK_STREAM)},
		{"unix dgram", syscall.AF_UNIX, syscall.SOCK_DGRAM, of(unix.Socket, syscall.SOCK_DGRAM)},
		{"unix seqpacket", syscall.AF_UNIX, syscall.SOCK_SEQPACKET, of(unix.Socket, syscall.SOCK_SEQPACKET)},
		{"netlink", syscall.AF_NETLINK, syscall.SOCK_RAW, of(nl.Socket, syscall.SOCK_RAW)},
		{"packet", syscall.AF_PACKET, syscall.SOCK_RAW, of(packet.Socket, syscall.SOCK_RAW)},
	}
}

// differences are the options that answer otherwise than on Linux, by the kinds of sockets whose names start with
// the word, and why.
var differences = []struct {
	kind    string
	options []int
	why     string
}{
	{"", []int{syscall.SO_RCVTIMEO, syscall.SO_SNDTIMEO, solsocket.RcvTimeoNew, solsocket.SndTimeoNew}, "kernel/sys_socket.go serves them for all sockets"},
	{"", []int{solsocket.AttachBPF, solsocket.AttachReuseEBPF}, "there is no bpf(2): EINVAL even for what is no descriptor"},
	{"unix", []int{solsocket.PassPidFD}, "no descriptor of a process is received: ENOPROTOOPT for 1, as before Linux 6.5"},
	{"packet", []int{solsocket.BusyPoll, solsocket.PreferBusyPoll, solsocket.BusyPollBudget}, "cards interrupt: ENOPROTOOPT, as without CONFIG_NET_RX_BUSY_POLL"},
	{"packet", []int{solsocket.RcvMark, solsocket.RcvPriority}, "frames have no mark and no priority: ENOPROTOOPT, as before Linux 6.14"},
	{"packet", []int{syscall.SO_TIMESTAMPING, solsocket.TimestampingNew}, "no times of sending are known: EINVAL"},
}

func difference(k string, option int) (why string) {
	for _, d := range differences {
		for _, o := range d.options {
			if o == option && strings.HasPrefix(k, d.kind) {
				return d.why
			}
		}
	}
	return ""
}

// port sets and gets options.
type port interface {
	SetOption(level, name int, val []byte) syscall.Errno
	GetOption(level, name int, dst []byte) (int, syscall.Errno)
}

// native is a descriptor of the host.
type native int

func (fd native) SetOption(level, name int, val []byte) syscall.Errno {
	_, _, e := syscall.Syscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(unsafe.SliceData(val))), uintptr(len(val)), 0)
	return e
}

func (fd native) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	n := uint32(len(dst))
	_, _, e := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(unsafe.SliceData(dst))), uintptr(unsafe.Pointer(&n)), 0)
	return int(n), e
}

// both runs f on a new socket of Linux and on one of ours.
func (k *kind) both(t *testing.T, f func(port) string) (want, got string) {
	t.Helper()
	fd, err := syscall.Socket(k.family, k.typ|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close(fd)
	s, e := k.open()
	if e != 0 {
		t.Fatal(e)
	}
	if k.family != syscall.AF_PACKET { // that one is bound to no network
		defer s.Release()
	}
	return f(native(fd)), f(s)
}

// closing are the packet sockets that are being closed: each waits for Linux to be done with its frames, some together.
var closing = make(chan int, 32)

func (k *kind) close(fd int) {
	if k.family != syscall.AF_PACKET {
		syscall.Close(fd)
		return
	}
	closing <- fd
	go func() { syscall.Close(fd); <-closing }()
}

// show reads an option into n bytes.
func show(p port, option, n int) string {
	b := make([]byte, n)
	n, e := p.GetOption(syscall.SOL_SOCKET, option, b)
	switch {
	case e != 0:
		return e.Error()
	case option == solsocket.Cookie || option == solsocket.NetnsCookie: // the numbers are the machine's
		return fmt.Sprint(n, " bytes")
	}
	return fmt.Sprintf("%x", b[:n])
}

func set(p port, option, v, n int) string {
	b := make([]byte, max(n, 4))
	binary.NativeEndian.PutUint32(b, uint32(v))
	e := p.SetOption(syscall.SOL_SOCKET, option, b[:n])
	s := fmt.Sprintf("set %d in %d bytes: ", v, n)
	if e != 0 {
		s += e.Error()
	}
	return s + "; " + show(p, option, 16)
}

// Every option of SOL_SOCKET is set and read as on Linux, but for those in differences, which do differ.
func TestOptionsAsOnLinux(t *testing.T) {
	var u syscall.Utsname
	var major, minor int
	syscall.Uname(&u)
	var release []byte
	for _, c := range u.Release {
		release = append(release, byte(c))
	}
	if fmt.Sscanf(string(release), "%d.%d", &major, &minor); major*100+minor < 618 || syscall.Getuid() != 0 {
		t.Skip("the options are those of Linux 6.18, of which some are root's")
	}
	most, _ := os.ReadFile("/proc/sys/net/core/wmem_max")
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			for option := 1; option <= 90; option++ {
				limited := string(most) != "4194304\n" && (option == syscall.SO_RCVBUF || option == syscall.SO_SNDBUF)
				same := k.isLikeLinux(t, option, limited)
				if why := difference(k.name, option); why != "" && same {
					t.Errorf("option %d answers as on Linux, and is among differences: %s", option, why)
				}
			}
		})
	}
}

// The page for users has the differences.
func TestDifferencesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/network.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences[1:] { // timeouts are served elsewhere
		if !strings.Contains(string(page), d.why) {
			t.Errorf("docs/network.md does not say: %s", d.why)
		}
	}
}

// isLikeLinux compares one option. With limited, large values depend on the host.
func (k *kind) isLikeLinux(t *testing.T, option int, limited bool) bool {
	var cases []func(port) string
	for _, n := range []int{0, 3, 4, 8, 16, 40} {
		cases = append(cases, func(p port) string { return fmt.Sprintf("get %d bytes: %s", n, show(p, option, n)) })
	}
	for _, n := range []int{0, 2, 8, 16} {
		cases = append(cases, func(p port) string { return set(p, option, 1, n) })
	}
	for _, v := range []int{0, 1, 2, 4, 16, 1 << 10, -1, -7, 70000, 1 << 15, 1 << 16, 1 << 18, 1 << 19} {
		if !limited || v >= 0 && v < 1<<18 {
			cases = append(cases, func(p port) string { return set(p, option, v, 4) })
		}
	}
	cases = append(cases, func(p port) string { return set(p, option, 1, 4) + "; " + set(p, option, 0, 4) })
	same := true
	for _, f := range cases {
		if want, got := k.both(t, f); want != got {
			same = false
			if difference(k.name, option) == "" {
				t.Errorf("option %d:\n ours  %s\n linux %s", option, got, want)
			}
		}
	}
	return same
}
