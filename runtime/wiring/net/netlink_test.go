package net

import (
	"net/netip"
	"strconv"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/netstack"
)

// The broadcast address has all ones behind the prefix; networks of one or two addresses
// have none (RFC 3021).
func TestBroadcast(t *testing.T) {
	a := netip.MustParseAddr("192.168.37.42")
	n := netip.MustParseAddr("192.168.37.42").As4()
	for bits := 0; bits <= 32; bits++ {
		want := netip.Addr{}
		if bits < 31 {
			v := uint32(n[0])<<24 | uint32(n[1])<<16 | uint32(n[2])<<8 | uint32(n[3])
			v |= uint32(1<<(32-bits) - 1)
			want = netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		}
		got := netlinkAddress(netstack.InterfaceAddr{Addr: a, Bits: bits})
		if got.Broadcast != want || got.Prefix.String() != a.String()+"/"+strconv.Itoa(bits) {
			t.Errorf("%v/%d: %v, broadcast %v; want %v", a, bits, got.Prefix, got.Broadcast, want)
		}
	}
}

// Scopes are those of Linux's inet_ifa and ipv6_addr_scope; what was configured stays, what
// was learnt does not.
func TestScope(t *testing.T) {
	for _, tt := range []struct {
		addr      string
		scope     int
		broadcast string
	}{
		{"127.0.0.1/8", syscall.RT_SCOPE_HOST, ""},
		{"127.1.2.3/16", syscall.RT_SCOPE_HOST, ""},
		{"::1/128", syscall.RT_SCOPE_HOST, ""},
		{"169.254.3.4/16", syscall.RT_SCOPE_LINK, ""},
		{"fe80::1/64", syscall.RT_SCOPE_LINK, ""},
		{"10.0.0.2/24", syscall.RT_SCOPE_UNIVERSE, "10.0.0.255"},
		{"2001:db8::2/64", syscall.RT_SCOPE_UNIVERSE, ""},
		{"fd00::2/64", syscall.RT_SCOPE_UNIVERSE, ""},
	} {
		for _, permanent := range []bool{true, false} {
			p := netip.MustParsePrefix(tt.addr)
			got := netlinkAddress(netstack.InterfaceAddr{Addr: p.Addr(), Bits: p.Bits(), Permanent: permanent})
			broadcast := ""
			if got.Broadcast.IsValid() {
				broadcast = got.Broadcast.String()
			}
			if int(got.Scope) != tt.scope || broadcast != tt.broadcast || got.Temporary == permanent {
				t.Errorf("%s: scope %d, broadcast %q, temporary %v; want %d, %q, %v", tt.addr, got.Scope, broadcast, got.Temporary, tt.scope, tt.broadcast, !permanent)
			}
		}
	}
}
