package unixsock

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file has SO_PEEK_OFF, socket(7): where a receive with MSG_PEEK starts, in bytes from the first that was not read.
// It is off if negative.

// peekOffset returns where a receive starts, -1 without an offset: sk_peek_offset in Linux's include/net/sock.h.
func (s *socket) peekOffset(flags int) int {
	if flags&syscall.MSG_PEEK == 0 {
		return -1
	}
	return max(s.options.Int(solsocket.PeekOff), -1)
}

// peekFurther moves the offset by n bytes that were peeked, or back by those that were read (negative).
func (s *socket) peekFurther(n int) {
	if off := s.options.Int(solsocket.PeekOff); off >= 0 && n != 0 {
		s.options.Keep(solsocket.PeekOff, max(off+n, 0))
	}
}

// peekRun returns the index of the message with the byte of a stream at an offset, and where it is in the message. There
// is none if the index is len(s.messages).
func (s *socket) peekRun(off int) (i, skip int) {
	skip = max(off, 0)
	for i < len(s.messages) && skip >= len(s.messages[i].data) {
		skip -= len(s.messages[i].data)
		i++
	}
	return i, skip
}

// peekPacket is peekRun for packets: those before the offset are skipped whole, and one of no bytes once it was seen
// (__skb_try_recv_from_queue in Linux's net/core/datagram.c).
func (s *socket) peekPacket(off int) (i, skip int) {
	if off < 0 {
		return 0, 0
	}
	for i < len(s.messages) {
		m := s.messages[i]
		if off < len(m.data) || off == 0 && !m.peeked {
			m.peeked = m.peeked || len(m.data) == 0
			break
		}
		off -= len(m.data)
		i++
	}
	return i, off
}
