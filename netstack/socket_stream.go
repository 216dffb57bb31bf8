package netstack

import (
	"encoding/binary"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/yolk-unikernel/yolk/kernel"
)

// streamSocket is a TCP socket, tcp(7).
type streamSocket struct {
	socket
	// peer is the address of an accepted connection's peer: accept(2) reports it even if the
	// connection has ended.
	peer tcpip.FullAddress
	// copied counts bytes read since the last call of gVisor's ModerateRecvBuf.
	copied atomic.Int64
	// more: MSG_MORE keeps the last segment back until something else is sent.
	more atomic.Bool

	streamState
}

const (
	// somaxconn is net.core.somaxconn's default.
	somaxconn = 4096
	// tuneEvery is how many bytes are read between calls of ModerateRecvBuf (receive buffer
	// tuning), which costs two locks and a clock read: too much for a short request.
	tuneEvery = 16 << 10
	// maxStreamWrite bounds what one call takes from the program; the send buffer has no room
	// for more.
	maxStreamWrite = tcpMaxSend
)

// Read implements kernel.File.
func (k *streamSocket) Read(p []byte, _ int64) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	return k.read(p, nil, false)
}

func (k *streamSocket) read(p []byte, more [][]byte, peek bool) (int, syscall.Errno) {
	dst := k.stack.newSink(p, more, false)
	_, err := k.ep().Read(dst, tcpip.ReadOptions{Peek: peek})
	n := dst.finish(p, more)
	switch err.(type) {
	case nil:
	case *tcpip.ErrClosedForReceive:
		return 0, 0
	case *tcpip.ErrWouldBlock, *tcpip.ErrNotConnected:
		if tcp.EndpointState(k.ep().State()) == tcp.StateListen {
			return 0, syscall.ENOTCONN // before the error is looked at: tcp_recvmsg_locked in net/ipv4/tcp.c
		}
		if left := k.pending.Swap(0); left != 0 {
			return 0, syscall.Errno(left)
		}
		if k.shut.Load()&shutRead != 0 {
			return 0, 0 // shut down before there was a connection
		}
		return 0, errnoOf(err)
	default:
		return 0, k.failed(errnoOf(err))
	}
	if !peek {
		k.tune(n)
		k.movePeekOffset(-n)
	}
	return n, 0
}

// tune lets gVisor grow the receive window of a bulk transfer.
func (k *streamSocket) tune(n int) {
	if k.copied.Add(int64(n)) >= tuneEvery {
		k.ep().ModerateRecvBuf(int(k.copied.Swap(0)))
	}
}

// Write implements kernel.File.
func (k *streamSocket) Write(p []byte, _ int64) (int, syscall.Errno) {
	return k.write(p, nil, 0)
}

// write sends bytes; of the flags, MSG_MORE and MSG_OOB act.
func (k *streamSocket) write(p []byte, rest [][]byte, flags int) (int, syscall.Errno) {
	if k.shut.Load()&shutWrite != 0 {
		return 0, k.maySend()
	}
	limit := maxStreamWrite
	if low := k.notSent.Load(); low != 0 {
		if limit = k.mayWrite(low); limit == 0 {
			return 0, syscall.EAGAIN
		}
	}
	src := k.stack.newSource(p, rest, limit)
	if src.Len() == 0 {
		src.release()
		return 0, k.maySend()
	}
	more := flags&msgMore != 0
	if more && !k.more.Swap(true) {
		k.ep().SocketOptions().SetCorkOption(true)
	}
	n, err := k.writeEndpoint(src, flags&syscall.MSG_OOB != 0)
	src.release()
	if !more && k.more.Load() {
		k.more.Store(false)
		k.ep().SocketOptions().SetCorkOption(k.has(corked))
	}
	if err != nil {
		if left := k.pending.Swap(0); left != 0 {
			return 0, syscall.Errno(left)
		}
		return 0, k.failed(errnoOf(err))
	}
	return int(n), 0
}

// writeEndpoint writes atomically: the copy is made under the endpoint's lock, which takes one lock instead of three; the
// bytes are in memory, so the copy does not wait.
func (k *streamSocket) writeEndpoint(src *source, urgent bool) (int64, tcpip.Error) {
	if !urgent {
		return k.ep().Write(src, tcpip.WriteOptions{Atomic: true})
	}
	if ep, ok := k.urgentEndpoint(); ok {
		return ep.WriteUrgent(src)
	}
	return 0, &tcpip.ErrNotSupported{}
}

