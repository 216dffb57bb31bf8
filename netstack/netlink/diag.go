package netlink

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// This file answers NETLINK_SOCK_DIAG (sock_diag(7)), by which ss(8) and its like list sockets: the
// requests of linux/sock_diag.h, and of linux/inet_diag.h for TCP and UDP; diag_unix.go has those for
// unix sockets. Other families and protocols are those of modules that are not loaded (ENOENT).

// A SocketSource lists open sockets.
type SocketSource interface {
	// InternetSockets returns the sockets of a family and a protocol, AF_INET or AF_INET6 and
	// IPPROTO_TCP or IPPROTO_UDP, as far as they have a port.
	InternetSockets(family, protocol int) []InternetSocket
	UnixSockets() []UnixSocket
}

// InternetSocket is a TCP or UDP socket. Addresses are of the socket's family: those of IPv4 in a
// socket of IPv6 are mapped (RFC 4291, section 2.5.5.2).
type InternetSocket struct {
	Local, Remote    netip.AddrPort // Remote is unspecified where there is none
	State            uint8          // enum tcp_states
	Shutdown         uint8          // bits: received no more, sent no more
	Bound            bool           // bind(2) has named the port
	Interface        int            // SO_BINDTODEVICE's; 0 for none
	Inode            uint64         // also the cookie (SO_COOKIE)
	Received, Unsent int            // bytes; connections and backlog of a listener
	// Option is getsockopt(2).
	Option func(level, name int, dst []byte) (int, syscall.Errno)
}

// ListSockets lets programs list the sockets of source.
func ListSockets(f *Family, source SocketSource) {
	f.diagnose = func(a *answer) { (&diagnosis{answer: a, source: source}).serve() }
}

// diagnosis is the processing of one request.
type diagnosis struct {
	*answer
	source SocketSource
}

// Constants of linux/sock_diag.h and linux/inet_diag.h.
const (
	protocolSockDiag = 4 // NETLINK_SOCK_DIAG of linux/netlink.h

	oldGetSockets  = 18
	oldDCCPSockets = 19
	getSockets     = 20 // SOCK_DIAG_BY_FAMILY
	destroySocket  = 21

	oldRequestSize  = 60 // struct inet_diag_req
	inetRequestSize = 56 // struct inet_diag_req_v2
	socketIDSize    = 48 // struct inet_diag_sockid
	noCookie        = ^uint64(0)
)

// serve answers the request, as sock_diag_rcv_msg in Linux's net/core/sock_diag.c.
func (d *diagnosis) serve() {
	e := syscall.Errno(0)
	dump := d.r.flags&syscall.NLM_F_DUMP != 0
	if d.r.flags&syscall.NLM_F_REQUEST != 0 && d.r.typ >= syscall.NLMSG_MIN_TYPE {
		var end syscall.Errno
		if end, e = d.request(dump); e == 0 && dump {
			d.done(d.r, d.port, end)
			return
		}
	}
	if e != 0 || d.r.flags&syscall.NLM_F_ACK != 0 {
		d.status(d.r, d.port, e, d.capped)
	}
}

// request answers one. A dump that cannot be made of what is there ends with an error instead.
func (d *diagnosis) request(dump bool) (end, e syscall.Errno) {
	b := d.r.body()
	switch d.r.typ {
	case oldGetSockets:
		r := oldRequest(b)
		if dump {
			r.family = syscall.AF_UNSPEC
		}
		return d.internet(r, dump)
	case destroySocket, getSockets:
	default:
		return 0, syscall.EINVAL
	}
	if len(b) < 2 || b[0] >= familyMax {
		return 0, syscall.EINVAL
	}
	known := b[0] == syscall.AF_INET || b[0] == syscall.AF_INET6 || b[0] == syscall.AF_UNIX
	switch {
	case !known:
		return 0, syscall.ENOENT
	case d.r.typ == destroySocket:
		return 0, syscall.EOPNOTSUPP // of a kernel without CONFIG_INET_DIAG_DESTROY
	case b[0] == syscall.AF_UNIX:
		return 0, d.unix(dump)
	}
	return d.internet(newRequest(b), dump)
}

const familyMax = 46 // AF_MAX of linux/socket.h

// inetRequest is struct inet_diag_req_v2.
type inetRequest struct {
	family, protocol, extensions uint8
	states                       uint32
	id                           socketID
	header                       int // bytes before the attributes; 0 if the request is too short
}

// socketID is struct inet_diag_sockid.
type socketID struct {
	from, to         [16]byte // 4 of them for IPv4
	fromPort, toPort uint16   // 0: any
	device           uint32
	cookie           uint64
}

func newRequest(b []byte) (r inetRequest) {
	if len(b) < inetRequestSize {
		return r
	}
	r = inetRequest{family: b[0], protocol: b[1], extensions: b[2], states: binary.NativeEndian.Uint32(b[4:]), header: inetRequestSize}
	r.id = newSocketID(b[8:])
	return r
}

