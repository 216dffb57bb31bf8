package netstack

import (
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
)

// datagramSocket is a UDP, ICMP ("ping") or raw socket: udp(7), icmp(7),
// raw(7).
type datagramSocket struct{ socket }

// maxDatagram is the largest IP packet.
const maxDatagram = 65535

// Read implements kernel.File.
func (k *datagramSocket) Read(p []byte, _ int64) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	_, n, e := k.receive(p, nil, tcpip.ReadOptions{})
	return n, e
}

// receive receives one datagram; n is how many bytes of it fit.
func (k *datagramSocket) receive(p []byte, more [][]byte, opts tcpip.ReadOptions) (tcpip.ReadResult, int, syscall.Errno) {
	dst := k.stack.newSink(p, more, true)
	res, err := k.ep.Read(dst, opts)
	n := dst.finish(p, more)
	switch err.(type) {
	case nil, *tcpip.ErrClosedForReceive:
		return res, n, 0
	}
	return res, 0, errnoOf(err)
}

// Write implements kernel.File.
func (k *datagramSocket) Write(p []byte, _ int64) (int, syscall.Errno) {
	return k.send(p, nil, nil, tcpip.WriteOptions{})
}

// send sends one datagram, to the address if it is not nil.
func (k *datagramSocket) send(p []byte, more [][]byte, to *tcpip.FullAddress, opts tcpip.WriteOptions) (int, syscall.Errno) {
	src := k.stack.newSource(p, more, maxDatagram+1)
	if to != nil {
		src.to = *to // in the pooled object, since gVisor takes a pointer
		opts.To = &src.to
	}
	n, err := k.ep.Write(src, opts)
	src.release()
	if err != nil {
		return 0, k.sendErrno(err)
	}
	return int(n), 0
}

func (k *datagramSocket) sendErrno(err tcpip.Error) syscall.Errno {
	switch err.(type) {
	case *tcpip.ErrWouldBlock:
		return syscall.EAGAIN
	case *tcpip.ErrBadLocalAddress:
		return syscall.EINVAL
	}
	return errnoOf(err)
}

// Send implements kernel.Socket.
func (k *datagramSocket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	var opts tcpip.WriteOptions
	var to *tcpip.FullAddress
	if len(m.Addr) != 0 {
		a, e := k.destination(m.Addr)
		if e != 0 {
			return 0, e
		}
		to = &a
	}
	if len(m.Control) != 0 {
		if e := k.parseControl(m.Control, &opts.ControlMessages); e != 0 {
			return 0, e
		}
	}
	if len(m.Buffers) == 0 {
		return k.send(nil, nil, to, opts)
	}
	return k.send(m.Buffers[0], m.Buffers[1:], to, opts)
}

// destination reads the address of sendto(2). A UDP socket of AF_INET6 also accepts an AF_INET
// address.
func (k *datagramSocket) destination(addr []byte) (tcpip.FullAddress, syscall.Errno) {
	family := k.family
	if got, _ := sockaddrFamily(addr); got == syscall.AF_INET && family == syscall.AF_INET6 {
		family = got
	}
	a, e := decodeSockaddr(family, addr)
	if e != 0 {
		return a, e
	}
	if a.Addr.Len() == 0 {
		a.Addr = k.loopback()
	}
	return a, k.reachable(a)
}

// loopback is the destination of a datagram to the wildcard address.
func (k *datagramSocket) loopback() tcpip.Address {
	if k.family == syscall.AF_INET {
		return header.IPv4Loopback
	}
	return header.IPv6Loopback
}

// Receive implements kernel.Socket.
func (k *datagramSocket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	m.AddrLen, m.ControlLen, m.Flags = 0, 0, 0
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return k.receiveError(m)
	}
	opts := tcpip.ReadOptions{Peek: flags&syscall.MSG_PEEK != 0, NeedRemoteAddr: m.Addr != nil}
	var first []byte
	var more [][]byte
	if len(m.Buffers) != 0 {
		first, more = m.Buffers[0], m.Buffers[1:]
	}
	res, n, e := k.receive(first, more, opts)
	if e != 0 {
		return 0, e
	}
	if m.Addr != nil && res.RemoteAddr.Addr.Len() != 0 {
		m.AddrLen = encodeSockaddr(k.family, res.RemoteAddr, m.Addr)
	}
	if len(m.Control) != 0 {
		k.putControl(m, &res.ControlMessages)
	}
	if res.Total > n {
		m.Flags |= syscall.MSG_TRUNC
		if flags&syscall.MSG_TRUNC != 0 {
			n = res.Total
		}
	}
	return n, 0
}

// Connect implements kernel.Socket: it sets the peer.
func (k *datagramSocket) Connect(addr []byte) syscall.Errno {
	family, ok := sockaddrFamily(addr)
	if ok && family == syscall.AF_UNSPEC {
		return errnoOf(k.ep.Disconnect())
	}
	a, e := decodeSockaddr(k.family, addr)
	if e != 0 {
		return e
	}
	if e := k.reachable(a); e != 0 {
		return e
	}
	return errnoOf(k.ep.Connect(a))
}

// Listen implements kernel.Socket.
func (*datagramSocket) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

// Accept implements kernel.Socket.
func (*datagramSocket) Accept() (kernel.Socket, syscall.Errno) { return nil, syscall.EOPNOTSUPP }
