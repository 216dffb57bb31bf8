package netstack

import (
	"strconv"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// This file has the counters of /proc/net/snmp, snmp6 and netstat. Each is one of gVisor's, or of
// something that the stack does not have (TCP fast open, UDP-Lite) and so is 0. What Linux counts and
// gVisor does not is left out: readers go by the names.

// counter is a name and its value.
type counter struct {
	name  string
	value uint64
}

func count(name string, c *tcpip.StatCounter) counter { return counter{name, c.Value()} }

// appendCounters appends a line of names and one of values, each after the group's name.
func appendCounters(b []byte, group string, list []counter) []byte {
	b = append(append(b, group...), ':')
	for _, c := range list {
		b = append(append(b, ' '), c.name...)
	}
	b = append(append(append(b, '\n'), group...), ':')
	for _, c := range list {
		b = append(b, ' ')
		if int64(c.value) < 0 {
			b = strconv.AppendInt(b, int64(c.value), 10) // MaxConn is -1: there is no limit
		} else {
			b = strconv.AppendUint(b, c.value, 10)
		}
	}
	return append(b, '\n')
}

// ipTotals are the sums over all interfaces of one family's packets.
type ipTotals struct {
	received, headerErrors, addressErrors, delivered, sent, discarded, unrouteable, forwarded, fragmentErrors uint64
}

func (t *ipTotals) add(s *tcpip.IPStats) {
	t.received += s.PacketsReceived.Value()
	t.headerErrors += s.MalformedPacketsReceived.Value()
	t.fragmentErrors += s.MalformedFragmentsReceived.Value()
	t.addressErrors += s.InvalidDestinationAddressesReceived.Value() + s.InvalidSourceAddressesReceived.Value()
	t.delivered += s.PacketsDelivered.Value()
	t.sent += s.PacketsSent.Value()
	t.discarded += s.OutgoingPacketErrors.Value()
	t.unrouteable += s.Forwarding.Unrouteable.Value()
}

// familyTotals returns the totals of IPv4 and IPv6.
func (s *Stack) familyTotals() (v4, v6 ipTotals) {
	for _, info := range s.stack.NICInfo() {
		if st, ok := info.NetworkStats[header.IPv4ProtocolNumber].(*ipv4.Stats); ok {
			v4.add(&st.IP)
		}
		if st, ok := info.NetworkStats[header.IPv6ProtocolNumber].(*ipv6.Stats); ok {
			v6.add(&st.IP)
		}
	}
	return v4, v6
}

func (s *Stack) procSnmp() []byte {
	st := s.stack.Stats()
	v4, _ := s.familyTotals()
	var ttl tcpip.DefaultTTLOption
	must(s.stack.NetworkProtocolOption(header.IPv4ProtocolNumber, &ttl))
	forwarding := uint64(2) // of RFC 1213: not forwarding
	if s.forwards(header.IPv4ProtocolNumber) {
		forwarding = 1
	}
	b := appendCounters(nil, "Ip", []counter{
		{"Forwarding", forwarding}, {"DefaultTTL", uint64(ttl)}, {"InReceives", v4.received}, {"InHdrErrors", v4.headerErrors},
		{"InAddrErrors", v4.addressErrors}, {"ForwDatagrams", v4.forwarded}, {"InUnknownProtos", 0}, {"InDiscards", 0},
		{"InDelivers", v4.delivered}, {"OutRequests", v4.sent}, {"OutDiscards", v4.discarded}, {"OutNoRoutes", v4.unrouteable},
		{"ReasmFails", v4.fragmentErrors},
	})
	in, out := &st.ICMP.V4.PacketsReceived, &st.ICMP.V4.PacketsSent
	b = appendCounters(b, "Icmp", []counter{
		{"InMsgs", sum(&in.ICMPv4PacketStats)}, count("InErrors", in.Invalid), count("InDestUnreachs", in.DstUnreachable),
		count("InTimeExcds", in.TimeExceeded), count("InParmProbs", in.ParamProblem), count("InSrcQuenchs", in.SrcQuench),
		count("InRedirects", in.Redirect), count("InEchos", in.EchoRequest), count("InEchoReps", in.EchoReply),
		count("InTimestamps", in.Timestamp), count("InTimestampReps", in.TimestampReply),
		{"OutMsgs", sum(&out.ICMPv4PacketStats)}, count("OutErrors", out.Dropped), count("OutRateLimitGlobal", out.RateLimited),
		count("OutDestUnreachs", out.DstUnreachable), count("OutTimeExcds", out.TimeExceeded), count("OutParmProbs", out.ParamProblem),
		count("OutSrcQuenchs", out.SrcQuench), count("OutRedirects", out.Redirect), count("OutEchos", out.EchoRequest),
		count("OutEchoReps", out.EchoReply), count("OutTimestamps", out.Timestamp), count("OutTimestampReps", out.TimestampReply),
	})
	b = appendICMPTypes(b, &in.ICMPv4PacketStats, &out.ICMPv4PacketStats)
	b = appendCounters(b, "Tcp", s.tcpCounters())
	b = appendCounters(b, "Udp", udpCounters(&st.UDP))
	return appendCounters(b, "UdpLite", udpCounters(nil))
}

// appendICMPTypes appends the counters by type. Types that have not been seen are not there, and the lines
// are not if there are none: icmpmsg_put.
func appendICMPTypes(b []byte, in, out *tcpip.ICMPv4PacketStats) []byte {
	var list []counter
	for _, direction := range [...]struct {
		prefix string
		s      *tcpip.ICMPv4PacketStats
	}{{"InType", in}, {"OutType", out}} {
		s := direction.s
		for typ, c := range [...]*tcpip.StatCounter{0: s.EchoReply, 3: s.DstUnreachable, 4: s.SrcQuench, 5: s.Redirect, 8: s.EchoRequest,
			11: s.TimeExceeded, 12: s.ParamProblem, 13: s.Timestamp, 14: s.TimestampReply, 15: s.InfoRequest, 16: s.InfoReply} {
			if c != nil && c.Value() != 0 {
				list = append(list, count(direction.prefix+strconv.Itoa(typ), c))
			}
		}
	}
	if list == nil {
		return b
	}
	return appendCounters(b, "IcmpMsg", list)
}

func sum(s *tcpip.ICMPv4PacketStats) (n uint64) {
	for _, c := range [...]*tcpip.StatCounter{s.EchoRequest, s.EchoReply, s.DstUnreachable, s.SrcQuench, s.Redirect, s.TimeExceeded,
		s.ParamProblem, s.Timestamp, s.TimestampReply, s.InfoRequest, s.InfoReply} {
		n += c.Value()
	}
	return n
}

func (s *Stack) tcpCounters() []counter {
	st := s.stack.Stats().TCP
	var least tcpip.TCPMinRTOOption
	var most tcpip.TCPMaxRTOOption
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, &least))
	must(s.stack.TransportProtocolOption(tcp.ProtocolNumber, &most))
	ms := func(d time.Duration) uint64 { return uint64(d / time.Millisecond) }
	return []counter{
		{"RtoAlgorithm", 1}, {"RtoMin", ms(time.Duration(least))}, {"RtoMax", ms(time.Duration(most))}, {"MaxConn", ^uint64(0)},
		count("ActiveOpens", st.ActiveConnectionOpenings), count("PassiveOpens", st.PassiveConnectionOpenings),
		count("AttemptFails", st.FailedConnectionAttempts), count("EstabResets", st.EstablishedResets),
		count("CurrEstab", st.CurrentEstablished), {"InSegs", st.ValidSegmentsReceived.Value() + st.InvalidSegmentsReceived.Value()},
		count("OutSegs", st.SegmentsSent), count("RetransSegs", st.Retransmits), count("InErrs", st.InvalidSegmentsReceived),
		count("OutRsts", st.ResetsSent), count("InCsumErrors", st.ChecksumErrors),
	}
}

