package netstack

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file serves setsockopt(2) and getsockopt(2) of Internet sockets from one table for each
// level (sockopt_socket.go, _ip.go, _ipv6.go, _tcp.go, _udp.go). docs/network.md lists the rows.
// Lengths, ranges and the order of the errors are those of Linux 6.18.

// service says how an option is served.
type service uint8

const (
	acts    service = iota + 1 // as Linux's
	stored                     // kept and read back, which is all that Linux does with it on such a machine
	refused                    // an error, but for a value that asks for nothing
)

// code is a syscall.Errno in one byte, since most rows have some.
type code uint8

// option is a row of the table. The name of an option is its index.
type option struct {
	// setFlag and getFlag are an option that gVisor has.
	setFlag func(*tcpip.SocketOptions, bool)
	getFlag func(*tcpip.SocketOptions) bool
	// set and get are an option of one int. Without set the value is kept, without get what was
	// kept is returned.
	set func(*socket, int) syscall.Errno
	get func(*socket) (int, syscall.Errno)
	// setBytes and getBytes are an option of another form, which checks its length itself.
	setBytes func(*socket, []byte) syscall.Errno
	getBytes func(*socket, []byte) (int, syscall.Errno)
	// least and most bound the value; both 0: any. What is outside is EINVAL.
	least, most int32
	// standard is the value of a socket on which nobody has set it.
	standard int32

	how service
	// errno is what setting a refused option returns.
	errno code
	// on are the sockets that can set it; others get wrong.
	on    kinds
	wrong code
	// noSet: setting it is like an option that does not exist. noGet is the error of reading it.
	noSet bool
	noGet code
	// neutral: the standard value of a refused option is accepted, since it asks for nothing.
	neutral bool
	// flag: any value but 0 is 1.
	flag bool
	// atLeastByte and exact are further rules for the length at the levels that take one byte: not
	// empty, and four bytes.
	atLeastByte, exact bool
	// shortIsZero: with less than four bytes the value is 0.
	shortIsZero bool
}

// kinds is a set of socket kinds.
type kinds uint8

const (
	streams kinds = 1 << iota // TCP
	udps
	pings // SOCK_DGRAM of ICMP
	raws
	datagrams = udps | pings | raws
)

func (k *socket) kind() kinds {
	switch {
	case k.typ == syscall.SOCK_STREAM:
		return streams
	case k.typ == syscall.SOCK_RAW:
		return raws
	case k.protocol == syscall.IPPROTO_UDP:
		return udps
	}
	return pings
}

// optionLevel is the table of one level, with what its options have in common.
type optionLevel struct {
	level   int
	options []option
	// bytes: an int may have one byte to set it, and is returned in one if it fits (ip(7), as on
	// the BSDs).
	bytes bool
}

// tableOf returns the table of a level, nil if a socket of this kind has no such level.
func (k *socket) tableOf(level int) *optionLevel {
	switch level {
	case syscall.SOL_SOCKET:
		return &socketLevel
	case syscall.IPPROTO_TCP:
		if k.kind() == streams {
			return &tcpOptions
		}
	case syscall.IPPROTO_UDP:
		if k.kind() == udps {
			return &udpOptions
		}
	case syscall.IPPROTO_IP:
		if k.family == syscall.AF_INET || k.kind() != raws {
			return &ipOptions
		}
	case syscall.IPPROTO_IPV6:
		if k.family == syscall.AF_INET6 {
			return &ipv6Options
		}
	case syscall.IPPROTO_ICMPV6:
		if k.kind() == raws && k.protocol == syscall.IPPROTO_ICMPV6 {
			return &icmpv6Options
		}
	case syscall.SOL_RAW:
		if k.kind() == raws && k.family == syscall.AF_INET {
			return &rawOptions
		}
	}
	return nil
}

func (l *optionLevel) row(name int) *option {
	if name < 0 || name >= len(l.options) || l.options[name].how == 0 {
		return nil
	}
	return &l.options[name]
}

// SetOption implements kernel.Socket.
func (k *socket) SetOption(level, name int, val []byte) syscall.Errno {
	l := k.tableOf(level)
	if l == nil {
		return syscall.ENOPROTOOPT
	}
	if !copiedAlways(level, name) {
		k.touched.Store(true)
	}
	o := l.row(name)
	if o == nil || o.noSet {
		return l.unknown(val)
	}
	if o.setBytes != nil {
		if o.on != 0 && o.on&k.kind() == 0 {
			return syscall.Errno(o.wrong)
		}
		return o.setBytes(k, val)
	}
	wrong := o.on != 0 && o.on&k.kind() == 0
	if wrong && level == syscall.IPPROTO_IPV6 {
		return syscall.Errno(o.wrong) // there before the length is looked at
	}
	v, e := l.intOf(o, val)
	if e != 0 {
		return e
	}
	if wrong {
		return syscall.Errno(o.wrong)
	}
	return k.setInt(optionKey{level, name}, o, v)
}

