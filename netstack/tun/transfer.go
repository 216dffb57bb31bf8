package tun

import (
	"encoding/binary"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/yolk-unikernel/yolk/netstack"
)

// Headers before a frame: struct tun_pi (flags and protocol), then struct virtio_net_hdr (virtio 1.2
// §5.1.6), of which programs choose the size.
const (
	infoSize      = 4
	shortHeader   = 10
	longestHeader = 256
	infoStripped  = 1 // TUN_PKT_STRIP: the frame did not fit
	// longestFrame is the largest frame that a program may write.
	longestFrame = 65535 + ethernet
)

// layout says what precedes frames.
type layout struct {
	info    bool // struct tun_pi
	header  int  // bytes of struct virtio_net_hdr; 0: none
	offload uint32
}

func (dev *device) layout() layout {
	dev.mu.Lock()
	defer dev.mu.Unlock()
	l := layout{info: dev.options&flagNoPI == 0, offload: dev.offload}
	if dev.options&flagHeader != 0 {
		l.header = dev.headerSize
	} else {
		l.offload = 0 // there is no place to say what is left to do
	}
	return l
}

// size returns how many bytes precede a frame.
func (l *layout) size() int {
	if l.info {
		return infoSize + l.header
	}
	return l.header
}

// Read implements kernel.File: the next frame, of which what does not fit is lost.
func (f *File) Read(p []byte, _ int64) (int, syscall.Errno) {
	dev, e := f.card()
	if e != 0 {
		return 0, e
	}
	l := dev.layout()
	if b := f.takePending(); b != nil {
		return l.put(p, dev, [][]byte{b}, len(b), netstack.Offload{})
	}
	frame := dev.port.Next()
	if frame == nil {
		return 0, syscall.EAGAIN
	}
	defer frame.Done()
	if l.mustCut(frame) {
		if !f.cut(frame, dev.linkHeader()) {
			dev.port.CountDropped()
			return 0, syscall.EAGAIN
		}
		b := f.takePending()
		return l.put(p, dev, [][]byte{b}, len(b), netstack.Offload{})
	}
	return l.put(p, dev, frame.Parts, frame.Len(), frame.Offload)
}

func (dev *device) linkHeader() int {
	if dev.kind == flagTap {
		return ethernet
	}
	return 0
}

// takePending returns the next segment of a frame that was cut, or nil.
func (f *File) takePending() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 {
		return nil
	}
	b := f.pending[0]
	f.pending = f.pending[1:]
	return b
}

// mustCut reports whether a frame is more than the program takes in one: it has said less since the
// connection began.
func (l *layout) mustCut(f *netstack.Frame) bool {
	switch f.Offload.GSOType {
	case netstack.GSOTCPv4:
		return l.offload&offloadTSO4 == 0
	case netstack.GSOTCPv6:
		return l.offload&offloadTSO6 == 0
	}
	return false
}

// cut makes segments of a frame; false if its headers are not where they should be.
func (f *File) cut(frame *netstack.Frame, linkHeader int) bool {
	var whole []byte
	for _, part := range frame.Parts {
		whole = append(whole, part...)
	}
	o := frame.Offload
	s := shape{segment: int(o.GSOSize), network: linkHeader, transport: int(o.ChecksumStart), six: o.GSOType == netstack.GSOTCPv6}
	if !s.complete(whole) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, segments(whole, s)...)
	return true
}

// put writes a frame of size bytes with what precedes it to p, and returns how many bytes p has then.
func (l *layout) put(p []byte, dev *device, parts [][]byte, size int, o netstack.Offload) (int, syscall.Errno) {
	if len(p) < l.size() {
		dev.port.CountDropped()
		return 0, syscall.EINVAL
	}
	rest := p
	if l.info {
		flags := uint16(0)
		if l.size()+size > len(p) {
			flags = infoStripped
		}
		binary.NativeEndian.PutUint16(rest, flags)
		binary.BigEndian.PutUint16(rest[2:], protocolOf(parts, dev.linkHeader()))
		rest = rest[infoSize:]
	}
	if l.header != 0 {
		l.putHeader(rest, o)
		rest = rest[l.header:]
	}
	n := 0
	for _, part := range parts {
		n += copy(rest[n:], part)
	}
	if o.NeedsChecksum && l.offload&offloadChecksum == 0 && n == size {
		completeChecksum(rest[:n], int(o.ChecksumStart), int(o.ChecksumOffset))
	}
	return l.size() + n, 0
}

// putHeader writes struct virtio_net_hdr, in the CPU's order.
func (l *layout) putHeader(p []byte, o netstack.Offload) {
	clear(p[:l.header])
	if !o.NeedsChecksum || l.offload&offloadChecksum == 0 {
		return
	}
	p[0], p[1] = needsChecksum, o.GSOType
	binary.NativeEndian.PutUint16(p[2:], o.HeaderLen)
	binary.NativeEndian.PutUint16(p[4:], o.GSOSize)
	binary.NativeEndian.PutUint16(p[6:], o.ChecksumStart)
	binary.NativeEndian.PutUint16(p[8:], o.ChecksumOffset)
}

// protocolOf returns a frame's EtherType.
func protocolOf(parts [][]byte, linkHeader int) uint16 {
	var head [ethernet]byte
	n := 0
	for _, part := range parts {
		n += copy(head[n:], part)
	}
	if linkHeader != 0 {
		return binary.BigEndian.Uint16(head[12:])
	}
	proto, _ := versionOf(head[:1])
	return uint16(proto)
}

// versionOf returns the protocol of an IP packet; false if it is none.
func versionOf(packet []byte) (tcpip.NetworkProtocolNumber, bool) {
	if len(packet) > 0 {
		switch packet[0] >> 4 {
		case 4:
			return header.IPv4ProtocolNumber, true
		case 6:
			return header.IPv6ProtocolNumber, true
		}
	}
	return 0, false
}

// Write implements kernel.File: one frame, which the stack receives. The order of the checks is that
// of tun_get_user of Linux.
func (f *File) Write(p []byte, _ int64) (int, syscall.Errno) {
	dev, e := f.card()
	if e != 0 {
		return 0, e
	}
	l := dev.layout()
	in, e := l.parse(p, dev.linkHeader())
	if e != 0 {
		dev.port.CountBad()
		return 0, e
	}
	if !dev.port.Up() {
		return 0, syscall.EIO
	}
	dev.receive(&in)
	return len(p), 0
}

// receive passes a frame to the stack. One that the stack may send on by another card is made as it
// would be on a wire.
func (dev *device) receive(in *incoming) {
	v := buffer.NewViewWithData(in.frame)
	checked := in.needsChecksum || in.valid
	if !checked || !dev.port.Forwards(in.protocol) {
		dev.port.Deliver(v, in.protocol, checked)
		return
	}
	if in.shape.segment != 0 {
		for _, s := range segments(v.AsSlice(), in.shape) {
			dev.port.Deliver(buffer.NewViewWithData(s), in.protocol, true)
		}
		v.Release()
		return
	}
	if in.needsChecksum {
		completeChecksum(v.AsSlice(), in.checksumStart, in.checksumOffset)
	}
	dev.port.Deliver(v, in.protocol, true)
}
