package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// cmsgHeader is sizeof(struct cmsghdr): a 64-bit length, a level, a type.
const cmsgHeader = 16

// cmsgAlign rounds up to the alignment of control messages, cmsg(3).
func cmsgAlign(n int) int { return (n + 7) &^ 7 }

// putCmsg appends one control message to m.
func putCmsg(m *kernel.Message, level, typ int, data []byte) {
	solsocket.PutControl(m, level, typ, data)
}

// putControl writes the control messages that the socket's options ask for.
func (k *datagramSocket) putControl(m *kernel.Message, cm *tcpip.ReceivableControlMessages) {
	k.putTimestamp(m, cm)
	var b [28]byte
	put := binary.NativeEndian.PutUint32
	if k.has(reportDrops) {
		if n := k.drops(); n != 0 {
			put(b[:], n)
			putCmsg(m, syscall.SOL_SOCKET, solsocket.RxqOvfl, b[:4])
		}
	}
	if cm.HasIPv6PacketInfo { // of a datagram of IPv4 with a mapped address
		clear(b[:])
		putAddr16(b[:16], cm.IPv6PacketInfo.Addr)
		put(b[16:], uint32(cm.IPv6PacketInfo.NIC))
		putCmsg(m, syscall.IPPROTO_IPV6, ipv6PktInfo, b[:20])
	}
	if cm.HasIPPacketInfo {
		put(b[:], uint32(cm.PacketInfo.NIC))
		copy(b[4:8], cm.PacketInfo.LocalAddr.AsSlice())
		copy(b[8:12], cm.PacketInfo.DestinationAddr.AsSlice())
		putCmsg(m, syscall.IPPROTO_IP, syscall.IP_PKTINFO, b[:12])
	}
	if cm.HasTTL {
		put(b[:], uint32(cm.TTL))
		putCmsg(m, syscall.IPPROTO_IP, syscall.IP_TTL, b[:4])
	}
	if cm.HasTOS {
		b[0] = cm.TOS
		putCmsg(m, syscall.IPPROTO_IP, syscall.IP_TOS, b[:1])
	}
	if cm.HasHopLimit {
		put(b[:], uint32(cm.HopLimit))
		putCmsg(m, syscall.IPPROTO_IPV6, ipv6HopLimit, b[:4])
	}
	if cm.HasTClass {
		put(b[:], cm.TClass)
		putCmsg(m, syscall.IPPROTO_IPV6, ipv6TClass, b[:4])
	}
	if cm.HasOriginalDstAddress {
		level, typ := syscall.IPPROTO_IP, ipRecvOrigDstAddr
		if k.family == syscall.AF_INET6 {
			level, typ = syscall.IPPROTO_IPV6, ipv6OrigDstAddr
		}
		n := encodeSockaddr(k.family, cm.OriginalDstAddress, b[:])
		putCmsg(m, level, typ, b[:n])
	}
}

// putTimestamp writes the time of arrival as a timeval or a timespec, and as SO_TIMESTAMPING does:
// three timespecs, of which the first is the software's.
func (k *datagramSocket) putTimestamp(m *kernel.Message, cm *tcpip.ReceivableControlMessages) {
	form, stamping := int(k.timestamp.Load()), k.stamping.Load()
	if form == 0 && stamping == 0 || !cm.HasTimestamp {
		return
	}
	var b [3 * 16]byte
	ns := cm.Timestamp.UnixNano()
	binary.NativeEndian.PutUint64(b[:], uint64(ns/1e9))
	if form != 0 {
		fraction := ns % 1e9
		if form == syscall.SO_TIMESTAMP || form == solsocket.TimestampNew {
			fraction /= 1e3
		}
		binary.NativeEndian.PutUint64(b[8:], uint64(fraction))
		putCmsg(m, syscall.SOL_SOCKET, form, b[:16])
	}
	if stamping&stampSoftware == 0 {
		return
	}
	binary.NativeEndian.PutUint64(b[8:], uint64(ns%1e9))
	typ := scmTimestamping
	if stamping&stampKeepNew != 0 {
		typ = scmTimestampingNew
	}
	putCmsg(m, syscall.SOL_SOCKET, typ, b[:])
}

