package netcalls

import (
	"net/netip"
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/netlink"
	"github.com/yolk-unikernel/yolk/netstack/tun"
)

// allowChanges has netlink and ioctl change the stack.
func allowChanges(s *netstack.Stack, f *netlink.Family, d *tun.Devices) {
	netstack.AllowIoctls(s)
	netlink.AllowWrites(f, changes{s, d})
}

// changes is what netlink changes of the stack. Its methods are netlink.Writer's.
type changes struct {
	s     *netstack.Stack
	cards *tun.Devices
}

// SetLink changes in the order of Linux's do_setlink.
func (c changes) SetLink(index int, l netlink.LinkChange) syscall.Errno {
	if l.MTU >= 0 {
		if e := c.s.SetMTU(index, l.MTU); e != 0 {
			return e
		}
	}
	if l.Name != "" {
		if e := c.s.Rename(index, l.Name); e != 0 {
			return e
		}
	}
	if l.Up != nil {
		return c.s.SetUp(index, *l.Up)
	}
	return 0
}

func (c changes) RemoveLink(index int) syscall.Errno { return c.cards.Remove(index) }

func (c changes) AddAddress(index int, a netlink.NewAddress) syscall.Errno {
	return c.s.AddAddress(index, a.Prefix, netstack.AddressOptions{Replace: a.Replace, NoRoute: a.NoRoute, Metric: a.Metric})
}

func (c changes) RemoveAddress(index int, addr netip.Addr, bits int) syscall.Errno {
	return c.s.RemoveAddress(index, addr, bits)
}

func (c changes) AddRoute(r netlink.NewRoute, how netlink.How) syscall.Errno {
	return c.s.AddRoute(netstack.NewRoute{
		RouteInfo: netstack.RouteInfo{
			Destination: r.Destination, Gateway: r.Gateway, Source: r.Source, Interface: r.Interface,
			RouteAttributes: netstack.RouteAttributes{Protocol: r.Protocol, Scope: r.Scope, Metric: r.Priority},
		},
		OnLink: r.OnLink,
	}, netstack.How(how))
}

func (c changes) RemoveRoute(r netlink.Route) syscall.Errno {
	return c.s.RemoveRoute(netstack.RouteMatch{Destination: r.Destination, Gateway: r.Gateway, Source: r.Source,
		Interface: r.Interface, Metric: r.Priority, Protocol: r.Protocol, Scope: r.Scope})
}

func (c changes) SetNeighbor(n netlink.Neighbor, how netlink.How) syscall.Errno {
	return c.s.SetNeighbor(netstack.NeighborInfo{Interface: n.Interface, Addr: n.Addr, HardwareAddr: n.HardwareAddr}, netstack.How(how))
}

func (c changes) RemoveNeighbor(index int, addr netip.Addr) syscall.Errno {
	return c.s.RemoveNeighbor(index, addr)
}
