package solsocket

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
)

// controlHeader is sizeof(struct cmsghdr): a 64-bit length, a level, a type.
const controlHeader = 16

// ControlAlign rounds up to the alignment of control messages in bytes, cmsg(3).
func ControlAlign(n int) int { return (n + 7) &^ 7 }

// PutControl appends one control message to m, cut to the room that there is; then it sets MSG_CTRUNC.
func PutControl(m *kernel.Message, level, typ int, data []byte) {
	free := m.Control[m.ControlLen:]
	if len(free) < controlHeader {
		m.Flags |= syscall.MSG_CTRUNC
		return
	}
	size := controlHeader + len(data)
	if size > len(free) {
		m.Flags |= syscall.MSG_CTRUNC
		size = len(free)
	}
	binary.NativeEndian.PutUint64(free, uint64(size))
	binary.NativeEndian.PutUint32(free[8:], uint32(level))
	binary.NativeEndian.PutUint32(free[12:], uint32(typ))
	copy(free[controlHeader:size], data)
	m.ControlLen += min(ControlAlign(size), len(free))
}
