package unixsock

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// message is one packet, or a run of stream bytes, in a receive queue.
type message struct {
	data   []byte // bytes that were not read yet
	peeked bool   // a packet of no bytes was seen by MSG_PEEK, with SO_PEEK_OFF
	time   int64  // of sending, in nanoseconds since 1970; 0: the receiver had not asked for it
	from   *socket
	charge int // bytes charged to from until the message is freed
	rights []*kernel.Description
	// cred is the sender's identity, as the kernel has it or as a privileged sender gave it.
	cred syscall.Ucred
}

// messageOverhead is charged for each message, as Linux charges a writer for the whole sk_buff:
// it bounds the number of empty packets.
const messageOverhead = 256

// free uncharges the writer. Descriptors that were not received are added to drop.
func (m *message) free(drop *dropped) {
	drop.add(m.rights)
	m.rights = nil
	m.from.charged -= m.charge
	m.charge = 0
	if !m.from.closed && m.from.writable() {
		m.from.queue.Notify(kernel.EventOut)
	}
}

// dropped collects references to drop when the family's lock is released: the last reference
// closes the file, which may be a socket of the same family.
type dropped []*kernel.Description

func (d *dropped) add(rights []*kernel.Description) { *d = append(*d, rights...) }

func (d *dropped) release() {
	for _, r := range *d {
		r.DecRef()
	}
	*d = nil
}

// span is the caller's memory for a read or write: one buffer or several. It is passed by value
// because the buffers may lie on a goroutine's stack: nothing in the heap may point to them.
type span struct {
	one  []byte
	many [][]byte
}

func (v span) len() int {
	n := len(v.one)
	for _, b := range v.many {
		n += len(b)
	}
	return n
}

// copyTo fills dst with the bytes of v from offset off.
func (v span) copyTo(dst []byte, off int) int {
	n := 0
	if off < len(v.one) {
		n += copy(dst, v.one[off:])
	}
	off = max(0, off-len(v.one))
	for _, b := range v.many {
		if off >= len(b) {
			off -= len(b)
			continue
		}
		n += copy(dst[n:], b[off:])
		off = 0
	}
	return n
}

// copyFrom copies src to v at offset off.
func (v span) copyFrom(src []byte, off int) int {
	n := 0
	if off < len(v.one) {
		n += copy(v.one[off:], src)
	}
	off = max(0, off-len(v.one))
	for _, b := range v.many {
		if off >= len(b) {
			off -= len(b)
			continue
		}
		n += copy(b[off:], src[n:])
		off = 0
	}
	return n
}
