// Package solsocket has the options of SOL_SOCKET, socket(7), that do the same for sockets of several families: their
// numbers (names.go), and a type that checks and keeps them. It follows sk_setsockopt and sk_getsockopt in
// net/core/sock.c of Linux 6.18. TestOptionsAsOnLinux compares every option of unix, netlink and packet sockets with
// the Linux under it.
//
// Start reading at Options. A family serves what is its own, errors, names, filters and peers, and leaves the rest to
// Options.Set and Options.Get. The internet's options have a table of their own, in package netstack.
package solsocket

import (
	"encoding/binary"
	"math"
	"syscall"
)

// Traits say in what the sockets of a family differ from those of others.
type Traits uint8

const (
	// Cards is for sockets to which frames of cards come. Cards interrupt and keep no times of sending: what asks for
	// polling or for such times is refused, and so is what would be told of a frame's mark and priority. Sockets
	// without have nothing to poll and nothing to tell, and accept all of it, as on Linux.
	Cards Traits = 1 << iota
	// Credentials is for SO_PASSCRED and SO_PASSSEC: sk_may_scm_recv in Linux's include/net/sock.h.
	Credentials
	// PeekOffset is for SO_PEEK_OFF.
	PeekOffset
	// Rights is for SO_PASSRIGHTS.
	Rights
)

const (
	defaultBuffer    = 212992  // net.core.rmem_default and wmem_default
	mostBuffer       = 4 << 20 // net.core.rmem_max and wmem_max
	minSendBuffer    = 4608    // SOCK_MIN_SNDBUF of Linux on amd64
	minReceiveBuffer = 2304    // SOCK_MIN_RCVBUF

	// Bits of SO_BUF_LOCK, linux/socket.h: the program has chosen the size. No buffer here is tuned.
	lockSend, lockReceive = 1, 2
)

// Options are those of one socket, whose lock guards them.
type Options struct {
	// Send and Receive are the sizes of the buffers in bytes, SO_SNDBUF and SO_RCVBUF.
	Send, Receive int
	// Device is the index of the interface of SO_BINDTODEVICE and SO_BINDTOIFINDEX, 0: none. Linux looks at it for sockets of the
	// internet only.
	Device int

	traits    Traits
	hasTxTime bool
	stamps    bool   // SO_TIMESTAMP or one of those beside it is on
	nanos     bool   // one in nanoseconds
	newForm   bool   // one of those with 64-bit times, or SO_TIMESTAMPING_NEW
	stamping  uint32 // flags of SO_TIMESTAMPING
	unpaced   uint64 // the complement of SO_MAX_PACING_RATE
	linger    [8]byte
	txTime    [8]byte
	kept      map[int]int32
}

// New returns the options of a new socket.
func New(t Traits) Options { return Options{traits: t, Send: defaultBuffer, Receive: defaultBuffer} }

// keeping is how the value of an option is kept, which is looked at by nobody, as on Linux, or by the family.
type keeping struct {
	flag        bool // any value but 0 is 1
	least, most int32
	standard    int32
}

// keeps returns how an option is kept; ok is false if it is not.
func (o *Options) keeps(name int) (k keeping, ok bool) {
	all := keeping{least: math.MinInt32, most: math.MaxInt32}
	flag := keeping{flag: true, least: math.MinInt32, most: math.MaxInt32}
	switch name {
	case syscall.SO_DEBUG, syscall.SO_REUSEADDR, syscall.SO_DONTROUTE, syscall.SO_BROADCAST, syscall.SO_KEEPALIVE,
		syscall.SO_OOBINLINE, NoCheck, RxqOvfl, WifiStatus, NoFCS, LockFilter, SelectErrQueue, PreferBusyPoll:
		return flag, true
	case syscall.SO_PASSCRED, PassSec:
		return flag, o.traits&Credentials != 0
	case PassRights:
		flag.standard = 1
		return flag, o.traits&Rights != 0
	case RcvMark, RcvPriority:
		return flag, o.traits&Cards == 0
	case syscall.SO_PRIORITY, syscall.SO_MARK:
		return all, true
	case PeekOff:
		all.standard = -1
		return all, o.traits&PeekOffset != 0
	case IncomingCPU:
		all.standard = -1
		return all, true
	case syscall.SO_RCVLOWAT:
		all.standard = 1
		return all, true
	case BusyPoll:
		return keeping{most: math.MaxInt32}, true
	case BufLock:
		return keeping{most: lockSend | lockReceive}, true
	}
	return k, false
}

// Int returns the value of an option that is kept, of which a flag is 0 or 1.
func (o *Options) Int(name int) int {
	if v, ok := o.kept[name]; ok {
		return int(v)
	}
	k, _ := o.keeps(name)
	return int(k.standard)
}

// Keep sets the value of an option that is kept.
func (o *Options) Keep(name, v int) {
	if o.kept == nil {
		o.kept = make(map[int]int32)
	}
	o.kept[name] = int32(v)
}

