package netstack

import (
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/yolk-unikernel/yolk/kernel"
)

// socket is the common part of sockets of all types: the gVisor endpoint and its wait queue.
type socket struct {
	stack *Stack
	ep    tcpip.Endpoint
	wq    *waiter.Queue
	entry waiter.Entry
	queue kernel.WaitQueue

	family, typ, protocol int
	inode                 uint64

	stored storedOptions

	// next and prev link the socket into the stack's list, whose lock guards them.
	next, prev *socket
}

// storedOptions are socket options that are only stored. The descriptor layer implements
// timeouts; the others have no effect on one machine.
type storedOptions struct {
	mu            sync.Mutex
	receive, send syscall.Timeval     // SO_RCVTIMEO, SO_SNDTIMEO
	timestamp     atomic.Int32        // 0, SO_TIMESTAMP or SO_TIMESTAMPNS
	multicastIf   tcpip.Address       // interface of IP_MULTICAST_IF
	ints          map[optionKey]int32 // other integers: rememberOption
}

type optionKey struct{ level, name int }

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
		// gVisor delivers raw packets of the protocols that it implements: ICMP, TCP and UDP.
		// Other protocols are refused.
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
	k.stack, k.ep, k.wq = s, ep, wq
	k.family, k.typ, k.protocol = family, typ, protocol
	k.inode = s.inode.Add(1)
	k.entry.Init(k, waiter.AllEvents)
	wq.EventRegister(&k.entry)
	s.socks.add(k)
}

// NotifyEvent implements waiter.EventListener. gVisor calls it with locks of
// the endpoint held.
func (k *socket) NotifyEvent(mask waiter.EventMask) {
	k.queue.Notify(kernel.Events(mask) & allEvents)
}

const allEvents = kernel.EventIn | kernel.EventPri | kernel.EventOut | kernel.EventErr |
	kernel.EventHup | kernel.EventRdHup

// Queue implements kernel.File.
func (k *socket) Queue() *kernel.WaitQueue { return &k.queue }

// Readiness implements kernel.File.
func (k *socket) Readiness() kernel.Events {
	return kernel.Events(k.ep.Readiness(waiter.AllEvents)) & allEvents
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
	k.wq.EventUnregister(&k.entry)
	k.stack.socks.remove(k)
	k.ep.Close()
}

// Bind implements kernel.Socket.
func (k *socket) Bind(addr []byte) syscall.Errno {
	family, ok := sockaddrFamily(addr)
	if ok && family == syscall.AF_UNSPEC && k.family == syscall.AF_INET && len(addr) >= sockaddrInLen {
		// ip(7) does not say so, but bind(2) accepts AF_UNSPEC for AF_INET with the wildcard
		// address.
		if [4]byte(addr[4:8]) != [4]byte{} {
			return syscall.EAFNOSUPPORT
		}
		addr = append([]byte{syscall.AF_INET, 0}, addr[2:sockaddrInLen]...)
	}
	a, e := decodeSockaddr(k.family, addr)
	if e != 0 {
		return e
	}
	if header.IsV6LinkLocalUnicastAddress(a.Addr) && a.NIC == 0 {
		return syscall.EINVAL
	}
	if header.IsV4MappedAddress(a.Addr) && k.ep.SocketOptions().GetV6Only() {
		return syscall.EINVAL
	}
	return errnoOf(k.ep.Bind(a))
}

// Shutdown implements kernel.Socket.
func (k *socket) Shutdown(how int) syscall.Errno {
	var f tcpip.ShutdownFlags
	switch how {
	case syscall.SHUT_RD:
		f = tcpip.ShutdownRead
	case syscall.SHUT_WR:
		f = tcpip.ShutdownWrite
	case syscall.SHUT_RDWR:
		f = tcpip.ShutdownRead | tcpip.ShutdownWrite
	default:
		return syscall.EINVAL
	}
	return errnoOf(k.ep.Shutdown(f))
}

// LocalAddr implements kernel.Socket.
func (k *socket) LocalAddr(dst []byte) (int, syscall.Errno) {
	a, err := k.ep.GetLocalAddress()
	if err != nil {
		return 0, errnoOf(err)
	}
	return encodeSockaddr(k.family, a, dst), 0
}

// PeerAddr implements kernel.Socket.
func (k *socket) PeerAddr(dst []byte) (int, syscall.Errno) {
	a, err := k.ep.GetRemoteAddress()
	if err != nil {
		return 0, errnoOf(err)
	}
	return encodeSockaddr(k.family, a, dst), 0
}

// lastError returns and clears the pending error, as SO_ERROR does. gVisor keeps the error
// that ended a TCP connection in two places; Linux reports it once.
func (k *socket) lastError() syscall.Errno {
	err := k.ep.LastError()
	if err != nil && k.typ == syscall.SOCK_STREAM && tcp.EndpointState(k.ep.State()) == tcp.StateError {
		_ = k.ep.LastError()
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
