package netstack

import (
	"io"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// This file has SO_PEEK_OFF of TCP and UDP sockets, socket(7).

// setPeekOffset is SO_PEEK_OFF: where MSG_PEEK begins, or no offset if negative.
func (k *socket) setPeekOffset(v int) syscall.Errno {
	k.peekOffset.Store(int64(v) + 1)
	return 0
}

func (k *socket) getPeekOffset() (int, syscall.Errno) {
	if k.kind()&(streams|udps) == 0 {
		return 0, syscall.EOPNOTSUPP
	}
	return int(k.peekOffset.Load() - 1), 0
}

// movePeekOffset moves SO_PEEK_OFF, if it is set: on by what was looked at, back by what was read.
func (k *socket) movePeekOffset(by int) {
	for {
		at := k.peekOffset.Load()
		if at <= 0 || k.peekOffset.CompareAndSwap(at, max(at+int64(by), 1)) {
			return
		}
	}
}

// readEndpoint reads a datagram of the endpoint, or looks at those behind SO_PEEK_OFF (udp/peek.go of the images' copy).
func (k *datagramSocket) readEndpoint(dst *sink, opts tcpip.ReadOptions) (tcpip.ReadResult, tcpip.Error) {
	if off := k.peekOffset.Load() - 1; opts.Peek && off >= 0 {
		if ep, ok := k.ep().(peekingEndpoint); ok {
			return ep.PeekAt(dst, opts, int(off))
		}
	}
	return k.ep().Read(dst, opts)
}

type peekingEndpoint interface {
	PeekAt(dst io.Writer, opts tcpip.ReadOptions, off int) (tcpip.ReadResult, tcpip.Error)
}
