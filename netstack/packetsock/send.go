package packetsock

import (
	"encoding/binary"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// tagSize is the size of a VLAN tag, by which a frame may be longer.
const tagSize = 4

// Write implements kernel.File.
func (s *socket) Write(p []byte, _ int64) (int, syscall.Errno) {
	return s.send(span{one: p}, nil, nil)
}

// Send implements kernel.Socket. No flag changes what is sent.
func (s *socket) Send(m *kernel.Message, _ int) (int, syscall.Errno) {
	return s.send(span{many: m.Buffers}, m.Addr, m.Control)
}

// span is the bytes of one buffer and then of many. They may lie on the caller's stack.
type span struct {
	one  []byte
	many [][]byte
}

func (v *span) len() int {
	n := len(v.one)
	for _, p := range v.many {
		n += len(p)
	}
	return n
}

func (v *span) copyTo(dst []byte) {
	n := copy(dst, v.one)
	for _, p := range v.many {
		n += copy(dst[n:], p)
	}
}

// A destination says where and as what a frame is sent.
type destination struct {
	protocol uint16
	netstack.FrameInterface
	address []byte // of a cooked frame; nil: none was given
}

// destination reads the address of sendto(2), or takes what the socket is bound to without one. The family
// in it is not looked at, as on Linux.
func (s *socket) destination(addr []byte) (d destination, e syscall.Errno) {
	var index int
	if addr == nil {
		s.family.mu.Lock()
		index, d.protocol = s.hook.index, s.hook.protocol
		s.family.mu.Unlock()
	} else {
		if len(addr) < sockaddrSize || len(addr) < offAddress+int(addr[offLength]) {
			return d, syscall.EINVAL
		}
		index, d.protocol = int(int32(binary.NativeEndian.Uint32(addr[offIndex:]))), binary.BigEndian.Uint16(addr[offProtocol:])
		d.address = addr[offAddress : offAddress+addressSize]
	}
	var ok bool
	if d.FrameInterface, ok = s.family.net.FrameInterface(index); !ok {
		return d, syscall.ENXIO
	}
	if !d.Up {
		return d, syscall.ENETDOWN
	}
	return d, 0
}

// send is packet_snd in Linux's net/packet/af_packet.c, with its order of errors.
func (s *socket) send(v span, addr, control []byte) (int, syscall.Errno) {
	d, e := s.destination(addr)
	if e != 0 {
		return 0, e
	}
	if e := s.checkControl(control); e != 0 {
		return 0, e
	}
	if s.option(solsocket.NoFCS) != 0 {
		return 0, syscall.EPROTONOSUPPORT // no card here can do without its checksum
	}
	n, most := v.len(), d.MTU
	if s.typ == syscall.SOCK_RAW {
		most += d.Header
	}
	if n > most+tagSize {
		return 0, syscall.EMSGSIZE
	}
	frame, e := s.frame(&v, n, &d)
	if e != 0 {
		return 0, e
	}
	if n > most && (d.Hardware != syscall.ARPHRD_ETHER || binary.BigEndian.Uint16(frame[2*addressSize:]) != typeVLAN) {
		return 0, syscall.EMSGSIZE
	}
	protocol := d.protocol
	if protocol == typeAll && s.typ == syscall.SOCK_RAW {
		protocol = 0 // that in the frame
	}
	if e := s.family.net.SendFrame(d.Index, frame, protocol, s, s.has(bypasses)); e != 0 {
		return 0, e
	}
	return n, 0
}

// frame copies the bytes of a frame, after the header that it gets if it is cooked.
func (s *socket) frame(v *span, n int, d *destination) ([]byte, syscall.Errno) {
	if s.typ == syscall.SOCK_RAW {
		if n < max(d.Header, 1) {
			return nil, syscall.EINVAL
		}
		frame := make([]byte, n)
		v.copyTo(frame)
		return frame, 0
	}
	frame := make([]byte, d.Header+n)
	if d.Header == 0 {
		if n == 0 {
			return nil, syscall.EINVAL
		}
		v.copyTo(frame)
		return frame, 0
	}
	if d.address == nil && d.Hardware != syscall.ARPHRD_LOOPBACK {
		return nil, syscall.EINVAL
	}
	copy(frame, d.address)
	copy(frame[addressSize:], d.HardwareAddr[:])
	typ := d.protocol
	if typ == 1 || typ == 4 { // ETH_P_802_3, ETH_P_802_2: the length stands there (eth_header in Linux's net/ethernet/eth.c)
		typ = uint16(n)
	}
	binary.BigEndian.PutUint16(frame[2*addressSize:], typ)
	v.copyTo(frame[headerSize:])
	return frame, 0
}

// checkControl is sock_cmsg_send in Linux's net/core/sock.c. What is read has no effect there either, on a
// machine without queueing disciplines and rules for marks.
func (s *socket) checkControl(b []byte) syscall.Errno {
	const header = 16 // sizeof(struct cmsghdr)
	for len(b) >= header {
		size := binary.NativeEndian.Uint64(b)
		if size < header || size > uint64(len(b)) {
			return syscall.EINVAL
		}
		if binary.NativeEndian.Uint32(b[8:]) == syscall.SOL_SOCKET {
			if e := s.checkOne(int(int32(binary.NativeEndian.Uint32(b[12:]))), b[header:size]); e != 0 {
				return e
			}
		}
		b = b[min((int(size)+7)&^7, len(b)):]
	}
	return 0
}

func (s *socket) checkOne(typ int, data []byte) syscall.Errno {
	ok := false
	switch typ {
	case syscall.SO_MARK, syscall.SO_PRIORITY:
		ok = len(data) == 4
	case syscall.SO_TIMESTAMPING, solsocket.TimestampingNew: // none of the times of sending is known
		ok = len(data) == 4 && binary.NativeEndian.Uint32(data) == 0
	case solsocket.TxTime: // also SCM_TXTIME
		s.mu.Lock()
		ok = s.options.HasTxTime() && len(data) == 8
		s.mu.Unlock()
	case syscall.SCM_RIGHTS, syscall.SCM_CREDENTIALS:
		ok = true
	}
	if !ok {
		return syscall.EINVAL
	}
	return 0
}