// copiedAlways are options that nearly every listener has, which an accepted socket inherits without
// the others.
func copiedAlways(level, name int) bool {
	return level == syscall.SOL_SOCKET && (name == syscall.SO_REUSEADDR || name == solsocket.ReusePort || name == syscall.SO_BROADCAST) ||
		level == syscall.IPPROTO_IPV6 && name == syscall.IPV6_V6ONLY
}

// unknown is the answer for an option that cannot be set: the length comes first where Linux
// reads the value before it looks at the name.
func (l *optionLevel) unknown(val []byte) syscall.Errno {
	switch l.level {
	case syscall.SOL_SOCKET, syscall.IPPROTO_TCP, syscall.IPPROTO_UDP:
		if len(val) < 4 {
			return syscall.EINVAL
		}
	}
	return syscall.ENOPROTOOPT
}

// intOf reads the value of an option of one int.
func (l *optionLevel) intOf(o *option, val []byte) (int, syscall.Errno) {
	switch {
	case o.exact && len(val) != 4, o.atLeastByte && len(val) == 0:
		return 0, syscall.EINVAL
	case l.bytes && len(val) == 0, o.shortIsZero && len(val) < 4:
		return 0, 0
	case l.bytes && len(val) < 4:
		return int(val[0]), 0
	}
	return intOf(val)
}

// intOf reads an int option.
func intOf(val []byte) (int, syscall.Errno) {
	if len(val) < 4 {
		return 0, syscall.EINVAL
	}
	return int(int32(binary.NativeEndian.Uint32(val))), 0
}

func (k *socket) setInt(key optionKey, o *option, v int) syscall.Errno {
	if (o.least != 0 || o.most != 0) && (v < int(o.least) || v > int(o.most)) {
		return syscall.EINVAL
	}
	if o.flag && v != 0 {
		v = 1
	}
	switch {
	case o.setFlag != nil:
		o.setFlag(k.ep().SocketOptions(), v != 0)
		return 0
	case o.set != nil:
		return o.set(k, v)
	case o.how == refused && o.neutral && v == int(o.standard):
		return 0
	case o.how == refused:
		return syscall.Errno(o.errno)
	}
	k.keep(key, v)
	return 0
}

// GetOption implements kernel.Socket.
func (k *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	l := k.tableOf(level)
	if l == nil {
		return 0, k.noSuchLevel(level)
	}
	o := l.row(name)
	switch {
	case o == nil:
		return 0, syscall.ENOPROTOOPT
	case o.noGet != 0:
		return 0, syscall.Errno(o.noGet)
	case o.getBytes != nil:
		return o.getBytes(k, dst)
	}
	v, e := k.getInt(optionKey{level, name}, o)
	if e != 0 {
		return 0, e
	}
	if l.bytes && len(dst) > 0 && len(dst) < 4 && v >= 0 && v <= 255 {
		dst[0] = byte(v)
		return 1, 0
	}
	return putInt(dst, v)
}

// noSuchLevel is what Linux's last function for a family answers: do_ip_getsockopt or
// ipv6_getsockopt.
func (k *socket) noSuchLevel(level int) syscall.Errno {
	if k.family == syscall.AF_INET6 {
		return syscall.ENOPROTOOPT
	}
	return syscall.EOPNOTSUPP
}

func (k *socket) getInt(key optionKey, o *option) (int, syscall.Errno) {
	switch {
	case o.getFlag != nil:
		return boolInt(o.getFlag(k.ep().SocketOptions())), 0
	case o.get != nil:
		return o.get(k)
	}
	return k.kept(key, int(o.standard)), 0
}

func boolInt(v bool) int {
	if v {
		return 1
	}
	return 0
}

// putInt writes an int option, truncated to the length of dst, as getsockopt(2) does.
func putInt(dst []byte, v int) (int, syscall.Errno) {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(int32(v)))
	return copy(dst, b[:]), 0
}

type optionKey struct{ level, name int }

// keep stores the value of an option.
func (k *socket) keep(key optionKey, v int) {
	k.stored.mu.Lock()
	defer k.stored.mu.Unlock()
	if k.stored.ints == nil {
		k.stored.ints = make(map[optionKey]int32)
	}
	k.stored.ints[key] = int32(v)
}

// kept returns the value that keep has stored, or standard.
func (k *socket) kept(key optionKey, standard int) int {
	k.stored.mu.Lock()
	defer k.stored.mu.Unlock()
	if v, ok := k.stored.ints[key]; ok {
		return int(v)
	}
	return standard
}

// setEndpointInt sets an integer option of gVisor.
func (k *socket) setEndpointInt(o tcpip.SockOptInt, v int) syscall.Errno {
	return errnoOf(k.ep().SetSockOptInt(o, v))
}

// endpointInt reads an integer option of gVisor.
func (k *socket) endpointInt(o tcpip.SockOptInt) (int, syscall.Errno) {
	v, err := k.ep().GetSockOptInt(o)
	return v, errnoOf(err)
}

// cString cuts b at its first NUL.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
