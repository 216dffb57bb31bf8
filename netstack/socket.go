package netstack

import (
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// socket is the common part of sockets of all types: the gVisor endpoint and its wait queue.
type socket struct {
	stack   *Stack
	current atomic.Pointer[endpoint]
	queue   kernel.WaitQueue

	family, typ, protocol int
	inode                 uint64

	features    atomic.Uint32                     // bits: dontRoute and those beside it
	locked      atomic.Uint32                     // SO_BUF_LOCK
	lowWater    atomic.Int32                      // SO_RCVLOWAT; 0 is 1
	peekOffset  atomic.Int64                      // SO_PEEK_OFF, plus 1; off if not positive
	timestamp   atomic.Int32                      // 0, or which of SO_TIMESTAMP and its like is on
	stamping    atomic.Uint32                     // SO_TIMESTAMPING
	lastStamp   atomic.Int64                      // of SIOCGSTAMP, in nanoseconds
	notSent     atomic.Uint32                     // TCP_NOTSENT_LOWAT, bytes; 0: no bound
	segment     atomic.Int32                      // UDP_SEGMENT, bytes
	unicastNIC  atomic.Int32                      // IP_UNICAST_IF
	ports       atomic.Uint32                     // IP_LOCAL_PORT_RANGE
	shut        atomic.Uint32                     // bits: shutRead, shutWrite
	backlog     atomic.Int32                      // of listen(2)
	touched     atomic.Bool                       // an option was set that an accepted socket inherits
	icmpDeny    atomic.Uint32                     // ICMP_FILTER
	filter      atomic.Pointer[bpf.Filter]        // SO_ATTACH_FILTER
	filtered    atomic.Uint32                     // datagrams of UDP that it did not let pass
	late        atomic.Pointer[tcpip.FullAddress] // the address of bindLater
	given       atomic.Pointer[tcpip.FullAddress] // the address of bind(2)
	memberships memberships
	stored      storedOptions

	// next and prev link the socket into the stack's list, whose lock guards them.
	next, prev *socket
}

// endpoint is what gVisor has of a socket. A TCP socket gets another one when it begins anew:
// gVisor's reach a final state where Linux's return to CLOSED.
type endpoint struct {
	tcpip.Endpoint
	wq    *waiter.Queue
	entry waiter.Entry
}

// ep returns the endpoint of now.
func (k *socket) ep() tcpip.Endpoint { return k.current.Load().Endpoint }

// firstInode is the first number in socket:[N]; Linux's start low as well.
const firstInode = 0x1000

// NewSocket makes a socket as socket(2) does. typ comes without SOCK_NONBLOCK
// and SOCK_CLOEXEC.
func (s *Stack) NewSocket(family, typ, protocol int) (kernel.Socket, syscall.Errno) {
	net, e := networkOf(family)
	if e != 0 {
		return nil, e
	}
	switch typ {
	case syscall.SOCK_STREAM:
		return s.newStream(family, net, protocol)
	case syscall.SOCK_DGRAM:
		return s.newDatagram(family, net, protocol)
	case syscall.SOCK_RAW:
		return s.newRaw(family, net, protocol)
	}
	if typ < 0 || typ >= sockMax {
		return nil, syscall.EINVAL
	}
	return nil, syscall.ESOCKTNOSUPPORT
}

func networkOf(family int) (tcpip.NetworkProtocolNumber, syscall.Errno) {
	switch family {
	case syscall.AF_INET:
		return ipv4.ProtocolNumber, 0
	case syscall.AF_INET6:
		return ipv6.ProtocolNumber, 0
	}
	return 0, syscall.EAFNOSUPPORT
}

func (s *Stack) newStream(family int, net tcpip.NetworkProtocolNumber, protocol int) (kernel.Socket, syscall.Errno) {
	// A kernel may lack IPPROTO_MPTCP (262), which package net tries first.
	if protocol != 0 && protocol != syscall.IPPROTO_TCP {
		return nil, syscall.EPROTONOSUPPORT
	}
	wq := new(waiter.Queue)
	ep, err := s.stack.NewEndpoint(tcp.ProtocolNumber, net, wq)
	if err != nil {
		return nil, errnoOf(err)
	}
	k := new(streamSocket)
	k.init(s, ep, wq, family, syscall.SOCK_STREAM, syscall.IPPROTO_TCP)
	return k, 0
}

func (s *Stack) newDatagram(family int, net tcpip.NetworkProtocolNumber, protocol int) (kernel.Socket, syscall.Errno) {
	var transport tcpip.TransportProtocolNumber
	switch {
	case protocol == 0 || protocol == syscall.IPPROTO_UDP:
		protocol, transport = syscall.IPPROTO_UDP, udp.ProtocolNumber
	case family == syscall.AF_INET && protocol == syscall.IPPROTO_ICMP:
		transport = icmp.ProtocolNumber4
	case family == syscall.AF_INET6 && protocol == syscall.IPPROTO_ICMPV6:
		transport = icmp.ProtocolNumber6
	default:
		return nil, syscall.EPROTONOSUPPORT
	}
	wq := new(waiter.Queue)
	ep, err := s.stack.NewEndpoint(transport, net, wq)
	if err != nil {
		return nil, errnoOf(err)
	}
	k := new(datagramSocket)
	k.init(s, ep, wq, family, syscall.SOCK_DGRAM, protocol)
	return k, 0
}

func (s *Stack) newRaw(family int, net tcpip.NetworkProtocolNumber, protocol int) (kernel.Socket, syscall.Errno) {
	if protocol <= 0 || protocol > 255 {
		return nil, syscall.EPROTONOSUPPORT
	}
	wq := new(waiter.Queue)
	var ep tcpip.Endpoint
	var err tcpip.Error
	if protocol == syscall.IPPROTO_RAW {
		// raw(7): IPPROTO_RAW only sends, with a header from the program.
		ep, err = s.stack.NewRawEndpoint(tcpip.TransportProtocolNumber(protocol), net, wq, false)
	} else {
		ep, err = raw.NewEndpoint(s.stack, net, tcpip.TransportProtocolNumber(protocol), wq)
	}
	if err != nil {
		return nil, syscall.EPROTONOSUPPORT
	}
	k := &datagramSocket{}
	k.init(s, ep, wq, family, syscall.SOCK_RAW, protocol)
	return k, 0
}

func (k *socket) init(s *Stack, ep tcpip.Endpoint, wq *waiter.Queue, family, typ, protocol int) {
	k.stack = s
	k.family, k.typ, k.protocol = family, typ, protocol
	k.inode = s.inode.Add(1)
	k.attach(ep, wq)
	if k.kind()&(pings|raws) != 0 {
		ep.SocketOptions().SetReuseAddress(true) // INET_PROTOSW_REUSE of Linux's net/ipv4/af_inet.c
	}
	s.socks.add(k)
}

// storedOptions are options that nobody looks at while packets pass.
type storedOptions struct {
	mu            sync.Mutex
	receive, send syscall.Timeval // SO_RCVTIMEO, SO_SNDTIMEO
	multicastIf   tcpip.Address   // interface of IP_MULTICAST_IF
	unpaced       uint64          // SO_MAX_PACING_RATE, inverted: 0 is no limit
	txTime        uint64          // SO_TXTIME
	hasTxTime     bool
	ints          map[optionKey]int32 // what is one int: keep
}

// attach makes ep the socket's endpoint, whose events it hears of.
func (k *socket) attach(ep tcpip.Endpoint, wq *waiter.Queue) {
	e := &endpoint{Endpoint: ep, wq: wq}
	e.entry.Init(k, waiter.AllEvents)
	wq.EventRegister(&e.entry)
	k.current.Store(e)
	if f := k.filter.Load(); f != nil {
		k.stack.filters.use(k, f)
	}
}

// NotifyEvent implements waiter.EventListener. gVisor calls it with locks of
// the endpoint held, and says only "readable" when the peer will send no more.
func (k *socket) NotifyEvent(mask waiter.EventMask) {
	ev := kernel.Events(mask) & allEvents
	if ev&kernel.EventIn != 0 {
		ev |= kernel.EventRdHup
	}
	k.queue.Notify(ev)
}

const allEvents = kernel.EventIn | kernel.EventPri | kernel.EventOut | kernel.EventErr |
	kernel.EventHup | kernel.EventRdHup

// Queue implements kernel.File.
func (k *socket) Queue() *kernel.WaitQueue { return &k.queue }

// Readiness implements kernel.File.
func (k *socket) Readiness() kernel.Events { return k.events() }

// events is what gVisor reports.
func (k *socket) events() kernel.Events {
	return kernel.Events(k.ep().Readiness(waiter.AllEvents)) & allEvents
}

// Stat implements kernel.File.
func (k *socket) Stat(st *syscall.Stat_t) syscall.Errno {
	*st = syscall.Stat_t{Dev: sockfsDev, Ino: k.inode, Nlink: 1, Mode: syscall.S_IFSOCK | 0o777, Blksize: 4096}
	return 0
}

// sockfsDev is the device number of Linux's sockfs on a usual system.
const sockfsDev = 8

// Release implements kernel.File.
func (k *socket) Release() {
	e := k.current.Load()
	e.wq.EventUnregister(&e.entry)
	k.stack.socks.remove(k)
	e.Close()
}

// noteShutdown remembers what shutdown(2) was asked for.
func (k *socket) noteShutdown(how int) (tcpip.ShutdownFlags, syscall.Errno) {
	switch how {
	case syscall.SHUT_RD:
		k.shut.Or(shutRead)
		return tcpip.ShutdownRead, 0
	case syscall.SHUT_WR:
		k.shut.Or(shutWrite)
		return tcpip.ShutdownWrite, 0
	case syscall.SHUT_RDWR:
		k.shut.Or(shutRead | shutWrite)
		return tcpip.ShutdownRead | tcpip.ShutdownWrite, 0
	}
	return 0, syscall.EINVAL
}

// PeerAddr implements kernel.Socket.
func (k *socket) PeerAddr(dst []byte) (int, syscall.Errno) {
	a, err := k.ep().GetRemoteAddress()
	if err != nil {
		return 0, errnoOf(err)
	}
	return encodeSockaddr(k.family, a, dst), 0
}

// lastError returns and clears the pending error, as SO_ERROR does. gVisor keeps the error
// that ended a TCP connection in two places; Linux reports it once.
func (k *socket) lastError() syscall.Errno {
	err := k.ep().LastError()
	if err != nil && k.typ == syscall.SOCK_STREAM && tcp.EndpointState(k.ep().State()) == tcp.StateError {
		_ = k.ep().LastError()
	}
	return errnoOf(err)
}

// socketList has the open sockets.
type socketList struct {
	mu    sync.Mutex
	first *socket
}

func (l *socketList) add(k *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.next = l.first; k.next != nil {
		k.next.prev = k
	}
	l.first = k
}

func (l *socketList) remove(k *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.prev != nil {
		k.prev.next = k.next
	} else if l.first == k {
		l.first = k.next
	}
	if k.next != nil {
		k.next.prev = k.prev
	}
	k.next, k.prev = nil, nil
}

// all returns the open sockets of one type and family.
func (l *socketList) all(family, typ int) []*socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*socket
	for k := l.first; k != nil; k = k.next {
		if k.family == family && k.typ == typ {
			out = append(out, k)
		}
	}
	return out
}
