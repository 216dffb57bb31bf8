package netstack

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// netConfig is the network configuration of the kernel command line.
type netConfig struct {
	cards []cardConfig
	dns   []netip.Addr // nameserver=
}

// cardConfig configures one card; an empty device is the first card.
type cardConfig struct {
	device   string
	method   method
	v6       bool
	addr     netip.Prefix
	gateway  netip.Addr
	hostname string
	dns      []netip.Addr
}

type method int

const (
	methodOff method = iota
	methodAuto
	methodStatic
)

const (
	ipUsage  = "expected ip=ADDRESS/LENGTH::GATEWAY:::[DEVICE]::[DNS], ip=ADDRESS::GATEWAY:NETMASK:HOST:DEVICE:off:DNS1:DNS2, ip=dhcp or ip=off"
	ip6Usage = "expected ip6=ADDRESS/LENGTH, ip6=ADDRESS/LENGTH:[GATEWAY], ip6=auto or ip6=off"
)

// ConfigError is a word of the command line that cannot be parsed.
type ConfigError struct {
	Word    string // the whole word, "ip=…"
	Problem string
	Usage   string
}

// Error implements error.
func (e *ConfigError) Error() string { return e.Word + ": " + e.Problem + "; " + e.Usage }

// parseWords reads ip=, ip6= and nameserver= and ignores all other words. The syntax of ip= is
// that of the Linux kernel (Documentation/admin-guide/nfs/nfsroot.rst); in addition, the
// address may have a prefix length.
func parseWords(words []string) (netConfig, error) {
	var c netConfig
	for _, w := range words {
		key, val, ok := strings.Cut(w, "=")
		if !ok {
			continue
		}
		var card cardConfig
		var err error
		usage := ipUsage
		switch key {
		case "ip":
			card, err = parseIP(val)
		case "ip6":
			usage = ip6Usage
			card, err = parseIP6(val)
		case "nameserver":
			a, perr := netip.ParseAddr(strings.Trim(val, "[]"))
			if perr != nil {
				return c, &ConfigError{w, "bad address " + strconv.Quote(val), "expected nameserver=ADDRESS"}
			}
			c.dns = append(c.dns, a)
			continue
		default:
			continue
		}
		if err != nil {
			return c, &ConfigError{w, err.Error(), usage}
		}
		c.cards = append(c.cards, card)
	}
	return c, nil
}

// These are the positions of the fields of ip=, between colons.
const (
	ipClient = iota
	ipServer
	ipGateway
	ipNetmask
	ipHostname
	ipDevice
	ipAutoconf
	ipDNS0
	ipDNS1
	ipNTP0
	ipFields
)

func parseIP(val string) (cardConfig, error) {
	var c cardConfig
	if m, ok := autoconf(val); ok {
		c.method = m
		return c, nil
	}
	f := strings.Split(val, ":")
	if len(f) == 2 { // dracut's ip=DEVICE:dhcp
		if m, ok := autoconf(f[1]); ok && f[0] != "" {
			c.device, c.method = f[0], m
			return c, nil
		}
	}
	if len(f) > ipFields {
		return c, errors.New("more than " + strconv.Itoa(ipFields) + " fields")
	}
	f = append(f, make([]string, ipFields-len(f))...)
	c.hostname, c.device, c.method = f[ipHostname], f[ipDevice], methodStatic
	if f[ipAutoconf] != "" {
		m, ok := autoconf(f[ipAutoconf])
		if !ok {
			return c, errors.New("bad autoconf " + strconv.Quote(f[ipAutoconf]))
		}
		if m == methodAuto {
			c.method = methodAuto
		}
	}
	if err := c.setDNS(f[ipDNS0], f[ipDNS1]); err != nil {
		return c, err
	}
	if c.method == methodAuto {
		return c, nil
	}
	if err := c.setAddress(f[ipClient], f[ipNetmask]); err != nil {
		return c, err
	}
	return c, c.setGateway(f[ipGateway])
}

// autoconf reads the short forms; "bootp" and "rarp" mean DHCP here.
func autoconf(s string) (method, bool) {
	switch s {
	case "dhcp", "on", "any", "both", "bootp", "rarp", "auto":
		return methodAuto, true
	case "off", "none":
		return methodOff, true
	}
	return methodOff, false
}

func (c *cardConfig) setAddress(client, mask string) error {
	if client == "" {
		return errors.New("no address")
	}
	host, length, hasLength := strings.Cut(client, "/")
	a, err := netip.ParseAddr(host)
	if err != nil || !a.Is4() {
		return errors.New("bad address " + strconv.Quote(host))
	}
	if !usable(a) {
		return errors.New("address " + host + " cannot belong to a machine")
	}
	bits := classfulBits(a)
	switch {
	case hasLength && mask != "":
		return errors.New("both a prefix length and a netmask")
	case hasLength:
		bits, err = prefixLength(length, 32)
	case mask != "":
		bits, err = parseMask(mask)
	}
	if err != nil {
		return err
	}
	c.addr = netip.PrefixFrom(a, bits)
	return nil
}

func prefixLength(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, errors.New("bad prefix length " + strconv.Quote(s))
	}
	return n, nil
}

// parseMask reads 255.255.255.0 or 24.
func parseMask(s string) (int, error) {
	if !strings.Contains(s, ".") {
		return prefixLength(s, 32)
	}
	a, err := netip.ParseAddr(s)
	if err == nil && a.Is4() {
		if n, ok := maskBits(a.As4()); ok && n > 0 {
			return n, nil
		}
	}
	return 0, errors.New("bad netmask " + strconv.Quote(s))
}

func (c *cardConfig) setGateway(s string) error {
	if s == "" {
		return nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !usable(a) {
		return errors.New("bad gateway " + strconv.Quote(s))
	}
	c.gateway = a
	return nil
}

func (c *cardConfig) setDNS(list ...string) error {
	for _, s := range list {
		if s == "" {
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			return errors.New("bad DNS server " + strconv.Quote(s))
		}
		c.dns = append(c.dns, a)
	}
	return nil
}

// parseIP6 reads ADDRESS/LENGTH and an optional gateway in brackets.
func parseIP6(val string) (cardConfig, error) {
	c := cardConfig{v6: true}
	if m, ok := autoconf(val); ok {
		c.method = m
		return c, nil
	}
	c.method = methodStatic
	addr, gateway := val, ""
	if i := strings.Index(val, ":["); i >= 0 {
		addr, gateway = val[:i], val[i+1:]
		if !strings.HasSuffix(gateway, "]") {
			return c, errors.New("gateway without its closing bracket")
		}
	}
	host, length, ok := strings.Cut(addr, "/")
	if !ok {
		return c, errors.New("no prefix length")
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return c, errors.New("bad address " + strconv.Quote(host))
	}
	bits, err := prefixLength(length, 128)
	if err != nil {
		return c, err
	}
	c.addr = netip.PrefixFrom(a, bits)
	if gateway != "" {
		c.gateway, err = netip.ParseAddr(gateway[1 : len(gateway)-1])
		if err != nil || !c.gateway.Is6() || c.gateway.Zone() != "" || c.gateway.IsMulticast() || c.gateway.IsUnspecified() {
			return c, errors.New("bad gateway " + strconv.Quote(gateway))
		}
	}
	return c, nil
}
