package netstack

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// procNet are the files of /proc/net (proc_pid_net(5)) and the functions that make them.
var procNet = []struct {
	name string
	text func(*Stack) []byte
}{
	{"arp", (*Stack).procARP},
	{"dev", (*Stack).procDev},
	{"icmp", func(s *Stack) []byte { return s.procRawSockets(syscall.AF_INET, true) }},
	{"icmp6", func(s *Stack) []byte { return s.procRawSockets(syscall.AF_INET6, true) }},
	{"if_inet6", (*Stack).procIfInet6},
	{"igmp", (*Stack).procIgmp},
	{"igmp6", (*Stack).procIgmp6},
	{"ipv6_route", (*Stack).procIPv6Route},
	{"netstat", (*Stack).procNetstat},
	{"protocols", (*Stack).procProtocols},
	{"raw", func(s *Stack) []byte { return s.procRawSockets(syscall.AF_INET, false) }},
	{"raw6", func(s *Stack) []byte { return s.procRawSockets(syscall.AF_INET6, false) }},
	{"route", (*Stack).procRoute},
	{"snmp", (*Stack).procSnmp},
	{"snmp6", (*Stack).procSnmp6},
	{"sockstat", (*Stack).procSockstat},
	{"sockstat6", (*Stack).procSockstat6},
	{"softnet_stat", (*Stack).procSoftnet},
	{"tcp", func(s *Stack) []byte { return s.procSockets(syscall.AF_INET, syscall.SOCK_STREAM) }},
	{"tcp6", func(s *Stack) []byte { return s.procSockets(syscall.AF_INET6, syscall.SOCK_STREAM) }},
	{"udp", func(s *Stack) []byte { return s.procSockets(syscall.AF_INET, syscall.SOCK_DGRAM) }},
	{"udp6", func(s *Stack) []byte { return s.procSockets(syscall.AF_INET6, syscall.SOCK_DGRAM) }},
	{"udplite", func(*Stack) []byte { return udpHeader(syscall.AF_INET) }}, // there are none
	{"udplite6", func(*Stack) []byte { return udpHeader(syscall.AF_INET6) }},
}

// ProcNetFiles returns the names of the files under /proc/net.
func (s *Stack) ProcNetFiles() []string {
	var names []string
	for _, f := range procNet {
		names = append(names, f.name)
	}
	return names
}

// ProcNet returns the current contents of /proc/net/name.
func (s *Stack) ProcNet(name string) ([]byte, bool) {
	for _, f := range procNet {
		if f.name == name {
			return f.text(s), true
		}
	}
	return nil, false
}

func (s *Stack) procDev() []byte {
	var b []byte
	b = append(b, "Inter-|   Receive                                                |  Transmit\n"...)
	b = append(b, " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"...)
	for _, i := range s.Interfaces() {
		c := &i.Stats
		b = append(b, pad(i.Name, 6, false)+":"...)
		for _, col := range []struct {
			v     uint64
			width int
		}{
			{c.RxBytes, 7}, {c.RxPackets, 7}, {c.RxErrors, 4}, {c.RxDropped, 4}, {0, 4}, {0, 5}, {0, 10}, {0, 9},
			{c.TxBytes, 8}, {c.TxPackets, 7}, {c.TxErrors, 4}, {c.TxDropped, 4}, {0, 4}, {0, 5}, {0, 7}, {0, 10},
		} {
			b = append(b, " "+pad(strconv.FormatUint(col.v, 10), col.width, false)...)
		}
		b = append(b, '\n')
	}
	return b
}

// pad fills s to width, on the left or on the right.
func pad(s string, width int, left bool) string {
	fill := strings.Repeat(" ", max(width-len(s), 0))
	if left {
		return s + fill
	}
	return fill + s
}

// hex writes v with n upper case digits, as printf %0nX.
func hex(v uint64, n int) string {
	s := strings.ToUpper(strconv.FormatUint(v, 16))
	return strings.Repeat("0", max(n-len(s), 0)) + s
}

