package netstack

import (
	"net/netip"
	"slices"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// InterfaceInfo describes an interface to netlink, ioctl and /proc.
type InterfaceInfo struct {
	Index        int
	Name         string
	MTU          int
	Type         uint16 // ARPHRD_*, netdevice(7)
	HardwareAddr []byte // 6 bytes; all zero for "lo"; none for a card whose frames are IP packets
	Flags        uint32 // IFF_*, netdevice(7)
	QueueLength  int    // txqueuelen
	Virtual      string // what the card is if it is no hardware: NICInfo.Virtual
	Addrs        []InterfaceAddr
	Stats        InterfaceStats
}

// InterfaceAddr is one address with its prefix length.
type InterfaceAddr struct {
	Addr netip.Addr
	Bits int
	// Permanent reports that the address was configured, not leased or advertised.
	Permanent bool
	// Tentative reports that duplicate address detection is running.
	Tentative bool
}

// InterfaceStats are the counters of /proc/net/dev.
type InterfaceStats struct {
	RxPackets, RxBytes, RxErrors, RxDropped uint64
	TxPackets, TxBytes, TxErrors, TxDropped uint64
}

// RouteInfo is one row of the routing table.
type RouteInfo struct {
	Destination netip.Prefix
	Gateway     netip.Addr // invalid: the destination is on the link
	Source      netip.Addr // preferred source; invalid: none
	Interface   int        // index
	RouteAttributes
}

// Interfaces returns the interfaces in the order of their indexes.
func (s *Stack) Interfaces() []InterfaceInfo {
	infos := s.stack.NICInfo()
	ids := make([]int, 0, len(infos))
	for id := range infos {
		ids = append(ids, int(id))
	}
	slices.Sort(ids) // not by slices.SortFunc, whose code for this type is 20 KB
	out := make([]InterfaceInfo, len(ids))
	for i, id := range ids {
		info := infos[tcpip.NICID(id)]
		out[i] = s.interfaceInfo(tcpip.NICID(id), &info)
	}
	return out
}

func (s *Stack) interfaceInfo(id tcpip.NICID, info *stack.NICInfo) InterfaceInfo {
	i := InterfaceInfo{
		Index: int(id),
		Name:  info.Name,
		MTU:   int(info.MTU),
	}
	l := s.linkByID(id)
	i.describe(l)
	copy(i.HardwareAddr, info.LinkAddress)
	if info.Flags.Running {
		i.Flags |= syscall.IFF_UP
		if l == nil || !l.noCarrier.Load() {
			i.Flags |= syscall.IFF_RUNNING
		}
	}
	for _, a := range info.ProtocolAddresses {
		if addr, ok := addrOf(a.AddressWithPrefix.Address); ok {
			i.Addrs = append(i.Addrs, InterfaceAddr{Addr: addr, Bits: a.AddressWithPrefix.PrefixLen, Permanent: true})
		}
	}
	i.Stats = interfaceStats(l, info)
	return i
}

// describe says what kind of interface it is: that of the link, or "lo" if that is nil.
func (i *InterfaceInfo) describe(l *Link) {
	i.HardwareAddr = make([]byte, header.EthernetAddressSize)
	i.QueueLength = maxQueuedPackets
	switch {
	case l == nil:
		i.Type, i.Flags = arphrdLoopback, syscall.IFF_LOOPBACK
		return
	case l.info.Bare:
		i.Type, i.Flags = syscall.ARPHRD_NONE, syscall.IFF_POINTOPOINT|syscall.IFF_NOARP|syscall.IFF_MULTICAST
		i.HardwareAddr = nil
	default:
		i.Type, i.Flags = arphrdEther, syscall.IFF_BROADCAST|syscall.IFF_MULTICAST
	}
	i.QueueLength, i.Virtual = l.info.QueueLength, l.info.Virtual
}

// interfaceStats returns the counters of the link, or gVisor's for "lo", which has none.
func interfaceStats(l *Link, info *stack.NICInfo) InterfaceStats {
	if l != nil {
		c := &l.stats
		return InterfaceStats{
			RxPackets: c.rxPackets.Load(), RxBytes: c.rxBytes.Load(),
			RxErrors: c.rxErrors.Load(), RxDropped: c.rxDropped.Load(),
			TxPackets: c.txPackets.Load(), TxBytes: c.txBytes.Load(), TxDropped: c.txDropped.Load(),
		}
	}
	return InterfaceStats{
		RxPackets: info.Stats.Rx.Packets.Value(), RxBytes: info.Stats.Rx.Bytes.Value(),
		TxPackets: info.Stats.Tx.Packets.Value(), TxBytes: info.Stats.Tx.Bytes.Value(),
	}
}

// Routes returns the routing table, most specific destinations first.
func (s *Stack) Routes() []RouteInfo {
	var out []RouteInfo
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	for _, r := range s.stack.GetRouteTable() {
		id := r.Destination.ID()
		dst, ok := addrOf(id)
		if !ok {
			continue
		}
		info := RouteInfo{Destination: netip.PrefixFrom(dst, r.Destination.Prefix()), Interface: int(r.NIC)}
		info.RouteAttributes, _ = s.routes.attributes(&r)
		if gw, ok := addrOf(r.Gateway); ok {
			info.Gateway = gw
		}
		if src, ok := addrOf(r.SourceHint); ok {
			info.Source = src
		}
		out = append(out, info)
	}
	return out
}

func addrOf(a tcpip.Address) (netip.Addr, bool) { return netip.AddrFromSlice(a.AsSlice()) }

func tcpipAddr(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func (s *Stack) linkByID(id tcpip.NICID) *Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if l.id == id {
			return l
		}
	}
	return nil
}

func (s *Stack) interfaceByName(name string) (tcpip.NICID, bool) {
	if name == "lo" {
		return loopbackNIC, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if l.Name() == name {
			return l.id, true
		}
	}
	return 0, false
}

// multicastNIC chooses the interface for a group without one: that of the group's route, or
// else the first card, or else "lo".
func (s *Stack) multicastNIC(group tcpip.Address) tcpip.NICID {
	net := header.IPv4ProtocolNumber
	if group.Len() == header.IPv6AddressSize {
		net = header.IPv6ProtocolNumber
	}
	if r, err := s.stack.FindRoute(0, tcpip.Address{}, group, net, false); err == nil {
		defer r.Release()
		return r.NICID()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.links) != 0 {
		return s.links[0].id
	}
	return loopbackNIC
}
