package netstack

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/yolk-unikernel/yolk/kernel"
)

// This file has urgent data of TCP, tcp(7): MSG_OOB, SO_OOBINLINE, SIOCATMARK.

// urgentEndpoint is an endpoint of the images' copy of gVisor (tcp/urgent.go in netstack/gvisor/add).
type urgentEndpoint interface {
	SetUrgentInline(bool)
	UrgentInline() bool
	UrgentMark() int
	HasUrgent() bool
	ReadUrgent(peek bool) (byte, tcpip.Error)
	WriteUrgent(tcpip.Payloader) (int64, tcpip.Error)
}

// urgentEndpoint returns the endpoint of a stream; false if it has no urgent data.
func (k *socket) urgentEndpoint() (urgentEndpoint, bool) {
	ep, ok := k.ep().(urgentEndpoint)
	return ep, ok
}

// setUrgentInline is SO_OOBINLINE, which datagrams keep.
func (k *socket) setUrgentInline(v int) syscall.Errno {
	if ep, ok := k.urgentEndpoint(); ok {
		ep.SetUrgentInline(v != 0)
	}
	return k.setFeature(urgentInline, v)
}

func copyUrgentInline(to, from tcpip.Endpoint) {
	a, ok := from.(urgentEndpoint)
	b, _ := to.(urgentEndpoint)
	if ok {
		b.SetUrgentInline(a.UrgentInline())
	}
}

// receiveUrgent is recv(2) with MSG_OOB, which never waits: tcp_recv_urg in Linux's net/ipv4/tcp.c.
func (k *streamSocket) receiveUrgent(m *kernel.Message, flags int) (int, syscall.Errno) {
	ep, ok := k.urgentEndpoint()
	switch {
	case tcp.EndpointState(k.ep().State()) == tcp.StateListen:
		return 0, syscall.ENOTCONN
	case !ok:
		return 0, syscall.EINVAL
	}
	value, err := ep.ReadUrgent(flags&syscall.MSG_PEEK != 0)
	switch err.(type) {
	case nil:
	case *tcpip.ErrClosedForReceive:
		return 0, 0
	case *tcpip.ErrBadBuffer:
		return 0, syscall.EINVAL
	default:
		return 0, errnoOf(err)
	}
	m.Flags |= syscall.MSG_OOB
	if length(m.Buffers) == 0 {
		m.Flags |= syscall.MSG_TRUNC
		return 0, 0
	}
	if flags&syscall.MSG_TRUNC == 0 {
		scatter(m.Buffers, []byte{value})
	}
	return 1, 0
}

// maySendUrgent refuses MSG_OOB as the protocols of datagrams do: all but UDP over IPv6, which ignores it (udp_sendmsg in
// Linux's net/ipv4/udp.c, udpv6_sendmsg in net/ipv6/udp.c).
func (k *datagramSocket) maySendUrgent(m *kernel.Message) syscall.Errno {
	if k.kind() != udps {
		return syscall.EOPNOTSUPP
	}
	k.autobind()
	k.cork.mu.Lock()
	six := k.sendsIPv6(nil)
	waits := k.cork.waiting
	if waits && k.cork.addressed {
		six = k.sendsIPv6(&k.cork.to)
	}
	k.cork.mu.Unlock()
	joined := waits && !six // to a datagram over IPv4 that waits, whatever the address
	if k.family == syscall.AF_INET6 && len(m.Addr) != 0 && !k.isNone(m.Addr) {
		to, e := k.destination(m.Addr)
		if e == syscall.ENETUNREACH {
			return e
		}
		six = k.sendsIPv6(&to)
	}
	switch {
	case six && !joined:
		return 0
	case k.tooLong(length(m.Buffers)):
		return syscall.EMSGSIZE
	}
	return syscall.EOPNOTSUPP
}

// AtMark reports whether the next byte of the stream is the urgent one: sockatmark(3).
func (k *socket) AtMark() bool {
	ep, ok := k.urgentEndpoint()
	return ok && ep.UrgentMark() == 0
}

// queuedBytes returns how many bytes of the stream come before the urgent one, which is all that is said to be there:
// tcp_inq in Linux's include/net/tcp.h.
func (k *socket) queuedBytes() (int, tcpip.Error) {
	n, err := k.ep().GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if ep, ok := k.urgentEndpoint(); ok && !k.has(urgentInline) {
		if mark := ep.UrgentMark(); mark >= 0 && mark < n {
			n = mark
		}
	}
	return n, err
}

// urgentHole is how many bytes of the queue the stream passes over: the urgent one, if it is the next.
func (k *socket) urgentHole() int { return boolInt(k.AtMark() && !k.has(urgentInline)) }

// urgentEvents is POLLPRI if the urgent byte is there and was not read.
func (k *socket) urgentEvents() kernel.Events {
	if ep, ok := k.urgentEndpoint(); ok && ep.HasUrgent() {
		return kernel.EventPri
	}
	return 0
}
