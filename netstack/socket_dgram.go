package netstack

import (
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/kernel"
)

// datagramSocket is a UDP, ICMP ("ping") or raw socket: udp(7), icmp(7),
// raw(7).
type datagramSocket struct {
	socket
	cork cork
	// tooNarrow is a path whose MTU the program has not been told of: IPV6_RECVPATHMTU.
	tooNarrow atomic.Pointer[pathMTU]
}

// maxDatagram is the largest IP packet.
const maxDatagram = 65535

// Read implements kernel.File.
func (k *datagramSocket) Read(p []byte, _ int64) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	if k.tooNarrow.Swap(nil) != nil {
		return 0, 0 // without the control message that tells it
	}
	_, n, _, e := k.receive(p, nil, tcpip.ReadOptions{})
	k.movePeekOffset(-n)
	return n, e
}

// receive receives one datagram, or several that UDP_GRO joins, of which segment is the size then; n is how many bytes fit.
func (k *datagramSocket) receive(p []byte, more [][]byte, opts tcpip.ReadOptions) (res tcpip.ReadResult, n, segment int, e syscall.Errno) {
	dst := k.stack.newSink(p, more, true)
	var err tcpip.Error
	if ep, ok := k.ep().(joiningEndpoint); ok && k.has(joins) && !opts.Peek {
		res, segment, err = ep.ReadTrain(dst, opts, len(p)+length(more))
	} else {
		res, err = k.readEndpoint(dst, opts)
	}
	n = dst.finish(p, more)
	switch err.(type) {
	case nil:
		k.noteStamp(&res.ControlMessages)
		return res, n, segment, 0
	case *tcpip.ErrClosedForReceive:
		return res, n, segment, 0
	}
	return res, 0, 0, errnoOf(err)
}

// special are the features for which a datagram does not take the straight way.
const special = corked | collecting | bindPending | dontRoute | closedForSend

// mostHeaders is how many bytes come before the data of a datagram at most: IPv6 and UDP.
const mostHeaders = header.IPv6MinimumSize + header.UDPMinimumSize

// doubtful reports whether a datagram may not be fragmented and could be too long for a card.
func (k *datagramSocket) doubtful(n int) bool {
	return k.has(dontFragment) && n+mostHeaders > int(k.stack.smallestMTU.Load())
}

// Write implements kernel.File.
func (k *datagramSocket) Write(p []byte, _ int64) (int, syscall.Errno) {
	if k.has(special) || k.segment.Load() != 0 || k.unicastNIC.Load() != 0 || k.doubtful(len(p)) {
		return k.sendSpecial([][]byte{p}, nil, &sending{segment: int(k.segment.Load())}, 0)
	}
	return k.send(p, nil, nil, tcpip.WriteOptions{})
}

// send sends one datagram, to the address if it is not nil.
func (k *datagramSocket) send(p []byte, more [][]byte, to *tcpip.FullAddress, opts tcpip.WriteOptions) (int, syscall.Errno) {
	src := k.stack.newSource(p, more, maxDatagram+1)
	if to != nil {
		src.to = *to // in the pooled object, since gVisor takes a pointer
		opts.To = &src.to
	}
	n, err := k.ep().Write(src, opts)
	src.release()
	if err != nil {
		return 0, k.sendErrno(err, len(p)+length(more))
	}
	return int(n), 0
}

// sendErrno returns the error of a datagram of n bytes. Linux's udp_sendmsg looks at the length
// before anything else.
func (k *datagramSocket) sendErrno(err tcpip.Error, n int) syscall.Errno {
	if k.tooLong(n) {
		return syscall.EMSGSIZE
	}
	switch err.(type) {
	case *tcpip.ErrWouldBlock:
		return syscall.EAGAIN
	case *tcpip.ErrBadLocalAddress:
		return syscall.EINVAL
	}
	return errnoOf(err)
}

// tooLong reports whether n bytes are too many whatever else is wrong.
func (k *datagramSocket) tooLong(n int) bool {
	return n > maxDatagram && k.kind() == udps && k.family == syscall.AF_INET
}

