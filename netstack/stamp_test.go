package netstack

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// stamp logs the age of a socket's last datagram: SIOCGSTAMP and SIOCGSTAMPNS.
func (a *abi) stamp(k kernel.Socket) {
	for _, req := range []uintptr{siocGStamp, siocGStampNS, siocGStampNew, siocGStampNSNew} {
		b := make([]byte, 16)
		e := ioctlBytes(k, req, b)
		if e != 0 {
			a.errno(fmt.Sprintf("stamp %#x", req), e)
			continue
		}
		unit := time.Microsecond
		if req&1 != 0 {
			unit = time.Nanosecond
		}
		at := time.Unix(int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:]))*int64(unit))
		a.log("stamp %#x: before the last fifth of a second %v, in the last three seconds %v", req, time.Since(at) > 200*time.Millisecond, time.Since(at).Abs() < 3*time.Second)
	}
}

func ioctlBytes(k kernel.Socket, req uintptr, b []byte) syscall.Errno {
	if l, ok := k.(*linuxSocket); ok {
		_, e := l.call(syscall.SYS_IOCTL, req, ptr(b), 0, 0, 0)
		return e
	}
	_, e := k.(kernel.Ioctler).Ioctl(req, kernel.Args{N: [6]uintptr{2: ptr(b)}, P: [6]unsafe.Pointer{2: unsafe.Pointer(unsafe.SliceData(b))}})
	return e
}

// SIOCGSTAMP tells when the last datagram came, from its first use on, unless a control message does.
func TestABIStamps(t *testing.T) {
	onEdited(t, newStack(t))
	runABI(t, []abiTest{{"SIOCGSTAMP", func(a *abi) {
		for i, family := range []int{in4, in6} {
			s, at := a.bound(family, []string{loopbackNoPort, "[::1]:0"}[i])
			arrive := func() {
				a.send("send", s, "x", at, nil, 0)
				a.until(s, readable)
				time.Sleep(300 * time.Millisecond)
				n, e := s.Read(make([]byte, 2), -1)
				a.result("read", n, e)
			}
			a.stamp(s)
			time.Sleep(100 * time.Millisecond) // until Linux stamps packets
			arrive()
			a.stamp(s)
			time.Sleep(300 * time.Millisecond)
			a.stamp(s)
			a.setInt(s, sol, solsocket.TimestampNSNew, 1)
			arrive()
			a.stamp(s)
		}
		c, d := a.connected(in4, loopbackNoPort)
		a.send("send", c, "x", addrPort("127.0.0.1:1"), nil, 0)
		a.until(d, readable)
		a.receive("stream", d, 2, 0)
		a.stamp(d)
	}}, {"SIOCGSTAMP after the datagram", func(a *abi) {
		s, at := a.bound(in4, loopbackNoPort)
		a.send("send", s, "x", at, nil, 0)
		a.arrive("read", s, 2, 0)
		time.Sleep(300 * time.Millisecond)
		b := make([]byte, 16)
		a.errno("a time", ioctlBytes(s, siocGStamp, b))
		first := string(b)
		time.Sleep(20 * time.Millisecond)
		a.errno("again", ioctlBytes(s, siocGStamp, b))
		a.log("the same time: %v", first == string(b))
	}}})
}
