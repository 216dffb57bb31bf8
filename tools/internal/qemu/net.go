package qemu

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Net is the host's end of a network card of the guest.
type Net struct {
	Kind          NetKind
	Tap           string         // NetTap: name of the interface
	Local, Remote netip.AddrPort // NetUDP: QEMU's address, and the one it sends to
	HostLoopback  bool           // NetUser, NetPasst: the guest may use services of the host's loopback interface
}

// NetKind is a kind of Net.
type NetKind string

// These are the kinds of networks.
const (
	NetUser  NetKind = "user"  // QEMU's own NAT: no privileges needed
	NetPasst NetKind = "passt" // the same by passt(1), which yolk starts
	NetTap   NetKind = "tap"   // a tap interface of the host
	NetUDP   NetKind = "udp"   // each frame is a datagram
)

var interfaceName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`) // IFNAMSIZ

// ParseNet reads user, passt, user:host-loopback, passt:host-loopback, tap:INTERFACE or udp:[ADDR:]PORT:[ADDR:]PORT.
func ParseNet(s string) (Net, error) {
	kind, rest, _ := strings.Cut(s, ":")
	switch n := (Net{Kind: NetKind(kind)}); {
	case (n.Kind == NetUser || n.Kind == NetPasst) && (s == kind || rest == "host-loopback"):
		n.HostLoopback = rest != ""
		return n, nil
	case n.Kind == NetTap && interfaceName.MatchString(rest):
		n.Tap = rest
		return n, nil
	case n.Kind == NetUDP:
		var ok bool
		if n.Local, n.Remote, ok = parseUDP(rest); ok {
			return n, nil
		}
		return n, fmt.Errorf("-net %s: want udp:PORT:PORT or udp:ADDR:PORT:ADDR:PORT, first where QEMU listens, then where it sends to", s)
	}
	return Net{}, fmt.Errorf("-net %s: want user, passt, user:host-loopback, passt:host-loopback, tap:INTERFACE, udp:PORT:PORT or none", s)
}

// CheckTap returns an error if the interface of a NetTap is not there: QEMU, started by root, would make another one that
// is connected with nothing. sys is /sys/class/net.
func (n Net) CheckTap(sys string) error {
	if n.Kind != NetTap {
		return nil
	}
	_, err := os.Stat(filepath.Join(sys, n.Tap))
	switch {
	case os.IsNotExist(err):
		return fmt.Errorf("-net tap:%s: there is no such interface; make it with: ip tuntap add dev %s mode tap", n.Tap, n.Tap)
	case err != nil:
		return fmt.Errorf("-net tap:%s: %w", n.Tap, err)
	}
	if _, err := os.Stat(filepath.Join(sys, n.Tap, "tun_flags")); err != nil {
		return fmt.Errorf("-net tap:%s: that is no tap interface", n.Tap)
	}
	return nil
}

func parseUDP(s string) (local, remote netip.AddrPort, ok bool) {
	const loopback = "127.0.0.1"
	p := strings.Split(s, ":")
	switch len(p) {
	case 2:
		p = []string{loopback, p[0], loopback, p[1]}
	case 4:
	default:
		return local, remote, false
	}
	local, err1 := netip.ParseAddrPort(p[0] + ":" + p[1])
	remote, err2 := netip.ParseAddrPort(p[2] + ":" + p[3])
	ok = err1 == nil && err2 == nil && local.Addr().Is4() && remote.Addr().Is4() && local.Port() != 0 && remote.Port() != 0
	return local, remote, ok
}

// networks returns the arguments for the network cards.
func (c *Config) networks() []string {
	var args []string
	for i, n := range c.Nets {
		id := "net" + strconv.Itoa(i)
		var backend, options string
		switch n.Kind {
		case NetTap:
			backend = "tap,id=" + id + ",ifname=" + escape(n.Tap) + ",script=no,downscript=no"
			options = ",mac=" + mac(n.Tap)
		case NetUDP:
			backend = fmt.Sprintf("socket,id=%s,udp=%s,localaddr=%s", id, n.Remote, n.Local)
			options = ",mac=" + mac(n.Local.String()) // the guest at the other end has another one
		case NetPasst:
			backend = fmt.Sprintf("stream,id=%s,addr.type=fd,addr.str=%d", id, c.passtFD)
		default:
			backend = "user,id=" + id + c.userNetwork(i == 0)
		}
		args = append(args, "-netdev", backend, "-device", c.virtio("net", ",netdev="+id+options))
	}
	return args
}

// userNetwork returns the options of QEMU's own network. With a fixed guest address, which the first
// card gets, its subnet and gateway follow from that address.
func (c *Config) userNetwork(first bool) string {
	var b strings.Builder
	guest := ""
	if first && c.IP.Addr.IsValid() {
		guest = c.IP.Addr.Addr().String()
		fmt.Fprintf(&b, ",net=%s", c.IP.Addr.Masked())
		if c.IP.Gateway.IsValid() {
			fmt.Fprintf(&b, ",host=%s", c.IP.Gateway)
		}
	}
	for _, f := range c.Forwards {
		b.WriteString(",hostfwd=" + f.rule(guest))
	}
	return b.String()
}

// mac derives a card's MAC address from the name of the host's end, so that guests on one bridge
// differ and a restarted guest keeps its address. Bit 1 of the first byte says "locally
// administered".
func mac(name string) string {
	h := uint32(2166136261) // FNV-1a
	for i := 0; i < len(name); i++ {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return fmt.Sprintf("52:54:%02x:%02x:%02x:%02x", byte(h>>24), byte(h>>16), byte(h>>8), byte(h))
}
