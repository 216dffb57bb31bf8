package netstack

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
)

// The tables of sockets have Linux's first lines, and rows of as many fields and bytes.
func TestSocketTables(t *testing.T) {
	h := tester{t, newStack(t)}
	sockets := []struct {
		file, addr  string
		family, typ int
	}{
		{"tcp", "127.0.0.1:0", syscall.AF_INET, syscall.SOCK_STREAM}, {"tcp6", "[::1]:0", syscall.AF_INET6, syscall.SOCK_STREAM},
		{"udp", "127.0.0.1:0", syscall.AF_INET, syscall.SOCK_DGRAM}, {"udp6", "[::1]:0", syscall.AF_INET6, syscall.SOCK_DGRAM},
	}
	for _, c := range sockets {
		k := h.socket(c.family, c.typ, 0)
		l, e := newLinuxSocket(c.family, c.typ, 0)
		h.ok("socket", e)
		for _, s := range []kernel.Socket{k, l} {
			h.ok("bind", s.Bind(sockaddr(addrPort(c.addr))))
			if c.typ == syscall.SOCK_STREAM {
				h.ok("listen", s.Listen(5))
			}
		}
		ours, _ := h.s.ProcNet(c.file)
		linux, err := os.ReadFile("/proc/net/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		compareTables(t, c.file, string(ours), string(linux))
		l.(*linuxSocket).Release()
	}
	for _, file := range []string{"raw", "raw6", "icmp", "icmp6", "udplite", "udplite6"} {
		ours, _ := h.s.ProcNet(file)
		if linux, err := os.ReadFile("/proc/net/" + file); err == nil {
			first, _, _ := strings.Cut(string(linux), "\n")
			if want := first + "\n"; string(ours) != want {
				t.Errorf("%s begins with %q; want %q", file, ours, want)
			}
		}
	}
}

func compareTables(t *testing.T, file, ours, linux string) {
	t.Helper()
	a, b := strings.SplitAfter(ours, "\n"), strings.SplitAfter(linux, "\n")
	if a[0] != b[0] {
		t.Errorf("%s begins with %q; want %q", file, a[0], b[0])
	}
	filled := strings.Contains(a[0], "  \n")
	if x, y := strings.Fields(a[1]), strings.Fields(b[1]); len(x) != len(y) || filled && len(a[1]) != len(b[1]) ||
		strings.Index(a[1], ":") != strings.Index(b[1], ":") {
		t.Errorf("%s has a row %q; want the form of %q", file, a[1], b[1])
	}
}

// A row of /proc/net/udp tells what waits to be read, and how many datagrams found no room.
func TestSocketTableCounts(t *testing.T) {
	h := tester{t, newStack(t)}
	onEdited(t, h.s)
	k := h.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	h.ok("bind", k.Bind(sockaddr(addrPort("127.0.0.1:53"))))
	row := func() []string {
		text, _ := h.s.ProcNet("udp")
		return strings.Fields(strings.Split(string(text), "\n")[1])
	}
	if f := row(); f[4] != "00000000:00000000" || f[12] != "0" {
		t.Errorf("a socket without data: queues %s, %s drops; want none", f[4], f[12])
	}
	h.ok("connect", k.Connect(sockaddr(addrPort("127.0.0.1:53"))))
	for range 2000 {
		k.Write(make([]byte, 1000), 0)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // until the last is delivered
		f := row()
		if f[4] > "00000000:00001000" && f[12] != "0" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("with the buffer full: queues %s, %s drops", f[4], f[12])
		}
	}
}
