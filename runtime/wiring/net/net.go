// Package net brings the network up: virtio-net cards, gVisor's stack, the
// socket families. It is linked into programs that link the standard package
// net, and initialises after the kernel and before any package of the program,
// so that a Dial in an init function already has its address.
//
// Start reading at Start.
package net

import (
	"bytes"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/netlink"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/calls"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
)

// addressWait is how long the program waits for an address at its start; DHCP
// goes on in the background after that.
const addressWait = 5 * time.Second

// ipv6Delay is how long after its addresses are configured a card starts IPv6,
// where no ip6= word asks for it: by then a small server answers.
const ipv6Delay = 500 * time.Millisecond

func init() { Start() }

// Stack and Netlink are the machine's, for package netcalls.
var (
	Stack   *netstack.Stack
	Netlink *netlink.Family
)

// Start brings the network of the machine up. It is called once; tests have several machines.
func Start() {
	words := wiring.AllWords()
	total, _ := wiring.Memory()
	cpus := wiring.CPUs()
	s := netstack.New(netstack.Config{
		Random:      entropy{},
		Nanotime:    wiring.Nanotime,
		Memory:      total,
		CPUs:        cpus,
		OnStack:     wiring.OnStack,
		Hostname:    hostname(),
		DisableIPv6: netstack.IPv6Off(words),
		IPv6Delay:   ipv6Delay,
		Log:         wiring.Kernel.Log,
	})
	Stack = s
	registerSockets(s)
	registerFiles(s)
	wiring.OnResume(s.Resume)
	for _, c := range devices.Cards() {
		addCard(s, c)
	}
	if len(s.Interfaces()) == 1 {
		return // no card: loopback only
	}
	if err := s.Configure(words, addressWait); err != nil {
		wiring.Kernel.Log(err.Error())
	}
	if name := s.Hostname(); name != "" && len(wiring.Words("hostname=")) == 0 {
		setHostname(name)
	}
}

// addCard gives the stack a card, which the program may take back (package cards).
func addCard(s *netstack.Stack, c devices.Card) {
	n, err := openNIC(c)
	if err != nil {
		wiring.Kernel.Log(c.Name + " (" + c.Location + "): " + err.Error())
		return
	}
	l, errno := s.AddNIC(n, c.Name)
	if errno != 0 {
		wiring.Kernel.Log(c.Name + ": " + errno.Error())
		return
	}
	c.Claim(devices.Stack, func() error {
		s.RemoveNIC(l)
		return n.close()
	})
}

func registerSockets(s *netstack.Stack) {
	k := wiring.Kernel
	s.RegisterSockets(k.RegisterSocketFamily)
	n := netlink.New(routes{s}, 1)
	Netlink = n
	s.OnChange(n.Changed)
	k.RegisterSocketFamily(syscall.AF_NETLINK, n.Socket)
}

// registerFiles gives the resolver and readers of /proc and /sys their files.
func registerFiles(s *netstack.Stack) {
	wiring.Kernel.SetFile("/etc/resolv.conf", s.ResolvConf)
	wiring.Kernel.SetFiles("/proc/net", s.Tables(map[string]func() []byte{"unix": calls.UnixSockets().Proc}))
	wiring.Kernel.SetFiles("/proc/sys/net", s.Settings())
	wiring.Kernel.SetFiles("/sys/class/net", s.Classes())
}

func hostname() string {
	if w := wiring.Words("hostname="); len(w) > 0 {
		return w[len(w)-1]
	}
	return ""
}

func setHostname(name string) {
	b := []byte(name)
	a := kernel.Args{N: [6]uintptr{uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))}}
	a.P[0] = unsafe.Pointer(&b[0])
	wiring.Kernel.Dispatch(syscall.SYS_SETHOSTNAME, a)
}

// entropy is the machine's generator as an io.Reader.
type entropy struct{}

func (entropy) Read(p []byte) (int, error) { return wiring.Random(p) }

// routes is what netlink tells of the stack.
type routes struct{ s *netstack.Stack }

// Interfaces is netlink.Source's.
func (r routes) Interfaces() []netlink.Interface {
	var list []netlink.Interface
	for _, i := range r.s.Interfaces() {
		list = append(list, netlinkInterface(i))
	}
	return list
}

func netlinkInterface(i netstack.InterfaceInfo) netlink.Interface {
	n := netlink.Interface{
		Index: i.Index, Name: i.Name, MTU: i.MTU, Flags: i.Flags,
		Type: i.Type, QueueLength: i.QueueLength, Kind: i.Virtual,
		HardwareAddr: i.HardwareAddr, Broadcast: bytes.Repeat([]byte{255}, len(i.HardwareAddr)),
		Stats: netlink.Stats{
			ReceivedPackets: i.Stats.RxPackets, ReceivedBytes: i.Stats.RxBytes,
			ReceiveErrors: i.Stats.RxErrors, ReceiveDropped: i.Stats.RxDropped,
			SentPackets: i.Stats.TxPackets, SentBytes: i.Stats.TxBytes,
			SendErrors: i.Stats.TxErrors, SendDropped: i.Stats.TxDropped,
		},
	}
	if i.Flags&syscall.IFF_LOOPBACK != 0 {
		n.Broadcast = make([]byte, 6)
	}
	for _, a := range i.Addrs {
		n.Addresses = append(n.Addresses, netlinkAddress(a))
	}
	return n
}

func netlinkAddress(a netstack.InterfaceAddr) netlink.Address {
	n := netlink.Address{Prefix: netip.PrefixFrom(a.Addr, a.Bits), Temporary: !a.Permanent, Scope: syscall.RT_SCOPE_UNIVERSE}
	switch {
	case a.Addr.IsLoopback():
		n.Scope = syscall.RT_SCOPE_HOST
	case a.Addr.IsLinkLocalUnicast():
		n.Scope = syscall.RT_SCOPE_LINK
	case a.Addr.Is4() && a.Bits < 31:
		b := a.Addr.As4()
		for bit := a.Bits; bit < 32; bit++ {
			b[bit/8] |= 0x80 >> (bit % 8)
		}
		n.Broadcast = netip.AddrFrom4(b)
	}
	return n
}

// Routes is netlink.Source's.
func (r routes) Routes() []netlink.Route {
	var list []netlink.Route
	for _, x := range r.s.Routes() {
		n := netlink.Route{Destination: x.Destination, Gateway: x.Gateway, Source: x.Source,
			Interface: x.Interface, Protocol: x.Protocol, Scope: x.Scope, Priority: x.Metric}
		list = append(list, n)
	}
	return list
}

// Neighbors is netlink.Source's.
func (r routes) Neighbors() []netlink.Neighbor {
	var list []netlink.Neighbor
	for _, n := range r.s.Neighbors() {
		list = append(list, netlink.Neighbor{Interface: n.Interface, Addr: n.Addr, HardwareAddr: n.HardwareAddr, State: n.State})
	}
	return list
}
