package netstack

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
)

// table reads /proc/net/snmp or netstat: values by "group name".
func statTable(t *testing.T, text []byte) map[string]int64 {
	t.Helper()
	values := map[string]int64{}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, numbers := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		if len(names) != len(numbers) || names[0] != numbers[0] {
			t.Fatalf("lines do not match:\n%s\n%s", lines[i], lines[i+1])
		}
		for j, n := range numbers[1:] {
			v, err := strconv.ParseInt(n, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			values[strings.TrimSuffix(names[0], ":")+" "+names[j+1]] = v
		}
	}
	return values
}

// The counters of /proc/net follow what is sent and received.
func TestProcCounters(t *testing.T) {
	h := tester{t, newStack(t)}
	read := func(name string) map[string]int64 {
		text, ok := h.s.ProcNet(name)
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		return statTable(t, text)
	}
	before, ext := read("snmp"), read("netstat")
	l := h.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	h.ok("bind", l.Bind(sockaddr(addrPort("127.0.0.1:0"))))
	h.ok("listen", l.Listen(5))
	c := h.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if e := c.Connect(sockaddr(h.localAddr(l))); e != 0 && e != syscall.EINPROGRESS {
		t.Fatal(e)
	}
	wait(t, l, kernel.EventIn)
	u := h.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	h.ok("bind", u.Bind(sockaddr(addrPort("127.0.0.1:0"))))
	_, e := u.Send(&kernel.Message{Buffers: [][]byte{[]byte("hello")}, Addr: sockaddr(h.localAddr(u))}, 0)
	h.ok("sendto", e)
	wait(t, u, kernel.EventIn)
	after, extAfter := read("snmp"), read("netstat")
	// What a segment has caused may be seen before it is counted as sent.
	for until := time.Now().Add(10 * time.Second); after["Tcp OutSegs"]-before["Tcp OutSegs"] < 3 && time.Now().Before(until); time.Sleep(time.Millisecond) {
		after, extAfter = read("snmp"), read("netstat")
	}
	for _, name := range []string{"Tcp ActiveOpens", "Tcp PassiveOpens", "Udp OutDatagrams"} {
		if got := after[name] - before[name]; got != 1 {
			t.Errorf("%s grew by %d; want 1", name, got)
		}
	}
	for name, least := range map[string]int64{"Tcp InSegs": 3, "Tcp OutSegs": 3, "Ip InReceives": 4, "Ip OutRequests": 4, "Udp InDatagrams": 1} {
		if got := after[name] - before[name]; got < least {
			t.Errorf("%s grew by %d; want %d at least", name, got, least)
		}
	}
	if got := extAfter["IpExt OutOctets"] - ext["IpExt OutOctets"]; got < 3*40+28+5 {
		t.Errorf("IpExt OutOctets grew by %d", got)
	}
	if after["Ip DefaultTTL"] != 64 || after["Tcp RtoMin"] != 200 || after["Tcp RtoMax"] != 120000 || after["Tcp MaxConn"] != -1 || after["Ip Forwarding"] != 2 {
		t.Errorf("constants: %v", after)
	}
	stat, _ := h.s.ProcNet("sockstat")
	if got := strings.Fields(string(stat)); !slices.Contains(got, "TCP:") || got[2] == "0" || !strings.Contains(string(stat), "UDP: inuse 1 ") {
		t.Errorf("sockstat is %q", stat)
	}
}

// Every table of /proc/net is made, also by a stack with nothing in it.
func TestProcNetTables(t *testing.T) {
	s := New(Config{CPUs: 3})
	defer s.Close()
	for _, name := range s.ProcNetFiles() {
		text, ok := s.ProcNet(name)
		if !ok || len(text) > 0 && text[len(text)-1] != '\n' {
			t.Errorf("%s: %v %q", name, ok, text)
		}
	}
	soft, _ := s.ProcNet("softnet_stat")
	if lines := strings.Split(strings.TrimSpace(string(soft)), "\n"); len(lines) != 3 || len(strings.Fields(lines[2])) != 15 || strings.Fields(lines[2])[12] != "00000002" {
		t.Errorf("softnet_stat is %q", soft)
	}
}

// What is refused counts: a connection as one that failed, a datagram by the type of its ICMP message.
func TestProcCountersOfRefusals(t *testing.T) {
	h := tester{t, newStack(t)}
	onEdited(t, h.s)
	read := func() map[string]int64 {
		text, _ := h.s.ProcNet("snmp")
		return statTable(t, text)
	}
	if v := read(); v["Tcp AttemptFails"] != 0 || strings.Contains(strings.Join(slices.Collect(maps.Keys(v)), " "), "IcmpMsg") {
		t.Errorf("before any refusal the counters are %v", v)
	}
	c := h.socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if e := c.Connect(sockaddr(addrPort("127.0.0.1:9"))); e != syscall.ECONNREFUSED && e != syscall.EINPROGRESS {
		t.Fatal(e)
	}
	wait(t, c, kernel.EventErr)
	u := h.socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	h.ok("connect", u.Connect(sockaddr(addrPort("127.0.0.1:9"))))
	_, e := u.Write([]byte("hello"), 0)
	h.ok("write", e)
	wait(t, u, kernel.EventErr)
	v := read()
	for _, name := range []string{"Tcp AttemptFails", "IcmpMsg InType3", "IcmpMsg OutType3", "Icmp InDestUnreachs", "Udp NoPorts"} {
		if v[name] != 1 {
			t.Errorf("%s is %d; want 1", name, v[name])
		}
	}
}