// hexAddr writes an address as Linux does: 32-bit words in the CPU's byte order.
func hexAddr(a []byte) string {
	s := ""
	for ; len(a) >= 4; a = a[4:] {
		s += hex(uint64(binary.NativeEndian.Uint32(a)), 8)
	}
	return s
}

// lowerHex writes v with n lower case digits, lowerBytes bytes.
func lowerHex(v uint64, n int) string { return strings.ToLower(hex(v, n)) }

func lowerBytes(b []byte) (s string) {
	for _, c := range b {
		s += lowerHex(uint64(c), 2)
	}
	return s
}

// socketTable is the form of a table of sockets: how wide the line's number is, and to which width
// lines are filled, 0 for those that are not (seq_setwidth in net/ipv4 and net/ipv6).
type socketTable struct{ number, width int }

// tableOf is the form of the table of a family and a type: tcp4_seq_show, udp4_seq_show and
// raw_seq_show; those of IPv6 fill no lines.
func tableOf(family, typ int) socketTable {
	t := socketTable{number: 4}
	switch {
	case typ == syscall.SOCK_DGRAM && family == syscall.AF_INET:
		t = socketTable{5, 127}
	case typ == syscall.SOCK_DGRAM:
		t.number = 5
	case typ == syscall.SOCK_STREAM && family == syscall.AF_INET:
		t.width = 149
	}
	return t
}

// udpHeader is the first line of /proc/net/udp and udplite; udp4_seq_show begins it with a blank more.
func udpHeader(family int) []byte {
	b := procHeader(family, syscall.SOCK_DGRAM)
	if family == syscall.AF_INET {
		b = append([]byte{' '}, append(b[:len(b)-2], '\n')...)
	}
	return b
}

// procHeader is the first line of a table of sockets.
func procHeader(family, typ int) []byte {
	line := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
	if family == syscall.AF_INET6 {
		line = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
	}
	if typ != syscall.SOCK_STREAM {
		line += " ref pointer drops"
	}
	return append([]byte(pad(line, tableOf(family, typ).width, true)), '\n')
}

func (s *Stack) procSockets(family, typ int) []byte {
	b := procHeader(family, typ)
	if typ == syscall.SOCK_DGRAM {
		b = udpHeader(family)
	}
	form := tableOf(family, typ)
	socks := s.socks.all(family, typ)
	line := 0
	for _, k := range socks {
		if typ == syscall.SOCK_DGRAM && k.protocol != syscall.IPPROTO_UDP {
			continue // /proc/net/icmp
		}
		if row, ok := k.procRow(); ok {
			b = append(b, pad(pad(strconv.Itoa(line), form.number, false)+": "+row, form.width, true)...)
			b = append(b, '\n')
			line++
		}
	}
	return b
}

// procRow describes a bound socket; on Linux, too, others are in no table.
func (k *socket) procRow() (string, bool) {
	local, err := k.ep().GetLocalAddress()
	if err != nil || local.Port == 0 {
		return "", false
	}
	remote, err := k.ep().GetRemoteAddress()
	state := int(tcp.StateClose)
	rest := " 1 0000000000000000 100 0 0 10 0"
	if k.typ == syscall.SOCK_STREAM {
		state = linuxTCPState(k.ep().State())
	} else {
		if err == nil {
			state = int(tcp.StateEstablished)
		}
		rest = " 2 0000000000000000 " + strconv.FormatUint(uint64(k.drops()), 10)
	}
	unsent, unread := k.queued()
	return k.procAddr(local) + " " + k.procAddr(remote) + " " + hex(uint64(state), 2) +
		" " + hex(uint64(unsent), 8) + ":" + hex(uint64(unread), 8) + " 00:00000000 00000000     0        0 " +
		strconv.FormatUint(k.inode, 10) + rest, true
}

// queued returns how many bytes a socket has sent that nobody has acknowledged, and has received that
// nobody has read; of datagrams, with the memory around them.
func (k *socket) queued() (unsent, unread int) {
	if ep, ok := k.ep().(interface{ Unacknowledged() (all, unsent int) }); ok {
		unsent, _ = ep.Unacknowledged()
	}
	return unsent, k.unread()
}