// Send implements kernel.Socket.
func (k *datagramSocket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		if e := k.maySendUrgent(m); e != 0 {
			return 0, e
		}
	}
	var to *tcpip.FullAddress
	if len(m.Addr) != 0 && !k.isNone(m.Addr) {
		a, e := k.destination(m.Addr)
		if e != 0 {
			k.autobind()
			if k.tooLong(length(m.Buffers)) {
				e = syscall.EMSGSIZE
			}
			return 0, e
		}
		to = &a
	}
	s := sending{segment: int(k.segment.Load())}
	if len(m.Control) != 0 {
		if e := k.parseControl(m.Control, to, &s); e != 0 {
			return 0, e
		}
	}
	if flags&msgMore != 0 || s.segment != 0 || s.whole || k.unicastNIC.Load() != 0 || k.has(special) || k.doubtful(length(m.Buffers)) {
		return k.sendSpecial(m.Buffers, to, &s, flags)
	}
	opts := tcpip.WriteOptions{ControlMessages: s.control}
	if len(m.Buffers) == 0 {
		return k.send(nil, nil, to, opts)
	}
	return k.send(m.Buffers[0], m.Buffers[1:], to, opts)
}

// sending is what control messages say of one datagram.
type sending struct {
	control tcpip.SendableControlMessages
	// segment is UDP_SEGMENT: how many bytes make a datagram each; 0: all of them.
	segment int
	// whole is IPV6_DONTFRAG: the datagram is not sent in fragments.
	whole bool
}

// msgMore is MSG_MORE: what follows belongs to the same datagram.
const msgMore = 0x8000

// cork is a datagram that is not complete: UDP_CORK and MSG_MORE, udp(7). The first part says
// where it goes.
type cork struct {
	mu        sync.Mutex
	waiting   bool
	data      []byte
	to        tcpip.FullAddress // if addressed
	addressed bool
	sending   sending
}

// sendSpecial sends with options that a socket seldom has.
func (k *datagramSocket) sendSpecial(bufs [][]byte, to *tcpip.FullAddress, s *sending, flags int) (int, syscall.Errno) {
	if e := k.completeBind(); e != 0 {
		return 0, e
	}
	k.autobind()
	if k.tooLong(length(bufs)) {
		return 0, syscall.EMSGSIZE
	}
	if to != nil && to.NIC == 0 && !header.IsV4MulticastAddress(to.Addr) && !header.IsV6MulticastAddress(to.Addr) {
		to.NIC = tcpip.NICID(k.unicastNIC.Load())
	}
	if k.kind() == udps {
		k.cork.mu.Lock()
		defer k.cork.mu.Unlock()
		if k.cork.waiting || flags&msgMore != 0 || k.has(corked) {
			return k.addToCork(bufs, to, s, flags)
		}
	}
	if len(bufs) == 1 {
		return k.sendSegments(bufs[0], to, s)
	}
	data := make([]byte, 0, length(bufs))
	for _, b := range bufs {
		data = append(data, b...)
	}
	return k.sendSegments(data, to, s)
}

