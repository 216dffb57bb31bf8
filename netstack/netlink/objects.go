package netlink

import (
	"math"
	"net/netip"
	"syscall"
)

// These are attributes that package syscall lacks: linux/if_link.h, linux/if_addr.h,
// linux/neighbour.h.
const (
	iflaStats64     = 23
	iflaLinkInfo    = 18
	infoKind        = 1 // IFLA_INFO_KIND, in IFLA_LINKINFO
	iflaGroup       = 27
	iflaPromiscuity = 30
	iflaTxQueues    = 31
	iflaRxQueues    = 32
	iflaCarrier     = 33
	ifaFlags        = 8
	ndaDst          = 1
	ndaLladdr       = 2
)

// These are operational states: RFC 2863, with the numbers of linux/if.h.
const (
	operUnknown = 0
	operDown    = 2
	operUp      = 6
)

// link adds an RTM_NEWLINK message.
func (a *answer) link(i *Interface, flags uint16) {
	a.message(syscall.RTM_NEWLINK, flags, a.r.seq, a.port)
	a.u8(syscall.AF_UNSPEC, 0)
	a.u16(i.Type)
	a.u32(uint32(i.Index))
	a.u32(i.Flags)
	a.u32(0) // change mask
	a.attributeString(syscall.IFLA_IFNAME, i.Name)
	a.attribute32(syscall.IFLA_TXQLEN, uint32(i.QueueLength))
	a.attribute8(syscall.IFLA_OPERSTATE, operState(i))
	a.attribute8(syscall.IFLA_LINKMODE, 0)
	a.attribute32(syscall.IFLA_MTU, uint32(i.MTU))
	a.attribute32(iflaGroup, 0)
	a.attribute32(iflaPromiscuity, 0)
	a.attribute32(iflaTxQueues, 1)
	a.attribute32(iflaRxQueues, 1)
	a.attribute8(iflaCarrier, uint8(i.Flags&syscall.IFF_RUNNING/syscall.IFF_RUNNING))
	a.attributeString(syscall.IFLA_QDISC, "noqueue")
	if len(i.HardwareAddr) > 0 {
		a.attribute(syscall.IFLA_ADDRESS, i.HardwareAddr)
		a.attribute(syscall.IFLA_BROADCAST, i.Broadcast)
	}
	a.stats(&i.Stats)
	if i.Kind != "" {
		a.linkInfo(i.Kind)
	}
}

// linkInfo adds what an interface without hardware is.
func (a *answer) linkInfo(kind string) {
	var nested encoder
	nested.attributeString(infoKind, kind)
	a.attribute(iflaLinkInfo, nested.buf)
}

// operState is unknown where nothing but the card's being there says that it works.
func operState(i *Interface) uint8 {
	switch {
	case i.Flags&syscall.IFF_LOOPBACK != 0:
		return operUnknown
	case i.Flags&syscall.IFF_RUNNING == 0:
		return operDown
	case i.Kind != "":
		return operUnknown
	}
	return operUp
}

// stats adds the counters with 64 and with 32 bits: struct rtnl_link_stats64 (25 counters since
// Linux 6.0) and struct rtnl_link_stats (24).
func (a *answer) stats(s *Stats) {
	c := [25]uint64{s.ReceivedPackets, s.SentPackets, s.ReceivedBytes, s.SentBytes,
		s.ReceiveErrors, s.SendErrors, s.ReceiveDropped, s.SendDropped, s.Multicast}
	a.u16(attributeSize + 25*8)
	a.u16(iflaStats64)
	for _, v := range c {
		a.u64(v)
	}
	a.u16(attributeSize + 24*4)
	a.u16(syscall.IFLA_STATS)
	for _, v := range c[:24] {
		a.u32(uint32(v))
	}
}

// address adds an RTM_NEWADDR message.
func (a *answer) address(i *Interface, addr *Address) {
	ip := addr.Prefix.Addr()
	flags := uint8(syscall.IFA_F_PERMANENT)
	if addr.Temporary {
		flags = 0
	}
	a.message(syscall.RTM_NEWADDR, syscall.NLM_F_MULTI, a.r.seq, a.port)
	a.u8(familyOf(ip), uint8(addr.Prefix.Bits()), flags, addr.Scope)
	a.u32(uint32(i.Index))
	a.attribute(syscall.IFA_ADDRESS, ip.AsSlice())
	if ip.Is4() {
		a.attribute(syscall.IFA_LOCAL, ip.AsSlice())
		if addr.Broadcast.Is4() {
			a.attribute(syscall.IFA_BROADCAST, addr.Broadcast.AsSlice())
		}
		a.attributeString(syscall.IFA_LABEL, i.Name)
	}
	a.attribute32(ifaFlags, uint32(flags))
	a.lifetimes()
}

// lifetimes adds struct ifa_cacheinfo: valid forever, created at the start.
func (a *answer) lifetimes() {
	a.u16(attributeSize + 16)
	a.u16(syscall.IFA_CACHEINFO)
	a.u32(math.MaxUint32) // preferred
	a.u32(math.MaxUint32) // valid
	a.u32(0)
	a.u32(0)
}

// route adds an RTM_NEWROUTE message.
func (a *answer) route(r *Route, kind uint8, rtmFlags uint32, flags uint16) {
	table := uint8(syscall.RT_TABLE_MAIN)
	if kind == syscall.RTN_LOCAL {
		table = syscall.RT_TABLE_LOCAL
	}
	dst := r.Destination
	a.message(syscall.RTM_NEWROUTE, flags, a.r.seq, a.port)
	a.u8(familyOf(dst.Addr()), uint8(dst.Bits()), 0, 0, table, r.Protocol, r.Scope, kind)
	a.u32(rtmFlags)
	a.attribute32(syscall.RTA_TABLE, uint32(table))
	if dst.Bits() > 0 {
		a.attribute(syscall.RTA_DST, dst.Addr().AsSlice())
	}
	a.optional(syscall.RTA_GATEWAY, r.Gateway)
	a.attribute32(syscall.RTA_OIF, uint32(r.Interface))
	if r.Priority != 0 {
		a.attribute32(syscall.RTA_PRIORITY, r.Priority)
	}
	a.optional(syscall.RTA_PREFSRC, r.Source)
}

func (a *answer) optional(typ uint16, addr netip.Addr) {
	if addr.IsValid() {
		a.attribute(typ, addr.AsSlice())
	}
}

// neighbor adds an RTM_NEWNEIGH message.
func (a *answer) neighbor(n *Neighbor) {
	a.message(syscall.RTM_NEWNEIGH, syscall.NLM_F_MULTI, a.r.seq, a.port)
	a.u8(familyOf(n.Addr), 0, 0, 0)
	a.u32(uint32(n.Interface))
	a.u16(n.State)
	a.u8(0, syscall.RTN_UNICAST)
	a.attribute(ndaDst, n.Addr.AsSlice())
	if len(n.HardwareAddr) > 0 {
		a.attribute(ndaLladdr, n.HardwareAddr)
	}
}
