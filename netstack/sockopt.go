package netstack

import (
	"encoding/binary"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// SetOption implements kernel.Socket.
func (k *socket) SetOption(level, name int, val []byte) syscall.Errno {
	switch {
	case level == syscall.SOL_SOCKET:
		return k.setSocketOption(name, val)
	case level == syscall.IPPROTO_TCP && k.typ == syscall.SOCK_STREAM:
		return k.setTCPOption(name, val)
	case level == syscall.IPPROTO_UDP && k.protocol == syscall.IPPROTO_UDP && name == udpCork:
		return k.rememberOption(level, name, val)
	case level == syscall.IPPROTO_IP:
		return k.setIPOption(name, val)
	case level == syscall.IPPROTO_IPV6 && k.family == syscall.AF_INET6:
		return k.setIPv6Option(name, val)
	case level == syscall.IPPROTO_ICMPV6 && k.protocol == syscall.IPPROTO_ICMPV6 && name == icmpv6Filter:
		return k.setICMPv6Filter(val)
	case level == syscall.SOL_RAW && k.typ == syscall.SOCK_RAW && name == icmpFilterOpt:
		return k.rememberOption(level, name, val)
	}
	return syscall.ENOPROTOOPT
}

// GetOption implements kernel.Socket.
func (k *socket) GetOption(level, name int, dst []byte) (int, syscall.Errno) {
	switch {
	case level == syscall.SOL_SOCKET:
		return k.getSocketOption(name, dst)
	case level == syscall.IPPROTO_TCP && k.typ == syscall.SOCK_STREAM:
		return k.getTCPOption(name, dst)
	case level == syscall.IPPROTO_UDP && k.protocol == syscall.IPPROTO_UDP && name == udpCork:
		return putInt(dst, k.remembered(level, name, 0))
	case level == syscall.IPPROTO_IP:
		return k.getIPOption(name, dst)
	case level == syscall.IPPROTO_IPV6 && k.family == syscall.AF_INET6:
		return k.getIPv6Option(name, dst)
	case level == syscall.SOL_RAW && k.typ == syscall.SOCK_RAW && name == icmpFilterOpt:
		return putInt(dst, k.remembered(level, name, 0))
	}
	return 0, syscall.ENOPROTOOPT
}

// intOf reads an int option.
func intOf(val []byte) (int, syscall.Errno) {
	if len(val) < 4 {
		return 0, syscall.EINVAL
	}
	return int(int32(binary.NativeEndian.Uint32(val))), 0
}

// putInt writes an int option, truncated to the length of dst, as getsockopt(2) does.
// does.
func putInt(dst []byte, v int) (int, syscall.Errno) {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(int32(v)))
	return copy(dst, b[:]), 0
}

func putBool(dst []byte, v bool) (int, syscall.Errno) {
	if v {
		return putInt(dst, 1)
	}
	return putInt(dst, 0)
}

// rememberOption stores an integer option that has no effect here.
func (k *socket) rememberOption(level, name int, val []byte) syscall.Errno {
	v, e := intOf(val)
	if e != 0 {
		return e
	}
	k.stored.mu.Lock()
	defer k.stored.mu.Unlock()
	if k.stored.ints == nil {
		k.stored.ints = make(map[optionKey]int32)
	}
	k.stored.ints[optionKey{level, name}] = int32(v)
	return 0
}

// remembered returns the integer that rememberOption has stored, or def.
func (k *socket) remembered(level, name, def int) int {
	k.stored.mu.Lock()
	defer k.stored.mu.Unlock()
	if v, ok := k.stored.ints[optionKey{level, name}]; ok {
		return int(v)
	}
	return def
}

