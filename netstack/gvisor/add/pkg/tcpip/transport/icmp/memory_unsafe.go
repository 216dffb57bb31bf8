//go:build yolk

package icmp

import (
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// memSize is how many bytes of memory the packet holds: what it counts against the receive
// buffer.
func (p *icmpPacket) memSize() int { return p.data.MemSize() + int(unsafe.Sizeof(*p)) }

// full reports whether the stack holds as much memory as it may.
func (e *endpoint) full() bool { return e.stack.Memory().Full(stack.DatagramMemory) }

// hold counts n more bytes in the receive queue, or fewer. rcvMu is held.
func (e *endpoint) hold(n int) {
	e.rcvBufSize += n
	e.stack.Memory().Add(stack.DatagramMemory, n)
}

// Held returns how many bytes of memory the receive queue holds.
func (e *endpoint) Held() int {
	e.rcvMu.Lock()
	defer e.rcvMu.Unlock()
	return e.rcvBufSize
}
