package netlink

import (
	"net/netip"
	"syscall"
)

// answer is the processing of one request.
type answer struct {
	encoder
	source Source
	port   uint32 // the requesting socket's port
	strict bool   // NETLINK_GET_STRICT_CHK: the request's header filters objects
	capped bool   // NETLINK_CAP_ACK
	r      *request
	write  func(*answer) syscall.Errno // makes a change; nil: nobody may
}

// requestMax is RTM_MAX of Linux 6.6.
const requestMax = 123

// serve answers a.r, as rtnetlink_rcv_msg and netlink_rcv_skb do. A dump ends with
// NLMSG_DONE; another request with NLMSG_ERROR if it failed or asks for an acknowledgement.
func (a *answer) serve() {
	e := syscall.Errno(0)
	isRequest := a.r.flags&syscall.NLM_F_REQUEST != 0 && a.r.typ >= syscall.RTM_BASE
	if isRequest && len(a.r.body()) > 0 { // a body without a family is ignored
		if a.r.dump() && a.r.typ%4 == syscall.RTM_GETLINK%4 {
			if e = a.dump(); e == 0 {
				a.done(a.r, a.port, 0)
				return
			}
		} else {
			e = a.one()
		}
	} else if isRequest && a.r.typ > requestMax {
		e = syscall.EOPNOTSUPP
	}
	if e != 0 || a.r.flags&syscall.NLM_F_ACK != 0 {
		a.status(a.r, a.port, e, a.capped)
	}
}

// dump adds all objects of a kind.
func (a *answer) dump() syscall.Errno {
	switch a.r.typ {
	case syscall.RTM_GETLINK:
		a.links()
	case syscall.RTM_GETADDR:
		a.addresses()
	case syscall.RTM_GETROUTE:
		a.routes()
	case syscall.RTM_GETNEIGH:
		a.neighbors()
	case syscall.RTM_GETRULE:
		a.rules()
	case syscall.RTM_GETQDISC:
		a.qdiscs()
	default:
		return syscall.EOPNOTSUPP
	}
	return 0
}

// one answers a request that is not a dump.
func (a *answer) one() syscall.Errno {
	switch a.r.typ {
	case syscall.RTM_GETLINK:
		return a.oneLink()
	case syscall.RTM_GETROUTE:
		return a.oneRoute()
	case syscall.RTM_NEWLINK, syscall.RTM_DELLINK, syscall.RTM_SETLINK,
		syscall.RTM_NEWADDR, syscall.RTM_DELADDR,
		syscall.RTM_NEWROUTE, syscall.RTM_DELROUTE,
		syscall.RTM_NEWNEIGH, syscall.RTM_DELNEIGH:
		if a.write == nil {
			return syscall.EPERM
		}
		return a.write(a)
	}
	return syscall.EOPNOTSUPP
}

// wants reports whether the request's family includes f.
func (a *answer) wants(f uint8) bool {
	return a.r.family() == syscall.AF_UNSPEC || a.r.family() == f
}

// wantsIndex applies the index filter that a strict dump may have at off.
func (a *answer) wantsIndex(off, index int) bool {
	want := a.r.index(off)
	return !a.strict || want == 0 || want == index
}

func (a *answer) links() {
	const afBridge = 7 // asks for bridge ports, which do not exist
	if a.r.family() == afBridge {
		return
	}
	for _, i := range a.source.Interfaces() {
		a.link(&i, syscall.NLM_F_MULTI)
	}
}

// oneLink answers for the index, or else for the name, in the request.
func (a *answer) oneLink() syscall.Errno {
	if len(a.r.body()) < linkSize {
		return syscall.EINVAL
	}
	index, name := a.r.index(4), a.r.linkName()
	if index <= 0 && name == "" {
		return syscall.EINVAL
	}
	for _, i := range a.source.Interfaces() {
		if i.Index == index || index <= 0 && i.Name == name {
			a.link(&i, 0)
			return 0
		}
	}
	return syscall.ENODEV
}

// addresses adds all IPv4 addresses before all IPv6 ones, as Linux does.
func (a *answer) addresses() {
	for _, f := range []uint8{syscall.AF_INET, syscall.AF_INET6} {
		if !a.wants(f) {
			continue
		}
		for _, i := range a.source.Interfaces() {
			if !a.wantsIndex(4, i.Index) {
				continue
			}
			for _, addr := range i.Addresses {
				if familyOf(addr.Prefix.Addr()) == f {
					a.address(&i, &addr)
				}
			}
		}
	}
}

func (a *answer) routes() {
	for _, f := range []uint8{syscall.AF_INET, syscall.AF_INET6} {
		for _, r := range a.source.Routes() {
			if a.wants(f) && familyOf(r.Destination.Addr()) == f {
				a.route(&r, syscall.RTN_UNICAST, 0, syscall.NLM_F_MULTI)
			}
		}
	}
}

func (a *answer) neighbors() {
	for _, n := range a.source.Neighbors() {
		if a.wants(familyOf(n.Addr)) && a.wantsIndex(4, n.Interface) {
			a.neighbor(&n)
		}
	}
}

// oneRoute answers how packets to a destination are routed (ip route get).
func (a *answer) oneRoute() syscall.Errno {
	if len(a.r.body()) < routeSize {
		return syscall.EINVAL
	}
	dst, ok := a.r.destination()
	if !ok && a.r.attribute(routeSize, syscall.RTA_DST) == nil {
		dst, ok = anywhere(a.r.family())
	}
	if !ok {
		return syscall.EINVAL
	}
	r, kind, ok := a.lookup(dst)
	if !ok {
		return syscall.ENETUNREACH
	}
	r.Destination = netip.PrefixFrom(dst, dst.BitLen())
	const cloned = 0x200 // RTM_F_CLONED: an answer, not a table entry
	a.route(&r, kind, cloned, 0)
	return 0
}

// lookup finds the route to dst: one of the machine's own addresses, or else the route with the
// longest prefix and, among those, the lowest metric.
func (a *answer) lookup(dst netip.Addr) (best Route, kind uint8, ok bool) {
	for _, i := range a.source.Interfaces() {
		for _, addr := range i.Addresses {
			own := addr.Prefix.Addr()
			if own == dst || own.IsLoopback() && addr.Prefix.Contains(dst) {
				return Route{Source: dst, Interface: a.loopback(i.Index)}, syscall.RTN_LOCAL, true
			}
		}
	}
	for _, r := range a.source.Routes() {
		if !r.Destination.Contains(dst) {
			continue
		}
		bits, bestBits := r.Destination.Bits(), best.Destination.Bits()
		if !ok || bits > bestBits || bits == bestBits && r.Priority < best.Priority {
			best, ok = r, true
		}
	}
	return best, syscall.RTN_UNICAST, ok
}

// loopback returns the index of the loopback interface, through which packets to the machine's
// own addresses go, or index if there is none.
func (a *answer) loopback(index int) int {
	for _, i := range a.source.Interfaces() {
		if i.Flags&syscall.IFF_LOOPBACK != 0 {
			return i.Index
		}
	}
	return index
}