// udpCounters are those of UDP, or zeros. gVisor counts both families together.
func udpCounters(st *tcpip.UDPStats) []counter {
	list := []counter{{"InDatagrams", 0}, {"NoPorts", 0}, {"InErrors", 0}, {"OutDatagrams", 0}, {"RcvbufErrors", 0}, {"SndbufErrors", 0},
		{"InCsumErrors", 0}, {"IgnoredMulti", 0}, {"MemErrors", 0}}
	if st == nil {
		return list
	}
	for i, v := range [...]uint64{
		st.PacketsReceived.Value(), st.UnknownPortErrors.Value(),
		st.MalformedPacketsReceived.Value() + st.ReceiveBufferErrors.Value() + st.ChecksumErrors.Value(),
		st.PacketsSent.Value(), st.ReceiveBufferErrors.Value(), st.PacketSendErrors.Value(), st.ChecksumErrors.Value(),
	} {
		list[i].value = v
	}
	return list
}

func (s *Stack) procNetstat() []byte {
	st := s.stack.Stats().TCP
	dropped := st.ListenOverflowSynDrop.Value() + st.ListenOverflowAckDrop.Value()
	b := appendCounters(nil, "TcpExt", []counter{
		count("SyncookiesSent", st.ListenOverflowSynCookieSent), count("SyncookiesRecv", st.ListenOverflowSynCookieRcvd),
		count("SyncookiesFailed", st.ListenOverflowInvalidSynCookieRcvd),
		count("ListenOverflows", st.ListenOverflowAckDrop), {"ListenDrops", dropped},
		count("TCPSackRecovery", st.SACKRecovery), count("TCPRenoRecovery", st.FastRecovery), count("TCPFastRetrans", st.FastRetransmit),
		count("TCPSlowStartRetrans", st.SlowStartRetransmits), count("TCPTimeouts", st.Timeouts), count("TCPLossProbes", st.TLPRecovery),
		count("TCPDSACKRecv", st.SegmentsAckedWithDSACK), count("TCPSpuriousRTOs", st.SpuriousRTORecovery),
		count("TCPAbortOnTimeout", st.EstablishedTimedout),
		{"TCPFastOpenActive", 0}, {"TCPFastOpenPassive", 0}, {"TCPMD5NotFound", 0}, {"TCPMD5Unexpected", 0}, {"TCPMD5Failure", 0},
	})
	in, out := s.octets()
	return appendCounters(b, "IpExt", []counter{{"InOctets", in.v4}, {"OutOctets", out.v4}})
}

