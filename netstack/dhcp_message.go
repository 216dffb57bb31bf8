package netstack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// The message of RFC 2131 §2 has a fixed part of 236 bytes, a magic cookie and options.
// docs/network.md explains why the codec is our own.
const (
	dhcpFixed   = 236
	dhcpCookie  = 0x63825363
	dhcpMinimum = 300 // RFC 1542 §2.1: some relays drop shorter messages

	dhcpRequestOp = 1
	dhcpReplyOp   = 2
)

// Message types, RFC 2132 §9.6.
const (
	dhcpDiscover = 1
	dhcpOffer    = 2
	dhcpRequest  = 3
	dhcpAck      = 5
	dhcpNak      = 6
	dhcpRelease  = 7
)

// Options, RFC 2132 and RFC 3442.
const (
	optPad             = 0
	optSubnetMask      = 1
	optRouter          = 3
	optDNS             = 6
	optHostname        = 12
	optDomain          = 15
	optMTU             = 26
	optRequestedIP     = 50
	optLeaseTime       = 51
	optOverload        = 52
	optMessageType     = 53
	optServerID        = 54
	optParameters      = 55
	optMaxSize         = 57
	optRenewal         = 58
	optRebinding       = 59
	optClientID        = 61
	optSearch          = 119
	optClasslessRoutes = 121
	optEnd             = 255
)

// wantedOptions is the parameter request list, in the order that RFC 3442 wants: the
// classless routes before the router.
var wantedOptions = []byte{
	optSubnetMask, optClasslessRoutes, optRouter, optDNS, optHostname, optDomain, optMTU,
	optSearch, optLeaseTime, optServerID, optRenewal, optRebinding,
}

// dhcpMessage has the fields of a received message that a client uses.
type dhcpMessage struct {
	xid    uint32
	mac    [6]byte
	typ    byte
	yourIP netip.Addr
	server netip.Addr
	lease  lease
}

// lease is a configuration that expires.
type lease struct {
	addr     netip.Prefix
	routers  []netip.Addr
	routes   []dhcpRoute
	dns      []netip.Addr
	search   []string
	hostname string
	mtu      int
	server   netip.Addr

	duration, renew, rebind time.Duration
}

// dhcpRoute is one classless static route, RFC 3442.
type dhcpRoute struct {
	dst netip.Prefix
	via netip.Addr
}

// infiniteLease stands for 0xffffffff seconds, RFC 2131 §3.3.
const infiniteLease = time.Duration(1<<63 - 1)

var (
	errDHCPShort   = errors.New("dhcp: message too short")
	errDHCPNoReply = errors.New("dhcp: not a reply from a DHCP server to an Ethernet client")
	errDHCPOptions = errors.New("dhcp: malformed options")
)

// parseDHCP parses a server's message. Any byte of it may be wrong.
func parseDHCP(b []byte) (*dhcpMessage, error) {
	if len(b) < dhcpFixed+4 {
		return nil, errDHCPShort
	}
	if b[0] != dhcpReplyOp || b[1] != 1 || b[2] != 6 || binary.BigEndian.Uint32(b[dhcpFixed:]) != dhcpCookie {
		return nil, errDHCPNoReply
	}
	m := &dhcpMessage{
		xid:    binary.BigEndian.Uint32(b[4:]),
		yourIP: netip.AddrFrom4([4]byte(b[16:20])),
		mac:    [6]byte(b[28:34]),
	}
	opts, err := dhcpOptions(b)
	if err != nil {
		return nil, err
	}
	if t := opts[optMessageType]; len(t) == 1 {
		m.typ = t[0]
	}
	m.readLease(opts)
	return m, nil
}

