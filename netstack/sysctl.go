package netstack

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/yolk-unikernel/yolk/kernel"
)

// Settings are the files of /proc/sys/net (Linux's networking/ip-sysctl.rst, sysctl/net.rst). What
// can be written takes effect; other settings are fixed, and their files read-only.
func (s *Stack) Settings() kernel.Files { return settings{s} }

type settings struct{ s *Stack }

// setting is one file. A nil set makes it read-only.
type setting struct {
	path string
	get  func(*Stack) string
	set  func(*Stack, string) syscall.Errno
}

func fixed(path, value string) setting {
	return setting{path, func(*Stack) string { return value }, nil}
}

// settingTable has the settings that do not belong to an interface.
var settingTable = [...]setting{
	{"core/rmem_default", getDatagramReceive(func(o *tcpip.ReceiveBufferSizeOption) *int { return &o.Default }), setDatagramReceive(func(o *tcpip.ReceiveBufferSizeOption) *int { return &o.Default })},
	{"core/rmem_max", getDatagramReceive(func(o *tcpip.ReceiveBufferSizeOption) *int { return &o.Max }), setDatagramReceive(func(o *tcpip.ReceiveBufferSizeOption) *int { return &o.Max })},
	{"core/wmem_default", getDatagramSend(func(o *tcpip.SendBufferSizeOption) *int { return &o.Default }), setDatagramSend(func(o *tcpip.SendBufferSizeOption) *int { return &o.Default })},
	{"core/wmem_max", getDatagramSend(func(o *tcpip.SendBufferSizeOption) *int { return &o.Max }), setDatagramSend(func(o *tcpip.SendBufferSizeOption) *int { return &o.Max })},
	fixed("core/default_qdisc", "pfifo_fast"),
	fixed("core/netdev_max_backlog", "1000"),
	fixed("core/optmem_max", "131072"),
	fixed("core/somaxconn", "4096"),
	fixed("ipv4/icmp_echo_ignore_all", "0"),
	{"ipv4/ip_default_ttl", getTTL, setTTL},
	{"ipv4/ip_forward", func(s *Stack) string { return boolText(s.forwards(header.IPv4ProtocolNumber)) }, setForward(header.IPv4ProtocolNumber)},
	{"ipv4/ip_local_port_range", getPortRange, setPortRange},
	fixed("ipv4/ip_local_reserved_ports", ""),
	fixed("ipv4/ip_nonlocal_bind", "0"),
	fixed("ipv4/ip_unprivileged_port_start", "1024"),
	fixed("ipv4/ping_group_range", "0\t2147483647"),
	fixed("ipv4/tcp_allowed_congestion_control", "cubic reno"),
	{"ipv4/tcp_available_congestion_control", getAvailableCongestionControl, nil},
	{"ipv4/tcp_congestion_control", getCongestionControl, setCongestionControl},
	fixed("ipv4/tcp_ecn", "0"),
	fixed("ipv4/tcp_fastopen", "0"),
	{"ipv4/tcp_fin_timeout", getFinTimeout, setFinTimeout},
	fixed("ipv4/tcp_keepalive_intvl", "75"),
	fixed("ipv4/tcp_keepalive_probes", "9"),
	fixed("ipv4/tcp_keepalive_time", "7200"),
	fixed("ipv4/tcp_max_syn_backlog", "4096"),
	{"ipv4/tcp_max_tw_buckets", func(s *Stack) string { return strconv.Itoa(s.limits().timeWaits) }, nil},
	{"ipv4/tcp_mem", getMemory, nil},
	{"ipv4/tcp_moderate_rcvbuf", getFlag[tcpip.TCPModerateReceiveBufferOption], setFlag[tcpip.TCPModerateReceiveBufferOption]},
	fixed("ipv4/tcp_retries2", "15"),
	{"ipv4/tcp_rmem", getReceiveRange, setReceiveRange},
	{"ipv4/tcp_sack", getFlag[tcpip.TCPSACKEnabled], setFlag[tcpip.TCPSACKEnabled]},
	fixed("ipv4/tcp_slow_start_after_idle", "1"),
	{"ipv4/tcp_syn_retries", getCount[tcpip.TCPSynRetriesOption], setCount[tcpip.TCPSynRetriesOption](1, 127)},
	fixed("ipv4/tcp_syncookies", "1"),
	fixed("ipv4/tcp_timestamps", "1"),
	{"ipv4/tcp_tw_reuse", getCount[tcpip.TCPTimeWaitReuseOption], setCount[tcpip.TCPTimeWaitReuseOption](0, 2)},
	fixed("ipv4/tcp_window_scaling", "1"),
	{"ipv4/tcp_wmem", getSendRange, setSendRange},
	{"ipv4/udp_mem", getMemory, nil},
	fixed("ipv4/udp_rmem_min", "4096"),
	fixed("ipv4/udp_wmem_min", "4096"),
	fixed("ipv6/bindv6only", "0"),
}

