package netstack

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
)

// TestIdle checks that an idle machine does nothing: with an address, a listener and an idle
// connection it sends no frame.
func TestIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("waits 4 s")
	}
	// With IPv6, router solicitations go out for 8 s (RFC 4861 §10).
	a, b, na, nb := wiredPairWith(t, 64, NICInfo{}, Config{DisableIPv6: true})
	x, y := across(t, a, b, syscall.AF_INET, "10.0.0.2:80")
	bulk(t, x, y, 10000)
	time.Sleep(time.Second) // for the last acknowledgements and the listener reports
	var frames atomic.Int64
	count := func(*Frame, []byte) bool { frames.Add(1); return true }
	na.watch(count)
	nb.watch(count)
	time.Sleep(3 * time.Second)
	if n := frames.Load(); n != 0 {
		t.Errorf("%d frames in 3 s of idling; want none", n)
	}
}

func TestProcNet(t *testing.T) {
	s := newStack(t)
	h := tester{t, s}
	l := h.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	h.ok("bind", l.Bind(sockaddr(addrPort("127.0.0.1:8080"))))
	h.ok("listen", l.Listen(1))
	u := h.socket(syscall.AF_INET6, syscall.SOCK_DGRAM, 0)
	h.ok("bind", u.Bind(sockaddr(addrPort("[::1]:53"))))
	for file, want := range map[string]string{
		"tcp":      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 ",
		"udp6":     "00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07",
		"dev":      "    lo: ",
		"if_inet6": "00000000000000000000000000000001 01 80 10 80       lo\n",
		"route":    "Iface\tDestination\tGateway",
		"arp":      "IP address       HW type",
	} {
		got, ok := s.ProcNet(file)
		if !ok || !strings.Contains(string(got), want) {
			t.Errorf("/proc/net/%s:\n%s\nwant %q in it", file, got, want)
		}
	}
	if _, ok := s.ProcNet("nosuch"); ok {
		t.Error("/proc/net/nosuch exists")
	}
}

func TestIoctl(t *testing.T) {
	a, _, _, _ := wiredPair(t, 16, NICInfo{})
	k := a.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	do := func(req uintptr, b []byte) syscall.Errno {
		var args kernel.Args
		args.N[2] = uintptr(unsafe.Pointer(&b[0]))
		args.P[2] = unsafe.Pointer(&b[0])
		_, e := k.(kernel.Ioctler).Ioctl(req, args)
		return e
	}
	r := make([]byte, ifreqSize)
	copy(r, "eth0")
	a.ok("SIOCGIFINDEX", do(siocGIfIndex, r))
	if i := binary.NativeEndian.Uint32(r[16:]); i != 2 {
		t.Errorf("index of eth0 = %d; want 2", i)
	}
	a.ok("SIOCGIFADDR", do(syscall.SIOCGIFADDR, r))
	if string(r[20:24]) != "\x0a\x00\x00\x01" {
		t.Errorf("address % x; want 10.0.0.1", r[20:24])
	}
	a.ok("SIOCGIFMTU", do(syscall.SIOCGIFMTU, r))
	if mtu := binary.NativeEndian.Uint32(r[16:]); mtu != 1500 {
		t.Errorf("MTU %d; want 1500", mtu)
	}
	binary.NativeEndian.PutUint32(r[16:], 1)
	a.ok("SIOCGIFNAME", do(syscall.SIOCGIFNAME, r))
	if cString(r[:16]) != "lo" {
		t.Errorf("name of 1 = %q; want lo", cString(r[:16]))
	}
	copy(r, "nosuch0\x00")
	if e := do(siocGIfIndex, r); e != syscall.ENODEV {
		t.Errorf("SIOCGIFINDEX of nosuch0 = %v; want ENODEV", e)
	}
	if e := do(0x1234, r); e != syscall.ENOTTY {
		t.Errorf("unknown ioctl = %v; want ENOTTY", e)
	}
	conf, list := make([]byte, 16), make([]byte, 10*ifreqSize)
	binary.NativeEndian.PutUint32(conf, uint32(len(list)))
	*(*unsafe.Pointer)(unsafe.Pointer(&conf[8])) = unsafe.Pointer(&list[0])
	a.ok("SIOCGIFCONF", do(syscall.SIOCGIFCONF, conf))
	if n := binary.NativeEndian.Uint32(conf); n != 2*ifreqSize || cString(list[:16]) != "lo" || cString(list[ifreqSize:ifreqSize+16]) != "eth0" {
		t.Errorf("SIOCGIFCONF gave %d bytes, %q", n, list[:2*ifreqSize])
	}
}
