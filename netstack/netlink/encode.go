package netlink

import (
	"encoding/binary"
	"syscall"
)

// encoder builds the messages of one answer. The next message, or datagrams, closes each.
type encoder struct {
	buf   []byte
	start int   // start of the open message
	ends  []int // ends of the closed messages
}

// message opens a message.
func (enc *encoder) message(typ, flags uint16, seq, port uint32) {
	enc.close()
	enc.start = len(enc.buf)
	enc.u32(0) // length, see close
	enc.u16(typ)
	enc.u16(flags)
	enc.u32(seq)
	enc.u32(port)
}

func (enc *encoder) close() {
	if len(enc.buf) == enc.start {
		return
	}
	binary.NativeEndian.PutUint32(enc.buf[enc.start:], uint32(len(enc.buf)-enc.start))
	enc.pad()
	enc.start = len(enc.buf)
	enc.ends = append(enc.ends, len(enc.buf))
}

func (enc *encoder) pad() {
	for len(enc.buf)%4 != 0 {
		enc.buf = append(enc.buf, 0)
	}
}

func (enc *encoder) u8(v ...uint8) { enc.buf = append(enc.buf, v...) }
func (enc *encoder) u16(v uint16)  { enc.buf = binary.NativeEndian.AppendUint16(enc.buf, v) }
func (enc *encoder) u32(v uint32)  { enc.buf = binary.NativeEndian.AppendUint32(enc.buf, v) }
func (enc *encoder) u64(v uint64)  { enc.buf = binary.NativeEndian.AppendUint64(enc.buf, v) }

// attribute adds an attribute: struct rtattr.
func (enc *encoder) attribute(typ uint16, value []byte) {
	enc.u16(uint16(attributeSize + len(value)))
	enc.u16(typ)
	enc.buf = append(enc.buf, value...)
	enc.pad()
}

func (enc *encoder) attribute8(typ uint16, v uint8) { enc.attribute(typ, []byte{v}) }

func (enc *encoder) attribute32(typ uint16, v uint32) {
	enc.attribute(typ, binary.NativeEndian.AppendUint32(nil, v))
}

// attributeString adds a string with its NUL.
func (enc *encoder) attributeString(typ uint16, s string) {
	enc.attribute(typ, append([]byte(s), 0))
}

// maxDatagram is the most bytes of a dump in one datagram: what Linux puts there for a reader
// with a buffer of one page (NLMSG_GOODSIZE), such as package syscall's NetlinkRIB.
const maxDatagram = 3776

// datagrams returns the messages, as many per datagram as fit.
func (enc *encoder) datagrams() [][]byte {
	enc.close()
	var out [][]byte
	first, last := 0, 0
	for _, end := range enc.ends {
		if end-first > maxDatagram && last > first {
			out = append(out, enc.buf[first:last])
			first = last
		}
		last = end
	}
	if last > first {
		out = append(out, enc.buf[first:last])
	}
	return out
}

// flagCapped is NLM_F_CAPPED: the request in an error message is truncated.
const flagCapped = 0x100

// status adds the NLMSG_ERROR message that answers r; errno 0 acknowledges it.
func (enc *encoder) status(r *request, port uint32, e syscall.Errno, capped bool) {
	body, flags := r.raw, uint16(0)
	if e == 0 || capped {
		body, flags = r.raw[:headerSize], flagCapped
	}
	enc.message(syscall.NLMSG_ERROR, flags, r.seq, port)
	enc.u32(uint32(-int32(e)))
	enc.buf = append(enc.buf, body...)
	enc.pad() // included in the length, unlike other padding
}

// done ends a dump, with an error if it could not be made.
func (enc *encoder) done(r *request, port uint32, e syscall.Errno) {
	enc.message(syscall.NLMSG_DONE, syscall.NLM_F_MULTI, r.seq, port)
	enc.u32(uint32(-int32(e)))
}
