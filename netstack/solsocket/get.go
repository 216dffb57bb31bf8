package solsocket

import (
	"encoding/binary"
	"math"
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/bpf"
)

// About is what a family tells of a socket when an option is read.
type About struct {
	Domain, Type, Protocol int
	Listening              bool
	Cookie                 uint64 // SO_COOKIE
	Held                   int    // bytes in the receive queue
	Drops                  uint32 // packets that found no room
}

// Get is getsockopt(2) of an option, for which a family has nothing to say: of its first bytes, if dst has no room for
// all. It returns how many there are in dst.
func (o *Options) Get(name int, dst []byte, a *About) (int, syscall.Errno) {
	var b [MeminfoSize]byte
	put := binary.NativeEndian.PutUint32
	switch name {
	case syscall.SO_LINGER:
		return copy(dst, o.linger[:]), 0
	case TxTime:
		return copy(dst, o.txTime[:]), 0
	case MaxPacingRate:
		return o.getPacingRate(dst), 0
	case syscall.SO_PEERCRED: // nobody: no process, user and group -1
		return copy(dst, "\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), 0
	case syscall.SO_TIMESTAMPING, TimestampingNew: // struct so_timestamping: flags, and a clock
		if name == syscall.SO_TIMESTAMPING || o.newForm {
			put(b[:], o.stamping)
		}
		return copy(dst, b[:8]), 0
	case Meminfo: // the numbers of linux/sock_diag.h that there are here
		put(b[0:], uint32(a.Held))
		put(b[4:], uint32(o.Receive))
		put(b[12:], uint32(o.Send))
		put(b[32:], a.Drops)
		return copy(dst, b[:]), 0
	case Cookie:
		if len(dst) < 8 {
			return 0, syscall.EINVAL
		}
		binary.NativeEndian.PutUint64(dst, a.Cookie)
		return 8, 0
	case NetnsCookie: // the only network namespace
		if len(dst) != 8 {
			return 0, syscall.EINVAL
		}
		binary.NativeEndian.PutUint64(dst, 1)
		return 8, 0
	}
	v, e := o.getInt(name, a)
	if e != 0 {
		return 0, e
	}
	put(b[:], uint32(v))
	return copy(dst, b[:4]), 0
}

// getInt returns an option that is an int.
func (o *Options) getInt(name int, a *About) (int, syscall.Errno) {
	switch name {
	case syscall.SO_TYPE:
		return a.Type, 0
	case Domain:
		return a.Domain, 0
	case Protocol:
		return a.Protocol, 0
	case syscall.SO_ACCEPTCONN:
		if a.Listening {
			return 1, 0
		}
		return 0, 0
	case syscall.SO_SNDBUF:
		return o.Send, 0
	case syscall.SO_RCVBUF:
		return o.Receive, 0
	case syscall.SO_SNDLOWAT:
		return 1, 0 // always, socket(7)
	case BPFExtensions:
		return bpf.MetadataEnd, 0
	case BindToIfIndex:
		return o.Device, 0
	case syscall.SO_TIMESTAMP, syscall.SO_TIMESTAMPNS, TimestampNew, TimestampNSNew:
		if o.StampForm() == name {
			return 1, 0
		}
		return 0, 0
	case ReusePort, IncomingNapiID, Zerocopy, ReserveMem, BSDCompat:
		return 0, 0
	}
	if _, ok := o.keeps(name); ok {
		return o.Int(name), 0
	}
	return o.getRefused(name)
}

// getRefused is the answer to an option that has no value.
func (o *Options) getRefused(name int) (int, syscall.Errno) {
	switch name {
	case PassPidFD:
		if o.traits&Rights != 0 {
			return 0, 0
		}
		return 0, syscall.EOPNOTSUPP
	case syscall.SO_PASSCRED, PassSec, PeekOff, TxRehash, PassRights:
		return 0, syscall.EOPNOTSUPP
	case PeerName:
		return 0, syscall.ENOTCONN
	case PeerGroups, PeerPidFD:
		return 0, syscall.ENODATA
	}
	return 0, syscall.ENOPROTOOPT
}

func (o *Options) getPacingRate(dst []byte) int {
	rate := ^o.unpaced
	var b [8]byte
	if len(dst) < len(b) {
		binary.NativeEndian.PutUint32(b[:], uint32(min(rate, math.MaxUint32)))
		return copy(dst, b[:4])
	}
	binary.NativeEndian.PutUint64(b[:], rate)
	return copy(dst, b[:])
}

// GetPeerName is SO_PEERNAME, getpeername(2) in another form: peer writes the address. dst may be shorter than it, not
// longer.
func GetPeerName(dst []byte, peer func([]byte) (int, syscall.Errno)) (int, syscall.Errno) {
	var b [128]byte // struct sockaddr_storage
	n, e := peer(b[:])
	if e != 0 {
		return 0, syscall.ENOTCONN
	}
	if n < len(dst) {
		return 0, syscall.EINVAL
	}
	return copy(dst, b[:n]), 0
}