// Paths implements kernel.Files.
func (f settings) Paths() []string {
	var paths []string
	for i := range settingTable {
		paths = append(paths, settingTable[i].path)
	}
	for _, name := range f.interfaces() {
		paths = append(paths, "ipv4/conf/"+name+"/forwarding", "ipv6/conf/"+name+"/accept_ra",
			"ipv6/conf/"+name+"/disable_ipv6", "ipv6/conf/"+name+"/forwarding")
	}
	return paths
}

func (f settings) interfaces() []string {
	names := []string{"all", "default"}
	for _, i := range f.s.Interfaces() {
		names = append(names, i.Name)
	}
	return names
}

// find returns the setting of a path.
func (f settings) find(path string) setting {
	for i := range settingTable {
		if settingTable[i].path == path {
			return settingTable[i]
		}
	}
	part := strings.Split(path, "/") // family, "conf", interface, name
	if len(part) != 4 {
		return setting{}
	}
	v6 := part[0] == "ipv6"
	proto := header.IPv4ProtocolNumber
	if v6 {
		proto = header.IPv6ProtocolNumber
	}
	switch name := part[2]; part[3] {
	case "forwarding":
		get := func(s *Stack) string { return boolText(s.forwardsOn(proto, name)) }
		if name == "all" || name == "default" {
			return setting{path, get, setForward(proto)}
		}
		return setting{path, get, func(s *Stack, v string) syscall.Errno { return s.setForwardOn(proto, name, v) }}
	case "disable_ipv6":
		return setting{path, func(s *Stack) string { return boolText(s.cfg.DisableIPv6 && name != "lo") }, nil}
	case "accept_ra":
		return setting{path, func(s *Stack) string { return boolText(name != "lo") }, nil}
	}
	return setting{}
}

// Read implements kernel.Files.
func (f settings) Read(path string) []byte {
	if st := f.find(path); st.get != nil {
		return []byte(st.get(f.s) + "\n")
	}
	return nil
}

// Writable implements kernel.Files.
func (f settings) Writable(path string) bool { return f.find(path).set != nil }

// Write implements kernel.Files.
func (f settings) Write(path string, p []byte) syscall.Errno {
	st := f.find(path)
	if st.set == nil {
		return syscall.EACCES
	}
	return st.set(f.s, strings.TrimSpace(string(p)))
}

func boolText(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// number reads a number of a range; EINVAL.
func number(text string, least, most int) (int, syscall.Errno) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, syscall.EINVAL
	}
	return n, 0
}

func getTTL(s *Stack) string {
	var ttl tcpip.DefaultTTLOption
	must(s.stack.NetworkProtocolOption(header.IPv4ProtocolNumber, &ttl))
	return strconv.Itoa(int(ttl))
}

