package netlink

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// NewRoute is a route to be added. Its Interface may be 0 if there is a gateway.
type NewRoute struct {
	Route
	OnLink bool // the gateway is on the link, whatever the routes say
}

// Attributes and flags of linux/rtnetlink.h.
const (
	rtaMark      = 16
	rtaVia       = 18
	rtaNewDst    = 19
	rtaPref      = 20
	rtaEncapType = 21
	rtaEncap     = 22
	rtaExpires   = 23
	rtaNexthopID = 30
	onLink       = 4  // RTNH_F_ONLINK
	deadOrDown   = 17 // RTNH_F_DEAD, RTNH_F_LINKDOWN
	lastType     = 11 // RTN_MAX
)

// changeRoute is RTM_NEWROUTE and RTM_DELROUTE: struct rtmsg.
func (a *write) changeRoute() syscall.Errno {
	b := a.r.body()
	if len(b) < routeSize {
		return syscall.EINVAL
	}
	if family := b[0]; family != syscall.AF_INET && family != syscall.AF_INET6 {
		return syscall.EOPNOTSUPP
	}
	r, e := a.asked()
	if e != 0 {
		return e
	}
	if e := a.refuseRoute(); e != 0 {
		return e
	}
	if a.r.typ == syscall.RTM_DELROUTE {
		return a.w.RemoveRoute(r)
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	switch {
	case flags&deadOrDown != 0:
		return syscall.EINVAL
	case b[0] == syscall.AF_INET && r.Gateway.IsValid() && r.Scope >= syscall.RT_SCOPE_LINK:
		return syscall.EINVAL
	}
	return a.w.AddRoute(NewRoute{Route: r, OnLink: flags&onLink != 0}, a.how())
}

// asked returns the route in the request.
func (a *write) asked() (r Route, e syscall.Errno) {
	b := a.r.body()
	family, bits := b[0], int(b[1])
	dst, e := a.addr(routeSize, syscall.RTA_DST, family)
	if e != 0 {
		return r, e
	}
	if !dst.IsValid() {
		dst = netip.IPv4Unspecified()
		if family == syscall.AF_INET6 {
			dst = netip.IPv6Unspecified()
		}
	}
	if bits > dst.BitLen() || b[2] != 0 { // routes by source, too
		return r, syscall.EINVAL
	}
	r.Destination = netip.PrefixFrom(dst, bits)
	r.Protocol, r.Scope = b[5], b[6]
	if r.Gateway, e = a.addr(routeSize, syscall.RTA_GATEWAY, family); e != 0 {
		return r, e
	}
	if r.Gateway.IsValid() && r.Gateway.IsUnspecified() {
		r.Gateway = netip.Addr{}
	}
	if r.Source, e = a.addr(routeSize, syscall.RTA_PREFSRC, family); e != 0 {
		return r, e
	}
	card, e := a.number(routeSize, syscall.RTA_OIF, 0)
	if e != 0 {
		return r, e
	}
	r.Interface = int(int32(card))
	r.Priority, e = a.number(routeSize, syscall.RTA_PRIORITY, 0)
	return r, e
}

// refuseRoute returns the errno for what a route cannot have: another table than main, another type than
// unicast, several gateways, metrics of TCP and the like.
func (a *write) refuseRoute() syscall.Errno {
	b := a.r.body()
	table, e := a.number(routeSize, syscall.RTA_TABLE, uint32(b[4]))
	switch kind := b[7]; {
	case e != 0:
		return e
	case kind > lastType, kind == 0 && a.r.typ == syscall.RTM_NEWROUTE && b[0] == syscall.AF_INET:
		return syscall.EINVAL
	case kind > syscall.RTN_UNICAST,
		table != syscall.RT_TABLE_UNSPEC && table != syscall.RT_TABLE_MAIN, b[3] != 0,
		a.has(routeSize, syscall.RTA_MULTIPATH, syscall.RTA_METRICS, syscall.RTA_FLOW, rtaMark, rtaVia, rtaNewDst, rtaEncapType, rtaEncap,
			rtaExpires, rtaNexthopID):
		return syscall.EOPNOTSUPP
	}
	if pref := a.r.attribute(routeSize, rtaPref); len(pref) > 0 && pref[0] != 0 {
		return syscall.EOPNOTSUPP
	}
	return 0
}
