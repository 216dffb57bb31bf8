package packetsock

import (
	"bytes"
	"encoding/binary"
	"math"
	"syscall"
)

// This file has the options of SOL_SOCKET, socket(7), as sk_setsockopt and sk_getsockopt in Linux's
// net/core/sock.c serve them for packet sockets. Those of SOL_PACKET are in packet_options.go.

// Options that package syscall lacks, asm-generic/socket.h.
const (
	soNoCheck         = 11
	soReusePort       = 15
	soPeerName        = 28
	soProtocol        = 38
	soDomain          = 39
	soRxqOvfl         = 40
	soWifiStatus      = 41
	soPeekOff         = 42
	soNoFCS           = 43
	soLockFilter      = 44
	soSelectErrQueue  = 45
	soBusyPoll        = 46
	soMaxPacingRate   = 47
	soBPFExtensions   = 48
	soIncomingCPU     = 49
	soAttachBPF       = 50
	soAttachReuseCBPF = 51
	soAttachReuseEBPF = 52
	soCnxAdvice       = 53
	soMeminfo         = 55
	soIncomingNapiID  = 56
	soCookie          = 57
	soPeerGroups      = 59
	soZerocopy        = 60
	soTxTime          = 61
	soBindToIfIndex   = 62
	soTimestampNew    = 63
	soTimestampNSNew  = 64
	soTimestampingNew = 65
	soDetachReuseBPF  = 68
	soPreferBusyPoll  = 69
	soNetnsCookie     = 71
	soBufLock         = 72
	soReserveMem      = 73
	soTxRehash        = 74
	soPassPidFD       = 76
	soPeerPidFD       = 77
	soPassRights      = 83

	// keepsStamps is where socket.stored has that SIOCGSTAMP was called.
	keepsStamps = -1
)

const (
	defaultBuffer    = 212992 // net.core.rmem_default and wmem_default
	mostBuffer       = 4 << 20
	minSendBuffer    = 4608 // SOCK_MIN_SNDBUF
	minReceiveBuffer = 2304 // SOCK_MIN_RCVBUF
	ifNameSize       = 16

	// Bits of SO_BUF_LOCK, linux/socket.h: the program has chosen the size. No buffer here is tuned.
	lockSend, lockReceive = 1, 2
)

// Flags of SO_TIMESTAMPING, linux/net_tstamp.h: see sockopt_time.go of netstack.
const (
	stampReceived = 1 << 3
	stampSoftware = 1 << 4
	stampsSent    = 1<<1 | 1<<8 | 1<<9 | 1<<18
	stampsKnown   = 1<<19 - 1
)

// keptOption is an option whose value is only kept, as on Linux, or looked at elsewhere in this package.
type keptOption struct {
	flag        bool // any value but 0 is 1
	least, most int32
	standard    int32
}

var (
	keptFlag = keptOption{flag: true, least: math.MinInt32, most: math.MaxInt32}
	keptInt  = keptOption{least: math.MinInt32, most: math.MaxInt32}
)

func kept(name int) (o keptOption, ok bool) {
	switch name {
	case syscall.SO_DEBUG, syscall.SO_REUSEADDR, syscall.SO_DONTROUTE, syscall.SO_BROADCAST, syscall.SO_KEEPALIVE,
		syscall.SO_OOBINLINE, soNoCheck, soRxqOvfl, soWifiStatus, soNoFCS, soLockFilter, soSelectErrQueue:
		return keptFlag, true
	case syscall.SO_PRIORITY, syscall.SO_MARK:
		return keptInt, true
	case soIncomingCPU:
		return keptOption{least: math.MinInt32, most: math.MaxInt32, standard: -1}, true
	case syscall.SO_RCVLOWAT:
		return keptOption{least: math.MinInt32, most: math.MaxInt32, standard: 1}, true
	case soBusyPoll, soPreferBusyPoll, soReusePort: // only the standard is accepted: see accept
		return keptOption{flag: name != soBusyPoll, least: 0, most: math.MaxInt32}, true
	case soBufLock:
		return keptOption{least: 0, most: lockSend | lockReceive}, true
	}
	return o, false
}