// putQueued is TCP_INQ: how many bytes are left in the queue.
func (k *streamSocket) putQueued(m *kernel.Message) {
	var b [4]byte
	n, err := k.ep().GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if err != nil {
		n = 0
	}
	binary.NativeEndian.PutUint32(b[:], uint32(n))
	putCmsg(m, syscall.IPPROTO_TCP, tcpInq, b[:])
}

// parseControl reads the control messages of a stream, of which only those of SOL_SOCKET count.
func (k *streamSocket) parseControl(b []byte) syscall.Errno {
	for len(b) >= cmsgHeader {
		size := binary.NativeEndian.Uint64(b)
		if size < cmsgHeader || size > uint64(len(b)) {
			return syscall.EINVAL
		}
		if level := int32(binary.NativeEndian.Uint32(b[8:])); level == syscall.SOL_SOCKET {
			if e := k.parseSocketCmsg(int(int32(binary.NativeEndian.Uint32(b[12:]))), b[cmsgHeader:size]); e != 0 {
				return e
			}
		}
		b = b[min(cmsgAlign(int(size)), len(b)):]
	}
	return 0
}

// parseControl reads the control messages of sendmsg(2). As on Linux, an unknown type of a level
// that the protocol reads is EINVAL, and other levels are skipped: those of the other family are
// among them.
func (k *datagramSocket) parseControl(b []byte, to *tcpip.FullAddress, out *sending) syscall.Errno {
	ipv6 := k.sendsIPv6(to)
	for len(b) >= cmsgHeader {
		size := binary.NativeEndian.Uint64(b)
		if size < cmsgHeader || size > uint64(len(b)) {
			return syscall.EINVAL
		}
		level := int(int32(binary.NativeEndian.Uint32(b[8:])))
		typ := int(int32(binary.NativeEndian.Uint32(b[12:])))
		if e := k.parseCmsg(level, typ, ipv6, b[cmsgHeader:size], out); e != 0 {
			return e
		}
		b = b[min(cmsgAlign(int(size)), len(b)):]
	}
	return 0
}

// sendsIPv6 reports whether a datagram to an address, or to the peer, is one of IPv6.
func (k *datagramSocket) sendsIPv6(to *tcpip.FullAddress) bool {
	if k.family != syscall.AF_INET6 {
		return false
	}
	if to != nil {
		return to.Addr.Len() == header.IPv6AddressSize && !header.IsV4MappedAddress(to.Addr)
	}
	peer, err := k.ep().GetRemoteAddress()
	return err != nil || peer.Addr.Len() == header.IPv6AddressSize
}

func (k *datagramSocket) parseCmsg(level, typ int, ipv6 bool, data []byte, out *sending) syscall.Errno {
	switch {
	case level == syscall.SOL_SOCKET:
		return k.parseSocketCmsg(typ, data)
	case level == syscall.IPPROTO_UDP && k.kind() == udps:
		if typ != udpSegment || len(data) != 2 {
			return syscall.EINVAL
		}
		out.segment = int(binary.NativeEndian.Uint16(data))
	case level == syscall.IPPROTO_IP && !ipv6:
		return k.parseCmsg4(typ, data, &out.control)
	case level == syscall.IPPROTO_IPV6 && ipv6:
		if typ == ipv6DontFrag {
			v, e := intOf(data)
			if e != 0 || len(data) != 4 || v < 0 || v > 1 {
				return syscall.EINVAL
			}
			out.whole = v == 1
			return 0
		}
		return k.parseCmsg6(typ, data, &out.control)
	case level == syscall.IPPROTO_IPV6 && typ == ipv6PktInfo && k.family == syscall.AF_INET6:
		return parseMappedInfo(data, &out.control)
	}
	return 0
}

// parseSocketCmsg is __sock_cmsg_send in Linux's net/core/sock.c. What is read here has no effect
// there either, on a machine without queueing disciplines and rules for marks.
func (k *socket) parseSocketCmsg(typ int, data []byte) syscall.Errno {
	switch typ {
	case syscall.SO_MARK, syscall.SO_PRIORITY:
		if len(data) != 4 {
			return syscall.EINVAL
		}
		return 0
	case scmTimestamping, scmTimestampingNew:
		if v, e := intOf(data); e != 0 || len(data) != 4 || v != 0 {
			return syscall.EINVAL // none of the times of sending is known
		}
		return 0
	case solsocket.TxTime: // also SCM_TXTIME
		k.stored.mu.Lock()
		on := k.stored.hasTxTime
		k.stored.mu.Unlock()
		if !on || len(data) != 8 {
			return syscall.EINVAL
		}
		return 0
	case syscall.SCM_RIGHTS, syscall.SCM_CREDENTIALS:
		return 0
	}
	return syscall.EINVAL
}

