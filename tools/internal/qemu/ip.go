package qemu

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// IP is a guest's IPv4 configuration. The zero value is DHCP.
type IP struct {
	Off     bool // no address at all
	Addr    netip.Prefix
	Gateway netip.Addr
	DNS     []netip.Addr
}

const ipForms = "want dhcp, off, ADDR/PREFIX[,gw=ADDR][,dns=ADDR], as in -ip 10.0.2.15/24,gw=10.0.2.2"

// ParseIP reads dhcp, off, ADDR/PREFIX with gw= and dns= (which may repeat), or
// the kernel's own ip= form, client:server:gw:netmask:host:device:autoconf:dns:dns
// (Linux, Documentation/admin-guide/nfs/nfsroot.rst).
func ParseIP(s string) (IP, error) {
	var (
		ip  IP
		err error
	)
	switch {
	case s == "" || s == "dhcp":
	case s == "off" || s == "none":
		ip.Off = true
	case strings.Contains(s, ":"):
		ip, err = parseKernelIP(s)
	default:
		ip, err = parseShortIP(s)
	}
	if err == nil {
		err = ip.check()
	}
	if err != nil {
		return IP{}, fmt.Errorf("-ip %s: %v; %s", s, err, ipForms)
	}
	return ip, nil
}

func parseShortIP(s string) (ip IP, err error) {
	words := strings.Split(s, ",")
	if ip.Addr, err = netip.ParsePrefix(words[0]); err != nil {
		return ip, fmt.Errorf("%q is not an address with a prefix length", words[0])
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		a, err := parseIPv4(value)
		if err != nil {
			return ip, err
		}
		switch key {
		case "gw":
			ip.Gateway = a
		case "dns":
			ip.DNS = append(ip.DNS, a)
		default:
			return ip, fmt.Errorf("unknown word %q", w)
		}
	}
	return ip, nil
}

func parseKernelIP(s string) (ip IP, err error) {
	f := strings.Split(s, ":")
	if len(f) > 10 {
		return ip, fmt.Errorf("%d fields, at most 10 are known", len(f))
	}
	f = append(f, make([]string, 10-len(f))...)
	if f[0] == "" {
		return ip, fmt.Errorf("the address is missing")
	}
	addr, err := parseIPv4(f[0])
	if err != nil {
		return ip, err
	}
	mask, err := parseIPv4(f[3])
	if err != nil {
		return ip, fmt.Errorf("netmask: %w", err)
	}
	ones, bits := net.IPMask(mask.AsSlice()).Size()
	if bits == 0 {
		return ip, fmt.Errorf("%s is not a netmask", f[3])
	}
	ip.Addr = netip.PrefixFrom(addr, ones)
	if f[2] != "" {
		if ip.Gateway, err = parseIPv4(f[2]); err != nil {
			return ip, err
		}
	}
	for _, d := range f[7:9] {
		if d == "" {
			continue
		}
		a, err := parseIPv4(d)
		if err != nil {
			return ip, err
		}
		ip.DNS = append(ip.DNS, a)
	}
	return ip, nil
}

func parseIPv4(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("%q is not an IPv4 address", s)
	}
	return a, nil
}

func (ip IP) check() error {
	if !ip.Addr.IsValid() {
		return nil
	}
	a := ip.Addr.Addr()
	switch {
	case !a.Is4():
		return fmt.Errorf("%s is not an IPv4 address", a)
	case ip.Addr.Bits() == 0:
		return fmt.Errorf("prefix length 0 covers every address")
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return fmt.Errorf("%s cannot be a machine's own address", a)
	case ip.Gateway.IsValid() && !ip.Addr.Contains(ip.Gateway):
		return fmt.Errorf("the gateway %s is outside %s", ip.Gateway, ip.Addr.Masked())
	case ip.Gateway == a:
		return fmt.Errorf("the gateway is the machine's own address")
	case len(ip.DNS) > 2:
		return fmt.Errorf("more than two name servers")
	}
	return nil
}

// Word returns the value of the kernel command line's ip= word, in the kernel's
// form; "" for DHCP, the default.
func (ip IP) Word() string {
	if ip.Off {
		return "off"
	}
	if !ip.Addr.IsValid() {
		return ""
	}
	gw := ""
	if ip.Gateway.IsValid() {
		gw = ip.Gateway.String()
	}
	mask := net.IP(net.CIDRMask(ip.Addr.Bits(), 32)).String()
	w := fmt.Sprintf("%s::%s:%s:::off", ip.Addr.Addr(), gw, mask)
	for _, d := range ip.DNS {
		w += ":" + d.String()
	}
	return w
}
