package netstack

import (
	"strconv"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// sockCounts are how many sockets of each kind there are.
type sockCounts struct{ all, tcp, tcp6, tcpBound, udp, udp6, raw, raw6 int }

func (s *Stack) countSockets() (n sockCounts) {
	s.socks.mu.Lock()
	defer s.socks.mu.Unlock()
	for k := s.socks.first; k != nil; k = k.next {
		n.all++
		v6 := k.family == syscall.AF_INET6
		switch {
		case k.typ == syscall.SOCK_STREAM:
			if state := tcp.EndpointState(k.ep().State()); state == tcp.StateInitial || state == tcp.StateClose {
				n.tcpBound++ // allocated, in no table
				continue
			}
			increment(v6, &n.tcp, &n.tcp6)
		case k.typ == syscall.SOCK_RAW:
			increment(v6, &n.raw, &n.raw6)
		case k.protocol == syscall.IPPROTO_UDP:
			if a, err := k.ep().GetLocalAddress(); err == nil && a.Port != 0 {
				increment(v6, &n.udp, &n.udp6)
			}
		}
	}
	return n
}

func increment(v6 bool, n4, n6 *int) {
	if v6 {
		*n6++
	} else {
		*n4++
	}
}

// statLine appends a line of /proc/net/sockstat: the name, then names and values in turn.
func statLine(b []byte, name string, pairs ...any) []byte {
	b = append(append(b, name...), ':')
	for _, p := range pairs {
		b = append(b, ' ')
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case int:
			b = strconv.AppendInt(b, int64(p), 10)
		}
	}
	return append(b, '\n')
}

// pagesOf is the unit of memory in /proc/net/sockstat.
func pagesOf(bytes int64) int { return int((bytes + 4095) / 4096) }

func (s *Stack) procSockstat() []byte {
	n := s.countSockets()
	tcpBytes, datagrams, _ := s.memoryUsed()
	_, timeWaits := s.pendingConnections()
	b := statLine(nil, "sockets", "used", n.all)
	b = statLine(b, "TCP", "inuse", n.tcp, "orphan", 0, "tw", timeWaits, "alloc", n.tcp+n.tcp6+n.tcpBound, "mem", pagesOf(tcpBytes))
	b = statLine(b, "UDP", "inuse", n.udp, "mem", pagesOf(datagrams))
	b = statLine(b, "UDPLITE", "inuse", 0)
	b = statLine(b, "RAW", "inuse", n.raw)
	return statLine(b, "FRAG", "inuse", 0, "memory", 0)
}

func (s *Stack) procSockstat6() []byte {
	n := s.countSockets()
	b := statLine(nil, "TCP6", "inuse", n.tcp6)
	b = statLine(b, "UDP6", "inuse", n.udp6)
	b = statLine(b, "UDPLITE6", "inuse", 0)
	b = statLine(b, "RAW6", "inuse", n.raw6)
	return statLine(b, "FRAG6", "inuse", 0, "memory", 0)
}

// pendingConnections returns how many connections are in SYN_RCVD and in TIME_WAIT, 0 on a host
// without the image's copy of gVisor.
func (s *Stack) pendingConnections() (handshakes, timeWaits int) {
	if p, ok := s.stack.TransportProtocolInstance(tcp.ProtocolNumber).(interface {
		Pending() (handshakes, timeWaits int)
	}); ok {
		return p.Pending()
	}
	return 0, 0
}

// procProtocols is /proc/net/protocols. Sizes and slabs are Linux's own; here they are 0.
func (s *Stack) procProtocols() []byte {
	n := s.countSockets()
	tcpBytes, datagrams, _ := s.memoryUsed()
	b := []byte("protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n")
	for _, p := range [...]struct {
		name    string
		sockets int
		memory  int
	}{
		{"RAWv6", n.raw6, -1}, {"UDPv6", n.udp6, pagesOf(datagrams)}, {"TCPv6", n.tcp6, pagesOf(tcpBytes)},
		{"RAW", n.raw, -1}, {"UDP", n.udp, pagesOf(datagrams)}, {"TCP", n.tcp + n.tcpBound, pagesOf(tcpBytes)},
	} {
		press := "NI"
		if p.memory >= 0 {
			press = "no"
		}
		b = append(b, pad(p.name, 9, true)+" "+pad("0", 4, false)+" "+pad(strconv.Itoa(p.sockets), 6, false)+"  "+pad(strconv.Itoa(p.memory), 6, false)+
			"   "+press+"       0   no   kernel      y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y\n"...)
	}
	return b
}

// procSoftnet is /proc/net/softnet_stat: one line for each CPU. Frames are counted together, on the
// first.
func (s *Stack) procSoftnet() []byte {
	var processed, dropped uint64
	for _, i := range s.Interfaces() {
		processed += i.Stats.RxPackets
		dropped += i.Stats.RxDropped
	}
	var b []byte
	for cpu := range max(s.cfg.CPUs, 1) {
		cols := [15]uint64{12: uint64(cpu)}
		if cpu == 0 {
			cols[0], cols[1] = processed, dropped
		}
		for i, c := range cols {
			if i > 0 {
				b = append(b, ' ')
			}
			b = append(b, lowerHex(c, 8)...)
		}
		b = append(b, '\n')
	}
	return b
}

// procRawSockets is /proc/net/raw, raw6, icmp and icmp6.
func (s *Stack) procRawSockets(family int, ping bool) []byte {
	typ := syscall.SOCK_RAW
	if ping {
		typ = syscall.SOCK_DGRAM
	}
	b, form := procHeader(family, typ), tableOf(family, typ)
	line := 0
	for _, k := range s.socks.all(family, typ) {
		if ping != (k.protocol == syscall.IPPROTO_ICMP || k.protocol == syscall.IPPROTO_ICMPV6) && ping {
			continue
		}
		local, err := k.ep().GetLocalAddress()
		if err != nil {
			continue
		}
		if !ping {
			local.Port = uint16(k.protocol)
		}
		remote, _ := k.ep().GetRemoteAddress()
		_, unread := k.queued()
		row := pad(strconv.Itoa(line), form.number, false) + ": " + k.procAddr(local) + " " + k.procAddr(remote) + " " + hex(uint64(tcp.StateClose), 2) +
			" 00000000:" + hex(uint64(unread), 8) + " 00:00000000 00000000     0        0 " + strconv.FormatUint(k.inode, 10) +
			" 2 0000000000000000 " + strconv.FormatUint(uint64(k.drops()), 10)
		b = append(append(b, pad(row, form.width, true)...), '\n')
		line++
	}
	return b
}

// procIPv6Route is /proc/net/ipv6_route.
func (s *Stack) procIPv6Route() []byte {
	var b []byte
	names := s.interfaceNames()
	for _, r := range s.Routes() {
		if !r.Destination.Addr().Is6() {
			continue
		}
		flags := rtfUp
		var gateway [16]byte
		if r.Gateway.IsValid() {
			flags |= rtfGateway
			gateway = r.Gateway.As16()
		}
		to := r.Destination.Addr().As16()
		const none = "00000000000000000000000000000000"
		b = append(b, lowerBytes(to[:])+" "+lowerHex(uint64(r.Destination.Bits()), 2)+" "+none+" 00 "+lowerBytes(gateway[:])+
			" 00000100 00000001 00000000 "+lowerHex(uint64(flags), 8)+" "+pad(names[r.Interface], 8, false)+"\n"...)
	}
	return b
}
