package unixsock

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// attach sets a filter of pairs of a code and a constant, without jumps.
func (t *trace) attach(fd int, program ...uint32) {
	var b []byte
	for i := 0; i < len(program); i += 2 {
		b = binary.NativeEndian.AppendUint16(b, uint16(program[i]))
		b = binary.NativeEndian.AppendUint32(append(b, 0, 0), program[i+1])
	}
	p := struct {
		n      uint16
		filter *byte
	}{uint16(len(program) / 2), unsafe.SliceData(b)}
	e := t.setOption(fd, syscall.SO_ATTACH_FILTER, unsafe.Slice((*byte)(unsafe.Pointer(&p)), unsafe.Sizeof(p)))
	t.note("attach: %s", errnoName(e))
	runtime.KeepAlive(b)
}

func (t *trace) sendText(fd int, text string) {
	n, e := t.send(fd, &kernel.Message{Buffers: [][]byte{[]byte(text)}}, 0)
	t.note("send %q: %d %s", text, n, errnoName(e))
}

// Programs filter and cut packets as on Linux, and streams are not filtered.
func TestFiltersAsOnLinux(t *testing.T) {
	const ldB, ldLen, sub, retA, retK = 0x30, 0x80, 0x14, 0x16, 0x06
	for _, typ := range []int{syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET, syscall.SOCK_STREAM} {
		compare(t, func(t *trace) {
			a, b, _ := t.pair(typ)
			t.set(a, syscall.SO_DETACH_FILTER, 0)
			t.option(a, syscall.SO_ATTACH_FILTER)
			t.attach(a)
			t.attach(a, ldB, 0, sub, '0', retA, 0) // the first byte is a number of bytes
			t.sendText(b, "5 bytes")
			t.read(a, 20, 0)
			t.sendText(b, "0 bytes")
			t.sendText(b, "")
			t.sendText(b, "9 bytes at most")
			t.read(a, 20, 0)
			t.attach(a, ldB, 0xfff00002, sub, '0', retA, 0) // the same by the network's header
			t.sendText(b, "xx3 bytes")
			t.read(a, 20, 0)
			t.set(a, solsocket.LockFilter, 1)
			t.attach(a, retK, 0)
			t.set(a, syscall.SO_DETACH_FILTER, 0)
			t.shutdown(a, syscall.SHUT_RD)
			t.sendText(b, "xx0")
			t.sendText(b, "xx1")
			t.attach(b, ldLen, 0, retA, 0)
			t.set(b, syscall.SO_DETACH_FILTER, 0)
			t.close(a)
			t.sendText(b, "xx0")
			t.sendText(b, "xx1")
		})
	}
}
