package netlink

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"syscall"
)

// Sizes of headers: netlink(7), rtnetlink(7).
const (
	headerSize    = 16 // struct nlmsghdr
	attributeSize = 4  // struct rtattr
	linkSize      = 16 // struct ifinfomsg
	addressSize   = 8  // struct ifaddrmsg
	routeSize     = 12 // struct rtmsg
	neighborSize  = 12 // struct ndmsg
)

// align rounds up to NLMSG_ALIGNTO, which is RTA_ALIGNTO too.
func align(n int) int { return (n + 3) &^ 3 }

// request is one message from a program, in the CPU's byte order.
type request struct {
	typ, flags uint16
	seq        uint32
	raw        []byte // including the header
}

func (r *request) body() []byte { return r.raw[headerSize:] }

// family is the first byte of every routing request's body.
func (r *request) family() uint8 { return r.body()[0] }

// dump reports whether all objects are asked for: both bits of NLM_F_DUMP.
func (r *request) dump() bool { return r.flags&syscall.NLM_F_DUMP == syscall.NLM_F_DUMP }

// nextRequest splits the first message off b. A length that does not fit ends the datagram
// without an error, as on Linux (netlink_rcv_skb).
func nextRequest(b []byte) (r request, rest []byte, ok bool) {
	if len(b) < headerSize {
		return r, nil, false
	}
	n := binary.NativeEndian.Uint32(b)
	if n < headerSize || uint64(n) > uint64(len(b)) {
		return r, nil, false
	}
	r = request{
		typ:   binary.NativeEndian.Uint16(b[4:]),
		flags: binary.NativeEndian.Uint16(b[6:]),
		seq:   binary.NativeEndian.Uint32(b[8:]),
		raw:   b[:n],
	}
	return r, b[min(align(int(n)), len(b)):], true
}

// nestedMask removes NLA_F_NESTED and NLA_F_NET_BYTEORDER from a type.
const nestedMask = 0x3fff

// attribute returns the value of the first attribute of a type, after a fixed header of the
// given size, or nil.
func (r *request) attribute(header int, typ uint16) []byte {
	b := r.body()
	if len(b) < header {
		return nil
	}
	b = b[align(header):]
	for len(b) >= attributeSize {
		n := int(binary.NativeEndian.Uint16(b))
		if n < attributeSize || n > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&nestedMask == typ {
			return b[attributeSize:n]
		}
		b = b[min(align(n), len(b)):]
	}
	return nil
}

// linkName returns the interface name in a link request.
func (r *request) linkName() string {
	const altName = 53 // IFLA_ALT_IFNAME
	name := r.attribute(linkSize, syscall.IFLA_IFNAME)
	if name == nil {
		name = r.attribute(linkSize, altName)
	}
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return string(name)
}

// index returns the 32-bit number at off of the body, or 0 if the body is shorter.
func (r *request) index(off int) int {
	if b := r.body(); len(b) >= off+4 {
		return int(int32(binary.NativeEndian.Uint32(b[off:])))
	}
	return 0
}

// destination returns the destination address of a route request.
func (r *request) destination() (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(r.attribute(routeSize, syscall.RTA_DST))
	return a, ok && familyOf(a) == r.family()
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return syscall.AF_INET
	}
	return syscall.AF_INET6
}