func (k *socket) setSocketOption(name int, val []byte) syscall.Errno {
	so := k.ep.SocketOptions()
	switch name {
	case syscall.SO_LINGER:
		return k.setLinger(val)
	case syscall.SO_BINDTODEVICE:
		return k.bindToDevice(val)
	case syscall.SO_RCVTIMEO, soRcvTimeoNew, syscall.SO_SNDTIMEO, soSndTimeoNew:
		return k.setTimeout(name, val)
	case syscall.SO_TYPE, syscall.SO_ERROR, syscall.SO_ACCEPTCONN, soProtocol, soDomain, soCookie:
		return syscall.ENOPROTOOPT // read-only
	case syscall.SO_ATTACH_FILTER, soAttachBPF:
		return syscall.ENOPROTOOPT
	case syscall.SO_DETACH_FILTER:
		return syscall.ENOENT
	}
	v, e := intOf(val)
	if e != 0 {
		return e
	}
	on := v != 0
	switch name {
	case syscall.SO_REUSEADDR:
		so.SetReuseAddress(on)
	case soReusePort:
		so.SetReusePort(on)
	case syscall.SO_BROADCAST:
		so.SetBroadcast(on)
	case syscall.SO_KEEPALIVE:
		so.SetKeepAlive(on)
	case syscall.SO_SNDBUF, soSndBufForce:
		_, limit := so.SendBufferLimits()
		so.SetSendBufferSize(doubled(v, limit, minSendBuffer), true)
	case syscall.SO_RCVBUF, soRcvBufForce:
		_, limit := so.ReceiveBufferLimits()
		so.SetReceiveBufferSize(doubled(v, limit, minReceiveBuffer), true)
	case soNoCheck:
		so.SetNoChecksum(on)
	case soTimestamp, soTimestampNS, soTimestampNew, soTimestampNSNew:
		k.setTimestamp(name, on)
	case syscall.SO_DEBUG, syscall.SO_DONTROUTE, syscall.SO_OOBINLINE, soPriority, soMark,
		syscall.SO_RCVLOWAT, soPeekOff, soBusyPoll, soMaxPacingRate, soIncomingCPU, soRxqOvfl,
		syscall.SO_PASSCRED, syscall.SO_TIMESTAMPING, soZerocopy:
		return k.rememberOption(syscall.SOL_SOCKET, name, val)
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

// doubled returns a buffer size as socket(7) describes it: bounded, then doubled "to allow
// space for bookkeeping overhead", and at least the minimum.
func doubled(v int, limit int64, least int64) int64 {
	n := min(int64(v), limit)
	if v < 0 {
		n = limit
	}
	return max(2*n, least)
}

func (k *socket) getSocketOption(name int, dst []byte) (int, syscall.Errno) {
	so := k.ep.SocketOptions()
	switch name {
	case syscall.SO_TYPE:
		return putInt(dst, k.typ)
	case soProtocol:
		return putInt(dst, k.protocol)
	case soDomain:
		return putInt(dst, k.family)
	case syscall.SO_ERROR:
		return putInt(dst, int(k.lastError()))
	case syscall.SO_ACCEPTCONN:
		return putBool(dst, k.typ == syscall.SOCK_STREAM && tcp.EndpointState(k.ep.State()) == tcp.StateListen)
	case syscall.SO_REUSEADDR:
		return putBool(dst, so.GetReuseAddress())
	case soReusePort:
		return putBool(dst, so.GetReusePort())
	case syscall.SO_BROADCAST:
		return putBool(dst, so.GetBroadcast())
	case syscall.SO_KEEPALIVE:
		return putBool(dst, so.GetKeepAlive())
	case syscall.SO_SNDBUF:
		return putInt(dst, int(so.GetSendBufferSize()))
	case syscall.SO_RCVBUF:
		return putInt(dst, int(so.GetReceiveBufferSize()))
	case soNoCheck:
		return putBool(dst, so.GetNoChecksum())
	case syscall.SO_LINGER:
		return putLinger(dst, so.GetLinger())
	case syscall.SO_BINDTODEVICE:
		return k.getBoundDevice(dst)
	case syscall.SO_RCVTIMEO, soRcvTimeoNew, syscall.SO_SNDTIMEO, soSndTimeoNew:
		return k.getTimeout(name, dst)
	case soTimestamp, soTimestampNS:
		return putBool(dst, int(k.stored.timestamp.Load()) == name)
	case soCookie:
		if len(dst) < 8 {
			return 0, syscall.EINVAL
		}
		binary.NativeEndian.PutUint64(dst, k.inode)
		return 8, 0
	case syscall.SO_RCVLOWAT:
		return putInt(dst, k.remembered(syscall.SOL_SOCKET, name, 1))
	case syscall.SO_SNDLOWAT:
		return putInt(dst, 1)
	case soPeekOff:
		return putInt(dst, k.remembered(syscall.SOL_SOCKET, name, -1))
	case soMaxPacingRate:
		return putInt(dst, k.remembered(syscall.SOL_SOCKET, name, -1))
	case syscall.SO_DEBUG, syscall.SO_DONTROUTE, syscall.SO_OOBINLINE, soPriority, soMark, soBusyPoll,
		soIncomingCPU, soRxqOvfl, syscall.SO_PASSCRED, syscall.SO_TIMESTAMPING, soZerocopy:
		return putInt(dst, k.remembered(syscall.SOL_SOCKET, name, 0))
	}
	return 0, syscall.ENOPROTOOPT
}

// struct linger is two ints: on or off, and seconds.
func (k *socket) setLinger(val []byte) syscall.Errno {
	if len(val) < 8 {
		return syscall.EINVAL
	}
	secs := int32(binary.NativeEndian.Uint32(val[4:]))
	k.ep.SocketOptions().SetLinger(tcpip.LingerOption{
		Enabled: binary.NativeEndian.Uint32(val) != 0,
		Timeout: time.Duration(max(secs, 0)) * time.Second,
	})
	return 0
}

func putLinger(dst []byte, l tcpip.LingerOption) (int, syscall.Errno) {
	var b [8]byte
	if l.Enabled {
		b[0] = 1
	}
	binary.NativeEndian.PutUint32(b[4:], uint32(l.Timeout/time.Second))
	return copy(dst, b[:]), 0
}

// bindToDevice binds to the interface of a name, NUL-terminated or not; an empty name unbinds.
func (k *socket) bindToDevice(val []byte) syscall.Errno {
	name := cString(val[:min(len(val), ifNameSize-1)])
	if name == "" {
		return errnoOf(k.ep.SocketOptions().SetBindToDevice(0))
	}
	id, ok := k.stack.interfaceByName(name)
	if !ok {
		return syscall.ENODEV
	}
	return errnoOf(k.ep.SocketOptions().SetBindToDevice(int32(id)))
}

func (k *socket) getBoundDevice(dst []byte) (int, syscall.Errno) {
	id := k.ep.SocketOptions().GetBindToDevice()
	if id == 0 {
		return 0, 0
	}
	name := k.stack.stack.FindNICNameFromID(tcpip.NICID(id))
	if len(dst) < len(name)+1 {
		return 0, syscall.EINVAL
	}
	n := copy(dst, name)
	dst[n] = 0
	return n + 1, 0
}

// setTimeout stores a struct timeval for the descriptor layer.
func (k *socket) setTimeout(name int, val []byte) syscall.Errno {
	if len(val) < 16 {
		return syscall.EINVAL
	}
	tv := syscall.Timeval{
		Sec:  int64(binary.NativeEndian.Uint64(val)),
		Usec: int64(binary.NativeEndian.Uint64(val[8:])),
	}
	if tv.Usec < 0 || tv.Usec >= 1e6 {
		return syscall.EDOM
	}
	if tv.Sec < 0 {
		tv = syscall.Timeval{}
	}
	k.stored.mu.Lock()
	defer k.stored.mu.Unlock()
	*k.timeout(name) = tv
	return 0
}

func (k *socket) timeout(name int) *syscall.Timeval {
	if name == syscall.SO_RCVTIMEO || name == soRcvTimeoNew {
		return &k.stored.receive
	}
	return &k.stored.send
}

func (k *socket) getTimeout(name int, dst []byte) (int, syscall.Errno) {
	k.stored.mu.Lock()
	tv := *k.timeout(name)
	k.stored.mu.Unlock()
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:], uint64(tv.Sec))
	binary.NativeEndian.PutUint64(b[8:], uint64(tv.Usec))
	return copy(dst, b[:]), 0
}

// setTimestamp sets the form of the arrival time in control messages.
func (k *socket) setTimestamp(name int, on bool) {
	switch name {
	case soTimestampNew:
		name = soTimestamp
	case soTimestampNSNew:
		name = soTimestampNS
	}
	if !on {
		name = 0
	}
	k.stored.timestamp.Store(int32(name))
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
