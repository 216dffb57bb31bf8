// Package netstack joins gVisor's TCP/IP stack (gvisor.dev/gvisor/pkg/tcpip) to the rest of
// yolk: below it a network card (NIC, link.go), above it the sockets of the system call layer
// (kernel.Socket, socket.go), beside it the configuration that a Linux system would get from
// its init scripts (DHCPv4 per RFC 2131, the ip= words of the kernel command line, IPv6
// SLAAC).
//
// It adds no goroutine between a packet and gVisor, has no running timer while the system is
// idle, and copies no packet but small ones. docs/packet.md follows one packet through it; docs/network.md
// describes how a machine gets its address.
//
// Start reading at New, then Link.Receive and Link.WritePacket, then
// streamSocket.Read.
package netstack

import (
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gvlog "gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/yolk-unikernel/yolk/kernel"
)

// loopbackNIC is the index of "lo"; other cards follow from 2, as on Linux.
const loopbackNIC tcpip.NICID = 1

// Config is what a Stack needs of the machine. The zero value works on a
// hosted Go program.
type Config struct {
	// Random is a cryptographically secure source for initial sequence numbers, ports and
	// DHCP transaction ids. If nil, it is getrandom(2).
	Random io.Reader
	// Nanotime is the monotonic clock in nanoseconds. If nil, package time is used.
	Nanotime func() int64
	// Memory is the size of RAM in bytes; it bounds what the stack holds for its peers
	// (memory.go). 0: no bound.
	Memory uint64
	// CPUs is their number, for /proc/net/softnet_stat; 0 is one.
	CPUs int
	// OnStack reports whether b, which is not empty, lies in the calling goroutine's stack.
	// Such memory moves when the stack grows, so the socket layer passes it through a bounce
	// buffer to gVisor, which keeps it in the heap during the call. If nil, a conservative
	// guess is used, which is correct but slower.
	OnStack func(b []byte) bool
	// Hostname is sent to the DHCP server (option 12). May be empty.
	Hostname string
	// DisableIPv6 disables IPv6 on every card but "lo".
	DisableIPv6 bool
	// IPv6Delay is how long after Configure cards start IPv6, unless an ip6= word asks for
	// it: a program's start should not wait for a link-local address, group memberships and
	// router solicitations. RFC 4861 §6.3.7 has hosts wait up to a second. If 0, IPv6 starts
	// with the card.
	IPv6Delay time.Duration
	// Log receives one line per event that a person should see; may be nil.
	Log func(line string)
}

// A Stack is one TCP/IP stack with its cards, addresses and sockets.
type Stack struct {
	cfg   Config
	stack *stack.Stack

	mu      sync.Mutex
	links   []*Link     // guarded by mu
	lastNIC tcpip.NICID // highest index of a card so far; guarded by mu
	// groups are the multicast groups that sockets may be in, and groupsLive is their number
	// after the last cleanup (noteGroup). mu guards both.
	groups     []netip.Addr
	groupsLive int
	net        netState
	routes     routeTable
	setByIoctl func(req uintptr, a *kernel.Args) syscall.Errno // see AllowIoctls
	changes    sync.Mutex                                      // held while a program changes the network (change.go)
	// options are those of addresses that programs have added; guarded by changes.
	options map[tcpip.NICID]map[tcpip.Address]AddressOptions
	ndp     ndpEvents
	inode   atomic.Uint64
	// smallestMTU is the least MTU of any card so far, in bytes.
	smallestMTU atomic.Uint32

	// socks has the open sockets for /proc/net.
	socks socketList
	// filters are those of SO_ATTACH_FILTER; nil: there are none.
	filters  *filters
	loopback countedLoopback
	watch    watchers
}

// New makes a stack with the loopback interface up and nothing else.
func New(cfg Config) *Stack {
	s := &Stack{cfg: cfg}
	s.ndp.s, s.ndp.routes.s = s, s
	if s.cfg.OnStack == nil {
		s.cfg.OnStack = nearStack
	}
	s.inode.Store(firstInode)
	s.smallestMTU.Store(maxIPPacket)
	quietGVisor.Do(func() { gvlog.SetTarget(noLog{}) })
	s.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocolWithOptions(ipv4.Options{IGMP: ipv4.IGMPOptions{Enabled: true}}),
			ipv6.NewProtocolWithOptions(s.ipv6Options()),
			arp.NewProtocol,
		},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		Clock:       newClock(cfg.Nanotime),
		SecureRNG:   cfg.Random,
		RandSource:  fastRandom{},
		HandleLocal: true,
		RawFactory:  raw.EndpointFactory{},
		// Empty tables are never modified, so never consulted, and not built.
		IPTables: new(stack.IPTables),
	})
	s.tune()
	s.bound()
	s.addLoopback()
	return s
}

// addLoopback brings "lo" up. It can only fail if this code is wrong.
func (s *Stack) addLoopback() {
	s.loopback.LinkEndpoint, s.loopback.watch = loopback.New(), &s.watch
	must(s.stack.CreateNICWithOptions(loopbackNIC, &s.loopback, stack.NICOptions{Name: "lo", Disabled: true}))
	s.configureNDP(loopbackNIC, ipv6.NDPConfigurations{}) // no routers to ask for
	must(s.stack.EnableNIC(loopbackNIC))
	v4 := tcpip.AddressWithPrefix{Address: header.IPv4Loopback, PrefixLen: 8}
	v6 := tcpip.AddressWithPrefix{Address: header.IPv6Loopback, PrefixLen: 128}
	for _, a := range []tcpip.ProtocolAddress{
		{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: v4},
		{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: v6},
	} {
		must(s.stack.AddProtocolAddress(loopbackNIC, a, stack.AddressProperties{}))
		s.addRouteEntry(tcpip.Route{Destination: a.AddressWithPrefix.Subnet(), NIC: loopbackNIC})
	}
}

