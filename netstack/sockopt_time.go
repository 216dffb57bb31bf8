package netstack

import (
	"encoding/binary"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/yolk-unikernel/yolk/kernel"
)

// This file has the options that ask for times of packets: timestamping.rst in Linux's
// Documentation/networking.

// setTimestamp sets the form of the arrival time in control messages. gVisor does not keep the
// times of a stream's segments.
func (k *socket) setTimestamp(name, on int) syscall.Errno {
	switch {
	case on == 0:
		k.timestamp.Store(0)
	case k.kind() == streams:
		return syscall.ENOPROTOOPT
	default:
		k.timestamp.Store(int32(name))
	}
	return 0
}

func (k *socket) timestampIs(name int) (int, syscall.Errno) {
	return boolInt(int(k.timestamp.Load()) == name), 0
}

// Flags of SO_TIMESTAMPING, linux/net_tstamp.h.
const (
	stampRxSoftware = 1 << 3
	stampSoftware   = 1 << 4
	stampID         = 1 << 7
	// stampsSent are the times of sending: when the driver had it, when it was queued, when it was
	// acknowledged, when it was completed.
	stampsSent = 1<<1 | 1<<8 | 1<<9 | 1<<18
	// stampsKnown is SOF_TIMESTAMPING_MASK of Linux 6.18. What is left of it has no effect without
	// times of sending and clocks of cards, of which there are none.
	stampsKnown = 1<<19 - 1
	// stampKeepNew marks that SO_TIMESTAMPING_NEW has set the flags.
	stampKeepNew = 1 << 30

	scmTimestamping    = 37
	scmTimestampingNew = 65
)

func (k *socket) setTimestampingOld(val []byte) syscall.Errno { return k.setTimestamping(val, 0) }

func (k *socket) setTimestampingNew(val []byte) syscall.Errno {
	return k.setTimestamping(val, stampKeepNew)
}

// setTimestamping takes an int, or struct so_timestamping, whose second int names a clock of a
// card. A machine without a record of sending refuses its flags, as older kernels do.
func (k *socket) setTimestamping(val []byte, form uint32) syscall.Errno {
	v, e := intOf(val)
	switch {
	case e != 0:
		return e
	case v&^stampsKnown != 0 || v&stampsSent != 0:
		return syscall.EINVAL
	case k.kind() == streams && v&stampID != 0:
		return syscall.EINVAL // numbers are for a connection
	case k.kind() == streams && v&stampSoftware != 0:
		return syscall.EOPNOTSUPP
	}
	k.stamping.Store(uint32(v) | form)
	return 0
}

func (k *socket) getTimestampingOld(dst []byte) (int, syscall.Errno) {
	return k.getTimestamping(dst, 0)
}

func (k *socket) getTimestampingNew(dst []byte) (int, syscall.Errno) {
	return k.getTimestamping(dst, stampKeepNew)
}

// getTimestamping returns the flags and no clock. The new form does not see flags of the old one.
func (k *socket) getTimestamping(dst []byte, form uint32) (int, syscall.Errno) {
	v := k.stamping.Load()
	if form != 0 && v&form == 0 {
		v = 0
	}
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], v&^stampKeepNew)
	return copy(dst, b[:]), 0
}

// stamps of socket.lastStamp beside a time in nanoseconds: of a socket that has received no datagram, and of one whose
// datagrams nobody asked for the times of.
const (
	noStamp = iota
	unknownStamp
)

// noteStamp keeps when a datagram came for SIOCGSTAMP, unless a control message tells it: sock_recv_cmsgs and
// sock_recv_timestamp in Linux's include/net/sock.h.
func (k *datagramSocket) noteStamp(cm *tcpip.ReceivableControlMessages) {
	stamping := k.stamping.Load() &^ stampKeepNew
	switch {
	case k.timestamp.Load() != 0 || stamping&(stampRxSoftware|stampSoftware) != 0:
	case k.has(keepsStamp) || stamping != 0:
		k.lastStamp.Store(cm.Timestamp.UnixNano())
	case k.lastStamp.Load() == noStamp:
		k.lastStamp.Store(unknownStamp)
	}
}

// ioctlStamp is SIOCGSTAMP, socket(7), in units of a number of nanoseconds: when the datagram came that was received last.
// From the first request on times are kept; the first tells the time of now. Streams have none. sock_gettstamp in Linux's
// net/core/sock.c.
func (k *socket) ioctlStamp(a *kernel.Args, unit int64) syscall.Errno {
	k.setFeature(keepsStamp, 1)
	if k.lastStamp.Load() == noStamp {
		return syscall.ENOENT
	}
	k.lastStamp.CompareAndSwap(unknownStamp, time.Now().UnixNano())
	dst, e := a.Bytes(2, 16)
	if e != 0 {
		return e
	}
	ns := k.lastStamp.Load()
	binary.NativeEndian.PutUint64(dst, uint64(ns/1e9))
	binary.NativeEndian.PutUint64(dst[8:], uint64(ns%1e9/unit))
	return 0
}