// maySend returns the error of sending no bytes: as tcp_sendmsg_locked in Linux's net/ipv4/tcp.c, it
// asks for a connection all the same.
func (k *streamSocket) maySend() syscall.Errno {
	switch tcp.EndpointState(k.ep().State()) {
	case tcp.StateEstablished, tcp.StateCloseWait:
		if k.shut.Load()&shutWrite == 0 {
			return 0
		}
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		return syscall.EAGAIN
	}
	if e := k.takeError(); e != 0 {
		return e
	}
	return syscall.EPIPE
}

// overshoot is how many bytes more than TCP_NOTSENT_LOWAT allows one write may add: Linux looks at it
// before each buffer, which holds as much.
const overshoot = 16 << 10

// mayWrite returns how many bytes TCP_NOTSENT_LOWAT lets a write add.
func (k *streamSocket) mayWrite(low uint32) int {
	waiting := k.unsent()
	if waiting >= int(low) {
		return 0
	}
	return min(int(low)-waiting+overshoot, maxStreamWrite)
}

// These are flags of send(2) that package syscall lacks.
const (
	msgFastOpen = 0x20000000
)

// Send implements kernel.Socket. TCP ignores an address, as Linux does.
func (k *streamSocket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	if flags&msgFastOpen != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if len(m.Control) != 0 {
		if e := k.parseControl(m.Control); e != 0 {
			return 0, e
		}
	}
	if len(m.Buffers) == 0 {
		return 0, k.maySend()
	}
	return k.write(m.Buffers[0], m.Buffers[1:], flags)
}

// Receive implements kernel.Socket.
func (k *streamSocket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	m.AddrLen, m.ControlLen, m.Flags = 0, 0, 0
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return 0, syscall.EAGAIN
	}
	var n int
	var e syscall.Errno
	if flags&syscall.MSG_OOB != 0 {
		n, e = k.receiveUrgent(m, flags)
	} else {
		n, e = k.receive(m.Buffers, flags)
	}
	if e == 0 && k.has(reportQueue) {
		k.putQueued(m)
	}
	return n, e
}

func (k *streamSocket) receive(bufs [][]byte, flags int) (int, syscall.Errno) {
	peek := flags&syscall.MSG_PEEK != 0
	switch {
	case len(bufs) == 0 || flags&syscall.MSG_TRUNC != 0 || peek && k.peekOffset.Load() > 0:
		return k.receiveSpecial(bufs, peek, flags&syscall.MSG_TRUNC != 0)
	case len(bufs[0]) == 0 && length(bufs) == 0:
		return k.receiveSpecial(nil, peek, false)
	}
	return k.read(bufs[0], bufs[1:], peek)
}

// receiveSpecial receives no bytes, which tells whether there are some; or drops them instead of
// copying (MSG_TRUNC, tcp(7)); or looks at those behind SO_PEEK_OFF.
func (k *streamSocket) receiveSpecial(bufs [][]byte, peek, drop bool) (int, syscall.Errno) {
	want := length(bufs)
	if want == 0 {
		_, e := k.read(make([]byte, 1), nil, true)
		return 0, e
	}
	skip := 0
	if peek {
		skip = int(max(k.peekOffset.Load()-1, 0))
	}
	queued, err := k.ep().GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	if err != nil {
		queued = 0
	}
	b := make([]byte, max(min(skip+want, queued), 1))
	if !peek {
		b = b[:min(len(b), want)]
	}
	n, e := k.read(b, nil, peek)
	switch {
	case e != 0 || n == 0:
		return 0, e
	case n <= skip:
		return 0, syscall.EAGAIN
	}
	got := b[skip:n]
	if !drop {
		scatter(bufs, got)
	}
	if peek {
		k.movePeekOffset(len(got))
	}
	return len(got), 0
}

// scatter copies bytes to buffers.
func scatter(bufs [][]byte, b []byte) {
	for _, p := range bufs {
		b = b[copy(p, b):]
	}
}