// oldRequest reads struct inet_diag_req, which is about TCP.
func oldRequest(b []byte) (r inetRequest) {
	if len(b) < oldRequestSize {
		return r
	}
	r = inetRequest{family: b[0], protocol: syscall.IPPROTO_TCP, extensions: b[3], header: oldRequestSize}
	r.id = newSocketID(b[4:])
	r.states = binary.NativeEndian.Uint32(b[4+socketIDSize:])
	return r
}

func newSocketID(b []byte) socketID {
	id := socketID{
		fromPort: binary.BigEndian.Uint16(b), toPort: binary.BigEndian.Uint16(b[2:]),
		device: binary.NativeEndian.Uint32(b[36:]), cookie: binary.NativeEndian.Uint64(b[40:]),
	}
	copy(id.from[:], b[4:])
	copy(id.to[:], b[20:])
	return id
}

// address returns one of an ID's addresses.
func (r *inetRequest) address(b *[16]byte) netip.Addr {
	if r.family == syscall.AF_INET {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(*b)
}

// internet answers a request about TCP or UDP.
func (d *diagnosis) internet(r inetRequest, dump bool) (end, e syscall.Errno) {
	if r.header == 0 {
		return 0, syscall.EINVAL
	}
	known := r.protocol == syscall.IPPROTO_TCP || r.protocol == syscall.IPPROTO_UDP
	if !dump {
		if !known {
			return 0, syscall.ENOENT
		}
		return 0, d.oneSocket(&r)
	}
	code := d.r.attribute(r.header, requestFilter)
	if code != nil && !validFilter(code) {
		return 0, syscall.EINVAL
	}
	if !known {
		return syscall.ENOENT, 0
	}
	for _, family := range []uint8{syscall.AF_INET, syscall.AF_INET6} {
		if r.family != syscall.AF_UNSPEC && r.family != family {
			continue
		}
		for _, s := range d.source.InternetSockets(int(family), int(r.protocol)) {
			if r.wants(&s) && (code == nil || passes(code, family, &s)) {
				d.internetSocket(&r, family, &s, syscall.NLM_F_MULTI)
			}
		}
	}
	return 0, 0
}

// Numbers of enum tcp_states.
const (
	stateClose  = 7
	stateListen = 10
	stateBound  = 13 // TCP_BOUND_INACTIVE, by which a request names what is CLOSE and has a port
)

// wants tells whether a dump has a socket, as inet_diag_dump_icsk and udp_dump in Linux's net/ipv4. A
// TCP socket that only has a port is in it whatever port is asked for.
func (r *inetRequest) wants(s *InternetSocket) bool {
	if r.idle(s) {
		return r.states&(1<<stateBound) != 0
	}
	return r.states&(1<<s.State) != 0 &&
		(r.id.fromPort == 0 || r.id.fromPort == s.Local.Port()) &&
		(r.id.toPort == 0 || r.id.toPort == s.Remote.Port())
}

// idle tells whether a socket is one of TCP that neither listens nor has a connection.
func (r *inetRequest) idle(s *InternetSocket) bool {
	return r.protocol == syscall.IPPROTO_TCP && s.State == stateClose
}

// oneSocket answers a request for the socket that gets packets between two addresses.
func (d *diagnosis) oneSocket(r *inetRequest) syscall.Errno {
	if r.family != syscall.AF_INET && r.family != syscall.AF_INET6 {
		return syscall.EINVAL
	}
	local, remote := netip.AddrPortFrom(r.address(&r.id.from), r.id.fromPort), netip.AddrPortFrom(r.address(&r.id.to), r.id.toPort)
	if r.protocol == syscall.IPPROTO_UDP {
		local, remote = remote, local // "swapped for historical reasons": udp_dump_one in Linux's net/ipv4/udp_diag.c
	}
	s, ok := receiver(d.source.InternetSockets(int(r.family), int(r.protocol)), local, remote, r.protocol == syscall.IPPROTO_TCP)
	switch {
	case !ok:
		return syscall.ENOENT
	case r.id.cookie == noCookie || r.id.cookie == s.Inode:
	case r.protocol == syscall.IPPROTO_UDP:
		return syscall.ESTALE
	default:
		return syscall.ENOENT
	}
	d.internetSocket(r, r.family, &s, 0)
	return 0
}

// receiver returns the socket that gets packets from remote to local: one with that peer, else one
// without a peer (of TCP, a listener) at that address, else at that port.
func receiver(sockets []InternetSocket, local, remote netip.AddrPort, tcp bool) (best InternetSocket, ok bool) {
	rank := 0
	for _, s := range sockets {
		at := 0
		switch {
		case s.Local.Port() != local.Port() || tcp && s.State == stateClose:
		case s.Remote == remote && s.Local.Addr() == local.Addr():
			at = 3
		case s.Remote.Port() != 0:
		case s.Local.Addr() == local.Addr():
			at = 2
		case s.Local.Addr().IsUnspecified():
			at = 1
		}
		if at > rank {
			best, rank = s, at
		}
	}
	return best, rank > 0
}
