package netlink

import (
	"encoding/binary"
	"syscall"
)

// encoder builds the messages of one answer. Each is closed by the next one, or
// by messages().
type encoder struct {
	buf   []byte
	start int   // of the open message
	ends  []int // of the closed ones
}

// message opens a message.
func (e *encoder) message(typ, flags uint16, seq, port uint32) {
	e.close()
	e.start = len(e.buf)
	e.u32(0) // length, see close
	e.u16(typ)
	e.u16(flags)
	e.u32(seq)
	e.u32(port)
}

func (e *encoder) close() {
	if len(e.buf) == e.start {
		return
	}
	binary.NativeEndian.PutUint32(e.buf[e.start:], uint32(len(e.buf)-e.start))
	e.pad()
	e.start = len(e.buf)
	e.ends = append(e.ends, len(e.buf))
}

func (e *encoder) pad() {
	for len(e.buf)%4 != 0 {
		e.buf = append(e.buf, 0)
	}
}

func (e *encoder) u8(v ...uint8) { e.buf = append(e.buf, v...) }
func (e *encoder) u16(v uint16)  { e.buf = binary.NativeEndian.AppendUint16(e.buf, v) }
func (e *encoder) u32(v uint32)  { e.buf = binary.NativeEndian.AppendUint32(e.buf, v) }
func (e *encoder) u64(v uint64)  { e.buf = binary.NativeEndian.AppendUint64(e.buf, v) }

// attribute adds an attribute: struct rtattr.
func (e *encoder) attribute(typ uint16, value []byte) {
	e.u16(uint16(attributeSize + len(value)))
	e.u16(typ)
	e.buf = append(e.buf, value...)
	e.pad()
}

func (e *encoder) attribute8(typ uint16, v uint8) { e.attribute(typ, []byte{v}) }

func (e *encoder) attribute32(typ uint16, v uint32) {
	e.attribute(typ, binary.NativeEndian.AppendUint32(nil, v))
}

// attributeString adds a string with its NUL.
func (e *encoder) attributeString(typ uint16, s string) {
	e.attribute(typ, append([]byte(s), 0))
}

// maxDatagram is how much of a dump goes into one datagram: what Linux puts
// there for a reader with a page of room (NLMSG_GOODSIZE), as package syscall's
// NetlinkRIB is.
const maxDatagram = 3776

// datagrams returns the messages, as many to a datagram as fit.
func (e *encoder) datagrams() [][]byte {
	e.close()
	var out [][]byte
	first, last := 0, 0
	for _, end := range e.ends {
		if end-first > maxDatagram && last > first {
			out = append(out, e.buf[first:last])
			first = last
		}
		last = end
	}
	if last > first {
		out = append(out, e.buf[first:last])
	}
	return out
}

// flagCapped is NLM_F_CAPPED: the request in an error message is cut.
const flagCapped = 0x100

// status adds the NLMSG_ERROR message that answers r: 0 acknowledges it.
func (e *encoder) status(r *request, port uint32, errno syscall.Errno, capped bool) {
	body, flags := r.raw, uint16(0)
	if errno == 0 || capped {
		body, flags = r.raw[:headerSize], flagCapped
	}
	e.message(syscall.NLMSG_ERROR, flags, r.seq, port)
	e.u32(uint32(-int32(errno)))
	e.buf = append(e.buf, body...)
	e.pad() // counted in the length, unlike other padding
}

// done ends a dump.
func (e *encoder) done(r *request, port uint32) {
	e.message(syscall.NLMSG_DONE, syscall.NLM_F_MULTI, r.seq, port)
	e.u32(0)
}