// reachable refuses addresses for which gVisor would return another error.
func (k *socket) reachable(a tcpip.FullAddress) syscall.Errno {
	switch {
	case header.IsV4MappedAddress(a.Addr) && k.ep().SocketOptions().GetV6Only():
		return syscall.ENETUNREACH
	case header.IsV6LinkLocalUnicastAddress(a.Addr) && a.NIC == 0 && k.ep().SocketOptions().GetBindToDevice() == 0:
		return syscall.EINVAL
	case k.typ == syscall.SOCK_STREAM && (header.IsV4MulticastAddress(a.Addr) || a.Addr == header.IPv4Broadcast || header.IsV6MulticastAddress(a.Addr)):
		return syscall.ENETUNREACH
	case k.typ == syscall.SOCK_STREAM && k.has(dontRoute) && !k.stack.onLink(a):
		return syscall.ENETUNREACH
	}
	return 0
}

// Accept implements kernel.Socket.
func (k *streamSocket) Accept() (kernel.Socket, syscall.Errno) {
	var peer tcpip.FullAddress
	ep, wq, err := k.ep().Accept(&peer)
	if err != nil {
		return nil, errnoOf(err)
	}
	c := &streamSocket{peer: peer}
	c.phase.Store(connected)
	c.init(k.stack, ep, wq, k.family, k.typ, k.protocol)
	if k.touched.Load() {
		c.inherit(&k.socket)
	} else {
		c.inheritReuse(&k.socket)
	}
	return c, 0
}

// PeerAddr implements kernel.Socket. A connection that has ended has no peer any more: inet_getname in
// Linux's net/ipv4/af_inet.c, whose sockets are CLOSED in TIME_WAIT.
func (k *streamSocket) PeerAddr(dst []byte) (int, syscall.Errno) {
	switch tcp.EndpointState(k.ep().State()) {
	case tcp.StateClose, tcp.StateError, tcp.StateTimeWait:
		return 0, syscall.ENOTCONN
	}
	return k.socket.PeerAddr(dst)
}

// AcceptedAddr implements kernel.Accepted.
func (k *streamSocket) AcceptedAddr(dst []byte) int { return encodeSockaddr(k.family, k.peer, dst) }

// LocalAddr implements kernel.Socket. A port that was given back shows until there is another one.
func (k *streamSocket) LocalAddr(dst []byte) (int, syscall.Errno) {
	n, e := k.socket.LocalAddr(dst)
	if e == 0 && dst[2] == 0 && dst[3] == 0 {
		binary.BigEndian.PutUint16(dst[2:], uint16(k.formerPort.Load()))
	}
	return n, e
}

// Readiness implements kernel.File. gVisor's answers before and after a connection differ from
// those of Linux's tcp_poll, and it never reports that both directions are closed.
func (k *streamSocket) Readiness() kernel.Events { return k.streamEvents() | k.urgentEvents() }

func (k *streamSocket) streamEvents() kernel.Events {
	const closed = kernel.EventIn | kernel.EventOut | kernel.EventHup | kernel.EventRdHup
	extra := k.shutEvents()
	switch tcp.EndpointState(k.ep().State()) {
	case tcp.StateInitial, tcp.StateBound:
		return kernel.EventOut | kernel.EventHup | k.unconnectedEvents()
	case tcp.StateListen:
		return k.events()
	case tcp.StateTimeWait:
		return closed
	case tcp.StateClose: // also by a reset, if the peer had closed its side
		if ep, ok := k.ep().(interface{ Failed() bool }); !ok || !ep.Failed() || k.reported.Load() {
			return closed
		}
		return closed | kernel.EventErr
	case tcp.StateError:
		if k.reported.Load() {
			return closed
		}
		return closed | kernel.EventErr
	case tcp.StateLastAck, tcp.StateClosing:
		extra = closed
	case tcp.StateCloseWait:
		extra |= kernel.EventIn | kernel.EventRdHup
	}
	ev := k.events() | extra
	if k.lowWater.Load() > 1 && extra == 0 && ev&kernel.EventIn != 0 && k.shut.Load()&shutRead == 0 && !k.enough() {
		ev &^= kernel.EventIn
	}
	if low := k.notSent.Load(); low != 0 && ev&kernel.EventOut != 0 && extra == 0 && 2*k.unsent() >= int(low) {
		ev &^= kernel.EventOut // tcp_stream_memory_free in Linux's include/net/tcp.h
	}
	return ev
}
