//go:build yolk

package udp

import (
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// PeekAt is Read with ReadOptions.Peek that starts off bytes behind the front of the receive queue: SO_PEEK_OFF of
// socket(7). Total of the result is the whole datagram's length.
func (e *endpoint) PeekAt(dst io.Writer, opts tcpip.ReadOptions, off int) (tcpip.ReadResult, tcpip.Error) {
	e.peeksBehind.Store(1)
	return e.read(&behind{dst: dst, skip: off}, opts)
}

// behind is a writer that leaves the first bytes out.
type behind struct {
	dst  io.Writer
	skip int
}

// Write implements io.Writer.
func (b *behind) Write(p []byte) (int, error) {
	n := min(b.skip, len(p))
	b.skip -= n
	if n == len(p) {
		return n, nil
	}
	m, err := b.dst.Write(p[n:])
	return n + m, err
}

// next returns the datagram to read, nil if there is none. For PeekAt it passes over those before the offset whole, and
// over one of no bytes once it was seen: __skb_try_recv_from_queue in Linux's net/core/datagram.c. rcvMu is held.
func (e *endpoint) next(dst io.Writer) *udpPacket {
	b, ok := dst.(*behind)
	if !ok {
		return e.rcvList.Front()
	}
	for p := e.rcvList.Front(); p != nil; p = p.Next() {
		n := p.pkt.Data().Size()
		if b.skip < n || b.skip == 0 && !p.peeked {
			p.peeked = p.peeked || n == 0
			return p
		}
		b.skip -= n
	}
	return nil
}