// dhcpOptions collects the options by code. The parts of one that occurs several times are
// concatenated (RFC 3396 §5); option 52 says whether the fields file and sname contain
// options, too.
func dhcpOptions(b []byte) (map[byte][]byte, error) {
	opts := make(map[byte][]byte)
	if err := collectOptions(opts, b[dhcpFixed+4:]); err != nil {
		return nil, err
	}
	if o := opts[optOverload]; len(o) == 1 {
		const sname, file = 44, 108
		if o[0]&1 != 0 {
			if err := collectOptions(opts, b[file:dhcpFixed]); err != nil {
				return nil, err
			}
		}
		if o[0]&2 != 0 {
			if err := collectOptions(opts, b[sname:file]); err != nil {
				return nil, err
			}
		}
	}
	return opts, nil
}

func collectOptions(opts map[byte][]byte, b []byte) error {
	for len(b) > 0 {
		code := b[0]
		switch code {
		case optPad:
			b = b[1:]
			continue
		case optEnd:
			return nil
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return errDHCPOptions
		}
		n := int(b[1])
		opts[code] = append(opts[code], b[2:2+n]...)
		b = b[2+n:]
	}
	return nil // a missing end option is accepted
}

func (m *dhcpMessage) readLease(opts map[byte][]byte) {
	l := &m.lease
	bits := classfulBits(m.yourIP)
	if mask := opts[optSubnetMask]; len(mask) == 4 {
		if n, ok := maskBits([4]byte(mask)); ok {
			bits = n
		}
	}
	l.addr = netip.PrefixFrom(m.yourIP, bits)
	l.routers = addrList(opts[optRouter])
	l.dns = addrList(opts[optDNS])
	if s := addrList(opts[optServerID]); len(s) == 1 {
		m.server = s[0]
	}
	l.server = m.server
	l.routes = classlessRoutes(opts[optClasslessRoutes])
	l.hostname = hostLabel(opts[optHostname])
	if v := opts[optMTU]; len(v) == 2 {
		l.mtu = int(binary.BigEndian.Uint16(v))
	}
	l.search = searchList(opts[optSearch])
	if d := domainText(opts[optDomain]); d != "" && len(l.search) == 0 {
		l.search = []string{d}
	}
	l.duration = dhcpTime(opts[optLeaseTime], infiniteLease)
	l.renew = dhcpTime(opts[optRenewal], l.duration/2)
	l.rebind = dhcpTime(opts[optRebinding], l.duration/8*7)
}

// dhcpTime reads seconds; the result is def if they are missing or infinite.
func dhcpTime(b []byte, def time.Duration) time.Duration {
	if len(b) != 4 {
		return def
	}
	secs := binary.BigEndian.Uint32(b)
	if secs == 1<<32-1 {
		return infiniteLease
	}
	return time.Duration(secs) * time.Second
}

// addrList reads addresses, of which at most maxNameservers are used.
func addrList(b []byte) []netip.Addr {
	if len(b)%4 != 0 {
		return nil
	}
	var out []netip.Addr
	for ; len(b) >= 4 && len(out) < maxNameservers; b = b[4:] {
		if a := netip.AddrFrom4([4]byte(b)); !a.IsUnspecified() {
			out = append(out, a)
		}
	}
	return out
}

// classlessRoutes reads option 121, a list of: a prefix length, the bytes of the destination
// that the prefix covers, and a router.
func classlessRoutes(b []byte) []dhcpRoute {
	var out []dhcpRoute
	for len(b) > 0 && len(out) < maxRoutes {
		bits := int(b[0])
		n := (bits + 7) / 8
		if bits > 32 || len(b) < 1+n+4 {
			return nil
		}
		var dst, via [4]byte
		copy(dst[:], b[1:1+n])
		copy(via[:], b[1+n:])
		p := netip.PrefixFrom(netip.AddrFrom4(dst), bits).Masked()
		out = append(out, dhcpRoute{p, netip.AddrFrom4(via)})
		b = b[1+n+4:]
	}
	return out
}

// maskBits returns the length of a contiguous mask.
func maskBits(m [4]byte) (int, bool) {
	v := binary.BigEndian.Uint32(m[:])
	n := 0
	for v&(1<<31) != 0 {
		v <<= 1
		n++
	}
	return n, v == 0
}