// unread is what a socket has received and nobody has read. On a host without the image's copy of gVisor
// it is the first datagram's size.
func (k *socket) unread() int {
	if ep, ok := k.ep().(interface{ Held() int }); ok {
		return ep.Held()
	}
	n, err := k.ep().GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if err != nil {
		return 0
	}
	return n
}

func (k *socket) procAddr(a tcpip.FullAddress) string {
	var b [sockaddrIn6Len]byte
	encodeSockaddr(k.family, a, b[:])
	ip := b[4:8]
	if k.family == syscall.AF_INET6 {
		ip = b[8:24]
	}
	return hexAddr(ip) + ":" + hex(uint64(a.Port), 4)
}

// Flags of /proc/net/route, linux/route.h.
const (
	rtfUp      = 1
	rtfGateway = 2
	rtfHost    = 4
)

func (s *Stack) procRoute() []byte {
	b := []byte(pad("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT", 127, true) + "\n")
	names := s.interfaceNames()
	for _, r := range s.Routes() {
		if !r.Destination.Addr().Is4() || names[r.Interface] == "lo" {
			continue
		}
		flags := rtfUp
		gw := netip.IPv4Unspecified()
		if r.Gateway.IsValid() {
			flags |= rtfGateway
			gw = r.Gateway
		}
		if r.Destination.Bits() == 32 {
			flags |= rtfHost
		}
		var mask [4]byte
		binary.BigEndian.PutUint32(mask[:], uint32(uint64(0xffffffff)<<(32-r.Destination.Bits())))
		row := names[r.Interface] + "\t" + hexAddr(r.Destination.Addr().AsSlice()) + "\t" + hexAddr(gw.AsSlice()) + "\t" +
			hex(uint64(flags), 4) + "\t0\t0\t" + strconv.FormatUint(uint64(r.Metric), 10) + "\t" + hexAddr(mask[:]) + "\t0\t0\t0"
		b = append(b, pad(row, 127, true)+"\n"...)
	}
	return b
}

func (s *Stack) interfaceNames() map[int]string {
	names := make(map[int]string)
	for _, i := range s.Interfaces() {
		names[i.Index] = i.Name
	}
	return names
}

// Scopes of /proc/net/if_inet6, net/ipv6.h.
const (
	scopeHost = 0x10
	scopeLink = 0x20
)

func (s *Stack) procIfInet6() []byte {
	var b []byte
	for _, i := range s.Interfaces() {
		for _, a := range i.Addrs {
			if !a.Addr.Is6() {
				continue
			}
			scope := 0
			switch {
			case a.Addr.IsLoopback():
				scope = scopeHost
			case a.Addr.IsLinkLocalUnicast():
				scope = scopeLink
			}
			const permanent = syscall.IFA_F_PERMANENT
			for _, c := range a.Addr.As16() {
				b = append(b, strings.ToLower(hex(uint64(c), 2))...)
			}
			row := " " + hex(uint64(i.Index), 2) + " " + hex(uint64(a.Bits), 2) + " " + hex(uint64(scope), 2) + " " + hex(permanent, 2)
			b = append(b, strings.ToLower(row)+" "+pad(i.Name, 8, false)+"\n"...)
		}
	}
	return b
}

func (s *Stack) procARP() []byte {
	b := []byte("IP address       HW type     Flags       HW address            Mask     Device\n")
	names := s.interfaceNames()
	for _, n := range s.Neighbors() {
		if !n.Addr.Is4() {
			continue
		}
		const incomplete, complete = "0x0", "0x2" // ATF_COM (arp(7))
		flags, mac := incomplete, "00:00:00:00:00:00"
		if n.State&(nudStates[stack.Incomplete]|nudStates[stack.Unreachable]) == 0 && n.HardwareAddr != nil {
			flags, mac = complete, hardwareAddr(n.HardwareAddr)
		}
		b = append(b, pad(n.Addr.String(), 16, true)+" "+pad("0x1", 11, true)+" "+pad(flags, 11, true)+" "+
			pad(mac, 21, true)+" *        "+names[n.Interface]+"\n"...)
	}
	return b
}