// parseCmsg4 is ip_cmsg_send in Linux's net/ipv4/ip_sockglue.c. gVisor's structure has fields for
// IPv4's TTL and all of IPv6; the images' copy reads the packet information and the type of service
// of IPv4 from those of IPv6 (options.go there).
func (k *datagramSocket) parseCmsg4(typ int, data []byte, out *tcpip.SendableControlMessages) syscall.Errno {
	switch typ {
	case syscall.IP_TTL:
		v, e := intOf(data)
		if e != 0 || len(data) != 4 || v < 1 || v > 255 {
			return syscall.EINVAL
		}
		out.HasTTL, out.TTL = true, uint8(v)
	case syscall.IP_TOS:
		v, e := 0, syscall.Errno(0)
		if len(data) == 1 {
			v = int(data[0])
		} else if v, e = intOf(data); e != 0 || len(data) != 4 || v < 0 || v > 255 {
			return syscall.EINVAL
		}
		out.HasHopLimit, out.HopLimit = true, uint8(v)
	case syscall.IP_PKTINFO:
		if len(data) != 12 {
			return syscall.EINVAL
		}
		nic, source := tcpip.NICID(int32(binary.NativeEndian.Uint32(data))), addr4(data[4:8])
		switch {
		case nic != 0 && !k.stack.stack.HasNIC(nic):
			return syscall.ENODEV
		case source.Len() != 0 && k.stack.stack.CheckLocalAddress(nic, header.IPv4ProtocolNumber, source) == 0:
			return syscall.ENETUNREACH
		}
		setSource(out, nic, source)
	default:
		return syscall.EINVAL // IP_RETOPTS, too: options are not sent
	}
	return 0
}

// setSource says where a datagram leaves and which address it has.
func setSource(out *tcpip.SendableControlMessages, nic tcpip.NICID, source tcpip.Address) {
	out.HasIPv6PacketInfo = nic != 0 || source.Len() != 0
	out.IPv6PacketInfo = tcpip.IPv6PacketInfo{NIC: nic, Addr: source}
}

// parseMappedInfo is IPV6_PKTINFO with a datagram of IPv4: the source has to be a mapped address.
func parseMappedInfo(data []byte, out *tcpip.SendableControlMessages) syscall.Errno {
	if len(data) < ipv6MreqSize || !header.IsV4MappedAddress(tcpip.AddrFrom16([16]byte(data))) {
		return syscall.EINVAL
	}
	setSource(out, tcpip.NICID(int32(binary.NativeEndian.Uint32(data[16:]))), addr4(data[12:16]))
	return 0
}

// parseCmsg6 is ip6_datagram_send_ctl in Linux's net/ipv6/datagram.c.
func (k *datagramSocket) parseCmsg6(typ int, data []byte, out *tcpip.SendableControlMessages) syscall.Errno {
	switch typ {
	case ipv6PktInfo, ipv62292PktInfo:
		return k.parsePacketInfo6(data, out)
	case ipv6HopLimit, ipv62292HopLimit:
		v, e := intOf(data)
		if e != 0 || len(data) != 4 || v < -1 || v > 255 {
			return syscall.EINVAL
		}
		if v >= 0 {
			out.HasHopLimit, out.HopLimit = true, uint8(v)
		}
	case ipv6TClass:
		v, e := intOf(data)
		if e != 0 || len(data) != 4 || v < -1 || v > 255 {
			return syscall.EINVAL
		}
		out.HasTTL, out.TTL = true, uint8(v) // see parseCmsg4; Linux sends -1 as 255
	default:
		return syscall.EINVAL
	}
	return 0
}

