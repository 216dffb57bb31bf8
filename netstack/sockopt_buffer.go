package netstack

import (
	"math"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// This file has the options of a socket's buffers.

// Bits of SO_BUF_LOCK, linux/socket.h: a buffer of which the program has set the size is not tuned.
const (
	lockSend    = 1
	lockReceive = 2
)

// doubled returns a buffer size as socket(7) describes it: bounded, then doubled "to allow
// space for bookkeeping overhead", and at least the minimum.
func doubled(v int, limit int64, least int64) int64 {
	n := min(int64(v), limit)
	if v < 0 {
		n = limit
	}
	return max(2*n, least)
}

func (k *socket) setSendBuffer(v int) syscall.Errno {
	_, limit := k.ep().SocketOptions().SendBufferLimits()
	return k.sizeSendBuffer(doubled(v, limit, minSendBuffer))
}

func (k *socket) setReceiveBuffer(v int) syscall.Errno {
	_, limit := k.ep().SocketOptions().ReceiveBufferLimits()
	return k.sizeReceiveBuffer(doubled(v, limit, minReceiveBuffer))
}

// forceSendBuffer is SO_SNDBUFFORCE: no limit but that of the number.
func (k *socket) forceSendBuffer(v int) syscall.Errno {
	return k.sizeSendBuffer(doubled(max(v, 0), math.MaxInt32/2, minSendBuffer))
}

func (k *socket) forceReceiveBuffer(v int) syscall.Errno {
	return k.sizeReceiveBuffer(doubled(max(v, 0), math.MaxInt32/2, minReceiveBuffer))
}

func (k *socket) sizeSendBuffer(n int64) syscall.Errno {
	k.locked.Or(lockSend)
	k.ep().SocketOptions().SetSendBufferSize(n, true)
	return 0
}

func (k *socket) sizeReceiveBuffer(n int64) syscall.Errno {
	k.locked.Or(lockReceive)
	k.ep().SocketOptions().SetReceiveBufferSize(n, true)
	return 0
}

func (k *socket) sendBuffer() (int, syscall.Errno) {
	return int(k.ep().SocketOptions().GetSendBufferSize()), 0
}

func (k *socket) receiveBuffer() (int, syscall.Errno) {
	return int(k.ep().SocketOptions().GetReceiveBufferSize()), 0
}

// setBufferLock is SO_BUF_LOCK. gVisor cannot begin again to tune a buffer of TCP.
func (k *socket) setBufferLock(v int) syscall.Errno {
	if k.kind() == streams && int(k.locked.Load())&^v != 0 {
		return syscall.EINVAL
	}
	so := k.ep().SocketOptions()
	if v&lockSend != 0 {
		so.SetSendBufferSize(so.GetSendBufferSize(), true)
	}
	if v&lockReceive != 0 {
		so.SetReceiveBufferSize(so.GetReceiveBufferSize(), true)
	}
	k.locked.Store(uint32(v))
	return 0
}

func (k *socket) bufferLock() (int, syscall.Errno) { return int(k.locked.Load()), 0 }

// roomFor makes the receive buffer large enough for a low-water mark, and returns how much of it
// that can be: half the largest buffer, or half of the one that the program has chosen, as
// tcp_set_rcvlowat in Linux's net/ipv4/tcp.c.
func (k *socket) roomFor(v int) int {
	so := k.ep().SocketOptions()
	size := so.GetReceiveBufferSize()
	if k.locked.Load()&lockReceive != 0 {
		return min(v, int(size/2))
	}
	_, most := so.ReceiveBufferLimits()
	v = min(v, int(most/2))
	if int64(2*v) > size {
		so.SetReceiveBufferSize(int64(2*v), false)
	}
	return v
}

// setLowWater is SO_RCVLOWAT, how many bytes make a stream readable. Datagrams do not care.
func (k *socket) setLowWater(v int) syscall.Errno {
	if v < 0 {
		v = math.MaxInt32
	}
	if k.kind() == streams {
		v = k.roomFor(v)
	}
	k.lowWater.Store(int32(max(v, 1)))
	k.queue.Notify(k.events()) // what is there may be enough now
	return 0
}

func (k *socket) lowWaterMark() (int, syscall.Errno) { return int(max(k.lowWater.Load(), 1)), 0 }

// enough reports whether a stream that has bytes has as many as SO_RCVLOWAT demands.
func (k *socket) enough() bool {
	n, err := k.ep().GetSockOptInt(tcpip.ReceiveQueueSizeOption)
	return err != nil || n-k.urgentHole() >= int(k.lowWater.Load())
}
