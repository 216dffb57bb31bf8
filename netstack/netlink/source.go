// Package netlink implements AF_NETLINK sockets of the NETLINK_ROUTE protocol (netlink(7),
// rtnetlink(7)) as far as programs read from them: the interfaces, addresses, routes, rules,
// neighbours and queueing disciplines of the machine, in dumps and one by one. Package net's Interfaces and
// InterfaceAddrs use it.
//
// The machine configures its network itself. Requests that change it are served if AllowWrites (write.go)
// has said by what, and else refused (EPERM): most programs carry nothing for them. Subscribers are told of changes (notify.go). Of NETLINK_GENERIC there is the controller
// (generic.go), which knows no family but itself; NETLINK_KOBJECT_UEVENT has no events, since no device
// comes or goes. Other netlink protocols do not exist (EPROTONOSUPPORT).
//
// Start reading at socket.Send (socket.go), which parses requests (request.go),
// answers them (answer.go) from a Source, and queues the answers as datagrams.
package netlink

import "net/netip"

// Source is the data for answers. Each call returns the current state; the caller does not
// change the result.
type Source interface {
	Interfaces() []Interface
	Routes() []Route
	Neighbors() []Neighbor
}

// Interface is a network interface: netdevice(7).
type Interface struct {
	Index        int    // from 1
	Name         string // at most 15 bytes
	Type         uint16 // ARPHRD_ETHER, ARPHRD_LOOPBACK
	Flags        uint32 // IFF_UP and so on
	MTU          int
	QueueLength  int    // txqueuelen
	Kind         string // IFLA_INFO_KIND of a card that is no hardware, or ""
	HardwareAddr []byte // six zeroes for the loopback, as on Linux
	Broadcast    []byte
	Addresses    []Address
	Stats        Stats
}

// Stats are an interface's counters, since the machine started.
type Stats struct {
	ReceivedPackets, SentPackets uint64
	ReceivedBytes, SentBytes     uint64
	ReceiveErrors, SendErrors    uint64
	ReceiveDropped, SendDropped  uint64
	Multicast                    uint64
}

// Address is an interface's address: rtnetlink(7), RTM_NEWADDR.
type Address struct {
	Prefix    netip.Prefix // the address, with the prefix length of its network
	Broadcast netip.Addr   // IPv4 only; the zero Addr if there is none
	Scope     uint8        // RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST
	Temporary bool         // not IFA_F_PERMANENT: the address is leased
}

// Route is an entry of the main routing table.
type Route struct {
	Destination netip.Prefix // zero bits: the default route of its family
	Gateway     netip.Addr   // the zero Addr: the destination is on the link
	Source      netip.Addr   // preferred source; may be the zero Addr
	Interface   int          // index
	Priority    uint32       // metric
	Protocol    uint8        // RTPROT_KERNEL, RTPROT_BOOT, RTPROT_DHCP
	Scope       uint8
}

// Neighbor is an entry of the ARP or neighbour discovery cache.
type Neighbor struct {
	Interface    int
	Addr         netip.Addr
	HardwareAddr []byte
	State        uint16 // NUD_REACHABLE and so on
}