func setTTL(s *Stack, text string) syscall.Errno {
	n, e := number(text, 1, 255)
	if e != 0 {
		return e
	}
	ttl := tcpip.DefaultTTLOption(n)
	return errnoOf(s.stack.SetNetworkProtocolOption(header.IPv4ProtocolNumber, &ttl))
}

func getPortRange(s *Stack) string {
	first, last := s.stack.PortRange()
	return strconv.Itoa(int(first)) + "\t" + strconv.Itoa(int(last))
}

func setPortRange(s *Stack, text string) syscall.Errno {
	part := strings.Fields(text)
	if len(part) != 2 {
		return syscall.EINVAL
	}
	first, e := number(part[0], 1, 65535)
	if e != 0 {
		return e
	}
	last, e := number(part[1], first, 65535)
	if e != 0 {
		return e
	}
	return errnoOf(s.stack.SetPortRange(uint16(first), uint16(last)))
}

func (s *Stack) forwardsOn(proto tcpip.NetworkProtocolNumber, name string) bool {
	if id, ok := s.interfaceByName(name); ok {
		on, err := s.stack.NICForwarding(id, proto)
		return err == nil && on
	}
	return s.forwards(proto)
}

func (s *Stack) setForwardOn(proto tcpip.NetworkProtocolNumber, name, text string) syscall.Errno {
	n, e := number(text, 0, 1)
	if e != 0 {
		return e
	}
	id, ok := s.interfaceByName(name)
	if !ok {
		return syscall.ENOENT
	}
	_, err := s.stack.SetNICForwarding(id, proto, n == 1)
	return errnoOf(err)
}

func setForward(proto tcpip.NetworkProtocolNumber) func(*Stack, string) syscall.Errno {
	return func(s *Stack, text string) syscall.Errno {
		n, e := number(text, 0, 1)
		if e != 0 {
			return e
		}
		return errnoOf(s.stack.SetForwardingDefaultAndAllNICs(proto, n == 1))
	}
}

func getFinTimeout(s *Stack) string {
	var d tcpip.TCPLingerTimeoutOption
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, &d))
	return strconv.Itoa(int(time.Duration(d) / time.Second))
}

func setFinTimeout(s *Stack, text string) syscall.Errno {
	n, e := number(text, 0, 1<<20)
	if e != 0 {
		return e
	}
	d := tcpip.TCPLingerTimeoutOption(time.Duration(n) * time.Second)
	return errnoOf(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &d))
}

// tcpOption is a pointer to an option of TCP in gVisor.
type tcpOption[T any] interface {
	*T
	tcpip.GettableTransportProtocolOption
	tcpip.SettableTransportProtocolOption
}

// getFlag and setFlag serve an option that is on or off, getCount and setCount a number.
func getFlag[T ~bool, P tcpOption[T]](s *Stack) string {
	var o T
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, P(&o)))
	return boolText(bool(o))
}

func setFlag[T ~bool, P tcpOption[T]](s *Stack, text string) syscall.Errno {
	n, e := number(text, 0, 1)
	if e != 0 {
		return e
	}
	o := T(n == 1)
	return errnoOf(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, P(&o)))
}

func getCount[T ~uint8, P tcpOption[T]](s *Stack) string {
	var o T
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, P(&o)))
	return strconv.Itoa(int(o))
}

func setCount[T ~uint8, P tcpOption[T]](least, most int) func(*Stack, string) syscall.Errno {
	return func(s *Stack, text string) syscall.Errno {
		n, e := number(text, least, most)
		if e != 0 {
			return e
		}
		o := T(n)
		return errnoOf(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, P(&o)))
	}
}

func getCongestionControl(s *Stack) string {
	var cc tcpip.CongestionControlOption
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, &cc))
	return string(cc)
}

func setCongestionControl(s *Stack, text string) syscall.Errno {
	cc := tcpip.CongestionControlOption(text)
	return errnoOf(s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &cc))
}

func getAvailableCongestionControl(s *Stack) string {
	var cc tcpip.TCPAvailableCongestionControlOption
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, &cc))
	return string(cc)
}