func length(bufs [][]byte) int {
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// addToCork adds to the datagram, and sends it if nothing keeps it back. cork.mu is held.
func (k *datagramSocket) addToCork(bufs [][]byte, to *tcpip.FullAddress, s *sending, flags int) (int, syscall.Errno) {
	c := &k.cork
	if !c.waiting {
		if to == nil && !k.isConnected() {
			return 0, syscall.EDESTADDRREQ
		}
		if e := k.maySend(); e != 0 {
			return 0, e
		}
		c.waiting, c.data, c.addressed, c.sending = true, nil, to != nil, *s
		if to != nil {
			c.to = *to
		}
		k.setFeature(collecting, 1)
	}
	if to != nil && k.family == syscall.AF_INET6 && c.addressed && header.IsV4MappedAddress(to.Addr) && !header.IsV4MappedAddress(c.to.Addr) {
		return 0, syscall.EINVAL // udp_sendmsg in Linux's net/ipv4/udp.c
	}
	n := length(bufs)
	if n > maxDatagram && c.addressed && header.IsV4MappedAddress(c.to.Addr) {
		return 0, syscall.EMSGSIZE
	}
	if len(c.data)+n > maxDatagram-header.IPv4MinimumSize-header.UDPMinimumSize {
		c.drop(k)
		return 0, syscall.EMSGSIZE
	}
	for _, b := range bufs {
		c.data = append(c.data, b...)
	}
	if flags&msgMore != 0 || k.has(corked) {
		return n, 0
	}
	if e := k.uncork(); e != 0 {
		return 0, e
	}
	return n, 0
}

// uncork sends what has been collected. cork.mu is held.
func (k *datagramSocket) uncork() syscall.Errno {
	c := &k.cork
	if !c.waiting {
		return 0
	}
	var to *tcpip.FullAddress
	if c.addressed {
		to = &c.to
	}
	_, e := k.sendSegments(c.data, to, &c.sending)
	c.drop(k)
	return e
}

// drop forgets what has been collected. mu is held.
func (c *cork) drop(k *datagramSocket) {
	c.waiting, c.data = false, nil
	k.setFeature(collecting, 0)
}

// SetOption implements kernel.Socket. Without UDP_CORK, what was collected is sent; as on Linux its
// error is not the option's.
func (k *datagramSocket) SetOption(level, name int, val []byte) syscall.Errno {
	e := k.socket.SetOption(level, name, val)
	if e == 0 && level == syscall.IPPROTO_UDP && name == udpCork && !k.has(corked) {
		k.cork.mu.Lock()
		k.uncork()
		k.cork.mu.Unlock()
	}
	return e
}

// maySend is sock_alloc_send_pskb's check in Linux's net/core/sock.c: an error that waits, and
// shutdown(2).
func (k *datagramSocket) maySend() syscall.Errno {
	if e := errnoOf(k.ep().LastError()); e != 0 {
		return e
	}
	if k.has(closedForSend) {
		return syscall.EPIPE
	}
	return 0
}

// maxSegments is UDP_MAX_SEGMENTS, how many datagrams one call makes.
const maxSegments = 128

// sendSegments sends one datagram, or one for each segment (UDP_SEGMENT, udp(7)).
func (k *datagramSocket) sendSegments(data []byte, to *tcpip.FullAddress, s *sending) (int, syscall.Errno) {
	if e := k.mayGo(len(data), to, s); e != 0 {
		return 0, e
	}
	if !k.cork.waiting {
		if len(data) > maxDatagram-header.UDPMinimumSize && k.kind() == udps {
			return 0, syscall.EMSGSIZE
		}
		if e := k.maySend(); e != 0 {
			return 0, e
		}
	}
	opts := tcpip.WriteOptions{ControlMessages: s.control}
	if s.segment == 0 || len(data) <= s.segment {
		return k.send(data, nil, to, opts)
	}
	for sent := 0; sent < len(data); sent += s.segment {
		_, e := k.send(data[sent:min(sent+s.segment, len(data))], nil, to, opts)
		if e == syscall.EAGAIN && sent > 0 {
			break // the rest is lost on the way, as a packet of Linux's would be in a full queue
		}
		if e != 0 {
			return 0, e
		}
	}
	return len(data), 0
}

// mayGo checks what is to be sent against the route: SO_DONTROUTE, a datagram that may not be
// fragmented, segments that do not fit.
func (k *datagramSocket) mayGo(n int, to *tcpip.FullAddress, s *sending) syscall.Errno {
	segmented := s.segment != 0 && n > s.segment
	if segmented && n > s.segment*maxSegments {
		return syscall.EINVAL
	}
	fits := segmented && s.segment+mostHeaders <= int(k.stack.smallestMTU.Load()) || !segmented && !s.whole && !k.doubtful(n)
	if fits && !k.has(dontRoute|closedForSend) {
		return 0
	}
	peer, err := k.ep().GetRemoteAddress()
	if to != nil {
		peer = *to
	} else if err != nil {
		return syscall.EDESTADDRREQ
	}
	if k.has(dontRoute) && !k.stack.onLink(peer) {
		return syscall.ENETUNREACH
	}
	mtu, e := k.mtuTo(peer)
	if e != 0 {
		return e
	}
	headers := header.IPv4MinimumSize
	if peer.Addr.Len() == header.IPv6AddressSize && !header.IsV4MappedAddress(peer.Addr) {
		headers = header.IPv6MinimumSize
	}
	if k.kind() == udps {
		headers += header.UDPMinimumSize
	}
	switch {
	case segmented && s.segment+headers > mtu:
		return syscall.EINVAL
	case !segmented && (s.whole || k.has(dontFragment)) && n+headers > mtu:
		if k.has(reportPathMTU) && (s.whole || k.kept(optionKey{syscall.IPPROTO_IPV6, ipv6DontFrag}, 0) != 0) {
			k.tooNarrow.Store(&pathMTU{peer.Addr, peer.NIC, mtu})
		}
		return syscall.EMSGSIZE
	}
	return 0
}

// onLink reports whether the route to an address has no router.
func (s *Stack) onLink(to tcpip.FullAddress) bool {
	net := header.IPv4ProtocolNumber
	if to.Addr.Len() == header.IPv6AddressSize {
		net = header.IPv6ProtocolNumber
	}
	r, err := s.stack.FindRoute(to.NIC, tcpip.Address{}, to.Addr, net, false)
	if err != nil {
		return false
	}
	defer r.Release()
	return r.NextHop() == tcpip.Address{} || r.NextHop() == to.Addr
}

// Receive implements kernel.Socket.
func (k *datagramSocket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	m.AddrLen, m.ControlLen, m.Flags = 0, 0, 0
	if flags&syscall.MSG_OOB != 0 && k.kind() != udps {
		return 0, syscall.EOPNOTSUPP
	}
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return k.receiveError(m)
	}
	if narrow := k.tooNarrow.Swap(nil); narrow != nil {
		return k.receivePathMTU(m, narrow)
	}
	opts := tcpip.ReadOptions{Peek: flags&syscall.MSG_PEEK != 0, NeedRemoteAddr: m.Addr != nil}
	var first []byte
	var more [][]byte
	if len(m.Buffers) != 0 {
		first, more = m.Buffers[0], m.Buffers[1:]
	}
	res, n, segment, e := k.receive(first, more, opts)
	if e != 0 {
		return 0, e
	}
	if m.Addr != nil && res.RemoteAddr.Addr.Len() != 0 {
		m.AddrLen = encodeSockaddr(k.family, res.RemoteAddr, m.Addr)
	}
	k.putControl(m, &res.ControlMessages)
	if segment != 0 {
		var b [4]byte
		putInt(b[:], segment)
		putCmsg(m, syscall.IPPROTO_UDP, udpGRO, b[:])
	}
	if res.Total > n {
		if n == length(m.Buffers) { // less is what lies behind SO_PEEK_OFF
			m.Flags |= syscall.MSG_TRUNC
		}
		if flags&syscall.MSG_TRUNC != 0 {
			n = res.Total
		}
	}
	if !opts.Peek {
		k.movePeekOffset(-n)
	} else {
		k.movePeekOffset(n)
	}
	return n, 0
}

// Listen implements kernel.Socket.
func (*datagramSocket) Listen(int) syscall.Errno { return syscall.EOPNOTSUPP }

// Accept implements kernel.Socket.
func (*datagramSocket) Accept() (kernel.Socket, syscall.Errno) { return nil, syscall.EOPNOTSUPP }

// Readiness implements kernel.File. An error that waits for MSG_ERRQUEUE is readiness, too.
func (k *datagramSocket) Readiness() kernel.Events {
	ev := k.events()
	so := k.ep().SocketOptions()
	if (so.GetIPv4RecvError() || so.GetIPv6RecvError()) && so.PeekErr() != nil {
		ev |= kernel.EventErr
		if k.has(selectErrors) {
			ev |= kernel.EventPri
		}
	}
	switch shut := k.shut.Load(); {
	case shut&shutRead == 0:
	case shut == shutRead|shutWrite:
		ev |= kernel.EventIn | kernel.EventRdHup | kernel.EventHup
	default:
		ev |= kernel.EventIn | kernel.EventRdHup
	}
	return ev.Band()
}