// These are Linux's net.ipv4.tcp_rmem, tcp_wmem and net.core.rmem_default, which programs and
// their tests expect; docs/network.md explains their meaning here.
const (
	tcpMinBuffer     = 4 << 10
	tcpDefaultBuffer = 128 << 10
	tcpMaxReceive    = 6 << 20
	tcpMaxSend       = 4 << 20
	udpDefaultBuffer = 212992
	udpMaxBuffer     = 4 << 20
	// firstEphemeral and lastEphemeral are net.ipv4.ip_local_port_range.
	firstEphemeral, lastEphemeral = 32768, 60999
	// smallMemory is the size of memory up to which TIME_WAIT is shorter: 60 s of it at 1,000
	// connections per second would need more memory than such a machine has.
	smallMemory   = 64 << 20
	shortTimeWait = 5 * time.Second
)

func (s *Stack) tune() {
	st := s.stack
	recv := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcpMinBuffer, Default: tcpDefaultBuffer, Max: s.share(tcpMaxReceive)}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcpMinBuffer, Default: tcpDefaultBuffer, Max: s.share(tcpMaxSend)}
	must(st.SetTransportProtocolOption(tcp.ProtocolNumber, &recv))
	must(st.SetTransportProtocolOption(tcp.ProtocolNumber, &send))
	// Nagle's algorithm is on until TCP_NODELAY, as on Linux.
	delay := tcpip.TCPDelayEnabled(true)
	must(st.SetTransportProtocolOption(tcp.ProtocolNumber, &delay))
	if m := s.cfg.Memory; m != 0 && m <= smallMemory {
		wait := tcpip.TCPTimeWaitTimeoutOption(shortTimeWait)
		must(st.SetTransportProtocolOption(tcp.ProtocolNumber, &wait))
	}
	must(st.SetOption(tcpip.SendBufferSizeOption{Min: tcpMinBuffer, Default: udpDefaultBuffer, Max: udpMaxBuffer}))
	must(st.SetOption(tcpip.ReceiveBufferSizeOption{Min: tcpMinBuffer, Default: udpDefaultBuffer, Max: udpMaxBuffer}))
	must(st.SetPortRange(firstEphemeral, lastEphemeral))
}

// share bounds a buffer maximum by a sixteenth of the memory.
func (s *Stack) share(limit int) int {
	if m := s.cfg.Memory / 16; m != 0 && m < uint64(limit) {
		return max(int(m), tcpDefaultBuffer)
	}
	return limit
}

// noteMTU keeps the smallest MTU, for datagrams that may not be fragmented.
func (s *Stack) noteMTU(mtu uint32) {
	for {
		least := s.smallestMTU.Load()
		if mtu >= least || s.smallestMTU.CompareAndSwap(least, mtu) {
			return
		}
	}
}

// AddNIC attaches a card under the given name ("eth0"), brings it up without
// an address and starts it.
func (s *Stack) AddNIC(nic NIC, name string) (*Link, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastNIC = max(s.lastNIC, loopbackNIC) + 1
	l := newLink(nic, name, s.lastNIC, &s.watch)
	err := s.stack.CreateNICWithOptions(l.id, l, stack.NICOptions{Name: name, QDisc: l, Disabled: true})
	if err != nil {
		return nil, errnoOf(err)
	}
	s.links = append(s.links, l)
	s.noteMTU(l.MTU())
	nic.Start(l)
	if s.cfg.IPv6Delay > 0 {
		s.postponeIPv6(l)
	}
	if err := s.stack.EnableNIC(l.id); err != nil {
		return nil, errnoOf(err)
	}
	if s.cfg.IPv6Delay == 0 {
		s.enableIPv6(l)
	}
	return l, 0
}

// RegisterSockets passes the factories for AF_INET and AF_INET6 to register.
func (s *Stack) RegisterSockets(register func(family int, f kernel.SocketFactory)) {
	for _, family := range []int{syscall.AF_INET, syscall.AF_INET6} {
		register(family, func(typ, protocol int) (kernel.Socket, syscall.Errno) {
			return s.NewSocket(family, typ, protocol)
		})
	}
}

// Close stops the stack's goroutines; for tests.
func (s *Stack) Close() {
	s.stopConfig()
	s.stack.Close()
}

// noLog drops gVisor's own messages: the standard error output belongs to the program.
type noLog struct{}

// Emit implements log.Emitter.
func (noLog) Emit(int, gvlog.Level, time.Time, string, ...any) {}

var quietGVisor sync.Once

func (s *Stack) log(parts ...string) {
	if s.cfg.Log == nil {
		return
	}
	line := "net: "
	for _, p := range parts {
		line += p
	}
	s.cfg.Log(line)
}

func must(err tcpip.Error) {
	if err != nil {
		panic("netstack: " + err.String())
	}
}
