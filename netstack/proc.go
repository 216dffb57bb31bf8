package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
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
	{"if_inet6", (*Stack).procIfInet6},
	{"igmp", (*Stack).procIgmp},
	{"igmp6", (*Stack).procIgmp6},
	{"route", (*Stack).procRoute},
	{"tcp", func(s *Stack) []byte { return s.procSockets(syscall.AF_INET, syscall.SOCK_STREAM) }},
	{"tcp6", func(s *Stack) []byte { return s.procSockets(syscall.AF_INET6, syscall.SOCK_STREAM) }},
	{"udp", func(s *Stack) []byte { return s.procSockets(syscall.AF_INET, syscall.SOCK_DGRAM) }},
	{"udp6", func(s *Stack) []byte { return s.procSockets(syscall.AF_INET6, syscall.SOCK_DGRAM) }},
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

func (s *Stack) procSockets(family, typ int) []byte {
	b := []byte("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
	if family == syscall.AF_INET6 {
		b = []byte("  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
	}
	socks := s.socks.all(family, typ)
	line := 0
	for _, k := range socks {
		if row, ok := k.procRow(); ok {
			b = append(b, pad(strconv.Itoa(line), 4, false)+": "+row+"\n"...)
			line++
		}
	}
	return b
}

// procRow describes a bound socket; on Linux, too, others are in no table.
func (k *socket) procRow() (string, bool) {
	local, err := k.ep.GetLocalAddress()
	if err != nil || local.Port == 0 {
		return "", false
	}
	remote, err := k.ep.GetRemoteAddress()
	state := int(tcp.StateClose)
	if k.typ == syscall.SOCK_STREAM {
		state = linuxTCPState(k.ep.State())
	} else if err == nil {
		state = int(tcp.StateEstablished)
	}
	queued, err := k.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if err != nil {
		queued = 0
	}
	return k.procAddr(local) + " " + k.procAddr(remote) + " " + hex(uint64(state), 2) +
		" 00000000:" + hex(uint64(queued), 8) + " 00:00000000 00000000     0        0 " +
		strconv.FormatUint(k.inode, 10) + " 1 0000000000000000 100 0 0 10 0", true
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
			hex(uint64(flags), 4) + "\t0\t0\t0\t" + hexAddr(mask[:]) + "\t0\t0\t0"
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
	s.mu.Lock()
	links := slices.Clone(s.links)
	s.mu.Unlock()
	for _, l := range links {
		entries, err := s.stack.Neighbors(l.id, header.IPv4ProtocolNumber)
		if err != nil {
			continue
		}
		for _, e := range entries {
			const incomplete, complete = "0x0", "0x2" // ATF_COM (arp(7))
			flags, mac := incomplete, "00:00:00:00:00:00"
			if e.State != stack.Incomplete && e.State != stack.Unreachable && len(e.LinkAddr) != 0 {
				flags, mac = complete, e.LinkAddr.String()
			}
			b = append(b, pad(e.Addr.String(), 16, true)+" "+pad("0x1", 11, true)+" "+pad(flags, 11, true)+" "+
				pad(mac, 21, true)+" *        "+l.name+"\n"...)
		}
	}
	return b
}
