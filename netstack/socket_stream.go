package netstack

import (
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

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
	_, err := k.ep.Read(dst, tcpip.ReadOptions{Peek: peek})
	n := dst.finish(p, more)
	switch err.(type) {
	case nil:
	case *tcpip.ErrClosedForReceive:
		return 0, 0
	default:
		return 0, errnoOf(err)
	}
	if !peek {
		k.tune(n)
	}
	return n, 0
}

// tune lets gVisor grow the receive window of a bulk transfer.
func (k *streamSocket) tune(n int) {
	if k.copied.Add(int64(n)) >= tuneEvery {
		k.ep.ModerateRecvBuf(int(k.copied.Swap(0)))
	}
}

// Write implements kernel.File.
func (k *streamSocket) Write(p []byte, _ int64) (int, syscall.Errno) {
	return k.write(p, nil)
}

func (k *streamSocket) write(p []byte, more [][]byte) (int, syscall.Errno) {
	src := k.stack.newSource(p, more, maxStreamWrite)
	if src.Len() == 0 {
		src.release()
		return 0, 0
	}
	// Atomic: the copy is made under the endpoint's lock, which takes one lock instead of
	// three; the bytes are in memory, so the copy does not wait.
	n, err := k.ep.Write(src, tcpip.WriteOptions{Atomic: true})
	src.release()
	if err != nil {
		return 0, errnoOf(err)
	}
	return int(n), 0
}

// Send implements kernel.Socket. TCP ignores an address, as Linux does.
func (k *streamSocket) Send(m *kernel.Message, flags int) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if len(m.Buffers) == 0 {
		return 0, 0
	}
	return k.write(m.Buffers[0], m.Buffers[1:])
}

// Receive implements kernel.Socket.
func (k *streamSocket) Receive(m *kernel.Message, flags int) (int, syscall.Errno) {
	m.AddrLen, m.ControlLen, m.Flags = 0, 0, 0
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EINVAL // no urgent data is pending, tcp(7)
	}
	if flags&syscall.MSG_ERRQUEUE != 0 {
		return 0, syscall.EAGAIN
	}
	if len(m.Buffers) == 0 {
		return 0, 0
	}
	return k.read(m.Buffers[0], m.Buffers[1:], flags&syscall.MSG_PEEK != 0)
}

// Connect implements kernel.Socket.
func (k *streamSocket) Connect(addr []byte) syscall.Errno {
	family, ok := sockaddrFamily(addr)
	if ok && family == syscall.AF_UNSPEC {
		return k.disconnect()
	}
	a, e := decodeSockaddr(k.family, addr)
	if e != 0 {
		return e
	}
	if e := k.reachable(a); e != 0 {
		return e
	}
	err := k.ep.Connect(a)
	if _, listening := err.(*tcpip.ErrInvalidEndpointState); listening {
		return syscall.EISCONN
	}
	return errnoOf(err)
}

// reachable refuses addresses for which gVisor would return another error.
func (k *socket) reachable(a tcpip.FullAddress) syscall.Errno {
	switch {
	case header.IsV4MappedAddress(a.Addr) && k.ep.SocketOptions().GetV6Only():
		return syscall.ENETUNREACH
	case header.IsV6LinkLocalUnicastAddress(a.Addr) && a.NIC == 0 && k.ep.SocketOptions().GetBindToDevice() == 0:
		return syscall.EINVAL
	case k.typ == syscall.SOCK_STREAM && (header.IsV4MulticastAddress(a.Addr) || a.Addr == header.IPv4Broadcast || header.IsV6MulticastAddress(a.Addr)):
		return syscall.ENETUNREACH
	}
	return 0
}

// disconnect is connect(2) with AF_UNSPEC: the connection is reset.
func (k *streamSocket) disconnect() syscall.Errno {
	k.ep.Abort()
	return 0
}

// Listen implements kernel.Socket.
func (k *streamSocket) Listen(backlog int) syscall.Errno {
	if backlog < 0 || backlog > somaxconn {
		backlog = somaxconn
	}
	// Linux queues one more connection than the backlog.
	return errnoOf(k.ep.Listen(backlog + 1))
}

// Accept implements kernel.Socket.
func (k *streamSocket) Accept() (kernel.Socket, syscall.Errno) {
	var peer tcpip.FullAddress
	ep, wq, err := k.ep.Accept(&peer)
	if err != nil {
		return nil, errnoOf(err)
	}
	c := &streamSocket{peer: peer}
	c.init(k.stack, ep, wq, k.family, k.typ, k.protocol)
	k.inherit(ep.SocketOptions())
	return c, 0
}

// inherit copies the options that an accepted socket has from its listener (socket(7), tcp(7))
// and that gVisor leaves at their defaults.
func (k *streamSocket) inherit(to *tcpip.SocketOptions) {
	from := k.ep.SocketOptions()
	if l := from.GetLinger(); l.Enabled {
		to.SetLinger(l)
	}
	if from.GetKeepAlive() {
		to.SetKeepAlive(true)
	}
	if !from.GetDelayOption() {
		to.SetDelayOption(false)
	}
}

// PeerAddr implements kernel.Socket.
func (k *streamSocket) PeerAddr(dst []byte) (int, syscall.Errno) {
	if k.peer.Port != 0 {
		return encodeSockaddr(k.family, k.peer, dst), 0
	}
	return k.socket.PeerAddr(dst)
}

// Readiness implements kernel.File. gVisor's answers before and after a connection differ from
// those of Linux's tcp_poll, and it never reports that both directions are closed.
func (k *streamSocket) Readiness() kernel.Events {
	const closed = kernel.EventIn | kernel.EventOut | kernel.EventHup | kernel.EventRdHup
	var extra kernel.Events
	switch tcp.EndpointState(k.ep.State()) {
	case tcp.StateInitial, tcp.StateBound:
		return kernel.EventOut | kernel.EventHup
	case tcp.StateClose, tcp.StateTimeWait:
		return closed
	case tcp.StateError:
		return closed | kernel.EventErr
	case tcp.StateLastAck, tcp.StateClosing:
		extra = closed
	case tcp.StateCloseWait:
		extra = kernel.EventIn | kernel.EventRdHup
	}
	return kernel.Events(k.ep.Readiness(waiter.AllEvents))&allEvents | extra
}