// classfulBits is the default prefix length of an address (RFC 1122 §3.2.1.3).
func classfulBits(a netip.Addr) int {
	switch b := a.As4(); {
	case b[0] < 128:
		return 8
	case b[0] < 192:
		return 16
	}
	return 24
}

// hostLabel returns a host name without characters that would break a file with it; a server
// may send a trailing NUL.
func hostLabel(b []byte) string {
	s := domainText(b)
	for i := range len(s) {
		if s[i] == '.' {
			return s[:i]
		}
	}
	return s
}

// domainText accepts letters, digits, hyphen, underscore and dot.
func domainText(b []byte) string {
	for len(b) > 0 && (b[len(b)-1] == 0 || b[len(b)-1] == '.') {
		b = b[:len(b)-1]
	}
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return ""
		}
	}
	return string(b)
}

// searchList reads option 119: names in DNS wire format, with compression pointers into the
// option itself (RFC 3397).
func searchList(b []byte) []string {
	var list searchDomains
	for at := 0; at < len(b); {
		name, next, ok := wireName(b, at)
		if !ok {
			break
		}
		list.add(name)
		at = next
	}
	return list.names
}

// wireName reads one name. A pointer must point backwards, so the walk ends.
func wireName(b []byte, at int) (name string, next int, ok bool) {
	limit := at
	for {
		if at >= len(b) {
			return "", 0, false
		}
		n := int(b[at])
		switch {
		case n == 0:
			return name, max(next, at+1), true
		case n&0xc0 == 0xc0:
			if at+1 >= len(b) {
				return "", 0, false
			}
			to := (n&0x3f)<<8 | int(b[at+1])
			if to >= limit {
				return "", 0, false
			}
			if next == 0 {
				next = at + 2
			}
			at, limit = to, to
			continue
		case n&0xc0 != 0 || at+1+n > len(b) || len(name)+n > 255:
			return "", 0, false
		}
		if name != "" {
			name += "."
		}
		name += string(b[at+1 : at+1+n])
		at += 1 + n
	}
}

// dhcpQuery is a message from the client.
type dhcpQuery struct {
	typ       byte
	xid       uint32
	secs      uint16
	mac       [6]byte
	clientIP  netip.Addr // ciaddr: only while the client has the address
	requested netip.Addr
	server    netip.Addr
	hostname  string
}

// encode writes the message, padded to the minimum size for old relays.
func (q *dhcpQuery) encode() []byte {
	b := make([]byte, dhcpFixed+4, dhcpMinimum)
	b[0], b[1], b[2] = dhcpRequestOp, 1, 6
	binary.BigEndian.PutUint32(b[4:], q.xid)
	binary.BigEndian.PutUint16(b[8:], q.secs)
	if q.clientIP.IsValid() {
		copy(b[12:16], q.clientIP.AsSlice())
	}
	copy(b[28:], q.mac[:])
	binary.BigEndian.PutUint32(b[dhcpFixed:], dhcpCookie)

	b = append(b, optMessageType, 1, q.typ)
	b = append(b, optClientID, 7, 1)
	b = append(b, q.mac[:]...)
	if q.requested.IsValid() {
		b = append(append(b, optRequestedIP, 4), q.requested.AsSlice()...)
	}
	if q.server.IsValid() {
		b = append(append(b, optServerID, 4), q.server.AsSlice()...)
	}
	if q.typ != dhcpRelease {
		b = append(b, optMaxSize, 2, defaultMTU>>8, defaultMTU&0xff)
		b = append(append(b, optParameters, byte(len(wantedOptions))), wantedOptions...)
		if h := q.hostname; h != "" {
			h = h[:min(len(h), 63)]
			b = append(append(b, optHostname, byte(len(h))), h...)
		}
	}
	b = append(b, optEnd)
	for len(b) < dhcpMinimum {
		b = append(b, optPad)
	}
	return b
}
