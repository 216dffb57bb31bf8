package qemu

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestGateAllows(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	os.WriteFile(file, []byte("# x\nsearch a\nnameserver 127.0.0.53\nnameserver ::1\nnameserver\nnameserver x\n"), 0o600)
	g := &gate{allowed: append(resolvers(file), netip.MustParseAddrPort("127.0.0.1:5002"))}
	for addr, want := range map[string]bool{
		"192.0.2.1:80": true, "169.254.1.1:80": true, "[2001:db8::1]:80": true, "[fe80::1]:80": true,
		"127.0.0.1:80": false, "127.9.9.9:80": false, "0.0.0.0:80": false, "[::1]:80": false, "[::]:80": false, "[::ffff:127.0.0.1]:80": false,
		"127.0.0.53:53": true, "127.0.0.53:54": false, "[::1]:53": true, "127.0.0.1:5002": true, "127.0.0.1:5003": false,
	} {
		if got := g.allows(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("allows(%s) = %v; want %v", addr, got, want)
		}
	}
}

func TestNamed(t *testing.T) {
	got := named([]string{"-drive", "if=none,file=nbd:127.0.0.1:34091", "-x", "[::1]:7,host=10.0.0.1:8", "127.0.0.1:99999", "1127.0.0.1"})
	if want := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:34091"), netip.MustParseAddrPort("[::1]:7")}; !slices.Equal(got, want) {
		t.Errorf("named: %v; want %v", got, want)
	}
}

func TestSockaddr(t *testing.T) {
	for want, b := range map[string][]byte{
		"127.0.0.1:80": {unix.AF_INET, 0, 0, 80, 127, 0, 0, 1, 9, 9},
		"[::1]:80":     {unix.AF_INET6, 0, 0, 80, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
	} {
		if got, ok := sockaddr(b); !ok || got.String() != want {
			t.Errorf("sockaddr(%v) = %v, %v; want %s", b, got, ok, want)
		}
		for n := range 8 {
			if got, ok := sockaddr(b[:n]); ok {
				t.Errorf("sockaddr(%v) = %v; want none of a part", b[:n], got)
			}
		}
	}
	if got, ok := sockaddr([]byte{unix.AF_UNIX, 0, '/', 'r', 'u', 'n', 0, 0}); ok {
		t.Errorf("a Unix socket is %v", got)
	}
}

func FuzzSockaddr(f *testing.F) {
	f.Add([]byte{unix.AF_INET, 0, 0, 80, 127, 0, 0, 1})
	f.Add([]byte{unix.AF_INET6, 0, 0, 80})
	f.Fuzz(func(t *testing.T, b []byte) { sockaddr(b) })
}

// The loopback interface is guarded on QEMU's own network, unless it is asked for.
func TestGuardsLoopback(t *testing.T) {
	for words, want := range map[string]bool{"user": true, "user:host-loopback": false, "tap:tap0": false, "udp:1:2": false} {
		n, err := ParseNet(words)
		if err != nil {
			t.Fatal(err)
		}
		c := Config{Nets: []Net{n}}
		if got := c.guardsLoopback(); got != want {
			t.Errorf("-net %s: guarded %v; want %v", words, got, want)
		}
	}
	if p := program(true, true, true); slices.ContainsFunc(p, func(f unix.SockFilter) bool { return int(f.Jt) >= len(p) || int(f.Jf) >= len(p) }) || len(p) > 4096 {
		t.Errorf("%d instructions", len(p))
	}
}