// Set is setsockopt(2) of an option, for which a family has nothing to say.
func (o *Options) Set(name int, val []byte) syscall.Errno {
	if len(val) < 4 {
		return syscall.EINVAL
	}
	v := int32(binary.NativeEndian.Uint32(val))
	switch name {
	case syscall.SO_SNDBUF, syscall.SO_SNDBUFFORCE:
		o.Send = bufferSize(v, name == syscall.SO_SNDBUFFORCE, minSendBuffer)
		o.Keep(BufLock, o.Int(BufLock)|lockSend)
	case syscall.SO_RCVBUF, syscall.SO_RCVBUFFORCE:
		o.Receive = bufferSize(v, name == syscall.SO_RCVBUFFORCE, minReceiveBuffer)
		o.Keep(BufLock, o.Int(BufLock)|lockReceive)
	case syscall.SO_TIMESTAMP, syscall.SO_TIMESTAMPNS, TimestampNew, TimestampNSNew:
		o.setStamps(name, v != 0)
	case syscall.SO_TIMESTAMPING, TimestampingNew:
		return o.setStamping(name, uint32(v))
	case syscall.SO_LINGER:
		return o.setLinger(val)
	case TxTime:
		return o.setTxTime(val)
	case MaxPacingRate:
		o.setPacingRate(val)
	case BindToIfIndex:
		if v < 0 {
			return syscall.EINVAL
		}
		o.Device = int(v)
	case BSDCompat, CnxAdvice: // nothing, as on Linux
	default:
		return o.accept(name, v)
	}
	return 0
}

// accept keeps the value of an option, or says why not.
func (o *Options) accept(name int, v int32) syscall.Errno {
	k, ok := o.keeps(name)
	switch {
	case !ok:
		return o.refusal(name, v)
	case v < k.least || v > k.most:
		return syscall.EINVAL
	case (name == BusyPoll || name == PreferBusyPoll) && v != 0 && o.traits&Cards != 0:
		return syscall.ENOPROTOOPT
	case name == LockFilter && v == 0 && o.Int(LockFilter) != 0:
		return syscall.EPERM
	case name == syscall.SO_RCVLOWAT && v == 0, k.flag && v != 0:
		v = 1
	case name == syscall.SO_RCVLOWAT && v < 0:
		v = math.MaxInt32
	}
	o.Keep(name, int(v))
	return 0
}

// refusal is the answer to an option that is not kept, which some values pass that ask for nothing.
func (o *Options) refusal(name int, v int32) syscall.Errno {
	const mostBudget = math.MaxUint16
	switch name {
	case ReusePort: // of the internet, since Linux 6.14
		if v == 0 {
			return 0
		}
		return syscall.EOPNOTSUPP
	case syscall.SO_PASSCRED, PassSec, PeekOff, Zerocopy, TxRehash, PassRights:
		return syscall.EOPNOTSUPP
	case PassPidFD:
		if o.traits&Rights == 0 {
			return syscall.EOPNOTSUPP
		}
		if v == 0 {
			return 0
		}
	case BusyPollBudget:
		if o.traits&Cards != 0 {
			return syscall.ENOPROTOOPT
		}
		if v < 0 || v > mostBudget {
			return syscall.EINVAL
		}
		return 0
	case ReserveMem:
		if v < 0 {
			return syscall.EINVAL
		}
		return syscall.EOPNOTSUPP
	case AttachBPF, AttachReuseEBPF, AttachReuseCBPF, DetachReuseBPF: // there is no bpf(2)
		return syscall.EINVAL
	case DevmemDontNeed:
		return syscall.EBADF
	}
	return syscall.ENOPROTOOPT
}

// bufferSize doubles the value as socket(7) describes it. The comparison with the limit is unsigned in Linux; forced,
// there is none.
func bufferSize(v int32, forced bool, least int) int {
	switch {
	case forced:
		return max(2*int(min(max(v, 0), math.MaxInt32/2)), least)
	case v < 0 || v > mostBuffer:
		v = mostBuffer
	}
	return max(2*int(v), least)
}

// setLinger keeps a struct linger: on or off, which keeps the time of before, and seconds.
func (o *Options) setLinger(val []byte) syscall.Errno {
	if len(val) < len(o.linger) {
		return syscall.EINVAL
	}
	if binary.NativeEndian.Uint32(val) == 0 {
		binary.NativeEndian.PutUint32(o.linger[:], 0)
		return 0
	}
	binary.NativeEndian.PutUint32(o.linger[:], 1)
	copy(o.linger[4:], val[4:])
	return 0
}

// setTxTime keeps a struct sock_txtime: a clock, and flags. Queueing disciplines look at it.
func (o *Options) setTxTime(val []byte) syscall.Errno {
	const known = 3                           // SOF_TXTIME_FLAGS_MASK
	const realtime, monotonic, tai = 0, 1, 11 // CLOCK_*
	if len(val) != len(o.txTime) || binary.NativeEndian.Uint32(val[4:])&^known != 0 {
		return syscall.EINVAL
	}
	if c := binary.NativeEndian.Uint32(val); c != realtime && c != monotonic && c != tai {
		return syscall.EINVAL
	}
	copy(o.txTime[:], val)
	o.hasTxTime = true
	return 0
}

// HasTxTime reports whether SO_TXTIME was set, and packets may come with times of sending (SCM_TXTIME).
func (o *Options) HasTxTime() bool { return o.hasTxTime }

// setPacingRate keeps an unsigned int or long of bytes per second, which is for the queueing discipline fq.
func (o *Options) setPacingRate(val []byte) {
	rate := uint64(binary.NativeEndian.Uint32(val))
	if len(val) >= 8 {
		rate = binary.NativeEndian.Uint64(val)
	} else if rate == math.MaxUint32 {
		rate = math.MaxUint64
	}
	o.unpaced = ^rate
}