// SetOption implements kernel.Socket.
func (s *socket) SetOption(level, name int, val []byte) syscall.Errno {
	switch {
	case level == syscall.SOL_PACKET:
		return s.setPacketOption(name, val)
	case level != syscall.SOL_SOCKET:
		return syscall.ENOPROTOOPT
	case name == syscall.SO_BINDTODEVICE:
		return s.bindToDevice(val)
	case len(val) < 4:
		return syscall.EINVAL
	}
	v := int32(binary.NativeEndian.Uint32(val))
	switch name {
	case syscall.SO_ATTACH_FILTER:
		return s.attachFilter(val)
	case syscall.SO_DETACH_FILTER:
		return s.detachFilter()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case syscall.SO_SNDBUF, syscall.SO_SNDBUFFORCE:
		s.sndbuf = bufferSize(v, name == syscall.SO_SNDBUFFORCE, minSendBuffer)
		s.keep(soBufLock, s.stored[soBufLock]|lockSend)
	case syscall.SO_RCVBUF, syscall.SO_RCVBUFFORCE:
		s.rcvbuf = bufferSize(v, name == syscall.SO_RCVBUFFORCE, minReceiveBuffer)
		s.keep(soBufLock, s.stored[soBufLock]|lockReceive)
	case syscall.SO_TIMESTAMP, syscall.SO_TIMESTAMPNS, soTimestampNew, soTimestampNSNew:
		s.setStampForm(name, v != 0)
	case syscall.SO_TIMESTAMPING, soTimestampingNew:
		if v&^stampsKnown != 0 || v&stampsSent != 0 {
			return syscall.EINVAL
		}
		s.stamping, s.newStamps = uint32(v), name == soTimestampingNew
	case syscall.SO_LINGER, soTxTime, soMaxPacingRate:
		return s.setLong(name, val)
	case soBindToIfIndex:
		return s.bindToIndex(v)
	case soCnxAdvice, soBSDCompat: // nothing, as on Linux
	default:
		return s.accept(name, v)
	}
	return 0
}

const soBSDCompat = 14

// accept keeps the value of an option, or says why not. mu is held.
func (s *socket) accept(name int, v int32) syscall.Errno {
	o, ok := kept(name)
	switch {
	case !ok:
		return refusal(name, v)
	case v < o.least || v > o.most:
		if name == soReusePort {
			return syscall.EOPNOTSUPP
		}
		return syscall.EINVAL
	case name == soReusePort && v != 0:
		return syscall.EOPNOTSUPP
	case (name == soBusyPoll || name == soPreferBusyPoll) && v != 0: // cards interrupt
		return syscall.ENOPROTOOPT
	case name == soLockFilter && v == 0 && s.stored[soLockFilter] != 0:
		return syscall.EPERM
	case name == syscall.SO_RCVLOWAT && v == 0, o.flag && v != 0:
		v = 1
	case name == syscall.SO_RCVLOWAT && v < 0:
		v = math.MaxInt32
	}
	s.keep(name, v)
	return 0
}

// refusal is the answer to an option that cannot be set.
func refusal(name int, v int32) syscall.Errno {
	switch name {
	case syscall.SO_PASSCRED, syscall.SO_PASSSEC, soPeekOff, soZerocopy, soTxRehash, soPassPidFD, soPassRights:
		return syscall.EOPNOTSUPP
	case soReserveMem:
		if v < 0 {
			return syscall.EINVAL
		}
		return syscall.EOPNOTSUPP
	case soAttachBPF, soAttachReuseEBPF, soAttachReuseCBPF, soDetachReuseBPF:
		return syscall.EINVAL
	}
	return syscall.ENOPROTOOPT
}

func (s *socket) keep(name int, v int32) {
	if s.stored == nil {
		s.stored = make(map[int]int32)
	}
	s.stored[name] = v
}

func (s *socket) isStored(name int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[name] != 0
}

// bufferSize doubles the value as socket(7) describes it. The comparison with the limit is unsigned in
// Linux; forced, there is none.
func bufferSize(v int32, forced bool, least int) int {
	switch {
	case forced:
		return max(2*int(min(max(v, 0), math.MaxInt32/2)), least)
	case v < 0 || v > mostBuffer:
		v = mostBuffer
	}
	return max(2*int(v), least)
}

