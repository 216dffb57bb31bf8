package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
)

// cmsgHeader is sizeof(struct cmsghdr): a 64-bit length, a level, a type.
const cmsgHeader = 16

// cmsgAlign rounds up to the alignment of control messages, cmsg(3).
func cmsgAlign(n int) int { return (n + 7) &^ 7 }

// putCmsg appends one control message to m, and sets MSG_CTRUNC if there is
// no room for all of it.
func putCmsg(m *kernel.Message, level, typ int, data []byte) {
	free := m.Control[m.ControlLen:]
	if len(free) < cmsgHeader {
		m.Flags |= syscall.MSG_CTRUNC
		return
	}
	size := cmsgHeader + len(data)
	if size > len(free) {
		m.Flags |= syscall.MSG_CTRUNC
		size = len(free)
	}
	binary.NativeEndian.PutUint64(free, uint64(size))
	binary.NativeEndian.PutUint32(free[8:], uint32(level))
	binary.NativeEndian.PutUint32(free[12:], uint32(typ))
	copy(free[cmsgHeader:size], data)
	m.ControlLen += min(cmsgAlign(size), len(free))
}

// putControl writes the control messages that the socket's options ask for.
func (k *datagramSocket) putControl(m *kernel.Message, cm *tcpip.ReceivableControlMessages) {
	k.putTimestamp(m, cm)
	var b [28]byte
	put := binary.NativeEndian.PutUint32
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
	if cm.HasIPv6PacketInfo {
		clear(b[:])
		putAddr16(b[:16], cm.IPv6PacketInfo.Addr)
		put(b[16:], uint32(cm.IPv6PacketInfo.NIC))
		putCmsg(m, syscall.IPPROTO_IPV6, ipv6PktInfo, b[:20])
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

// putTimestamp writes the time of arrival as a timeval or a timespec.
func (k *datagramSocket) putTimestamp(m *kernel.Message, cm *tcpip.ReceivableControlMessages) {
	form := int(k.stored.timestamp.Load())
	if form == 0 || !cm.HasTimestamp {
		return
	}
	var b [16]byte
	ns := cm.Timestamp.UnixNano()
	fraction := ns % 1e9
	if form == soTimestamp {
		fraction /= 1e3
	}
	binary.NativeEndian.PutUint64(b[:], uint64(ns/1e9))
	binary.NativeEndian.PutUint64(b[8:], uint64(fraction))
	putCmsg(m, syscall.SOL_SOCKET, form, b[:])
}

// parseControl reads the control messages of sendmsg(2). As on Linux, an unknown type of a
// supported level is EINVAL, and other levels are skipped.
func (k *datagramSocket) parseControl(b []byte, out *tcpip.SendableControlMessages) syscall.Errno {
	for len(b) >= cmsgHeader {
		size := binary.NativeEndian.Uint64(b)
		if size < cmsgHeader || size > uint64(len(b)) {
			return syscall.EINVAL
		}
		level := int(int32(binary.NativeEndian.Uint32(b[8:])))
		typ := int(int32(binary.NativeEndian.Uint32(b[12:])))
		if e := k.parseCmsg(level, typ, b[cmsgHeader:size], out); e != 0 {
			return e
		}
		b = b[min(cmsgAlign(int(size)), len(b)):]
	}
	return 0
}

func (k *datagramSocket) parseCmsg(level, typ int, data []byte, out *tcpip.SendableControlMessages) syscall.Errno {
	switch level {
	case syscall.IPPROTO_IP:
		return parseCmsg4(typ, data, out)
	case syscall.IPPROTO_IPV6:
		if k.family != syscall.AF_INET6 {
			return syscall.EINVAL
		}
		return parseCmsg6(typ, data, out)
	case syscall.SOL_SOCKET:
		return 0
	}
	return 0
}

func parseCmsg4(typ int, data []byte, out *tcpip.SendableControlMessages) syscall.Errno {
	switch typ {
	case syscall.IP_TTL:
		v, e := intOf(data)
		if e != 0 || v < 1 || v > 255 {
			return syscall.EINVAL
		}
		out.HasTTL, out.TTL = true, uint8(v)
	case syscall.IP_TOS:
		// gVisor has no type of service per datagram; the socket's option applies.
	case syscall.IP_PKTINFO:
		// The route chooses the source address: a machine nearly always has one address
		// per card and family.
		if len(data) < 12 {
			return syscall.EINVAL
		}
	default:
		return syscall.EINVAL
	}
	return 0
}

func parseCmsg6(typ int, data []byte, out *tcpip.SendableControlMessages) syscall.Errno {
	switch typ {
	case ipv6HopLimit:
		v, e := intOf(data)
		if e != 0 || v < -1 || v > 255 {
			return syscall.EINVAL
		}
		if v >= 0 {
			out.HasHopLimit, out.HopLimit = true, uint8(v)
		}
	case ipv6PktInfo:
		if len(data) < 20 {
			return syscall.EINVAL
		}
		info := tcpip.IPv6PacketInfo{NIC: tcpip.NICID(int32(binary.NativeEndian.Uint32(data[16:])))}
		if ip := [16]byte(data); ip != [16]byte{} {
			info.Addr = tcpip.AddrFrom16(ip)
		}
		if header.IsV4MappedAddress(info.Addr) {
			return 0
		}
		out.HasIPv6PacketInfo, out.IPv6PacketInfo = true, info
	case ipv6TClass:
	default:
		return syscall.EINVAL
	}
	return 0
}

// receiveError is recvmsg(2) with MSG_ERRQUEUE: it returns the packet that failed, and a
// struct sock_extended_err with the reason (ip(7), IP_RECVERR).
func (k *datagramSocket) receiveError(m *kernel.Message) (int, syscall.Errno) {
	e := k.ep.SocketOptions().DequeueErr()
	if e == nil {
		return 0, syscall.EAGAIN
	}
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