func (k *datagramSocket) parsePacketInfo6(data []byte, out *tcpip.SendableControlMessages) syscall.Errno {
	if len(data) < ipv6MreqSize {
		return syscall.EINVAL
	}
	nic := tcpip.NICID(int32(binary.NativeEndian.Uint32(data[16:])))
	var source tcpip.Address
	if ip := [16]byte(data); ip != [16]byte{} {
		source = tcpip.AddrFrom16(ip)
	}
	bound := k.ep().SocketOptions().GetBindToDevice()
	switch {
	case nic != 0 && !k.stack.stack.HasNIC(nic):
		return syscall.ENODEV
	case nic != 0 && bound != 0 && tcpip.NICID(bound) != nic:
		return syscall.EINVAL
	case header.IsV6LinkLocalUnicastAddress(source) && nic == 0 && bound == 0:
		return syscall.EINVAL
	}
	if !header.IsV4MappedAddress(source) {
		setSource(out, nic, source)
	}
	return 0
}

// pathMTU is a path that a datagram was too long for.
type pathMTU struct {
	addr tcpip.Address
	nic  tcpip.NICID
	mtu  int
}

// receivePathMTU is recvmsg(2) after such a datagram: no bytes, and IPV6_PATHMTU (RFC 3542 §11.3;
// ipv6_recv_rxpmtu in Linux's net/ipv6/datagram.c).
func (k *datagramSocket) receivePathMTU(m *kernel.Message, p *pathMTU) (int, syscall.Errno) {
	to := tcpip.FullAddress{Addr: p.addr, NIC: p.nic}
	if m.Addr != nil {
		m.AddrLen = encodeSockaddr(k.family, to, m.Addr)
	}
	var b [sockaddrIn6Len + 4]byte // struct ip6_mtuinfo
	encodeSockaddr(k.family, to, b[:])
	binary.NativeEndian.PutUint32(b[sockaddrIn6Len:], uint32(p.mtu))
	putCmsg(m, syscall.IPPROTO_IPV6, ipv6PathMTU, b[:])
	return 0, 0
}

// receiveError is recvmsg(2) with MSG_ERRQUEUE: it returns the packet that failed, and a
// struct sock_extended_err with the reason (ip(7), IP_RECVERR).
func (k *datagramSocket) receiveError(m *kernel.Message) (int, syscall.Errno) {
	e := k.ep().SocketOptions().DequeueErr()
	if e == nil {
		return 0, syscall.EAGAIN
	}
	k.nextError()
	m.Flags |= syscall.MSG_ERRQUEUE
	n, total := 0, 0
	if e.Payload != nil {
		payload := e.Payload.AsSlice()
		total = len(payload)
		for _, b := range m.Buffers {
			n += copy(b, payload[n:])
		}
		e.Payload.Release()
	}
	if n < total {
		m.Flags |= syscall.MSG_TRUNC
	}
	if m.Addr != nil && e.Dst.Addr.Len() != 0 {
		m.AddrLen = encodeSockaddr(k.family, e.Dst, m.Addr)
	}
	k.putExtendedError(m, e)
	return n, 0
}

// nextError makes the next error of the queue the socket's, or none: ip_recv_error in Linux's
// net/ipv4/ip_sockglue.c.
func (k *datagramSocket) nextError() {
	next := k.ep().SocketOptions().PeekErr()
	if next == nil {
		k.ep().LastError()
		return
	}
	k.ep().SocketOptions().SetLastError(next.Err)
}

func (k *datagramSocket) putExtendedError(m *kernel.Message, e *tcpip.SockError) {
	var b [extendedErrLen + sockaddrIn6Len]byte
	binary.NativeEndian.PutUint32(b[:], uint32(errnoOf(e.Err)))
	switch e.Cause.Origin() {
	case tcpip.SockExtErrorOriginICMP:
		b[4] = soEEOriginICMP
	case tcpip.SockExtErrorOriginICMP6:
		b[4] = soEEOriginICMP6
	default:
		b[4] = soEEOriginLocal
	}
	b[5], b[6] = e.Cause.Type(), e.Cause.Code()
	binary.NativeEndian.PutUint32(b[8:], e.Cause.Info())
	n := extendedErrLen
	level, typ := syscall.IPPROTO_IP, syscall.IP_RECVERR
	if k.family == syscall.AF_INET6 {
		level, typ = syscall.IPPROTO_IPV6, ipv6RecvErr
	}
	n += encodeSockaddr(k.family, e.Offender, b[n:])
	putCmsg(m, level, typ, b[:n])
}
