package netcalls

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/yolk-unikernel/yolk/runtime/wiring/net"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// A world is a system whose calls a test makes: Linux, in a network namespace of its own, or a machine
// without cards. Tests make the same calls in both and compare what they have logged.
type world struct {
	t     *testing.T
	call  func(nr uintptr, args ...any) (int, syscall.Errno)
	lines []string
}

func (w *world) log(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// must is call for what has to work.
func (w *world) must(nr uintptr, args ...any) int {
	w.t.Helper()
	n, e := w.call(nr, args...)
	if e != 0 {
		w.t.Fatalf("call %d: %v", nr, e)
	}
	return n
}

// do makes a call and logs how it ends.
func (w *world) do(what string, nr uintptr, args ...any) int {
	n, e := w.call(nr, args...)
	if e != 0 {
		w.log("%s: %v", what, e)
	} else {
		w.log("%s: %d", what, n)
	}
	return n
}

// onLinux runs script in a namespace of its own, whose thread ends with it.
func onLinux(t *testing.T, script func(w *world)) []string {
	w := &world{t: t, call: func(nr uintptr, args ...any) (int, syscall.Errno) {
		var n [6]uintptr
		for i, a := range args {
			switch a := a.(type) {
			case int:
				n[i] = uintptr(a)
			case unsafe.Pointer:
				n[i] = uintptr(a)
			case string:
				n[i] = uintptr(unsafe.Pointer(unsafe.SliceData(append([]byte(a), 0))))
			case []byte:
				n[i] = uintptr(unsafe.Pointer(unsafe.SliceData(a)))
			}
		}
		r, _, e := syscall.Syscall6(nr, n[0], n[1], n[2], n[3], n[4], n[5])
		runtime.KeepAlive(args)
		return int(r), e
	}}
	problem := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			problem <- err
			return
		}
		defer close(problem)
		script(w)
	}()
	if err := <-problem; err != nil {
		t.Skip("no network namespace of its own on this host: ", err)
	}
	return w.lines
}

// onlyMachine returns a machine without cards, and its calls.
func onlyMachine(t *testing.T) (*wiringtest.Machine, *world) {
	m := wiringtest.New(t)
	m.Start("ip=off", "quiet")
	net.Start()
	start()
	return m, &world{t: t, call: m.Call}
}

// onMachine runs script on a machine.
func onMachine(t *testing.T, script func(w *world)) []string {
	_, w := onlyMachine(t)
	script(w)
	return w.lines
}

// compare runs a script in both worlds.
func compare(t *testing.T, script func(w *world)) {
	t.Helper()
	want := onLinux(t, script)
	got := onMachine(t, script)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Linux -, the machine +:\n%s", d)
	}
}

// ioctl makes an ioctl with a struct ifreq and logs what it has then.
func (w *world) ifreq(what string, fd int, req int, name string, union ...byte) []byte {
	r := make([]byte, 40)
	copy(r, name)
	copy(r[16:], union)
	_, e := w.call(syscall.SYS_IOCTL, fd, req, r)
	if e != 0 {
		w.log("%s: %v", what, e)
		return r
	}
	w.log("%s: %s %x", what, strings.TrimRight(string(r[:16]), "\x00"), r[16:24])
	return r
}

