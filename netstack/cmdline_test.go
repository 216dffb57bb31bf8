package netstack

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseWords(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for _, c := range []struct {
		words string
		want  netConfig
	}{
		{"console=ttyS0 quiet", netConfig{}},
		{"ip=dhcp", netConfig{cards: []cardConfig{{method: methodAuto}}}},
		{"ip=off", netConfig{cards: []cardConfig{{method: methodOff}}}},
		{"ip=eth1:dhcp", netConfig{cards: []cardConfig{{device: "eth1", method: methodAuto}}}},
		{"ip=:::::eth1:dhcp", netConfig{cards: []cardConfig{{device: "eth1", method: methodAuto}}}},
		{"ip=10.0.2.15/24::10.0.2.2", netConfig{cards: []cardConfig{{
			method: methodStatic, addr: prefix("10.0.2.15/24"), gateway: addr("10.0.2.2")}}}},
		{"ip=10.0.2.15::10.0.2.2:255.255.255.128:box:eth0:off:10.0.2.3:10.0.2.4:10.0.2.5", netConfig{cards: []cardConfig{{
			method: methodStatic, addr: prefix("10.0.2.15/25"), gateway: addr("10.0.2.2"), hostname: "box", device: "eth0",
			dns: []netip.Addr{addr("10.0.2.3"), addr("10.0.2.4")}}}}},
		{"ip=192.168.1.2", netConfig{cards: []cardConfig{{method: methodStatic, addr: prefix("192.168.1.2/24")}}}},
		{"ip6=fd00::2/64:[fd00::1] nameserver=fd00::53", netConfig{
			cards: []cardConfig{{v6: true, method: methodStatic, addr: prefix("fd00::2/64"), gateway: addr("fd00::1")}},
			dns:   []netip.Addr{addr("fd00::53")}}},
		{"ip6=auto", netConfig{cards: []cardConfig{{v6: true, method: methodAuto}}}},
	} {
		got, err := parseWords(strings.Fields(c.words))
		if err != nil {
			t.Errorf("%s: %v", c.words, err)
			continue
		}
		diff := cmp.Diff(c.want, got, cmp.AllowUnexported(netConfig{}, cardConfig{}),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }))
		if diff != "" {
			t.Errorf("%s:\n%s", c.words, diff)
		}
	}
}

func TestParseWordsErrors(t *testing.T) {
	for word, want := range map[string]string{
		"ip=10.0.2.15::10.0.2.2:255.0.255.0": `bad netmask "255.0.255.0"`,
		"ip=10.0.2.300":                      `bad address "10.0.2.300"`,
		"ip=10.0.2.15/33":                    `bad prefix length "33"`,
		"ip=10.0.2.15/24::10.0.2.2:24":       "both a prefix length and a netmask",
		"ip=10.0.2.15/24::gw":                `bad gateway "gw"`,
		"ip=":                                "no address",
		"ip=224.0.0.1/24":                    "cannot belong to a machine",
		"ip=1.2.3.4:::::::9.9.9.9.9":         `bad DNS server "9.9.9.9.9"`,
		"ip=1.2.3.4::::::maybe":              `bad autoconf "maybe"`,
		"ip6=fd00::2":                        "no prefix length",
		"ip6=fd00::2/64:[fd00::1":            "closing bracket",
		"ip6=10.0.0.1/24":                    `bad address "10.0.0.1"`,
		"nameserver=x":                       `bad address "x"`,
	} {
		_, err := parseWords([]string{word})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), word+": ") || !strings.Contains(err.Error(), "; expected ") {
			t.Errorf("%s: %v; want the word, %q, and what is expected", word, err, want)
		}
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"ip=10.0.2.15/24::10.0.2.2", "ip=eth0:dhcp", "ip6=fd00::2/64:[fd00::1]", "nameserver=1.1.1.1", "ip=:::::::::::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseWords(strings.Fields(s))
		if err != nil {
			return
		}
		for _, card := range c.cards {
			if card.method == methodStatic && (!card.addr.IsValid() || card.addr.Addr().Is6() != card.v6) {
				t.Errorf("%q: %+v", s, card)
			}
		}
	})
}

func TestStatic(t *testing.T) {
	n := newDHCPServer(func(dhcpSeen) []byte { return nil })
	s := n.start(t, Config{})
	words := strings.Fields("ip=10.0.2.15/24::10.0.2.2:::eth0::10.0.2.3 ip6=fd00::2/64:[fd00::1]")
	if err := s.Configure(words, 0); err != nil {
		t.Fatal(err)
	}
	if got := addresses(s, "eth0"); !slices.Equal(got, []string{"10.0.2.15/24"}) {
		t.Errorf("addresses %v", got)
	}
	if got := string(s.ResolvConf()); got != "nameserver 10.0.2.3\n" {
		t.Errorf("resolv.conf %q", got)
	}
	if len(n.types()) != 0 {
		t.Error("a static address, and yet DHCP")
	}
	if err := s.Configure([]string{"ip=10.0.0.1/8:::::eth7"}, 0); err == nil || !strings.Contains(err.Error(), `no network card "eth7"; there is eth0`) {
		t.Errorf("Configure = %v", err)
	}
}
