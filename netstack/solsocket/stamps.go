package solsocket

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// This file has the options that ask for times of packets: timestamping.rst in Linux's Documentation/networking.

// Flags of SO_TIMESTAMPING, linux/net_tstamp.h.
const (
	stampReceived  = 1 << 3  // SOF_TIMESTAMPING_RX_SOFTWARE
	stampSoftware  = 1 << 4  // SOF_TIMESTAMPING_SOFTWARE
	stampID        = 1 << 7  // SOF_TIMESTAMPING_OPT_ID
	stampOnly      = 1 << 11 // SOF_TIMESTAMPING_OPT_TSONLY
	stampStats     = 1 << 12 // SOF_TIMESTAMPING_OPT_STATS
	stampClock     = 1 << 15 // SOF_TIMESTAMPING_BIND_PHC
	stampStreamID  = 1 << 16 // SOF_TIMESTAMPING_OPT_ID_TCP
	stampSelected  = 1 << 17 // SOF_TIMESTAMPING_OPT_RX_FILTER
	stampsKnown    = 1<<19 - 1
	stampsOfSource = stampReceived | stampSoftware
	// stampsSent are the times of sending: when the driver had it, when it was queued, when it was acknowledged, when it
	// was completed.
	stampsSent = 1<<1 | 1<<8 | 1<<9 | 1<<18
)

// setStamps switches one of SO_TIMESTAMP and those beside it. Those with 64-bit times (…_NEW) share a bit with
// SO_TIMESTAMPING's (__sock_set_timestamps in Linux's net/core/sock.c).
func (o *Options) setStamps(name int, on bool) {
	o.stamps, o.nanos = on, on && (name == syscall.SO_TIMESTAMPNS || name == TimestampNSNew)
	if on {
		o.newForm = name == TimestampNew || name == TimestampNSNew
	}
}

// setStamping is sock_set_timestamping in Linux's net/core/sock.c. No card has a clock that could be chosen.
func (o *Options) setStamping(name int, v uint32) syscall.Errno {
	switch {
	case v&^stampsKnown != 0,
		v&stampStreamID != 0 && v&stampID == 0,
		v&stampStats != 0 && v&stampOnly == 0,
		v&stampsSent != 0 && o.traits&Cards != 0:
		return syscall.EINVAL
	case v&stampClock != 0 && o.Device == 0:
		return syscall.EOPNOTSUPP
	case v&stampClock != 0:
		return syscall.EINVAL
	}
	o.stamping, o.newForm = v, name == TimestampingNew
	return 0
}

// StampForm returns the option that says in which form times of arrival are told, 0 if they are not.
func (o *Options) StampForm() int {
	switch {
	case !o.stamps:
		return 0
	case o.newForm && o.nanos:
		return TimestampNSNew
	case o.newForm:
		return TimestampNew
	case o.nanos:
		return syscall.SO_TIMESTAMPNS
	}
	return syscall.SO_TIMESTAMP
}

// HasStamping reports whether SO_TIMESTAMPING has flags, and whether one of them asks for the software's time of
// arrival.
func (o *Options) HasStamping() (some, arrival bool) {
	return o.stamping != 0, o.stamping&stampsOfSource != 0
}

// Stamps says in which forms a time of arrival is told.
type Stamps struct {
	form     int // StampForm
	stamping int // the type of SO_TIMESTAMPING's control message, 0: none
}

// Stamps returns the forms that the options ask for.
func (o *Options) Stamps() Stamps {
	s := Stamps{form: o.StampForm()}
	if o.stamping&stampSoftware != 0 && o.stamping&(stampReceived|stampSelected) != stampSelected {
		s.stamping = syscall.SO_TIMESTAMPING
		if o.newForm {
			s.stamping = TimestampingNew
		}
	}
	return s
}

// Put writes a time of arrival in nanoseconds since 1970 as control messages of m: in the form that the program has
// chosen, and as three struct timespec, of which the first is the software's.
func (s Stamps) Put(m *kernel.Message, ns int64) {
	var b [48]byte
	binary.NativeEndian.PutUint64(b[:], uint64(ns/1e9))
	if s.form != 0 {
		fraction := ns % 1e9
		if s.form == syscall.SO_TIMESTAMP || s.form == TimestampNew {
			fraction /= 1e3
		}
		binary.NativeEndian.PutUint64(b[8:], uint64(fraction))
		PutControl(m, syscall.SOL_SOCKET, s.form, b[:16])
	}
	if s.stamping != 0 {
		binary.NativeEndian.PutUint64(b[8:], uint64(ns%1e9))
		PutControl(m, syscall.SOL_SOCKET, s.stamping, b[:])
	}
}
