package netlink

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// Attributes of the answers about TCP and UDP, linux/inet_diag.h. The first eight are bits of a request.
const (
	diagMemory     = 1  // INET_DIAG_MEMINFO
	diagInfo       = 2  // INET_DIAG_INFO
	diagCongestion = 4  // INET_DIAG_CONG
	diagTOS        = 5  // INET_DIAG_TOS
	diagClass      = 6  // INET_DIAG_TCLASS
	diagAllMemory  = 7  // INET_DIAG_SKMEMINFO
	diagShutdown   = 8  // INET_DIAG_SHUTDOWN
	diagOnlyV6     = 11 // INET_DIAG_SKV6ONLY
	diagMark       = 15 // INET_DIAG_MARK
	diagClassID    = 17 // INET_DIAG_CLASS_ID
	diagOptions    = 22 // INET_DIAG_SOCKOPT
)

// internetSocket adds the message about a socket: struct inet_diag_msg and attributes.
func (d *diagnosis) internetSocket(r *inetRequest, family uint8, s *InternetSocket, flags uint16) {
	d.message(d.r.typ, flags, d.r.seq, d.port)
	d.u8(family, s.State, 0, 0)
	d.buf = binary.BigEndian.AppendUint16(d.buf, s.Local.Port())
	d.buf = binary.BigEndian.AppendUint16(d.buf, s.Remote.Port())
	d.inetAddress(s.Local.Addr())
	d.inetAddress(s.Remote.Addr())
	d.u32(uint32(s.Interface))
	d.u64(s.Inode)
	d.u32(0) // no timer is told of
	d.u32(uint32(s.Received))
	d.u32(uint32(s.Unsent))
	d.u32(0) // root's
	d.u32(uint32(s.Inode))
	d.attribute8(diagShutdown, s.Shutdown)
	d.trafficClass(r, family, s)
	d.attribute32(diagMark, s.number(syscall.SOL_SOCKET, syscall.SO_MARK))
	d.attribute(diagOptions, s.flags(family))
	d.memory(r, s)
	if r.protocol == syscall.IPPROTO_TCP && !r.idle(s) {
		d.connection(r, s)
	}
}

// inetAddress adds an address in 16 bytes.
func (enc *encoder) inetAddress(a netip.Addr) {
	var b [16]byte
	copy(b[:], a.AsSlice())
	enc.buf = append(enc.buf, b[:]...)
}

// asks tells whether a request wants an attribute that is told only if wanted.
func (r *inetRequest) asks(attribute int) bool { return r.extensions&(1<<(attribute-1)) != 0 }

// number is an option that is an int, or 0.
func (s *InternetSocket) number(level, name int) uint32 {
	var b [4]byte
	if _, e := s.Option(level, name, b[:]); e != 0 {
		return 0
	}
	return binary.NativeEndian.Uint32(b[:])
}

func (d *diagnosis) trafficClass(r *inetRequest, family uint8, s *InternetSocket) {
	if r.asks(diagTOS) {
		d.attribute8(diagTOS, uint8(s.number(syscall.IPPROTO_IP, syscall.IP_TOS)))
	}
	if family == syscall.AF_INET6 {
		if r.asks(diagClass) {
			d.attribute8(diagClass, uint8(s.number(syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS)))
		}
		if s.State == stateListen || s.State == stateClose {
			d.attribute8(diagOnlyV6, uint8(s.number(syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY)))
		}
	}
	if r.asks(diagClass) {
		d.attribute32(diagClassID, s.number(syscall.SOL_SOCKET, syscall.SO_PRIORITY))
	}
}

// flags is struct inet_diag_sockopt: options that are on or off.
func (s *InternetSocket) flags(family uint8) []byte {
	const (
		receiveErrors      = 11 // IP_RECVERR
		freebind           = 15 // IP_FREEBIND
		headerIncluded     = 3  // IP_HDRINCL
		multicastLoop      = 34 // IP_MULTICAST_LOOP
		transparent        = 19 // IP_TRANSPARENT
		multicastAll       = 49 // IP_MULTICAST_ALL, which sockets of IPv6 have off
		noDefragmentation  = 22 // IP_NODEFRAG
		bindAddressNoPort  = 24 // IP_BIND_ADDRESS_NO_PORT
		receiveErrorsLong  = 26 // IP_RECVERR_RFC4884
		connectionOriented = -1 // is_icsk
	)
	var bits uint16
	for i, name := range [...]int{receiveErrors, connectionOriented, freebind, headerIncluded, multicastLoop, transparent,
		multicastAll, noDefragmentation, bindAddressNoPort, receiveErrorsLong} {
		on := name == connectionOriented && s.number(syscall.SOL_SOCKET, syscall.SO_TYPE) == syscall.SOCK_STREAM ||
			name >= 0 && s.number(syscall.IPPROTO_IP, name) != 0 && (name != multicastAll || family == syscall.AF_INET)
		if on {
			bits |= 1 << i
		}
	}
	return binary.NativeEndian.AppendUint16(nil, bits)
}

// memory adds what the socket's buffers hold: struct inet_diag_meminfo, and all of SO_MEMINFO.
func (d *diagnosis) memory(r *inetRequest, s *InternetSocket) {
	const (
		receiving, queued, sending, forward = 0, 5, 2, 4 // SK_MEMINFO_RMEM_ALLOC, _WMEM_QUEUED, _WMEM_ALLOC, _FWD_ALLOC
	)
	if !r.asks(diagMemory) && !r.asks(diagAllMemory) {
		return
	}
	var all [solsocket.MeminfoSize]byte
	if _, e := s.Option(syscall.SOL_SOCKET, solsocket.Meminfo, all[:]); e != 0 {
		return
	}
	if r.asks(diagMemory) {
		var b []byte
		for _, field := range [...]int{receiving, queued, forward, sending} {
			b = append(b, all[4*field:4*field+4]...)
		}
		d.attribute(diagMemory, b)
	}
	if r.asks(diagAllMemory) {
		d.attribute(diagAllMemory, all[:])
	}
}

// connection adds struct tcp_info and the name of the congestion control.
func (d *diagnosis) connection(r *inetRequest, s *InternetSocket) {
	const (
		tcpCongestion = 13
		nameSize      = 16
		infoSize      = 512 // more than struct tcp_info has
	)
	if r.asks(diagInfo) {
		b := make([]byte, infoSize)
		if n, e := s.Option(syscall.IPPROTO_TCP, syscall.TCP_INFO, b); e == 0 {
			d.attribute(diagInfo, b[:n])
		}
	}
	if r.asks(diagCongestion) {
		b := make([]byte, nameSize)
		if n, e := s.Option(syscall.IPPROTO_TCP, tcpCongestion, b); e == 0 {
			name, _, _ := strings.Cut(string(b[:n]), "\x00")
			d.attributeString(diagCongestion, name)
		}
	}
}