// setStampForm switches one of SO_TIMESTAMP and those beside it. Those with 64-bit times (…_NEW) share a bit
// with SO_TIMESTAMPING's (__sock_set_timestamps in Linux's net/core/sock.c). mu is held.
func (s *socket) setStampForm(name int, on bool) {
	s.stamps, s.nanoStamps = on, on && (name == syscall.SO_TIMESTAMPNS || name == soTimestampNSNew)
	if on {
		s.newStamps = name == soTimestampNew || name == soTimestampNSNew
		s.keep(keepsStamps, 1)
	}
}

// stampForm returns the option that says in which form times are told, 0 if they are not. mu is held.
func (s *socket) stampForm() int {
	switch {
	case !s.stamps:
		return 0
	case s.newStamps && s.nanoStamps:
		return soTimestampNSNew
	case s.newStamps:
		return soTimestampNew
	case s.nanoStamps:
		return syscall.SO_TIMESTAMPNS
	}
	return syscall.SO_TIMESTAMP
}

// setLong sets an option of more than an int. mu is held.
func (s *socket) setLong(name int, val []byte) syscall.Errno {
	switch name {
	case soMaxPacingRate: // of the queueing discipline fq; it is kept as its complement
		rate := uint64(binary.NativeEndian.Uint32(val))
		if len(val) >= 8 {
			rate = binary.NativeEndian.Uint64(val)
		} else if rate == math.MaxUint32 {
			rate = math.MaxUint64
		}
		s.pacing = ^rate
	case syscall.SO_LINGER:
		if len(val) < len(s.linger) {
			return syscall.EINVAL
		}
		s.setLinger(val)
	case soTxTime: // struct sock_txtime: a clock, and flags
		const known = 3                           // SOF_TXTIME_FLAGS_MASK
		const realtime, monotonic, tai = 0, 1, 11 // CLOCK_*
		if len(val) != len(s.txTime) || binary.NativeEndian.Uint32(val[4:])&^known != 0 {
			return syscall.EINVAL
		}
		if c := binary.NativeEndian.Uint32(val); c != realtime && c != monotonic && c != tai {
			return syscall.EINVAL
		}
		copy(s.txTime[:], val)
		s.hasTxTime = true
	}
	return 0
}

// setLinger keeps a struct linger: on or off, which keeps the time of before, and seconds.
func (s *socket) setLinger(val []byte) {
	if binary.NativeEndian.Uint32(val) == 0 {
		binary.NativeEndian.PutUint32(s.linger[:], 0)
		return
	}
	binary.NativeEndian.PutUint32(s.linger[:], 1)
	copy(s.linger[4:], val[4:8])
}

// bindToDevice is SO_BINDTODEVICE, which Linux keeps and does not look at: bind(2) is what chooses the
// interface (socket(7)).
func (s *socket) bindToDevice(val []byte) syscall.Errno {
	name := val[:min(len(val), ifNameSize-1)]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	index := 0
	if len(name) != 0 {
		for i, n := range s.family.net.InterfaceNames() {
			if n == string(name) {
				index = i
			}
		}
		if index == 0 {
			return syscall.ENODEV
		}
	}
	s.mu.Lock()
	s.device = index
	s.mu.Unlock()
	return 0
}

// bindToIndex is SO_BINDTOIFINDEX. mu is held.
func (s *socket) bindToIndex(v int32) syscall.Errno {
	if v < 0 {
		return syscall.EINVAL
	}
	s.device = int(v)
	return 0
}

// attachFilter is SO_ATTACH_FILTER.
func (s *socket) attachFilter(val []byte) syscall.Errno {
	f, e := s.family.newFilter(val, s.isStored(soLockFilter), s.filter.Load())
	if e == 0 {
		s.filter.Store(f)
	}
	return e
}

// detachFilter is SO_DETACH_FILTER.
func (s *socket) detachFilter() syscall.Errno {
	switch {
	case s.isStored(soLockFilter):
		return syscall.EPERM
	case s.filter.Swap(nil) == nil:
		return syscall.ENOENT
	}
	return 0
}