// le16 and le32 are numbers in the CPU's order.
func le16(v int) []byte { return binary.NativeEndian.AppendUint16(nil, uint16(v)) }
func le32(v int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

// Requests of /dev/net/tun.
const (
	tunSetInterface = 0x400454ca
	tunGetInterface = 0x800454d2
	iffTun          = 1
	iffTap          = 2
	iffNoPI         = 0x1000
	iffHeader       = 0x4000
)

// tun opens /dev/net/tun and makes a card.
func (w *world) tun(name string, flags int) (fd int) {
	w.t.Helper()
	fd = w.must(syscall.SYS_OPENAT, -100, "/dev/net/tun", syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	r := make([]byte, 40)
	copy(r, name)
	copy(r[16:], le16(flags))
	w.must(syscall.SYS_IOCTL, fd, tunSetInterface, r)
	return fd
}

// attr is an attribute.
type attr struct {
	typ   int
	value []byte
}

func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func message(typ, flags int, header []byte, attrs ...attr) []byte {
	b := append([]byte(nil), header...)
	for _, a := range attrs {
		b = append(b, le16(4+len(a.value))...)
		b = append(b, le16(a.typ)...)
		b = append(b, a.value...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	h := append(le32(16+len(b)), le16(typ)...)
	h = append(append(h, le16(flags|syscall.NLM_F_REQUEST)...), le32(1)...)
	return append(append(h, le32(0)...), b...)
}

// ask sends a request over netlink and returns the messages that answer it.
func (w *world) ask(b []byte) (list []syscall.NetlinkMessage) {
	w.t.Helper()
	fd := w.must(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	defer w.must(syscall.SYS_CLOSE, fd)
	w.must(syscall.SYS_SENDTO, fd, b, len(b), 0, 0, 0)
	return w.receive(fd, 0)
}

// receive reads messages until the end of a dump or of what there is.
func (w *world) receive(fd, flags int) (list []syscall.NetlinkMessage) {
	for {
		b := make([]byte, 64<<10)
		n, e := w.call(syscall.SYS_RECVFROM, fd, b, len(b), flags, 0, 0)
		if e != 0 {
			return list
		}
		messages, err := syscall.ParseNetlinkMessage(b[:n])
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range messages {
			if m.Header.Type == syscall.NLMSG_DONE {
				return list
			}
			list = append(list, m)
			if m.Header.Type == syscall.NLMSG_ERROR {
				return list
			}
		}
	}
}

// set makes a change and logs its errno.
func (w *world) set(what string, typ, flags int, header []byte, attrs ...attr) {
	w.t.Helper()
	m := w.ask(message(typ, flags|syscall.NLM_F_ACK, header, attrs...))
	w.log("%s: %v", what, syscall.Errno(-int32(binary.NativeEndian.Uint32(m[0].Data))))
}

func attributes(t *testing.T, m *syscall.NetlinkMessage) map[int][]byte {
	list, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int][]byte{}
	for _, a := range list {
		out[int(a.Attr.Type)] = a.Value
	}
	return out
}

func addrText(b []byte) string {
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	return "none"
}

// known reports whether an address or a network is one that a test has made: Linux has some for each
// IPv6 interface.
func known(b []byte) bool {
	a, ok := netip.AddrFromSlice(b)
	return !ok || !a.Is6() || !a.IsLinkLocalUnicast() && !a.IsMulticast()
}

// text says what a message is about, or "".
func (w *world) text(m *syscall.NetlinkMessage) string {
	a := map[int][]byte{}
	if t := m.Header.Type; t != syscall.RTM_NEWNEIGH && t != syscall.RTM_DELNEIGH {
		a = attributes(w.t, m)
	}
	switch m.Header.Type {
	case syscall.RTM_NEWLINK, syscall.RTM_DELLINK:
		const shown = syscall.IFF_UP | syscall.IFF_RUNNING | syscall.IFF_POINTOPOINT | syscall.IFF_NOARP | syscall.IFF_MULTICAST | syscall.IFF_BROADCAST
		kind := ""
		if i := strings.Index(string(a[syscall.IFLA_IFNAME+15]), "tun"); i >= 0 {
			kind = "tun"
		}
		h := m.Data
		return fmt.Sprintf("link %s index %d type %d flags %#x mtu %d queue %d state %d address of %d kind %q", strings.TrimRight(string(a[syscall.IFLA_IFNAME]), "\x00"),
			binary.NativeEndian.Uint32(h[4:]), binary.NativeEndian.Uint16(h[2:]), binary.NativeEndian.Uint32(h[8:])&shown,
			binary.NativeEndian.Uint32(a[syscall.IFLA_MTU]), binary.NativeEndian.Uint32(a[syscall.IFLA_TXQLEN]), a[syscall.IFLA_OPERSTATE][0], len(a[syscall.IFLA_ADDRESS]), kind)
	case syscall.RTM_NEWADDR, syscall.RTM_DELADDR:
		if !known(a[syscall.IFA_ADDRESS]) {
			return ""
		}
		return fmt.Sprintf("address %s/%d scope %d index %d flags %x label %s", addrText(a[syscall.IFA_ADDRESS]), m.Data[1], m.Data[3],
			binary.NativeEndian.Uint32(m.Data[4:]), m.Data[2]&0x80, strings.TrimRight(string(a[syscall.IFA_LABEL]), "\x00"))
	case syscall.RTM_NEWROUTE, syscall.RTM_DELROUTE:
		index := le32(0)
		if o := a[syscall.RTA_OIF]; o != nil {
			index = o
		}
		if m.Data[4] != syscall.RT_TABLE_MAIN || m.Data[7] != syscall.RTN_UNICAST || !known(a[syscall.RTA_DST]) || index[0] == 1 {
			return ""
		}
		metric := le32(0)
		if p := a[syscall.RTA_PRIORITY]; p != nil {
			metric = p
		}
		scope := int(m.Data[6])
		if m.Data[0] == syscall.AF_INET6 {
			scope = 0
		}
		return fmt.Sprintf("route %s/%d via %s dev %d protocol %d scope %d metric %d", addrText(a[syscall.RTA_DST]), m.Data[1], addrText(a[syscall.RTA_GATEWAY]),
			binary.NativeEndian.Uint32(index), m.Data[5], scope, binary.NativeEndian.Uint32(metric))
	}
	return ""
}

// show logs all objects of a kind, sorted.
func (w *world) show(kinds ...int) {
	w.t.Helper()
	for _, kind := range kinds {
		var lines []string
		for _, m := range w.ask(message(kind, syscall.NLM_F_DUMP, make([]byte, 16))) {
			if s := w.text(&m); s != "" && !strings.HasPrefix(s, "link lo") && !strings.Contains(s, "index 1 ") {
				lines = append(lines, s)
			}
		}
		destination := func(s string) string { // of routes to one destination the order means something
			before, _, _ := strings.Cut(s, " via")
			return before
		}
		sort.SliceStable(lines, func(i, j int) bool { return destination(lines[i]) < destination(lines[j]) })
		w.lines = append(w.lines, lines...)
	}
}
