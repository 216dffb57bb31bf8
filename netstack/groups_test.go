package netstack

import (
	"encoding/binary"
	"strings"
	"syscall"
	"testing"
)

func TestProcGroups(t *testing.T) {
	a, _, _, _ := wiredPair(t, 16, NICInfo{})
	k := a.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	join := []byte{224, 1, 2, 3, 10, 0, 0, 1}
	a.ok("join", k.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, join))
	k6 := a.socket(syscall.AF_INET6, syscall.SOCK_DGRAM, 0)
	join6 := make([]byte, 20)
	copy(join6, "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x12\x34")
	binary.NativeEndian.PutUint32(join6[16:], 1) // lo
	a.ok("join6", k6.SetOption(syscall.IPPROTO_IPV6, syscall.IPV6_JOIN_GROUP, join6))
	contains := func(file string, want ...string) {
		t.Helper()
		got, _ := a.s.ProcNet(file)
		for _, w := range want {
			if !strings.Contains(string(got), w) {
				t.Errorf("/proc/net/%s:\n%s\nwant %q in it", file, got, w)
			}
		}
	}
	contains("igmp", "2\teth0      :     2      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\t\t\t\t030201E0     1 ")
	contains("igmp6",
		"1    lo              ff020000000000000000000000000001     1 ",
		"1    lo              ff020000000000000000000000001234     1 ",
		"1    lo              ff0200000000000000000001ff000001     1 ")
	a.ok("leave", k.SetOption(ipLevel, syscall.IP_DROP_MEMBERSHIP, join))
	if got, _ := a.s.ProcNet("igmp"); strings.Contains(string(got), "030201E0") {
		t.Errorf("/proc/net/igmp after leaving:\n%s", got)
	}
	// Groups that were left are removed from the list.
	for i := range 200 {
		join[2], join[3] = byte(i), 77
		a.ok("join", k.SetOption(ipLevel, syscall.IP_ADD_MEMBERSHIP, join))
		a.ok("leave", k.SetOption(ipLevel, syscall.IP_DROP_MEMBERSHIP, join))
	}
	if n := len(a.s.groups); n > 30 {
		t.Errorf("%d groups are remembered", n)
	}
}