// procSnmp6 is /proc/net/snmp6: a name and a value on each line. TCP and UDP have one set of counters
// for both families, which is in /proc/net/snmp.
func (s *Stack) procSnmp6() []byte {
	_, v6 := s.familyTotals()
	in, out := s.octets()
	st := s.stack.Stats().ICMP.V6
	rx, tx := &st.PacketsReceived, &st.PacketsSent
	list := []counter{
		{"Ip6InReceives", v6.received}, {"Ip6InHdrErrors", v6.headerErrors}, {"Ip6InAddrErrors", v6.addressErrors},
		{"Ip6InDelivers", v6.delivered}, {"Ip6OutForwDatagrams", v6.forwarded}, {"Ip6OutRequests", v6.sent},
		{"Ip6OutDiscards", v6.discarded}, {"Ip6OutNoRoutes", v6.unrouteable}, {"Ip6ReasmFails", v6.fragmentErrors},
		{"Ip6InOctets", in.v6}, {"Ip6OutOctets", out.v6},
		{"Icmp6InMsgs", sum6(&rx.ICMPv6PacketStats)}, count("Icmp6InErrors", rx.Invalid),
		{"Icmp6OutMsgs", sum6(&tx.ICMPv6PacketStats)}, count("Icmp6OutErrors", tx.Dropped),
	}
	list = append(list, icmp6Counters("Icmp6In", &rx.ICMPv6PacketStats)...)
	list = append(list, icmp6Counters("Icmp6Out", &tx.ICMPv6PacketStats)...)
	for _, c := range udpCounters(nil) {
		list = append(list, counter{"UdpLite6" + c.name, 0})
	}
	var b []byte
	for _, c := range list {
		b = append(append(b, pad(c.name, 32, true)...), '\t')
		b = append(strconv.AppendUint(b, c.value, 10), '\n')
	}
	return b
}

func icmp6Counters(prefix string, s *tcpip.ICMPv6PacketStats) []counter {
	return []counter{
		count(prefix+"DestUnreachs", s.DstUnreachable), count(prefix+"PktTooBigs", s.PacketTooBig), count(prefix+"TimeExcds", s.TimeExceeded),
		count(prefix+"ParmProblems", s.ParamProblem), count(prefix+"Echos", s.EchoRequest), count(prefix+"EchoReplies", s.EchoReply),
		count(prefix+"GroupMembQueries", s.MulticastListenerQuery), count(prefix+"GroupMembResponses", s.MulticastListenerReport),
		count(prefix+"GroupMembReductions", s.MulticastListenerDone), count(prefix+"RouterSolicits", s.RouterSolicit),
		count(prefix+"RouterAdvertisements", s.RouterAdvert), count(prefix+"NeighborSolicits", s.NeighborSolicit),
		count(prefix+"NeighborAdvertisements", s.NeighborAdvert), count(prefix+"Redirects", s.RedirectMsg),
		count(prefix+"MLDv2Reports", s.MulticastListenerReportV2),
	}
}

func sum6(s *tcpip.ICMPv6PacketStats) (n uint64) {
	for _, c := range icmp6Counters("", s) {
		n += c.value
	}
	return n
}

// forwards reports whether a family's packets are forwarded between interfaces.
func (s *Stack) forwards(proto tcpip.NetworkProtocolNumber) bool {
	for _, info := range s.stack.NICInfo() {
		if info.Forwarding[proto] {
			return true
		}
	}
	return false
}
