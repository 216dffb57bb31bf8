package netstack

import (
	"io"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// udpOptions are the options of IPPROTO_UDP, udp(7) and udp_lib_setsockopt in Linux's
// net/ipv4/udp.c.
var udpOptions = optionLevel{level: syscall.IPPROTO_UDP, options: []option{
	udpCork:        {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setFeature(corked, v) }, get: func(k *socket) (int, syscall.Errno) { return k.feature(corked) }},
	udpliteSend:    {how: stored, noSet: true},
	udpliteReceive: {how: stored, noSet: true},
	udpEncap:       {how: refused, errno: code(syscall.ENOPROTOOPT), neutral: true},
	udpNoCheck6TX:  {how: stored, flag: true, set: (*socket).setNoCheck6TX},
	udpNoCheck6RX:  {how: stored, flag: true, set: (*socket).setNoCheck6RX},
	udpSegment:     {how: acts, least: 0, most: maxIPPacket, set: (*socket).setSegment, get: func(k *socket) (int, syscall.Errno) { return int(k.segment.Load()), 0 }},
	udpGRO:         {how: acts, flag: true, set: func(k *socket, v int) syscall.Errno { return k.setFeature(joins, v) }, get: func(k *socket) (int, syscall.Errno) { return k.feature(joins) }},
}}

// setNoCheck6TX is UDP_NO_CHECK6_TX. A socket of IPv4 only keeps it, as on Linux; one of IPv6 would
// send without a checksum, which gVisor does not do.
func (k *socket) setNoCheck6TX(v int) syscall.Errno { return k.keepUnlessIPv6(udpNoCheck6TX, v) }

// setNoCheck6RX is UDP_NO_CHECK6_RX, the same for what is received.
func (k *socket) setNoCheck6RX(v int) syscall.Errno { return k.keepUnlessIPv6(udpNoCheck6RX, v) }

func (k *socket) keepUnlessIPv6(name, v int) syscall.Errno {
	if v != 0 && k.family == syscall.AF_INET6 {
		return syscall.ENOPROTOOPT
	}
	k.keep(optionKey{syscall.IPPROTO_UDP, name}, v)
	return 0
}

// setSegment is UDP_SEGMENT: how many bytes of what is sent at once make a datagram each.
func (k *socket) setSegment(v int) syscall.Errno {
	k.segment.Store(int32(v))
	return 0
}

// joiningEndpoint is one of UDP that joins datagrams: udp/train.go of the images' copy of gVisor.
type joiningEndpoint interface {
	ReadTrain(dst io.Writer, opts tcpip.ReadOptions, room int) (tcpip.ReadResult, int, tcpip.Error)
}
