package qemu

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Forward passes a port of the host to one of the guest.
type Forward struct {
	Proto string // "tcp" or "udp"
	Host  netip.AddrPort
	Guest uint16
	// Chosen says that Pick chose the host port.
	Chosen bool
}

// ParseForward reads [ADDR:]HOST:GUEST[/udp|/tcp]. Without ADDR only the host itself can connect
// (127.0.0.1). If HOST is empty or 0, Pick chooses a free port.
func ParseForward(s string) (Forward, error) {
	bad := func(why string) (Forward, error) {
		return Forward{}, fmt.Errorf("-p %s: %s; want HOST:GUEST or HOST:GUEST/udp, as in -p 8080:80", s, why)
	}
	f := Forward{Proto: "tcp"}
	ports, proto, hasProto := strings.Cut(s, "/")
	if hasProto {
		f.Proto = strings.ToLower(proto)
	}
	if f.Proto != "tcp" && f.Proto != "udp" {
		return bad("protocol " + strconv.Quote(proto) + " is neither tcp nor udp")
	}
	if strings.HasPrefix(ports, "[") {
		return bad("QEMU's NAT passes on no ports of IPv6 addresses; -net passt or a tap interface give the guest IPv6")
	}
	part := strings.Split(ports, ":")
	addr := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	switch len(part) {
	case 2:
	case 3:
		a, err := netip.ParseAddr(part[0])
		if err != nil || !a.Is4() {
			return bad(strconv.Quote(part[0]) + " is not an IPv4 address")
		}
		addr, part = a, part[1:]
	default:
		return bad("not two ports")
	}
	if part[0] == "" {
		part[0] = "0"
	}
	host, err := strconv.ParseUint(part[0], 10, 16)
	if err != nil {
		return bad(strconv.Quote(part[0]) + " is not a port")
	}
	guest, err := strconv.ParseUint(part[1], 10, 16)
	if err != nil || guest == 0 {
		return bad(strconv.Quote(part[1]) + " is not a port")
	}
	f.Host, f.Guest = netip.AddrPortFrom(addr, uint16(host)), uint16(guest)
	return f, nil
}

// Pick chooses a free host port if none is given. Another process can take it before QEMU does;
// QEMU then reports that it is in use.
func (f *Forward) Pick() error {
	if f.Host.Port() != 0 {
		return nil
	}
	var got string
	if f.Proto == "udp" {
		c, err := net.ListenPacket("udp4", f.Host.String())
		if err != nil {
			return err
		}
		defer c.Close()
		got = c.LocalAddr().String()
	} else {
		l, err := net.Listen("tcp4", f.Host.String())
		if err != nil {
			return err
		}
		defer l.Close()
		got = l.Addr().String()
	}
	addr, err := netip.ParseAddrPort(got)
	if err != nil {
		return err
	}
	f.Host, f.Chosen = netip.AddrPortFrom(f.Host.Addr(), addr.Port()), true
	return nil
}

// rule returns the hostfwd rule; an empty guest address is the first one of QEMU's DHCP server.
func (f Forward) rule(guest string) string {
	return fmt.Sprintf("%s:%s:%d-%s:%d", f.Proto, f.Host.Addr(), f.Host.Port(), guest, f.Guest)
}
