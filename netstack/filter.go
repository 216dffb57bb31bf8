package netstack

import (
	"math"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/yolk-unikernel/yolk/netstack/bpf"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file has the filters of Internet sockets: SO_ATTACH_FILTER of socket(7). The interpreter is in
// package bpf, of which this one uses the types alone: only programs that can make system calls of
// their own carry it (UseFilters).

// UseFilters makes SO_ATTACH_FILTER work. It must be called before a program makes sockets.
func (s *Stack) UseFilters(make bpf.Maker) {
	s.filters = &filters{
		attach: func(k *socket, val []byte) syscall.Errno { return k.useNewFilter(make, val) },
		detach: (*socket).dropFilter,
		use:    (*socket).useFilter,
		keeps:  (*socket).keepsOf,
	}
}

// filters has the functions of filters behind function values, so that programs that cannot attach one are
// without them.
type filters struct {
	attach func(k *socket, val []byte) syscall.Errno
	detach func(k *socket) syscall.Errno
	use    func(k *socket, f *bpf.Filter)
	keeps  func(k *socket, f *bpf.Filter, pkt *stack.PacketBuffer) int
}

// filteredEndpoint is an endpoint of the images' copy of gVisor (filter.go in netstack/gvisor/add),
// which asks how many bytes of a packet its reader shall get, -1: it is not wanted.
type filteredEndpoint interface {
	SetFilter(func(*stack.PacketBuffer) int)
}

// attachFilter is SO_ATTACH_FILTER.
func (k *socket) attachFilter(val []byte) syscall.Errno {
	if k.stack.filters == nil {
		return refuseFilter(k, val)
	}
	return k.stack.filters.attach(k, val)
}

func (k *socket) useNewFilter(make bpf.Maker, val []byte) syscall.Errno {
	if _, ok := k.ep().(filteredEndpoint); !ok {
		return refuseFilter(k, val)
	}
	f, e := make(val, k.filterLocked(), k.filter.Load())
	if e != 0 {
		return e
	}
	k.filter.Store(f)
	k.useFilter(f)
	return 0
}

// detachFilter is SO_DETACH_FILTER.
func (k *socket) detachFilter(int) syscall.Errno {
	switch {
	case k.filterLocked():
		return syscall.EPERM
	case k.stack.filters == nil:
		return syscall.ENOENT
	}
	return k.stack.filters.detach(k)
}

func (k *socket) dropFilter() syscall.Errno {
	if k.filter.Swap(nil) == nil {
		return syscall.ENOENT
	}
	k.useFilter(nil)
	return 0
}

// lockFilter is SO_LOCK_FILTER, which cannot be taken back.
func (k *socket) lockFilter(v int) syscall.Errno {
	if v == 0 && k.filterLocked() {
		return syscall.EPERM
	}
	k.keep(optionKey{syscall.SOL_SOCKET, solsocket.LockFilter}, v)
	return 0
}

func (k *socket) filterLocked() bool {
	return k.kept(optionKey{syscall.SOL_SOCKET, solsocket.LockFilter}, 0) != 0
}

// getFilter is SO_GET_FILTER.
func (k *socket) getFilter(dst []byte) (int, syscall.Errno) { return k.filter.Load().Get(dst) }

// filterExtensions is SO_BPF_EXTENSIONS: how many bytes of offsets there are for metadata, SKF_AD_MAX.
func (k *socket) filterExtensions() (int, syscall.Errno) {
	if k.stack.filters == nil {
		return 0, syscall.ENOPROTOOPT
	}
	return bpf.MetadataEnd, 0
}

// useFilter makes the endpoint ask f, which may be nil. A connection that waits for accept(2) keeps
// the filter that its listener had when it came, so the function is f's, not the socket's.
func (k *socket) useFilter(f *bpf.Filter) {
	ep, ok := k.ep().(filteredEndpoint)
	switch {
	case !ok:
	case k.kind() != streams:
		ep.SetFilter(k.keeps)
	case f == nil:
		ep.SetFilter(nil)
	default:
		ep.SetFilter(func(pkt *stack.PacketBuffer) int {
			h := len(pkt.TransportHeader().Slice())
			return leastAfter(runFilter(f, pkt, false), h, h)
		})
	}
}

// keeps is the filter of a socket for datagrams: those of multicast groups and of types of ICMP, and
// then the program's.
func (k *socket) keeps(pkt *stack.PacketBuffer) int {
	if !k.wanted(pkt) {
		return -1
	}
	if f := k.filter.Load(); f != nil {
		return k.stack.filters.keeps(k, f, pkt)
	}
	return math.MaxInt
}

// keepsOf is the program's. The data of UDP begin after the header that it sees; that is never cut
// (sk_filter_trim_cap in Linux's net/core/filter.c).
func (k *socket) keepsOf(f *bpf.Filter, pkt *stack.PacketBuffer) int {
	switch k.kind() {
	case udps:
		n := leastAfter(runFilter(f, pkt, false), header.UDPMinimumSize, header.UDPMinimumSize)
		if n < 0 {
			k.filtered.Add(1)
			k.stack.stack.Stats().UDP.MalformedPacketsReceived.Increment() // only for InErrors of /proc/net/snmp
		}
		return n
	case raws:
		return leastAfter(runFilter(f, pkt, k.family == syscall.AF_INET), 1, 0)
	}
	return leastAfter(runFilter(f, pkt, false), 1, 0)
}

// leastAfter turns a program's result into the number of bytes that are kept after a header, -1 for none.
// At least as many bytes as least remain of a packet that is wanted.
func leastAfter(result uint32, least, header int) int {
	if result == 0 {
		return -1
	}
	return max(int(result), least) - header
}

// filterRun is what one run of a program needs.
type filterRun struct {
	packet bpf.Packet
	parts  [8][]byte
	link   [header.EthernetMinimumSize]byte
}

var filterRuns = sync.Pool{New: func() any { return new(filterRun) }}

// runFilter runs a program on a packet, from the network header or from the transport header on.
func runFilter(f *bpf.Filter, pkt *stack.PacketBuffer, fromNetwork bool) uint32 {
	r := filterRuns.Get().(*filterRun)
	r.describe(pkt, fromNetwork)
	n := f.Run(&r.packet)
	clear(r.parts[:])
	r.packet.Parts = nil
	filterRuns.Put(r)
	return n
}

// describe fills in the packet. One of "lo" has a header of zeros, as on Linux.
func (r *filterRun) describe(pkt *stack.PacketBuffer, fromNetwork bool) {
	p := &r.packet
	link := len(pkt.LinkHeader().Slice())
	*p = bpf.Packet{
		Parts: r.parts[:0], Network: link, Protocol: uint16(pkt.NetworkProtocolNumber), Type: linuxPacketType(pkt.PktType),
		Interface: int(pkt.NICID), Hardware: hardwareType(pkt.NICID),
	}
	if link == 0 {
		clear(r.link[:])
		header.Ethernet(r.link[:]).Encode(&header.EthernetFields{Type: pkt.NetworkProtocolNumber})
		p.Parts, p.Network = append(p.Parts, r.link[:]), len(r.link)
	}
	views, skip := pkt.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		p.Parts, skip = appendPart(p.Parts, v, skip)
	}
	p.Start = p.Network
	if !fromNetwork {
		p.Start += len(pkt.NetworkHeader().Slice())
	}
}

func hardwareType(id tcpip.NICID) uint16 {
	if id == loopbackNIC {
		return arphrdLoopback
	}
	return arphrdEther
}

// linuxPacketType returns the number of packet(7).
func linuxPacketType(t tcpip.PacketType) uint8 {
	switch t {
	case tcpip.PacketBroadcast:
		return bpf.Broadcast
	case tcpip.PacketMulticast:
		return bpf.Multicast
	case tcpip.PacketOtherHost:
		return bpf.ToOtherHost
	case tcpip.PacketOutgoing:
		return bpf.Outgoing
	}
	return bpf.ToHost
}
